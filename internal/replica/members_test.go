package replica

import (
	"errors"
	"slices"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/polylog-mq/polylog/internal/record"
)

// answer collects what a done function is told.
type answer struct {
	err   error
	times int
}

func (a *answer) done(err error) { a.err, a.times = err, a.times+1 }

// change runs a change of members and returns its answer.
func (c *cluster) change(f func(done func(error))) error {
	c.t.Helper()
	var a answer
	f(a.done)
	c.until("the change of members", func() bool { return a.times > 0 })
	if a.times != 1 {
		c.t.Fatalf("answered %d times", a.times)
	}
	return a.err
}

func (c *cluster) addLearner(on *node, id record.NodeID) error {
	return c.change(func(done func(error)) { on.group().AddLearner(id, done) })
}

func (c *cluster) promote(on *node, id record.NodeID) error {
	return c.change(func(done func(error)) { on.group().Promote(id, done) })
}

func (c *cluster) remove(on *node, id record.NodeID) error {
	return c.change(func(done func(error)) { on.group().Remove(id, done) })
}

func TestOneMemberGrowsToThreeAndShrinks(t *testing.T) {
	c := newCluster(t, 20, 1, func(c *cluster) { c.checkpointEvery = 3 })
	l := c.leader()
	c.must(l.propose(1, 200, 100))
	for _, id := range []record.NodeID{2, 3} {
		c.addNode(id)
		if err := c.addLearner(l, id); err != nil {
			t.Fatal(err)
		}
		if err := c.addLearner(l, id); !errors.Is(err, ErrRefused) {
			t.Fatalf("adding it twice: %v", err)
		}
		if err := c.promote(l, id); !errors.Is(err, ErrRefused) {
			t.Fatalf("a learner that holds nothing was promoted: %v", err)
		}
		c.must(l.propose(uint64(id)*1000, 20, 100))
		c.converge()
		if err := c.promote(l, id); err != nil {
			t.Fatal(err)
		}
	}
	c.must(l.propose(10_000, 20, 100))
	c.converge()
	c.sameData()
	if voters, learners := c.nodes[3].group().Members(); !slices.Equal(voters, []record.NodeID{1, 2, 3}) || len(learners) > 0 {
		t.Fatalf("voters %v, learners %v", voters, learners)
	}
	if c.seen["MsgSnap"] == 0 {
		t.Fatal("new members got no snapshot")
	}
	for i := range 10 {
		c.must(l.propose(uint64(15_000+i), 1, 10)) // a checkpoint comes to know the members
	}
	c.nodes[3].crash()
	c.nodes[3].start()
	if voters, _ := c.nodes[3].group().Members(); len(voters) != 3 {
		t.Fatalf("after a restart the voters are %v", voters)
	}
	c.nodes[1].crash()
	c.must(c.leader().propose(20_000, 20, 100)) // two of three are enough
	c.nodes[1].start()
	c.converge()
	c.shrink()
}

// shrink removes all members but the last, the leader by itself.
func (c *cluster) shrink() {
	c.t.Helper()
	for left := len(c.order); left > 1; left-- {
		l := c.leader()
		if err := c.remove(l, l.id); !errors.Is(err, ErrUnknown) {
			c.t.Fatalf("a leader that removed itself answers %v", err)
		}
		next := c.leader()
		if err := c.remove(next, l.id); err != nil || next == l {
			c.t.Fatalf("node %d after it: %v", next.id, err)
		}
		l.crash()
	}
	l := c.leader()
	c.must(l.propose(30_000, 5, 10))
	if err := c.remove(l, l.id); !errors.Is(err, ErrRefused) {
		c.t.Fatalf("the last member removed itself: %v", err)
	}
	c.run(time.Second)
	if d, ok := c.clock.Next(); ok && l.group().needsTicks() {
		c.t.Fatalf("a member alone again has a timer, due in %v", d)
	}
}

// TestARemovalOutlivesWhoKnewOfIt loses two of four members for good: one before
// it is removed, the leader when it says that this is done.
func TestARemovalOutlivesWhoKnewOfIt(t *testing.T) {
	c := newCluster(t, 28, 4)
	l := c.leader()
	c.must(l.propose(1, 10, 10))
	gone := c.others(l)[0]
	gone.crash()
	if err := c.remove(l, gone.id); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.others(l)[1:] {
		n.crash()
	}
	l.crash()
	c.run(10 * time.Millisecond) // what it sent last arrives nowhere
	for _, n := range c.others(l)[1:] {
		n.start()
	}
	c.must(c.leader().propose(100, 10, 10))
	if voters, _ := c.leader().group().Members(); len(voters) != 3 {
		t.Fatalf("the voters are %v", voters)
	}
}

// TestALeaderRemovesItselfInTheMidstOfWork: of two, the one that stays gets the vote
// that it needs; and nothing comes back from the leader's own store when it is no
// member any more.
func TestALeaderRemovesItselfInTheMidstOfWork(t *testing.T) {
	for _, members := range []int{2, 3} {
		c := newCluster(t, 29, members)
		l := c.leader()
		c.converge()
		l.propose(c.nextID(), 1, 10)
		var a answer
		l.group().Remove(l.id, a.done)
		c.settle()
		l.slow = true // the change is written, what follows is on its way
		for i := 0; a.times == 0 && i < 1000; i++ {
			l.propose(c.nextID(), 1, 10)
			c.run(400 * time.Microsecond)
		}
		l.slow = false
		c.run(10 * time.Second)
		if l.fatal != nil {
			t.Fatal(l.fatal)
		}
		next := c.leader()
		if next == l {
			t.Fatal("it still leads")
		}
		c.must(next.propose(c.nextID(), 1, 10))
		l.crash()
		c.must(c.leader().propose(c.nextID(), 1, 10))
	}
}

