package replica

import (
	"bytes"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

func smallLogs(c *cluster) {
	c.tune.keepBytes, c.tune.keepLeaderBytes, c.tune.pageBytes = 0, 0, 1
	c.checkpointEvery = 10
}

func TestLaggingFollowerCatchesUpFromTheLog(t *testing.T) {
	c := newCluster(t, 3, 3)
	l := c.leader()
	f := c.others(l)[0]
	c.must(l.propose(1, 10, 50))
	f.crash()
	for i := range 50 {
		c.must(l.propose(uint64(100+i*20), 20, 1000))
	}
	f.start()
	c.converge()
	if c.seen["MsgSnap"] != 0 {
		t.Fatal("a snapshot was sent although the log was there")
	}
	c.sameData()
}

func TestLaggingFollowerCatchesUpBySnapshot(t *testing.T) {
	c := newCluster(t, 4, 3, smallLogs)
	l := c.leader()
	f := c.others(l)[0]
	c.must(l.propose(1, 10, 50))
	c.converge()
	f.crash()
	for i := range 50 {
		c.must(l.propose(uint64(100+i*100), 100, 2000))
	}
	f.start()
	c.must(l.propose(10_000, 10, 50))
	c.converge()
	if c.seen["MsgSnap"] == 0 {
		t.Fatal("no snapshot was sent")
	}
	c.sameData()
	c.run(time.Second)
	// The member that was behind can lead now.
	c.leader().group().TransferLeader(f.id)
	c.until("the transfer", func() bool { return f.group().IsLeader() })
	c.must(f.propose(20_000, 10, 50))
	c.converge()
	c.sameData()
}

// TestASnapshotTakesNothingAcknowledged offers a member a snapshot of what it has
// in its log, with more behind it, and does not know to be committed: as the offer
// comes, or by the time it has fetched it.
func TestASnapshotTakesNothingAcknowledged(t *testing.T) {
	for _, late := range []bool{false, true} {
		c := newCluster(t, 5, 3)
		l := c.leader()
		f := c.others(l)[0]
		c.must(l.propose(1, 10, 50))
		c.converge()
		known, term := uint64(f.group().Applied()), uint64(term(l))
		holding, fetched := late, false
		c.drop = func(_, to record.NodeID, m Message) bool {
			fetched = fetched || m.Snapshot != nil && m.Snapshot.Kind == WantPages
			if to != f.id {
				return to == l.id && holding && m.Snapshot != nil
			}
			if m.Raft != nil {
				m.Raft.Commit = new(known)
			}
			return holding && m.Raft != nil && m.Raft.GetType() == raftpb.MsgApp
		}
		c.must(l.propose(100, 10, 50))
		l.host.startCut()
		c.until("a checkpoint", func() bool { return uint64(l.group().cut.durable) > known })
		offer := &raftpb.Message{
			Type: raftpb.MsgSnap.Enum(), From: new(uint64(l.id)), To: new(uint64(f.id)), Term: new(term),
			Snapshot: &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{
				Index: new(uint64(l.group().cut.durable)), Term: new(term), ConfState: l.group().conf,
			}},
		}
		if late {
			f.host.Receive(l.id, Message{Group: 1, Raft: offer})
		}
		for i := range uint64(5) {
			c.must(l.propose(200+10*i, 10, 50))
		}
		holding = false
		c.until("the log", func() bool { return f.group().log.log.LastIndex() == l.group().Applied() })
		acked := f.group().log.log.LastIndex()
		if !late {
			f.host.Receive(l.id, Message{Group: 1, Raft: offer})
		}
		c.until("the snapshot", func() bool {
			if last := f.group().log.log.LastIndex(); last < acked {
				t.Fatalf("late %v: the log ends at %d; %d was acknowledged", late, last, acked)
			}
			return uint64(f.group().Applied()) >= offer.GetSnapshot().GetMetadata().GetIndex()
		})
		if fetched != late {
			t.Errorf("late %v: fetched %v", late, fetched)
		}
		c.drop = nil
		c.converge()
		c.sameData()
	}
}

// lag returns a cluster whose member f is down and needs a snapshot of many
// messages: 60 entries of about 200 kB.
func lag(t *testing.T, seed uint64) (c *cluster, l, f *node) {
	c = newCluster(t, seed, 3, smallLogs)
	l = c.leader()
	f = c.others(l)[0]
	c.must(l.propose(1, 10, 50))
	c.converge()
	f.crash()
	for i := range 60 {
		c.must(l.propose(uint64(100+i*100), 10, 20_000))
	}
	return c, l, f
}

