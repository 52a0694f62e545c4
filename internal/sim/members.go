package sim

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/group"
)

// member is a consumer of a group: it joins, gets partitions, reads them on from
// where the group stands and commits, and now and then leaves or dies.
type member struct {
	w      *world
	name   string
	group  string
	topic  *topicPlan
	id     string
	static string // instance id, "" for a dynamic member
	at     *node  // the coordinator, as far as it knows

	generation int32
	mine       []int32 // partitions, once it has an assignment
	pos        map[int32]record.Offset
	joined     bool
	asleep     bool // until a rejoin that is set already
	ending     bool
	beats      int
	stalled    time.Duration // until when it does nothing, believing itself well
}

func (m *member) begin()       { m.w.after(around(m.w.clients, time.Second), m.join) }
func (m *member) finish()      { m.ending = true }
func (m *member) busy() string { return "" }

// coordinator returns whom the member asks.
func (m *member) coordinator() *node {
	if n := m.w.anyone(); m.at == nil && !n.down && !n.paused {
		if c, err := n.broker.Coordinator(m.group); err == nil {
			m.at = m.w.node(c.ID)
		}
	}
	return m.at
}

// later joins again after a while. With forget the member has no id any more.
func (m *member) later(d time.Duration, forget bool) {
	m.joined, m.mine, m.at = false, nil, nil
	if forget {
		m.id = ""
	}
	if m.ending || m.asleep {
		return
	}
	m.asleep = true
	m.w.after(around(m.w.clients, d), func() {
		m.asleep = false
		m.join()
	})
}

func (m *member) join() {
	if m.ending {
		return
	}
	known := m.w.groups.of(m.group).generation
	op := m.w.linear.generation(m.group, joinOp, 0)
	j := &group.Join{
		Group: m.group, Member: m.id, Instance: m.static, ClientID: m.name, ClientHost: "/127.0.0.1",
		RequireID: m.static == "" && m.w.clients.IntN(2) == 0, SessionTimeout: group.MinSessionTimeout, RebalanceTimeout: 5000,
		ProtocolType: "consumer", Protocols: []group.Protocol{{Name: "range", Metadata: []byte(m.topic.name)}},
	}
	var wait *broker.GroupWait
	var p *process
	n := m.coordinator()
	m.w.ask(n, 9*time.Second, func(b *broker.Broker, reply func(func())) {
		p = n.process
		wait = b.JoinGroup(j, func(r group.JoinReply) { reply(func() { m.isJoined(r, known, op) }) })
	}, func() {
		if wait != nil && !p.over() {
			p.run(wait.Cancel)
		}
		m.later(time.Second, false)
	})
}

// isJoined takes the answer to a join.
func (m *member) isJoined(r group.JoinReply, known int32, op *operation) {
	m.w.note("%s: joins as %q: generation %d, leader %q, %v", m.name, r.Member, r.Generation, r.Leader, r.Err)
	switch {
	case r.Err == nil:
		m.id, m.generation = r.Member, r.Generation
		m.w.groups.joined(m.group, r, known)
		op.value = record.Offset(r.Generation)
		m.w.linear.end(op, true)
		m.sync(r)
	case is(r.Err, group.ErrMemberIDRequired):
		m.id = r.Member
		m.join()
	default:
		m.refused(r.Err, "joining")
	}
}

// refused takes an answer that sends the member back to the beginning.
func (m *member) refused(err error, doing string) {
	switch {
	case isTransient(err), is(err, group.ErrRebalanceInProgress, group.ErrIllegalGeneration):
		m.later(500*time.Millisecond, false)
	case is(err, group.ErrUnknownMember, group.ErrFencedInstance):
		m.later(time.Second, true)
	default:
		m.w.fail("%s: %s: %v", m.name, doing, err)
	}
}

// sync asks for the assignment; the leader of the group makes that of all.
func (m *member) sync(r group.JoinReply) {
	s := &group.Sync{Group: m.group, Member: m.id, Instance: m.static, Generation: m.generation}
	if r.Leader == r.Member && !r.SkipAssignment {
		s.Assignments = assign(r.Members, m.topic.partitions)
	}
	var wait *broker.GroupWait
	var p *process
	n := m.coordinator()
	m.w.ask(n, 7*time.Second, func(b *broker.Broker, reply func(func())) {
		p = n.process
		wait = b.SyncGroup(s, func(r group.SyncReply) {
			reply(func() {
				if r.Err != nil {
					m.refused(r.Err, "syncing")
					return
				}
				m.assigned(r.Assignment)
			})
		})
	}, func() {
		if wait != nil && !p.over() {
			p.run(wait.Cancel)
		}
		m.later(time.Second, false)
	})
}

