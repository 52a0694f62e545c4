package replica

import "github.com/polylog-mq/polylog/internal/clock"

// round lets those that a commit has answered come back before the next one.
//
// Callers that wait for an answer before they ask again fall into two halves: one
// waits for the commit under way, the other, just answered, asks while that runs
// and waits for the next. So each commit serves half of them. Where the callers
// are quick, to wait until they are back serves all with each, and costs half as
// many entries and syncs. Whether they are is found out by trying: a round that
// is not filled in time makes the next trials rare.
//
// It is for whoever drives a loop in earnest; who steps it otherwise sees none.
type round struct {
	// open: entries are applied and their callers answered, but nothing is
	// proposed.
	open     bool
	answered int // proposals, since the latest trial was considered
	full     chan struct{}
	timer    clock.Timer
	skip     int // commits to leave out before the next trial
	skipped  int // how many those were the last time
}

// try opens a round if one is worth it: the latest commit was for some callers,
// and not for so many that another entry costs each of them next to nothing.
func (r *round) try() bool {
	n := r.answered
	r.answered = 0
	if n < leastRound || n > mostRound {
		return false
	}
	if r.skip > 0 {
		r.skip--
		return false
	}
	r.open = true
	return true
}

// filled notes how a round went.
func (r *round) filled(yes bool) {
	if yes {
		r.skip, r.skipped = 0, 0
		return
	}
	r.skipped = min(max(2*r.skipped, 1), mostSkipped)
	r.skip = r.skipped
}

// stepRound is step, with a wait for those that it has answered if they are
// likely to come back at once.
func (l *loop) stepRound() bool {
	r := &l.round
	if !r.try() {
		return l.step()
	}
	worked := l.step()
	r.open = false
	if n := r.answered; n >= leastRound && n <= mostRound {
		r.filled(l.await(n - n/8))
	}
	return l.step() || worked
}

// await waits until n events are in the inbox, but no longer than roundTime, and
// reports whether at least half of them are.
func (l *loop) await(n int) bool {
	select {
	case <-l.round.full: // of a timer that was late
	default:
	}
	l.inbox.Lock()
	enough := len(l.inbox.events) >= n
	if !enough {
		l.inbox.wanted = n
	}
	l.inbox.Unlock()
	if enough {
		return true
	}
	if l.round.timer == nil {
		l.round.timer = l.host.clock.AfterFunc(roundTime, func() { signal(l.round.full) })
	} else {
		l.round.timer.Reset(roundTime)
	}
	<-l.round.full
	l.round.timer.Stop()
	l.inbox.Lock()
	defer l.inbox.Unlock()
	l.inbox.wanted = 0
	return len(l.inbox.events) >= n/2
}
