package replica

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/polylog-mq/polylog/internal/clock"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// Options says what a Host runs on.
type Options struct {
	// Node is this member in every group.
	Node record.NodeID
	// Store keeps logs and checkpoints.
	Store *store.Store
	// Transport reaches the other members; nil if there are none.
	Transport Transport
	// Clock is the only source of time; nil is the machine's.
	Clock clock.Clock
	// Loops is how many loops drive the groups: 1 to the number of cores, 0
	// for half of it, since connections need the other half.
	Loops int
	// KeepLog is how many bytes of log below its checkpoint a group with other
	// members keeps for those that lag; KeepLogForSlow is how many a leader
	// keeps for a member that it knows to lag. A member that needs more is sent
	// a snapshot. 0 for the defaults, 4 MiB and 64 MiB.
	KeepLog, KeepLogForSlow uint64
	// EntryBytes is when the gathering of proposals for one entry stops; 0 for
	// the default, 1 MiB. With the largest proposal on top an entry must fit
	// into half a file of the store's log.
	EntryBytes int
	// Logger receives what an operator must know; nil discards it.
	Logger *slog.Logger
	// Fatal is called once, from any goroutine, when the store fails or a
	// group's state is beyond repair: from then on nothing is acknowledged,
	// and the process should end.
	Fatal func(error)
}

// Host runs this node's member of every group.
type Host struct {
	node      record.NodeID
	store     storage
	transport Transport
	clock     clock.Clock
	logger    *slog.Logger
	fatal     func(error)
	tune      tuning

	loops  []*loop
	bytes  atomic.Int64 // of proposals held by all groups
	failed atomic.Bool
	// flushing: the log's own goroutine is at it. lane wakes it.
	flushing atomic.Bool
	lane     chan struct{}
	running  atomic.Bool // Run is, and helpers are welcome
	rest     rest
	work     workQueue
	cuts     cutter
	pages    pageSessions

	// installed counts snapshots of groups.
	installed atomic.Uint64
	warned    atomic.Int64 // monotonic time of the latest warning of a step, +1
	groupsMu  struct {
		sync.RWMutex
		byID map[record.ShardID]*Group
	}
}

// New returns a host without groups.
func New(o Options) *Host {
	t := defaultTuning()
	t.keepBytes = cmp.Or(o.KeepLog, t.keepBytes)
	t.keepLeaderBytes = cmp.Or(o.KeepLogForSlow, t.keepLeaderBytes)
	t.entryBytes = cmp.Or(o.EntryBytes, t.entryBytes)
	return newHost(o, realStore{o.Store}, t)
}

func newHost(o Options, s storage, t tuning) *Host {
	h := &Host{
		node: o.Node, store: s, transport: o.Transport, clock: o.Clock, logger: o.Logger, fatal: o.Fatal, tune: t,
	}
	if h.clock == nil {
		h.clock = clock.System()
	}
	if h.logger == nil {
		h.logger = slog.New(slog.DiscardHandler)
	}
	h.work.wake, h.lane = make(chan struct{}, 1), make(chan struct{}, 1)
	h.groupsMu.byID = map[record.ShardID]*Group{}
	cores := runtime.GOMAXPROCS(0)
	for i := range min(cmp.Or(o.Loops, max(cores/2, 1)), cores) {
		h.loops = append(h.loops, newLoop(h, i))
	}
	return h
}

// Open starts this node's member of group g: sm is restored from the durable
// checkpoint, and the log above it follows as Steps run. A member that is
// alone in its group campaigns at once. A group without a checkpoint is one
// that this node is about to join: it waits to be added as a learner.
func (h *Host) Open(id record.ShardID, sm StateMachine) (*Group, error) {
	g, err := newGroup(h, id, sm)
	if err != nil {
		return nil, fmt.Errorf("opening group %d: %w", id, err)
	}
	h.groupsMu.Lock()
	h.groupsMu.byID[id] = g
	h.groupsMu.Unlock()
	g.loop.call(g, func() { g.loop.groups = append(g.loop.groups, g) })
	return g, nil
}

