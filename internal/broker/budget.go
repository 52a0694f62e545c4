package broker

import (
	"sync"
	"sync/atomic"

	"github.com/polylog-mq/polylog/internal/clock"
)

// budget is the node's back-pressure: the bytes of appends that are under way
// in all shards. Connections ask before they read on, and are told when they
// may; one that does not ask is refused at the hard limit.
type budget struct {
	clock clock.Clock
	// debt is the store's, as Health tells it.
	debt func() float64
	// pause is the level from which connections stop reading, limit the one
	// from which appends are refused.
	pause, limit int64

	used atomic.Int64

	// waiting is how many wait below mu; draining says that somebody waits for
	// used to become 0.
	waiting  atomic.Int32
	draining atomic.Bool
	mu       struct {
		sync.Mutex
		resume []func()
		timer  clock.Timer
		armed  bool
		empty  chan struct{} // what drained returns
		closed bool
	}
}

func newBudget(limit int64, c clock.Clock, debt func() float64) *budget {
	return &budget{clock: c, debt: debt, pause: limit / pauseShare, limit: limit}
}

// take charges n bytes; false if there is no room. One append is let through
// whatever its size.
func (b *budget) take(n int) bool {
	if used := b.used.Add(int64(n)); used > b.limit && used != int64(n) {
		b.give(n)
		return false
	}
	return true
}

// give returns n bytes.
func (b *budget) give(n int) {
	used := b.used.Add(-int64(n))
	if b.waiting.Load() > 0 && used <= b.level()/2 {
		b.wake()
	}
	if used == 0 && b.draining.Load() {
		b.drained()
	}
}

// level is how many bytes may be under way before connections pause: less as
// the store's debt approaches what it allows, nothing from there on, so that
// producers go no faster than the rewriting of what they write.
func (b *budget) level() int64 {
	switch debt := b.debt(); {
	case debt >= 1:
		return -1
	case debt > debtFree:
		return int64(float64(b.pause) * (1 - debt) / (1 - debtFree))
	}
	return b.pause
}

// accepting reports whether a connection may read on; if not, resume will be
// called once.
func (b *budget) accepting(resume func()) bool {
	if b.used.Load() <= b.level() {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting.Add(1)
	if b.used.Load() <= b.level() { // what was given back meanwhile woke nobody
		b.waiting.Add(-1)
		return true
	}
	b.mu.resume = append(b.mu.resume, resume)
	b.arm()
	return false
}

// arm looks again after a while, since nobody tells when the debt has fallen.
// The lock is held.
func (b *budget) arm() {
	if b.mu.armed {
		return
	}
	b.mu.armed = true
	if b.mu.timer == nil {
		b.mu.timer = b.clock.AfterFunc(pauseCheck, b.check)
		return
	}
	b.mu.timer.Reset(pauseCheck)
}

func (b *budget) check() {
	b.mu.Lock()
	b.mu.armed = false
	if b.used.Load() > b.level() {
		b.arm()
		b.mu.Unlock()
		return
	}
	b.mu.Unlock()
	b.wake()
}

// drained returns a channel that is closed once nothing is under way. Nothing
// new may be taken from then on.
func (b *budget) drained() <-chan struct{} {
	b.draining.Store(true)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.empty == nil {
		b.mu.empty = make(chan struct{})
	}
	if !b.mu.closed && b.used.Load() == 0 {
		b.mu.closed = true
		close(b.mu.empty)
	}
	return b.mu.empty
}

func (b *budget) wake() {
	b.mu.Lock()
	resume := b.mu.resume
	b.mu.resume = nil
	b.waiting.Add(-int32(len(resume)))
	b.mu.Unlock()
	for _, f := range resume {
		f()
	}
}
