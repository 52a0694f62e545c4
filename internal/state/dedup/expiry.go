package dedup

import (
	"cmp"
	"container/heap"
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
	if len(t.due) == 0 {
		return 0, false
	}
	return max(t.later, t.due[0].due), true
}

// Tick forgets producers that have been silent for 24 hours, of a bounded
// number of leaves at a time (NextDeadline stays in the past while there are
// more). With hold it forgets nothing.
func (t *Table) Tick(now record.LogTime, hold bool) {
	if hold {
		t.later = now + lookMs
		return
	}
	for n := 0; n < leavesPerTick && len(t.due) > 0 && t.due[0].due <= now; n++ {
		t.forget(t.due[0], now-now%lookMs-ExpiryMs)
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
		heap.Fix(&t.due, l.heapAt)
		return
	}
	heap.Remove(&t.due, l.heapAt)
	t.leaves[l.number] = nil
	for len(t.leaves) > 0 && t.leaves[len(t.leaves)-1] == nil {
		t.leaves = t.leaves[:len(t.leaves)-1]
	}
}

// forgetOldest makes room in a full table: it forgets those that have been
// silent longest, to the minute, in the first such leaf.
func (t *Table) forgetOldest() {
	for {
		l := t.due[0]
		due := l.due
		if t.forget(l, math.MinInt64); l.due == due {
			break
		}
	}
	l := t.due[0]
	t.forget(l, l.due-ExpiryMs)
}

// dueHeap orders leaves by when they are due, then by number, so that which of
// them a bounded tick looks at does not depend on how the heap grew.
type dueHeap []*leaf

func (h dueHeap) Len() int { return len(h) }
func (h dueHeap) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[i].due, h[j].due), cmp.Compare(h[i].number, h[j].number)) < 0
}

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapAt, h[j].heapAt = i, j
}

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) {
	l := x.(*leaf)
	l.heapAt = len(*h)
	*h = append(*h, l)
}

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return l
}