func TestSnapshotSurvivesLossAndDoubling(t *testing.T) {
	for seed := range uint64(5) {
		c, _, f := lag(t, 50+seed)
		c.drop = func(from, to record.NodeID, m Message) bool {
			if m.Snapshot != nil && c.rng.IntN(4) == 0 {
				c.clock.AfterFunc(c.delay(), func() { c.nodes[to].host.Receive(from, m) })
			}
			return m.Snapshot != nil && c.rng.IntN(3) == 0
		}
		c.delay = func() time.Duration { return time.Duration(c.rng.Int64N(int64(20 * time.Millisecond))) }
		f.start()
		c.converge()
		c.sameData()
	}
}

// TestSnapshotIsResumed changes the leader, and the checkpoint that is being
// fetched, half-way: what was fetched is not fetched again.
func TestSnapshotIsResumed(t *testing.T) {
	c, l, f := lag(t, 60)
	parts, stopped := 0, false
	c.drop = func(_, to record.NodeID, m Message) bool {
		if to != f.id || m.Snapshot == nil || m.Snapshot.Kind != SendData {
			return false
		}
		if !stopped {
			parts++
		}
		return stopped
	}
	f.start()
	c.until("half of it", func() bool { return parts >= 6 })
	stopped = true
	n, at := c.third(l, f), f.group().fetch.at
	c.until("another checkpoint", func() bool {
		l.propose(c.nextID(), 1, 10)
		c.run(10 * time.Millisecond)
		return n.group().cut.durable > at
	})
	l.group().TransferLeader(n.id)
	c.until("another offer", func() bool { return f.group().fetch.least > at })
	stopped = false
	c.converge()
	c.sameData()
	if parts > 15 {
		t.Fatalf("12 MB took %d parts", parts)
	}
}

// third returns the member of three that is neither a nor b.
func (c *cluster) third(a, b *node) *node {
	for _, n := range c.others(a) {
		if n != b {
			return n
		}
	}
	return nil
}

func TestSnapshotDataComesFromAnyMember(t *testing.T) {
	c, l, f := lag(t, 61)
	served := map[record.NodeID]int{}
	c.drop = func(from, to record.NodeID, m Message) bool {
		if to != f.id || m.Snapshot == nil || m.Snapshot.Kind != SendData {
			return false
		}
		served[from]++
		return from == l.id // the leader's data never arrives
	}
	f.start()
	c.converge()
	c.sameData()
	if len(served) != 2 {
		t.Fatalf("served by %v", served)
	}
}

// TestAMemberThatLagsServesNoData: it would say that there is none.
func TestAMemberThatLagsServesNoData(t *testing.T) {
	c := newCluster(t, 65, 3)
	l := c.leader()
	c.must(l.propose(1, 10, 100))
	c.converge()
	g := c.others(l)[0].group()
	want := SnapshotMessage{Kind: WantData, At: g.Applied() + 1, Range: Range{g.host.Group(1).sm.(*machine).partition(0), 0, 5}}
	g.receiveSnapshot(l.id, &want)
	c.settle()
	if c.seen["snapshot-4"] != 0 {
		t.Fatal("it served a snapshot that it has not reached")
	}
	want.At--
	g.receiveSnapshot(l.id, &want)
	c.settle()
	if c.seen["snapshot-4"] != 1 {
		t.Fatal("it does not serve")
	}
}

// TestInstallWaitsForWrites completes a snapshot while a write of the group is
// on its way to the disk.
func TestInstallWaitsForWrites(t *testing.T) {
	c, l, f := lag(t, 66)
	f.start()
	c.until("the data", func() bool { return f.group().fetch != nil && f.group().fetch.phase == fetchData })
	f.slow = true
	l.group().TransferLeader(c.third(l, f).id)
	c.until("all is here", func() bool { return f.group().fetch.phase == fetchWait })
	c.run(time.Second)
	if f.group().writing == 0 || f.group().fetch == nil {
		t.Fatal("nothing is on its way")
	}
	f.slow = false
	c.converge()
	c.sameData()
}

