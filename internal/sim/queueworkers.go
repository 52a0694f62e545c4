package sim

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
)

// publisher publishes messages one after the other, each once.
type publisher struct {
	w      *world
	queue  *queuePlan
	number int
	next   int
	under  int
	at     *process // where those under way were sent
	ending bool
}

func (p *publisher) begin()  { p.w.after(around(p.w.clients, p.w.o.Pace), p.tick) }
func (p *publisher) finish() { p.ending = true }

func (p *publisher) busy() string {
	if p.under > 0 {
		return fmt.Sprintf("publisher %d waits", p.number)
	}
	return ""
}

func (p *publisher) tick() {
	if p.ending {
		return
	}
	p.w.after(around(p.w.clients, p.w.o.Pace), p.tick)
	// What goes to two nodes at a time has no order.
	if n := p.w.leaderOf(p.queue); n != nil && p.w.queues.ready && p.under < 3 && (p.under == 0 || p.at == n.process) {
		p.at = n.process
		for range 1 + p.w.clients.IntN(3) {
			p.publish(n)
		}
	}
}

func (p *publisher) publish(n *node) {
	h := &p.w.queues
	id := len(h.messages)
	m := message{queue: p.queue, publisher: p.number, number: p.next}
	p.next++
	facts := broker.Facts{Bytes: 8}
	if p.queue.delays && p.w.clients.IntN(2) == 0 {
		facts.Delay = delay.Milliseconds()
		m.notBefore = p.w.clock.Mono() + slow(delay)
	}
	r := record.Record{Timestamp: record.NoTimestamp, Value: binary.LittleEndian.AppendUint64(nil, uint64(id))}
	if p.queue.keys > 0 {
		m.key = p.w.clients.IntN(p.queue.keys)
		r.Key = []byte{'a' + byte(m.key)}
	}
	h.messages = append(h.messages, m)
	var b record.Builder
	b.Reset(record.Template(record.None))
	b.Add(r)
	batch, err := b.AppendTo(nil)
	if err != nil {
		panic(err)
	}
	p.under++
	answer := func(err error) {
		p.under--
		m := &h.messages[id]
		p.w.note("message %d: %v", id, err)
		switch {
		case err == nil:
			m.acked = true
		case is(err, broker.ErrUnknownFate, broker.ErrStorage):
		case !isTransient(err):
			p.w.fail("message %d is refused: %v", id, err)
		case m.delivered > 0:
			p.w.fail("message %d was delivered, and is refused: %v", id, err)
		default:
			m.refused = true
		}
	}
	p.w.ask(n, 0, func(b *broker.Broker, reply func(func())) {
		q := b.Queue("", p.queue.name)
		if q == nil {
			reply(func() { answer(broker.ErrNotLeader) })
			return
		}
		b.Publish(&broker.Publish{Batch: batch, Targets: []*broker.Queue{q}, Facts: facts, Done: func(x *broker.Publish) {
			err := x.Err
			reply(func() { answer(err) })
		}})
	}, func() { answer(broker.ErrUnknownFate) })
}

// worker consumes from a queue and decides what becomes of each message.
type worker struct {
	w      *world
	queue  *queuePlan
	name   string
	ending bool
	// patient stays with a node that stands still; others go and look for another
	// leader.
	patient bool

	p        *process // where it consumes, nil if nowhere
	session  *broker.Session
	consumer *broker.Consumer
	asking   bool
	held     []*ownership
	under    int
	// stuck is how many messages the worker holds on to: it has asked for as many
	// more.
	stuck int
}

// stickyJob: a worker of the usual queue keeps one message in so many until the
// end, while others behind it are settled.
const stickyJob = 40

func (k *worker) begin()  { k.w.after(around(k.w.clients, k.w.o.Pace), k.tick) }
func (k *worker) finish() { k.ending = true }

// busy waits until the queue is empty.
func (k *worker) busy() string {
	n := k.w.leaderOf(k.queue)
	switch {
	case n == nil:
		return "nobody leads the queue"
	case n.damaged: // what it cannot read it cannot deliver
		return ""
	}
	q := n.broker.Queue("", k.queue.name)
	if q == nil {
		return "the queue is not there"
	}
	if s := q.Stats(); s.Ready+s.Unacked+s.Dying+s.Scheduled > 0 || len(k.held)+k.under > 0 {
		return fmt.Sprintf("%s: the queue has %d ready, %d unacked, %d dying; %d held, %d verdicts under way", k.name, s.Ready, s.Unacked, s.Dying, len(k.held), k.under)
	}
	return ""
}

func (k *worker) tick() {
	pace := k.w.o.Pace
	if k.ending { // what has piled up must go within a minute
		pace /= 8
		if k.queue.settings.SingleActive { // by one worker
			pace /= 4
		}
	}
	k.w.after(around(k.w.clients, pace), k.tick)
	switch {
	case k.p != nil && k.p.over():
		k.leave()
	case k.p == nil && !k.asking:
		k.consume()
	case k.p == nil:
	case !k.ending && k.w.clients.IntN(20) == 0, k.p.n.paused && !k.patient && k.w.clients.IntN(4) == 0:
		session := k.session
		k.p.run(func() { session.Close(nil) })
		k.leave()
	default:
		k.settle()
	}
}

// leave forgets a session that has ended.
func (k *worker) leave() {
	for _, o := range k.held {
		o.over = true
	}
	k.p, k.session, k.consumer, k.held, k.stuck = nil, nil, nil, nil, 0
}

