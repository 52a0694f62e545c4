package replica

import (
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// StateMachine is what a group's entries mean. Every method is called on the
// group's loop, one at a time, and must not block.
type StateMachine interface {
	// Encode appends to dst the body of one entry that holds the commands of
	// batch, in order. It is called on the leader only; now is the log time
	// that Apply will see. An empty batch is a tick: NextDeadline has passed.
	// It is called again for the same batch if Raft dropped the entry. dst is
	// reused once the entry is proposed: nothing may keep it.
	Encode(dst []byte, now record.LogTime, batch []Proposal) []byte

	// Apply applies a committed entry. On the member that proposed it, batch
	// is what Encode was given, and Apply puts the results into its proposals
	// (Done is called by the group, afterwards); elsewhere, and once those
	// proposals have been answered ErrUnknown, batch is nil. The outcome must be a
	// function of the state and the entry alone. e.Data is immutable and may
	// be kept, unless all proposals of the entry are Bulk.
	Apply(e Entry, batch []Proposal)

	// NextDeadline returns the log time at which the state wants a tick. It is
	// asked after every Apply and LeaderChanged and must be cheap.
	NextDeadline() (record.LogTime, bool)

	// LeaderChanged tells who leads; leader is 0 while nobody is known to.
	// With self true this member leads and has applied every entry of the
	// terms before.
	LeaderChanged(self bool, leader record.NodeID, term record.Term)

	// Freeze makes the present state the cut of a checkpoint. The cut before
	// has been encoded to its end.
	Freeze()

	// EncodePages emits pages of the cut, a nil value for a page that no
	// longer exists, until more returns false or all are emitted, and reports
	// whether all are. The slices belong to the receiver.
	EncodePages(emit func(key, value []byte), more func() bool) (done bool)

	// Restore replaces the whole state by that of a checkpoint. The slices
	// given to yield are valid only during the call; an error of yield must be
	// returned.
	Restore(pages PageSource) error

	// SnapshotRanges lists the data that a member needs beside the pages
	// before it holds this state. It does not touch the machine's own state.
	SnapshotRanges(pages PageSource) ([]Range, error)
}

// Spiller is a StateMachine that keeps some of its state in the durable checkpoint
// alone. Durable tells, on the group's loop, that the latest cut is durable.
type Spiller interface{ Durable() }

// PageSource walks over the pages of a checkpoint in the order of their keys.
type PageSource func(yield func(key, value []byte) error) error

// Entry is a committed entry.
type Entry struct {
	Index record.Index
	Term  record.Term
	// Now is the log time of everything in the entry.
	Now record.LogTime
	// Hold says that log time has recently leapt by more than an hour: expiry
	// and retention must delete nothing in this entry.
	Hold bool
	// Data is the body that Encode returned.
	Data []byte
	// Base is where Data begins within the entry's bytes in the store: a run's
	// position counts from there.
	Base int
}

// Range is the records [From, Next) of a partition.
type Range struct {
	Partition  record.PartitionID
	From, Next record.Offset
}

// Proposal is a command on its way through a group.
type Proposal interface {
	// Size returns the bytes that the proposal holds: what back-pressure and
	// the size of an entry are counted in. It must not change.
	Size() int
	// Done tells the outcome, exactly once, on the group's loop: nil (applied,
	// results are in place) or one of this package's errors. Once the host has
	// stopped it may be called by Propose itself.
	Done(err error)
}

// Bulk is a Proposal of whose encoded bytes Apply keeps nothing: the memory of an
// entry of such alone is used again.
type Bulk interface {
	Proposal
	// Bulk returns how many of its bytes Splice leaves where they lie. They must
	// not change before Done, and where that says ErrUnknown, never: they may yet
	// be written.
	Bulk() (spliced int)
}

// Splicer is a StateMachine that can leave large parts of proposals where they lie,
// for the log to put together.
type Splicer interface {
	StateMachine
	// Splice is Encode for Bulk proposals alone. What it leaves out of dst it
	// appends to splices, each with the length that dst has then as its place.
	Splice(dst []byte, splices []store.Splice, now record.LogTime, batch []Proposal) ([]byte, []store.Splice)
}
