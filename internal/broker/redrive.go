package broker

import (
	"sync"

	"github.com/polylog-mq/polylog/internal/record"
)

// redriving is a Redrive under way. A number of chains take one message after the
// other: get, publish, settle.
type redriving struct {
	b       *Broker
	from    *Queue
	to      *Queue
	session *Session
	done    func(moved int64, err error)

	mu     sync.Mutex
	left   int64 // that may yet be taken
	moved  int64
	chains int
	err    error
}

// Redrive moves messages that are ready from one queue to the end of another (or of
// a topic, whose partition the routing key chooses, else the record's key), at
// most max (0: as many as are ready at the call), and answers how many. A message
// is settled in the one when it is committed in the other, so that a crash in
// between leaves it in both, never in none. Several are under way at a time, and
// their order is not kept. Errors as for Get and Publish.
func (b *Broker) Redrive(from, to *Queue, max int64, done func(moved int64, err error)) {
	r := &redriving{b: b, from: from, to: to, session: b.OpenSession(), done: done, left: max}
	if ready := from.Stats().Ready; max <= 0 || max > ready {
		r.left = ready
	}
	r.chains = redriveChains
	for range redriveChains {
		r.next()
	}
}

// next takes another message, or ends the chain.
func (r *redriving) next() {
	r.mu.Lock()
	take := r.left > 0 && r.err == nil
	if take {
		r.left--
	}
	r.mu.Unlock()
	if !take {
		r.end(nil)
		return
	}
	r.from.Get(r.session, false, func(d *Delivery, _ int64, ok bool, err error) {
		if err != nil || !ok {
			r.end(err)
			return
		}
		r.move(d)
	})
}

// move publishes a message, whose bytes are only lent.
func (r *redriving) move(d *Delivery) {
	var batch record.Builder
	batch.Reset(record.Template(record.None))
	batch.Add(d.Record)
	bytes, err := batch.AppendTo(nil)
	if err != nil {
		r.giveBack(d.Lease, err)
		return
	}
	lease := d.Lease
	r.b.Publish(&Publish{
		Batch: bytes, Targets: []*Queue{r.target(&d.Record)}, Facts: Facts{Level: levelOf(&d.Record, d.Level), Bytes: int64(len(d.Record.Value))},
		Done: func(p *Publish) {
			if p.Err != nil {
				r.giveBack(lease, p.Err)
				return
			}
			r.b.Settle(r.session, Accept, []LeaseID{lease}, func(err error) {
				if err != nil {
					r.end(err)
					return
				}
				r.mu.Lock()
				r.moved++
				r.mu.Unlock()
				r.next()
			})
		},
	})
}

// target returns what takes a record: of a topic the partition that its key leads
// to.
func (r *redriving) target(rec *record.Record) *Queue {
	key, ok := rec.Headers.Get(HeaderRoutingKey)
	if !ok {
		key = rec.Key
	}
	return r.to.Topic().taker(key)
}

// giveBack ends the chain with an error; the message stays where it was.
func (r *redriving) giveBack(lease LeaseID, err error) {
	r.b.Settle(r.session, Release, []LeaseID{lease}, nil)
	r.end(err)
}

// end ends a chain, and with the last one everything.
func (r *redriving) end(err error) {
	r.mu.Lock()
	if r.err == nil {
		r.err = err
	}
	r.chains--
	last, moved, failed := r.chains == 0, r.moved, r.err
	r.mu.Unlock()
	if last {
		r.session.Close(func() { r.done(moved, failed) })
	}
}
