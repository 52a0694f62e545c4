package broker

import "time"

// consumerWatch looks after leases that last too long. It notes now and then how
// many leases were given until then: what is still held of those noted a timeout
// ago is overdue. So a lease costs nothing but a number.
type consumerWatch struct {
	armed bool
	notes []watchNote
}

type watchNote struct {
	at    time.Duration // by the monotonic clock
	given uint64
}

// watchLooks is how often per timeout the watch looks: a lease may last longer by
// so much of it.
const watchLooks = 8

// watchConsumers sets the watch while somebody has leases and the queue bounds
// them.
func (d *desk) watchConsumers() {
	timeout := time.Duration(d.Set().Settings().ConsumerTimeout) * time.Millisecond
	if timeout == 0 || d.watch.armed || d.closed || d.Leased() == 0 {
		return
	}
	d.watch.armed = true
	d.watch.note(d)
	d.q.s.b.opts.Clock.AfterFunc(timeout/watchLooks+time.Millisecond, func() {
		d.q.s.group.Post(func() {
			d.watch.armed = false
			if !d.closed {
				d.endOverdue(timeout)
				d.workNow()
			}
		})
	})
}

func (w *consumerWatch) note(d *desk) {
	w.notes = append(w.notes, watchNote{d.q.s.b.opts.Clock.Mono(), d.Given()})
}

// endOverdue ends the sessions at this desk that hold a lease longer than the
// timeout.
func (d *desk) endOverdue(timeout time.Duration) {
	since := uint64(0)
	before := d.q.s.b.opts.Clock.Mono() - timeout
	notes := d.watch.notes
	for len(notes) > 0 && notes[0].at <= before {
		since, notes = notes[0].given, notes[1:]
	}
	d.watch.notes = append(d.watch.notes[:0], notes...)
	if since == 0 {
		return
	}
	for _, lh := range d.HeldSince(since) {
		for number, h := range d.holders {
			if &h.Holder == lh {
				d.timeOut(h, number)
				break
			}
		}
	}
}

// timeOut gives back what a session has, and tells its consumers.
func (d *desk) timeOut(h *holder, number uint64) {
	var told []*Consumer
	for _, lc := range d.Consumers() {
		if lc.Holder == &h.Holder {
			told = append(told, lc.User.(*Consumer))
		}
	}
	d.end(h, number)
	if at := d.q.sessions[number]; at != nil {
		at.remove(h)
	}
	for _, c := range told {
		if c.spec.Cancelled != nil {
			c.spec.Cancelled(ErrConsumerTimeout)
		}
	}
	if fn := h.session.timedOut.Load(); fn != nil {
		(*fn)(d.queue)
	}
}

// remove forgets a desk that the session is no more at.
func (s *sessionAt) remove(h *holder) {
	kept := s.holders[:0]
	for _, x := range s.holders {
		if x != h {
			kept = append(kept, x)
		}
	}
	s.holders = kept
}