// Group returns an open group, or nil.
func (h *Host) Group(id record.ShardID) *Group {
	h.groupsMu.RLock()
	defer h.groupsMu.RUnlock()
	return h.groupsMu.byID[id]
}

// Installed returns how many snapshots of groups were received and installed
// since New. Any goroutine may call it.
func (h *Host) Installed() uint64 { return h.installed.Load() }

// Loops returns the number of loops, for Step.
func (h *Host) Loops() int { return len(h.loops) }

// Step lets a loop do all work that waits for it, once, and reports whether
// there was any. Each loop is stepped by one goroutine at a time.
func (h *Host) Step(loop int) bool { return h.loops[loop].step() }

// StepWork does one piece of the host's work that may block on the disk (a
// checkpoint, a snapshot's data) and reports whether there was any. It may
// run beside Step, but not beside itself.
func (h *Host) StepWork() bool { return h.work.step() }

// Working reports whether StepWork has something to do.
func (h *Host) Working() bool {
	h.work.mu.Lock()
	defer h.work.mu.Unlock()
	return len(h.work.todo) > 0
}

// Run steps everything, the store's Flush included, in goroutines of its own
// until ctx is done, and returns once they have ended.
//
// A loop that is the only one flushes what it has just appended itself, which
// saves two changes of goroutine. (While it waits for the disk it gathers what
// arrives; it has nothing better to do.) If that is much, or there are several
// loops, a goroutine of the log's own flushes beside them. A caller with nothing
// better to do does the loop's part and the log's (help.go).
func (h *Host) Run(ctx context.Context) {
	var wg sync.WaitGroup
	h.rest.init(h.clock)
	h.running.Store(true)
	wg.Go(func() { h.runLane(ctx, h.lane) })
	for _, l := range h.loops {
		wg.Go(func() { drive(ctx, func() bool { return h.stepAndFlush(l) }, l.wake) })
	}
	wg.Go(func() { drive(ctx, h.work.step, h.work.wake) })
	wg.Wait()
	h.running.Store(false)
	for _, l := range h.loops {
		l.driver.Lock() // whoever helped is done
		l.driver.Unlock()
	}
}

// runLane flushes what loops leave to it until ctx is done. A log that falls
// idle it flushes once more, with nothing to write: the log notes then up to
// where it is durable. Idle is what has not been written to for a while, since
// that note may cost a write to the disk, which the next request would wait for.
func (h *Host) runLane(ctx context.Context, lane <-chan struct{}) {
	defer h.rest.timer.Stop()
	for ctx.Err() == nil {
		if h.store.Pending() {
			h.flushing.Store(true)
			h.flush()
			h.flushing.Store(false)
			continue
		}
		select {
		case <-ctx.Done():
		case <-lane:
		case <-h.rest.due:
			if h.rest.idle() {
				h.store.Flush()
			}
		}
	}
}

// flush writes what is queued.
func (h *Host) flush() {
	h.store.Flush()
	h.rest.worked()
}

// stepAndFlush steps a loop and sees to the flushing of what it appended, unless
// a helper is at it, who sees to it that what he leaves is done.
func (h *Host) stepAndFlush(l *loop) bool {
	if !l.driver.TryLock() {
		return false
	}
	defer l.driver.Unlock()
	worked := l.stepRound()
	if l.unflushed == 0 {
		return worked
	}
	l.driven.Store(true)
	h.flushAppended(l, len(h.loops) == 1)
	l.driven.Store(false)
	return true
}

// flushAppended sees to the flushing of what a loop has appended; here says that
// the caller has nothing better to do.
func (h *Host) flushAppended(l *loop, here bool) {
	appended := l.unflushed
	l.unflushed = 0
	switch {
	case appended == 0:
	case here && appended <= h.tune.flushHere && !h.flushing.Load():
		h.flush()
	default:
		signal(h.lane)
	}
}

