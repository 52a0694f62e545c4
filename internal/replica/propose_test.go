package replica

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// inOrder checks that commands were applied in the order of their ids.
func inOrder(t *testing.T, m *machine) {
	t.Helper()
	for i := 1; i < len(m.applied); i++ {
		if m.applied[i].id <= m.applied[i-1].id {
			t.Fatalf("command %d was applied after %d", m.applied[i].id, m.applied[i-1].id)
		}
	}
}

func count(ps []*command, is func(error) bool) (n int) {
	for _, p := range ps {
		if p.settled == 1 && is(p.err) {
			n++
		}
	}
	return n
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func TestProposalsGatherWhileOthersAreInFlight(t *testing.T) {
	for _, tc := range []struct {
		what    string
		members int
		size    int
		entries record.Index
	}{
		{"alone, one small entry is in flight at a time", 1, 100, 2},
		{"alone, large ones follow each other, up to a limit", 1, 70_000, 5},
		{"with others, a few small ones are on their way", 3, 100, 4},
	} {
		t.Run(tc.what, func(t *testing.T) {
			c := newCluster(t, 1, tc.members, func(c *cluster) {
				c.tune.smallInFlight, c.tune.entriesInFlight, c.tune.entryBytes = 3, 4, 8<<20
			})
			n := c.leader()
			n.slow = true
			before := n.group().Applied()
			var ps []*command
			for i := range 50 {
				ps = append(ps, n.propose(uint64(i+1), 1, tc.size)...)
				c.settle()
			}
			n.slow = false
			c.must(ps)
			inOrder(t, n.machine())
			if got := n.group().Applied() - before; got != tc.entries {
				t.Fatalf("50 commands became %d entries", got)
			}
		})
	}
}

func TestEntriesHaveABound(t *testing.T) {
	c := newCluster(t, 1, 1, func(c *cluster) { c.tune.entryBytes = 1000 })
	n := c.leader()
	before := n.group().Applied()
	c.must(n.propose(1, 20, 400)) // about 480 bytes each: two per entry
	if got := n.group().Applied() - before; got != 10 {
		t.Fatalf("20 commands of 480 bytes became %d entries of 1000", got)
	}
	c.must(n.propose(100, 1, 5000)) // more than an entry gathers, but alone it goes
}

func TestBackPressureByBytes(t *testing.T) {
	c := newCluster(t, 1, 1, func(c *cluster) { c.tune.groupBytes = 10_000 })
	n := c.leader()
	n.slow = true
	ps := n.propose(1, 100, 400)
	c.settle()
	busy := count(ps, is(ErrBusy))
	if busy == 0 || busy > 85 {
		t.Fatalf("%d of 100 were refused", busy)
	}
	n.slow = false
	c.until("the rest", func() bool { return settled(ps) })
	if got := count(ps, func(err error) bool { return err == nil }); got != 100-busy {
		t.Fatalf("%d succeeded and %d were refused", got, busy)
	}
	c.must(n.propose(1000, 10, 400)) // there is room again
	big := newCommand(2000, 0, maxProposalBytes)
	n.group().Propose(big)
	c.settle()
	if !errors.Is(big.err, ErrTooLarge) {
		t.Fatalf("too large a command: %v", big.err)
	}
	if held := n.group().bytes.Load() + n.host.bytes.Load(); held != 0 {
		t.Fatalf("%d bytes are held by nothing", held)
	}
}

func TestDroppedProposalsGoFirst(t *testing.T) {
	// Raft drops what exceeds its own limit: nothing commits meanwhile.
	c := newCluster(t, 5, 3, func(c *cluster) {
		c.tune.uncommittedBytes, c.tune.entryBytes, c.tune.entriesInFlight, c.tune.worthBytes = 2000, 500, 1000, 1
	})
	l := c.leader()
	for _, o := range c.others(l) {
		o.slow = true
	}
	var ps []*command
	for i := range 40 {
		ps = append(ps, l.propose(uint64(i+1), 1, 300)...)
		c.settle()
	}
	if l.group().held == nil {
		t.Fatal("Raft dropped nothing")
	}
	for _, o := range c.others(l) {
		o.slow = false
	}
	c.must(ps)
	inOrder(t, l.machine())
}

// TestDroppedProposalsAlone: a member alone has no ticks to try again at. Raft
// counts the change of members, which is not applied yet.
func TestDroppedProposalsAlone(t *testing.T) {
	c := newCluster(t, 12, 1, func(c *cluster) { c.tune.uncommittedBytes = 1 })
	n := c.leader()
	n.slow = true
	var a answer
	n.group().AddLearner(2, a.done)
	c.settle()
	ps := n.propose(1, 40, 300)
	c.settle()
	if n.group().held == nil {
		t.Fatal("Raft dropped nothing")
	}
	n.slow = false
	c.settle()
	if !settled(ps) || count(ps, is(nil)) != 40 {
		t.Fatalf("%d of 40 succeeded at once", count(ps, is(nil)))
	}
	inOrder(t, n.machine())
}

func TestProposalsWaitForATransferThatFails(t *testing.T) {
	c := newCluster(t, 6, 3)
	l := c.leader()
	to := c.others(l)[0]
	to.crash()
	l.group().TransferLeader(to.id)
	c.settle()
	ps := l.propose(1, 30, 100)
	c.settle()
	if settled(ps) || l.group().held == nil {
		t.Fatal("the transfer does not hold proposals up")
	}
	c.must(ps) // given up after an election timeout
	inOrder(t, l.machine())
	if !l.group().IsLeader() {
		t.Fatal("the leader changed")
	}
}

func TestProposalsAtATransfer(t *testing.T) {
	c := newCluster(t, 7, 3)
	l := c.leader()
	to := c.others(l)[1]
	var ps []*command
	for i := range 100 {
		if i == 30 {
			l.group().TransferLeader(to.id)
		}
		ps = append(ps, l.propose(uint64(i+1), 1, 100)...)
		c.settle()
		c.run(100 * time.Microsecond)
	}
	c.until("the transfer", func() bool { return to.group().IsLeader() && settled(ps) })
	ok := count(ps, func(err error) bool { return err == nil })
	if refused := count(ps, is(ErrNotLeader)); ok < 10 || refused < 10 || ok+refused != 100 {
		t.Fatalf("%d succeeded and %d were refused", ok, refused)
	}
	for i, p := range ps {
		if (p.err == nil) != (i < ok) {
			t.Fatalf("command %d: %v, though %d succeeded", i, p.err, ok)
		}
	}
	c.must(to.propose(1000, 5, 10))
	c.converge()
	inOrder(t, l.machine())
}

func TestALeaderWithoutAMajorityAnswers(t *testing.T) {
	for _, cut := range []string{"both ways", "cannot hear", "cannot be heard"} {
		t.Run(cut, func(t *testing.T) {
			c := newCluster(t, 8, 3, func(c *cluster) { c.tune.entriesInFlight = 2 })
			l := c.leader()
			for _, o := range c.others(l) {
				c.cut[[2]record.NodeID{l.id, o.id}] = cut != "cannot hear"
				c.cut[[2]record.NodeID{o.id, l.id}] = cut != "cannot be heard"
			}
			var ps []*command
			for i := range 20 {
				ps = append(ps, l.propose(uint64(i+1), 1, 100)...)
				c.settle()
			}
			c.until("answers", func() bool { return settled(ps) })
			unknown, refused := count(ps, is(ErrUnknown)), count(ps, is(ErrNotLeader))
			if unknown != 2 || refused != 18 {
				t.Fatalf("%d unknown and %d refused", unknown, refused)
			}
			if waited := c.clock.Mono(); waited > 10*time.Second {
				t.Fatalf("it took until %v", waited)
			}
			c.heal()
			n := c.leader()
			c.must(n.propose(100, 5, 10))
			c.converge()
			for _, a := range n.machine().applied {
				if a.id > 2 && a.id < 100 {
					t.Fatalf("command %d was refused and is applied", a.id)
				}
			}
		})
	}
}

func TestALeaderCrashLeavesAnUnknownFate(t *testing.T) {
	for _, survives := range []bool{true, false} {
		c := newCluster(t, 100, 3)
		l := c.leader()
		if !survives {
			c.isolate(l)
		}
		ps := l.propose(1, 1, 100)
		c.settle()
		c.run(500 * time.Microsecond)
		l.crash()
		if !errors.Is(ps[0].err, ErrUnknown) {
			t.Fatalf("the answer is %v", ps[0].err)
		}
		n := c.leader()
		c.heal()
		l.start()
		c.must(n.propose(100, 1, 10))
		c.converge()
		if got := n.machine().applied[0].id == 1; got != survives {
			t.Fatalf("survived: %v, want %v", got, survives)
		}
	}
}

func TestAFailingDiskEndsTheHost(t *testing.T) {
	c := newCluster(t, 9, 1, func(c *cluster) { c.tune.entriesInFlight = 1 })
	n := c.leader()
	boom := fmt.Errorf("no medium found")
	n.mem().fail = boom
	n.slow = true
	flying := n.propose(1, 1, 10)
	c.settle()
	waiting := n.propose(2, 5, 10)
	c.settle()
	n.slow = false
	c.settle()
	late := n.propose(20, 5, 10)
	c.settle()
	if !errors.Is(n.fatal, boom) {
		t.Fatalf("the owner was told %v", n.fatal)
	}
	if count(flying, is(ErrUnknown)) != 1 || count(waiting, is(ErrStopped)) != 5 || count(late, is(ErrStopped)) != 5 {
		t.Fatalf("answers: %v, %v, %v", flying[0].err, waiting[0].err, late[0].err)
	}
	if n.group().IsLeader() {
		t.Fatal("it still leads")
	}
	n.group().ReadIndex(func(err error) {
		if !errors.Is(err, ErrStopped) {
			t.Errorf("a read got %v", err)
		}
	})
	n.group().AddLearner(7, func(err error) {
		if !errors.Is(err, ErrStopped) {
			t.Errorf("a change of members got %v", err)
		}
	})
	c.settle()
}

func TestALogThatCannotBeReadEndsTheHost(t *testing.T) {
	c := newCluster(t, 15, 3)
	l := c.leader()
	f := c.others(l)[0]
	f.crash()
	c.must(l.propose(1, 10, 10))
	l.mem().damaged = true
	f.start()
	c.until("the end", func() bool { return l.fatal != nil })
	if !errors.Is(l.fatal, store.ErrDamaged) {
		t.Fatalf("the owner was told %v", l.fatal)
	}
	ps := l.propose(100, 1, 10)
	c.until("an answer", func() bool { return settled(ps) })
	if !errors.Is(ps[0].err, ErrStopped) {
		t.Fatalf("the answer is %v", ps[0].err)
	}
}

func TestAnEntryOfAnotherVersionEndsTheHost(t *testing.T) {
	c := newCluster(t, 16, 3)
	n := c.leader()
	n.group().Post(func() {
		if err := n.group().node.Propose([]byte{entryVersion + 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}); err != nil {
			t.Error(err)
		}
	})
	c.until("the end", func() bool { return n.fatal != nil })
	if !errors.Is(n.fatal, errEntry) {
		t.Fatalf("the owner was told %v", n.fatal)
	}
}

func TestRaftsPanicEndsTheHost(t *testing.T) {
	c := newCluster(t, 17, 3)
	l := c.leader()
	f := c.others(l)[0]
	c.must(l.propose(1, 10, 10))
	c.converge()
	_, term := l.group().Leader()
	// A leader that says more is committed than this member has.
	f.host.Receive(l.id, Message{Group: 1, Raft: &raftpb.Message{
		Type: raftpb.MsgHeartbeat.Enum(), From: new(uint64(l.id)), To: new(uint64(f.id)), Term: new(uint64(term)), Commit: new(uint64(1 << 40)),
	}})
	c.settle()
	if _, ok := errors.AsType[*raftPanic](f.fatal); !ok {
		t.Fatalf("the owner was told %v", f.fatal)
	}
}

func TestCloseAnswersEverything(t *testing.T) {
	c := newCluster(t, 10, 1, func(c *cluster) { c.tune.entriesInFlight = 1 })
	n := c.leader()
	n.slow = true
	flying := n.propose(1, 1, 10)
	c.settle()
	waiting := n.propose(2, 2, 10)
	n.host.Close()
	late := n.propose(10, 2, 10)
	if count(flying, is(ErrUnknown)) != 1 || count(waiting, is(ErrStopped)) != 2 || count(late, is(ErrStopped)) != 2 {
		t.Fatalf("answers: %v, %v, %v", flying[0].err, waiting[0].err, late[0].err)
	}
	if held := n.group().bytes.Load() + n.host.bytes.Load(); held != 0 {
		t.Fatalf("%d bytes are held by nothing", held)
	}
}

func TestPostsRunInOrder(t *testing.T) {
	c := newCluster(t, 11, 1)
	n := c.leader()
	var got []int
	for i := range 10 {
		n.group().Post(func() { got = append(got, i) })
	}
	c.settle()
	for i := range 10 {
		if got[i] != i {
			t.Fatalf("ran %v", got)
		}
	}
}
