package txn

import (
	"cmp"
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
	if at == never {
		s.due.Remove(t)
		return
	}
	t.due = at
	s.due.Set(t)
}

// NextDeadline returns when the next Tick has something to do.
func (s *State) NextDeadline() (record.LogTime, bool) {
	if s.due.Len() == 0 {
		return 0, false
	}
	if t := s.due.First(); t.phase != Ongoing {
		return max(t.due, s.held), true
	}
	return s.due.First().due, true
}

// Tick aborts transactions whose time is over and forgets transactional ids that
// were not used for seven days, a bounded number at a time; with hold none is
// forgotten. It is to be called after the commands of every entry.
func (s *State) Tick(now record.LogTime, hold bool, fx *Effects) {
	if hold {
		s.held = now + holdPause
	}
	for range maxTick {
		if s.due.Len() == 0 || s.due.First().due > now {
			return
		}
		t := s.due.First()
		switch {
		case t.phase == Ongoing:
			s.fence(now, t, fx)
		case hold:
			// What the heap's top holds back are only ids as old: transactions
			// of a later deadline wait with them for a minute at most.
			return
		default:
			s.touch(t)
			s.due.Remove(t)
			delete(s.ids, t.id)
		}
	}
}

// Before orders by deadline, then by id, so that which of them a bounded tick
// looks at does not depend on how the queue grew.
func (t *txn) Before(o *txn) bool {
	return cmp.Or(cmp.Compare(t.due, o.due), cmp.Compare(t.id, o.id)) < 0
}
