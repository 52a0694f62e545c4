package topic

import (
	"cmp"
	"math"
	"slices"

	"github.com/polylog-mq/polylog/internal/record"
)

// Compaction keeps the last record of each key. What may be compacted is
// decided here, by ticks alone, as retention is: a function of the log and of
// log time, the same on every member. The bytes are the store's, and every
// member's own (docs/adr/0011-log-compaction.md).

// Compaction says how far a partition may be compacted. Both offsets only grow.
type Compaction struct {
	// Below is the dirty point: what lies at or above it stays as it was written.
	// It is never above the last stable offset or inside the active segment, and
	// what is younger than min.compaction.lag.ms lies above it.
	Below record.Offset
	// Overdue is at most Below. What lies below it is older than
	// max.compaction.lag.ms, and is to be compacted however little there is.
	Overdue record.Offset
	// At is when this was decided.
	At record.LogTime
}

// Compaction returns how far the partition may be compacted: as decided last,
// also while its topic is not compacted.
func (p *Partition) Compaction() Compaction { return p.compaction }

// compactable returns how far p may be compacted at log time now, and when time
// alone will allow or demand more: never, if only appends can.
func (p *Partition) compactable(now record.LogTime) (c Compaction, next record.LogTime) {
	c, next = p.compaction, never
	set := p.topic.settings
	if !set.Compact {
		return c, never
	}
	stable := p.LastStable()
	for i := p.segmentAfter(c.Below); i < len(p.sealed) && c.Below < stable; i++ {
		g := &p.sealed[i]
		if at := later(g.stamp, set.MinCompactionLagMs); at > now {
			next = at
			break
		}
		c.Below = min(p.endOf(i), stable)
	}
	for i := p.segmentAfter(c.Overdue); i < len(p.sealed) && p.sealed[i].base < c.Below; i++ {
		if at := later(p.sealed[i].first, set.MaxCompactionLagMs); at >= now {
			next = min(next, at)
			break
		}
		c.Overdue = min(p.endOf(i), c.Below)
	}
	return c, next
}

// segmentAfter returns the first sealed segment that ends above o.
func (p *Partition) segmentAfter(o record.Offset) int {
	i, _ := slices.BinarySearchFunc(p.sealed, o, func(g segment, o record.Offset) int { return cmp.Compare(g.base, o) })
	// Segment i begins at or above o; the one before may reach beyond it.
	if i > 0 && p.endOf(i-1) > o {
		i--
	}
	return i
}

// later adds two times that are not negative; the sum may be never.
func later(at, ms int64) record.LogTime {
	if ms > math.MaxInt64-at {
		return never
	}
	return record.LogTime(at + ms)
}

// compact takes over how far p may be compacted by now.
func (s *Partitions) compact(now record.LogTime, p *Partition, fx *Effects) {
	c, _ := p.compactable(now)
	if c == p.compaction {
		return
	}
	c.At = now
	p.compaction = c
	fx.Compactions = append(fx.Compactions, p)
}
