package replica

import (
	"testing"

	"github.com/polylog-mq/polylog/internal/crashfs"
	"github.com/polylog-mq/polylog/internal/record"
)

// The memory of large entries is used again, and overwritten here, while nobody
// looks at it any more: also not the members that join in the midst of it.
func TestMemoryOfEntriesIsUsedAgain(t *testing.T) {
	c := newCluster(t, 71, 1, func(c *cluster) {
		o := smallStore(c.clock)
		o.WALFileSize, o.TailBytes = 4<<20, 64<<10
		c.newStore = func() testStore { return newDiskStore(t, crashfs.New(), o) }
	})
	l := c.leader()
	next := uint64(1)
	propose := func(count, size int) []*command {
		ps := l.propose(next, count, size)
		next += uint64(count)
		return ps
	}
	for i := range 30 {
		c.must(propose(1+i%4, 3000+i*1000))
	}
	if spare := l.group().loop.bodies; len(spare.free) == 0 || spare.bytes > maxSpareBodies {
		t.Fatalf("%d pieces of memory are kept, %d bytes", len(spare.free), spare.bytes)
	}
	for _, id := range []record.NodeID{2, 3} {
		c.addNode(id)
		flying := propose(5, 50_000)
		flying = append(flying, propose(5, 70_000)...)
		added := false
		l.group().AddLearner(id, func(err error) { added = err == nil })
		flying = append(flying, propose(20, 40_000)...)
		c.must(flying)
		c.until("the learner is added", func() bool { return added })
		c.must(propose(3, 5000))
		c.converge()
		if id == 2 {
			if err := c.remove(l, 2); err != nil {
				t.Fatal(err)
			}
			c.nodes[2].crash()
			delete(c.nodes, 2)
			c.order = []record.NodeID{1}
			if !l.group().alone() {
				t.Fatal("the group is not alone again")
			}
			c.must(propose(4, 9000))
		}
	}
	c.sameData()
}

func TestBodies(t *testing.T) {
	var s bodies
	a, b := s.take(10), s.take(3*bodyStep-5)
	if len(a) != 0 || cap(a) < bodyStep || cap(b) < 3*bodyStep {
		t.Fatalf("capacities %d and %d", cap(a), cap(b))
	}
	s.put(b)
	s.put(a)
	if got := s.take(bodyStep - 1); cap(got) != cap(a) {
		t.Errorf("got %d bytes, where %d are enough", cap(got), cap(a))
	}
	if got := s.take(bodyStep); cap(got) != cap(b) {
		t.Errorf("got %d bytes, where %d were there", cap(got), cap(b))
	}
	if len(s.free) != 0 || s.bytes != 0 {
		t.Errorf("%d left, %d bytes", len(s.free), s.bytes)
	}
	for range 5 {
		s.put(make([]byte, 0, maxSpareBodies/4))
		s.put(make([]byte, 0, bodyStep))
	}
	if s.bytes > maxSpareBodies || len(s.free) != 4 {
		t.Errorf("%d kept, %d bytes", len(s.free), s.bytes)
	}
}
