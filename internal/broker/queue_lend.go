package broker

import (
	"fmt"
	"time"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/lease"
)

// ReceiveSpec says what a Receive wants.
type ReceiveSpec struct {
	// Owner names who has the records, in at most 255 bytes; it may be empty.
	Owner string
	// Max is how many records it takes, from 1 to 4,096; it takes fewer if they
	// are large.
	Max int
	// For is for how many ms it has them, at most ten years; negative until they
	// are settled or claimed.
	For int64
	// Wait is how long it waits for the first record if there is none.
	Wait time.Duration
	// Done is called once, on the shard's loop, with the records, none if there
	// were none, or with an error: ErrUnknownQueue, ErrNotLeader, ErrClosed,
	// ErrInvalidArgument. The bytes belong to it. It must not block.
	Done func([]Delivery, error)
}

// Receive leases records for a time, to nobody's session: they are the owner's
// when Done is called, also under the next leader, until they are settled
// (SettleLent), claimed, or the time has passed. Then they go back to their place,
// and it counts as a return. Of a message group it may have several records.
func (q *Queue) Receive(spec *ReceiveSpec) {
	if spec.Max < 1 || spec.Max > maxReceive || spec.For > lease.MaxTime || len(spec.Owner) > maxOwner {
		spec.Done(nil, fmt.Errorf("%w: receiving %d records for %d ms", ErrInvalidArgument, spec.Max, spec.For))
		return
	}
	qs := q.part.shard.queues
	qs.enter(q, nil, func(err error) { spec.Done(nil, err) }, func(d *desk) {
		g := &getting{receive: spec, waits: spec.Wait > 0}
		d.gets = append(d.gets, g)
		if g.waits {
			qs.s.b.opts.Clock.AfterFunc(spec.Wait, func() { qs.s.group.Post(func() { d.waitedLong(g) }) })
		}
		d.workNow()
	})
}

// waitedLong answers a Receive that has not got a record in its time.
func (d *desk) waitedLong(g *getting) {
	if !g.waits {
		return
	}
	g.waits = false
	d.workNow()
}

// lend gives a record to a Receive.
func (d *desk) lend(get *getting, w lease.Want, f *fetched) {
	if len(get.got) == 0 {
		get.waits = false
		d.Receive()
	}
	g := d.Lend(w, d.found(f), get.receive.Owner, get.receive.For)
	x := d.delivery(w, f, &g)
	x.Record = f.record.Clone()
	get.got = append(get.got, x)
	get.size += len(x.Record.Value)
	d.rate.tokens--
	if len(get.got) == get.receive.Max || get.size >= receiveBytes {
		d.gets = d.gets[1:]
		d.received(get)
	}
}

// received has what a Receive has got handed over in its time.
func (d *desk) received(g *getting) {
	d.EndReceive()
	d.handing.add(&handing{get: g, deliveries: g.got})
}

// SettleLent says what becomes of records that were received or claimed. Whoever
// knows the leases may, also if they were given under another leader. A lease
// whose time has passed is honoured, unless strict is set, the verdict gives back,
// or the record was given to somebody else since. done, on the shard's loop, gets
// for each lease nil, ErrSettled, ErrLeaseOver or ErrLeaseLost; err says why the
// verdicts are not known to be committed: ErrNotLeader, ErrUnknownQueue,
// ErrUnknownFate. The slice is not kept.
func (q *Queue) SettleLent(v Verdict, strict bool, leases []LeaseID, done func(each []error, err error)) {
	q.judgeLent(leases, func(d *desk, id LeaseID) lease.Outcome {
		o := d.SettleLoan(id, v, strict)
		if o == lease.Stands {
			d.queue.stats.settled.Add(1)
		}
		return o
	}, done)
}

// Extend lets leases last for so many ms from now on, at most ten years, or with a
// negative number until they are claimed; 0 gives the records back, counted. done
// is as for SettleLent.
func (q *Queue) Extend(leases []LeaseID, ms int64, done func(each []error, err error)) {
	if ms > lease.MaxTime {
		done(nil, fmt.Errorf("%w: extending leases by %d ms", ErrInvalidArgument, ms))
		return
	}
	q.judgeLent(leases, func(d *desk, id LeaseID) lease.Outcome { return d.ExtendLoan(id, ms) }, done)
}

// outcomes are the errors for what a desk makes of a verdict.
var outcomes = [...]error{
	lease.Stands: nil, lease.WasSettled: ErrSettled, lease.WasOver: ErrLeaseOver, lease.WasLost: ErrLeaseLost,
}

func (q *Queue) judgeLent(leases []LeaseID, judge func(*desk, LeaseID) lease.Outcome, done func([]error, error)) {
	ids := append([]LeaseID(nil), leases...)
	q.onLedDesk(func(err error) { done(nil, err) }, func(d *desk) {
		each := make([]error, len(ids))
		for i, id := range ids {
			if each[i] = ErrLeaseLost; id.Partition == q.part.id {
				each[i] = outcomes[judge(d, id)]
			}
		}
		d.workNow()
		d.q.tell(func(err error) { done(each, err) })
	})
}

// onLedDesk runs fn on the shard's loop, or tells why it cannot.
func (q *Queue) onLedDesk(refuse func(error), fn func(*desk)) {
	s := q.part.shard
	s.group.Post(func() {
		switch d := q.part.desk; {
		case q.part.dropped.Load():
			refuse(ErrUnknownQueue)
		case !s.leads.Load():
			refuse(ErrNotLeader)
		case d == nil: // nobody has ever taken a record from this topic
			refuse(ErrUnknownQueue)
		default:
			fn(d)
		}
	})
}

// Lent is a record that is leased to nobody's session.
type Lent struct {
	Lease LeaseID
	Owner string
	// Idle is for how many ms the owner has it, Left how many ms of its time are
	// left: negative if it lasts until it is claimed.
	Idle, Left int64
	// Attempts is how often it was given back before.
	Attempts int32
	// Over says that its time has passed, and that nobody else has it yet.
	Over bool
}

// ListLent answers, in the order of their offsets, up to limit records from an
// offset on that are leased to nobody's session and which the filter, if there is
// one, lets pass. ErrNotLeader, ErrUnknownQueue.
func (q *Queue) ListLent(from record.Offset, limit int, filter func(*Lent) bool, done func([]Lent, error)) {
	q.onLedDesk(func(err error) { done(nil, err) }, func(d *desk) {
		var list []Lent
		d.Set().Loans(from, func(l *lease.Loan) bool {
			x := d.describe(l)
			if filter == nil || filter(&x) {
				list = append(list, x)
			}
			return len(list) < limit
		})
		done(list, nil)
	})
}

func (d *desk) describe(l *lease.Loan) Lent {
	now := d.q.time()
	x := Lent{
		Lease: l.ID, Owner: l.Owner, Idle: int64(max(now-l.Since, 0)), Left: -1,
		Attempts: d.Set().Attempts(l.Offset), Over: l.Over,
	}
	if l.Until != lease.Never {
		x.Left = int64(max(l.Until-now, 0))
	}
	return x
}
