package topic

// Limits of what the state machines hold and of what their decoders accept.
const (
	// MaxNameLen is Kafka's limit on the length of a topic name, in bytes.
	MaxNameLen = 249
	// MaxTenantLen bounds the name of a tenant, in bytes.
	MaxTenantLen = 255
	// MaxQueueNameLen bounds the name of a queue, in bytes (AMQP's short string).
	MaxQueueNameLen = 255
	// MaxLeaseLen and MaxAttributesLen bound what a queue carries, in bytes.
	MaxLeaseLen      = 4096
	MaxAttributesLen = 1 << 16
	// MaxTopics bounds the topics of a cluster, tombstones included.
	MaxTopics = 1 << 18
	// MaxPartitionsPerTopic bounds one topic.
	MaxPartitionsPerTopic = 100_000
	// MaxPartitions bounds the partitions of a cluster.
	MaxPartitions = 1 << 20
	// MaxShards bounds the data shards of a cluster.
	MaxShards = 4096
	// MaxConfigs bounds the settings of one topic and the changes of one
	// command.
	MaxConfigs = 256
	// MaxConfigNameLen and MaxConfigValueLen bound one setting, in bytes.
	MaxConfigNameLen  = 255
	MaxConfigValueLen = 4096
	// MaxProducerIDBlock bounds one allocation of producer ids.
	MaxProducerIDBlock = 1 << 20

	// Slots is the number of slots that what has no home of its own hashes to.
	// It can never change: it is part of where data lies.
	Slots = 1024

	// definesPerCommand and partitionsPerCommand bound one Define command, and
	// with them the entry that carries it.
	definesPerCommand    = 1024
	partitionsPerCommand = 16_384

	// pageVersion begins the value of every checkpoint page.
	pageVersion = 1
	// partitionsPerPage bounds a checkpoint page of the catalog.
	partitionsPerPage = 1024
	// segmentsPerPage bounds a checkpoint page of a partition's sealed
	// segments.
	segmentsPerPage = 256
	// maxSegments bounds the logical segments of one partition: beyond it,
	// neighbours are merged and retention becomes coarser.
	maxSegments = 4096
	// maxEnlisted bounds the producers that may have a transaction in one
	// partition.
	maxEnlisted = 1 << 14
	// maxAborted bounds the aborted transactions that a checkpoint may show of
	// one partition, and abortedPerPage a page of them.
	maxAborted     = 1 << 40
	abortedPerPage = 1024
	// maxEpochs bounds the leader epochs remembered by one partition.
	maxEpochs = 256

	// retentionInterval is how finely retention is judged, in ms: all deadlines
	// are rounded up to a multiple of it, so that ten thousand partitions make
	// few ticks. (Kafka looks every 5 minutes.)
	retentionInterval = 10_000
	// retentionPerTick bounds the partitions that one tick looks at.
	retentionPerTick = 1024
)
