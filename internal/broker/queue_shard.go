package broker

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/state/lease"
	"github.com/polylog-mq/polylog/internal/state/schedule"
)

// queues is the part of a shard that holds lease sets: their state, and on the
// leader the desks that give their records away. It is a component; all of it
// belongs to the shard's loop.
type queues struct {
	s     *shard
	state *lease.State
	fx    lease.Effects
	// schedule is what is held until later; its pages are those of component
	// schedules.
	schedule *schedule.State
	fired    []schedule.Entry

	// touched are the partitions whose desk is to be looked at when the entry is
	// settled.
	touched []*desk
	// sessions are those that have leases or consumers here.
	sessions map[uint64]*sessionAt

	// ledSince is when this node began to lead, by the monotonic clock.
	ledSince time.Duration
	// reports counts the reports that were filled.
	reports uint64
	// waiting is the report that is proposed and not encoded yet, flying are
	// those that are in the log and not applied, in order.
	waiting *report
	flying  []*report
	// dirty are the desks that have something to report.
	dirty []*desk
	// urgent says that somebody waits for what they have to report, resting that a
	// timer will send it else.
	urgent  bool
	resting atomic.Bool

	// now is the log time of the last entry, and nowAt the monotonic time at
	// which it was applied.
	now   record.LogTime
	nowAt time.Duration
	hold  bool
	due   expiries
	// kept are the desks that have kept what they read, the oldest first.
	kept []*desk
}

// sessionAt is a session as a shard knows it.
type sessionAt struct {
	number  uint64
	holders []*holder
}

func newQueues(s *shard) *queues {
	q := &queues{s: s}
	q.reset()
	return q
}

func (*queues) kind() commandKind { return kindLease }

// apply implements component. The shard calls applyCommand instead.
func (q *queues) apply(*replica.Entry, []byte, *command) error {
	return fmt.Errorf("%w: a command of lease sets in the wrong place", errBody)
}

// applyCommand carries out a command of lease sets.
func (q *queues) applyCommand(e *replica.Entry, payload []byte, local replica.Proposal) error {
	c, err := lease.Decode(payload)
	if err != nil {
		return fmt.Errorf("a command of lease sets: %w", err)
	}
	switch c := c.(type) {
	case *lease.Open:
		q.open(c)
	case *lease.Report:
		q.state.Apply(e.Now, e.Hold, c, &q.fx)
		q.settledAbove(c)
		q.carryOut(e)
	}
	if local, ok := local.(*command); ok {
		local.result = true
	}
	return nil
}

// carryOut sees to what a report has done.
func (q *queues) carryOut(e *replica.Entry) {
	q.give(e)
	q.applied(e)
	q.seeTo(e)
}

// give tells the desks which records can be given again, and which are gone.
func (q *queues) give(e *replica.Entry) {
	for _, r := range q.fx.Back {
		if d := q.deskOf(r.Set.ID()); d != nil {
			d.Back(r)
		}
	}
	for _, x := range q.fx.Gone {
		if d := q.deskOf(x.Set.ID()); d != nil {
			d.Gone(x.Offset)
		}
	}
	for _, l := range q.fx.Later {
		q.later(e, l.Set.ID(), l.Offset, l.Level, l.Delay)
	}
}

// seeTo sees to the sets of which records were settled.
func (q *queues) seeTo(e *replica.Entry) {
	for _, set := range q.fx.Changed {
		q.changed(e, set)
	}
	q.fx.Reset()
}

// changed sees to a set of which records were settled.
func (q *queues) changed(e *replica.Entry, set *lease.Set) {
	p := q.s.parts[set.ID()]
	if p == nil {
		return
	}
	if p.state.Settings().Lease != "" {
		if set.Settings().Retention == 0 {
			q.s.topics.Trim(e.Now, p.state, set.Floor(), &q.s.fx)
		}
		p.keep()
	}
	q.touch(p.desk)
}

// keep tells the partition what its lease set lets retention remove.
func (p *Partition) keep() { p.state.Keep(p.lease.Floor(), p.lease.Settings().Retention) }

// trimmed settles what retention, or somebody who deletes records, has removed.
func (q *queues) trimmed(p *Partition, start record.Offset) {
	if start > p.lease.Floor() {
		q.state.SettleBelow(p.lease, start)
		p.keep()
		if p.desk != nil {
			p.desk.Sweep()
		}
		q.touch(p.desk)
	}
}

