package group

import (
	"slices"

	"github.com/polylog-mq/polylog/internal/record"
)

// rebalance begins a rebalance, or ends the one under way if nobody is missing.
func (s *State) rebalance(now record.LogTime, g *group, fx *Effects) {
	if g.phase == PreparingRebalance {
		s.settle(now, g, fx)
		return
	}
	s.prepare(now, g, fx)
}

// prepare begins a rebalance: all members have to join (again).
func (s *State) prepare(now record.LogTime, g *group, fx *Effects) {
	for _, m := range g.members {
		if !m.synced {
			continue
		}
		s.touchMember(g, m)
		if g.phase == CompletingRebalance {
			s.answerSync(g, m, SyncReply{Err: ErrRebalanceInProgress}, fx)
		}
		m.synced = false
	}
	g.initial = g.phase == Empty
	g.enter(PreparingRebalance, now)
	timeout := g.rebalanceTimeout()
	if g.initial {
		delay := int64(s.settings.InitialDelay)
		g.deadline = now + record.LogTime(delay)
		g.left = max(timeout-delay, 0)
		g.arrived = false
		return
	}
	g.deadline = now + record.LogTime(timeout)
	s.settle(now, g, fx)
}

// settle ends the joining if nobody is missing. An empty group that fills up is
// left to its deadline.
func (s *State) settle(now record.LogTime, g *group, fx *Effects) {
	if !g.initial && g.complete() {
		s.nextGeneration(now, g, fx)
	}
}

// joinsOver is called when the time for joining is over.
func (s *State) joinsOver(now record.LogTime, g *group, fx *Effects) {
	if g.initial && g.arrived && g.left > 0 {
		// Others came in the meantime, so more may: wait on.
		delay := min(int64(s.settings.InitialDelay), g.left)
		g.arrived = false
		g.left -= delay
		g.deadline = now + record.LogTime(delay)
		return
	}
	s.nextGeneration(now, g, fx)
}

// nextGeneration ends the joining. Dynamic members that did not join are out;
// static ones stay until their session ends.
func (s *State) nextGeneration(now record.LogTime, g *group, fx *Effects) {
	for _, m := range slices.Clone(g.members) {
		if !m.joined && m.instance == "" {
			s.removeMember(g, m, fx)
		}
	}
	if len(g.members) > 0 && !g.ensureLeader() {
		// Nobody is here to assign: wait until somebody joins, or until the
		// sessions of the static members end.
		g.initial = false
		g.deadline = now + record.LogTime(g.rebalanceTimeout())
		return
	}
	g.initial, g.arrived, g.left = false, false, 0
	g.generation++
	if len(g.members) == 0 {
		g.protocol, g.deadline = "", never
		g.enter(Empty, now)
		return
	}
	g.protocol = g.elect()
	g.deadline = now + record.LogTime(g.rebalanceTimeout())
	g.enter(CompletingRebalance, now)
	for _, m := range g.members {
		s.touchMember(g, m)
		if m.joined {
			fx.Joined = append(fx.Joined, Joined{Group: g.id, Member: m.id, Reply: g.joinReply(m)})
		}
		m.joined, m.fresh, m.synced, m.assignment = false, false, false, nil
	}
}

// ensureLeader makes a member that has joined the leader, if it can.
func (g *group) ensureLeader() bool {
	if m := g.byID[g.leader]; m != nil && m.joined {
		return true
	}
	for _, m := range g.members {
		if m.joined {
			g.leader = m.id
			return true
		}
	}
	return false
}

// syncsOver removes the members that did not ask for their assignment in time.
func (s *State) syncsOver(now record.LogTime, g *group, fx *Effects) {
	g.deadline = never
	removed := false
	for _, m := range slices.Clone(g.members) {
		if !m.synced {
			s.removeMember(g, m, fx)
			removed = true
		}
	}
	if removed {
		s.prepare(now, g, fx)
	}
}

// sync reports the answer, or that it has to wait for the leader's assignment.
func (s *State) sync(now record.LogTime, c *Sync, fx *Effects) (r SyncReply, waiting bool) {
	g := s.groups[c.Group]
	if g == nil {
		return SyncReply{Err: ErrUnknownMember}, false
	}
	if err := g.check(c.Member, c.Instance); err != nil {
		return SyncReply{Err: err}, false
	}
	switch {
	case c.Generation != g.generation:
		return SyncReply{Err: ErrIllegalGeneration}, false
	case c.ProtocolType != "" && c.ProtocolType != g.protocolType, c.Protocol != "" && c.Protocol != g.protocol:
		return SyncReply{Err: ErrInconsistentProtocol}, false
	case g.phase == PreparingRebalance:
		return SyncReply{Err: ErrRebalanceInProgress}, false
	}
	s.touch(g)
	defer s.schedule(g)
	m := g.byID[c.Member]
	s.touchMember(g, m)
	m.seen = g.next()
	m.synced = true
	if g.phase == CompletingRebalance && g.leader == m.id {
		s.assign(now, g, c.Assignments, fx)
		waiting = true
	} else if g.phase == CompletingRebalance {
		waiting = true
	} else {
		r = g.syncReply(m)
	}
	if !slices.ContainsFunc(g.members, func(m *member) bool { return !m.synced }) && g.phase == Stable {
		g.deadline = never
	}
	return r, waiting
}

// assign takes the leader's assignment over and answers all who wait for it.
func (s *State) assign(now record.LogTime, g *group, as []Assignment, fx *Effects) {
	given := make(map[string][]byte, len(as))
	for _, a := range as {
		given[a.Member] = a.Data
	}
	g.enter(Stable, now)
	for _, m := range g.members {
		s.touchMember(g, m)
		m.assignment = given[m.id]
		if m.synced {
			s.answerSync(g, m, g.syncReply(m), fx)
		}
	}
}

func (g *group) syncReply(m *member) SyncReply {
	return SyncReply{ProtocolType: g.protocolType, Protocol: g.protocol, Assignment: m.assignment}
}

func (s *State) answerSync(g *group, m *member, r SyncReply, fx *Effects) {
	fx.Synced = append(fx.Synced, Synced{Group: g.id, Member: m.id, Reply: r})
}

// answerWaiting answers whatever a member waits for with an error.
func (s *State) answerWaiting(g *group, m *member, err error, fx *Effects) {
	if m.joined {
		r := JoinReply{Err: err, Generation: -1, Member: m.id}
		fx.Joined = append(fx.Joined, Joined{Group: g.id, Member: m.id, Reply: r})
	}
	if m.synced && g.phase == CompletingRebalance {
		s.answerSync(g, m, SyncReply{Err: err}, fx)
	}
}
