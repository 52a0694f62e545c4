package sim

import (
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/polylog-mq/polylog/internal/record"
)

// elections is what the nodes have told each other about who votes and who
// leads: nobody votes twice in a term, and no term has two leaders.
type elections struct {
	w       *world
	votes   map[ballot]uint64
	leaders map[term]record.NodeID
}

// ballot is the vote of a node in a term of a group.
type ballot struct {
	term
	node record.NodeID
}

type term struct {
	group record.ShardID
	term  uint64
}

func (e *elections) init(w *world) {
	e.w, e.votes, e.leaders = w, map[ballot]uint64{}, map[term]record.NodeID{}
}

// sent looks at a message on its way out.
func (e *elections) sent(n *node, g record.ShardID, m *raftpb.Message) {
	t := term{g, m.GetTerm()}
	switch m.GetType() {
	case raftpb.MsgVote: // its own vote counts only once it is durable
		e.cast(n)
	case raftpb.MsgVoteResp:
		if !m.GetReject() {
			e.vote(n, t, m.GetTo())
			e.cast(n)
		}
	case raftpb.MsgApp, raftpb.MsgHeartbeat:
		if other := e.leaders[t]; other != 0 && other != n.id {
			e.w.fail("nodes %d and %d both lead group %d in term %d", other, n.id, g, t.term)
		}
		e.leaders[t] = n.id
	}
}

func (e *elections) vote(n *node, t term, who uint64) {
	b := ballot{t, n.id}
	if other := e.votes[b]; other != 0 && other != who {
		e.w.fail("node %d votes for %d and for %d in term %d of group %d", n.id, other, who, t.term, t.group)
	}
	e.votes[b] = who
}

// cast ends a node that was to end when it votes.
func (e *elections) cast(n *node) {
	if !n.votes {
		return
	}
	n.votes = false
	p := n.process
	e.w.after(1, func() {
		if !p.over() {
			e.w.note("power cut on node %d, which has voted", n.id)
			n.powerOff()
			e.w.after(upTo(e.w.faults, 40*time.Millisecond), n.restart)
		}
	})
}
