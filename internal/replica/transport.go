package replica

import (
	"go.etcd.io/raft/v3/raftpb"

	"github.com/polylog-mq/polylog/internal/record"
)

// Transport carries messages to other members. It may drop, delay, duplicate
// and reorder them, but never alters one. What arrives is given to the
// receiver's Host.Receive.
type Transport interface {
	// Send hands m over and never blocks. The message and all bytes in it are
	// immutable from then on, also to the sender. It is called from any loop.
	Send(to record.NodeID, m Message)
}

// Message is what members of a group tell each other. Exactly one of the
// pointers is set.
type Message struct {
	Group record.ShardID
	// Raft is a message of Raft's own.
	Raft *raftpb.Message
	// Pages and Data carry a snapshot to a member that is too far behind for
	// the log.
	Pages *PagesMessage
	Data  *DataMessage
}

// PagesMessage asks for, or carries, the pages of a durable checkpoint.
type PagesMessage struct{}

// DataMessage asks for, or carries, records of a partition.
type DataMessage struct{}
