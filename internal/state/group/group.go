package group

import (
	"bytes"
	"slices"

	"github.com/polylog-mq/polylog/internal/record"
)

// Phase is the state of a group, with Kafka's names.
type Phase uint8

// The phases of a group.
const (
	// Empty: no members, perhaps offsets.
	Empty Phase = iota
	// PreparingRebalance: members are joining.
	PreparingRebalance
	// CompletingRebalance: members wait for the leader's assignment.
	CompletingRebalance
	// Stable: every member that asks gets its assignment.
	Stable
	// Dead: a group that does not exist.
	Dead
)

// String returns the name that Kafka shows to people.
func (p Phase) String() string {
	names := [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead"}
	if int(p) < len(names) {
		return names[p]
	}
	return "Unknown"
}

// group is one group. What a page holds of it is said in page.go.
type group struct {
	id           string
	phase        Phase
	since        record.LogTime // when the phase began
	generation   int32
	protocolType string // "" for a group that has only ever had offsets
	protocol     string // of the present generation
	leader       string // a member's id, "" if there are no members
	seen         uint64 // the last number given out as a member's seen or order

	// deadline is when the present step of a rebalance is over (joining, or
	// syncing, which may reach into Stable), never if there is none.
	deadline record.LogTime
	// initial: the rebalance began in an Empty group. It then ends by its
	// deadline alone, which may move by up to left ms as long as members come.
	initial bool
	left    int64
	arrived bool

	members  []*member // in the order of their first join
	byID     map[string]*member
	static   map[string]*member // by instance id
	reserved []reservation

	topics map[record.TopicID]*topicOffsets
	pages  []*offsetPage
	txns   map[int64]*txn // by producer
	room   int            // no page below this one has room
	// expires is when offsets, or the group itself, are to be looked at for
	// expiry; review asks to find that out anew.
	expires record.LogTime
	review  bool

	loaded bool  // false until RestorePage has met the group's own page
	timer  timer // in State.timers
	expiry timer // in State.expiries
}

// reservation is a member id that was given to a client that has yet to join
// with it.
type reservation struct {
	member   string
	timeout  int32
	deadline record.LogTime
}

// member is a member of a group.
type member struct {
	id, instance, clientID, clientHost string
	session, rebalance                 int32 // timeouts in ms
	protocols                          []Protocol
	assignment                         []byte
	order                              uint64 // its place in group.members
	seen                               uint64
	fresh                              bool // was in no generation yet
	joined                             bool // waits for the rebalance to end
	synced                             bool // has asked for its assignment in this generation
}

func newGroup(id string, now record.LogTime) *group {
	g := &group{
		id: id, since: now, deadline: never, expires: never, review: true, loaded: true,
		byID: map[string]*member{}, static: map[string]*member{}, topics: map[record.TopicID]*topicOffsets{},
	}
	g.timer = timer{group: g, at: never}
	g.expiry = timer{group: g, at: never}
	return g
}

func (g *group) enter(p Phase, now record.LogTime) { g.phase, g.since, g.review = p, now, true }

// next returns a number above all given before.
func (g *group) next() uint64 {
	g.seen++
	return g.seen
}

// check judges whether a request comes from a member.
func (g *group) check(id, instance string) error {
	if instance != "" {
		switch holder := g.static[instance]; {
		case holder == nil:
			return ErrUnknownMember
		case holder.id != id:
			return ErrFencedInstance
		}
	}
	if g.byID[id] == nil {
		return ErrUnknownMember
	}
	return nil
}

// supports judges whether a member with these protocols fits in.
func (g *group) supports(protocolType string, protocols []Protocol) bool {
	if protocolType == "" || len(protocols) == 0 {
		return false
	}
	if len(g.members) == 0 {
		return true
	}
	return protocolType == g.protocolType &&
		slices.ContainsFunc(protocols, func(p Protocol) bool { return g.common(p.Name) })
}

// common reports whether every member follows the protocol.
func (g *group) common(protocol string) bool {
	return !slices.ContainsFunc(g.members, func(m *member) bool { return !m.follows(protocol) })
}

// elect lets each member vote for the first of its protocols that all follow.
// A tie goes to what the leader likes better.
func (g *group) elect() string {
	followers := map[string]int{}
	for _, m := range g.members {
		for i, p := range m.protocols {
			if !slices.ContainsFunc(m.protocols[:i], func(q Protocol) bool { return q.Name == p.Name }) {
				followers[p.Name]++
			}
		}
	}
	votes := map[string]int{}
	for _, m := range g.members {
		for _, p := range m.protocols {
			if followers[p.Name] == len(g.members) {
				votes[p.Name]++
				break
			}
		}
	}
	best := ""
	for _, p := range g.byID[g.leader].protocols {
		if votes[p.Name] > votes[best] {
			best = p.Name
		}
	}
	return best
}

func (g *group) add(m *member, protocolType string) {
	if len(g.members) == 0 {
		g.protocolType = protocolType
	}
	m.order = g.next()
	g.members = append(g.members, m)
	g.index(m)
	if g.leader == "" {
		g.leader = m.id
	}
}

func (g *group) index(m *member) {
	g.byID[m.id] = m
	if m.instance != "" {
		g.static[m.instance] = m
	}
}

func (g *group) remove(m *member) {
	g.members = slices.DeleteFunc(g.members, func(o *member) bool { return o == m })
	delete(g.byID, m.id)
	if g.static[m.instance] == m {
		delete(g.static, m.instance)
	}
	if g.leader == m.id {
		g.leader = ""
		if len(g.members) > 0 {
			g.leader = g.members[0].id
		}
	}
}

// takeReservation ends a reservation and reports whether there was one.
func (g *group) takeReservation(id string) bool {
	before := len(g.reserved)
	g.reserved = slices.DeleteFunc(g.reserved, func(r reservation) bool { return r.member == id })
	return len(g.reserved) < before
}

func (g *group) joinedCount() int {
	n := 0
	for _, m := range g.members {
		if m.joined {
			n++
		}
	}
	return n
}

// complete reports whether nobody is missing from the rebalance.
func (g *group) complete() bool {
	return len(g.reserved) == 0 && g.joinedCount() == len(g.members)
}

// rebalanceTimeout is the longest that a member asks for, in ms.
func (g *group) rebalanceTimeout() int64 {
	longest := int32(0)
	for _, m := range g.members {
		longest = max(longest, m.rebalance)
	}
	return int64(longest)
}

// nextTimer returns the nearest deadline of a rebalance or a reservation.
func (g *group) nextTimer() record.LogTime {
	at := g.deadline
	for _, r := range g.reserved {
		at = min(at, r.deadline)
	}
	return at
}

func (m *member) follows(protocol string) bool {
	return slices.ContainsFunc(m.protocols, func(p Protocol) bool { return p.Name == protocol })
}

// metadata returns the member's subscription for a protocol.
func (m *member) metadata(protocol string) []byte {
	for _, p := range m.protocols {
		if p.Name == protocol {
			return p.Metadata
		}
	}
	return nil
}

// matches reports whether a join brings nothing new.
func (m *member) matches(ps []Protocol) bool {
	return slices.EqualFunc(m.protocols, ps, func(a, b Protocol) bool {
		return a.Name == b.Name && bytes.Equal(a.Metadata, b.Metadata)
	})
}
