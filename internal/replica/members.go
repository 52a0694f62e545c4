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
type memberChange struct {
	done func(error)
	mark []byte // names the change in the log
	next uint64
}

// AddLearner adds a member that receives everything and has no vote.
func (g *Group) AddLearner(id record.NodeID, done func(error)) {
	g.change(raftpb.ConfChangeAddLearnerNode, id, done)
}

// Promote gives a learner a vote. It is refused with ErrRefused while the
// learner has not caught up.
func (g *Group) Promote(id record.NodeID, done func(error)) {
	g.change(raftpb.ConfChangeAddNode, id, done)
}

// Remove removes a member. A leader that removes itself steps down.
func (g *Group) Remove(id record.NodeID, done func(error)) {
	g.change(raftpb.ConfChangeRemoveNode, id, done)
}

// TransferLeader hands leadership to another member, if that one is up to
// date within an election timeout. Proposals wait meanwhile.
func (g *Group) TransferLeader(to record.NodeID) {
	g.loop.call(g, func() {
		if !g.stopped && g.isLeader {
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
	case g.members.done != nil || len(g.conf.GetVotersOutgoing()) > 0 || !g.sensible(t, id):
		done(ErrRefused)
		return
	}
	g.members.next++
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
}

// sensible reports whether a change makes sense: Raft would not survive some
// that do not.
func (g *Group) sensible(t raftpb.ConfChangeType, id record.NodeID) bool {
	voter := slices.Contains(g.conf.GetVoters(), uint64(id))
	learner := slices.Contains(g.conf.GetLearners(), uint64(id))
	switch t {
	case raftpb.ConfChangeAddLearnerNode:
		return id != 0 && !voter && !learner
	case raftpb.ConfChangeAddNode:
		return learner && g.caughtUp(id)
	default:
		return learner || voter && len(g.conf.GetVoters()) > 1
	}
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

// applied answers the change under way if it is the one in the log.
func (c *memberChange) applied(mark []byte) {
	if done := c.done; done != nil && bytes.Equal(mark, c.mark) {
		c.done = nil
		done(nil)
	}
}

// end answers the change under way when leadership is lost.
func (c *memberChange) end() {
	if done := c.done; done != nil {
		c.done = nil
		done(ErrUnknown)
	}
}
