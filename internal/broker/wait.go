package broker

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/polylog-mq/polylog/internal/clock"
	"github.com/polylog-mq/polylog/internal/record"
)

// Waiter is a long poll: it wakes once, when enough bytes were appended to any
// of its partitions, when one of them changes its leader, floor or existence,
// or when its time is over. A Waiter is made once per connection or session and
// used for one wait after the other, by one goroutine at a time. Give it up
// with Cancel, also after it has woken: until then its partitions know it.
type Waiter struct {
	wake  func()
	clock clock.Clock
	timer clock.Timer

	// round counts the waits; its lowest bit says that one is under way. It is
	// what makes a late timer harmless.
	round    atomic.Uint64
	deadline atomic.Int64 // clock.Mono at which the wait is over
	need     atomic.Int64 // bytes still missing

	nodes []waitNode
}

// waitNode is a waiter's place in the list of one partition. The links belong
// to the partition's lock.
type waitNode struct {
	w          *Waiter
	list       *waitList
	prev, next *waitNode
	linked     bool
	stable     bool
}

// waitList is the waiters of one partition.
type waitList struct {
	mu    sync.Mutex
	first *waitNode
	// n is how many there are, so that an append nobody waits for takes no
	// lock.
	n atomic.Int32
}

// Interest names a partition to wait for and how far its reader has seen.
type Interest struct {
	Partition *Partition
	// Seen is the watermark that the last read was limited by. If it has moved
	// since, Wait wakes at once.
	Seen record.Offset
	// Stable says that this watermark was LastStable, not HighWatermark.
	Stable bool
}

// NewWaiter returns a waiter that calls wake once per Wait that ends by itself.
// Wake runs on a shard's loop, on a timer or inside Wait; it must not block and
// must not call the waiter's methods.
func (b *Broker) NewWaiter(wake func()) *Waiter {
	return &Waiter{wake: wake, clock: b.opts.Clock}
}

// Wait begins to wait for need more bytes (at least 1) in the partitions, for
// at most timeout. The previous wait must have ended. The slice stays the
// caller's.
func (w *Waiter) Wait(parts []Interest, need int, timeout time.Duration) {
	w.unlink()
	w.need.Store(int64(max(need, 1)))
	w.deadline.Store(int64(w.clock.Mono() + timeout))
	round := w.round.Add(1) | 1
	w.round.Store(round)
	if timeout <= 0 {
		w.fire(round)
		return
	}
	if cap(w.nodes) < len(parts) {
		w.nodes = make([]waitNode, len(parts))
	}
	w.nodes = w.nodes[:len(parts)]
	for i := range parts {
		p := parts[i].Partition
		w.nodes[i] = waitNode{w: w, list: &p.waiters, stable: parts[i].Stable}
		p.waiters.add(&w.nodes[i])
		// Only now: an append or a deletion is seen either here or in the list.
		if p.watermark(parts[i].Stable) != parts[i].Seen || p.dropped.Load() {
			w.nodes = w.nodes[:i+1]
			w.fire(round)
			return
		}
	}
	if w.timer == nil {
		w.timer = w.clock.AfterFunc(timeout, w.expire)
	} else {
		w.timer.Reset(timeout)
	}
}

// Cancel ends the wait without waking, and takes the waiter out of its
// partitions' lists. It reports whether there was a wait to end: false means
// that wake has been or is being called, or that no wait was under way.
func (w *Waiter) Cancel() bool {
	round := w.round.Load()
	ended := round&1 == 1 && w.round.CompareAndSwap(round, round+1)
	w.unlink()
	return ended
}

// unlink leaves all lists. Afterwards no loop holds a node of the waiter.
func (w *Waiter) unlink() {
	if w.timer != nil {
		w.timer.Stop()
	}
	for i := range w.nodes {
		w.nodes[i].list.remove(&w.nodes[i])
	}
	w.nodes = w.nodes[:0]
}

// fire ends the given wait and wakes, unless it has ended already.
func (w *Waiter) fire(round uint64) {
	if round&1 == 1 && w.round.CompareAndSwap(round, round+1) {
		w.wake()
	}
}

func (w *Waiter) expire() {
	round := w.round.Load()
	if int64(w.clock.Mono()) >= w.deadline.Load() {
		w.fire(round)
	}
}

func (l *waitList) add(n *waitNode) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n.next = l.first
	if l.first != nil {
		l.first.prev = n
	}
	l.first = n
	n.linked = true
	l.n.Add(1)
}

func (l *waitList) remove(n *waitNode) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unlink(n)
}

// unlink takes n out; the lock is held.
func (l *waitList) unlink(n *waitNode) {
	if !n.linked {
		return
	}
	if n.prev != nil {
		n.prev.next = n.next
	} else {
		l.first = n.next
	}
	if n.next != nil {
		n.next.prev = n.prev
	}
	n.prev, n.next, n.linked = nil, nil, false
	l.n.Add(-1)
}

// added tells that so many bytes can be read now that could not before, and how
// many of those that stop at the last stable offset can read. The watermarks
// must have been moved before.
func (l *waitList) added(bytes, stable int) {
	if l.n.Load() == 0 {
		return
	}
	l.each(func(n *waitNode) bool {
		if n.stable {
			return stable > 0 && n.w.need.Add(-int64(stable)) <= 0
		}
		return bytes > 0 && n.w.need.Add(-int64(bytes)) <= 0
	})
}

// changed wakes everybody.
func (l *waitList) changed() {
	if l.n.Load() == 0 {
		return
	}
	l.each(func(*waitNode) bool { return true })
}

// each ends the waits that the function chooses, and leaves out those that have
// ended. It wakes under the lock, which spares a list: wake does not block.
func (l *waitList) each(choose func(*waitNode) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := l.first; n != nil; {
		next := n.next
		round := n.w.round.Load()
		if round&1 == 0 || choose(n) {
			l.unlink(n)
			n.w.fire(round)
		}
		n = next
	}
}