// assign deals the partitions out.
func assign(all []group.JoinMember, partitions int32) (out []group.Assignment) {
	for i, m := range all {
		a := group.Assignment{Member: m.Member}
		for p := int32(i); p < partitions; p += int32(len(all)) {
			a.Data = binary.BigEndian.AppendUint32(a.Data, uint32(p))
		}
		out = append(out, a)
	}
	return out
}

// assigned begins to consume.
func (m *member) assigned(data []byte) {
	m.mine, m.pos, m.joined = nil, map[int32]record.Offset{}, true
	for ; len(data) >= 4; data = data[4:] {
		m.mine = append(m.mine, int32(binary.BigEndian.Uint32(data)))
	}
	m.w.note("%s: has %v in generation %d", m.name, m.mine, m.generation)
	m.w.groups.assigned(m.group, m.generation, m.id, m.mine)
	m.w.cover.Rebalances++
	for _, p := range m.mine {
		m.w.committed(m.group, m.topic, p, m.coordinator(), func(o record.Offset) { m.pos[p] = max(o, 0) })
	}
	generation, id := m.generation, m.id
	m.w.after(around(m.w.clients, m.w.o.Pace), func() { m.tick(generation, id) })
}

// tick is a round of heartbeat, reading and committing, as long as the
// assignment holds.
func (m *member) tick(generation int32, id string) {
	if m.ending || !m.joined || m.generation != generation || m.id != id {
		return
	}
	m.w.after(around(m.w.clients, m.w.o.Pace), func() { m.tick(generation, id) })
	if m.w.clock.Mono() < m.stalled {
		return
	}
	if m.beats++; m.beats%4 == 0 {
		m.heartbeat()
	}
	if len(m.mine) > 0 {
		m.consume(m.mine[m.w.clients.IntN(len(m.mine))])
	}
	switch m.w.clients.IntN(300) {
	case 0:
		m.w.note("%s: dies", m.name)
		m.later(8*time.Second, true)
	case 1:
		m.leave()
	case 2:
		m.w.note("%s: stalls", m.name)
		m.stalled, m.beats = m.w.clock.Mono()+20*time.Second, 0
	case 3:
		m.w.note("%s: loses its connection", m.name)
		m.later(time.Second, false)
	}
}

func (m *member) heartbeat() {
	id, generation := m.id, m.generation
	m.w.ask(m.coordinator(), 0, func(b *broker.Broker, reply func(func())) {
		b.Heartbeat(m.group, id, m.static, generation, func(err error) {
			reply(func() {
				if err != nil && m.joined && m.id == id && m.generation == generation {
					m.refused(err, "heartbeat")
				}
			})
		})
	}, func() { m.at = nil })
}

func (m *member) leave() {
	m.w.note("%s: leaves", m.name)
	l := &group.Leave{Group: m.group, Members: []group.Leaver{{Member: m.id, Instance: m.static}}}
	m.w.ask(m.coordinator(), 0, func(b *broker.Broker, reply func(func())) {
		b.LeaveGroup(l, func([]error, error) { reply(func() {}) })
	}, func() {})
	m.later(4*time.Second, true)
}

// consume reads a piece of a partition and commits how far it got.
func (m *member) consume(part int32) {
	pos, ok := m.pos[part]
	if !ok {
		return
	}
	n := m.w.whoLeads(m.topic.name, part)
	generation := m.generation
	m.w.ask(n, 0, func(b *broker.Broker, reply func(func())) {
		p := partitionAt(b, m.topic.name, part)
		if p == nil {
			return
		}
		l := m.w.log(p.ID(), m.topic, part)
		f := m.w.fetch(n, p, l, pos)
		topic := b.Topic(m.topic.name).ID
		reply(func() {
			if f.err != nil || !m.joined || m.generation != generation || m.pos[part] != pos {
				return
			}
			next, _ := m.w.check(l, n, pos, f.batches)
			m.pos[part] = next
			m.commit(topic, part, next)
		})
	}, func() {})
}

func (m *member) commit(topic record.TopicID, part int32, o record.Offset) {
	w := m.w
	c := &group.Commit{
		Group: m.group, Member: m.id, Instance: m.static, Generation: m.generation, Retention: -1,
		Topics: []group.CommitTopic{{Topic: topic, Name: m.topic.name, Partitions: []group.CommitPartition{{Partition: part, Offset: o, Epoch: -1}}}},
	}
	known := w.groups.of(m.group).generation
	op, accept := w.linear.commit(m.group, part, o), w.linear.generation(m.group, acceptOp, c.Generation)
	w.ask(m.coordinator(), 0, func(b *broker.Broker, reply func(func())) {
		b.CommitOffsets(c, func(err error) {
			reply(func() {
				switch {
				case err == nil:
					w.linear.end(op, true)
					w.linear.end(accept, true)
					w.cover.Commits++
					if known > c.Generation {
						w.fail("%s: a commit of generation %d was taken although %d had begun", m.name, c.Generation, known)
					}
				case is(err, broker.ErrUnknownFate, broker.ErrStorage):
				default:
					w.linear.end(op, false)
					if m.joined && m.generation == c.Generation {
						m.refused(err, "committing")
					}
				}
			})
		})
	}, func() { m.at = nil })
}

