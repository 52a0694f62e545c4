package replica

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/record"
)

// ticker drives a LogClock: wall and monotonic time, apart by what jumps.
type ticker struct {
	c    LogClock
	wall time.Time
	mono time.Duration
}

const startMilli = 1_700_000_000_000

func newTicker(last record.LogTime) (*ticker, time.Duration) {
	k := &ticker{wall: time.UnixMilli(startMilli)}
	return k, k.c.Start(last, k.wall, 0)
}

// pass lets d go by in n readings and returns the last.
func (k *ticker) pass(d time.Duration, n int) (now record.LogTime, steps time.Duration) {
	for range n {
		k.wall, k.mono = k.wall.Add(d/time.Duration(n)), k.mono+d/time.Duration(n)
		at, step := k.c.Now(k.wall, k.mono)
		now, steps = at, steps+step
	}
	return now, steps
}

func (k *ticker) behind(now record.LogTime) time.Duration {
	return time.Duration(k.wall.UnixMilli()-int64(now)) * time.Millisecond
}

func TestLogClockFollowsWallTime(t *testing.T) {
	k, step := newTicker(0)
	if step != 0 || k.c.Holding() {
		t.Fatalf("a first start stepped by %v, holding %v", step, k.c.Holding())
	}
	if now, steps := k.pass(time.Hour, 100); k.behind(now) != 0 || steps != 0 {
		t.Fatalf("after an hour %v behind, steps %v", k.behind(now), steps)
	}
}

func TestLogClockSlews(t *testing.T) {
	for _, jump := range []time.Duration{3 * time.Second, -3 * time.Second} {
		k, _ := newTicker(0)
		k.wall = k.wall.Add(jump)
		now, steps := k.pass(10*time.Second, 100)
		if want := jump - jump/3; k.behind(now) != want && k.behind(now) != want.Round(time.Millisecond) || steps != 0 {
			t.Fatalf("jump %v: after ten seconds %v behind, want %v; steps %v", jump, k.behind(now), want, steps)
		}
		if now, steps = k.pass(25*time.Second, 100); k.behind(now) != 0 || steps != 0 {
			t.Fatalf("jump %v: in the end %v behind, steps %v", jump, k.behind(now), steps)
		}
	}
}

func TestLogClockStepsWhenAGapHolds(t *testing.T) {
	k, _ := newTicker(0)
	k.wall = k.wall.Add(30 * time.Minute)
	if now, steps := k.pass(59*time.Second, 59); steps != 0 || k.behind(now) < 29*time.Minute {
		t.Fatalf("stepped by %v before a minute had passed", steps)
	}
	if now, steps := k.pass(2*time.Second, 2); steps < 29*time.Minute || k.behind(now) != 0 || k.c.Holding() {
		t.Fatalf("after a minute: step %v, %v behind, holding %v", steps, k.behind(now), k.c.Holding())
	}
	// An idle clock notices a gap at its next reading and waits from there.
	k.wall = k.wall.Add(30 * time.Minute)
	if _, steps := k.pass(time.Hour, 1); steps != 0 {
		t.Fatalf("stepped by %v at the first reading", steps)
	}
	if _, steps := k.pass(time.Minute, 1); steps < 20*time.Minute {
		t.Fatalf("stepped by %v at the second", steps)
	}
}

func TestLogClockNeverStepsBack(t *testing.T) {
	k, _ := newTicker(0)
	before, _ := k.pass(time.Second, 1)
	k.wall = k.wall.Add(-24 * time.Hour)
	now, steps := k.pass(10*time.Minute, 600)
	if steps != 0 || time.Duration(now-before)*time.Millisecond != 9*time.Minute {
		t.Fatalf("in ten minutes it went on by %v, steps %v", time.Duration(now-before)*time.Millisecond, steps)
	}
	// Nor does a new reign whose wall clock is behind the log.
	if step := k.c.Start(now, k.wall, k.mono); step != 0 {
		t.Fatalf("stepped by %v", step)
	}
	if next, _ := k.pass(0, 1); next < now {
		t.Fatalf("went back from %d to %d", now, next)
	}
}

func TestLogClockHoldsAfterABigStep(t *testing.T) {
	k, step := newTicker(startMilli - 2*60*60*1000)
	if step != 2*time.Hour || !k.c.Holding() {
		t.Fatalf("start stepped by %v, holding %v", step, k.c.Holding())
	}
	if k.pass(9*time.Minute+59*time.Second, 10); !k.c.Holding() {
		t.Fatal("the hold ended early")
	}
	if k.pass(time.Second, 1); k.c.Holding() {
		t.Fatal("the hold does not end")
	}
	if k, step = newTicker(startMilli - 60*60*1000); step != time.Hour || k.c.Holding() {
		t.Fatalf("a step of exactly an hour: %v, holding %v", step, k.c.Holding())
	}
}

// TestLogClockAgainstChance holds the rules against random readings and jumps.
func TestLogClockAgainstChance(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		k, _ := newTicker(0)
		last := record.LogTime(startMilli)
		for range 200 {
			if rng.IntN(20) == 0 {
				k.wall = k.wall.Add(time.Duration(rng.Int64N(int64(4*time.Hour))) - 2*time.Hour)
			}
			d := time.Duration(rng.Int64N(int64(30 * time.Second)))
			now, step := k.pass(d, 1)
			went := time.Duration(now-last)*time.Millisecond - step
			if now < last || went > d+d/slewShare+2*time.Millisecond || went < d-d/slewShare-2*time.Millisecond {
				t.Fatalf("in %v it went on by %v and stepped by %v", d, went, step)
			}
			if step > 0 && k.behind(now) != 0 {
				t.Fatalf("after a step it is %v behind", k.behind(now))
			}
			last = now
		}
	}
}
