package replica

import "testing"

// stepping returns a host whose loops the test steps itself, as Run would, once all
// groups lead.
func stepping(t *testing.T, groups int) (*Host, *loop) {
	h, s := openRun(t, 1, groups)
	h.rest.init(h.clock)
	h.running.Store(true)
	t.Cleanup(func() {
		h.rest.timer.Stop()
		h.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	l := h.loops[0]
	for h.stepAndFlush(l) || h.StepWork() {
	}
	woken(l)
	return h, l
}

// woken reports whether the loop's goroutine would be woken, and takes note of it.
func woken(l *loop) bool {
	select {
	case <-l.wake:
		return true
	default:
		return false
	}
}

// TestHelperIsAnsweredWithoutWaking: alone, a caller does all there is to do, and
// wakes nobody; what its answer brings about is left to the loop, which is woken.
func TestHelperIsAnsweredWithoutWaking(t *testing.T) {
	h, l := stepping(t, 2)
	answered := 0
	first := newCommand(1, 0, 100)
	first.done = func(c *command) {
		if c.err != nil {
			t.Error(c.err)
		}
		answered++
	}
	h.Group(0).ProposeQuietly(first)
	if answered != 0 || woken(l) {
		t.Fatal("not quiet")
	}
	h.Help()
	if answered != 1 || woken(l) {
		t.Fatalf("%d answers; or the loop was woken for nothing", answered)
	}
	next, second := newCommand(2, 0, 100), newCommand(3, 0, 100)
	next.done = first.done
	second.done = func(*command) { h.Group(1).Propose(next) }
	h.Group(1).ProposeQuietly(second)
	h.Help()
	if answered != 1 {
		t.Fatal("what came later was written too, and the caller waited for it")
	}
	if !woken(l) {
		t.Fatal("nobody will look after what came meanwhile")
	}
	for h.stepAndFlush(l) {
	}
	if answered != 2 {
		t.Fatal("the proposal was lost")
	}
}

// TestHelperLeavesALoopThatIsBusy: to whoever steps it, to those that share its
// commits, to a checkpoint, and once Run is over.
func TestHelperLeavesALoopThatIsBusy(t *testing.T) {
	h, l := stepping(t, 1)
	busy := map[string]func(yes bool){
		"stepped": func(yes bool) {
			if yes {
				l.driver.Lock()
			} else {
				l.driver.Unlock()
			}
		},
		"shared":     func(yes bool) { l.answered = map[bool]int{true: 2*fewAnswered + 1}[yes] },
		"checkpoint": func(yes bool) { l.cuts.active = yes },
		"much":       func(bool) {},
		"over":       func(yes bool) { h.running.Store(!yes) },
	}
	id := uint64(0)
	for name, set := range busy {
		id++
		c, answered := newCommand(id, 0, 100), false
		c.done = func(*command) { answered = true }
		set(true)
		// The loop's goroutine was woken for another, and found the lock taken.
		id++
		h.Group(0).Propose(newCommand(id, 0, 100))
		woken(l)
		h.Group(0).ProposeQuietly(c)
		if name == "much" {
			for range mostHelped {
				h.Group(0).Post(func() {})
			}
			woken(l)
		}
		h.Help()
		set(false)
		if answered || !woken(l) {
			t.Errorf("%s: answered %v; or the loop was not woken", name, answered)
		}
		for h.stepAndFlush(l) {
		}
		if !answered {
			t.Errorf("%s: never answered", name)
		}
	}
}
