package broker

import (
	"sync/atomic"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
)

// member is this node's part in one Raft group: what a data shard and the
// metadata group have in common.
type member struct {
	b  *Broker
	id record.ShardID
	// group is set once, right after its machine was restored.
	group *replica.Group

	leader atomic.Uint64
	term   atomic.Uint64
	// leads says that this node leads and has applied everything of the terms
	// before.
	leads atomic.Bool
}

// leaderChanged publishes who leads.
func (m *member) leaderChanged(self bool, leader record.NodeID, term record.Term) {
	if !self {
		m.leads.Store(false)
	}
	m.term.Store(uint64(term))
	m.leader.Store(uint64(leader))
	if self {
		m.leads.Store(true)
	}
}

// command is a proposal of anything but a batch.
type command struct {
	b    *Broker
	kind commandKind
	body []byte // encoded already
	at   int    // its place among the proposals of its entry

	// result and err are filled in by apply.
	result any
	err    error
	// done is called once, on the group's loop, with what apply filled in or
	// the reason why it was not applied.
	done func(result any, err error)
}

// propose puts a command of a client into the group's log. It never blocks; done
// may be called before it returns.
func (m *member) propose(kind commandKind, body []byte, done func(result any, err error)) {
	m.proposeWith(kind, body, nil, done)
}

// proposeWith is propose for a command that apply finds something in as its
// result.
func (m *member) proposeWith(kind commandKind, body []byte, result any, done func(result any, err error)) {
	c := &command{b: m.b, kind: kind, body: body, result: result, done: done}
	if err := m.b.admit(c.Size()); err != nil {
		done(nil, err)
		return
	}
	m.group.Propose(c)
}

// proposeOwn is propose for commands of the broker's own making, which go on
// while it is busy or closing.
func (m *member) proposeOwn(kind commandKind, body []byte, done func(result any, err error)) {
	c := &command{b: m.b, kind: kind, body: body, done: done}
	m.b.budget.used.Add(int64(c.Size()))
	m.group.Propose(c)
}

// Size implements replica.Proposal.
func (c *command) Size() int { return len(c.body) + proposalOverhead }

// Done implements replica.Proposal.
func (c *command) Done(err error) {
	c.b.release(c.Size())
	if err != nil {
		c.done(nil, c.b.explain(err))
		return
	}
	c.done(c.result, c.err)
}

// appendTo appends the command to an entry's body.
func (c *command) appendTo(dst []byte) []byte {
	start := len(dst)
	dst = append(beginCommand(dst, c.kind), c.body...)
	endCommand(dst, start)
	return dst
}

// locals hands the proposals of an entry that was proposed here to the commands
// of its body, in the order of the body. It is reused from entry to entry.
type locals struct {
	order []replica.Proposal
	next  int
}

// begin takes the proposals of an entry, nil for an entry from elsewhere.
func (l *locals) begin(batch []replica.Proposal) {
	clear(l.order)
	l.next = 0
	if cap(l.order) < len(batch) {
		l.order = make([]replica.Proposal, len(batch))
	}
	l.order = l.order[:len(batch)]
	for _, p := range batch {
		switch p := p.(type) {
		case *appendProposal:
			l.order[p.at] = p
		case *command:
			l.order[p.at] = p
		case *report:
			l.order[p.at] = p
		}
	}
}

// append returns the proposal of the next batch, nil for one from elsewhere.
func (l *locals) append() *appendProposal {
	if l.next == len(l.order) {
		return nil
	}
	l.next++
	return l.order[l.next-1].(*appendProposal)
}

// take returns the proposal of the next command of whatever type, nil for one
// from elsewhere.
func (l *locals) take() replica.Proposal {
	if l.next == len(l.order) {
		return nil
	}
	l.next++
	return l.order[l.next-1]
}

// command returns the proposal of the next command, nil for one from elsewhere.
func (l *locals) command() *command {
	if l.next == len(l.order) {
		return nil
	}
	l.next++
	return l.order[l.next-1].(*command)
}
