package broker

import (
	"cmp"
	"math"
	"time"

	"github.com/polylog-mq/polylog/internal/due"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/lease"
)

// desk is what the leader knows of a queue beside its lease set: the lease.Desk
// that decides, with the sessions and the bytes that it does not know of. It
// belongs to the shard's loop.
type desk struct {
	*lease.Desk
	q     *queues
	part  *Partition
	queue *Queue

	holders map[uint64]*holder
	gets    []*getting
	reads   []reading // by level
	ahead   reading   // what follows one of reads
	aheadOf uint8     // its level
	again   reading   // of records that were given back
	grave   reading   // of records that died
	// burying says that dead letters are under way, which deadRouter routes.
	burying    bool
	deadRouter *Router
	// served are the consumers that have deliveries to be handed over.
	served []*Consumer

	// flying counts what is on its way into a queue that can be full.
	flying, flyingBytes int64
	// gaveAt is when consumers were given something last, by the monotonic clock.
	gaveAt time.Duration
	// pacedAt and paced are when, and at how many deliveries, their pace was looked
	// at last.
	pacedAt time.Duration
	paced   int64
	rate    rate
	handing handings
	watch   consumerWatch

	// heads are the deadlines of the first record of each level, as far as they
	// were looked up.
	heads []headAt

	due.Place // among the expiries

	dueAt record.LogTime // when its first record expires, if it is queued

	loading   bool       // something is being read beside the loop
	loaded    lease.Want // what for
	kept      bool       // its readings are kept
	touched   bool
	reporting bool
	posted    bool // it will go on by itself
	closed    bool
}

// holder is a session at a desk.
type holder struct {
	lease.Holder
	d       *desk
	session *Session
}

// getting is a Get that waits for leave to deliver, or a Receive that waits for
// records.
type getting struct {
	consumer lease.Consumer
	done     func(d *Delivery, remaining int64, ok bool, err error)

	receive *ReceiveSpec // nil: it is a Get
	got     []Delivery
	size    int
	waits   bool // for its first record
}

// fail answers that nothing can be had.
func (g *getting) fail(err error) {
	if g.receive != nil {
		g.receive.Done(nil, err)
		return
	}
	g.done(nil, 0, false, err)
}

// headAt says until when the record at an offset may wait.
type headAt struct {
	offset   record.Offset
	deadline record.LogTime
}

// never is later than any log time.
const never = record.LogTime(math.MaxInt64)

// holder returns the session at this desk, which it makes known if need be.
func (d *desk) holder(s *Session) *holder {
	if h := d.holders[s.number]; h != nil {
		return h
	}
	h := &holder{d: d, session: s}
	d.holders[s.number] = h
	at := d.q.sessions[s.number]
	if at == nil {
		at = &sessionAt{number: s.number}
		d.q.sessions[s.number] = at
	}
	at.holders = append(at.holders, h)
	return h
}

// end ends what a session has here.
func (d *desk) end(h *holder, number uint64) {
	for _, c := range d.Consumers() {
		if c.Holder == &h.Holder {
			c.User.(*Consumer).desk = nil
		}
	}
	d.gets = deleteGets(d.gets, h)
	d.End(&h.Holder)
	delete(d.holders, number)
}

// deleteGets answers the gets of a session that has ended.
func deleteGets(gets []*getting, h *holder) []*getting {
	kept := gets[:0]
	for _, g := range gets {
		if g.consumer.Holder == &h.Holder {
			g.fail(ErrClosed)
			continue
		}
		kept = append(kept, g)
	}
	return kept
}

// close ends the desk: it is deleted, or another node leads.
func (d *desk) close(reason error) {
	d.closed = true
	d.q.due.Remove(d)
	for _, lc := range d.Consumers() {
		c := lc.User.(*Consumer)
		c.desk = nil
		if c.spec.Cancelled != nil {
			c.spec.Cancelled(reason)
		}
	}
	for _, g := range d.gets {
		g.fail(reason)
	}
	d.gets = nil
	d.handing.close(reason)
	d.forget()
}

// workNow is work outside of an entry.
func (d *desk) workNow() {
	d.work()
	d.q.send()
}

// work gives away what can be given, and reports what was decided.
func (d *desk) work() {
	if d.closed {
		return
	}
	more := d.pump() // first, so that a consumer which waits gets what lives no time at all
	d.expire()
	d.overflow()
	d.handOver()
	d.handConfirmed()
	d.bury()
	d.q.keep(d)
	d.show()
	d.q.report(d)
	d.watchConsumers()
	if more && !d.posted {
		d.posted = true
		d.q.s.group.Post(func() {
			d.posted = false
			d.workNow()
		})
	}
}

// show publishes the counts.
func (d *desk) show() {
	s, set := &d.queue.stats, d.Set()
	s.ready.Store(d.Ready())
	s.unacked.Store(d.Leased())
	s.scheduled.Store(set.Held() - set.Dying() - set.Lent())
	s.dying.Store(set.Dying())
	s.bytes.Store(set.Bytes())
	d.queue.behind.Store(d.behind())
	now := int64(len(d.Consumers()))
	if was := s.consumers.Swap(now); was > 0 && now == 0 {
		d.queue.deserted()
	}
}