// committed asks what a group has committed for a partition.
func (w *world) committed(id string, t *topicPlan, part int32, n *node, then func(record.Offset)) {
	op := w.linear.fetch(id, part)
	w.ask(n, 0, func(b *broker.Broker, reply func(func())) {
		topic := b.Topic(t.name)
		if topic == nil {
			return
		}
		number := topic.Partitions[part].ID()
		b.FetchOffsets(id, []broker.GroupPartition{{Topic: topic.ID, Partition: part}}, func(os []group.Offset, err error) {
			reply(func() {
				if err != nil {
					w.linear.end(op, false)
					return
				}
				o := os[0].Offset
				w.linear.fetched(op, o)
				if l := w.logs[number]; l != nil && o > l.high {
					w.fail("group %s has committed %d for %s, which was only seen to reach %d", id, o, l.name, l.high)
				}
				then(o)
			})
		})
	}, func() { w.linear.end(op, false) })
}

// watcher asks all nodes in turn what a group has committed: only the leader may
// answer, and only with what is true.
type watcher struct {
	w      *world
	topic  *topicPlan
	ending bool
}

func (a *watcher) begin()       { a.w.after(around(a.w.clients, time.Second), a.tick) }
func (a *watcher) finish()      { a.ending = true }
func (a *watcher) busy() string { return "" }

func (a *watcher) tick() {
	if a.ending {
		return
	}
	a.w.after(around(a.w.clients, 300*time.Millisecond), a.tick)
	part := a.w.clients.Int32N(a.topic.partitions)
	a.w.committed(groupName(a.w.clients.IntN(2)), a.topic, part, a.w.anyone(), func(record.Offset) {})
}

func groupName(i int) string { return fmt.Sprintf("group-%d", i%2) }

// groupHistory is what was seen of the generations of groups.
type groupHistory struct {
	w  *world
	by map[string]*groupSeen
}

type groupSeen struct {
	generation  int32 // the newest
	generations map[int32]*generationSeen
}

type generationSeen struct {
	leader string
	owners map[int32]string
}

func (g *groupHistory) init() { g.by = map[string]*groupSeen{} }

func (g *groupHistory) of(id string) *groupSeen {
	s := g.by[id]
	if s == nil {
		s = &groupSeen{generations: map[int32]*generationSeen{}}
		g.by[id] = s
	}
	return s
}

func (s *groupSeen) at(generation int32) *generationSeen {
	gs := s.generations[generation]
	if gs == nil {
		gs = &generationSeen{owners: map[int32]string{}}
		s.generations[generation] = gs
	}
	return gs
}

// joined notes a generation that a member was told of; known is the newest one
// that anybody knew of when it asked.
func (g *groupHistory) joined(id string, r group.JoinReply, known int32) {
	s := g.of(id)
	if r.Generation < known {
		g.w.fail("group %s: %s joins generation %d after generation %d was there", id, r.Member, r.Generation, known)
	}
	s.generation = max(s.generation, r.Generation)
	gs := s.at(r.Generation)
	if leader := who(r.Leader); gs.leader != "" && gs.leader != leader {
		g.w.fail("group %s has two leaders in generation %d: %s and %s", id, r.Generation, gs.leader, leader)
	}
	gs.leader = who(r.Leader)
}

// assigned notes who owns what: nothing has two owners in one generation.
func (g *groupHistory) assigned(id string, generation int32, member string, parts []int32) {
	gs, who := g.of(id).at(generation), who(member)
	for _, p := range slices.Sorted(slices.Values(parts)) {
		if other := gs.owners[p]; other != "" && other != who {
			g.w.fail("group %s: partition %d belongs to %s and to %s in generation %d", id, p, other, who, generation)
		}
		gs.owners[p] = who
	}
}

// who returns whom a member id stands for: a static member that comes back gets
// a new id and its old place in the same generation.
func who(member string) string {
	if strings.HasPrefix(member, staticPrefix) {
		return member[:max(0, len(member)-len("-00000000-0000-0000-0000-000000000000"))]
	}
	return member
}

// staticPrefix begins the instance ids of static members, and so their member
// ids.
const staticPrefix = "static-"