func TestDamagedPartsOfASnapshotAreRefused(t *testing.T) {
	c, _, f := lag(t, 62)
	spoiled := map[SnapshotKind]int{}
	c.drop = func(from, to record.NodeID, m Message) bool {
		if to != f.id || m.Snapshot == nil || m.Snapshot.Kind != SendData && m.Snapshot.Kind != SendPages ||
			spoiled[m.Snapshot.Kind] == 4 {
			return false
		}
		bad := *m.Snapshot
		spoiled[bad.Kind]++
		switch {
		case bad.Kind == SendPages:
			bad.Pages = slices.Clone(bad.Pages)
			bad.Pages[0].Value = append([]byte{1}, bad.Pages[0].Value[1:]...)
		case spoiled[SendData] == 1: // the end is missing, but for the checksum
			bad.Body = bad.Body[:len(bad.Body)-1]
			bad.Sum = crc32.Checksum(bad.Body, castagnoli)
		case spoiled[SendData] == 2: // more than was asked for
			bad.Range.Next += 1000
		case spoiled[SendData] == 3: // an epoch, which a batch's own checksum leaves out
			bad.Body = bytes.Clone(bad.Body)
			bad.Body[12] ^= 1
		default: // damage, and a checksum that was computed over it
			bad.Body = bytes.Clone(bad.Body)
			bad.Body[len(bad.Body)/2+1000] ^= 1
			bad.Sum = crc32.Checksum(bad.Body, castagnoli)
		}
		m.Snapshot = &bad
		c.clock.AfterFunc(c.delay(), func() { c.nodes[to].host.Receive(from, m) })
		return true
	}
	f.start()
	c.converge()
	c.sameData()
	if spoiled[SendPages] != 4 || spoiled[SendData] != 4 {
		t.Fatalf("spoiled were %v", spoiled)
	}
}

func TestTrimmedRecordsAreNotWaitedFor(t *testing.T) {
	c, l, f := lag(t, 63)
	for _, n := range []*node{l, c.others(f)[0], c.others(f)[1]} {
		n.mem().trim(n.machine().partition(0), 50)
		n.mem().trim(n.machine().partition(1), 1<<40)
	}
	f.start()
	c.converge()
	first, next, err := f.store.Bounds(f.machine().partition(0))
	if err != nil || first > 50 || next != f.machine().next[0] {
		t.Fatalf("records %d to %d, %v", first, next, err)
	}
}

// TestNoVoteOnDataNotHeld stops the data on its way: until it is here, the
// member's Raft stays where it was, and it can neither lead nor make anyone
// lead who needs it to hold the data.
func TestNoVoteOnDataNotHeld(t *testing.T) {
	c, l, f := lag(t, 64)
	stopped := true
	c.drop = func(_, to record.NodeID, m Message) bool {
		return stopped && to == f.id && m.Snapshot != nil && m.Snapshot.Kind == SendData
	}
	before := f.mem().disk.group(1)
	last := before.first + record.Index(len(before.entries)) - 1
	f.start()
	c.run(10 * time.Second)
	if got := f.store.log(1).LastIndex(); got != last || f.group().Applied() > last {
		t.Fatalf("without the data its log went from %d to %d", last, got)
	}
	if c.seen["MsgSnap"] == 0 {
		t.Fatal("no snapshot was offered")
	}
	// With the third member gone nothing can be committed: this one counts for
	// nothing.
	for _, n := range c.others(l) {
		if n != f {
			n.crash()
		}
	}
	ps := l.propose(1<<30, 100, 5000)
	c.until("answers", func() bool { return settled(ps) })
	unknown, busy := count(ps, is(ErrUnknown)), count(ps, is(ErrBusy))
	if unknown == 0 || unknown+busy != len(ps) || !l.group().IsLeader() {
		t.Fatalf("%d unknown and %d refused of %d", unknown, busy, len(ps))
	}
	stopped = false
	c.must(l.propose(1<<30+1000, 1, 10))
	if got := l.machine().applied; got[len(got)-2].id != 1<<30+uint64(unknown)-1 {
		t.Fatalf("command %d came last of those in flight", got[len(got)-2].id)
	}
	for _, n := range c.nodes {
		if n.down {
			n.start()
		}
	}
	c.must(c.leader().propose(1<<31, 1, 10))
	c.converge()
	c.sameData()
}

// TestInstallWaitsForACut completes a snapshot while a checkpoint that knows
// less is on its way to the disk.
func TestInstallWaitsForACut(t *testing.T) {
	c, _, f := lag(t, 69)
	f.start()
	c.until("the data", func() bool { return f.group().fetch != nil && f.group().fetch.phase == fetchData })
	cut, err := f.group().freeze()
	if err != nil {
		t.Fatal(err)
	}
	c.run(2 * time.Second)
	if f.group().fetch == nil || f.group().fetch.phase != fetchWait {
		t.Fatal("the snapshot did not wait")
	}
	f.machine().EncodePages(func(k, v []byte) { cut.Pages = append(cut.Pages, store.Page{Key: k, Value: v}) }, func() bool { return true })
	if err := f.store.Checkpoint([]store.GroupCut{cut}); err != nil {
		t.Fatal(err)
	}
	f.group().cut.pending = false
	c.converge()
	c.sameData()
}

