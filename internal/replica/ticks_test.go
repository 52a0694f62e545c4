package replica

import (
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/record"
)

func (c *cluster) logNow() record.LogTime { return record.LogTime(c.clock.Now().UnixMilli()) }

func TestDeadlinesAreTicked(t *testing.T) {
	c := newCluster(t, 30, 1)
	n := c.leader()
	m := n.machine()
	m.onTick = func(now record.LogTime) {
		if m.due <= now {
			m.due += 60_000 // the next one, a minute later
		}
	}
	m.due = c.logNow() + 60_000
	first := m.due
	n.group().Post(func() {})
	c.run(59 * time.Second)
	if len(m.ticks) != 0 {
		t.Fatalf("ticked at %v, due at %d", m.ticks, first)
	}
	c.run(10 * time.Minute)
	if len(m.ticks) != 10 {
		t.Fatalf("%d ticks in ten minutes", len(m.ticks))
	}
	for i, at := range m.ticks {
		if due := first + record.LogTime(i)*60_000; at < due || at > due+2 {
			t.Fatalf("tick %d at %d, due at %d", i, at, due)
		}
	}
}

func TestAnEarlierDeadlineIsNoticed(t *testing.T) {
	c := newCluster(t, 31, 1)
	n := c.leader()
	m := n.machine()
	m.due = c.logNow() + 3_600_000
	c.must(n.propose(1, 1, 10))
	m.due = c.logNow() + 1_000
	m.onTick = func(record.LogTime) { m.due = 0 }
	c.must(n.propose(2, 1, 10))
	c.run(1100 * time.Millisecond)
	if len(m.ticks) != 1 {
		t.Fatalf("%d ticks", len(m.ticks))
	}
	c.run(2 * time.Hour)
	if len(m.ticks) != 1 {
		t.Fatalf("%d ticks for a deadline that is gone", len(m.ticks))
	}
}

func TestADeadlineThatStaysIsNotTickedWithoutEnd(t *testing.T) {
	c := newCluster(t, 32, 1)
	n := c.leader()
	m := n.machine()
	m.due = 1
	c.must(n.propose(1, 1, 10))
	c.run(10 * time.Second)
	if got := len(m.ticks); got < 5 || got > 12 {
		t.Fatalf("%d ticks in ten seconds", got)
	}
}

func TestOnlyTheLeaderTicks(t *testing.T) {
	c := newCluster(t, 33, 3)
	l := c.leader()
	for _, n := range c.nodes {
		m := n.machine()
		m.due = c.logNow() + 5_000
		m.onTick = func(record.LogTime) { m.due = 0 }
	}
	l.group().Post(func() {})
	c.run(10 * time.Second)
	c.converge()
	for _, n := range c.nodes {
		if got := n.machine().ticks; len(got) != 1 {
			t.Fatalf("node %d saw ticks %v", n.id, got)
		}
	}
}

func TestLogTimeNeverGoesBackAndBigStepsHold(t *testing.T) {
	c := newCluster(t, 34, 3)
	l := c.leader()
	c.must(l.propose(1, 5, 10))
	c.clock.Jump(-time.Hour)
	l.crash()
	c.until("another leader", func() bool { return c.leader() != l })
	n := c.leader()
	c.must(n.propose(10, 5, 10))
	if n.machine().holds != 0 {
		t.Fatal("expiry is held without a reason")
	}
	// All are down for a day.
	for _, o := range c.others(l) {
		o.crash()
	}
	c.clock.Advance(24 * time.Hour)
	for _, o := range c.nodes {
		o.start()
	}
	n = c.leader()
	c.must(n.propose(20, 5, 10))
	if n.machine().holds == 0 {
		t.Fatal("expiry is not held after a day's step")
	}
	// A new leader goes on holding.
	to := c.others(n)[0]
	n.group().TransferLeader(to.id)
	c.until("the transfer", func() bool { return to.group().IsLeader() })
	held := to.machine().holds
	c.must(to.propose(30, 5, 10))
	if to.machine().holds <= held {
		t.Fatal("the new leader does not hold")
	}
	c.run(11 * time.Minute)
	held = to.machine().holds
	c.must(c.leader().propose(40, 5, 10))
	if to.machine().holds != held {
		t.Fatal("the hold does not end")
	}
	c.converge()
	for _, o := range c.nodes {
		last := record.LogTime(0)
		for _, at := range o.machine().times {
			if at < last {
				t.Fatalf("node %d: log time went from %d to %d", o.id, last, at)
			}
			last = at
		}
	}
}
