package lease

import (
	"slices"
	"sort"

	"github.com/polylog-mq/polylog/internal/record"
)

// Set is one lease set: what the log says of the records of a partition. It
// stays the same object until it is dropped.
type Set struct {
	id       record.PartitionID
	settings *Settings

	// floor is the first offset that is not settled, next the one after the last
	// record.
	floor, next record.Offset
	// chunks holds what is settled or held above the floor; settled and held say
	// how much that is.
	chunks        map[uint64]*container
	settled, held int64

	bytes int64 // of the bodies of unsettled records, as told
	marks []Mark
	ttls  ttls
	dying dying
	loans loans
	moved arrivals

	cut uint32 // since which the root page is marked as changed
}

// Mark says that records of a level below Below may have been delivered.
type Mark struct {
	Level uint8
	Below record.Offset
}

// ID returns the partition's id.
func (s *Set) ID() record.PartitionID { return s.id }

// Settings returns the present settings, which never change in place.
func (s *Set) Settings() *Settings { return s.settings }

// Floor returns the first offset that is not settled: nothing below is wanted by
// a consumer any more.
func (s *Set) Floor() record.Offset { return s.floor }

// Next returns the offset after the last record.
func (s *Set) Next() record.Offset { return s.next }

// Unsettled returns how many records are not settled, those that are dying
// included.
func (s *Set) Unsettled() int64 { return int64(s.next-s.floor) - s.settled }

// Dying returns how many records wait for their dead-letter target.
func (s *Set) Dying() int64 { return int64(len(s.dying.list)) }

// Bytes returns the size of the bodies of unsettled records.
func (s *Set) Bytes() int64 { return s.bytes }

// Marked returns below which offset of a level records may have been delivered.
func (s *Set) Marked(level uint8) record.Offset {
	if i, ok := s.findMark(level); ok {
		return s.marks[i].Below
	}
	return 0
}

func (s *Set) findMark(level uint8) (int, bool) {
	i := sort.Search(len(s.marks), func(i int) bool { return s.marks[i].Level >= level })
	return i, i < len(s.marks) && s.marks[i].Level == level
}

func (s *Set) mark(m Mark) {
	i, ok := s.findMark(m.Level)
	if !ok {
		s.marks = slices.Insert(s.marks, i, m)
	}
	s.marks[i].Below = max(s.marks[i].Below, m.Below)
}

func chunkOf(o record.Offset) uint64 { return uint64(o) >> chunkBits }

func low(o record.Offset) uint16 { return uint16(o & chunkMask) }

// Settled reports whether the record at o is settled; what does not exist yet is
// not.
func (s *Set) Settled(o record.Offset) bool {
	if o < s.floor {
		return true
	}
	c := s.chunks[chunkOf(o)]
	return c != nil && c.settled.has(low(o))
}

// NextReady returns the first offset at or above o that is neither settled nor
// held, Next if there is none.
func (s *Set) NextReady(o record.Offset) record.Offset {
	o = max(o, s.floor)
	for o < s.next {
		c := s.chunks[chunkOf(o)]
		if c == nil {
			return o
		}
		at := o
		for _, over := range [...]*offsets{&c.settled, &c.held} {
			if x, ok := over.from(low(o)); ok && x.lo <= low(o) {
				o += record.Offset(x.hi-low(o)) + 1
			}
			if chunkOf(o) != chunkOf(at) {
				break
			}
		}
		if o == at {
			return o
		}
	}
	return s.next
}

// Held returns how many records are neither settled nor to be given: they are
// scheduled, lent or dying.
func (s *Set) Held() int64 { return s.held }

// nextUnsettled returns the first offset at or above o that is not settled, Next
// if there is none.
func (s *Set) nextUnsettled(o record.Offset) record.Offset {
	for o = max(o, s.floor); o < s.next; {
		c := s.chunks[chunkOf(o)]
		if c == nil {
			return o
		}
		x, ok := c.settled.from(low(o))
		if !ok || x.lo > low(o) {
			return o
		}
		o += record.Offset(x.hi-low(o)) + 1
	}
	return s.next
}

// isHeld reports whether the record at o is.
func (s *Set) isHeld(o record.Offset) bool {
	c := s.chunks[chunkOf(o)]
	return c != nil && o >= s.floor && c.held.has(low(o))
}

// Attempts returns how often an unsettled record was given back, counted.
func (s *Set) Attempts(o record.Offset) int32 {
	if c := s.chunks[chunkOf(o)]; c != nil && o >= s.floor {
		return int32(c.attempts(low(o)))
	}
	return 0
}

// settle settles [lo, hi] and returns how many records of it were not settled.
func (s *State) settle(set *Set, lo, hi record.Offset) (fresh int64) {
	lo, hi = max(lo, set.floor), min(hi, set.next-1)
	if lo > hi {
		return 0
	}
	s.touch(set)
	s.dropLoans(set, lo, hi)
	if lo == set.floor {
		return s.raise(set, hi+1)
	}
	for o := lo; o <= hi; {
		k := chunkOf(o)
		end := min(record.Offset(k+1)<<chunkBits-1, hi)
		n, held := s.chunk(set, k).settle(low(o), low(end))
		fresh += n
		set.held -= held
		o = end + 1
	}
	set.settled += fresh
	return fresh
}

// raise moves the floor up to o, and on over what is settled there. It returns
// how many records below o were not settled.
func (s *State) raise(set *Set, o record.Offset) (fresh int64) {
	fresh = int64(o - set.floor)
	for k := chunkOf(set.floor); k <= chunkOf(o); k++ {
		if set.chunks[k] == nil {
			continue
		}
		c := s.chunk(set, k)
		hi := uint16(chunkMask)
		if k == chunkOf(o) {
			if low(o) == 0 {
				continue
			}
			hi = low(o) - 1
		}
		settled, held := c.forget(0, hi)
		fresh -= settled
		set.settled -= settled
		set.held -= held
		s.dropEmpty(set, k)
	}
	set.floor = o
	for {
		k := chunkOf(set.floor)
		c := set.chunks[k]
		if c == nil {
			break
		}
		x, ok := c.settled.from(low(set.floor))
		if !ok || x.lo > low(set.floor) {
			break
		}
		c = s.chunk(set, k)
		set.settled -= x.len()
		set.floor += record.Offset(x.len())
		c.settled.remove(x.lo, x.hi)
		s.dropEmpty(set, k)
	}
	s.trimTTLs(set)
	return fresh
}

// hold keeps the record at o from being given until it is freed or settled.
func (s *State) hold(set *Set, o record.Offset) {
	if o >= set.floor && o < set.next && !set.Settled(o) {
		set.held += s.chunk(set, chunkOf(o)).held.add(low(o), low(o))
	}
}

// free ends what hold began.
func (s *State) free(set *Set, o record.Offset) {
	k := chunkOf(o)
	if set.chunks[k] == nil || o < set.floor {
		return
	}
	set.held -= s.chunk(set, k).held.remove(low(o), low(o))
	s.dropEmpty(set, k)
}

// Range is offsets [First, Last].
type Range struct{ First, Last record.Offset }

// Len returns how many offsets it has.
func (r Range) Len() int64 { return int64(r.Last-r.First) + 1 }
