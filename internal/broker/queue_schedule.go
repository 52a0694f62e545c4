package broker

import (
	"fmt"
	"math"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/state/schedule"
)

// Scheduled is a record of a queue that waits for its time: it was published with
// a delay, or given back under a retry policy.
type Scheduled struct {
	// At is the log time at which it can be given, in ms since the Unix epoch.
	At     int64
	Offset record.Offset
	Level  uint8
}

// ErrNotScheduled: the record is not, or no longer, scheduled for that time.
var ErrNotScheduled = fmt.Errorf("the record is not scheduled for this time")

// Scheduled answers up to limit records that wait for their time, from the given
// time (ms) on, about in its order. ErrNotLeader, ErrUnknownQueue.
func (q *Queue) Scheduled(from int64, limit int, done func([]Scheduled, error)) {
	s := q.part.shard
	s.group.Post(func() {
		switch {
		case !s.leads.Load():
			done(nil, ErrNotLeader)
			return
		case q.part.dropped.Load():
			done(nil, ErrUnknownQueue)
			return
		}
		var list []Scheduled
		err := s.queues.schedule.List(q.part.id, func(e schedule.Entry) bool {
			if int64(e.At) >= from && len(list) < limit {
				list = append(list, Scheduled{int64(e.At), e.Offset, e.Level})
			}
			return len(list) < limit
		})
		done(list, err)
	})
}

// CancelScheduled settles a scheduled record: it will never be given.
// ErrNotScheduled if it has been given already.
func (q *Queue) CancelScheduled(x Scheduled, done func(error)) { q.changeSchedule(x, false, done) }

// DeliverNow lets a scheduled record be given at once. ErrNotScheduled.
func (q *Queue) DeliverNow(x Scheduled, done func(error)) { q.changeSchedule(x, true, done) }

func (q *Queue) changeSchedule(x Scheduled, now bool, done func(error)) {
	c := later{now, schedule.Entry{At: record.LogTime(x.At), Partition: q.part.id, Offset: x.Offset, Level: x.Level}}
	q.part.shard.propose(kindLater, c.appendTo(nil), func(_ any, err error) { done(err) })
}

// later ends the waiting of a scheduled record before its time.
type later struct {
	now   bool // it can be given; otherwise it is settled
	entry schedule.Entry
}

// appendTo appends the logged form, drawn in docs/format/lease.md.
func (l *later) appendTo(dst []byte) []byte {
	dst = codec.AppendVarint(codec.AppendBool(dst, l.now), l.entry.At)
	dst = codec.AppendUvarint(dst, l.entry.Partition)
	return append(codec.AppendVarint(dst, l.entry.Offset), l.entry.Level)
}

func decodeLater(payload []byte) (later, error) {
	r := codec.NewReader(payload)
	l := later{r.Bool(), schedule.Entry{
		At: record.LogTime(r.Varint(math.MinInt64, math.MaxInt64)), Partition: record.PartitionID(r.Uvarint(math.MaxUint64)),
		Offset: record.Offset(r.Varint(math.MinInt64, math.MaxInt64)), Level: r.Byte(),
	}}
	if err := r.Close(); err != nil {
		return l, fmt.Errorf("%w: a change of a schedule: %w", errBody, err)
	}
	return l, nil
}

// applyLater carries it out.
func (q *queues) applyLater(e *replica.Entry, payload []byte) error {
	l, err := decodeLater(payload)
	if err != nil {
		return err
	}
	local := q.s.locals.command()
	set := q.state.Lookup(l.entry.Partition)
	switch {
	case set == nil || !q.schedule.Remove(l.entry):
		err = ErrNotScheduled
	case l.now || fault.On(fault.KeepCancelled):
		q.free(l.entry)
	default:
		q.state.Settle(set, l.entry.Offset)
		q.gone(l.entry.Partition, l.entry.Offset)
		q.changed(e, set)
	}
	if local != nil {
		local.result, local.err = true, err
	}
	return nil
}

// gone tells the desk that nobody will have a record any more.
func (q *queues) gone(id record.PartitionID, o record.Offset) {
	if d := q.deskOf(id); d != nil {
		d.Gone(o)
	}
}
