package sim

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
)

// The queues: publishers fill them, workers empty them, and what dies goes to
// "dead", where it stays. Every run with queues has "jobs", and some of the
// others.
const (
	jobs = "jobs"
	dead = "dead"
)

// queuePlan says what a queue is, and what its workers do.
type queuePlan struct {
	name     string
	settings broker.QueueSettings
	// keys is how many message groups there are, 0 for a queue without.
	keys int
	// lends is for how many ms its workers receive; if it is 0 they consume.
	lends int64
	// delays has some messages delivered later.
	delays bool
}

// delay is how long a message waits that is published for later.
const delay = 3 * time.Second

// queuePlans returns the queues of a run with so many kinds beside jobs.
func queuePlans(seed uint64, more int) []*queuePlan {
	plan := func(name string, change func(*queuePlan)) *queuePlan {
		p := &queuePlan{name: name, settings: broker.DefaultQueueSettings()}
		p.settings.DeadLetter, p.settings.DeadLetterKey = true, dead
		change(p)
		return p
	}
	plans := []*queuePlan{plan(jobs, func(*queuePlan) {})}
	kinds := []*queuePlan{
		plan("solo", func(p *queuePlan) { p.settings.SingleActive = true }),
		plan("groups", func(p *queuePlan) { p.settings.Grouped, p.keys = true, 3 }),
		plan("loans", func(p *queuePlan) { p.lends = 4000 }),
		plan("later", func(p *queuePlan) {
			p.delays, p.settings.DeliveryLimit = true, 3
			p.settings.Retry = broker.QueueRetry{First: 1000, Factor: 2000, Cap: 4000, Jitter: 200}
		}),
		plan("fifo", func(p *queuePlan) { p.settings.Grouped, p.keys, p.lends = true, 3, 4000 }),
	}
	for i := range more {
		plans = append(plans, kinds[(int(seed%uint64(len(kinds)))+2*i)%len(kinds)])
	}
	return plans
}

// message is what is known of one message.
type message struct {
	queue             *queuePlan
	publisher, number int
	key               int
	// notBefore is until when it was to wait when it was published, or given back
	// last, on the slowest clock; 0 if nothing is known of that.
	notBefore time.Duration

	acked, refused bool
	delivered      int
	first          bool        // one of the deliveries was called the first
	latest         record.Term // of the leaders who have delivered it
	owner          *ownership  // who got it last
	accepting      bool        // a worker has asked to settle it
	accepted       bool        // and knows that it is
	// acceptedAt and rejectedAt are the terms that took the verdict: a leader of an
	// older one that has not heard of it yet may still deliver.
	acceptedAt, rejectedAt record.Term
	rejecting              bool
	rejected               bool
	// returned is how often a worker knows that it was given back, counted, and
	// returnedAt the latest term that took such a return: what it says of how often,
	// and until when, a leader of an older one may not have heard.
	returned   int
	returnedAt record.Term
	// ignored is how often it was delivered to a worker who had gone.
	ignored int
	// hurried is when somebody asked to have it delivered at once.
	hurried time.Duration
	// cancelling and cancelled: somebody has asked that it is never delivered, and
	// knows that it is not.
	cancelling, cancelled bool
	dead                  int // copies in the queue of dead letters
}

// ownership is one delivery of a message.
type ownership struct {
	id    int
	lease broker.LeaseID
	// receive is the number of the receive that got it, 0 for a consumer, whose
	// ownership ends with the leadership; until is when a lease ends at the
	// earliest.
	receive int
	until   time.Duration
	over    bool // the worker has said what becomes of it, or is gone
}

// lasts reports whether somebody still has the message, as far as a leader of a
// term must know.
func (o *ownership) lasts(w *world, t record.Term) bool {
	switch {
	case o == nil || o.over:
		return false
	case o.receive > 0:
		return w.logged() < o.until
	}
	return o.lease.Term == t
}

// queueHistory holds what the clients of queues were told against what was
// promised: nothing is lost, nothing comes twice without saying so, first
// deliveries keep the order, what is settled stays settled, what dies arrives once
// among the dead letters, nothing has two owners, and nothing comes early.
type queueHistory struct {
	w        *world
	plans    []*queuePlan
	messages []message
	// fresh is the last number of each publisher that a leader has delivered to a
	// worker, or of a message group to anybody, for the first time. (What is given
	// to several at a time is handed over to one after the other.)
	fresh map[freshKey]int
	// reign is the latest term in which a queue was delivered from to a consumer.
	reign map[*queuePlan]record.Term
	// group is the latest message delivered of each group.
	group    map[groupKey][]int
	receives int
	ready    bool
}

type freshKey struct {
	queue     *queuePlan
	worker    string
	publisher int
	key       int
	term      record.Term
}

type groupKey struct {
	queue *queuePlan
	key   int
}

func newQueueHistory(w *world) queueHistory {
	return queueHistory{
		w: w, fresh: map[freshKey]int{}, reign: map[*queuePlan]record.Term{}, group: map[groupKey][]int{},
	}
}