// TestEntriesThatComeDuringASnapshot applies the end of the member's own log,
// with records of partitions that are being fetched: what was fetched of them
// does not fit any more.
func TestEntriesThatComeDuringASnapshot(t *testing.T) {
	c := newCluster(t, 68, 3, smallLogs)
	l := c.leader()
	f := c.others(l)[0]
	c.must(l.propose(1, 10, 50))
	c.converge()
	quiet := true // f does not learn that its log is committed
	c.drop = func(_, to record.NodeID, m Message) bool {
		return quiet && to == f.id && m.Raft.GetType() == raftpb.MsgHeartbeat
	}
	f.paused = true
	ps := l.propose(100, 1, 50)
	c.until("a copy on its way", func() bool { return settled(ps) })
	f.paused = false
	c.run(2 * time.Millisecond)
	f.crash()
	for i := range 60 {
		c.must(l.propose(uint64(1000+i*100), 10, 20_000))
	}
	f.start()
	c.until("some of the data", func() bool { return f.group().fetch != nil && len(f.group().fetch.got) > 1 })
	quiet = false
	c.converge()
	c.sameData()
}

func TestAnImportThatDoesNotFitBeginsAnew(t *testing.T) {
	c, _, f := lag(t, 67)
	f.mem().conflicts = 2
	f.start()
	c.converge()
	c.sameData()
	if f.mem().conflicts != 0 {
		t.Fatal("the import was never refused")
	}
}

func TestACrashDuringASnapshotBeginsItAnew(t *testing.T) {
	for seed := range uint64(10) {
		c, _, f := lag(t, 70+seed)
		f.start()
		c.run(time.Duration(seed) * 3 * time.Millisecond)
		f.crash()
		f.start()
		c.converge()
		c.sameData()
	}
}

func TestCheckpointsDuringASnapshot(t *testing.T) {
	c, l, f := lag(t, 95)
	id := uint64(1 << 20)
	c.delay = func() time.Duration { return 5 * time.Millisecond }
	f.start()
	for range 200 {
		ps := l.propose(id, 5, 500)
		id += 5
		c.run(3 * time.Millisecond)
		_ = ps
	}
	c.converge()
	c.sameData()
	if l.mem().checkpoints < 20 {
		t.Fatalf("%d checkpoints", l.mem().checkpoints)
	}
}

// TestPagesOfOneCheckpoint sends one page at a time while checkpoints go on: all
// pages are of the first one, until a message is lost and the other has to
// begin anew.
func TestPagesOfOneCheckpoint(t *testing.T) {
	for _, lost := range []bool{false, true} {
		c, l, f := lag(t, 97)
		var at []record.Index
		c.drop = func(_, to record.NodeID, m Message) bool {
			if to != f.id || m.Snapshot == nil || m.Snapshot.Kind != SendPages {
				return false
			}
			at = append(at, m.Snapshot.At)
			return lost && len(at) == 3
		}
		f.start()
		for len(at) < 4 || f.group().fetch != nil && f.group().fetch.phase == fetchPages {
			l.propose(c.nextID(), 1, 10)
			c.run(500 * time.Microsecond)
		}
		c.drop = nil
		c.converge()
		c.sameData()
		first := 0
		for ; first < len(at) && at[first] == at[0]; first++ {
		}
		if !lost && first != len(at) || lost && (first == len(at) || first > 3) {
			t.Fatalf("lost %v: pages of the checkpoints %v", lost, at)
		}
	}
}

func TestPageSessionsEnd(t *testing.T) {
	c := newCluster(t, 96, 3)
	l := c.leader()
	s := &l.host.pages
	s.serve(l.group(), 9, &SnapshotMessage{Kind: WantPages})
	if len(s.open) != 0 {
		t.Fatal("a session that sent its last page stays open")
	}
	for i := range record.NodeID(maxPageSessions + 3) {
		s.add(openPages(l.group(), 10+i, &SnapshotMessage{Kind: WantPages}))
	}
	if len(s.open) != maxPageSessions || s.open[0].to != 13 {
		t.Fatalf("%d sessions are open, the oldest of node %d", len(s.open), s.open[0].to)
	}
	c.run(pageSessionIdle + time.Second)
	if len(s.open) != 0 || s.count.Load() != 0 {
		t.Fatal("unused sessions stay open")
	}
}
