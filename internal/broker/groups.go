package broker

import (
	"fmt"

	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/state/group"
)

// groups is the part of a shard that holds consumer groups: their state, and on
// the leader who waits for an answer and who has shown signs of life. It is a
// component; all of it belongs to the shard's loop.
type groups struct {
	s     *shard
	state *group.State
	fx    group.Effects

	// joins and syncs are the requests that wait for other members.
	joins    map[memberKey]*groupWait
	syncs    map[memberKey]*groupWait
	sessions sessions
}

// memberKey names a member of a group.
type memberKey struct{ group, member string }

func newGroups(s *shard) *groups {
	g := &groups{s: s, joins: map[memberKey]*groupWait{}, syncs: map[memberKey]*groupWait{}}
	g.sessions.init(g)
	return g
}

func (*groups) kind() commandKind { return kindGroup }

// apply implements component. A local join or sync that has to wait is parked;
// all other commands are answered by the reply in local.result.
func (g *groups) apply(e *replica.Entry, payload []byte, local *command) error {
	c, err := group.Decode(payload)
	if err != nil {
		return fmt.Errorf("a command of a consumer group: %w", err)
	}
	if fault.Planted && g.plant(e, c) {
		return nil
	}
	g.state.Begin(e.Now, e.Term)
	r := g.state.Apply(e.Now, c, &g.fx)
	if local == nil {
		return nil
	}
	switch c := c.(type) {
	case *group.Join:
		g.answer(g.joins, memberKey{c.Group, c.Member}, local, r)
		local.err = r.Join.Err
	case *group.Sync:
		g.answer(g.syncs, memberKey{c.Group, c.Member}, local, r)
		local.err = r.Sync.Err
	case *group.Commit:
		if r.Err == nil && c.Member != "" {
			g.sessions.touch(memberKey{c.Group, c.Member})
		}
		g.notice(c)
		local.err = r.Err
	default:
		local.result, local.err = r, r.Err
	}
	return nil
}

// plant is where the planted bugs are that concern commits of offsets. It
// reports whether the command is done with.
func (g *groups) plant(e *replica.Entry, c group.Command) bool {
	commit, ok := c.(*group.Commit)
	if !ok {
		return false
	}
	if d, ok := g.state.Describe(commit.Group); ok && fault.On(fault.ZombieCommit) && commit.Member != "" && len(d.Members) > 0 {
		commit.Member, commit.Generation = d.Members[0].Member, d.Generation
	}
	for _, t := range commit.Topics {
		for _, p := range t.Partitions {
			if p.Partition < 0 && fault.On(fault.PoisonCommand) {
				panic("a partition below 0")
			}
		}
	}
	return fault.On(fault.LoseOffset) && e.Index%8 == 0
}

// tick implements component: it ends the entry, and answers those for whom the
// waiting is over.
func (g *groups) tick(e *replica.Entry) {
	g.state.Begin(e.Now, e.Term)
	g.state.Tick(e.Now, e.Hold, &g.fx)
	for i := range g.fx.Joined {
		j := &g.fx.Joined[i]
		g.wake(g.joins, memberKey{j.Group, j.Member}, group.Reply{Join: j.Reply})
	}
	for i := range g.fx.Synced {
		s := &g.fx.Synced[i]
		g.wake(g.syncs, memberKey{s.Group, s.Member}, group.Reply{Sync: s.Reply})
	}
	g.fx.Reset()
}

func (g *groups) nextDeadline() (record.LogTime, bool) { return g.state.NextDeadline() }

// leaderChanged implements component. Those who wait ask the new leader; that
// one gives every member a full session.
func (g *groups) leaderChanged(self bool, _ record.NodeID, _ record.Term) {
	g.abandon(ErrNotLeader)
	g.sessions.clear()
	if !self {
		return
	}
	for id, member := range g.state.Members() {
		g.sessions.touch(memberKey{id, member})
	}
	// The settings may be others than the last leader's; and rebalances under
	// way go on from the first entry of the new term.
	if wanted := g.s.b.opts.Groups; g.state.Settings() != wanted || g.state.Rebalancing() {
		g.proposeOwn(&group.Configure{Settings: wanted})
	}
	g.forgetDeleted(g.state.Topics())
}

// proposeOwn proposes a command that nobody waits for. If it is lost, its
// reason will come up again.
func (g *groups) proposeOwn(c group.Command) {
	g.s.proposeOwn(kindGroup, c.AppendTo(nil), func(any, error) {})
}

// reset implements component.
func (g *groups) reset() {
	g.abandon(ErrNotLeader)
	g.sessions.clear()
	g.state = group.New()
	g.fx.Reset()
}

// Freeze implements section.
func (g *groups) Freeze() { g.state.Freeze() }

// EncodePages implements section.
func (g *groups) EncodePages(emit func(key, value []byte), more func() bool) bool {
	return g.state.EncodePages(emit, more)
}

// RestorePage implements section.
func (g *groups) RestorePage(key, value []byte) error { return g.state.RestorePage(key, value) }

// Restored implements section.
func (g *groups) Restored() error { return g.state.Restored() }

// notice sees to the offsets that were committed for a topic while it was being
// deleted.
func (g *groups) notice(c *group.Commit) {
	var gone []record.TopicID
	for i := range c.Topics {
		if t := g.s.b.Topic(c.Topics[i].Name); t == nil || t.ID != c.Topics[i].Topic {
			gone = append(gone, c.Topics[i].Topic)
		}
	}
	g.forgetDeleted(gone)
}

// forgetDeleted drops the offsets of those of these topics that were deleted.
// The catalog knows: an id that it has given and that no topic has is that of a
// deleted one, since ids are never given again.
func (g *groups) forgetDeleted(ids []record.TopicID) {
	if len(ids) == 0 {
		return
	}
	m := g.s.b.metadata
	m.group.Post(func() {
		var gone []record.TopicID
		for _, id := range ids {
			if m.catalog.Gone(id) {
				gone = append(gone, id)
			}
		}
		if len(gone) > 0 {
			g.s.group.Post(func() { g.forget(gone) })
		}
	})
}

// forget drops the offsets of deleted topics, if this node leads and there are
// any.
func (g *groups) forget(ids []record.TopicID) {
	if !g.s.leads.Load() {
		return
	}
	c := &group.Forget{}
	for _, id := range ids {
		if g.state.HasTopic(id) {
			c.Topics = append(c.Topics, id)
		}
	}
	if len(c.Topics) > 0 {
		g.proposeOwn(c)
	}
}

// topicDeleted lets every shard drop the offsets of a deleted topic.
func (b *Broker) topicDeleted(id record.TopicID) {
	for _, shard := range sortedKeys(b.shards) {
		if s := b.shards[shard]; s.group != nil {
			s.group.Post(func() { s.groups.forget([]record.TopicID{id}) })
		}
	}
}

// endGroupWaits answers all members that wait, since the node is stopping.
func (b *Broker) endGroupWaits() {
	for _, id := range sortedKeys(b.shards) {
		if s := b.shards[id]; s.group != nil {
			s.group.Post(func() { s.groups.abandon(ErrClosed) })
		}
	}
}