// deliveredTo judges one delivery, to a consumer or, with its number, a receive.
func (h *queueHistory) deliveredTo(who string, d *broker.Delivery, receive int, until time.Duration) *ownership {
	id := int(binary.LittleEndian.Uint64(d.Record.Value))
	if id >= len(h.messages) {
		h.w.fail("%s is given a message that nobody has sent", who)
		return nil
	}
	m := &h.messages[id]
	h.w.note("%s gets message %d, redelivered %v, lease %v", who, id, d.Redelivered, d.Lease)
	switch {
	case m.refused:
		h.w.fail("%s is given message %d, which was refused", who, id)
	case m.cancelled:
		h.w.fail("%s is given message %d, which was cancelled", who, id)
	case m.accepted && d.Lease.Term >= m.acceptedAt:
		h.w.fail("%s is given message %d again, which is settled", who, id)
	case m.rejected && d.Lease.Term >= m.rejectedAt:
		h.w.fail("%s is given message %d again, which is rejected", who, id)
	// A leader that is deposed and does not know it yet delivers for the first
	// time what its successor has delivered as perhaps delivered before.
	case !d.Redelivered && (m.first || m.delivered > 0 && (d.Lease.Term >= m.latest || receive == 0 && m.queue.strict())):
		h.w.fail("%s is given message %d for the %dth time as if it were the first", who, id, m.delivered+1)
	case h.w.logged() < m.notBefore && d.Lease.Term >= m.returnedAt:
		h.w.fail("%s is given message %d at %v, not %v", who, id, h.w.clock.Mono(), m.notBefore)
	case int(d.Attempts) < m.returned && d.Lease.Term >= m.returnedAt:
		h.w.fail("%s is given message %d after %d returns, not %d", who, id, d.Attempts, m.returned)
	case m.owner.lasts(h.w, d.Lease.Term):
		h.w.fail("%s is given message %d, which somebody has: lease %v", who, id, m.owner.lease)
	}
	o := &ownership{id: id, lease: d.Lease, receive: receive, until: until}
	h.judgeOwners(who, m, o)
	h.judgeOrder(who, m, d)
	m.delivered++
	h.w.cover.Delivered++
	if receive > 0 {
		h.w.cover.Lent++
	}
	m.first, m.latest, m.owner, m.notBefore = m.first || !d.Redelivered, max(m.latest, d.Lease.Term), o, 0
	return o
}

// strict reports whether nothing of the queue may ever have two owners.
func (p *queuePlan) strict() bool { return p.settings.SingleActive || p.settings.Grouped }

// judgeOwners looks for leaders beside each other, and for others of the group
// that somebody has.
func (h *queueHistory) judgeOwners(who string, m *message, o *ownership) {
	p := m.queue
	if !p.strict() {
		return
	}
	if o.receive == 0 {
		if t := o.lease.Term; t < h.reign[p] {
			h.w.fail("%s is given message %d by the leader of term %d, after that of term %d has delivered", who, o.id, t, h.reign[p])
		}
		h.reign[p] = max(h.reign[p], o.lease.Term)
	}
	k := groupKey{p, m.key}
	kept := h.group[k][:0]
	for _, id := range h.group[k] {
		other := h.messages[id].owner
		if !other.lasts(h.w, o.lease.Term) {
			continue
		}
		kept = append(kept, id)
		if p.keys > 0 && id != o.id && (o.receive == 0 || other.receive != o.receive) {
			h.w.fail("%s is given message %d, while somebody has message %d of its group", who, o.id, id)
		}
	}
	h.group[k] = append(kept, o.id)
}

// judgeOrder holds first deliveries against the order of their publisher.
func (h *queueHistory) judgeOrder(who string, m *message, d *broker.Delivery) {
	if d.Redelivered || m.queue.delays {
		return
	}
	k := freshKey{m.queue, who, m.publisher, m.key, d.Lease.Term}
	if m.queue.keys > 0 {
		k.worker = ""
	}
	if last, ok := h.fresh[k]; ok && last > m.number {
		h.w.fail("%s is given number %d of publisher %d after number %d", who, m.number, m.publisher, last)
	}
	h.fresh[k] = m.number
}

// mayDie reports whether a message may be among the dead letters although nobody
// has rejected it: it was given back too often.
func (m *message) mayDie() bool {
	limit := m.queue.settings.DeliveryLimit
	return limit >= 0 && m.delivered+m.ignored > int(limit)
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
			case m.dead == 1 && !m.rejecting && !m.mayDie():
				w.fail("message %d is among the dead letters of node %d, and nobody has rejected it", id, n.id)
			case m.dead == 1 && (m.accepted || m.cancelled):
				w.fail("message %d is settled, and among the dead letters of node %d", id, n.id)
			// A leader whose disk is damaged is not waited for: its dead are on their way.
			case m.rejected && m.dead == 0 && !w.leaderOf(m.queue).damaged:
				w.fail("message %d is rejected, and not among the dead letters of node %d", id, n.id)
			case m.acked && !m.accepting && !m.cancelling && m.dead == 0 && !w.leaderOf(m.queue).damaged:
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
	rest := broker.DefaultQueueSettings()
	f.left = []broker.NewTopic{{Name: dead, Partitions: 1, Replication: -1, Queue: &rest}}
	for _, p := range f.w.queues.plans {
		f.left = append(f.left, broker.NewTopic{Name: p.name, Partitions: 1, Replication: -1, Queue: &p.settings})
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

// leaderOf returns the node that believes to lead a queue.
func (w *world) leaderOf(p *queuePlan) (found *node) {
	w.alive(func(n *node) {
		if t := n.broker.Topic(p.name); t != nil && t.Partitions[0].Leader() == n.id && (found == nil || found.paused) {
			found = n
		}
	})
	return found
}
