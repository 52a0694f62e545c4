package replica

import (
	"errors"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/record"
)

func TestRestartFromACheckpointAndTheLog(t *testing.T) {
	c := newCluster(t, 40, 1, func(c *cluster) { c.checkpointEvery = 7 })
	n := c.leader()
	var total int
	for i := range 30 {
		c.must(n.propose(uint64(i*10+1), 10, 50))
		if total += 10; i%4 != 0 {
			continue
		}
		chain := n.machine().chain
		n.crash()
		n.start()
		c.leader()
		if n.machine().chain != chain || n.machine().count != uint64(total) {
			t.Fatalf("after restart %d: %d of %d commands", i, n.machine().count, total)
		}
		if i > 8 && len(n.machine().applied) == total {
			t.Fatal("the restart applied everything again: there is no checkpoint")
		}
	}
	if n.mem().checkpoints == 0 || n.mem().now.group(1).first < 20 {
		t.Fatalf("%d checkpoints, the log begins at %d", n.mem().checkpoints, n.mem().now.group(1).first)
	}
	c.sameData()
}

// TestACutIsOneInstant encodes a page at a time while commands go on.
func TestACutIsOneInstant(t *testing.T) {
	c := newCluster(t, 41, 1)
	n := c.leader()
	c.must(n.propose(1, 30, 50))
	cut, err := n.group().freeze()
	if err != nil {
		t.Fatal(err)
	}
	want := n.machine().chain
	c.must(n.propose(100, 30, 50))
	pages := map[string][]byte{}
	for !n.machine().EncodePages(func(k, v []byte) { pages[string(k)] = v }, func() bool { return false }) {
		c.must(n.propose(200+uint64(len(pages))*100, 5, 50))
	}
	m := newMachine(1)
	err = m.Restore(func(yield func(k, v []byte) error) error {
		for k, v := range pages {
			if err := yield([]byte(k), v); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || m.chain != want || m.count != 30 {
		t.Fatalf("the cut holds %d commands: %v", m.count, err)
	}
	meta, err := parseCutMeta(cut.Conf)
	if err != nil || len(meta.conf.GetVoters()) != 1 || meta.now == 0 {
		t.Fatalf("the cut's members: %v, %v", meta, err)
	}
}

func TestEncodingGivesWayToWork(t *testing.T) {
	c := newCluster(t, 42, 1)
	n := c.leader()
	c.must(n.propose(1, 30, 50))
	l := n.group().loop
	// Every look at the clock costs a slice: one page per step.
	l.host.clock = &slowClock{nodeClock: nodeClock{c.clock, n, n.life}}
	n.host.startCut()
	l.step()
	steps := 0
	for ; l.cuts.active; steps++ {
		p := n.propose(uint64(100+steps), 1, 10)
		l.step()
		n.store.Flush()
		l.step()
		if steps < 3 && p[0].settled != 1 {
			t.Fatal("a command waits for the checkpoint")
		}
	}
	if steps < 2 {
		t.Fatalf("four pages were encoded in %d steps", steps)
	}
}

// slowClock goes on by a slice of encoding whenever it is read.
type slowClock struct {
	nodeClock
	extra time.Duration
}

func (s *slowClock) Mono() time.Duration {
	s.extra += encodeSlice
	return s.nodeClock.Mono() + s.extra
}

func TestACheckpointWithoutRoomIsTriedAgain(t *testing.T) {
	c := newCluster(t, 45, 1, func(c *cluster) { c.checkpointEvery = 10 })
	n := c.leader()
	n.mem().noRoom = errors.New("no space left on device")
	for i := range 30 {
		c.must(n.propose(uint64(i+1), 1, 10))
	}
	c.run(5 * time.Second)
	if n.fatal != nil || n.mem().checkpoints != 0 {
		t.Fatalf("failed with %v, %d checkpoints", n.fatal, n.mem().checkpoints)
	}
	n.mem().noRoom = nil
	c.run(2 * time.Second)
	chain := n.machine().chain
	if n.mem().checkpoints == 0 {
		t.Fatal("it is not tried again")
	}
	n.crash()
	n.start()
	c.leader()
	if n.machine().chain != chain {
		t.Fatal("pages were lost on the way")
	}
}

func TestAnIdleGroupIsNotCutAgain(t *testing.T) {
	c := newCluster(t, 43, 1, func(c *cluster) { c.groups = []record.ShardID{1, 2}; c.checkpointEvery = 20 })
	n := c.leader()
	c.until("both lead", func() bool { return n.host.Group(2).IsLeader() })
	froze := map[record.ShardID]int{}
	for i := range 100 {
		c.must(n.propose(uint64(i+1), 1, 10))
		for _, g := range c.groups {
			if n.host.Group(g).cut.pending {
				froze[g]++
			}
		}
	}
	if at, _, _, _ := n.store.Applied(1); at < 80 {
		t.Fatalf("the busy group's checkpoint is at %d", at)
	}
	if at, _, _, _ := n.store.Applied(2); at > 3 {
		t.Fatalf("the idle group's checkpoint is at %d", at)
	}
}

func TestTheLogIsKeptForThoseWhoLag(t *testing.T) {
	for _, tc := range []struct {
		what       string
		keep, lead uint64
		snapshot   bool
	}{
		{"the leader waits for a member that lags", 0, 1 << 30, false},
		{"but not for ever", 0, 300 << 10, true},
		{"and everyone keeps a little", 1 << 30, 0, false},
	} {
		t.Run(tc.what, func(t *testing.T) {
			c := newCluster(t, 44, 3, func(c *cluster) {
				c.tune.keepBytes, c.tune.keepLeaderBytes, c.checkpointEvery = tc.keep, tc.lead, 10
			})
			l := c.leader()
			f := c.others(l)[0]
			f.crash()
			for i := range 100 {
				c.must(l.propose(uint64(i*10+1), 10, 4000))
			}
			if l.mem().checkpoints < 3 {
				t.Fatalf("%d checkpoints", l.mem().checkpoints)
			}
			f.start()
			c.converge()
			if got := c.seen["MsgSnap"] > 0; got != tc.snapshot {
				t.Fatalf("snapshot: %v", got)
			}
			c.sameData()
		})
	}
}

func TestLogMarks(t *testing.T) {
	var c groupCut
	for i := range uint64(1000) {
		c.grew(entriesForTest(i+1, 1, 10_000), markStep)
	}
	if got := c.log.before(1 << 20); got < 860 || got > 896 {
		t.Fatalf("one MiB before the end of 1000 entries of 10 kB: %d", got)
	}
	c.grew(entriesForTest(500, 2, 10_000), markStep) // the end is replaced
	if n := len(c.log.marks); c.log.marks[n-1].index > 500 {
		t.Fatalf("a mark at %d is left", c.log.marks[n-1].index)
	}
}
