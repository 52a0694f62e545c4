package replica

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/polylog-mq/polylog/internal/record"
)

// Group is this node's member of one Raft group. Its methods may be called
// from any goroutine and never block; functions given to them are called on
// the group's loop.
type Group struct {
	id      record.ShardID
	host    *Host
	loop    *loop
	sm      StateMachine
	splicer Splicer // sm, if it is one

	// For any goroutine.
	bytes   atomic.Int64 // of the proposals held
	applied atomic.Uint64
	status  atomic.Pointer[status]

	// The rest belongs to the loop.
	node    *raft.RawNode // nil while this member leads alone
	log     *raftLog
	dirty   bool
	stopped bool

	// What Raft said last.
	state raft.StateType
	lead  record.NodeID
	term  record.Term
	conf  *raftpb.ConfState
	// campaign: alone at open, and has not led yet.
	campaign   bool
	startIndex record.Index // committed at open: what a member alone applies first

	// What the log said last.
	appliedTerm record.Term
	now         record.LogTime
	hold        bool

	// Writes on their way, and the last one.
	saved     hard // term and vote given to the store
	commit    record.Index
	unsaved   bool // commit is newer than the store knows
	writing   int
	lastWrite *write
	lastSlot  int

	leading
	sole    sole
	reads   reads
	members memberChange
	cut     groupCut
	offers  []offer
	incoming
}

// hard is the part of the hard state that must be durable.
type hard struct {
	term record.Term
	vote record.NodeID
}

// status is what Group tells to any goroutine.
type status struct {
	leader           record.NodeID
	term             record.Term
	ready            bool // this member leads and is up to date
	voters, learners []record.NodeID
}

func newGroup(h *Host, id record.ShardID, sm StateMachine) (*Group, error) {
	g := &Group{id: id, host: h, loop: h.loops[int(id)%len(h.loops)], sm: sm}
	g.splicer, _ = sm.(Splicer)
	g.leading.init(g)
	g.reads.asked = uint64(h.clock.Now().UnixNano())
	if err := g.start(); err != nil {
		return nil, err
	}
	g.campaign = g.alone()
	return g, nil
}

// start begins, or begins anew after a snapshot, from the durable checkpoint
// and the log above it.
func (g *Group) start() error {
	log, applied, meta, err := openLog(g.id, g.host.store)
	if err != nil {
		return err
	}
	if applied > 0 {
		err := g.sm.Restore(func(yield func(key, value []byte) error) error {
			return g.host.store.LoadPages(g.id, yield)
		})
		if err != nil {
			return fmt.Errorf("restoring the state at index %d: %w", applied, err)
		}
	}
	_, appliedTerm, _, _ := g.host.store.Applied(g.id)
	g.log, g.conf, g.now, g.hold, g.appliedTerm = log, meta.conf, meta.now, meta.hold, appliedTerm
	g.applied.Store(uint64(applied))
	g.cut.durable, g.cut.compacted = applied, log.log.FirstIndex()-1
	g.saved = hard{record.Term(log.hard.GetTerm()), record.NodeID(log.hard.GetVote())}
	g.commit, g.startIndex, g.unsaved = record.Index(log.hard.GetCommit()), record.Index(log.hard.GetCommit()), false
	g.state, g.lead, g.term = raft.StateFollower, 0, g.saved.term
	g.publish()
	return g.guard(func() (err error) {
		g.node, err = raft.NewRawNode(g.raftConfig(uint64(applied)))
		return err
	})
}

func (g *Group) raftConfig(applied uint64) *raft.Config {
	return &raft.Config{
		ID:                        uint64(g.host.node),
		ElectionTick:              electionTicks,
		HeartbeatTick:             heartbeatTicks,
		Storage:                   g.log,
		Applied:                   applied,
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             maxMessageBytes,
		MaxCommittedSizePerReady:  maxApplyBytes,
		MaxUncommittedEntriesSize: g.host.tune.uncommittedBytes,
		MaxInflightMsgs:           maxInflightMessages,
		MaxInflightBytes:          maxInflightBytes,
		CheckQuorum:               true,
		PreVote:                   true,
		ReadOnlyOption:            raft.ReadOnlySafe,
		Logger:                    raftLogger{g.host.logger.With("group", uint32(g.id))},
		DisableProposalForwarding: true,
		StepDownOnRemoval:         true,
	}
}

// guard turns Raft's panics into errors: they say that this member must not go
// on, not that the process is broken.
func (g *Group) guard(f func() error) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case *raftPanic:
			err = p
		case *storageError:
			err = p
		default:
			panic(p)
		}
	}()
	return f()
}