// behind reports what Queue.Behind does.
func (d *desk) behind() bool {
	ready := d.ReadyBytes() + d.Ready()*recordOverhead
	return ready >= behindBytes && ready < 2*behindBytes && d.q.s.b.opts.Clock.Mono()-d.gaveAt < keenTime
}

// pump delivers while there is something to deliver and somebody to take it, a
// bounded number of records at a time: it reports whether it could go on.
func (d *desk) pump() (more bool) {
	for range pumpRecords {
		if !d.somebodyWants() {
			return false
		}
		w, ok := d.Next()
		if !ok {
			d.noMore()
			return false
		}
		f, ok := d.find(w)
		if !ok {
			return false
		}
		if f == nil {
			continue
		}
		if at := d.deadline(f); at <= d.q.time() && !d.q.hold && !d.justCame(f, at) {
			d.Die(w, d.found(f), lease.Expired, at)
			continue
		}
		if !d.give(w, f) {
			return false
		}
	}
	return true
}

// somebodyWants reports whether a record can be given to anybody at the moment.
func (d *desk) somebodyWants() bool {
	switch {
	case d.handing.full():
		return false
	case len(d.gets) == 0:
		return d.Wanting() && !d.tooFast()
	case d.gets[0].receive != nil && (d.Full() || d.tooFast()):
		d.noMore()
		return false
	}
	return true
}

// rate smooths the deliveries of a queue: a bucket of tokens, which holds a tenth
// of a second's.
type rate struct {
	tokens float64
	at     time.Duration // when it was filled last, by the monotonic clock
	armed  bool
}

// tooFast reports whether the next delivery has to wait, and sees to it then.
func (d *desk) tooFast() bool {
	limit := float64(d.Set().Settings().RateLimit)
	if limit == 0 {
		return false
	}
	r, b := &d.rate, d.q.s.b
	now := b.opts.Clock.Mono()
	r.tokens = min(r.tokens+limit*(now-r.at).Seconds(), max(1, limit/10))
	r.at = now
	if r.tokens >= 1 {
		return false
	}
	if !r.armed {
		r.armed = true
		wait := time.Duration((1-r.tokens)/limit*float64(time.Second)) + time.Millisecond
		b.opts.Clock.AfterFunc(wait, func() {
			d.q.s.group.Post(func() {
				r.armed = false
				d.workNow()
			})
		})
	}
	return true
}

// noMore answers those who wait for a record, and do not want to wait longer:
// there is none.
func (d *desk) noMore() {
	gets := d.gets
	d.gets = d.gets[:0:0]
	for _, g := range gets {
		switch {
		case len(g.got) > 0:
			d.received(g)
		case g.waits:
			d.gets = append(d.gets, g)
		case g.receive != nil:
			g.receive.Done(nil, nil)
		default:
			g.done(nil, 0, false, nil)
		}
	}
}

// give delivers a record; false if leave must be waited for.
func (d *desk) give(w lease.Want, f *fetched) bool {
	var get *getting
	var to *lease.Consumer
	if len(d.gets) > 0 {
		if get = d.gets[0]; get.receive != nil {
			d.lend(get, w, f)
			return true
		}
		to = &get.consumer
	}
	g, ok := d.Give(w, d.found(f), to)
	if !ok {
		return false
	}
	x := d.delivery(w, f, &g)
	if get != nil {
		d.gets = d.gets[1:]
		d.answer(get, x, f)
		return true
	}
	d.rate.tokens--
	c := g.Consumer.User.(*Consumer)
	if len(c.out) == 0 {
		d.served = append(d.served, c)
	}
	c.out = append(c.out, x)
	return true
}

// answer answers a Get with a delivery.
func (d *desk) answer(get *getting, x Delivery, f *fetched) {
	if d.Strict() {
		x.Record = f.record.Clone()
		d.handing.add(&handing{get: get, deliveries: []Delivery{x}})
		return
	}
	if d.Set().Expires() { // what has expired behind it is not counted
		x.Record = f.record.Clone()
		d.expireBy(d.q.time())
	}
	get.done(&x, d.Ready(), true, nil)
}

// delivery describes a record that was given, and counts it.
func (d *desk) delivery(w lease.Want, f *fetched, g *lease.Grant) Delivery {
	s := &d.queue.stats
	s.delivered.Add(1)
	if g.Redelivered {
		s.redelivered.Add(1)
	}
	return Delivery{Lease: g.Lease, Record: f.record, Redelivered: g.Redelivered, Attempts: g.Attempts, Level: w.Level}
}

// found describes a record to the desk.
func (d *desk) found(f *fetched) lease.Found {
	x := lease.Found{Offset: f.record.Offset, Size: int32(len(f.record.Value))}
	if d.Set().Settings().Grouped {
		x.Group = groupOf(f.record.Key)
	}
	return x
}

