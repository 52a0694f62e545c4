package sim

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
)

// The queues: publishers fill "jobs", workers empty it, and what they reject goes
// to "dead", where it stays.
const (
	jobs = "jobs"
	dead = "dead"
)

// message is what is known of one message.
type message struct {
	publisher, number int

	acked, refused bool
	delivered      int
	first          bool        // one of the deliveries was called the first
	latest         record.Term // of the leaders who have delivered it
	accepting      bool        // a worker has asked to settle it
	accepted       bool        // and knows that it is
	// acceptedAt and rejectedAt are the terms that took the verdict: a leader of an
	// older one that has not heard of it yet may still deliver.
	acceptedAt, rejectedAt record.Term
	rejecting              bool
	rejected               bool
	dead                   int // copies in the queue of dead letters
}

// queueHistory holds what the clients of queues were told against what was
// promised: nothing is lost, nothing comes twice without saying so, first
// deliveries keep the order, what is settled stays settled, and what is rejected
// arrives once among the dead letters.
type queueHistory struct {
	w        *world
	messages []message
	// fresh is the last number of each publisher that a leader has delivered to a
	// worker for the first time. (What is given to several at a time is handed
	// over to one after the other.)
	fresh map[freshKey]int
	ready bool
}

type freshKey struct {
	worker    string
	publisher int
	term      record.Term
}

// deliveredTo judges one delivery.
func (h *queueHistory) deliveredTo(who string, d *broker.Delivery) int {
	id := int(binary.LittleEndian.Uint64(d.Record.Value))
	if id >= len(h.messages) {
		h.w.fail("%s is given a message that nobody has sent", who)
		return -1
	}
	m := &h.messages[id]
	h.w.note("%s gets message %d, redelivered %v, lease %v", who, id, d.Redelivered, d.Lease)
	switch {
	case m.refused:
		h.w.fail("%s is given message %d, which was refused", who, id)
	case m.accepted && d.Lease.Term >= m.acceptedAt:
		h.w.fail("%s is given message %d again, which is settled", who, id)
	case m.rejected && d.Lease.Term >= m.rejectedAt:
		h.w.fail("%s is given message %d again, which is rejected", who, id)
	// A leader that is deposed and does not know it yet delivers for the first
	// time what its successor has delivered as perhaps delivered before.
	case !d.Redelivered && (m.first || m.delivered > 0 && d.Lease.Term >= m.latest):
		h.w.fail("%s is given message %d for the %dth time as if it were the first", who, id, m.delivered+1)
	}
	m.delivered++
	m.first, m.latest = m.first || !d.Redelivered, max(m.latest, d.Lease.Term)
	if !d.Redelivered {
		k := freshKey{who, m.publisher, d.Lease.Term}
		if last, ok := h.fresh[k]; ok && last > m.number {
			h.w.fail("%s is given number %d of publisher %d after number %d", who, m.number, m.publisher, last)
		}
		h.fresh[k] = m.number
	}
	return id
}

// judgeQueues looks at the end for what is missing, or where it should not be.
func (w *world) judgeQueues() {
	h := &w.queues
	w.alive(func(n *node) {
		q := n.broker.Queue("", dead)
		if q == nil || w.failure != nil {
			return
		}
		for i := range h.messages {
			h.messages[i].dead = 0
		}
		if err := h.countDead(q.Partition()); err != nil && !n.damaged {
			w.fail("node %d cannot read the dead letters: %v", n.id, err)
		}
		for id := range h.messages {
			switch m := &h.messages[id]; {
			case n.damaged:
			case m.dead > 1:
				w.fail("message %d is %d times among the dead letters of node %d", id, m.dead, n.id)
			case m.dead == 1 && !m.rejecting:
				w.fail("message %d is among the dead letters of node %d, and nobody has rejected it", id, n.id)
			case m.dead == 1 && m.accepted:
				w.fail("message %d is accepted, and among the dead letters of node %d", id, n.id)
			case m.rejected && m.dead == 0:
				w.fail("message %d is rejected, and not among the dead letters of node %d", id, n.id)
			case m.acked && !m.accepting && m.dead == 0:
				w.fail("message %d is lost: it was acknowledged to its publisher", id)
			}
		}
	})
}

