package replica

import (
	"bytes"
	crand "crypto/rand"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/polylog-mq/polylog/internal/clock"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// cluster runs members, their network and time in one goroutine, from a seed.
type cluster struct {
	t      *testing.T
	rng    *rand.Rand
	clock  *clock.Virtual
	nodes  map[record.NodeID]*node
	order  []record.NodeID
	groups []record.ShardID
	loops  int
	tune   tuning
	// checkpointEvery is how many entries a store takes between checkpoints.
	checkpointEvery int
	patience        time.Duration

	newStore func() testStore

	// The network.
	delay func() time.Duration
	drop  func(from, to record.NodeID, m Message) bool
	cut   map[[2]record.NodeID]bool // one way
	// seen counts messages by what they are.
	seen map[string]int
	ids  uint64
	// history is what the entries of the first group did, as the first member
	// to apply them saw it.
	history map[record.Index][]appliedCommand
}

type node struct {
	id       record.NodeID
	c        *cluster
	store    testStore
	host     *Host
	machines map[record.ShardID]*machine
	down     bool
	paused   bool // its loops are not stepped
	slow     bool // its store is not flushed
	fatal    error
	life     int
}

// seededReader makes Raft's election jitter, which reads crypto/rand, a
// function of the seed.
type seededReader struct{ rng *rand.ChaCha8 }

func (r seededReader) Read(p []byte) (int, error) { return r.rng.Read(p) }

// seedRaft replaces the source of Raft's jitter for one test.
func seedRaft(t testing.TB, seed uint64) {
	var key [32]byte
	key[0], key[1], key[2], key[3] = byte(seed), byte(seed>>8), byte(seed>>16), byte(seed>>24)
	old := crand.Reader
	crand.Reader = io.Reader(seededReader{rand.NewChaCha8(key)})
	t.Cleanup(func() { crand.Reader = old })
}

// newCluster starts members 1 to n of one group.
func newCluster(t *testing.T, seed uint64, n int, change ...func(c *cluster)) *cluster {
	seedRaft(t, seed)
	c := &cluster{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), nodes: map[record.NodeID]*node{}, tune: defaultTuning(), loops: 1,
		groups: []record.ShardID{1}, patience: time.Minute, cut: map[[2]record.NodeID]bool{}, seen: map[string]int{},
		clock: clock.NewVirtual(time.Unix(1_700_000_000, 0)), history: map[record.Index][]appliedCommand{},
	}
	c.delay = func() time.Duration { return time.Millisecond }
	c.newStore = func() testStore {
		s := newMemStore()
		s.checkpointEvery = c.checkpointEvery
		return s
	}
	c.tune.poison = true
	for _, f := range change {
		f(c)
	}
	var voters []record.NodeID
	for i := range n {
		voters = append(voters, record.NodeID(i+1))
	}
	for _, id := range voters {
		c.addNode(id, voters...)
	}
	return c
}

// addNode starts a node; without voters it waits to be added to its groups.
func (c *cluster) addNode(id record.NodeID, voters ...record.NodeID) *node {
	n := &node{id: id, c: c, store: c.newStore()}
	if len(voters) > 0 {
		var cuts []store.GroupCut
		for _, g := range c.groups {
			cut, err := Bootstrap(g, voters...)
			if err != nil {
				c.t.Fatal(err)
			}
			cuts = append(cuts, cut)
		}
		n.store.bootstrap(cuts...)
	}
	c.nodes[id] = n
	c.order = append(c.order, id)
	n.start()
	return n
}

func (n *node) start() {
	n.life++
	n.down, n.fatal = false, nil
	life := n.life
	n.host = newHost(Options{
		Node: n.id, Transport: nodeTransport{n, life}, Clock: nodeClock{n.c.clock, n, life}, Loops: n.c.loops,
		Fatal: func(err error) { n.fatal = err },
	}, n.store, n.c.tune)
	n.machines = map[record.ShardID]*machine{}
	for _, id := range n.c.groups {
		m := newMachine(id)
		m.runs = n.store
		if id == n.c.groups[0] {
			m.onApply = func(e Entry, cs []appliedCommand) { n.c.remember(n, e, cs) }
		}
		n.machines[id] = m
		if _, err := n.host.Open(id, m); err != nil {
			n.c.t.Fatalf("node %d: %v", n.id, err)
		}
	}
}

