package group

import (
	"math"

	"github.com/polylog-mq/polylog/internal/record"
)

// Command is one of the commands below.
type Command interface {
	// AppendTo appends the command's encoding, which Decode reads.
	AppendTo(dst []byte) []byte
}

// Join asks to be a member, or to stay one through the coming rebalance. It is
// answered with a JoinReply.
type Join struct {
	Group string
	// Member is the id of the member; with New, the one that the proposer has
	// made up for a client that has none yet. It must never have been used.
	Member string
	New    bool
	// Instance is the static member's instance id (KIP-345), "" for a dynamic
	// member.
	Instance string
	// RequireID makes a new dynamic member join again with its id (KIP-394,
	// JoinGroup v4 and later).
	RequireID bool
	// CanSkip says that the client understands JoinReply.SkipAssignment
	// (KIP-814, JoinGroup v9 and later).
	CanSkip              bool
	ClientID, ClientHost string
	// SessionTimeout and RebalanceTimeout are in milliseconds.
	SessionTimeout, RebalanceTimeout int32
	ProtocolType                     string
	// Protocols are those that the member can follow, the best first.
	Protocols []Protocol
}

// Protocol is an assignment protocol with the member's subscription for it.
type Protocol struct {
	Name     string
	Metadata []byte
}

// Sync asks for the member's assignment, and from the leader it brings those of
// all. It is answered with a SyncReply.
type Sync struct {
	Group, Member, Instance string
	Generation              int32
	// ProtocolType and Protocol are checked unless empty (SyncGroup v5).
	ProtocolType, Protocol string
	Assignments            []Assignment
}

// Assignment is what the leader gave to a member.
type Assignment struct {
	Member string
	Data   []byte
}

// Leave takes members out of a group. Reply.Each has one error per member.
type Leave struct {
	Group   string
	Members []Leaver
}

// Leaver names a member by its id, its instance id or both. With an instance id
// alone, whoever holds it leaves (an administrator's removal).
type Leaver struct{ Member, Instance string }

// Expire takes out a member whose session is over, unless its Seen has moved on.
type Expire struct {
	Group, Member string
	Seen          uint64
}

// Commit stores offsets.
type Commit struct {
	Group, Member, Instance string
	// Generation is negative for a commit from outside the group's membership,
	// which only an empty group takes.
	Generation int32
	// Retention is the time to keep the offsets in ms, negative for that of
	// the settings (OffsetCommit before v5 can ask for its own).
	Retention int64
	Topics    []CommitTopic
}

// CommitTopic is the part of a Commit that is about one topic.
// The name is only ever compared with what members subscribe to, which they do
// by name.
type CommitTopic struct {
	Topic      record.TopicID
	Name       string
	Partitions []CommitPartition
}

// CommitPartition is one committed offset.
type CommitPartition struct {
	Partition int32
	Offset    record.Offset
	// Epoch is the leader epoch of the last record consumed, -1 if unknown.
	Epoch    record.Epoch
	Metadata string
}

// Delete deletes an empty group with its offsets.
type Delete struct{ Group string }

// DeleteOffsets deletes committed offsets of topics that the group is not
// subscribed to. Reply.Each has one error per topic.
type DeleteOffsets struct {
	Group  string
	Topics []DeleteTopic
}

// DeleteTopic is the part of a DeleteOffsets that is about one topic. The name
// is there for the reason given at CommitTopic.
type DeleteTopic struct {
	Topic      record.TopicID
	Name       string
	Partitions []int32
}

// Forget drops the offsets of deleted topics from all groups of the shard.
type Forget struct{ Topics []record.TopicID }

// Configure replaces the settings of the shard's groups.
type Configure struct{ Settings }

// Settings govern all groups of a shard.
type Settings struct {
	// InitialDelay is how long an empty group waits for more members after the
	// first, in ms (group.initial.rebalance.delay.ms).
	InitialDelay int32
	// MaxSize is the number of members that a group takes (group.max.size).
	MaxSize int32
	// Retention is how long offsets are kept once the group is empty, in ms
	// (offsets.retention.minutes).
	Retention int64
}

// DefaultSettings are in force until the first Configure.
func DefaultSettings() Settings {
	return Settings{InitialDelay: 0, MaxSize: math.MaxInt32, Retention: 7 * 24 * 60 * 60 * 1000}
}
