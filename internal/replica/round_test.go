package replica

import (
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/clock"
)

// TestRoundWaitsForThoseWhoAreQuick: a trial that is not filled makes the next
// ones rare, one that is makes them the rule; few callers and many are left alone.
func TestRoundWaitsForThoseWhoAreQuick(t *testing.T) {
	var r round
	trials := func(answered, commits int) (n int) {
		for range commits {
			r.answered = answered
			if r.try() {
				n++
				r.open = false
			}
		}
		return n
	}
	for answered, want := range map[int]int{leastRound - 1: 0, leastRound: 10, mostRound: 10, mostRound + 1: 0} {
		if got := trials(answered, 10); got != want {
			t.Errorf("%d trials after commits for %d callers, want %d", got, answered, want)
		}
	}
	r.filled(false)
	if got := trials(leastRound, 3); got != 2 {
		t.Errorf("%d trials in 3 commits after a failure, want 2", got)
	}
	for range 20 {
		r.filled(false)
	}
	if got := trials(leastRound, mostSkipped+1); got != 1 {
		t.Errorf("%d trials after many failures, want one in %d commits", got, mostSkipped)
	}
	r.filled(true)
	if got := trials(leastRound, 10); got != 10 {
		t.Errorf("%d trials in 10 commits after a success", got)
	}
}

// TestRoundServesAllWithOneEntry: callers who ask again when they are answered
// come to share every entry, and not every other one.
func TestRoundServesAllWithOneEntry(t *testing.T) {
	h, s := openRun(t, 1, 1)
	defer func() {
		h.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	h.rest.init(h.clock)
	defer h.rest.timer.Stop()
	l, g := h.loops[0], h.Group(0)
	for !g.IsLeader() {
		h.stepAndFlush(l)
	}
	const callers, rounds = 32, 20
	answered := 0
	var ask func(c *command)
	ask = func(c *command) {
		if c != nil {
			answered++
		}
		if answered < callers*rounds {
			c = newCommand(uint64(answered), 0, 100)
			c.done = ask
			g.Propose(c)
		}
	}
	m := g.sm.(*machine)
	before := len(m.times)
	for range callers / 2 {
		ask(nil)
	}
	h.stepAndFlush(l) // one half is on its way
	for range callers / 2 {
		ask(nil)
	}
	for answered < callers*rounds {
		h.stepAndFlush(l)
	}
	if n := len(m.times) - before; n > rounds+4 {
		t.Errorf("%d entries for %d callers who asked %d times each", n, callers, rounds)
	}
}

// TestAwait: as many as are wanted, or the time.
func TestAwait(t *testing.T) {
	v := clock.NewVirtual(time.Unix(0, 0))
	h := &Host{clock: v, tune: defaultTuning()}
	l := newLoop(h, 0)
	got := make(chan bool)
	go func() { got <- l.await(4) }()
	for range 4 {
		l.call(nil, func() {})
	}
	if !<-got {
		t.Error("four came and were not enough")
	}
	if !l.await(3) {
		t.Error("more were there than wanted")
	}
	go func() { got <- l.await(100) }()
	for {
		if _, ok := v.Next(); ok {
			break
		}
	}
	v.Advance(roundTime)
	if <-got {
		t.Error("four of a hundred are enough")
	}
}
