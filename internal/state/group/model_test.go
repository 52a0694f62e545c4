package group

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/polylog-mq/polylog/internal/record"
)

// TestModel sends random commands to a shard's groups and holds what comes back
// against what must be true of any history. A second state, a follower, gets the
// same commands and is now and then made anew from a checkpoint.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			m.step()
			m.check()
		}
		m.comeToRest()
	})
}

// where is a waiting request's place.
type where struct{ group, member string }

type committed struct {
	offset record.Offset
	at     record.LogTime
}

type offsetAt struct {
	group     string
	topic     record.TopicID
	partition int32
}

type model struct {
	t           *rapid.T
	s, follower *State
	now         record.LogTime
	term        record.Term
	ids         int
	members     map[string][]string // ids that were ever given out, by group
	joins       map[where]bool      // waiting; false: the request was lost in a restart
	syncs       map[where]bool
	generations map[string]int32
	committed   map[offsetAt]committed

	disk    map[string][]byte // of the follower
	cut     string            // what the follower looked like at the cut, "" if none is under way
	cutting bool
}

func newModel(t *rapid.T) *model {
	return &model{
		t: t, s: New(), follower: New(), now: 1_000_000, members: map[string][]string{},
		joins: map[where]bool{}, syncs: map[where]bool{}, generations: map[string]int32{},
		committed: map[offsetAt]committed{}, disk: map[string][]byte{},
	}
}

func (m *model) draw(name string, n int) int { return rapid.IntRange(0, n-1).Draw(m.t, name) }

func (m *model) chance(name string, percent int) bool { return m.draw(name, 100) < percent }

func (m *model) step() {
	switch n := m.draw("step", 100); {
	case n < 65:
		m.apply(m.command())
	case n < 80:
		m.now += record.LogTime(m.draw("pause", 40_000))
		m.tick()
	case n < 84:
		m.now += record.LogTime(m.draw("long pause", 100_000_000))
		m.tick()
	case n < 92:
		m.cutStep()
	case n < 96:
		m.restartFollower()
	default: // a new leader: whoever waited has lost its connection
		for w := range m.joins {
			m.joins[w] = false
		}
		for w := range m.syncs {
			m.syncs[w] = false
		}
		m.term++
		m.s.Begin(m.now, m.term)
		m.follower.Begin(m.now, m.term)
	}
}

func (m *model) command() Command {
	g := []string{"g", "h"}[m.draw("group", 2)]
	member := "nobody"
	if known := m.members[g]; len(known) > 0 && m.chance("known", 95) {
		// Mostly a recent one.
		member = known[max(0, len(known)-1-m.draw("member", 5))]
	}
	generation := m.generations[g]
	if m.chance("old generation", 5) {
		generation--
	}
	instance := ""
	if d := m.s.groups[g]; d != nil && d.byID[member] != nil {
		instance = d.byID[member].instance
	}
	switch n := m.draw("command", 100); {
	case n < 45:
		return m.join(g, member, instance)
	case n < 65:
		c := &Sync{Group: g, Member: member, Instance: instance, Generation: generation}
		if d, ok := m.s.Describe(g); ok {
			for _, o := range d.Members {
				c.Assignments = append(c.Assignments, Assignment{o.Member, []byte("for " + o.Member)})
			}
		}
		return c
	case n < 72:
		return &Leave{Group: g, Members: []Leaver{{Member: member, Instance: instance}}}
	case n < 80:
		known, _ := m.s.Session(g, member)
		return &Expire{Group: g, Member: member, Seen: known.Seen - uint64(m.draw("late", 2))}
	case n < 92:
		c := &Commit{Group: g, Member: member, Instance: instance, Generation: generation, Retention: -1}
		if m.chance("simple", 30) {
			c.Member, c.Instance, c.Generation = "", "", -1
		}
		c.Topics = []CommitTopic{m.commitTopic(), m.commitTopic()}
		return c
	case n < 94:
		return &Delete{Group: g}
	case n < 96:
		t := m.commitTopic()
		return &DeleteOffsets{Group: g, Topics: []DeleteTopic{{Topic: t.Topic, Name: t.Name, Partitions: []int32{0, 1}}}}
	case n < 98:
		return &Forget{Topics: []record.TopicID{m.commitTopic().Topic}}
	default:
		return &Configure{Settings{
			InitialDelay: int32(m.draw("delay", 2) * 3000), MaxSize: int32(m.draw("max", 6) + 1), Retention: 86_400_000,
		}}
	}
}

