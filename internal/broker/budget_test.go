package broker

import (
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/clock"
)

func TestBudgetRefusesAboveItsLimit(t *testing.T) {
	b := newBudget(2000, clock.NewVirtual(time.Unix(0, 0)), func() float64 { return 0 })
	if !b.take(5000) {
		t.Fatal("a single append larger than the limit must pass, or it never could")
	}
	if b.take(1) {
		t.Fatal("took more than the limit")
	}
	b.give(5000)
	if !b.take(2000) || b.take(1) {
		t.Fatal("the limit is not where it should be")
	}
}

func TestBudgetPausesAndResumes(t *testing.T) {
	b := newBudget(2000, clock.NewVirtual(time.Unix(0, 0)), func() float64 { return 0 })
	resumed := 0
	resume := func() { resumed++ }
	b.take(500)
	if !b.accepting(resume) {
		t.Fatal("paused at the level, not above it")
	}
	b.take(100)
	for range 2 {
		if b.accepting(resume) {
			t.Fatal("did not pause")
		}
	}
	b.give(300)
	if resumed != 0 {
		t.Fatal("resumed before half of the level was free")
	}
	b.give(50)
	if resumed != 2 {
		t.Fatalf("resumed %d of 2", resumed)
	}
	b.give(250)
	if resumed != 2 {
		t.Fatal("resumed twice")
	}
}

func TestBudgetFollowsTheDebtOfTheStore(t *testing.T) {
	c := clock.NewVirtual(time.Unix(0, 0))
	debt := 1.5
	b := newBudget(2000, c, func() float64 { return debt })
	resumed := 0
	if b.accepting(func() { resumed++ }) {
		t.Fatal("did not pause although the store must catch up")
	}
	c.Advance(time.Second)
	if resumed != 0 {
		t.Fatal("resumed while the debt stood")
	}
	debt = 0.75 // half of the room for debt is left: half of the level
	c.Advance(time.Second)
	if resumed != 1 {
		t.Fatal("nobody noticed that the debt has fallen")
	}
	if b.take(250); !b.accepting(nil) {
		t.Fatal("paused below half of the level")
	}
	if b.take(1); b.accepting(func() {}) {
		t.Fatal("did not pause above half of the level")
	}
}

func TestBudgetDrains(t *testing.T) {
	b := newBudget(2000, clock.NewVirtual(time.Unix(0, 0)), func() float64 { return 0 })
	b.take(10)
	done := b.drained()
	select {
	case <-done:
		t.Fatal("drained while something was under way")
	default:
	}
	b.give(10)
	<-done
	<-b.drained()
}
