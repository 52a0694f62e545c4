package broker

import (
	"errors"
	"time"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/state/lease"
)

// report is the proposal of a lease.Report. It is filled when it is encoded, so
// that what the desks decide while it waits goes along: settles are batched by
// the commit before them, and by a pause if nobody waits for them.
type report struct {
	q *queues
	// changes is nil until it is encoded.
	changes []lease.Change
	desks   []*desk
	dones   []func(error)
	at      int
	filled  bool
	// number and filledAt say which one it is, and when it was filled by the
	// monotonic clock.
	number   uint64
	filledAt time.Duration
	// ended says that it was answered before it was applied.
	ended bool
}

// Size implements replica.Proposal. What a report will hold is not known yet; it
// is bounded by reportItems.
func (r *report) Size() int { return reportSize }

// report makes sure that what a desk has decided is reported.
func (q *queues) report(d *desk) {
	if d.Idle() {
		return
	}
	if !d.reporting {
		d.reporting = true
		q.dirty = append(q.dirty, d)
	}
	if !d.Patient() {
		q.urgent = true
	}
}

// send proposes a report, unless one waits already. If nobody waits for it, it is
// left for a while: what is settled meanwhile goes along, where it would have
// needed a commit of its own.
func (q *queues) send() {
	switch {
	case len(q.dirty) == 0 || q.waiting != nil || !q.s.leads.Load():
	case q.urgent || q.s.b.closed.Load():
		q.propose()
	case !q.resting.Load():
		q.resting.Store(true)
		q.s.b.opts.Clock.AfterFunc(reportPause, func() {
			q.s.group.Post(func() {
				q.resting.Store(false)
				q.hurry()
			})
		})
	}
}

// hurry sends what there is to report now.
func (q *queues) hurry() {
	q.urgent = len(q.dirty) > 0
	q.send()
}

// finish sends what is left for later, as the broker is closing, which waits for it.
// Any goroutine may call it.
func (q *queues) finish() {
	if q == nil || !q.resting.Load() {
		return
	}
	q.s.b.budget.used.Add(reportSize)
	q.s.group.Post(func() {
		q.hurry()
		q.s.b.release(reportSize)
	})
}

func (q *queues) propose() {
	q.waiting = &report{q: q}
	q.s.b.budget.used.Add(reportSize)
	q.s.group.Propose(q.waiting)
}

// tell calls done when everything decided so far is committed.
func (q *queues) tell(done func(error)) {
	if q.hurry(); q.waiting != nil {
		q.waiting.dones = append(q.waiting.dones, done)
		return
	}
	if n := len(q.flying); n > 0 {
		r := q.flying[n-1]
		r.dones = append(r.dones, done)
		return
	}
	done(nil)
}

// fill takes from the desks what they have decided.
func (r *report) fill() {
	q := r.q
	q.reports++
	q.urgent = false
	r.filled, r.number, r.filledAt = true, q.reports, q.s.b.opts.Clock.Mono()
	left := reportItems
	n := 0
	for ; n < len(q.dirty) && left > 0; n++ {
		d := q.dirty[n]
		d.reporting = false
		if d.closed {
			continue
		}
		c := d.Take(left)
		left -= c.Items()
		if d.Idle() {
			d.handing.carriedBy(r)
		}
		r.changes = append(r.changes, c)
		r.desks = append(r.desks, d)
		q.report(d) // if it has more
	}
	q.dirty = append(q.dirty[:0], q.dirty[n:]...)
	q.waiting = nil
	q.flying = append(q.flying, r)
	q.send()
}

// appendTo appends the command to an entry's body.
func (r *report) appendTo(dst []byte) []byte {
	if !r.filled {
		r.fill()
	}
	start := len(dst)
	dst = beginCommand(dst, kindLease)
	dst = (&lease.Report{Changes: r.changes}).AppendTo(dst)
	endCommand(dst, start)
	return dst
}

// applied tells the desks that the oldest report in the log was applied. In its
// own term nobody but the leader writes reports, so it is this one, also when it
// had to be answered before.
func (q *queues) applied(e *replica.Entry) {
	if len(q.flying) == 0 || e.Term != record.Term(q.s.term.Load()) {
		return
	}
	r := q.flying[0]
	q.flying = q.flying[1:]
	for i, d := range r.desks {
		d.Applied(&r.changes[i])
		d.handing.confirmedBy(r)
		if !d.closed {
			q.touch(d)
		}
	}
}

// Done implements replica.Proposal.
func (r *report) Done(err error) {
	q := r.q
	q.s.b.release(reportSize)
	if err != nil {
		err = q.s.b.explain(err)
		if q.waiting == r {
			q.waiting = nil
		}
		if !errors.Is(err, ErrUnknownFate) {
			r.takeBack()
		}
	}
	if !r.ended {
		r.ended = true
		for _, done := range r.dones {
			done(err)
		}
	}
	if errors.Is(err, ErrBusy) {
		q.s.b.opts.Clock.AfterFunc(resendDelay, func() { q.s.group.Post(q.send) })
	}
}

// takeBack returns what was not logged to the desks.
func (r *report) takeBack() {
	q := r.q
	for i, f := range q.flying {
		if f == r {
			q.flying = append(q.flying[:i:i], q.flying[i+1:]...)
			break
		}
	}
	for i, d := range r.desks {
		if !d.closed {
			d.Refused(&r.changes[i])
			d.handing.takenFrom(r)
			q.report(d)
		}
	}
	r.desks, r.changes = nil, nil
}
