package replica

import (
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/polylog-mq/polylog/internal/record"
)

// TestLeadingAlone lets a member lead without Raft, grow to two and shrink again,
// and nobody notices: term and leadership stay, and every command succeeds.
func TestLeadingAlone(t *testing.T) {
	c := newCluster(t, 81, 1, func(c *cluster) { c.checkpointEvery = 7 })
	l := c.leader()
	g := l.group()
	ticket := uint64(0)
	propose := func(count int) []*command {
		ticket += 1000
		return l.propose(ticket, count, 50)
	}
	if g.node != nil {
		t.Fatal("Raft is still there")
	}
	c.must(propose(5))
	_, term := g.Leader()
	for round := range 3 {
		n := c.addNode(record.NodeID(round + 2))
		l.slow = true
		ps := propose(3)
		c.settle() // one entry is on its way
		var added, second answer
		g.AddLearner(n.id, added.done)
		g.AddLearner(n.id+1, second.done)
		ps = append(ps, propose(3)...)
		c.settle()
		if added.times > 0 || second.err == nil || g.node != nil || !g.IsLeader() {
			t.Fatalf("answers %v and %v; leads: %v", added, second, g.IsLeader())
		}
		l.slow = false
		c.must(ps)
		c.until("the learner", func() bool { return added.times > 0 })
		if added.err != nil || g.node == nil {
			t.Fatal(added.err)
		}
		c.must(propose(3))
		c.converge()
		if round > 0 {
			c.run(50 * time.Millisecond) // its answer arrives
			if err := c.promote(l, n.id); err != nil {
				t.Fatal(err)
			}
		}
		c.must(propose(3))
		c.converge()
		c.sameData()
		if err := c.remove(l, n.id); err != nil {
			t.Fatal(err)
		}
		n.crash()
		c.order = []record.NodeID{1}
		c.must(propose(3))
		if g.node != nil {
			t.Fatal("Raft is still there")
		}
		if round == 1 {
			l.crash()
			l.start()
			c.until("the member leads again", func() bool { return l.group().IsLeader() })
			g = l.group()
			_, term = g.Leader()
		}
	}
	if _, now := g.Leader(); now != term {
		t.Fatalf("the term was %d and is %d", term, now)
	}
	if leads := l.machine().leads; slices.Index(leads, true) != len(leads)-1 {
		t.Fatalf("the state machine was told %v", leads)
	}
	inOrder(t, l.machine())
}

// TestWhoWasAMemberHasNoSay while another leads alone.
func TestWhoWasAMemberHasNoSay(t *testing.T) {
	c := newCluster(t, 84, 1)
	l := c.leader()
	g := l.group()
	_, term := g.Leader()
	before := g.Applied()
	for _, kind := range []raftpb.MessageType{raftpb.MsgVote, raftpb.MsgPreVote, raftpb.MsgApp, raftpb.MsgHeartbeat, raftpb.MsgAppResp} {
		l.host.Receive(9, Message{Group: 1, Raft: &raftpb.Message{
			Type: kind.Enum(), From: new(uint64(9)), To: new(uint64(1)), Term: new(uint64(term) + 5), LogTerm: new(uint64(term) + 5),
			Index: new(uint64(1000)), Context: []byte("CampaignTransfer"),
		}})
	}
	g.TransferLeader(9)
	c.settle()
	if g.Applied() != before || !g.IsLeader() || len(c.seen) > 0 {
		t.Fatalf("applied %d, leads: %v, messages %v", g.Applied(), g.IsLeader(), c.seen)
	}
}

// TestAChangeAskedOfAHostThatStops is answered.
func TestAChangeAskedOfAHostThatStops(t *testing.T) {
	c := newCluster(t, 82, 1)
	l := c.leader()
	l.slow = true
	ps := l.propose(1, 1, 10)
	c.settle()
	var a answer
	l.group().AddLearner(2, a.done)
	c.settle()
	l.host.Close()
	if a.times != 1 || !is(ErrStopped)(a.err) || !is(ErrUnknown)(ps[0].err) {
		t.Fatalf("the change was answered %d times, %v; the command %v", a.times, a.err, ps[0].err)
	}
}

// TestRaftAfterManyEntries: what Raft starts from is the log, however much of it
// was written without it, and whatever of it is forgotten.
func TestRaftAfterManyEntries(t *testing.T) {
	for _, every := range []int{0, 10} {
		c := newCluster(t, 83, 1, func(c *cluster) { c.checkpointEvery = every })
		l := c.leader()
		for i := range 300 {
			c.must(l.propose(uint64(1+i), 1, 10))
		}
		applied := l.group().Applied()
		c.addNode(2)
		if err := c.addLearner(l, 2); err != nil {
			t.Fatal(err)
		}
		c.converge()
		if now := l.group().Applied(); now <= applied {
			t.Fatalf("applied %d entries, and then %d", applied, now)
		}
		c.sameData()
		c.nodes[2].crash()
		l.crash()
		l.start()
		c.must(c.leader().propose(1000, 1, 10))
	}
}

// bulkBlob is a proposal of which nothing is kept.
type bulkBlob struct{ blob }

func (*bulkBlob) Bulk() int { return 0 }

// TestASmallEntryAllocatesLittle counts from the proposal to the answer: the
// store's entry, what it points to until it is written, and its data if those may
// be kept.
func TestASmallEntryAllocatesLittle(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes pools forget")
	}
	small := blob{bytes: make([]byte, 100), done: make(chan error, 1)}
	for _, tc := range []struct {
		what string
		p    Proposal
		most float64
	}{{"kept", &small, 3}, {"bulk", &bulkBlob{small}, 2}} {
		t.Run(tc.what, func(t *testing.T) {
			h, s := openBench(t, vfs.NewMem(), "data", 1, Options{Loops: 1})
			defer s.Close()
			drain := func() {
				for h.Step(0) || s.Flush() || h.StepWork() {
				}
			}
			drain()
			entry := func() {
				h.Group(0).Propose(tc.p)
				drain()
				if err := <-small.done; err != nil {
					t.Fatal(err)
				}
			}
			for range 1000 {
				entry()
			}
			if got := testing.AllocsPerRun(1000, entry); got > tc.most {
				t.Errorf("an entry allocates %v times", got)
			}
		})
	}
}
