package lease

import (
	"sort"

	"github.com/polylog-mq/polylog/internal/record"
)

// ttls says how long records may wait. A record keeps what held when it was
// appended: the smaller of its own time and the queue's. Neighbours mostly have
// the same, so what is kept are the places where it changes.
type ttls struct {
	changes []ttlChange
	first   uint64 // number of changes[0]; they are numbered as they come
}

// ttlChange says that records from offset from on may wait ttl ms, -1 for ever.
type ttlChange struct {
	from record.Offset
	ttl  int64
}

func (t *ttls) at(o record.Offset) int64 {
	i := sort.Search(len(t.changes), func(i int) bool { return t.changes[i].from > o })
	if i == 0 {
		return -1
	}
	return t.changes[i-1].ttl
}

// any reports whether a record can expire at all.
func (t *ttls) any() bool {
	return len(t.changes) > 1 || len(t.changes) == 1 && t.changes[0].ttl >= 0
}

func (t *ttls) latest() int64 {
	if n := len(t.changes); n > 0 {
		return t.changes[n-1].ttl
	}
	return -1
}

// noteTTL takes down how long the records from offset from on may wait.
func (s *State) noteTTL(set *Set, from record.Offset, ttl int64) {
	t := &set.ttls
	if t.latest() == ttl {
		return
	}
	s.touchTTL(set, t.first+uint64(len(t.changes)))
	t.changes = append(t.changes, ttlChange{from, ttl})
}

// trimTTLs forgets the changes that nothing above the floor needs.
func (s *State) trimTTLs(set *Set) {
	t := &set.ttls
	for len(t.changes) > 1 && t.changes[1].from <= set.floor {
		s.touchTTL(set, t.first)
		t.changes = t.changes[1:]
		t.first++
	}
}

// Expires reports whether a record of the set can expire.
func (s *Set) Expires() bool { return s.ttls.any() }
