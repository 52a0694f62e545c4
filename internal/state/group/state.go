package group

import (
	"fmt"
	"slices"

	"github.com/polylog-mq/polylog/internal/page"
	"github.com/polylog-mq/polylog/internal/record"
)

// State is all groups of a shard. It belongs to the shard's loop.
type State struct {
	settings Settings
	term     record.Term // of the last entry
	groups   map[string]*group
	topics   map[record.TopicID]int // how many groups have offsets for it
	timers   queue                  // by the next deadline of a rebalance
	expiries queue                  // by the next look at offsets and disuse
	held     record.LogTime         // nothing expires before
	pages    *page.Set[pageKey]
}

// New returns a state without groups.
func New() *State {
	s := &State{settings: DefaultSettings(), groups: map[string]*group{}, topics: map[record.TopicID]int{}}
	s.pages = page.New(s.encodePage)
	return s
}

// Settings returns those in force.
func (s *State) Settings() Settings { return s.settings }

// Begin is to be called before the commands of every entry. The first entry of
// a term is a new leader's: what the time without one has cost does not count
// against the members, so rebalances under way and reserved member ids get their
// full time again.
func (s *State) Begin(now record.LogTime, term record.Term) {
	if term == s.term {
		return
	}
	s.pages.Touch(pageKey{kind: pageShard})
	s.term = term
	groups := make([]*group, 0, s.timers.Len())
	for _, t := range s.timers.All() {
		groups = append(groups, t.group)
	}
	slices.SortFunc(groups, byID)
	for _, g := range groups {
		s.touch(g)
		g.resume(now, s.settings.InitialDelay)
		s.schedule(g)
	}
}

// resume gives what the group waits for its full time again.
func (g *group) resume(now record.LogTime, initialDelay int32) {
	for i := range g.reserved {
		r := &g.reserved[i]
		r.deadline = now + record.LogTime(r.timeout)
	}
	switch {
	case g.deadline == never:
	case g.initial:
		g.deadline = now + record.LogTime(initialDelay)
	default:
		g.deadline = now + record.LogTime(g.rebalanceTimeout())
	}
}

// Rebalancing reports whether members are waiting for each other, or are
// expected, so that Tick has something to judge soon.
func (s *State) Rebalancing() bool { return s.timers.Len() > 0 }

// Apply carries out a command. Answers to waiting requests, that of this very
// command included, are appended to fx.
func (s *State) Apply(now record.LogTime, c Command, fx *Effects) Reply {
	switch c := c.(type) {
	case *Join:
		r, waiting := s.join(now, c, fx)
		return Reply{Waiting: waiting, Join: r}
	case *Sync:
		r, waiting := s.sync(now, c, fx)
		return Reply{Waiting: waiting, Sync: r}
	case *Leave:
		return s.leave(now, c, fx)
	case *Expire:
		s.expire(now, c, fx)
		return Reply{}
	case *Commit:
		return Reply{Err: s.commit(now, c)}
	case *Delete:
		return Reply{Err: s.delete(c)}
	case *DeleteOffsets:
		return s.deleteOffsets(c)
	case *Forget:
		s.forget(c)
		return Reply{}
	case *Enlist:
		return Reply{Err: s.enlist(now, c)}
	case *TxnCommit:
		return Reply{Err: s.commitTxn(now, c)}
	case *Resolve:
		s.resolve(now, c)
		return Reply{}
	case *Configure:
		s.configure(c)
		return Reply{}
	}
	panic(fmt.Sprintf("group: a command of type %T", c))
}

// Tick judges the deadlines that have passed, a bounded number at a time; with
// hold no offset expires. It is to be called after the commands of every entry.
func (s *State) Tick(now record.LogTime, hold bool, fx *Effects) {
	for range maxTick {
		if s.timers.next() > now {
			break
		}
		s.judge(now, s.timers.First().group, fx)
	}
	if hold {
		s.held = now + holdPause
		return
	}
	for range maxTick {
		if s.expiries.next() > now {
			break
		}
		s.expireOffsets(now, s.expiries.First().group)
	}
}

// NextDeadline returns when the next Tick has something to do.
func (s *State) NextDeadline() (record.LogTime, bool) {
	at := s.timers.next()
	if e := s.expiries.next(); e != never {
		at = min(at, max(e, s.held))
	}
	return at, at != never
}

// judge carries out what a group's timer was set for.
func (s *State) judge(now record.LogTime, g *group, fx *Effects) {
	s.touch(g)
	before := len(g.reserved)
	g.reserved = slices.DeleteFunc(g.reserved, func(r reservation) bool { return r.deadline <= now })
	if len(g.reserved) < before && g.phase == PreparingRebalance {
		s.settle(now, g, fx)
	}
	if g.deadline <= now {
		if g.phase == PreparingRebalance {
			s.joinsOver(now, g, fx)
		} else {
			s.syncsOver(now, g, fx)
		}
	}
	s.schedule(g)
}

// schedule puts the group where its deadlines belong. It ends every change of a
// group; the group's own page has been touched.
func (s *State) schedule(g *group) {
	if g.review {
		g.expires, g.review = g.nextExpiry(s.settings.Retention), false
	}
	s.timers.set(&g.timer, g.nextTimer())
	s.expiries.set(&g.expiry, g.expires)
}

func (s *State) create(id string, now record.LogTime) *group {
	s.pages.Touch(pageKey{kind: pageGroup, group: id})
	g := newGroup(id, now)
	s.groups[id] = g
	return g
}

// drop removes a group without members.
func (s *State) drop(g *group) {
	s.touch(g)
	for _, p := range g.pages {
		s.touchOffsets(g, p)
	}
	for _, t := range g.sortedTxns() {
		s.touchTxn(g, t.producer)
	}
	for id := range g.topics {
		s.release(id)
	}
	s.timers.set(&g.timer, never)
	s.expiries.set(&g.expiry, never)
	delete(s.groups, g.id)
}

func (s *State) configure(c *Configure) {
	s.pages.Touch(pageKey{kind: pageShard})
	s.settings = c.Settings
	for _, g := range s.sorted() {
		s.touch(g)
		g.review = true
		s.schedule(g)
	}
}

func (s *State) delete(c *Delete) error {
	switch g := s.groups[c.Group]; {
	case g == nil:
		return ErrUnknownGroup
	case g.phase != Empty:
		return ErrNotEmpty
	default:
		s.drop(g)
		return nil
	}
}

func byID(a, b *group) int {
	switch {
	case a.id < b.id:
		return -1
	case a.id > b.id:
		return 1
	}
	return 0
}

// sorted returns all groups ordered by id.
func (s *State) sorted() []*group {
	groups := make([]*group, 0, len(s.groups))
	for _, g := range s.groups {
		groups = append(groups, g)
	}
	slices.SortFunc(groups, byID)
	return groups
}

// touch must be called before a change of what a group's own page holds.
func (s *State) touch(g *group) { s.pages.Touch(pageKey{kind: pageGroup, group: g.id}) }

// touchMember must be called before a change of a member.
func (s *State) touchMember(g *group, m *member) { s.touchMemberID(g, m.id) }

// touchMemberID is touchMember for a member that is about to be.
func (s *State) touchMemberID(g *group, id string) {
	s.pages.Touch(pageKey{kind: pageMember, group: g.id, member: id})
}

// touchOffsets must be called before a change of a page of offsets.
func (s *State) touchOffsets(g *group, p *offsetPage) {
	s.pages.Touch(pageKey{kind: pageOffsets, group: g.id, number: p.number})
}