func (k *worker) consume() {
	n := k.w.leaderOf(k.queue)
	if n == nil || n.paused {
		return
	}
	k.asking = true
	p := n.process
	k.w.ask(n, 0, func(b *broker.Broker, reply func(func())) {
		q := b.Queue("", k.queue.name)
		if q == nil {
			reply(func() { k.asking = false })
			return
		}
		s := b.OpenSession()
		k.p, k.session, k.held, k.stuck = p, s, nil, 0
		gone := func() {
			if k.session == s {
				k.leave()
			}
		}
		q.Consume(&broker.ConsumerSpec{
			Session: s, Credit: 4, Cancelled: func(error) { gone() },
			Deliver: func(ds []broker.Delivery) {
				for i := range ds {
					switch {
					case p.over():
						return
					case k.session != s:
						k.w.queues.ignored(&ds[i])
						continue
					}
					if o := k.w.queues.deliveredTo(k.name, &ds[i], 0, 0); o != nil {
						k.held = append(k.held, o)
					}
				}
			},
		}, func(c *broker.Consumer, err error) {
			if err != nil {
				gone()
			} else if k.session == s {
				k.consumer = c
			}
			reply(func() { k.asking = false })
		})
	}, func() {
		k.asking = false
		k.leave()
	})
}

// takeSome takes some of what is held to be settled, and asks for more in the
// place of what is stuck.
func (k *worker) takeSome() (some []*ownership) {
	var stuck, free []*ownership
	for _, j := range k.held {
		if !k.ending && k.queue.name == jobs && j.id%stickyJob == 7 {
			stuck = append(stuck, j)
		} else {
			free = append(free, j)
		}
	}
	if more := len(stuck) - k.stuck; more > 0 && !k.p.over() {
		c := k.consumer
		k.p.run(func() { c.Grant(int32(more)) })
		k.stuck = len(stuck)
	}
	if len(free) == 0 {
		return nil
	}
	n := 1 + k.w.clients.IntN(len(free))
	k.held = append(stuck, free[n:]...)
	return free[:n]
}

// settle decides about some of what is held.
func (k *worker) settle() {
	if len(k.held) == 0 || k.under > 2 || k.consumer == nil {
		return
	}
	some := k.takeSome()
	if len(some) == 0 {
		return
	}
	v := k.w.queues.verdict(k.queue, k.ending)
	k.under++
	node, session, consumer := k.p.n, k.session, k.consumer
	if node.process != k.p {
		k.under--
		return
	}
	ids, now := k.w.queues.asked(v, some), k.w.clock.Mono()
	p := k.p
	k.w.ask(node, 0, func(b *broker.Broker, reply func(func())) {
		if b != p.broker { // the session went with it
			reply(func() { k.under-- })
			return
		}
		b.Settle(session, v, ids, func(err error) {
			reply(func() {
				k.under--
				k.w.note("%s: verdict %d on %d messages from %d on: %v", k.name, v, len(some), some[0].id, err)
				// A session that has ended meanwhile had no say any more.
				if err == nil && k.session == session {
					k.w.queues.confirmed(v, some, now)
				}
			})
		})
		consumer.Grant(int32(len(ids)))
	}, func() { k.under-- })
}

// verdict chooses what becomes of messages.
func (h *queueHistory) verdict(p *queuePlan, ending bool) broker.Verdict {
	if ending {
		return broker.Accept
	}
	v := []broker.Verdict{broker.Accept, broker.Accept, broker.Accept, broker.Release, broker.Reject}[h.w.clients.IntN(5)]
	if v == broker.Release && (p.delays || p.lends > 0) {
		v = broker.ReleaseCounted
	}
	return v
}

// asked notes that a worker says what becomes of messages.
func (h *queueHistory) asked(v broker.Verdict, some []*ownership) (ids []broker.LeaseID) {
	for _, o := range some {
		ids = append(ids, o.lease)
		m := &h.messages[o.id]
		m.accepting = m.accepting || v == broker.Accept
		m.rejecting = m.rejecting || v == broker.Reject
		o.over = true
	}
	return ids
}

// confirmed notes that what a worker said at a time is so.
func (h *queueHistory) confirmed(v broker.Verdict, some []*ownership, asked time.Duration) {
	for _, o := range some {
		m := &h.messages[o.id]
		switch v {
		case broker.Accept:
			m.accepted, m.acceptedAt = true, max(m.acceptedAt, o.lease.Term)
		case broker.Reject:
			m.rejected, m.rejectedAt = true, max(m.rejectedAt, o.lease.Term)
		case broker.ReleaseCounted:
			if m.owner != o || !m.queue.counts() { // somebody has had it since
				continue
			}
			m.returned, m.returnedAt = m.returned+1, max(m.returnedAt, o.lease.Term)
			if r := m.queue.settings.Retry; r.First > 0 && m.hurried < asked {
				wait := time.Duration(r.First*int64(1000-r.Jitter)/1000) * time.Millisecond
				m.notBefore = asked + slow(wait)
			}
		}
	}
}

// counts reports whether returns are counted.
func (p *queuePlan) counts() bool { return p.lends > 0 || p.settings.DeliveryLimit >= 0 }

// slow returns how much of a time has passed at least when log time says that it
// has: that may run faster by a tenth.
func slow(d time.Duration) time.Duration { return d * 85 / 100 }

// ignored notes a delivery to a worker who has gone.
func (h *queueHistory) ignored(d *broker.Delivery) {
	if id := int(binary.LittleEndian.Uint64(d.Record.Value)); id < len(h.messages) {
		h.messages[id].ignored++
	}
}
