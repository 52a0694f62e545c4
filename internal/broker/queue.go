package broker

import (
	"sync/atomic"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/lease"
)

// The vocabulary of queues is that of package lease.
type (
	// QueueSettings are what a queue is and does. Begin with
	// DefaultQueueSettings: the zero value is not the default.
	QueueSettings = lease.Settings
	// QueueRetry is their policy of exponential backoff.
	QueueRetry = lease.Retry
	// LeaseID names one delivery of one record.
	LeaseID = lease.ID
	// Verdict is what becomes of a leased record.
	Verdict = lease.Verdict
)

// The verdicts.
const (
	Accept         = lease.Accept
	Release        = lease.Release
	ReleaseCounted = lease.ReleaseCounted
	Reject         = lease.Reject
)

// The policies of overflow.
const (
	DropHead                = lease.DropHead
	RejectPublish           = lease.RejectPublish
	RejectPublishDeadLetter = lease.RejectPublishDeadLetter
)

// DefaultQueueSettings returns the settings of a queue that says nothing.
func DefaultQueueSettings() QueueSettings { return lease.DefaultSettings() }

// Queue is the handle of one queue: a partition whose records are given to
// consumers one by one. It stays valid, and the same, for as long as the queue
// exists; when that was deleted its operations answer ErrUnknownQueue. All
// methods may be called from any goroutine.
type Queue struct {
	part *Partition
	// view is the topic as the metadata group shows it.
	view     atomic.Pointer[Topic]
	settings atomic.Pointer[QueueSettings]

	stats queueStats
	// behind is what Behind returns.
	behind atomic.Bool
	idle   idleness
	// readers counts those of Read.
	readers atomic.Int64
}

// asQueue returns the partition's queue, made on first use.
func (p *Partition) asQueue() *Queue {
	if q := p.queue.Load(); q != nil {
		return q
	}
	p.queue.CompareAndSwap(nil, &Queue{part: p})
	return p.queue.Load()
}

// Name returns the queue's name within its tenant.
func (q *Queue) Name() string { return q.view.Load().Name }

// Topic returns the queue as the topic that it is too. The view is immutable.
func (q *Queue) Topic() *Topic { return q.view.Load() }

// Partition returns the log of the queue, from which it can be replayed.
func (q *Queue) Partition() *Partition { return q.part }

// ID returns the id of the queue's partition, which is never reused.
func (q *Queue) ID() record.PartitionID { return q.part.id }

// Settings returns the queue's settings. They never change; a later call may
// return others.
func (q *Queue) Settings() *QueueSettings { return q.settings.Load() }

// Deleted reports whether the queue is gone.
func (q *Queue) Deleted() bool { return q.part.dropped.Load() }

// QueueStats is how a queue stands. The numbers are those of the last entry
// applied; taken one after the other, they may not fit together exactly. Of a
// stream, and of a topic that nobody has used as a queue, all that is kept counts
// as ready, and all that was ever written as published.
type QueueStats struct {
	// Ready records can be delivered, Unacked are leased, Scheduled wait for
	// their time, Dying for their dead-letter target.
	Ready, Unacked, Scheduled, Dying int64
	// Bytes is the size of the bodies of all records that are not settled, as
	// far as the publishers have told it (Facts.Bytes).
	Bytes int64
	// Consumers is how many there are. It is that of this node if it leads.
	Consumers int64
	// Published, Delivered, Redelivered and Settled count records since this
	// node leads the queue.
	Published, Delivered, Redelivered, Settled int64
}

// queueStats is QueueStats as the shard's loop publishes it.
type queueStats struct {
	ready, unacked, scheduled, dying, bytes, consumers atomic.Int64
	published, delivered, redelivered, settled         atomic.Int64
}

// Behind reports whether consumers that take what they are given are being
// outrun, and what they have before them is about to leave memory, so that
// everything would become dearer: whoever publishes to the queue does well to
// give way for a moment. It is false again once much more waits than that: a
// queue that falls behind all the same has publishers at their full speed.
func (q *Queue) Behind() bool { return q.behind.Load() }

// Stats returns how the queue stands. It takes no lock.
func (q *Queue) Stats() QueueStats {
	s := &q.stats
	if q.settings.Load() == nil {
		p := q.part
		floor, high := p.Floor(), p.HighWatermark() // in this order, so that they fit
		return QueueStats{
			Ready: int64(high - floor), Bytes: p.Size(), Consumers: q.readers.Load(),
			Published: int64(high), Delivered: s.delivered.Load(),
		}
	}
	return QueueStats{
		Ready: s.ready.Load(), Unacked: s.unacked.Load(), Scheduled: s.scheduled.Load(), Dying: s.dying.Load(),
		Bytes: s.bytes.Load(), Consumers: s.consumers.Load() + q.readers.Load(),
		Published: s.published.Load(), Delivered: s.delivered.Load(),
		Redelivered: s.redelivered.Load(), Settled: s.settled.Load(),
	}
}
