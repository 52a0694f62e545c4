package broker

import (
	"sync/atomic"
	"time"

	"github.com/polylog-mq/polylog/internal/state/lease"
	"github.com/polylog-mq/polylog/internal/state/topic"
)

// idleness is how a queue ends that nobody uses any more. It is soft state of the
// node that leads: what counts is what happens from its start on, and only a
// committed command deletes.
type idleness struct {
	// after is for how many ms the queue may be unused, 0 for ever.
	after atomic.Int64
	// used is when it was last used, on the monotonic clock.
	used atomic.Int64
	// watched says that a timer looks at it.
	watched atomic.Bool
}

// use notes that the queue is used. Any goroutine.
func (q *Queue) use() { q.idle.used.Store(int64(q.part.shard.b.opts.Clock.Mono())) }

// deserted is called on the shard's loop when the last consumer has gone: an
// auto-delete queue goes with it.
func (q *Queue) deserted() {
	q.use()
	if t := q.Topic(); t.definition != nil && t.definition.AutoDelete {
		q.part.shard.b.metadata.deleteIdle(q)
	}
}

// watch sees to it that a queue which expires is looked at when it may be time.
// It is called on the loop of the metadata group when the queue, or its new
// settings, become visible.
func (b *Broker) watch(q *Queue, t *topic.Topic) {
	settings, err := lease.DecodeSettings([]byte(t.Lease))
	if err != nil || settings.Expires <= 0 {
		q.idle.after.Store(0)
		return
	}
	q.idle.after.Store(settings.Expires)
	if !q.idle.watched.Swap(true) {
		q.use()
		b.lookAt(q, settings.Expires)
	}
}

// lookAt looks at a queue after so many ms.
func (b *Broker) lookAt(q *Queue, after int64) {
	b.opts.Clock.AfterFunc(time.Duration(after)*time.Millisecond, func() {
		b.metadata.group.Post(func() { b.look(q) })
	})
}

// look deletes a queue that was not used for long enough, or looks again when
// that may be so.
func (b *Broker) look(q *Queue) {
	after := q.idle.after.Load()
	if after == 0 || q.Deleted() || b.closed.Load() {
		q.idle.watched.Store(false)
		return
	}
	if q.Stats().Consumers > 0 {
		q.use()
	}
	idle := (int64(b.opts.Clock.Mono()) - q.idle.used.Load()) / int64(time.Millisecond)
	if idle >= after {
		b.metadata.deleteIdle(q)
		idle = 0
	}
	b.lookAt(q, after-idle)
}

// deleteIdle deletes a queue unless somebody has begun to consume it. If it
// cannot be deleted now, it ends like one that nobody ever consumed: when it is
// deserted, or expires, again.
func (m *metadata) deleteIdle(q *Queue) {
	m.group.Post(func() {
		if !m.leads.Load() || q.Stats().Consumers > 0 {
			return
		}
		cmd := &topic.DeleteTopic{UUID: q.Topic().UUID}
		m.proposeOwn(kindCatalog, cmd.AppendTo(nil), func(any, error) {})
	})
}
