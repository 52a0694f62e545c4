package group

import "github.com/polylog-mq/polylog/internal/record"

// join reports the answer, or that it has to wait.
func (s *State) join(now record.LogTime, c *Join, fx *Effects) (r JoinReply, waiting bool) {
	g := s.groups[c.Group]
	switch {
	case g != nil:
	case !c.New:
		return refuse(c, ErrUnknownMember)
	case c.ProtocolType == "" || len(c.Protocols) == 0:
		return refuse(c, ErrInconsistentProtocol)
	case len(s.groups) >= MaxGroups:
		return refuse(c, ErrTooManyGroups)
	default:
		g = s.create(c.Group, now)
	}
	s.touch(g)
	defer s.schedule(g)
	m := g.byID[c.Member]
	if !g.accepts(m, s.settings.MaxSize) {
		if m != nil {
			s.removeMember(g, m, fx)
			s.settle(now, g, fx)
		}
		g.takeReservation(c.Member)
		return refuse(c, ErrGroupFull)
	}
	if !g.supports(c.ProtocolType, c.Protocols) {
		return refuse(c, ErrInconsistentProtocol)
	}
	if c.New {
		return s.joinNew(now, g, c, fx)
	}
	if c.Instance == "" && g.takeReservation(c.Member) {
		return s.addMember(now, g, c, fx)
	}
	if err := g.check(c.Member, c.Instance); err != nil {
		return refuse(c, err)
	}
	return s.rejoin(now, g, m, c, fx)
}

func refuse(c *Join, err error) (JoinReply, bool) {
	return JoinReply{Err: err, Generation: -1, Member: c.Member}, false
}

// accepts judges the size of the group against the limit. While members are
// joining, those that have joined count: if the limit was lowered, the last to
// rejoin have to go.
func (g *group) accepts(m *member, limit int32) bool {
	switch g.phase {
	case Empty:
		return true
	case PreparingRebalance:
		return m != nil && m.joined || g.joinedCount() < int(limit)
	default:
		return m != nil || len(g.members) < int(limit)
	}
}

// joinNew is the join of a client that has no member id.
func (s *State) joinNew(now record.LogTime, g *group, c *Join, fx *Effects) (JoinReply, bool) {
	switch {
	case g.byID[c.Member] != nil: // the proposer's promise of a new id is broken
		return refuse(c, ErrUnknownMember)
	case c.Instance != "" && g.static[c.Instance] != nil:
		return s.replace(now, g, g.static[c.Instance], c, fx)
	case c.Instance == "" && c.RequireID && len(g.reserved) >= maxReserved:
		return refuse(c, ErrGroupFull)
	case c.Instance == "" && c.RequireID:
		g.reserved = append(g.reserved, reservation{
			member: c.Member, timeout: c.SessionTimeout, deadline: now + record.LogTime(c.SessionTimeout),
		})
		return refuse(c, ErrMemberIDRequired)
	}
	return s.addMember(now, g, c, fx)
}

func (s *State) addMember(now record.LogTime, g *group, c *Join, fx *Effects) (JoinReply, bool) {
	s.touchMemberID(g, c.Member)
	g.arrived = true
	m := &member{id: c.Member, instance: c.Instance, fresh: true}
	g.add(m, c.ProtocolType)
	g.update(m, c)
	m.joined = true
	s.rebalance(now, g, fx)
	return JoinReply{}, true
}

// update takes over what a member says of itself.
func (g *group) update(m *member, c *Join) {
	m.clientID, m.clientHost = c.ClientID, c.ClientHost
	m.session, m.rebalance = c.SessionTimeout, max(c.RebalanceTimeout, minRebalanceTimeout)
	m.protocols = c.Protocols
	m.seen = g.next()
}

// rejoin is the join of a member that knows its id.
func (s *State) rejoin(now record.LogTime, g *group, m *member, c *Join, fx *Effects) (JoinReply, bool) {
	s.touchMember(g, m)
	unchanged := m.matches(c.Protocols)
	switch {
	case g.phase == CompletingRebalance && unchanged:
		// It may not have got the answer to its first join.
		m.seen = g.next()
		return g.joinReply(m), false
	case g.phase == Stable && unchanged && g.leader != m.id:
		// A leader may have seen what its subscription does not tell, such as
		// new partitions; a follower has nothing to say.
		m.seen = g.next()
		return g.joinReply(m), false
	}
	g.update(m, c)
	m.joined = true
	s.rebalance(now, g, fx)
	return JoinReply{}, true
}

// replace gives a static member a new id: its process has started anew
// (KIP-345).
func (s *State) replace(now record.LogTime, g *group, old *member, c *Join, fx *Effects) (JoinReply, bool) {
	leader := g.leader
	s.answerWaiting(g, old, ErrFencedInstance, fx)
	s.touchMember(g, old)
	s.touchMemberID(g, c.Member)
	delete(g.byID, old.id)
	if g.leader == old.id {
		g.leader = c.Member
	}
	m := old
	m.id, m.joined = c.Member, false
	m.synced = m.synced && g.phase == Stable
	g.index(m)
	g.update(m, c)
	g.review = true
	if g.phase == Stable && g.elect() == g.protocol {
		r := g.joinReply(m)
		// The assignment stands. A client that understands is told that it
		// leads and must not assign; to others it must look as if it did not
		// lead, since a stable group ignores what it would assign.
		r.SkipAssignment = c.CanSkip && g.leader == m.id
		if !c.CanSkip {
			r.Leader, r.Members = leader, nil
		}
		return r, false
	}
	m.joined, m.fresh = true, true
	if g.phase == PreparingRebalance {
		s.settle(now, g, fx)
	} else {
		// A leader may be about to assign to the old id, so that the new one
		// would go without.
		s.prepare(now, g, fx)
	}
	return JoinReply{}, true
}

// joinReply tells a member of the present generation.
func (g *group) joinReply(m *member) JoinReply {
	r := JoinReply{
		Generation: g.generation, ProtocolType: g.protocolType, Protocol: g.protocol, Leader: g.leader, Member: m.id,
	}
	if m.id == g.leader {
		r.Members = make([]JoinMember, len(g.members))
		for i, o := range g.members {
			r.Members[i] = JoinMember{Member: o.id, Instance: o.instance, Metadata: o.metadata(g.protocol)}
		}
	}
	return r
}