// rest finds out when nothing has happened for a while. Work costs it a
// counter; the timer is set anew only when it has run out.
type rest struct {
	count atomic.Uint64
	armed atomic.Bool
	timer clock.Timer
	due   chan struct{} // the timer has run out
	seen  uint64        // of count, by idle
}

func (r *rest) init(c clock.Clock) {
	r.due = make(chan struct{}, 1)
	r.timer = c.AfterFunc(restTime, func() { signal(r.due) })
	r.timer.Stop()
}

// worked notes that something has happened. Any goroutine may call it.
func (r *rest) worked() {
	r.count.Add(1)
	r.arm()
}

func (r *rest) arm() {
	if !r.armed.Swap(true) {
		r.timer.Reset(restTime)
	}
}

// idle reports, when the timer has run out, whether nothing happened
// meanwhile; it asks to be called again if not.
func (r *rest) idle() bool {
	r.armed.Store(false)
	n := r.count.Load()
	if n == r.seen {
		return true
	}
	r.seen = n
	r.arm()
	return false
}

// signal wakes whoever drives.
func signal(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// drive steps until there is nothing to do, and again whenever woken.
func drive(ctx context.Context, step func() bool, wake <-chan struct{}) {
	for ctx.Err() == nil {
		if step() {
			continue
		}
		select {
		case <-ctx.Done():
		case <-wake:
		}
	}
}

// Receive takes a message from another member. Any goroutine may call it; it
// never blocks, and drops what a loop cannot take. m is immutable from then on.
func (h *Host) Receive(from record.NodeID, m Message) {
	if g := h.Group(m.Group); g != nil {
		g.loop.receive(g, from, m)
	}
}

// Close stops all groups: proposals that wait are answered ErrStopped, those
// in the log ErrUnknown. Run must have returned. The store stays open.
func (h *Host) Close() {
	for _, l := range h.loops {
		l.close()
	}
	h.pages.closeAll()
}

// fail ends all acknowledging: every loop stops its groups, and the owner is
// told once.
func (h *Host) fail(err error) {
	if !h.failed.CompareAndSwap(false, true) {
		return
	}
	for _, l := range h.loops {
		l.call(nil, l.stop)
	}
	if h.fatal != nil {
		h.fatal(err)
	}
}

// send hands a message to the transport.
func (h *Host) send(to record.NodeID, m Message) {
	if h.transport != nil {
		h.transport.Send(to, m)
	}
}

// warnStep logs a big step of log time, once for all groups that take it.
func (h *Host) warnStep(step, mono time.Duration) {
	last := h.warned.Load()
	if last != 0 && mono-time.Duration(last-1) < time.Minute || !h.warned.CompareAndSwap(last, int64(mono)+1) {
		return
	}
	h.logger.Warn("log time stepped forward; nothing expires for a while", "step", step, "hold", holdTime)
}

// workQueue is work that may block, done one piece at a time in order.
type workQueue struct {
	mu   sync.Mutex
	todo []func()
	wake chan struct{}
}

// addIfFew adds what may be left undone if there is much to do.
func (q *workQueue) addIfFew(f func()) {
	q.mu.Lock()
	many := len(q.todo) >= maxServing
	q.mu.Unlock()
	if !many {
		q.add(f)
	}
}

func (q *workQueue) add(f func()) {
	q.mu.Lock()
	q.todo = append(q.todo, f)
	q.mu.Unlock()
	signal(q.wake)
}

func (q *workQueue) step() bool {
	q.mu.Lock()
	if len(q.todo) == 0 {
		q.mu.Unlock()
		return false
	}
	f := q.todo[0]
	q.todo = q.todo[1:]
	q.mu.Unlock()
	f()
	return true
}
