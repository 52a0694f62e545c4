package dedup

import (
	"cmp"
	"math"
	"math/bits"

	"github.com/polylog-mq/polylog/internal/record"
)

// look returns when a producer that was seen last at that time is forgotten:
// after 24 hours, rounded up, so that many share a tick.
func look(seen record.LogTime) record.LogTime { return ((seen+ExpiryMs)/lookMs + 1) * lookMs }

// NextDeadline returns the log time at which Tick has work to do, and false if
// the table is empty.
func (t *Table) NextDeadline() (record.LogTime, bool) {
	if t.due.Len() == 0 {
		return 0, false
	}
	return max(t.later, t.due.First().due), true
}

// Tick forgets producers that have been silent for 24 hours, of a bounded
// number of leaves at a time (NextDeadline stays in the past while there are
// more). With hold it forgets nothing.
func (t *Table) Tick(now record.LogTime, hold bool) {
	if hold {
		t.later = now + lookMs
		return
	}
	for n := 0; n < leavesPerTick && t.due.Len() > 0 && t.due.First().due <= now; n++ {
		t.forget(t.due.First(), now-now%lookMs-ExpiryMs)
	}
}

// forget removes the leaf's producers that were not seen since limit, and
// brings its deadline up to date.
func (t *Table) forget(l *leaf, limit record.LogTime) {
	t.touch(l)
	oldest := record.LogTime(math.MaxInt64)
	for rest := l.used; rest > 0; rest &= rest - 1 {
		i := bits.TrailingZeros64(rest)
		p := &l.slots[i]
		if p.seen() >= limit {
			oldest = min(oldest, p.seen())
			continue
		}
		delete(t.index, p.key)
		l.used &^= 1 << i
		t.free = min(t.free, int(l.number))
	}
	if l.used > 0 {
		l.due = look(oldest)
		t.due.Set(l)
		return
	}
	t.due.Remove(l)
	t.leaves[l.number] = nil
	for len(t.leaves) > 0 && t.leaves[len(t.leaves)-1] == nil {
		t.leaves = t.leaves[:len(t.leaves)-1]
	}
}

// forgetOldest makes room in a full table: it forgets those that have been
// silent longest, to the minute, in the first such leaf.
func (t *Table) forgetOldest() {
	for {
		l := t.due.First()
		due := l.due
		if t.forget(l, math.MinInt64); l.due == due {
			break
		}
	}
	l := t.due.First()
	t.forget(l, l.due-ExpiryMs)
}

// Before orders leaves by when they are due, then by number, so that which of
// them a bounded tick looks at does not depend on how the queue grew.
func (l *leaf) Before(o *leaf) bool {
	return cmp.Or(cmp.Compare(l.due, o.due), cmp.Compare(l.number, o.number)) < 0
}