// crash stops a node as kill -9 and a power cut together do.
func (n *node) crash() {
	n.down = true
	n.host.Close() // only so that the test's proposals are answered
	n.store = n.store.crash(n.c.rng)
}

// remember keeps what an entry did. What is applied anywhere must be durable
// where it is applied, and on a majority.
func (c *cluster) remember(n *node, e Entry, cs []appliedCommand) {
	if _, ok := c.history[e.Index]; !ok {
		c.history[e.Index] = slices.Clone(cs)
	}
	if n.store.durable() == nil {
		return
	}
	if !n.store.durable().holds(c.groups[0], e.Index, e.Term) {
		c.t.Errorf("node %d applies entry %d, which is not durable there", n.id, e.Index)
	}
	if n.host.Group(c.groups[0]) == nil {
		return // it is being opened
	}
	voters, _ := n.group().Members()
	durable := 0
	for _, v := range voters {
		if c.nodes[v].store.durable().holds(c.groups[0], e.Index, e.Term) {
			durable++
		}
	}
	if durable <= len(voters)/2 {
		c.t.Errorf("node %d applies entry %d, which is durable on %d of %d members", n.id, e.Index, durable, len(voters))
	}
}

// promise checks that what a message says is durable is so.
func (n *node) promise(m *raftpb.Message) {
	if n.store.durable() == nil {
		return
	}
	disk := n.store.durable().group(n.c.groups[0])
	switch {
	case m.GetReject():
	case m.GetType() == raftpb.MsgVoteResp:
		t := record.Term(m.GetTerm())
		if disk.hard.Term < t || disk.hard.Term == t && disk.hard.Vote != record.NodeID(m.GetTo()) {
			n.c.t.Errorf("node %d votes for %d in term %d; durable is %+v", n.id, m.GetTo(), m.GetTerm(), disk.hard)
		}
	case m.GetType() == raftpb.MsgAppResp:
		if last := disk.first + record.Index(len(disk.entries)) - 1; last < record.Index(m.GetIndex()) {
			n.c.t.Errorf("node %d acknowledges entry %d; durable is %d", n.id, m.GetIndex(), last)
		}
	}
}

func (n *node) mem() *memStore    { return n.store.(*memStore) }
func (n *node) group() *Group     { return n.host.Group(n.c.groups[0]) }
func (n *node) machine() *machine { return n.machines[n.c.groups[0]] }

// nodeClock is the cluster's time; timers die with the node.
type nodeClock struct {
	*clock.Virtual
	n    *node
	life int
}

func (k nodeClock) AfterFunc(d time.Duration, f func()) clock.Timer {
	return k.Virtual.AfterFunc(d, func() {
		if k.n.life == k.life && !k.n.down {
			f()
		}
	})
}

type nodeTransport struct {
	n    *node
	life int
}

func (t nodeTransport) Send(to record.NodeID, m Message) {
	c := t.n.c
	if t.n.down || t.n.life != t.life {
		return
	}
	c.seen[describe(m)]++
	from := t.n.id
	if c.cut[[2]record.NodeID{from, to}] || c.drop != nil && c.drop(from, to, m) {
		return
	}
	sent := m.Raft
	if m.Raft != nil {
		if m.Group == c.groups[0] {
			t.n.promise(m.Raft)
		}
		m.Raft = proto.Clone(m.Raft).(*raftpb.Message)
	}
	c.clock.AfterFunc(c.delay(), func() {
		for i, e := range sent.GetEntries() { // a network may look at it late
			d := e.GetData()
			if len(d) > 0 && d[0] == poison || !bytes.Equal(d, m.Raft.GetEntries()[i].GetData()) {
				c.t.Fatalf("the memory of entry %d was used again although it is being sent", e.GetIndex())
			}
		}
		if n := c.nodes[to]; n != nil && !n.down {
			n.host.Receive(from, m)
		}
	})
}

func describe(m Message) string {
	if m.Raft != nil {
		return m.Raft.GetType().String()
	}
	return fmt.Sprintf("snapshot-%d", m.Snapshot.Kind)
}

