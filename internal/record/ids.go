package record

import "cmp"

// ShardID names a Raft group: 0 is the metadata group, 1 and up are data
// shards. It is also the WAL's group number.
type ShardID uint32

// MetadataShard is the group that holds definitions: topics, slots, members.
const MetadataShard ShardID = 0

// NodeID is a member of the cluster and its Raft id. It is never 0 and never
// reused: a node that lost acknowledged state returns under a new one.
type NodeID uint64

// PartitionID is assigned by the metadata group and never reused, so an old
// command can never land in a recreated topic.
type PartitionID uint64

// Index is a position in a group's Raft log; the first entry is 1.
type Index uint64

// Term is a Raft term.
type Term uint64

// Offset numbers a record of a partition, from 0.
type Offset int64

// Epoch is a partition's leader epoch as clients see it: its base plus the
// group's term.
type Epoch int32

// LogTime is a shard's leader-stamped, monotone time in milliseconds since the
// Unix epoch. State machines know no other time.
type LogTime int64

// EntryID is the two-part id (milliseconds, sequence) that a partition gives
// each record for protocols whose ids are times (Redis entries, Kinesis
// sequence numbers). It strictly increases within a partition and survives
// every rewrite.
type EntryID struct {
	Time LogTime
	Seq  uint64
}

// Compare orders ids by time, then sequence.
func (e EntryID) Compare(o EntryID) int {
	return cmp.Or(cmp.Compare(e.Time, o.Time), cmp.Compare(e.Seq, o.Seq))
}

// TopicID is assigned to a topic by the metadata group, ascending and never
// reused: an id below the next one that no topic has is that of a deleted topic.
type TopicID uint64