// open gives a partition that was none the lease set of a queue.
func (q *queues) open(o *lease.Open) {
	p := q.s.parts[o.Partition]
	switch {
	case p == nil, p.lease != nil && p.state.Settings().Lease != "":
		return
	case p.lease != nil: // policies have changed
		q.state.Define(o.Partition, 0, o.Settings)
		q.opened(p)
		return
	}
	p.lease = q.state.Define(o.Partition, p.state.LogStart(), o.Settings)
	if next := p.state.HighWatermark(); next > p.lease.Next() {
		q.state.Append(p.lease, lease.Batch{Range: lease.Range{First: p.lease.Next(), Last: next - 1}, TTL: -1})
	}
	q.opened(p)
	q.s.compact(q.s.entry.Index, p.state)
}

// define is called when a partition was defined, or has new settings.
func (q *queues) define(p *Partition) {
	p.lease = q.state.Lookup(p.id)
	if encoded := p.state.Settings().Lease; encoded != "" {
		s, err := lease.DecodeSettings([]byte(encoded))
		if err != nil {
			// The catalog took them, so every member finds the same.
			q.s.b.log.Error("a queue has settings that this program cannot read", "partition", p.id, "reason", err)
			return
		}
		if p.lease == nil || *p.lease.Settings() != *s {
			p.lease = q.state.Define(p.id, p.state.LogStart(), s)
		}
	}
	if p.lease != nil {
		p.keep()
		q.opened(p)
	}
}

// opened makes a lease set's settings visible, and on the leader its desk.
func (q *queues) opened(p *Partition) {
	handle := p.asQueue()
	handle.settings.Store(p.lease.Settings())
	q.keepSettled(p)
	switch {
	case p.desk != nil:
		p.desk.Configure()
	case q.s.leads.Load():
		q.makeDesk(p)
	default:
		q.show(p)
	}
	q.touch(p.desk)
}

// drop is called when a partition is gone.
func (q *queues) drop(p *Partition) {
	q.state.Drop(p.id)
	if p.lease == nil {
		return
	}
	if p.desk != nil {
		p.desk.close(ErrUnknownQueue)
	}
	p.lease, p.desk = nil, nil
}

// makeDesk opens the leader's desk over a lease set.
func (q *queues) makeDesk(p *Partition) *desk {
	p.desk = &desk{
		Desk: lease.NewDesk(p.lease, record.Term(q.s.term.Load())), q: q, part: p, queue: p.asQueue(),
		holders: map[uint64]*holder{},
	}
	q.touch(p.desk)
	return p.desk
}

// deskOf returns the desk of a partition, nil if it has none or another node
// leads.
func (q *queues) deskOf(id record.PartitionID) *desk {
	if p := q.s.parts[id]; p != nil {
		return p.desk
	}
	return nil
}

// appended tells that records came into a partition with a lease set.
func (q *queues) appended(p *Partition, level uint8, last record.Offset, n int64) {
	if d := p.desk; d != nil {
		if level > 0 {
			d.Appended(level, last)
		}
		d.queue.stats.published.Add(n)
		q.touch(d)
	}
}

// touch makes sure that a desk is looked at when the entry is settled.
func (q *queues) touch(d *desk) {
	if d != nil && !d.touched {
		d.touched = true
		q.touched = append(q.touched, d)
	}
}

// tick implements component.
func (q *queues) tick(e *replica.Entry) {
	q.now, q.nowAt, q.hold = e.Now, q.s.b.opts.Clock.Mono(), e.Hold
	if at, ok := q.state.NextDeadline(); ok && at <= e.Now {
		q.state.Tick(e.Now, &q.fx)
		q.give(e)
		q.seeTo(e)
	}
	q.fire(e) // last: it takes in what is scheduled for later in the same bucket
	if q.s.leads.Load() && !e.Hold {
		for _, d := range q.due.until(e.Now) {
			q.touch(d)
		}
	}
}

