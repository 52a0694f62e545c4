package topic

import "github.com/polylog-mq/polylog/internal/record"

// CatalogCommand is a command of the metadata group: *Bootstrap, *CreateTopic,
// *DeleteTopic, *AlterConfigs, *AlterQueue, *CreatePartitions, *AllocateProducerIDs or
// *Confirm.
type CatalogCommand interface {
	// AppendTo appends the logged form, to be read by DecodeCatalogCommand.
	AppendTo(dst []byte) []byte
	catalog()
}

// Bootstrap is the first command of a cluster: it names the data shards and
// spreads the slots over them. ErrStale the second time.
type Bootstrap struct {
	Shards []record.ShardID // ascending, without MetadataShard
}

// CreateTopic creates a topic. ErrInvalidName, ErrTopicExists,
// ErrInvalidPartitions, ErrInvalidConfig, ErrTooMany, ErrNotReady.
type CreateTopic struct {
	UUID       UUID
	Tenant     string
	Name       string
	Partitions int32
	Config     []Config // in any order, each name once
	// Lease, if not nil, makes the topic a queue: it has one partition, and any
	// name of up to MaxQueueNameLen bytes. See Topic.Lease.
	Lease []byte
	// Attributes of a queue; see Topic.Attributes. Without Lease they make the
	// topic a stream, with one partition and a name like a queue's too.
	Attributes []byte
}

// AlterQueue gives a queue other settings of its lease set. ErrUnknownTopic,
// ErrInvalidConfig if it is no queue.
type AlterQueue struct {
	UUID  UUID
	Lease []byte
}

// DeleteTopic deletes a topic and its data. ErrUnknownTopic.
type DeleteTopic struct{ UUID UUID }

// AlterConfigs changes settings of a topic, all or none. ErrUnknownTopic,
// ErrInvalidConfig.
type AlterConfigs struct {
	UUID UUID
	// Replace first drops every setting, as Kafka's old AlterConfigs does.
	Replace bool
	Changes []ConfigChange
}

// CreatePartitions raises a topic's partition count to Count.
// ErrUnknownTopic, ErrInvalidPartitions, ErrTooMany.
type CreatePartitions struct {
	UUID  UUID
	Count int32
}

// AllocateProducerIDs takes a block of Count producer ids, which are never
// given again.
type AllocateProducerIDs struct{ Count int64 }

// Confirm says that a shard has applied every definition up to Revision: the
// value of Partitions.Revision there.
type Confirm struct {
	Shard    record.ShardID
	Revision Revision
}

// ShardCommand is a command of a data shard: *Define or *DeleteRecords.
type ShardCommand interface {
	// AppendTo appends the logged form, to be read by DecodeShardCommand.
	AppendTo(dst []byte) []byte
	shard()
}

// Define tells a shard how its partitions are defined. It moves the shard from
// one revision of the catalog to a later one, carrying the latest state of
// every topic that changed between them and has partitions there, and applies
// only if the shard stands exactly at After: so a repeated, overtaken or late
// one changes nothing.
type Define struct {
	After    Revision
	Revision Revision
	Topics   []Definition
	// TermIsEpoch marks a command of a log from before leader epochs began at 0:
	// a partition that it makes has its shard's term as epoch.
	TermIsEpoch bool
}

// Definition is a topic as one shard needs it.
type Definition struct {
	Topic    ID
	Revision Revision
	// Dropped says that the partitions and their data are gone.
	Dropped  bool
	Settings *Settings // nil if Dropped
	// Partitions lists all of the topic's partitions in this shard.
	Partitions []PartitionDefinition
}

// PartitionDefinition is a partition as its shard needs it.
type PartitionDefinition struct {
	ID record.PartitionID
	// FirstEpoch is the lowest leader epoch that it may have from here on.
	FirstEpoch record.Epoch
}

// DeleteRecords raises the log start of a partition to Before, -1 for its high
// watermark.
type DeleteRecords struct {
	Partition record.PartitionID
	Before    record.Offset
}

func (*Bootstrap) catalog()           {}
func (*CreateTopic) catalog()         {}
func (*AlterQueue) catalog()          {}
func (*DeleteTopic) catalog()         {}
func (*AlterConfigs) catalog()        {}
func (*CreatePartitions) catalog()    {}
func (*AllocateProducerIDs) catalog() {}
func (*Confirm) catalog()             {}
func (*Define) shard()                {}
func (*DeleteRecords) shard()         {}
