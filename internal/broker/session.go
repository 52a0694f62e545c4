package broker

import (
	"sync"
	"sync/atomic"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/lease"
)

// Session is who leases belong to: a channel of AMQP, a connection of another
// protocol. When it ends, the records that it has not settled go back to their
// places in the order. Its methods may be called from any goroutine.
type Session struct {
	b      *Broker
	number uint64
	ended  atomic.Bool
	// timedOut is what OnTimeout has set.
	timedOut atomic.Pointer[func(*Queue)]

	mu sync.Mutex
	// shards are those that know of the session.
	shards map[record.ShardID]*shard
}

// OpenSession begins a session. It costs nothing until it consumes.
func (b *Broker) OpenSession() *Session {
	return &Session{b: b, number: b.sessions.Add(1), shards: map[record.ShardID]*shard{}}
}

// OnTimeout sets what is called when the session has held a record of a queue for
// longer than the queue's ConsumerTimeout: it has lost what it had of that queue,
// its consumers there have ended (ErrConsumerTimeout), and its other queues go on.
// fn runs on the shard's loop and must not block.
func (s *Session) OnTimeout(fn func(*Queue)) { s.timedOut.Store(&fn) }

// Close ends the session: its consumers are cancelled, without being told, and
// its leases given back. done may be nil; it is called, possibly before Close
// returns, when other consumers can have the records. After Close no delivery
// of the session begins.
func (s *Session) Close(done func()) {
	s.mu.Lock()
	s.ended.Store(true)
	shards := s.shards
	s.shards = nil
	s.mu.Unlock()
	left := int32(len(shards))
	if left == 0 && done != nil {
		done()
	}
	waiting := &atomic.Int32{}
	waiting.Store(left)
	for _, id := range sortedKeys(shards) {
		sh := shards[id]
		sh.group.Post(func() {
			sh.queues.endSession(s)
			if waiting.Add(-1) == 0 && done != nil {
				done()
			}
		})
	}
}

// joins notes that a shard knows the session; false if it has ended.
func (s *Session) joins(sh *shard) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended.Load() {
		return false
	}
	s.shards[sh.id] = sh
	return true
}

// Delivery is one record on its way to a consumer.
type Delivery struct {
	// Lease settles the record. It means nothing if the consumer asked for no
	// acknowledgements: the record is then settled already.
	Lease LeaseID
	// Record is the record with its offset. The bytes are only lent: they are
	// gone when the function that was given the delivery returns.
	Record record.Record
	// Redelivered says that the record may have been delivered before.
	Redelivered bool
	// Attempts is how often it was given back, as far as returns are counted.
	Attempts int32
	// Level is its priority.
	Level uint8
}

// ConsumerSpec describes a consumer.
type ConsumerSpec struct {
	Session *Session
	// Exclusive refuses, and is refused by, any other consumer: ErrExclusive.
	Exclusive bool
	// NoAck settles every record as it is delivered.
	NoAck bool
	// Priority: consumers of a lower one get records only while none of a
	// higher one has credit.
	Priority int32
	// Credit is how many records may be delivered, besides what Grant adds;
	// negative for any number.
	Credit int32
	// Deliver takes deliveries, at least one. It is called on the shard's loop:
	// it must not block, and copies what it keeps of the bytes.
	Deliver func([]Delivery)
	// Cancelled is called once, on the shard's loop, if the consumer ends
	// otherwise than by Cancel or by the end of its session: ErrUnknownQueue
	// (deleted), ErrNotLeader. It may be nil.
	Cancelled func(reason error)
}

// Consumer is a consumer of a queue. Its methods may be called from any
// goroutine.
type Consumer struct {
	queue *Queue
	spec  ConsumerSpec

	// The rest belongs to the shard's loop.

	lease lease.Consumer
	desk  *desk // nil before it consumes and after it has ended
	out   []Delivery
}

// Consume begins to deliver. done is called before the first delivery, with
// ErrUnknownQueue, ErrExclusive, ErrNotLeader or ErrClosed if it fails.
func (q *Queue) Consume(spec *ConsumerSpec, done func(*Consumer, error)) {
	c := &Consumer{queue: q, spec: *spec}
	s := q.part.shard
	s.queues.enter(q, spec.Session, func(err error) { done(nil, err) }, func(d *desk) {
		h := d.holder(spec.Session)
		c.lease = lease.Consumer{
			Holder: &h.Holder, Exclusive: spec.Exclusive, NoAck: spec.NoAck, Priority: spec.Priority, User: c,
		}
		if err := d.Add(&c.lease, int64(spec.Credit)); err != nil {
			done(nil, ErrExclusive)
			return
		}
		c.desk = d
		done(c, nil)
		d.workNow()
	})
}

// enter carries out what a session, or somebody without one, asks of a queue on
// the shard's loop, or tells why it cannot. A partition that has no lease set gets
// one.
func (q *queues) enter(queue *Queue, session *Session, refuse func(error), do func(*desk)) {
	if q.s.b.closed.Load() || session != nil && !session.joins(q.s) {
		refuse(ErrClosed)
		return
	}
	queue.use()
	q.s.group.Post(func() {
		p := queue.part
		switch {
		case session != nil && session.ended.Load():
			refuse(ErrClosed)
		case p.dropped.Load():
			refuse(ErrUnknownQueue)
		case !q.s.leads.Load():
			refuse(ErrNotLeader)
		case p.state == nil:
			refuse(ErrUnknownQueue)
		case p.desk == nil:
			q.openFor(p, refuse, func() { q.enter(queue, session, refuse, do) })
		default:
			do(p.desk)
		}
	})
}

