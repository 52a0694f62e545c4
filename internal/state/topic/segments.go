package topic

import "github.com/polylog-mq/polylog/internal/record"

// roll seals the active segment.
func (s *Partitions) roll(p *Partition) {
	if len(p.sealed) == maxSegments {
		s.mergeSegments(p)
	}
	n := p.firstSealed + uint64(len(p.sealed))
	s.touchSegments(p, n, n+1)
	p.sealed = append(p.sealed, p.active)
	p.active = segment{base: p.next}
}

// mergeSegments joins neighbours, so that a partition of any size has a bounded
// number of segments; retention then follows its limits half as closely.
func (s *Partitions) mergeSegments(p *Partition) {
	s.touchSegments(p, p.firstSealed, p.firstSealed+uint64(len(p.sealed)))
	half := p.sealed[:0]
	for i := 0; i < len(p.sealed); i += 2 {
		a := p.sealed[i]
		if i+1 < len(p.sealed) {
			b := p.sealed[i+1]
			a.bytes += b.bytes
			a.stamp = max(a.stamp, b.stamp)
		}
		half = append(half, a)
	}
	p.sealed = half
}

// removeOldest removes the first segment and returns where the log then
// begins. Without its last segment a partition is empty, and goes on where it
// ended.
func (s *Partitions) removeOldest(p *Partition) record.Offset {
	p.bytes -= p.oldest().bytes
	if len(p.sealed) == 0 {
		p.active = segment{base: p.next}
		return p.next
	}
	s.dropSealed(p, 1)
	if len(p.sealed) > 0 {
		return p.sealed[0].base
	}
	return p.active.base
}

// removeBelow removes the segments that end at or below o.
func (s *Partitions) removeBelow(p *Partition, o record.Offset) {
	n := 0
	for ; n < len(p.sealed) && p.endOf(n) <= o; n++ {
		p.bytes -= p.sealed[n].bytes
	}
	s.dropSealed(p, n)
	if o == p.next {
		p.bytes -= p.active.bytes
		p.active = segment{base: p.next}
	}
}

// endOf returns the offset after sealed segment i.
func (p *Partition) endOf(i int) record.Offset {
	if i+1 < len(p.sealed) {
		return p.sealed[i+1].base
	}
	return p.active.base
}

// dropSealed forgets the first n sealed segments.
func (s *Partitions) dropSealed(p *Partition, n int) {
	from := p.firstSealed
	s.touchSegments(p, from, from+uint64(n))
	p.firstSealed += uint64(n)
	p.sealed = p.sealed[n:]
}

// touchSegments marks the pages of p's sealed segments with numbers in [from,
// to).
func (s *Partitions) touchSegments(p *Partition, from, to uint64) {
	for chunk := from / segmentsPerPage; chunk*segmentsPerPage < to; chunk++ {
		s.pages.Touch(shardPage{pageSegments, uint64(p.id), chunk})
	}
}
