package lease

import "math/bits"

// offsets is a set of offsets of a chunk: as spans, or as a bitmap once there are
// so many that this is smaller, as where every other record is settled. The zero
// value is empty.
type offsets struct {
	list spans
	bits *bitmap
}

func (s *offsets) empty() bool { return len(s.list) == 0 && s.bits == nil }

// from returns the first span that ends at or after o. It may begin before.
func (s *offsets) from(o uint16) (span, bool) {
	if s.bits != nil {
		return s.bits.from(o)
	}
	if i := s.list.find(o); i < len(s.list) {
		return s.list[i], true
	}
	return span{}, false
}

func (s *offsets) has(o uint16) bool {
	x, ok := s.from(o)
	return ok && x.lo <= o
}

// size counts the offsets.
func (s *offsets) size() int64 {
	if s.bits != nil {
		return int64(s.bits.size)
	}
	return s.list.size()
}

// count counts the spans.
func (s *offsets) count() int {
	if s.bits != nil {
		return s.bits.spans
	}
	return len(s.list)
}

// each calls yield for all spans in order.
func (s *offsets) each(yield func(span)) {
	for _, x := range s.list {
		yield(x)
	}
	if s.bits == nil {
		return
	}
	for o := 0; o < chunkSize; {
		x, ok := s.bits.from(uint16(o))
		if !ok {
			return
		}
		yield(x)
		o = int(x.hi) + 1
	}
}

// add adds [lo, hi] and returns how many offsets of it are new.
func (s *offsets) add(lo, hi uint16) int64 {
	if s.bits != nil {
		return s.changed(int64(s.bits.set(lo, hi, true)))
	}
	n := s.list.add(lo, hi)
	if len(s.list) > manySpans {
		s.toBits()
	}
	return n
}

// remove takes [lo, hi] out and returns how many offsets that were.
func (s *offsets) remove(lo, hi uint16) int64 {
	if s.bits != nil {
		return s.changed(int64(s.bits.set(lo, hi, false)))
	}
	n := s.list.remove(lo, hi)
	if len(s.list) > manySpans {
		s.toBits()
	}
	return n
}

func (s *offsets) toBits() {
	s.bits = &bitmap{}
	for _, x := range s.list {
		s.bits.set(x.lo, x.hi, true)
	}
	s.list = nil
}

// changed goes back to spans when there are few, and passes n on.
func (s *offsets) changed(n int64) int64 {
	if s.bits.spans < fewSpans {
		b := offsets{bits: s.bits}
		s.bits = nil
		b.each(func(x span) { s.list = append(s.list, x) })
	}
	return n
}

// bitmap is a set of offsets of a chunk with a bit for each. It knows how many
// there are and how many spans they make.
type bitmap struct {
	words       [chunkSize / 64]uint64
	size, spans int
}

// from is that of offsets, but for what lies before o.
func (b *bitmap) from(o uint16) (x span, ok bool) {
	lo, ok := b.next(o, 0)
	if !ok {
		return span{}, false
	}
	hi, ok := b.next(lo, ^uint64(0))
	if !ok {
		return span{lo, chunkMask}, true
	}
	return span{lo, hi - 1}, true
}

// next returns the first offset at or after o whose bit is set, or with all bits
// flipped, is not.
func (b *bitmap) next(o uint16, flip uint64) (uint16, bool) {
	i := int(o / 64)
	w := (b.words[i] ^ flip) >> (o % 64) << (o % 64)
	for w == 0 {
		if i++; i == len(b.words) {
			return 0, false
		}
		w = b.words[i] ^ flip
	}
	return uint16(i*64 + bits.TrailingZeros64(w)), true
}

// set sets the bits of [lo, hi], or clears them, and returns how many that has
// changed.
func (b *bitmap) set(lo, hi uint16, on bool) (n int) {
	first, last := int(lo/64), int(hi/64)
	b.spans -= b.begins(first, last+1)
	for i := first; i <= last; i++ {
		mask := ^uint64(0)
		if i == first {
			mask &= ^uint64(0) << (lo % 64)
		}
		if i == last {
			mask &= ^uint64(0) >> (63 - hi%64)
		}
		was := b.words[i]
		if b.words[i] |= mask; !on {
			b.words[i] = was &^ mask
		}
		n += bits.OnesCount64(was ^ b.words[i])
	}
	b.spans += b.begins(first, last+1)
	if on {
		b.size += n
	} else {
		b.size -= n
	}
	return n
}

// begins counts the spans that begin in some words.
func (b *bitmap) begins(first, last int) (n int) {
	for i := first; i <= last && i < len(b.words); i++ {
		before := b.words[i] << 1
		if i > 0 {
			before |= b.words[i-1] >> 63
		}
		n += bits.OnesCount64(b.words[i] &^ before)
	}
	return n
}
