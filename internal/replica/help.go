package replica

// ProposeQuietly is Propose for a caller that calls Host.Help when it has proposed
// all it has at hand: until then nobody is told.
func (g *Group) ProposeQuietly(p Proposal) { g.bring(p) }

// Help sees to what was proposed quietly. A loop that nobody steps at the moment
// the caller steps itself, for one round of the log's: it writes what waits, waits
// for the disk, and calls Done of whatever has been decided meanwhile. A caller that
// has nothing else to do is answered sooner so, and for less processor time: nobody
// must be woken to do its work, nor to tell it. Where much waits, or the latest step
// answered more than a caller brings who is one of many, the loop's own goroutine is
// woken instead: the ones make better use of several cores so, the others share a
// commit.
//
// It reports whether the caller has stepped a loop. He must hold no lock that the
// Done of any proposal may want.
func (h *Host) Help() (helped bool) {
	for _, l := range h.loops {
		switch waiting := l.waiting(); {
		case waiting == 0:
		case l.help(waiting):
			helped = true
		case !l.driven.Load():
			signal(l.wake)
		}
	}
	return helped
}

// waiting returns how many events wait.
func (l *loop) waiting() int {
	l.inbox.Lock()
	defer l.inbox.Unlock()
	return len(l.inbox.events)
}

// help steps the loop for a round of the log's. It returns false, and has done
// nothing, if somebody steps it already, or its goroutine is to do that.
func (l *loop) help(waiting int) bool {
	if !l.driver.TryLock() {
		return false
	}
	h := l.host
	if !h.running.Load() || waiting > mostHelped || l.answered > fewAnswered*waiting || l.cuts.active {
		l.driver.Unlock()
		return false // a checkpoint's pages take long
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
	// Not before: who was woken a moment ago found the lock taken.
	if more || l.waiting() > 0 {
		signal(l.wake)
	}
	return true
}
