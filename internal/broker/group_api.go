package broker

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/group"
)

// ErrRebalancing answers a JoinGroup or SyncGroup whose member has sent another
// one since, and everybody whom a rebalance sends back. Kafka:
// REBALANCE_IN_PROGRESS.
var ErrRebalancing = group.ErrRebalanceInProgress

// Coordinator returns the node that leads the shard which a group, a
// transactional id or the like lives in. ErrNotLeader while there is none.
func (b *Broker) Coordinator(key string) (Node, error) {
	leader := record.NodeID(b.home(key).leader.Load())
	i := slices.IndexFunc(b.opts.Nodes, func(n Node) bool { return n.ID == leader })
	if leader == 0 || i < 0 {
		return Node{}, fmt.Errorf("%w: none is known", ErrNotLeader)
	}
	return b.opts.Nodes[i], nil
}

// GroupSettings returns the settings of consumer groups in force.
func (b *Broker) GroupSettings() group.Settings { return b.opts.Groups }

// JoinGroup makes the sender of j a member of a group, or keeps it one through
// the coming rebalance; it may wait for that. A join without a member id gets a
// new one; j.New is set here. Nothing of the command is kept. Errors are in the
// reply: those of state/group, ErrNotLeader,
// ErrUnknownFate, ErrBusy, ErrClosed.
func (b *Broker) JoinGroup(j *group.Join, done func(group.JoinReply)) *GroupWait {
	reply := func(r group.Reply) { done(r.Join) }
	if j.New = j.Member == ""; j.New {
		id, err := b.newMemberID(cmp.Or(j.Instance, j.ClientID))
		if err != nil {
			reply(refusal(err))
			return &GroupWait{}
		}
		j.Member = id
	}
	return b.groupWait(memberKey{j.Group, j.Member}, j, reply)
}

// SyncGroup answers with the member's assignment, and takes over those of all
// members if the sender leads the group; it may wait for the leader's. Errors as
// for JoinGroup.
func (b *Broker) SyncGroup(s *group.Sync, done func(group.SyncReply)) *GroupWait {
	return b.groupWait(memberKey{s.Group, s.Member}, s, func(r group.Reply) { done(r.Sync) })
}

// newMemberID makes a member id that was never used.
func (b *Broker) newMemberID(prefix string) (string, error) {
	b.randMu.Lock()
	defer b.randMu.Unlock()
	id, err := newUUID(b.opts.Rand)
	if err != nil {
		return "", fmt.Errorf("making a member id: %w", err)
	}
	return fmt.Sprintf("%s-%x-%x-%x-%x-%x", prefix, id[:4], id[4:6], id[6:8], id[8:10], id[10:]), nil
}

// groupWait proposes a command that may have to wait once it is applied.
func (b *Broker) groupWait(key memberKey, c group.Command, done func(group.Reply)) *GroupWait {
	s := b.home(key.group)
	gw := &GroupWait{groupWait{g: s.groups, key: key, done: done}}
	if err := group.Check(c); err != nil {
		done(refusal(err))
		return gw
	}
	s.proposeWith(kindGroup, c.AppendTo(nil), &gw.w, func(result any, err error) {
		r, applied := result.(group.Reply)
		switch {
		case !applied:
			done(refusal(err))
		case !r.Waiting:
			done(r)
		}
	})
	return gw
}

// groupCommand proposes a command that is answered once it is applied.
func (b *Broker) groupCommand(id string, c group.Command, done func(group.Reply, error)) {
	if err := group.Check(c); err != nil {
		done(group.Reply{}, err)
		return
	}
	b.home(id).propose(kindGroup, c.AppendTo(nil), func(result any, err error) {
		r, _ := result.(group.Reply)
		done(r, err)
	})
}

// LeaveGroup takes members out of a group. The errors are one per member.
func (b *Broker) LeaveGroup(l *group.Leave, done func(each []error, err error)) {
	b.groupCommand(l.Group, l, func(r group.Reply, err error) { done(r.Each, err) })
}

// CommitOffsets commits offsets: all of them or none.
func (b *Broker) CommitOffsets(c *group.Commit, done func(error)) {
	b.groupCommand(c.Group, c, func(_ group.Reply, err error) { done(err) })
}

// DeleteGroup deletes an empty group with its offsets.
func (b *Broker) DeleteGroup(id string, done func(error)) {
	b.groupCommand(id, &group.Delete{Group: id}, func(_ group.Reply, err error) { done(err) })
}

