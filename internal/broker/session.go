package broker

import (
	"sync"
	"sync/atomic"

	"github.com/polylog-mq/polylog/internal/record"
)

// Session is who leases belong to: a channel of AMQP, a connection of another
// protocol. When it ends, the records that it has not settled go back to their
// places in the order. Its methods may be called from any goroutine.
type Session struct {
	b      *Broker
	number uint64
	ended  atomic.Bool

	mu sync.Mutex
	// shards are those that know of the session.
	shards map[record.ShardID]*shard
}

// OpenSession begins a session. It costs nothing until it consumes.
func (b *Broker) OpenSession() *Session {
	return &Session{b: b, number: b.sessions.Add(1), shards: map[record.ShardID]*shard{}}
}

// Close ends the session: its consumers are cancelled, without being told, and
// its leases given back. done may be nil; it is called, possibly before Close
// returns, when other consumers can have the records. After Close no delivery
// of the session begins.
func (s *Session) Close(done func()) { s.b.closeSession(s, done) }

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

	consumerState
}

// Consume begins to deliver. done is called before the first delivery, with
// ErrUnknownQueue, ErrExclusive, ErrNotLeader or ErrClosed if it fails.
func (q *Queue) Consume(spec *ConsumerSpec, done func(*Consumer, error)) {
	c := &Consumer{queue: q, spec: *spec}
	q.consume(c, done)
}

// Grant lets n more records be delivered. A consumer that has once had
// unlimited credit keeps it.
func (c *Consumer) Grant(n int32) { c.grant(n) }

// Limit replaces the credit: from now on at most n records are delivered,
// negative for any number, besides what Grant adds.
func (c *Consumer) Limit(n int32) { c.limit(n) }

// Cancel ends the consumer. Its leases stay with the session. done may be nil;
// no delivery follows it.
func (c *Consumer) Cancel(done func()) { c.cancel(done) }

// Queue returns what is consumed.
func (c *Consumer) Queue() *Queue { return c.queue }

// Get takes one record, if one is ready: ok tells. remaining is how many are
// ready after it. The delivery's bytes are gone when done returns. Errors as for
// Consume.
func (q *Queue) Get(s *Session, noAck bool, done func(d *Delivery, remaining int64, ok bool, err error)) {
	q.get(s, noAck, done)
}

// Settle says what becomes of leased records, of any queues. Leases that are
// not, or no longer, the session's are ignored. The slice is not kept. done, if
// not nil, is called when the verdict is committed everywhere; without it the
// verdicts still reach the log, in their order, with the next commit.
// Errors: ErrNotLeader and ErrUnknownFate (the record may come again).
func (b *Broker) Settle(s *Session, v Verdict, leases []LeaseID, done func(error)) {
	b.settle(s, v, leases, done)
}

// Purge settles all records that are ready, and answers how many there were.
func (q *Queue) Purge(done func(n int64, err error)) { q.purge(done) }
