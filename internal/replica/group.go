package replica

import "github.com/polylog-mq/polylog/internal/record"

// Group is this node's member of one Raft group. Its methods may be called
// from any goroutine and never block; functions given to them are called on
// the group's loop.
type Group struct{}

// ID returns the group's id.
func (g *Group) ID() record.ShardID { panic("unwritten") }

// Propose asks for p to be put into the log. Proposals keep the order of the
// calls: one is never applied before an earlier one of the same group that
// succeeds. The outcome comes through p.Done.
func (g *Group) Propose(p Proposal) { panic("unwritten") }

// Post runs fn on the group's loop, after everything posted and proposed
// before.
func (g *Group) Post(fn func()) { panic("unwritten") }

// ReadIndex calls done(nil) once this member has applied everything that was
// committed when ReadIndex was called, having asked a majority (ReadOnlySafe).
// Any member may ask; done may also get ErrNotLeader (nobody leads),
// ErrUnknown or ErrStopped.
func (g *Group) ReadIndex(done func(error)) { panic("unwritten") }

// Leader returns who leads, 0 if nobody is known to, and the term.
func (g *Group) Leader() (record.NodeID, record.Term) { panic("unwritten") }

// IsLeader reports whether this member leads and has applied all entries of
// earlier terms, that is, whether proposals have a chance.
func (g *Group) IsLeader() bool { panic("unwritten") }

// Applied returns the index of the last entry applied.
func (g *Group) Applied() record.Index { panic("unwritten") }

// TransferLeader hands leadership to another member, if that one is up to
// date within an election timeout. Proposals wait meanwhile.
func (g *Group) TransferLeader(to record.NodeID) { panic("unwritten") }

// AddLearner adds a member that receives everything and has no vote.
func (g *Group) AddLearner(id record.NodeID, done func(error)) { panic("unwritten") }

// Promote gives a learner a vote. It is refused with ErrRefused while the
// learner has not caught up.
func (g *Group) Promote(id record.NodeID, done func(error)) { panic("unwritten") }

// Remove removes a member. A leader that removes itself steps down.
func (g *Group) Remove(id record.NodeID, done func(error)) { panic("unwritten") }

// Members returns the voters and learners as of the last entry applied.
func (g *Group) Members() (voters, learners []record.NodeID) { panic("unwritten") }