// DeleteOffsets deletes offsets of topics that the group is not subscribed to.
// The errors are one per topic.
func (b *Broker) DeleteOffsets(d *group.DeleteOffsets, done func(each []error, err error)) {
	b.groupCommand(d.Group, d, func(r group.Reply, err error) { done(r.Each, err) })
}

// onLeader runs fn on the loop of the key's shard, or answers why not.
func (s *shard) onLeader(fn func(*groups), refused func(error)) {
	if s.b.closed.Load() {
		refused(ErrClosed)
		return
	}
	s.group.Post(func() {
		if !s.leads.Load() {
			refused(ErrNotLeader)
			return
		}
		fn(s.groups)
	})
}

// Heartbeat is a member's sign of life; the error tells it what to do. The
// errors are those of group.State.Heartbeat, ErrNotLeader and ErrClosed.
func (b *Broker) Heartbeat(id, member, instance string, generation int32, done func(error)) {
	if id == "" {
		done(group.ErrInvalidGroup)
		return
	}
	b.home(id).onLeader(func(g *groups) {
		err := g.state.Heartbeat(id, member, instance, generation)
		if err == nil || errors.Is(err, ErrRebalancing) {
			g.sessions.touch(memberKey{id, member})
		}
		done(err)
	}, done)
}

// GroupPartition names a partition that offsets are committed for.
type GroupPartition struct {
	Topic     record.TopicID
	Partition int32
}

// FetchOffsets answers what a group has committed for these partitions, in
// their order, with offset -1 where there is nothing; for nil, all it has
// committed. Those that a transaction may yet replace are marked Unstable. What was committed before the call is in the answer.
func (b *Broker) FetchOffsets(id string, parts []GroupPartition, done func([]group.Offset, error)) {
	if b.closed.Load() {
		done(nil, ErrClosed)
		return
	}
	s := b.home(id)
	ask := s.group.ReadIndex
	if fault.On(fault.StaleRead) {
		ask = func(done func(error)) { s.group.Post(func() { done(nil) }) }
	}
	ask(func(err error) {
		if err == nil && !s.leads.Load() {
			err = ErrNotLeader
		}
		if err != nil {
			done(nil, b.explain(err))
			return
		}
		done(s.groups.offsets(id, parts), nil)
	})
}

func (g *groups) offsets(id string, parts []GroupPartition) []group.Offset {
	if parts == nil {
		found := slices.Collect(g.state.Offsets(id))
		for i := range found {
			found[i].Unstable = g.state.Unstable(id, found[i].Topic, found[i].Partition)
		}
		return found
	}
	found := make([]group.Offset, len(parts))
	for i, p := range parts {
		o, ok := g.state.Offset(id, p.Topic, p.Partition)
		if !ok {
			o = group.Offset{Topic: p.Topic, Partition: p.Partition, Offset: -1, Epoch: -1}
		}
		o.Unstable = g.state.Unstable(id, p.Topic, p.Partition)
		found[i] = o
	}
	return found
}

// DescribeGroup answers with a group and its members. Its phase is Dead if there
// is no such group.
func (b *Broker) DescribeGroup(id string, done func(group.Description, error)) {
	b.home(id).onLeader(func(g *groups) {
		d, _ := g.state.Describe(id)
		done(d, nil)
	}, func(err error) { done(group.Description{}, err) })
}

// ListGroups answers with the groups that this node coordinates, ordered by id.
func (b *Broker) ListGroups(done func([]group.Summary, error)) {
	l := &listing{left: len(b.shards), done: done}
	for _, id := range sortedKeys(b.shards) {
		b.shards[id].onLeader(func(g *groups) {
			l.add(slices.Collect(g.state.Groups()), nil)
		}, func(err error) { l.add(nil, err) })
	}
}

// listing gathers the groups of several shards.
type listing struct {
	mu   sync.Mutex
	left int
	all  []group.Summary
	err  error
	done func([]group.Summary, error)
}

func (l *listing) add(found []group.Summary, err error) {
	l.mu.Lock()
	l.left--
	l.all = append(l.all, found...)
	if err != nil && !errors.Is(err, ErrNotLeader) { // others list what they lead
		l.err = err
	}
	last := l.left == 0
	l.mu.Unlock()
	if last {
		slices.SortFunc(l.all, func(a, b group.Summary) int { return cmp.Compare(a.Group, b.Group) })
		l.done(l.all, l.err)
	}
}
