package txn

import (
	"cmp"
	"container/heap"
	"math"

	"github.com/polylog-mq/polylog/internal/record"
)

const never record.LogTime = math.MaxInt64

// deadline returns when something happens to t by itself.
func (t *txn) deadline() record.LogTime {
	switch {
	case t.phase == Ongoing:
		return t.started + record.LogTime(t.timeout)
	case t.phase.deciding():
		return never
	}
	return t.updated + ExpiryMs
}

// schedule puts t where its deadline belongs. It ends every change of phase.
func (s *State) schedule(t *txn) {
	at := t.deadline()
	switch {
	case at == never && t.heapAt >= 0:
		heap.Remove(&s.due, t.heapAt)
	case at == never:
	case t.heapAt < 0:
		t.due = at
		heap.Push(&s.due, t)
	default:
		t.due = at
		heap.Fix(&s.due, t.heapAt)
	}
}

// NextDeadline returns when the next Tick has something to do.
func (s *State) NextDeadline() (record.LogTime, bool) {
	if len(s.due) == 0 {
		return 0, false
	}
	if t := s.due[0]; t.phase != Ongoing {
		return max(t.due, s.held), true
	}
	return s.due[0].due, true
}

// Tick aborts transactions whose time is over and forgets transactional ids that
// were not used for seven days, a bounded number at a time; with hold none is
// forgotten. It is to be called after the commands of every entry.
func (s *State) Tick(now record.LogTime, hold bool, fx *Effects) {
	if hold {
		s.held = now + holdPause
	}
	for range maxTick {
		if len(s.due) == 0 || s.due[0].due > now {
			return
		}
		t := s.due[0]
		switch {
		case t.phase == Ongoing:
			s.fence(now, t, fx)
		case hold:
			// What the heap's top holds back are only ids as old: transactions
			// of a later deadline wait with them for a minute at most.
			return
		default:
			s.touch(t)
			heap.Remove(&s.due, t.heapAt)
			delete(s.ids, t.id)
		}
	}
}

// dueHeap orders by deadline, then by id, so that which of them a bounded tick
// looks at does not depend on how the heap grew.
type dueHeap []*txn

func (h dueHeap) Len() int { return len(h) }
func (h dueHeap) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[i].due, h[j].due), cmp.Compare(h[i].id, h[j].id)) < 0
}

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapAt, h[j].heapAt = i, j
}

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) {
	t := x.(*txn)
	t.heapAt = len(*h)
	*h = append(*h, t)
}

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.heapAt = -1
	return t
}
