package replica

import (
	"go.etcd.io/raft/v3/raftpb"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// Transport carries messages to other members. It may drop, delay, duplicate
// and reorder them, but never alters one. What arrives is given to the
// receiver's Host.Receive.
type Transport interface {
	// Send hands m over and never blocks. The message and all bytes in it are
	// immutable from then on, also to the sender. It is called from any loop
	// and from StepWork.
	Send(to record.NodeID, m Message)
}

// Message is what members of a group tell each other: a message of Raft's or
// one about a snapshot.
type Message struct {
	Group    record.ShardID
	Raft     *raftpb.Message
	Snapshot *SnapshotMessage
}

// size returns about how many bytes the message holds.
func (m *Message) size() (n int) {
	for _, e := range m.Raft.GetEntries() {
		n += len(e.GetData()) + entryOverhead
	}
	if s := m.Snapshot; s != nil {
		n += len(s.Body)
		for i := range s.Pages {
			n += len(s.Pages[i].Key) + len(s.Pages[i].Value)
		}
	}
	return n
}

// SnapshotKind says what a SnapshotMessage is about.
type SnapshotKind uint8

const (
	// WantPages asks for the pages of a durable checkpoint at index At that
	// follow key After (empty: from the first). If that checkpoint is no
	// longer there (or At is 0), one at index Least or later is begun.
	WantPages SnapshotKind = iota + 1
	// SendPages carries such Pages of the checkpoint At, its Term and Conf; Last
	// says that no page follows.
	SendPages
	// WantData asks for records of Range, from a member that has applied At.
	WantData
	// SendData carries Runs whose bytes lie in Body: all that there is from the
	// first offset asked for (From) to Range.Next. Records that are missing
	// there are wanted by nobody any more.
	SendData
	// Fetching tells the leader that the snapshot it offered is being fetched.
	Fetching
)

// SnapshotMessage carries a snapshot to a member that is too far behind for the
// log (DESIGN §4 "A follower too far behind for the log"). It pulls: every
// message with pages or data answers one that asked, and echoes what was asked
// (After, From), so that those lost, late or doubled do no harm.
type SnapshotMessage struct {
	Kind  SnapshotKind
	At    record.Index
	Least record.Index
	Term  record.Term
	Conf  []byte
	After []byte
	Pages []store.Page
	Last  bool
	From  record.Offset
	Range Range
	Runs  []store.Run
	Body  []byte
	Sum   uint32 // CRC32C of the pages' keys and values, or of Body
}
