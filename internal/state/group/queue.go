package group

import (
	"cmp"
	"container/heap"
	"math"

	"github.com/polylog-mq/polylog/internal/record"
)

// never is the deadline that does not come.
const never record.LogTime = math.MaxInt64

// timer is a group's place in a queue.
type timer struct {
	group *group
	at    record.LogTime
	index int // in the queue, -1: not in it
}

// queue orders groups by deadline, then by id, so that every member of a shard
// judges them in the same order.
type queue []*timer

func (q queue) Len() int { return len(q) }

func (q queue) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(q[i].at, q[j].at), cmp.Compare(q[i].group.id, q[j].group.id)) < 0
}

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	t := x.(*timer)
	t.index = len(*q)
	*q = append(*q, t)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	t.index = -1
	return t
}

// set moves the timer to a deadline; never takes it out.
func (q *queue) set(t *timer, at record.LogTime) {
	switch {
	case t.at == at && (t.index >= 0) == (at != never):
	case at == never:
		heap.Remove(q, t.index)
	case t.index < 0:
		t.at = at
		heap.Push(q, t)
	default:
		t.at = at
		heap.Fix(q, t.index)
	}
	t.at = at
}

// next returns the nearest deadline, never if there is none.
func (q queue) next() record.LogTime {
	if len(q) == 0 {
		return never
	}
	return q[0].at
}
