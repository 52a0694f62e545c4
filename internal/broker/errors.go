package broker

import "errors"

// What an operation can answer. Wrapped errors carry details for people; match
// with errors.Is. "Kafka" names the code that Kafka's own brokers use for it.
var (
	// ErrNotLeader: this node does not lead the shard, nothing happened, ask
	// the leader. Kafka: NOT_LEADER_OR_FOLLOWER (groups: NOT_COORDINATOR).
	ErrNotLeader = errors.New("not the leader of the shard")
	// ErrUnknownFate: leadership was lost, or the node is stopping, while the
	// operation was under way; it may yet take effect. Kafka:
	// NOT_LEADER_OR_FOLLOWER, AMQP: close the channel, HTTP: 5xx.
	ErrUnknownFate = errors.New("the outcome is unknown: leadership was lost while the operation was under way")
	// ErrBusy: too many bytes are under way; nothing happened, try again.
	// Kafka: THROTTLING_QUOTA_EXCEEDED for metadata, REQUEST_TIMED_OUT for data.
	ErrBusy = errors.New("too much is under way")
	// ErrDiskFull: produces are refused until space is freed; reads, settles,
	// deletes and commits go on. Kafka: KAFKA_STORAGE_ERROR.
	ErrDiskFull = errors.New("the disk is full: produces are refused")
	// ErrStorage: the store failed (an I/O error); the node must be restarted.
	// Kafka: KAFKA_STORAGE_ERROR.
	ErrStorage = errors.New("the storage of this node has failed")
	// ErrDamaged: stored bytes do not match their checksum. Kafka:
	// KAFKA_STORAGE_ERROR.
	ErrDamaged = errors.New("stored data is damaged")
	// ErrClosed: the broker is stopping; nothing happened.
	ErrClosed = errors.New("the broker is stopping")

	// ErrUnknownTopic: no topic of this name. Kafka: UNKNOWN_TOPIC_OR_PARTITION.
	ErrUnknownTopic = errors.New("no such topic")
	// ErrUnknownTopicID: no topic with this uuid. Kafka: UNKNOWN_TOPIC_ID.
	ErrUnknownTopicID = errors.New("no topic with this id")
	// ErrUnknownPartition: the partition was deleted, or its shard has not
	// heard of it yet. Kafka: UNKNOWN_TOPIC_OR_PARTITION.
	ErrUnknownPartition = errors.New("no such partition")
	// ErrTopicExists. Kafka: TOPIC_ALREADY_EXISTS.
	ErrTopicExists = errors.New("the topic exists already")
	// ErrInvalidTopic: not a name a topic can have. Kafka: INVALID_TOPIC_EXCEPTION.
	ErrInvalidTopic = errors.New("invalid topic name")
	// ErrInvalidPartitions: a count out of range. Kafka: INVALID_PARTITIONS.
	ErrInvalidPartitions = errors.New("invalid number of partitions")
	// ErrInvalidReplication: more replicas than nodes. Kafka:
	// INVALID_REPLICATION_FACTOR.
	ErrInvalidReplication = errors.New("invalid replication factor")
	// ErrInvalidConfig: a setting that does not exist or a value out of range.
	// Kafka: INVALID_CONFIG.
	ErrInvalidConfig = errors.New("invalid configuration")
	// ErrPolicy: a limit of the cluster (number of topics or partitions) would
	// be exceeded. Kafka: POLICY_VIOLATION.
	ErrPolicy = errors.New("a limit of the cluster would be exceeded")

	// ErrCorruptBatch: size, magic or checksum wrong. Kafka: CORRUPT_MESSAGE.
	ErrCorruptBatch = errors.New("corrupt record batch")
	// ErrInvalidRecord: a well-formed batch that breaks a rule. Kafka:
	// INVALID_RECORD.
	ErrInvalidRecord = errors.New("invalid record")
	// ErrTooLarge: larger than max.message.bytes. Kafka: MESSAGE_TOO_LARGE.
	ErrTooLarge = errors.New("record batch too large for the topic")
	// ErrListTooLarge: larger than segment.bytes. Kafka: RECORD_LIST_TOO_LARGE.
	ErrListTooLarge = errors.New("record batch larger than a segment of the topic")
	// ErrInvalidTimestamp: outside message.timestamp.{before,after}.max.ms.
	// Kafka: INVALID_TIMESTAMP.
	ErrInvalidTimestamp = errors.New("timestamp out of the range that the topic allows")

	// ErrOutOfOrderSequence: a gap in a producer's sequence. Kafka:
	// OUT_OF_ORDER_SEQUENCE_NUMBER.
	ErrOutOfOrderSequence = errors.New("out of order sequence number")
	// ErrProducerEpoch: an epoch older than the one known. Kafka:
	// INVALID_PRODUCER_EPOCH on produce.
	ErrProducerEpoch = errors.New("invalid producer epoch")
	// ErrOffsetOutOfRange: below the floor or above the high watermark. Kafka:
	// OFFSET_OUT_OF_RANGE.
	ErrOffsetOutOfRange = errors.New("offset out of range")
)
