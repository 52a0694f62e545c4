package topic

import (
	"cmp"
	"math"

	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
)

// Retention removes whole segments, oldest first, as Kafka does: those whose
// largest timestamp is older than retention.ms, and those without which the
// partition still has retention.bytes. It is carried out by ticks alone. A
// partition waits in a heap for the time at which its oldest segment may
// expire; since that segment may grow meanwhile, the time is a lower bound,
// and appends need not touch the heap.

// NextDeadline returns the log time at which Tick has work to do, and false if
// no partition has anything that can expire.
func (s *Partitions) NextDeadline() (record.LogTime, bool) {
	if s.due.Len() == 0 {
		return 0, false
	}
	return s.due.First().due, true
}

// Tick carries out what is due: retention by time and size, and how far
// compaction may go, for a bounded number of partitions at a time (NextDeadline stays in the past while there are
// more). With hold nothing is deleted, only put off.
func (s *Partitions) Tick(now record.LogTime, hold bool, fx *Effects) {
	for range retentionPerTick {
		if s.due.Len() == 0 || s.due.First().due > now {
			return
		}
		p := s.due.First()
		s.touch(p)
		if !hold {
			s.retain(now, p, fx)
			s.compact(now, p, fx)
		}
		s.reschedule(p, p.nextLook(now))
	}
}

// retain removes the segments of p that have had their time.
func (s *Partitions) retain(now record.LogTime, p *Partition, fx *Effects) {
	set := p.topic.settings
	start := p.start
	for p.bytes > 0 && (p.expired(now) || p.oversize(set)) && (set.Lease == "" || p.oldestEnd() <= p.keep) {
		start = s.removeOldest(p)
	}
	if start > p.start {
		s.raise(p, start, fx)
	}
}

// oldestEnd returns the offset after the first segment.
func (p *Partition) oldestEnd() record.Offset {
	if len(p.sealed) > 0 {
		return p.endOf(0)
	}
	return p.next
}

// Keep says of a queue that what lies below o is settled: if retention is not 0,
// it is removed when it is as old as that, in ms. It is not part of the
// partition's pages: the lease set says it again after a restore.
func (p *Partition) Keep(o record.Offset, retention int64) { p.keep, p.keepFor = o, max(retention, 0) }

// retention returns for how many ms the partition keeps records, and false if it
// removes none by itself.
func (p *Partition) retention() (ms int64, ok bool) {
	set := p.topic.settings
	if set.Lease != "" {
		return p.keepFor, p.keepFor > 0
	}
	return set.RetentionMs, set.Delete
}

// oldest returns the first segment; there is one while bytes > 0.
func (p *Partition) oldest() *segment {
	if len(p.sealed) > 0 {
		return &p.sealed[0]
	}
	return &p.active
}

func (p *Partition) expired(now record.LogTime) bool {
	ms, ok := p.retention()
	return ok && ms >= 0 && int64(now)-p.oldest().stamp > ms
}

func (p *Partition) oversize(set *Settings) bool {
	keep := set.RetentionBytes
	if fault.On(fault.GreedyRetention) {
		keep -= keep / 2
	}
	return set.Delete && keep >= 0 && p.bytes-p.oldest().bytes >= keep
}

// never is later than any log time.
const never = record.LogTime(math.MaxInt64)

// nextLook returns when a tick should look at p next: after now, and rounded
// up so that many partitions share a tick.
func (p *Partition) nextLook(now record.LogTime) record.LogTime {
	set := p.topic.settings
	c, at := p.compactable(now)
	if c != p.compaction {
		at = now
	}
	ms, ok := p.retention()
	switch {
	case p.bytes == 0 || !ok:
	case p.oversize(set):
		at = now
	case ms >= 0:
		at = min(at, later(p.oldest().stamp, ms))
	}
	at = max(at, now)
	if at > never-2*retentionInterval {
		return never
	}
	return (at/retentionInterval + 1) * retentionInterval
}

// schedule makes sure that a tick looks at p in time. It never puts a look
// off: that is for ticks, or a busy partition would never see one.
func (s *Partitions) schedule(now record.LogTime, p *Partition) {
	if at := p.nextLook(now); at != never && (!p.Queued() || at < p.due) {
		s.touch(p)
		s.reschedule(p, at)
	}
}

// reschedule sets when a tick looks at p next.
func (s *Partitions) reschedule(p *Partition, at record.LogTime) {
	switch {
	case at == never:
		s.unschedule(p)
	default:
		p.due = at
		s.due.Set(p)
	}
}

func (s *Partitions) unschedule(p *Partition) {
	s.due.Remove(p)
	p.due = 0
}

// Before orders partitions by when they are due, then by id, so that which of
// them a bounded tick looks at does not depend on how the queue grew.
func (p *Partition) Before(o *Partition) bool {
	return cmp.Or(cmp.Compare(p.due, o.due), cmp.Compare(p.id, o.id)) < 0
}