func (h *queueHistory) countDead(p *broker.Partition) error {
	r := broker.Result{Whole: true}
	for next, end := p.Floor(), p.HighWatermark(); next < end; {
		if err := p.Read(&r, next, end, 1<<20, true); err != nil {
			return fmt.Errorf("at offset %d: %w", next, err)
		}
		if r.Next <= next {
			return fmt.Errorf("nothing at offset %d below %d", next, end)
		}
		for _, b := range r.Buffers {
			err := record.Walk(b, func(batch []byte, _ record.Header) error {
				return record.Records(batch, func(rec record.Record) error {
					if id := int(binary.LittleEndian.Uint64(rec.Value)); id < len(h.messages) {
						h.messages[id].dead++
					}
					return nil
				})
			})
			if err != nil {
				return fmt.Errorf("at offset %d: %w", next, err)
			}
		}
		next = r.Next
		r.Release()
	}
	return nil
}

// queueFounder makes the queues.
type queueFounder struct {
	w    *world
	left []broker.NewTopic
}

func (f *queueFounder) begin() {
	work, rest := broker.DefaultQueueSettings(), broker.DefaultQueueSettings()
	work.DeadLetter, work.DeadLetterKey = true, dead
	f.left = []broker.NewTopic{
		{Name: dead, Partitions: 1, Replication: -1, Queue: &rest}, {Name: jobs, Partitions: 1, Replication: -1, Queue: &work},
	}
	f.next()
}

func (f *queueFounder) finish() {}

func (f *queueFounder) busy() string {
	if len(f.left) > 0 {
		return "the queues are not there"
	}
	return ""
}

func (f *queueFounder) next() {
	if len(f.left) == 0 {
		f.w.queues.ready = true
		return
	}
	again := func() { f.w.after(around(f.w.clients, 500*time.Millisecond), f.next) }
	f.w.ask(f.w.leader(record.MetadataShard), 10*time.Second, func(b *broker.Broker, reply func(func())) {
		b.CreateTopics(f.left[:1:1], false, func(r []broker.TopicResult) {
			reply(func() {
				switch err := r[0].Err; {
				case err == nil, is(err, broker.ErrTopicExists):
					f.left = f.left[1:]
					f.next()
				case isTransient(err):
					again()
				default:
					f.w.fail("creating queue %s: %v", f.left[0].Name, err)
				}
			})
		})
	}, again)
}

// leaderOf returns the node that believes to lead the queue of jobs.
func (w *world) leaderOfJobs() (found *node) {
	w.alive(func(n *node) {
		if t := n.broker.Topic(jobs); t != nil && t.Partitions[0].Leader() == n.id {
			found = n
		}
	})
	return found
}

// publisher publishes messages one after the other, each once.
type publisher struct {
	w      *world
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
	if n := p.w.leaderOfJobs(); n != nil && p.w.queues.ready && p.under < 3 && (p.under == 0 || p.at == n.process) {
		p.at = n.process
		for range 1 + p.w.clients.IntN(3) {
			p.publish(n)
		}
	}
}

func (p *publisher) publish(n *node) {
	h := &p.w.queues
	id := len(h.messages)
	h.messages = append(h.messages, message{publisher: p.number, number: p.next})
	p.next++
	var b record.Builder
	b.Reset(record.Template(record.None))
	b.Add(record.Record{Timestamp: record.NoTimestamp, Value: binary.LittleEndian.AppendUint64(nil, uint64(id))})
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
		q := b.Queue("", jobs)
		if q == nil {
			reply(func() { answer(broker.ErrNotLeader) })
			return
		}
		b.Publish(&broker.Publish{Batch: batch, Targets: []*broker.Queue{q}, Facts: broker.Facts{Bytes: 8}, Done: func(x *broker.Publish) {
			err := x.Err
			reply(func() { answer(err) })
		}})
	}, func() { answer(broker.ErrUnknownFate) })
}

