package replica

import (
	"bytes"
	"encoding/binary"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/polylog-mq/polylog/internal/record"
)

// memberChange is the change of members that this leader has under way; there
// is one at a time.
//
// Raft's members count votes by the change once they have applied it, and only
// the leader knows at first that it is committed. If those who know were lost,
// the others would, after a restart, ask for the votes of a member that was
// removed and may be gone for good. So a change is answered only when a further
// entry is committed, which brought to a majority of the new members, durably,
// that the change is.
type memberChange struct {
	// asked proposes the change once Raft leads again (alone.go).
	asked func()
	done  func(error)
	mark  []byte // names the change in the log
	next  uint64
	// applied says that the change is, sealed that the entry after it is in the
	// log.
	applied, sealed bool
	// leaving: this leader removes itself. Nothing is proposed behind that: with a
	// longer log than all who stay it would refuse them the votes that they may need.
	leaving bool
}

// AddLearner adds a member that receives everything and has no vote.
//
// Changes of members answer nil once a majority of the members that there are
// then counts by the change, whatever crashes; ErrRefused, ErrNotLeader and
// ErrStopped if nothing has happened, ErrUnknown if leadership was lost
// meanwhile.
func (g *Group) AddLearner(id record.NodeID, done func(error)) {
	g.change(raftpb.ConfChangeAddLearnerNode, id, done)
}

// Promote gives a learner a vote. It is refused with ErrRefused while the
// learner has not caught up.
func (g *Group) Promote(id record.NodeID, done func(error)) {
	g.change(raftpb.ConfChangeAddNode, id, done)
}

// Remove removes a member; of who is none it says so (nil) as durably. Until
// then the member must not be taken away for good. A leader that removes itself
// steps down and answers ErrUnknown: the next leader knows.
func (g *Group) Remove(id record.NodeID, done func(error)) {
	g.change(raftpb.ConfChangeRemoveNode, id, done)
}

// TransferLeader hands leadership to another member, if that one is up to
// date within an election timeout. Proposals wait meanwhile.
func (g *Group) TransferLeader(to record.NodeID) {
	g.loop.call(g, func() {
		if !g.stopped && g.isLeader && g.node != nil { // alone there is nobody
			g.node.TransferLeader(uint64(to))
		}
	})
}

func (g *Group) change(t raftpb.ConfChangeType, id record.NodeID, done func(error)) {
	if !g.loop.call(g, func() { g.proposeChange(t, id, done) }) {
		done(ErrStopped)
	}
}

func (g *Group) proposeChange(t raftpb.ConfChangeType, id record.NodeID, done func(error)) {
	switch {
	case g.stopped:
		done(ErrStopped)
		return
	case !g.isReady:
		done(NotLeaderError{g.lead})
		return
	case g.members.busy() || len(g.conf.GetVotersOutgoing()) > 0 || !g.sensible(t, id):
		done(ErrRefused)
		return
	case g.node == nil:
		g.members.asked = func() { g.proposeChange(t, id, done) }
		return
	}
	g.members.next++
	if t == raftpb.ConfChangeRemoveNode && !g.member(id) {
		g.members.done, g.members.mark = done, nil
		g.changed(nil)
		return
	}
	mark := binary.LittleEndian.AppendUint64(nil, uint64(g.term))
	mark = binary.LittleEndian.AppendUint64(mark, g.members.next)
	c := &raftpb.ConfChangeV2{
		Changes: []*raftpb.ConfChangeSingle{{Type: t.Enum(), NodeId: new(uint64(id))}},
		Context: mark,
	}
	if err := g.node.ProposeConfChange(c); err != nil {
		done(ErrRefused)
		return
	}
	g.members.done, g.members.mark = done, mark
	g.members.leaving = t == raftpb.ConfChangeRemoveNode && id == g.host.node
}

// sensible reports whether a change makes sense: Raft would not survive some
// that do not.
func (g *Group) sensible(t raftpb.ConfChangeType, id record.NodeID) bool {
	switch t {
	case raftpb.ConfChangeAddLearnerNode:
		return id != 0 && !g.member(id)
	case raftpb.ConfChangeAddNode:
		return slices.Contains(g.conf.GetLearners(), uint64(id)) && g.caughtUp(id)
	default:
		return len(g.conf.GetVoters()) > 1 || !slices.Contains(g.conf.GetVoters(), uint64(id))
	}
}

// member reports whether somebody is a voter or a learner.
func (g *Group) member(id record.NodeID) bool {
	return slices.Contains(g.conf.GetVoters(), uint64(id)) || slices.Contains(g.conf.GetLearners(), uint64(id))
}

// caughtUp reports whether a member follows the log closely.
func (g *Group) caughtUp(id record.NodeID) (ok bool) {
	g.node.WithProgress(func(i uint64, _ raft.ProgressType, p tracker.Progress) {
		if i == uint64(id) {
			ok = p.State == tracker.StateReplicate && p.RecentActive && p.Match+promoteLag >= uint64(g.Applied())
		}
	})
	return ok
}

// changed goes on with the change under way if it is the one in the log that was
// applied.
func (g *Group) changed(mark []byte) {
	if c := &g.members; c.done != nil && !c.applied && bytes.Equal(mark, c.mark) {
		c.applied = true
		g.sealChange()
	}
}

// sealChange proposes the empty entry after a change of members. Raft drops it
// while leadership is being handed on; then the next tick proposes it again.
func (g *Group) sealChange() {
	if c := &g.members; c.applied && !c.sealed {
		c.sealed = g.node.Propose(nil) == nil
	}
}

// settled answers the change under way: an empty entry of this leader's own was
// applied, and it has no others once it leads.
func (c *memberChange) settled() {
	if done := c.done; done != nil && c.sealed {
		*c = memberChange{next: c.next}
		done(nil)
	}
}

// busy reports whether a change is under way.
func (c *memberChange) busy() bool { return c.done != nil || c.asked != nil }

// end answers the change under way when leadership is lost.
func (c *memberChange) end() {
	if asked := c.asked; asked != nil {
		c.asked = nil
		asked() // and is refused
	}
	if done := c.done; done != nil {
		*c = memberChange{next: c.next}
		done(ErrUnknown)
	}
}