func (m *model) join(g, member, instance string) *Join {
	c := &Join{
		Group: g, Member: member, Instance: instance, CanSkip: m.chance("skip", 50), SessionTimeout: 10_000,
		RebalanceTimeout: int32(10_000 * (1 + m.draw("timeout", 3))), ProtocolType: "consumer",
	}
	if m.chance("new", 40) {
		m.ids++
		c.Member, c.New, c.Instance = fmt.Sprintf("m%d", m.ids), true, ""
		c.RequireID = m.chance("require", 40)
		if m.chance("static", 40) {
			c.Instance = fmt.Sprintf("i%d", m.draw("instance", 3))
		}
	}
	for _, name := range [][]string{{"x", "y"}, {"y", "x"}, {"y"}, {"y", "z"}}[m.draw("protocols", 4)] {
		topics := []string{"@t1", "@t1,t2", "@t2,t3"}[m.draw("topics", 3)]
		c.Protocols = append(c.Protocols, Protocol{Name: name, Metadata: parseMetadata(topics)})
	}
	return c
}

func (m *model) commitTopic() CommitTopic {
	id := 1 + m.draw("topic", 4)
	t := CommitTopic{Topic: record.TopicID(id), Name: fmt.Sprintf("t%d", id)}
	for p := range int32(2) {
		t.Partitions = append(t.Partitions, CommitPartition{Partition: p, Offset: record.Offset(m.draw("offset", 1000)), Epoch: -1})
	}
	return t
}

// apply sends a command through its encoding to both states and judges what
// comes back.
func (m *model) apply(c Command) {
	encoded := c.AppendTo(nil)
	decoded, err := Decode(encoded)
	if err != nil {
		m.t.Fatalf("decoding %+v: %v", c, err)
	}
	again, _ := Decode(encoded)
	var fx, other Effects
	r := m.s.Apply(m.now, decoded, &fx)
	m.follower.Apply(m.now, again, &other)
	switch c := c.(type) {
	case *Join:
		m.joined(c, r)
	case *Sync:
		w := where{c.Group, c.Member}
		if r.Waiting {
			m.syncs[w] = true
		} else if r.Sync.Err == nil && string(r.Sync.Assignment) != "" && string(r.Sync.Assignment) != "for "+c.Member {
			// A static member that came back has what its old self was given.
			if c.Instance == "" {
				m.t.Fatalf("%v was given %q", w, r.Sync.Assignment)
			}
		}
	case *Commit:
		if r.Err == nil {
			for _, t := range c.Topics {
				for _, p := range t.Partitions {
					m.committed[offsetAt{c.Group, t.Topic, p.Partition}] = committed{p.Offset, m.now}
				}
			}
		}
	case *Delete, *DeleteOffsets, *Forget:
		m.forgetGone(0)
	}
	m.s.Tick(m.now, false, &fx)
	m.follower.Tick(m.now, false, &other)
	m.forgetGone(m.s.settings.Retention)
	m.effects(&fx)
}

func (m *model) joined(c *Join, r Reply) {
	w := where{c.Group, c.Member}
	switch {
	case r.Waiting:
		m.joins[w] = true
		m.know(c)
	case r.Join.Err == nil:
		if r.Join.Generation != m.generations[c.Group] || r.Join.Member != c.Member {
			m.t.Fatalf("%v joined at once: %+v, the generation is %d", w, r.Join, m.generations[c.Group])
		}
		m.know(c)
	case errors.Is(r.Join.Err, ErrMemberIDRequired):
		m.know(c)
	}
}

func (m *model) know(c *Join) {
	if c.New {
		m.members[c.Group] = append(m.members[c.Group], c.Member)
	}
}

func (m *model) tick() {
	hold := m.chance("hold", 10)
	var fx, other Effects
	m.s.Tick(m.now, hold, &fx)
	m.follower.Tick(m.now, hold, &other)
	m.effects(&fx)
	if !hold {
		m.forgetGone(m.s.settings.Retention)
	}
}

// effects judges the answers to those who wait.
func (m *model) effects(fx *Effects) {
	leaders, generations := map[string]int{}, map[string]int32{}
	for _, j := range fx.Joined {
		w := where{j.Group, j.Member}
		if _, waits := m.joins[w]; !waits {
			m.t.Fatalf("%v is answered and does not wait: %+v", w, j.Reply)
		}
		delete(m.joins, w)
		if j.Reply.Err != nil {
			continue
		}
		if g, seen := generations[j.Group]; seen && g != j.Reply.Generation {
			m.t.Fatalf("generations %d and %d of %s begin at once", g, j.Reply.Generation, j.Group)
		}
		generations[j.Group] = j.Reply.Generation
		if j.Reply.Member == j.Reply.Leader {
			leaders[j.Group]++
		}
		if (len(j.Reply.Members) > 0) != (j.Reply.Member == j.Reply.Leader) {
			m.t.Fatalf("who is told the members, and who leads? %+v", j.Reply)
		}
	}
	for id, generation := range generations {
		if leaders[id] != 1 {
			m.t.Fatalf("%d leaders of %s", leaders[id], id)
		}
		if generation <= m.generations[id] {
			m.t.Fatalf("generation %d of %s after %d", generation, id, m.generations[id])
		}
	}
	for _, s := range fx.Synced {
		w := where{s.Group, s.Member}
		if _, waits := m.syncs[w]; !waits {
			m.t.Fatalf("%v is given an assignment and does not wait", w)
		}
		delete(m.syncs, w)
	}
}