// handOver hands deliveries to their consumers, before the bytes go, or puts them
// down for when they may be handed over.
func (d *desk) handOver() {
	if len(d.served) > 0 {
		d.gaveAt = d.q.s.b.opts.Clock.Mono()
		d.pace()
	}
	for i, c := range d.served {
		if d.Strict() {
			d.handing.add(&handing{consumer: c, deliveries: cloned(c.out)})
		} else {
			c.spec.Deliver(c.out)
		}
		c.out = emptied(c.out)
		d.served[i] = nil
	}
	d.served = d.served[:0]
}

// pace has leave asked for as far ahead as records are given in markTime, at the
// latest pace: each time costs a commit.
func (d *desk) pace() {
	took := d.gaveAt - d.pacedAt
	if took < markTime/2 {
		return
	}
	given := d.queue.stats.delivered.Load()
	d.Pace(int64(float64(given-d.paced) * float64(markTime) / float64(took)))
	d.pacedAt, d.paced = d.gaveAt, given
}

// deadline returns until when a record may wait.
func (d *desk) deadline(f *fetched) record.LogTime {
	ttl, err := d.q.state.TTL(d.Set(), f.record.Offset)
	if err != nil {
		d.unreadable(f.record.Offset, err)
	}
	if ttl < 0 || ttl > int64(never)-int64(f.time) {
		return never
	}
	return f.time + record.LogTime(ttl)
}

// expire lets the first records of the levels die whose time is over, and notes
// when the next one's will be.
func (d *desk) expire() { d.expireBy(d.q.now) }

// expireBy is expire at a time that may be later than the last entry's.
func (d *desk) expireBy(now record.LogTime) {
	if !d.Set().Expires() {
		return
	}
	next := never
	for n := range d.Levels() {
		next = min(next, d.expireLevel(uint8(n), now))
	}
	d.q.due.set(d, next)
}

// justCame reports whether a record that lives no time at all came with the entry
// that is being settled: whoever waits for it has it.
func (d *desk) justCame(f *fetched, deadline record.LogTime) bool {
	return deadline == f.time && f.time == d.q.now && len(d.gets) == 0
}

func (d *desk) expireLevel(n uint8, now record.LogTime) record.LogTime {
	for len(d.heads) <= int(n) {
		d.heads = append(d.heads, headAt{offset: -1})
	}
	head := &d.heads[n]
	for {
		w, ok := d.Head(n)
		if !ok {
			return never
		}
		if w.From == head.offset && (head.deadline > now || d.q.hold) {
			return head.deadline
		}
		f, ok := d.find(w)
		if !ok {
			return never
		}
		if f == nil {
			continue
		}
		*head = headAt{f.record.Offset, d.deadline(f)}
		if head.deadline <= now && !d.q.hold {
			d.Die(w, d.found(f), lease.Expired, head.deadline)
		}
	}
}

// rejects reports whether the queue refuses records when it is full.
func (d *desk) rejects() bool {
	s := d.Set().Settings()
	return s.Overflow != lease.DropHead && (s.MaxLength >= 0 || s.MaxBytes >= 0)
}

// full reports whether it is.
func (d *desk) full() bool {
	s := d.Set().Settings()
	return s.MaxLength >= 0 && d.Ready()+d.flying >= s.MaxLength ||
		s.MaxBytes >= 0 && d.ReadyBytes()+d.flyingBytes >= s.MaxBytes
}

// overflow lets the oldest records of the highest level die while there are too
// many.
func (d *desk) overflow() {
	s := d.Set().Settings()
	if s.Overflow != lease.DropHead || s.MaxLength < 0 && s.MaxBytes < 0 {
		return
	}
	for s.MaxLength >= 0 && d.Ready() > s.MaxLength || s.MaxBytes >= 0 && d.ReadyBytes() > s.MaxBytes {
		w, ok := d.Next()
		if !ok {
			return
		}
		f, ok := d.find(w)
		if !ok {
			return
		}
		if f != nil {
			d.Die(w, d.found(f), lease.MaxLength, 0)
		}
	}
}

// expiries is the desks whose first record will expire, the next one first.
type expiries struct{ due.Queue[*desk] }

func (x *expiries) next() (record.LogTime, bool) {
	if x.Len() == 0 {
		return 0, false
	}
	return x.First().dueAt, true
}

// until returns the desks that are due, and forgets when they were.
func (x *expiries) until(now record.LogTime) (due []*desk) {
	for x.Len() > 0 && x.First().dueAt <= now {
		due = append(due, x.First())
		x.Remove(x.First())
	}
	return due
}

// set notes when a desk is due.
func (x *expiries) set(d *desk, at record.LogTime) {
	if at == never {
		x.Remove(d)
		return
	}
	d.dueAt = at
	x.Set(d)
}

// Before orders desks by when their first record expires, then by partition.
func (d *desk) Before(o *desk) bool {
	return cmp.Or(cmp.Compare(d.dueAt, o.dueAt), cmp.Compare(d.part.id, o.part.id)) < 0
}