// worker consumes from the queue of jobs and decides what becomes of each.
type worker struct {
	w      *world
	name   string
	ending bool

	p        *process // where it consumes, nil if nowhere
	session  *broker.Session
	consumer *broker.Consumer
	asking   bool
	held     []heldJob
	under    int
	// stuck is how many messages the worker holds on to: it has asked for as many
	// more.
	stuck int
}

// stickyJob: a worker keeps one message in so many until the end, while others
// behind it are settled.
const stickyJob = 40

type heldJob struct {
	id    int
	lease broker.LeaseID
}

func (k *worker) begin()  { k.w.after(around(k.w.clients, k.w.o.Pace), k.tick) }
func (k *worker) finish() { k.ending = true }

// busy waits until the queue is empty.
func (k *worker) busy() string {
	n := k.w.leaderOfJobs()
	if n == nil {
		return "nobody leads the queue"
	}
	q := n.broker.Queue("", jobs)
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
	}
	k.w.after(around(k.w.clients, pace), k.tick)
	switch {
	case k.p != nil && k.p.over():
		k.leave()
	case k.p == nil && !k.asking:
		k.consume()
	case k.p == nil:
	case !k.ending && k.w.clients.IntN(20) == 0:
		session := k.session
		k.p.run(func() { session.Close(nil) })
		k.leave()
	default:
		k.settle()
	}
}

// leave forgets a session that has ended.
func (k *worker) leave() { k.p, k.session, k.consumer, k.held, k.stuck = nil, nil, nil, nil, 0 }

func (k *worker) consume() {
	n := k.w.leaderOfJobs()
	if n == nil || n.paused {
		return
	}
	k.asking = true
	p := n.process
	k.w.ask(n, 0, func(b *broker.Broker, reply func(func())) {
		q := b.Queue("", jobs)
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
					if p.over() || k.session != s {
						return
					}
					if id := k.w.queues.deliveredTo(k.name, &ds[i]); id >= 0 {
						k.held = append(k.held, heldJob{id, ds[i].Lease})
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
func (k *worker) takeSome() (some []heldJob) {
	var stuck, free []heldJob
	for _, j := range k.held {
		if !k.ending && j.id%stickyJob == 7 {
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
	verdict := broker.Accept
	if !k.ending {
		verdict = []broker.Verdict{broker.Accept, broker.Accept, broker.Accept, broker.Release, broker.Reject}[k.w.clients.IntN(5)]
	}
	var ids []broker.LeaseID
	for _, j := range some {
		ids = append(ids, j.lease)
		m := &k.w.queues.messages[j.id]
		m.accepting = m.accepting || verdict == broker.Accept
		m.rejecting = m.rejecting || verdict == broker.Reject
	}
	k.under++
	node, session, consumer := k.p.n, k.session, k.consumer
	if node.process != k.p {
		k.under--
		return
	}
	k.w.ask(node, 0, func(b *broker.Broker, reply func(func())) {
		b.Settle(session, verdict, ids, func(err error) {
			reply(func() {
				k.under--
				k.w.note("%s: verdict %d on %d messages from %d on: %v", k.name, verdict, len(some), some[0].id, err)
				// A session that has ended meanwhile had no say any more.
				if err == nil && k.session == session {
					k.confirmed(verdict, some)
				}
			})
		})
		consumer.Grant(int32(len(ids)))
	}, func() { k.under-- })
}

func (k *worker) confirmed(v broker.Verdict, some []heldJob) {
	for _, j := range some {
		m := &k.w.queues.messages[j.id]
		switch v {
		case broker.Accept:
			m.accepted, m.acceptedAt = true, max(m.acceptedAt, j.lease.Term)
		case broker.Reject:
			m.rejected, m.rejectedAt = true, max(m.rejectedAt, j.lease.Term)
		}
	}
}