// check holds the state against what must always be true.
func (m *model) check() {
	t := m.t
	if got, want := dump(m.follower), dump(m.s); got != want {
		t.Fatalf("the follower has\n%s\nthe leader\n%s", got, want)
	}
	for id, generation := range m.generations {
		if m.s.groups[id] == nil && generation > 0 {
			m.generations[id] = 0
		}
	}
	waits := 0
	for _, g := range m.s.sorted() {
		if what := g.fault(); what != "" {
			t.Fatalf("%s: %s", g.id, what)
		}
		if g.generation < m.generations[g.id] {
			t.Fatalf("%s went from generation %d to %d", g.id, m.generations[g.id], g.generation)
		}
		m.generations[g.id] = g.generation
		for _, o := range g.members {
			_, join := m.joins[where{g.id, o.id}]
			_, sync := m.syncs[where{g.id, o.id}]
			if join != o.joined || o.joined && g.phase != PreparingRebalance {
				t.Fatalf("%s of %s waits for its join: %v, state %v in %v", o.id, g.id, join, o.joined, g.phase)
			}
			if sync != (o.synced && g.phase == CompletingRebalance) || o.synced && g.phase < CompletingRebalance {
				t.Fatalf("%s of %s waits for its sync: %v, state %v in %v", o.id, g.id, sync, o.synced, g.phase)
			}
			if join {
				waits++
			}
			if sync {
				waits++
			}
		}
		if (g.phase == PreparingRebalance || g.phase == CompletingRebalance) && g.deadline == never {
			t.Fatalf("%s has no deadline in %v", g.id, g.phase)
		}
	}
	if waits != len(m.joins)+len(m.syncs) {
		t.Fatalf("joins %v and syncs %v wait, the state knows of %d", m.joins, m.syncs, waits)
	}
	m.checkOffsets()
}

func (m *model) checkOffsets() {
	n := 0
	for _, g := range m.s.sorted() {
		for o := range m.s.Offsets(g.id) {
			n++
			if want, ok := m.committed[offsetAt{g.id, o.Topic, o.Partition}]; !ok || want.offset != o.Offset {
				m.t.Fatalf("%s has %+v, committed was %v (%v)", g.id, o, want, ok)
			}
		}
	}
	if n != len(m.committed) {
		m.t.Fatalf("%d offsets are left of %d committed", n, len(m.committed))
	}
}

// forgetGone takes over what was deleted or has expired, which takes an age.
func (m *model) forgetGone(age int64) {
	for at, c := range m.committed {
		if _, ok := m.s.Offset(at.group, at.topic, at.partition); ok {
			continue
		}
		if m.now < c.at+record.LogTime(age) {
			m.t.Fatalf("%v was lost %d ms after the commit", at, m.now-c.at)
		}
		delete(m.committed, at)
	}
}

// cutStep begins a checkpoint of the follower, or writes a part of it.
func (m *model) cutStep() {
	if !m.cutting {
		m.follower.Freeze()
		m.cutting, m.cut = true, dump(m.follower)
		return
	}
	left := m.draw("pages", 4)
	done := m.follower.EncodePages(func(k, v []byte) {
		if v == nil {
			delete(m.disk, string(k))
			return
		}
		m.disk[string(k)] = v
	}, func() bool { left--; return left >= 0 })
	if done {
		m.cutting = false
		if got := dump(load(m.t, m.disk)); got != m.cut {
			m.t.Fatalf("the checkpoint holds\n%s\nat the cut there was\n%s", got, m.cut)
		}
	}
}

// restartFollower replaces the follower by what its checkpoint holds.
func (m *model) restartFollower() {
	for m.cutting {
		m.cutStep()
	}
	save(m.follower, m.disk)
	m.follower = load(m.t, m.disk)
}

// comeToRest lets time pass until no deadline is left that a member could wait
// for: then nobody waits.
func (m *model) comeToRest() {
	for range 1000 {
		at := m.s.timers.next()
		if at == never {
			break
		}
		m.now = max(m.now, at)
		var fx Effects
		m.s.Tick(m.now, true, &fx)
		m.effects(&fx)
	}
	if len(m.joins)+len(m.syncs) > 0 {
		m.t.Fatalf("for ever wait: joins %v, syncs %v",
			slices.Collect(maps.Keys(m.joins)), slices.Collect(maps.Keys(m.syncs)))
	}
}