// settle is called at the end of an entry, when its records can be read.
func (q *queues) settle() {
	for i := 0; i < len(q.touched); i++ { // a desk may be touched meanwhile
		d := q.touched[i]
		d.touched = false
		if d.closed {
			continue
		}
		d.Appended(0, d.part.LastStable()-1)
		d.work()
	}
	clear(q.touched)
	q.touched = q.touched[:0]
	q.send()
}

// time returns what log time is about now.
func (q *queues) time() record.LogTime {
	return q.now + record.LogTime((q.s.b.opts.Clock.Mono()-q.nowAt)/time.Millisecond)
}

func (q *queues) nextDeadline() (record.LogTime, bool) {
	at, ok := q.due.next()
	if then, has := q.state.NextDeadline(); has && (!ok || then < at) {
		at, ok = then, true
	}
	if then, has := q.schedule.NextDeadline(); has && (!ok || then < at) {
		return then, true
	}
	return at, ok
}

// leaderChanged implements component: a new leader begins with empty desks.
func (q *queues) leaderChanged(self bool, _ record.NodeID, _ record.Term) {
	q.closeDesks(ErrNotLeader)
	if !self {
		return
	}
	q.ledSince = q.s.b.opts.Clock.Mono()
	for _, set := range q.state.All() {
		if p := q.s.parts[set.ID()]; p != nil {
			q.makeDesk(p)
			if p.state.Settings().Lease == "" {
				q.compare(p)
			}
		}
	}
	q.settle()
}

// closeDesks ends everything that only a leader does.
func (q *queues) closeDesks(err error) {
	for _, set := range q.state.All() {
		if p := q.s.parts[set.ID()]; p != nil && p.desk != nil {
			p.desk.close(err)
			p.desk = nil
			q.show(p)
		}
	}
	q.touched, q.dirty, q.waiting, q.flying, q.kept = nil, nil, nil, nil, nil
	q.sessions = map[uint64]*sessionAt{}
	q.due = expiries{}
}

// show publishes the counts of a set without a desk.
func (q *queues) show(p *Partition) {
	s := &p.asQueue().stats
	s.ready.Store(p.lease.Unsettled() - p.lease.Held())
	s.scheduled.Store(p.lease.Held() - p.lease.Dying() - p.lease.Lent())
	s.dying.Store(p.lease.Dying())
	s.bytes.Store(p.lease.Bytes())
	s.unacked.Store(p.lease.Lent())
	s.consumers.Store(0)
}

// reset implements component.
func (q *queues) reset() {
	if q.state != nil {
		q.closeDesks(ErrNotLeader)
	}
	for _, p := range q.s.parts {
		p.lease = nil
	}
	q.state = lease.New(q.s.source(kindLease))
	q.schedule = schedule.New(q.s.source(pageSchedule))
	q.sessions = map[uint64]*sessionAt{}
	q.fx.Reset()
}

// later holds a record for so many ms.
func (q *queues) later(e *replica.Entry, id record.PartitionID, o record.Offset, level uint8, delay int64) {
	if fault.On(fault.FireEarly) {
		delay /= 2
	}
	at := e.Now + record.LogTime(min(delay, lease.MaxTime))
	q.schedule.Add(schedule.Entry{At: at, Partition: id, Offset: o, Level: level})
}

// fire sets free what has waited long enough.
func (q *queues) fire(e *replica.Entry) {
	if at, ok := q.schedule.NextDeadline(); !ok || at > e.Now {
		return
	}
	q.fired = q.schedule.Tick(e.Now, q.fired[:0])
	for _, x := range q.fired {
		q.free(x)
	}
}

// free lets a scheduled record be given.
func (q *queues) free(x schedule.Entry) {
	set := q.state.Lookup(x.Partition)
	if set == nil || !q.state.Free(set, x.Offset) {
		return
	}
	if d := q.deskOf(x.Partition); d != nil {
		d.Free(x.Level, x.Offset)
		q.touch(d)
	}
}

// Freeze implements section.
func (q *queues) Freeze() { q.state.Freeze() }

// EncodePages implements section.
func (q *queues) EncodePages(emit func(key, value []byte), more func() bool) bool {
	return q.state.EncodePages(emit, more)
}

// RestorePage implements section.
func (q *queues) RestorePage(key, value []byte) error { return q.state.RestorePage(key, value) }

// Restored implements section.
func (q *queues) Restored() error { return q.state.Restored() }
