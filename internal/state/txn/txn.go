package txn

import (
	"cmp"
	"slices"

	"github.com/polylog-mq/polylog/internal/due"
	"github.com/polylog-mq/polylog/internal/page"
	"github.com/polylog-mq/polylog/internal/record"
)

// Phase is the state of a transactional id, with Kafka's numbers.
type Phase uint8

// The phases. Kafka's PrepareEpochFence is here the step from Ongoing to
// PrepareAbort under a new epoch, which is one command.
const (
	// Empty: no transaction yet in this incarnation of the producer.
	Empty Phase = iota
	// Ongoing: partitions or groups were added.
	Ongoing
	// PrepareCommit and PrepareAbort: decided, but not applied everywhere.
	PrepareCommit
	PrepareAbort
	// CompleteCommit and CompleteAbort: applied everywhere.
	CompleteCommit
	CompleteAbort
	// Dead: no such transactional id.
	Dead
)

// String returns the name that Kafka shows to people.
func (p Phase) String() string {
	names := [...]string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead"}
	if int(p) < len(names) {
		return names[p]
	}
	return "Unknown"
}

// deciding reports whether the decision has yet to be applied everywhere.
func (p Phase) deciding() bool { return p == PrepareCommit || p == PrepareAbort }

// txn is a transactional id with its present or last transaction.
type txn struct {
	id      string
	phase   Phase
	timeout int32 // ms

	producer int64
	epoch    int16 // -1 before the first incarnation
	// lastEpoch is the epoch before the present one, if the client that had it
	// may not know yet that it has got another; -1 if none.
	lastEpoch int16
	// previous is the producer id before the present one, -1 if none.
	previous int64
	// next is the producer id that takes over, with epoch 0, once the decision
	// is applied; -1 for none.
	next int64
	// bumps says that the present or last transaction was of a client that takes
	// a new epoch with each.
	bumps bool

	number  uint64         // of the present or last transaction, 0 before the first
	started record.LogTime // of the transaction
	updated record.LogTime // last change of phase

	partitions []Partition // ordered by id
	groups     []string    // ordered

	due.Place // in State.due

	due record.LogTime
}

// State is all transactional ids of a shard. It belongs to the shard's loop.
type State struct {
	ids   map[string]*txn
	due   due.Queue[*txn]
	held  record.LogTime // no id expires before
	pages *page.Set[string]
}

// New returns a state without transactional ids.
func New() *State {
	s := &State{ids: map[string]*txn{}}
	s.pages = page.New(s.encodePage)
	return s
}

// Reply answers a command.
type Reply struct {
	Err error
	// Producer and Epoch are what the client is to use from now on.
	Producer int64
	Epoch    int16
	// Number is that of the transaction (Add).
	Number uint64
	// Waiting says that an End was accepted and its decision is being applied:
	// an effect tells when that is done.
	Waiting bool
}

// Effects collects what follows from commands and ticks.
type Effects struct {
	// Decided are the transactional ids whose decision is to be sent.
	Decided []string
	// Completed are those whose decision is applied everywhere.
	Completed []string
}

// Reset empties e and keeps its memory.
func (e *Effects) Reset() {
	clear(e.Decided)
	clear(e.Completed)
	e.Decided, e.Completed = e.Decided[:0], e.Completed[:0]
}

// touch must be called before every change of t.
func (s *State) touch(t *txn) { s.pages.Touch(t.id) }

// sorted returns all transactional ids in order.
func (s *State) sorted() []*txn {
	all := make([]*txn, 0, len(s.ids))
	for _, t := range s.ids {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *txn) int { return cmp.Compare(a.id, b.id) })
	return all
}

func exhausted(epoch int16) bool { return epoch >= lastEpoch }
