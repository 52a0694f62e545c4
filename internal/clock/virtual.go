package clock

import (
	"container/heap"
	"sync"
	"time"
)

// Virtual is a clock for tests and the simulator: time passes only when it is
// told to, and due functions run in the goroutine that tells it, in the order
// of their times (those of the same time in the order they were set).
type Virtual struct {
	mu     sync.Mutex
	wall   time.Time
	mono   time.Duration
	timers timerHeap
	seq    uint64
}

// NewVirtual returns a clock that stands at a wall time.
func NewVirtual(start time.Time) *Virtual { return &Virtual{wall: start} }

// Now implements Clock.
func (v *Virtual) Now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.wall
}

// Mono implements Clock.
func (v *Virtual) Mono() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.mono
}

// AfterFunc implements Clock.
func (v *Virtual) AfterFunc(d time.Duration, f func()) Timer {
	t := &virtualTimer{clock: v, f: f, at: -1}
	t.Reset(d)
	return t
}

// Next returns how long it is until a function is due, 0 if one is overdue;
// false if none waits.
func (v *Virtual) Next() (time.Duration, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.timers) == 0 {
		return 0, false
	}
	return max(0, v.timers[0].when-v.mono), true
}

// Advance lets d pass, wall and monotonic time alike, running what comes due at
// its own time. Functions set meanwhile run too if they come due.
func (v *Virtual) Advance(d time.Duration) {
	v.mu.Lock()
	end := v.mono + d
	for len(v.timers) > 0 && v.timers[0].when <= end {
		t := v.timers[0]
		heap.Pop(&v.timers)
		v.pass(max(0, t.when-v.mono))
		v.mu.Unlock()
		t.f()
		v.mu.Lock()
	}
	v.pass(max(0, end-v.mono))
	v.mu.Unlock()
}

func (v *Virtual) pass(d time.Duration) {
	v.mono += d
	v.wall = v.wall.Add(d)
}

// Jump sets the wall clock forward, or back, as an operator or a time server
// would. Nothing comes due by it.
func (v *Virtual) Jump(d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wall = v.wall.Add(d)
}

type virtualTimer struct {
	clock *Virtual
	f     func()
	when  time.Duration // of clock.mono
	seq   uint64
	at    int // in the heap, -1 if it does not wait
}

// Stop implements Timer.
func (t *virtualTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	return t.stop()
}

func (t *virtualTimer) stop() bool {
	if t.at < 0 {
		return false
	}
	heap.Remove(&t.clock.timers, t.at)
	return true
}

// Reset implements Timer.
func (t *virtualTimer) Reset(d time.Duration) bool {
	v := t.clock
	v.mu.Lock()
	defer v.mu.Unlock()
	waited := t.stop()
	v.seq++
	t.when, t.seq = v.mono+max(0, d), v.seq
	heap.Push(&v.timers, t)
	return waited
}

type timerHeap []*virtualTimer

func (h timerHeap) Len() int { return len(h) }

func (h timerHeap) Less(i, j int) bool {
	if h[i].when != h[j].when {
		return h[i].when < h[j].when
	}
	return h[i].seq < h[j].seq
}

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

func (h *timerHeap) Push(x any) {
	t := x.(*virtualTimer)
	t.at = len(*h)
	*h = append(*h, t)
}

func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.at = -1
	return t
}