// settle steps everything until nothing is left to do at this instant.
func (c *cluster) settle() {
	for worked := true; worked; {
		worked = false
		for _, id := range c.order {
			n := c.nodes[id]
			if n.down || n.paused {
				continue
			}
			for l := range n.host.Loops() {
				worked = n.host.Step(l) || worked
			}
			if !n.slow {
				worked = n.store.Flush() || worked
			}
			worked = n.host.StepWork() || worked
		}
	}
}

// next lets time pass until something happens; false if nothing ever will.
func (c *cluster) next() bool {
	d, ok := c.clock.Next()
	if ok {
		c.clock.Advance(d)
	}
	return ok
}

// run lets d of time pass.
func (c *cluster) run(d time.Duration) {
	c.settle()
	for end := c.clock.Mono() + d; ; c.settle() {
		next, ok := c.clock.Next()
		if left := end - c.clock.Mono(); !ok || next > left {
			c.clock.Advance(left)
			return
		}
		c.clock.Advance(next)
	}
}

// until runs until ok, and fails the test when its patience, in virtual time,
// is over.
func (c *cluster) until(what string, ok func() bool) {
	c.t.Helper()
	end := c.clock.Mono() + c.patience
	c.settle()
	for !ok() {
		if c.clock.Mono() > end || !c.next() {
			c.t.Fatalf("after %v: still not: %s", c.clock.Mono(), what)
		}
		c.settle()
	}
}

// leader waits until a live member leads and returns it.
func (c *cluster) leader() *node {
	c.t.Helper()
	var found *node
	c.until("a leader", func() bool {
		found = nil
		for _, id := range c.order {
			if n := c.nodes[id]; !n.down && !n.paused && n.group().IsLeader() {
				if found == nil || term(n) > term(found) {
					found = n
				}
			}
		}
		return found != nil
	})
	return found
}

func term(n *node) record.Term { _, t := n.group().Leader(); return t }

// others returns the other nodes in order.
func (c *cluster) others(n *node) (out []*node) {
	for _, id := range c.order {
		if id != n.id {
			out = append(out, c.nodes[id])
		}
	}
	return out
}

// isolate cuts a node off, both ways; heal joins everything again.
func (c *cluster) isolate(n *node) {
	for _, o := range c.others(n) {
		c.cut[[2]record.NodeID{n.id, o.id}] = true
		c.cut[[2]record.NodeID{o.id, n.id}] = true
	}
}

func (c *cluster) heal() { clear(c.cut) }

// nextID returns an id that no other command of the test has.
func (c *cluster) nextID() uint64 {
	c.ids++
	return 1<<50 + c.ids
}

// propose proposes n commands of the given size on a node, from id on.
func (n *node) propose(from uint64, count, size int) (out []*command) {
	for i := range count {
		p := newCommand(from+uint64(i), int(from+uint64(i))%partitions, size)
		out = append(out, p)
		n.group().Propose(p)
	}
	return out
}

// must waits until all commands have succeeded.
func (c *cluster) must(ps []*command) {
	c.t.Helper()
	c.until("all commands answered", func() bool { return settled(ps) })
	for _, p := range ps {
		if p.err != nil {
			c.t.Fatalf("command %d: %v", p.id, p.err)
		}
	}
}

func settled(ps []*command) bool {
	return !slices.ContainsFunc(ps, func(p *command) bool { return p.settled == 0 })
}

// converge waits until all live members have applied the same and compares
// every index that two of them know.
func (c *cluster) converge() {
	c.t.Helper()
	c.until("all members at the same index", func() bool {
		first := record.Index(0)
		for _, id := range c.order {
			n := c.nodes[id]
			if n.down {
				continue
			}
			if i := n.group().Applied(); first == 0 {
				first = i
			} else if i != first {
				return false
			}
		}
		return true
	})
	c.compare()
}

func (c *cluster) compare() {
	c.t.Helper()
	for _, g := range c.groups {
		known, by := map[record.Index]uint32{}, map[record.Index]record.NodeID{}
		for _, id := range c.order {
			n := c.nodes[id]
			if n.fatal != nil {
				c.t.Fatalf("node %d failed: %v", id, n.fatal)
			}
			for i, chain := range n.machines[g].chains {
				if was, ok := known[i]; ok && was != chain {
					c.t.Fatalf("nodes %d and %d differ at index %d of group %d", by[i], id, i, g)
				}
				known[i], by[i] = chain, id
			}
		}
	}
}
