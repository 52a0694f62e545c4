package lease

import (
	"cmp"
	"slices"
	"sort"
)

// A chunk is chunkSize consecutive offsets: what one page tells of.
const (
	chunkBits = 13
	chunkSize = 1 << chunkBits
	chunkMask = chunkSize - 1
)

// span is offsets [lo, hi] of a chunk.
type span struct{ lo, hi uint16 }

func (s span) len() int64 { return int64(s.hi-s.lo) + 1 }

// spans is a set of offsets of a chunk: spans in order that do not touch each
// other.
type spans []span

// find returns the first span that ends at or after o.
func (s spans) find(o uint16) int {
	return sort.Search(len(s), func(i int) bool { return s[i].hi >= o })
}

func (s spans) has(o uint16) bool {
	i := s.find(o)
	return i < len(s) && s[i].lo <= o
}

// size counts the offsets.
func (s spans) size() (n int64) {
	for _, x := range s {
		n += x.len()
	}
	return n
}

// add adds [lo, hi] and returns how many offsets of it are new.
func (s *spans) add(lo, hi uint16) int64 {
	first := s.find(lo)
	if first > 0 && (*s)[first-1].hi+1 == lo { // joins the one before
		first--
	}
	merged, last, had := span{lo, hi}, first, int64(0)
	for ; last < len(*s) && int((*s)[last].lo) <= int(hi)+1; last++ {
		x := (*s)[last]
		had += x.len()
		merged.lo, merged.hi = min(merged.lo, x.lo), max(merged.hi, x.hi)
	}
	*s = slices.Replace(*s, first, last, merged)
	return merged.len() - had
}

// remove takes [lo, hi] out and returns how many offsets that were.
func (s *spans) remove(lo, hi uint16) (gone int64) {
	first := s.find(lo)
	last := first
	var keep [2]span
	kept := keep[:0]
	for ; last < len(*s) && (*s)[last].lo <= hi; last++ {
		x := (*s)[last]
		gone += x.len()
		if x.lo < lo {
			kept = append(kept, span{x.lo, lo - 1})
			gone -= kept[len(kept)-1].len()
		}
		if x.hi > hi {
			kept = append(kept, span{hi + 1, x.hi})
			gone -= kept[len(kept)-1].len()
		}
	}
	if gone > 0 {
		*s = slices.Replace(*s, first, last, kept...)
	}
	return gone
}

// touch says how often an unsettled record of a chunk was given back.
type touch struct {
	at       uint16
	attempts uint16
}

// container is what is known of a chunk that is not all settled or all new: the
// offsets that are settled; those that are held, which means neither settled nor
// to be given (they wait for their time or their dead-letter target); and the
// records that were given back.
type container struct {
	settled, held offsets
	touched       []touch
	cut           uint32 // since which it is marked as changed
}

// empty reports whether there is nothing to tell.
func (c *container) empty() bool {
	return c.settled.empty() && c.held.empty() && len(c.touched) == 0
}

// settle settles [lo, hi] and returns how many offsets of it were not settled
// before, and how many were held.
func (c *container) settle(lo, hi uint16) (fresh, held int64) {
	c.untouch(lo, hi)
	return c.settled.add(lo, hi), c.held.remove(lo, hi)
}

// forget drops what is known of [lo, hi], and returns how many were settled and
// held.
func (c *container) forget(lo, hi uint16) (settled, held int64) {
	c.untouch(lo, hi)
	return c.settled.remove(lo, hi), c.held.remove(lo, hi)
}

// findTouch returns the first touched record at or after o.
func (c *container) findTouch(o uint16) (int, bool) {
	return slices.BinarySearchFunc(c.touched, o, func(t touch, o uint16) int { return cmp.Compare(t.at, o) })
}

func (c *container) attempts(o uint16) uint16 {
	if i, ok := c.findTouch(o); ok {
		return c.touched[i].attempts
	}
	return 0
}

// count counts a return and tells how many there were.
func (c *container) count(o uint16) uint16 {
	i, ok := c.findTouch(o)
	if !ok {
		c.touched = slices.Insert(c.touched, i, touch{at: o})
	}
	if c.touched[i].attempts < maxAttempts {
		c.touched[i].attempts++
	}
	return c.touched[i].attempts
}

// setCount replaces how often a record was given back.
func (c *container) setCount(o, n uint16) {
	c.untouch(o, o)
	if n > 0 {
		i, _ := c.findTouch(o)
		c.touched = slices.Insert(c.touched, i, touch{o, n})
	}
}

func (c *container) untouch(lo, hi uint16) {
	if len(c.touched) == 0 {
		return
	}
	from, _ := c.findTouch(lo)
	to := from
	for to < len(c.touched) && c.touched[to].at <= hi {
		to++
	}
	c.touched = slices.Delete(c.touched, from, to)
}