// advance lets the group go on: propose what waits, take what Raft has ready,
// apply. It runs once per step in which the group was touched.
func (g *Group) advance() {
	if g.stopped || g.installing() {
		return
	}
	err := g.guard(func() error {
		if err := g.goOnAlone(); err != nil {
			return err
		}
		g.askReads()
		for range maxRounds {
			g.propose()
			if g.node == nil || !g.node.HasReady() {
				g.settle()
				return nil
			}
			if err := g.ready(g.node.Ready()); err != nil {
				return err
			}
		}
		g.loop.touchLater(g)
		return nil
	})
	if err != nil {
		g.host.fail(fmt.Errorf("group %d: %w", g.id, err))
		g.loop.stop()
	}
}

// settle does what is due when Raft has nothing more to say.
func (g *Group) settle() {
	if g.campaign && g.state == raft.StateFollower && g.alone() && g.Applied() >= g.startIndex {
		if err := g.node.Campaign(); err == nil {
			g.loop.touchLater(g)
		}
	}
	g.armDeadline()
	g.tryInstall()
	g.loop.startTicks()
}

// alone reports whether this member is the whole group.
func (g *Group) alone() bool {
	return len(g.conf.GetVoters()) == 1 && g.conf.GetVoters()[0] == uint64(g.host.node) &&
		len(g.conf.GetLearners())+len(g.conf.GetVotersOutgoing())+len(g.conf.GetLearnersNext()) == 0
}

// needsTicks reports whether time means anything to this member's Raft.
func (g *Group) needsTicks() bool {
	return !g.stopped && !(g.alone() && (g.campaign || g.isLeader))
}

// tick is a tick of Raft's time.
func (g *Group) tick() {
	if g.installing() {
		return
	}
	g.blocked = false
	err := g.guard(func() error {
		g.node.Tick()
		g.tickFlying()
		g.sealChange()
		g.tickReads()
		g.tickOffers()
		g.tickFetch()
		return nil
	})
	if err != nil {
		g.host.fail(fmt.Errorf("group %d: %w", g.id, err))
	}
}

// receive takes a message of another member.
func (g *Group) receive(from record.NodeID, m Message) {
	if g.stopped || g.installing() {
		return
	}
	switch {
	case m.Raft != nil && m.Raft.GetType() == raftpb.MsgSnap:
		g.offered(from, m.Raft)
	case m.Raft != nil && g.node == nil:
		// Of who is a member no more: it has no say (alone.go).
	case m.Raft != nil:
		g.stepRaft(m.Raft)
	case m.Snapshot != nil:
		g.receiveSnapshot(from, m.Snapshot)
	}
}

// stepRaft gives a message to Raft. Errors say that Raft had no use for it.
func (g *Group) stepRaft(m *raftpb.Message) {
	if raft.IsLocalMsg(m.GetType()) && m.GetType() != raftpb.MsgUnreachable {
		return
	}
	err := g.guard(func() error {
		err := g.node.Step(m)
		if errors.Is(err, raft.ErrStepPeerNotFound) || errors.Is(err, raft.ErrProposalDropped) {
			err = nil
		}
		return err
	})
	if err != nil {
		g.host.fail(fmt.Errorf("group %d: %w", g.id, err))
		g.loop.stop()
	}
}

// publish tells any goroutine where the group stands.
func (g *Group) publish() {
	s := &status{leader: g.lead, term: g.term, ready: g.isReady}
	for _, v := range g.conf.GetVoters() {
		s.voters = append(s.voters, record.NodeID(v))
	}
	for _, v := range g.conf.GetLearners() {
		s.learners = append(s.learners, record.NodeID(v))
	}
	g.status.Store(s)
}

// stop ends the group: nothing is acknowledged any more.
func (g *Group) stop() {
	if g.stopped {
		return
	}
	g.stopped = true
	g.endReign(ErrStopped)
	g.reads.end(ErrStopped)
	if g.timer != nil {
		g.timer.Stop()
	}
	g.abandonFetch()
	g.lead, g.state = 0, raft.StateFollower
	g.publish()
}

// ID returns the group's id.
func (g *Group) ID() record.ShardID { return g.id }

// Post runs fn on the group's loop, after everything posted before. It is
// dropped once the host has closed.
func (g *Group) Post(fn func()) { g.loop.call(g, fn) }

// Leader returns who leads, 0 if nobody is known to, and the term.
func (g *Group) Leader() (record.NodeID, record.Term) {
	s := g.status.Load()
	return s.leader, s.term
}

// IsLeader reports whether this member leads and has applied all entries of
// earlier terms, that is, whether proposals have a chance.
func (g *Group) IsLeader() bool { return g.status.Load().ready }

// Applied returns the index of the last entry applied.
func (g *Group) Applied() record.Index { return record.Index(g.applied.Load()) }

// Members returns the voters and learners as of the last entry applied.
func (g *Group) Members() (voters, learners []record.NodeID) {
	s := g.status.Load()
	return slices.Clone(s.voters), slices.Clone(s.learners)
}
