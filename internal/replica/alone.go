package replica

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// A member that is its whole group and leads it needs no Raft to know what is
// committed: what is durable here. Raft decides that with 57 allocations an entry,
// so once it has elected this member and has nothing left to do it is put away, and
// entries go from the queue to the store and from there to the state machine.
//
// That is safe because nobody else can be elected meanwhile: that takes the vote
// of this member, which gives none, since it listens to nobody. What others send
// comes from who was a member once, and to lose messages is something that Raft
// is made for.
//
// A change of members needs Raft again. It starts from the store as after a
// crash, when all that was written is durable and applied, with one difference:
// it is told the term before this one. So the election, which it wins by its own
// vote, makes it the leader of the term that it leads already, and nobody
// notices. No other member can have led in that term: this one has voted, durably,
// for itself, and a majority was its vote. Its log is what it was, and longer.
// (ADR 19.)

var errNotElected = errors.New("the only member was not elected")

// sole is a group's part in leading alone; it means something while Group.node is
// nil.
type sole struct {
	last    record.Index // given to the store
	durable record.Index
}

// mayLeadAlone reports whether Raft can be put away: this member is the group,
// leads, and all of its log is durable and applied.
func (g *Group) mayLeadAlone() bool {
	return g.node != nil && g.isReady && g.alone() && len(g.inFlight) == 0 && g.held == nil && g.writing == 0 &&
		!g.members.busy() && len(g.reads.waiting) == 0 && !g.node.HasReady() && g.log.log.LastIndex() == g.Applied()
}

// leadAlone puts Raft away.
func (g *Group) leadAlone() {
	g.node = nil
	g.sole = sole{last: g.Applied(), durable: g.Applied()}
}

// appendAlone gives the entry of a batch to the store.
func (g *Group) appendAlone(b *batch, data []byte) {
	g.sole.last++
	b.index, b.data, b.body = g.sole.last, data, data
	g.loop.addAlone(g, store.Entry{Index: b.index, Term: g.term, Kind: uint8(raftpb.EntryNormal), Data: data, Splices: b.splices})
}

// joined takes an entry from the store that has put it together, to be applied. Its
// proposals may have been answered meanwhile: then nobody is left to apply it for.
func (g *Group) joined(e *store.Entry) {
	for _, b := range g.inFlight {
		if b.index == e.Index {
			b.data, b.chunk = e.Data, e.Chunk
			return
		}
	}
	if e.Chunk != nil {
		e.Chunk.Release()
	}
}

// goOnAlone applies what has become durable, and calls Raft back if a change of
// members was asked for and everything is.
func (g *Group) goOnAlone() error {
	if g.node != nil {
		return nil
	}
	for len(g.inFlight) > 0 && g.inFlight[0].index <= g.sole.durable {
		b := g.inFlight[0]
		i := b.index
		if err := g.applyProposals(i, g.term, b.data); err != nil {
			return fmt.Errorf("applying entry %d: %w", i, err)
		}
		g.appliedTerm = g.term
		g.applied.Store(uint64(i))
	}
	asked := g.members.asked
	if asked == nil || len(g.inFlight) > 0 {
		return nil
	}
	if err := g.callRaft(); err != nil {
		return err
	}
	g.members.asked = nil
	asked()
	return nil
}

// callRaft has Raft lead again, in the same term. All that was appended is durable
// and applied.
func (g *Group) callRaft() error {
	applied := g.Applied()
	if fault.On(fault.ForgetLast) {
		applied--
	}
	g.log = &raftLog{group: g.id, storage: g.host.store, log: g.host.store.log(g.id), conf: g.conf}
	g.log.hard = hardState(store.HardState{Term: g.term - 1, Commit: applied})
	g.commit, g.unsaved = applied, true
	var err error
	if g.node, err = raft.NewRawNode(g.raftConfig(uint64(applied))); err != nil {
		return fmt.Errorf("starting Raft: %w", err)
	}
	if err := g.node.Campaign(); err != nil {
		return fmt.Errorf("electing the leader anew: %w", err)
	}
	// The term and the vote that Raft wants written are those that are durable.
	for g.node.BasicStatus().RaftState != raft.StateLeader {
		if !g.node.HasReady() {
			return errNotElected
		}
		for _, m := range g.node.Ready().Messages {
			for _, r := range m.GetResponses() {
				if err := g.node.Step(r); err != nil {
					return fmt.Errorf("electing the leader anew: %w", err)
				}
			}
		}
	}
	return nil
}

// readAlone answers the calls of ReadIndex: what was committed when they came is
// what was answered, and that is applied.
func (g *Group) readAlone() {
	for i := range g.reads.waiting {
		g.reads.waiting[i].index = g.Applied()
	}
	g.reads.answer(g.Applied())
}