// onDesk runs fn on the shard's loop if the consumer consumes.
func (c *Consumer) onDesk(fn func(d *desk)) {
	c.queue.part.shard.group.Post(func() {
		if c.desk != nil {
			fn(c.desk)
		}
	})
}

// Grant lets n more records be delivered. A consumer that has once had
// unlimited credit keeps it.
func (c *Consumer) Grant(n int32) {
	c.onDesk(func(d *desk) {
		d.Grant(&c.lease, int64(n))
		d.workNow()
	})
}

// Limit replaces the credit: from now on at most n records are delivered,
// negative for any number, besides what Grant adds.
func (c *Consumer) Limit(n int32) {
	c.onDesk(func(d *desk) {
		d.Limit(&c.lease, int64(n))
		d.workNow()
	})
}

// Cancel ends the consumer. Its leases stay with the session. done may be nil;
// no delivery follows it.
func (c *Consumer) Cancel(done func()) {
	c.queue.part.shard.group.Post(func() {
		if d := c.desk; d != nil {
			c.desk = nil
			d.Remove(&c.lease)
			d.workNow()
		}
		if done != nil {
			done()
		}
	})
}

// Queue returns what is consumed.
func (c *Consumer) Queue() *Queue { return c.queue }

// Get takes one record, if one is ready: ok tells. remaining is how many are
// ready after it. The delivery's bytes are gone when done returns. Errors as for
// Consume.
func (q *Queue) Get(s *Session, noAck bool, done func(d *Delivery, remaining int64, ok bool, err error)) {
	q.part.shard.queues.enter(q, s, func(err error) { done(nil, 0, false, err) }, func(d *desk) {
		h := d.holder(s)
		d.gets = append(d.gets, &getting{consumer: lease.Consumer{Holder: &h.Holder, NoAck: noAck}, done: done})
		d.workNow()
	})
}

// Settle says what becomes of leased records, of any queues. Leases that are
// not, or no longer, the session's are ignored. The slice is not kept. done, if
// not nil, is called when the verdict is committed everywhere; without it the
// verdicts still reach the log, in their order, with the next commit.
// Errors: ErrNotLeader and ErrUnknownFate (the record may come again).
func (b *Broker) Settle(s *Session, v Verdict, leases []LeaseID, done func(error)) {
	byShard := map[*shard][]LeaseID{}
	var shards []*shard
	var at *shard
	var last record.PartitionID
	for _, id := range leases {
		if at == nil || id.Partition != last {
			at, last = b.shardOf(id.Partition), id.Partition
		}
		if at == nil {
			continue
		}
		if byShard[at] == nil {
			shards = append(shards, at)
		}
		byShard[at] = append(byShard[at], id)
	}
	var all *gathering
	if done != nil {
		all = gather(len(shards), done)
	}
	for _, sh := range shards {
		ids := byShard[sh]
		sh.group.Post(func() { sh.queues.judge(s, v, ids, all) })
	}
}

// gathering waits for several answers and passes on the first error.
type gathering struct {
	mu   sync.Mutex
	left int
	err  error
	done func(error)
}

// gather returns one that waits for n answers; for none, it has answered.
func gather(n int, done func(error)) *gathering {
	if n == 0 {
		done(nil)
	}
	return &gathering{left: n, done: done}
}

func (g *gathering) answer(err error) {
	g.mu.Lock()
	if g.err == nil {
		g.err = err
	}
	g.left--
	last := g.left == 0
	g.mu.Unlock()
	if last {
		g.done(g.err)
	}
}

// judge carries out the verdicts of a session on the shard's loop.
func (q *queues) judge(s *Session, v Verdict, ids []LeaseID, all *gathering) {
	var d *desk
	var h *holder
	for i, id := range ids {
		if i == 0 || id.Partition != ids[i-1].Partition {
			h = nil
			if d = q.deskOf(id.Partition); d != nil {
				h = d.holders[s.number]
			}
		}
		if h != nil && d.Settle(&h.Holder, id, v) {
			d.queue.stats.settled.Add(1)
			q.touch(d)
		}
	}
	q.settle()
	switch {
	case all == nil:
	case !q.s.leads.Load():
		all.answer(ErrNotLeader)
	default:
		q.tell(all.answer)
	}
}

// endSession gives back what a session has here, and ends its consumers.
func (q *queues) endSession(s *Session) {
	at := q.sessions[s.number]
	if at == nil {
		return
	}
	delete(q.sessions, s.number)
	for _, h := range at.holders {
		h.d.end(h, s.number)
		q.touch(h.d)
	}
	q.settle()
}

// Purge settles all records that are ready, and answers how many there were.
func (q *Queue) Purge(done func(n int64, err error)) {
	sh := q.part.shard
	sh.group.Post(func() {
		d := q.part.desk
		switch {
		case q.part.dropped.Load():
			done(0, ErrUnknownQueue)
		case !sh.leads.Load():
			done(0, ErrNotLeader)
		case q.part.state == nil:
			done(0, ErrUnknownQueue)
		case d == nil: // nobody has ever taken a record from this topic
			sh.queues.openFor(q.part, func(err error) { done(0, err) }, func() { q.Purge(done) })
		default:
			n := d.Purge()
			d.workNow()
			sh.queues.tell(func(err error) { done(n, err) })
		}
	})
}
