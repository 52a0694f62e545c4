package txn

import (
	"iter"

	"github.com/polylog-mq/polylog/internal/record"
)

// Decision is what the partitions and groups of a transaction are to be told.
type Decision struct {
	ID       string
	Number   uint64
	Producer int64
	// Epoch shuts out older ones.
	Epoch  int16
	Commit bool
	// Partitions and Groups are shared with the state: read only, until the
	// next command.
	Partitions []Partition
	Groups     []string
}

// Decision returns that of a transactional id; false if none is to be sent.
func (s *State) Decision(id string) (Decision, bool) {
	t := s.ids[id]
	if t == nil || !t.phase.deciding() {
		return Decision{}, false
	}
	return Decision{
		ID: id, Number: t.number, Producer: t.producer, Epoch: t.epoch, Commit: t.phase == PrepareCommit,
		Partitions: t.partitions, Groups: t.groups,
	}, true
}

// Deciding returns the transactional ids whose decision is to be sent, in order.
func (s *State) Deciding() []string {
	var ids []string
	for _, t := range s.sorted() {
		if t.phase.deciding() {
			ids = append(ids, t.id)
		}
	}
	return ids
}

// NeedsProducer reports whether the next Init or End of a transactional id may
// need a new producer id.
func (s *State) NeedsProducer(id string) bool {
	t := s.ids[id]
	return t == nil || exhausted(t.epoch)
}

// Description is a transactional id as it is shown to people.
type Description struct {
	ID       string
	Phase    Phase
	Producer int64
	Epoch    int16
	Timeout  int32          // ms
	Started  record.LogTime // of the transaction, -1 if none is under way
	// Partitions is shared with the state: read only, until the next command.
	Partitions []Partition
}

// Describe describes a transactional id; false, and the phase Dead, if there is
// none.
func (s *State) Describe(id string) (Description, bool) {
	t := s.ids[id]
	if t == nil {
		return Description{ID: id, Phase: Dead, Producer: -1, Epoch: -1, Started: -1}, false
	}
	return t.describe(), true
}

func (t *txn) describe() Description {
	d := Description{
		ID: t.id, Phase: t.phase, Producer: t.producer, Epoch: t.epoch, Timeout: t.timeout, Started: -1,
		Partitions: t.partitions,
	}
	if t.phase == Ongoing || t.phase.deciding() {
		d.Started = t.started
	}
	return d
}

// All iterates over the transactional ids in order.
func (s *State) All() iter.Seq[Description] {
	return func(yield func(Description) bool) {
		for _, t := range s.sorted() {
			if !yield(t.describe()) {
				return
			}
		}
	}
}
