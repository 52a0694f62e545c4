package replica

import (
	"fmt"
	"math"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// ready does what Raft asks for: tell who leads, write, send, apply.
//
// Messages to other members leave at once, in parallel with the writing. What
// says that something is durable (an acknowledgement, a vote) is among the
// responses of a write and leaves when the store says that it is.
func (g *Group) ready(rd raft.Ready) error {
	g.observe(&rd)
	var responses []*raftpb.Message
	for _, m := range rd.Messages {
		switch m.GetTo() {
		case raft.LocalAppendThread:
			var err error
			if responses, err = g.storeAppend(m); err != nil {
				return err
			}
		case raft.LocalApplyThread:
			for _, e := range m.GetEntries() {
				if err := g.apply(e); err != nil {
					return err
				}
			}
			responses = append(responses, m.GetResponses()...)
		default:
			g.sendRaft(m)
		}
	}
	g.respond(responses)
	g.reads.states(rd.ReadStates)
	g.reads.answer(g.Applied())
	return nil
}

// observe notices changes of leadership and term.
func (g *Group) observe(rd *raft.Ready) {
	state, lead, term := g.state, g.lead, g.term
	if rd.SoftState != nil {
		state, lead = rd.SoftState.RaftState, record.NodeID(rd.SoftState.Lead)
	}
	if !raft.IsEmptyHardState(rd.HardState) {
		term = record.Term(rd.HardState.GetTerm())
	}
	if state == g.state && lead == g.lead && term == g.term {
		return
	}
	g.state, g.lead, g.term = state, lead, term
	g.endReign(NotLeaderError{lead})
	g.reads.end(ErrUnknown)
	g.isLeader = state == raft.StateLeader
	g.campaign = g.campaign && !g.isLeader
	g.publish()
	if !g.isLeader {
		g.sm.LeaderChanged(false, lead, term)
	}
	g.loop.startTicks()
}

// takeOver begins the reign of this member, which has now applied everything
// of the terms before.
func (g *Group) takeOver() {
	g.isReady = true
	mono := g.host.clock.Mono()
	if step := g.clock.Start(g.now, g.host.clock.Now(), mono); step > bigStep {
		g.host.warnStep(step, mono)
	}
	if g.hold {
		g.clock.Hold()
	}
	g.ticked, g.tickedAt = 0, 0
	g.publish()
	g.sm.LeaderChanged(true, g.lead, g.term)
}

// storeAppend queues what Raft wants to be durable. It returns the responses
// that need not wait for any write.
//
// A commit index that moves alone is not worth a write: it goes with the next
// one. (A restart finds it again through the other members, or, alone, by
// leading.)
func (g *Group) storeAppend(m *raftpb.Message) (now []*raftpb.Message, err error) {
	if m.GetSnapshot() != nil {
		return nil, &raftPanic{"a snapshot was accepted that this member does not hold"}
	}
	var vital bool
	if m.Term != nil {
		h := hard{record.Term(m.GetTerm()), record.NodeID(m.GetVote())}
		vital = h != g.saved
		g.saved, g.commit, g.unsaved = h, record.Index(m.GetCommit()), true
	}
	ents := m.GetEntries()
	if !vital && len(ents) == 0 {
		if g.writing == 0 {
			return m.GetResponses(), nil
		}
		s := &g.lastWrite.slots[g.lastSlot]
		s.responses = append(s.responses, m.GetResponses()...)
		return nil, nil
	}
	var h *store.HardState
	if g.unsaved {
		h = &store.HardState{Term: g.saved.term, Vote: g.saved.vote, Commit: g.commit}
		g.unsaved = false
	}
	if len(ents) > 0 {
		g.log.keep(ents)
		g.cut.grew(ents, min(markStep, g.host.tune.keepBytes))
	}
	g.loop.add(g, h, ents, m.GetResponses())
	return nil, nil
}

// respond delivers what says that something is durable or applied: to Raft
// itself, or to other members.
func (g *Group) respond(ms []*raftpb.Message) {
	for _, m := range ms {
		if m.GetTo() != uint64(g.host.node) {
			g.sendRaft(m)
			continue
		}
		g.stepSelf(m)
	}
}

func (g *Group) stepSelf(m *raftpb.Message) {
	if g.stopped {
		return
	}
	if err := g.guard(func() error { return g.node.Step(m) }); err != nil {
		g.host.fail(fmt.Errorf("group %d: %w", g.id, err))
		g.loop.stop()
	}
}

// sendRaft sends a message of Raft's to another member.
func (g *Group) sendRaft(m *raftpb.Message) {
	if m.GetType() == raftpb.MsgSnap {
		g.offer(m)
	}
	g.host.send(record.NodeID(m.GetTo()), Message{Group: g.id, Raft: m})
}

// apply applies one committed entry.
func (g *Group) apply(e *raftpb.Entry) error {
	var err error
	switch {
	case e.GetType() != raftpb.EntryNormal:
		err = g.applyMembers(e)
	case len(e.GetData()) > 0:
		err = g.applyProposals(record.Index(e.GetIndex()), record.Term(e.GetTerm()), e.GetData())
	case g.isReady && record.Term(e.GetTerm()) == g.term:
		g.members.settled()
	}
	if err != nil {
		return fmt.Errorf("applying entry %d: %w", e.GetIndex(), err)
	}
	g.appliedTerm = record.Term(e.GetTerm())
	g.applied.Store(e.GetIndex())
	g.log.forget(e.GetIndex())
	g.blocked = false
	if g.isLeader && !g.isReady && g.appliedTerm == g.term {
		g.takeOver()
	}
	return nil
}

// applyProposals applies an entry that a leader's state machine encoded. Of
// this member's own term as leader, such entries are exactly those in flight,
// in order.
func (g *Group) applyProposals(i record.Index, t record.Term, data []byte) error {
	now, hold, body, err := parseEntry(data)
	if err != nil {
		return err
	}
	g.now, g.hold = max(now, g.now), hold
	var b *batch
	if g.isReady && t == g.term {
		b = g.landed()
	}
	entry := Entry{Index: i, Term: t, Now: g.now, Hold: hold, Data: body, Base: entryHeaderSize}
	if b == nil || b.answered {
		g.sm.Apply(entry, nil)
	} else {
		g.sm.Apply(entry, b.proposals)
	}
	if b != nil {
		g.reuse(b)
		g.finish(b, nil)
	}
	return nil
}

// applyMembers applies a change of the group's members.
func (g *Group) applyMembers(e *raftpb.Entry) error {
	var change raftpb.ConfChangeI
	if e.GetType() == raftpb.EntryConfChange {
		c := &raftpb.ConfChange{}
		if err := proto.Unmarshal(e.GetData(), c); err != nil {
			return fmt.Errorf("decoding a change of members: %w", err)
		}
		change = c
	} else {
		c := &raftpb.ConfChangeV2{}
		if err := proto.Unmarshal(e.GetData(), c); err != nil {
			return fmt.Errorf("decoding a change of members: %w", err)
		}
		change = c
	}
	g.conf = g.node.ApplyConfChange(change)
	g.publish()
	g.changed(change.AsV2().GetContext())
	g.loop.startTicks()
	return nil
}

// lastEntry is the largest index there can be.
const lastEntry record.Index = math.MaxUint64
