package replica

// ProposeAndHelp is Propose, and if nobody steps the group's loop at the moment
// the caller does until p is answered, or for one round of the log's: it writes
// what waits, waits for the disk, and calls Done of whatever has been decided
// meanwhile. A caller that has nothing else to do is answered in half the time so,
// and at half the processor time: nobody must be woken to do its work, nor to tell
// it. Where the loop is busy, or its latest step answered many, it is the same as
// Propose: those share a commit best if the loop is woken and they come meanwhile.
//
// The caller must hold no lock that the Done of any proposal may want.
func (g *Group) ProposeAndHelp(p Proposal) {
	wake := g.bring(p)
	if !g.loop.help() && wake {
		signal(g.loop.wake)
	}
}

// help steps the loop for a round of the log's, or has it stepped by its own
// goroutine where that is better; false if somebody steps it already.
func (l *loop) help() bool {
	h := l.host
	if !l.driver.TryLock() {
		return false
	}
	if !h.running.Load() || l.answered > fewAnswered || l.cuts.active { // a checkpoint's pages take long
		l.driver.Unlock()
		// Whoever was woken for earlier events may have found the lock taken.
		signal(l.wake)
		return true
	}
	l.driven.Store(true)
	l.step()
	h.flushAppended(l, true)
	// What is durable is applied and answered, and nothing new begun, for which
	// the caller would wait too.
	l.round.open = true
	l.step()
	l.round.open, l.round.answered = false, 0
	more := len(l.dirty) > 0 || l.unflushed > 0 || l.cuts.active
	l.driven.Store(false)
	l.driver.Unlock()
	l.inbox.Lock()
	more = more || len(l.inbox.events) > 0
	l.inbox.Unlock()
	if more {
		signal(l.wake)
	}
	return true
}
