package lease

import (
	"maps"
	"math"
	"slices"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
)

// arrivals says up to which number the dead letters of each lease set have come
// to a partition.
type arrivals map[record.PartitionID]uint64

// Arrived notes that a dead letter of a lease set comes to a partition, which
// need not have one itself, and reports whether it is the first time. The letters
// of one set come in the order of their numbers.
func (s *State) Arrived(to, from record.PartitionID, number uint64) bool {
	set := s.sets[to]
	a := s.arrivalsOf(to)
	switch {
	case number <= a[from]:
		return false
	case set != nil:
		s.touch(set)
	default:
		s.pages.Touch(pageKey{kind: pageArrivals, id: to})
		s.logs[to] = a
	}
	if len(a) >= maxMoved && a[from] == 0 {
		a.forgetOldest()
	}
	a[from] = number
	return true
}

func (s *State) arrivalsOf(id record.PartitionID) arrivals {
	a := s.logs[id]
	if set := s.sets[id]; set != nil {
		a = set.moved
	}
	if a == nil {
		a = arrivals{}
	}
	return a
}

// forgetLog forgets what has come to a partition without a lease set.
func (s *State) forgetLog(id record.PartitionID) {
	if s.logs[id] != nil {
		s.pages.Touch(pageKey{kind: pageArrivals, id: id})
		delete(s.logs, id)
	}
}

// forgetOldest makes room: nobody says when a source is gone for good, but ids
// only grow, so the lowest are those of the oldest queues.
func (a arrivals) forgetOldest() {
	ids := slices.Sorted(maps.Keys(a))
	for _, id := range ids[:len(ids)/2] {
		delete(a, id)
	}
}

func (a arrivals) encode(dst []byte) []byte {
	dst = codec.AppendUvarint(dst, uint(len(a)))
	for _, id := range slices.Sorted(maps.Keys(a)) {
		dst = codec.AppendUvarint(codec.AppendUvarint(dst, id), a[id])
	}
	return dst
}

func (r *reader) arrivals() arrivals {
	a := arrivals{}
	for range r.Count(maxMoved, 2) {
		from := r.partition()
		a[from] = r.Uvarint(math.MaxUint64)
	}
	return a
}
