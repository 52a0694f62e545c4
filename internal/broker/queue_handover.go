package broker

import (
	"hash/fnv"
	"time"

	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/state/lease"
)

// handing is some deliveries to one consumer, Get or Receive that wait to be handed
// over: until the report that tells of them is applied, and for a strict desk until
// it is sure that no other node leads.
type handing struct {
	consumer   *Consumer // nil: it is for a Get or a Receive
	get        *getting
	then       func([]Delivery, error) // instead of both
	deliveries []Delivery              // with bytes of their own
	size       int

	report    uint64 // the number of the report that tells of them, 0: not yet
	confirmed bool
	at        time.Duration // since when it is known, by the monotonic clock, that this node led
}

// fail answers that nothing can be had.
func (x *handing) fail(err error) {
	switch {
	case x.then != nil:
		x.then(nil, err)
	case x.get != nil:
		x.get.fail(err)
	}
}

// handings are those of a desk, in the order in which they were given.
type handings struct {
	list  []*handing
	size  int
	asked bool // whether this node leads
	armed bool // a timer will look again
}

func (h *handings) full() bool { return len(h.list) >= maxHanding || h.size >= handingBytes }

func (h *handings) add(x *handing) {
	for i := range x.deliveries {
		r := &x.deliveries[i].Record
		x.size += len(r.Key) + len(r.Value)
	}
	h.size += x.size
	h.list = append(h.list, x)
}

// carriedBy notes that a report tells of all that was given so far.
func (h *handings) carriedBy(r *report) {
	for _, x := range h.list {
		if x.report == 0 {
			x.report = r.number
		}
	}
}

// takenFrom notes that a report did not get into the log.
func (h *handings) takenFrom(r *report) {
	for _, x := range h.list {
		if x.report == r.number {
			x.report = 0
		}
	}
}

// confirmedBy notes that a report was applied.
func (h *handings) confirmedBy(r *report) {
	for _, x := range h.list {
		if x.report == r.number {
			x.confirmed, x.at = true, r.filledAt
		}
	}
}

func (h *handings) close(reason error) {
	for _, x := range h.list {
		x.fail(reason)
	}
	*h = handings{}
}

// cloned returns deliveries with bytes of their own.
func cloned(ds []Delivery) []Delivery {
	own := make([]Delivery, len(ds))
	for i := range ds {
		own[i] = ds[i]
		own[i].Record = ds[i].Record.Clone()
	}
	return own
}

// handConfirmed hands over what may be, in the order in which it was given.
func (d *desk) handConfirmed() {
	h := &d.handing
	for len(h.list) > 0 {
		x := h.list[0]
		if (!x.confirmed || d.Strict() && !d.certain(x)) && !fault.On(fault.EagerOwner) {
			return
		}
		h.list[0] = nil
		if h.list = h.list[1:]; len(h.list) == 0 {
			h.list = nil
		}
		h.size -= x.size
		d.hand(x)
	}
}

// hand hands over what has not been taken back meanwhile.
func (d *desk) hand(x *handing) {
	holder := x.holder()
	kept := x.deliveries[:0]
	for _, y := range x.deliveries {
		if d.Holds(holder, y.Lease) {
			kept = append(kept, y)
		}
	}
	switch {
	case x.then != nil:
		x.then(kept, nil)
	case x.get != nil && x.get.receive != nil:
		x.get.receive.Done(kept, nil)
	case len(kept) == 0:
		x.fail(ErrClosed) // its session has ended
	case x.get != nil:
		d.taken(holder, x.get.consumer.NoAck, kept)
		x.get.done(&kept[0], d.Ready(), true, nil)
	default:
		d.taken(holder, x.consumer.spec.NoAck, kept)
		x.consumer.spec.Deliver(kept)
	}
}

// holder returns who has the leases, nil if they are loans.
func (x *handing) holder() *lease.Holder {
	switch {
	case x.consumer != nil:
		return x.consumer.lease.Holder
	case x.get != nil:
		return x.get.consumer.Holder
	}
	return nil
}

// taken settles what is handed to somebody who does not acknowledge.
func (d *desk) taken(h *lease.Holder, noAck bool, ds []Delivery) {
	for i := range ds {
		if noAck {
			d.Settle(h, ds[i].Lease, lease.Accept)
		}
	}
}

// certain reports whether no other node can have led since the deliveries were
// given, nor have handed over what it gave before: else it asks the majority, or
// waits. A node alone is certain.
func (d *desk) certain(x *handing) bool {
	if voters, _ := d.q.s.group.Members(); len(voters) == 1 {
		return true
	}
	h, now := &d.handing, d.q.s.b.opts.Clock.Mono()
	if wait := d.q.ledSince + handOverGrace - now; wait > 0 {
		d.lookAgain(wait)
		return false
	}
	if now-x.at <= handOverWithin {
		return true
	}
	if !h.asked {
		h.asked = true
		d.q.s.group.ReadIndex(func(err error) {
			d.q.s.group.Post(func() { d.leads(now, err) })
		})
	}
	return false
}

// leads takes the majority's answer: this node still led at a moment.
func (d *desk) leads(at time.Duration, err error) {
	d.handing.asked = false
	switch {
	case d.closed:
	case err != nil:
		d.lookAgain(resendDelay)
	default:
		for _, x := range d.handing.list {
			if x.confirmed {
				x.at = max(x.at, at)
			}
		}
		d.workNow()
	}
}

// lookAgain looks after a while at what can be handed over.
func (d *desk) lookAgain(after time.Duration) {
	if d.handing.armed {
		return
	}
	d.handing.armed = true
	d.q.s.b.opts.Clock.AfterFunc(after+time.Millisecond, func() {
		d.q.s.group.Post(func() {
			d.handing.armed = false
			d.workNow()
		})
	})
}

// groupOf returns the message group of a key, 0 for a record without. Two keys with
// the same one wait for each other, which harms nobody.
func groupOf(key []byte) uint64 {
	if len(key) == 0 {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write(key) // it cannot fail
	return max(h.Sum64(), 1)
}
