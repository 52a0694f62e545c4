package broker

import (
	"fmt"
	"math"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/state/dedup"
	"github.com/polylog-mq/polylog/internal/state/topic"
	"github.com/polylog-mq/polylog/internal/store"
)

// shard is the state machine of one data shard: partitions, the producers that
// write to them, and components such as consumer groups. It implements
// replica.StateMachine; all that is not in member belongs to the shard's loop.
type shard struct {
	member

	topics    *topic.Partitions
	producers *dedup.Table
	// splices are what Splice has left out so far, while it is splicing.
	splices  []store.Splice
	splicing bool
	groups   *groups
	txns     *txns
	queues   *queues
	// components lists what a shard is made of beside its partitions and
	// producers. Their order is that of their ticks and of their pages.
	components []component

	// parts holds the handles of the partitions that are defined here.
	parts map[record.PartitionID]*Partition

	// Reused from entry to entry.
	entry   replica.Entry
	locals  locals
	fx      topic.Effects
	runs    []store.Run
	touched []*Partition
	chains  []*Partition

	pages pages
}

// component is a part of a shard's state beside its partitions. Everything but
// its construction happens on the shard's loop.
type component interface {
	// kind is that of its commands, and the prefix of its pages.
	kind() commandKind
	// apply carries out a command. Results go into local, which is nil unless
	// this node has proposed it. A returned error means that the command could
	// not be read, which ends the program; refusals go into local.err.
	apply(e *replica.Entry, payload []byte, local *command) error
	// tick is called after the commands of every entry, e.Hold forbids expiry.
	tick(e *replica.Entry)
	nextDeadline() (record.LogTime, bool)
	leaderChanged(self bool, leader record.NodeID, term record.Term)
	section
	// reset empties the state; pages and restored follow.
	reset()
}

// section is what a checkpoint asks of a part of the state.
type section interface {
	Freeze()
	EncodePages(emit func(key, value []byte), more func() bool) bool
	RestorePage(key, value []byte) error
	Restored() error
}

// newShard returns a shard without state.
func newShard(b *Broker, id record.ShardID) *shard {
	s := &shard{member: member{b: b, id: id}, parts: map[record.PartitionID]*Partition{}}
	s.groups = newGroups(s)
	s.txns = newTxns(s)
	s.queues = newQueues(s)
	s.components = []component{s.groups, s.txns, s.queues}
	s.reset()
	return s
}

// Apply implements replica.StateMachine.
func (s *shard) Apply(e replica.Entry, batch []replica.Proposal) {
	s.entry = e
	if err := s.apply(&s.entry, batch); err != nil {
		// Another member may have applied it: to go on would be to diverge.
		panic(fmt.Sprintf("shard %d cannot apply entry %d: %v", s.id, e.Index, err))
	}
}

func (s *shard) apply(e *replica.Entry, batch []replica.Proposal) error {
	s.locals.begin(batch)
	cmds, err := openBody(e.Data)
	if err != nil {
		return err
	}
	for cmds.more() {
		kind, payload, err := cmds.next()
		if err != nil {
			return err
		}
		switch kind {
		case kindAppend:
			err = s.applyAppend(e, payload, cmds.pos)
		case kindTopic:
			err = s.applyTopic(e, payload)
		case kindMark:
			err = s.applyMark(e, payload, cmds.pos)
		case kindMove:
			err = s.applyMove(e, payload, cmds.pos)
		case kindLater:
			err = s.queues.applyLater(e, payload)
		case kindLease:
			err = s.queues.applyCommand(e, payload, s.locals.take())
		default:
			err = s.applyComponent(e, kind, payload)
		}
		if err != nil {
			return err
		}
	}
	s.tick(e)
	s.settle(e)
	return s.queues.schedule.Err()
}

func (s *shard) applyTopic(e *replica.Entry, payload []byte) error {
	local := s.locals.command()
	cmd, err := topic.DecodeShardCommand(payload)
	if err != nil {
		return err
	}
	err = s.topics.Apply(e.Now, e.Term, cmd, &s.fx)
	if local != nil {
		local.result, local.err = s.topics.Revision(), err
	}
	return nil
}

