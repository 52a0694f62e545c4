package group

import "github.com/polylog-mq/polylog/internal/record"

func (s *State) leave(now record.LogTime, c *Leave, fx *Effects) Reply {
	g := s.groups[c.Group]
	if g == nil {
		return Reply{Err: ErrUnknownMember}
	}
	s.touch(g)
	r := Reply{Each: make([]error, len(c.Members))}
	before := len(g.members)
	for i, l := range c.Members {
		r.Each[i] = s.leaveOne(g, l, fx)
	}
	if len(g.members) < before {
		s.rebalance(now, g, fx)
	} else if g.phase == PreparingRebalance {
		s.settle(now, g, fx) // it may have waited for a reserved id alone
	}
	s.schedule(g)
	return r
}

func (s *State) leaveOne(g *group, l Leaver, fx *Effects) error {
	if l.Member == "" {
		m := g.static[l.Instance]
		if m == nil {
			return ErrUnknownMember
		}
		s.removeMember(g, m, fx)
		return nil
	}
	if g.takeReservation(l.Member) {
		return nil
	}
	if err := g.check(l.Member, l.Instance); err != nil {
		return err
	}
	s.removeMember(g, g.byID[l.Member], fx)
	return nil
}

func (s *State) expire(now record.LogTime, c *Expire, fx *Effects) {
	g := s.groups[c.Group]
	if g == nil {
		return
	}
	m := g.byID[c.Member]
	if m == nil || m.seen != c.Seen {
		return
	}
	s.touch(g)
	s.removeMember(g, m, fx)
	s.rebalance(now, g, fx)
	s.schedule(g)
}

// removeMember takes a member out. A request of its that waits is told to join
// anew.
func (s *State) removeMember(g *group, m *member, fx *Effects) {
	s.answerWaiting(g, m, ErrUnknownMember, fx)
	s.touchMember(g, m)
	g.remove(m)
}