func TestChangesOfMembersAreForTheLeader(t *testing.T) {
	c := newCluster(t, 21, 3)
	l := c.leader()
	f := c.others(l)[0]
	if err := c.addLearner(f, 9); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("a follower answered %v", err)
	}
	// One at a time.
	var first, second answer
	l.group().AddLearner(8, first.done)
	l.group().AddLearner(9, second.done)
	c.until("answers", func() bool { return first.times+second.times == 2 })
	if first.err != nil || !errors.Is(second.err, ErrRefused) {
		t.Fatalf("%v, %v", first.err, second.err)
	}
	// A leader that loses its office does not know.
	c.isolate(l)
	if err := c.addLearner(l, 9); !errors.Is(err, ErrUnknown) {
		t.Fatalf("an isolated leader answered %v", err)
	}
}

func TestALearnerDoesNotCount(t *testing.T) {
	c := newCluster(t, 22, 1)
	l := c.leader()
	n := c.addNode(2)
	if err := c.addLearner(l, 2); err != nil {
		t.Fatal(err)
	}
	c.converge()
	n.crash()
	c.must(l.propose(1, 10, 10)) // the learner is not missed
	n.start()
	l.crash()
	c.run(10 * time.Second)
	if n.group().IsLeader() {
		t.Fatal("a learner leads")
	}
	l.start()
	c.must(c.leader().propose(100, 10, 10))
	c.converge()
}

func TestReadIndex(t *testing.T) {
	c := newCluster(t, 23, 3)
	l := c.leader()
	for _, n := range append(c.others(l), l) {
		c.must(l.propose(uint64(n.id)*100, 10, 10))
		committed := l.group().Applied()
		var a answer
		n.group().ReadIndex(a.done)
		n.group().ReadIndex(a.done)
		c.until("the reads", func() bool { return a.times == 2 })
		if a.err != nil || n.group().Applied() < committed {
			t.Fatalf("node %d: %v, applied %d of %d", n.id, a.err, n.group().Applied(), committed)
		}
	}
}

func TestReadIndexNeverLies(t *testing.T) {
	c := newCluster(t, 24, 3)
	old := c.leader()
	c.isolate(old)
	var a answer
	c.until("another leader", func() bool {
		for _, o := range c.others(old) {
			if o.group().IsLeader() {
				return true
			}
		}
		// The old leader cannot know whether it still leads.
		old.group().ReadIndex(a.done)
		return false
	})
	asked := a.times
	old.group().ReadIndex(a.done)
	c.run(10 * time.Second)
	if a.err == nil || a.times <= asked {
		t.Fatalf("the last answer is %v", a.err)
	}
	old.group().ReadIndex(func(err error) {
		if err == nil {
			t.Error("a member without a leader read")
		}
	})
	c.settle()
}

func TestReadIndexGivesUp(t *testing.T) {
	c := newCluster(t, 25, 3)
	l := c.leader()
	f := c.others(l)[0]
	c.drop = func(from, _ record.NodeID, m Message) bool {
		return from == f.id && m.Raft.GetType().String() == "MsgReadIndex"
	}
	var a answer
	f.group().ReadIndex(a.done)
	c.until("an answer", func() bool { return a.times > 0 })
	if !errors.Is(a.err, ErrUnknown) {
		t.Fatalf("the answer is %v", a.err)
	}
}

// TestReadIndexAfterARestart delivers the answer to a question that was asked
// before the restart.
func TestReadIndexAfterARestart(t *testing.T) {
	c := newCluster(t, 27, 3)
	l := c.leader()
	f := c.others(l)[0]
	c.converge()
	var old *raftpb.Message
	c.drop = func(_, to record.NodeID, m Message) bool {
		if to == f.id && m.Raft.GetType() == raftpb.MsgReadIndexResp {
			old = m.Raft
		}
		return old == m.Raft
	}
	var a, b answer
	f.group().ReadIndex(a.done)
	c.until("the answer on its way", func() bool { return old != nil })
	f.crash()
	c.must(l.propose(1, 10, 10))
	f.start()
	c.until("the member has what it asked for", func() bool {
		lead, _ := f.group().Leader()
		return lead == l.id && uint64(f.group().Applied()) >= old.GetIndex()
	})
	c.isolate(f)
	f.group().ReadIndex(b.done)
	c.settle()
	f.host.Receive(l.id, Message{Group: 1, Raft: old})
	c.settle()
	if b.times != 0 {
		t.Fatalf("an old answer was taken for a new one: %v", b.err)
	}
}

func TestReadIndexAlone(t *testing.T) {
	c := newCluster(t, 26, 1)
	n := c.leader()
	var a answer
	n.group().ReadIndex(a.done)
	c.settle()
	if a.times != 1 || a.err != nil {
		t.Fatalf("answered %d times, %v", a.times, a.err)
	}
}