func (s *shard) applyComponent(e *replica.Entry, kind commandKind, payload []byte) error {
	local := s.locals.command()
	for _, c := range s.components {
		if c.kind() == kind {
			return c.apply(e, payload, local)
		}
	}
	return fmt.Errorf("%w: command of unknown kind %d", errBody, kind)
}

// tick judges the deadlines that have passed.
func (s *shard) tick(e *replica.Entry) {
	if at, ok := s.topics.NextDeadline(); ok && at <= e.Now {
		s.topics.Tick(e.Now, e.Hold, &s.fx)
	}
	if at, ok := s.producers.NextDeadline(); ok && at <= e.Now {
		s.producers.Tick(e.Now, e.Hold)
	}
	for _, c := range s.components {
		c.tick(e)
	}
}

// settle carries out the effects of an entry: first the store, then what
// readers see, then who waits for it.
func (s *shard) settle(e *replica.Entry) {
	if len(s.runs) > 0 {
		s.b.store.AddRuns(s.id, e.Index, s.runs)
		s.runs = s.runs[:0]
	}
	for _, f := range s.fx.Floors {
		s.b.store.SetFloor(s.id, e.Index, f.Partition, store.AllLevels, f.Offset)
		if p := s.parts[f.Partition]; p != nil {
			p.publish()
			p.publishEpochs()
			p.waiters.changed()
			if p.lease != nil {
				s.queues.trimmed(p, f.Offset)
			}
		}
	}
	for _, st := range s.fx.Defined {
		s.define(st)
		s.compact(e.Index, st)
	}
	for _, st := range s.fx.Compactions {
		s.compact(e.Index, st)
	}
	for _, p := range s.touched {
		p.touched = false
		if p.state.Dropped() {
			continue
		}
		stable := p.LastStable()
		p.publish()
		p.waiters.added(p.fresh, p.freshStable(stable))
		p.fresh, p.decided = 0, false
	}
	s.touched = s.touched[:0]
	s.queues.settle()
	for _, id := range s.fx.Dropped {
		s.b.store.DropPartition(s.id, e.Index, id)
		s.drop(id)
	}
	s.fx.Reset()
}

// freshStable returns how many bytes readers of committed data got by the entry
// that is being settled, which found the last stable offset at was. The end of a
// transaction brings more than the entry's own: so many that nobody waits longer.
func (p *Partition) freshStable(was record.Offset) int {
	switch now := p.LastStable(); {
	case now == was:
		return 0
	case p.decided:
		return math.MaxInt32
	}
	return p.fresh
}

// define makes a partition, or its new settings, known.
func (s *shard) define(st *topic.Partition) {
	if st.Dropped() {
		return
	}
	p := s.parts[st.ID()]
	if p == nil {
		p = s.b.handle(st.ID(), s)
		s.parts[st.ID()] = p
	}
	p.define(st)
	s.queues.define(p)
}

func (s *shard) drop(id record.PartitionID) {
	if p := s.parts[id]; p != nil {
		delete(s.parts, id)
		s.b.forget(id)
		s.queues.drop(p)
		p.drop()
	}
}

// NextDeadline implements replica.StateMachine.
func (s *shard) NextDeadline() (record.LogTime, bool) {
	next, ok := s.topics.NextDeadline()
	earlier := func(at record.LogTime, has bool) {
		if has && (!ok || at < next) {
			next, ok = at, true
		}
	}
	earlier(s.producers.NextDeadline())
	for _, c := range s.components {
		earlier(c.nextDeadline())
	}
	return next, ok
}

// LeaderChanged implements replica.StateMachine.
func (s *shard) LeaderChanged(self bool, leader record.NodeID, term record.Term) {
	s.leaderChanged(self, leader, term)
	for _, c := range s.components {
		c.leaderChanged(self, leader, term)
	}
	for _, st := range s.topics.All() { // in an order that does not vary
		s.parts[st.ID()].waiters.changed()
	}
	s.b.led(&s.member, self, leader)
	if self {
		s.b.metadata.shardLed(s.id)
	}
}
