package group

import (
	"cmp"
	"math"

	"github.com/polylog-mq/polylog/internal/due"
	"github.com/polylog-mq/polylog/internal/record"
)

// never is the deadline that does not come.
const never record.LogTime = math.MaxInt64

// timer is a group's place in a queue.
type timer struct {
	due.Place
	group *group
	at    record.LogTime
}

// Before orders timers by deadline, then by group, so that every member of a
// shard judges them in the same order.
func (t *timer) Before(o *timer) bool {
	return cmp.Or(cmp.Compare(t.at, o.at), cmp.Compare(t.group.id, o.group.id)) < 0
}

// queue is the timers that run.
type queue struct{ due.Queue[*timer] }

// set moves the timer to a deadline; never takes it out.
func (q *queue) set(t *timer, at record.LogTime) {
	if t.at == at && t.Queued() == (at != never) {
		return
	}
	t.at = at
	if at == never {
		q.Remove(t)
		return
	}
	q.Set(t)
}

// next returns the nearest deadline, never if there is none.
func (q *queue) next() record.LogTime {
	if q.Len() == 0 {
		return never
	}
	return q.First().at
}
