package sim

import (
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/polylog-mq/polylog/internal/clock"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// world is one run: its time, its nodes, its network, its clients, and what is
// known of them. Everything in it happens in the goroutine that calls run, in
// the order of one heap of events, which is that of the clock.
type world struct {
	o     Options
	clock *clock.Virtual
	// Sources of chance of their own, so that a fault left out changes as little
	// else as possible.
	net, disks, clients, faults, secrets *rand.Rand

	nodes   []*node
	touched []*node // have something to do at this moment
	cut     map[[2]record.NodeID]bool
	genesis []store.GroupCut
	meta    store.Meta

	trace
	history
	elections elections
	queues    queueHistory
	cover     Coverage
	actors    []actor
	replacing *replacement
	growing   *growth
	fastest   time.Duration // that any clock has ever been ahead
	slowest   time.Duration // and behind, negative
	newest    record.NodeID // the latest node's id
	variant   variant
	plan      []mishap
	calm      bool // no fault any more
	loss      float64
	balance   clock.Timer
	failure   error
	// unrepeatable says that Pebble's files were made to fail.
	unrepeatable bool
}

// variant is how a run differs from the usual in what must make no difference.
type variant struct {
	cast      func() // makes other actors
	rewriting store.Rewriting
	// folder is where the node keeps its data instead of on a disk of ours.
	folder string
	// direct lets the log be written past the page cache.
	direct bool
	// cutEvery cuts the power at every so many syncs.
	cutEvery int
}

// Failure is a run that showed something that must not be.
type Failure struct {
	Options Options
	At      time.Duration // virtual
	Err     error
	// Faults is how many the plan has.
	Faults int
}

func (f *Failure) Error() string {
	return fmt.Sprintf("after %v: %v\n  options: %v\n  repeat:  %s", f.At.Round(time.Millisecond), f.Err, f.Options, f.Options.Command())
}

// Unwrap returns what went wrong.
func (f *Failure) Unwrap() error { return f.Err }

// Result is what a run has shown.
type Result struct {
	// Trace is the hash of everything that happened.
	Trace    uint64
	Coverage Coverage
	Virtual  time.Duration
	// Unrepeatable says that Pebble's files failed: how far its goroutines were at
	// that moment, and so what a restart finds, is not the seed's to decide.
	Unrepeatable bool
	// Failure is nil if nothing was wrong.
	Failure *Failure
}

// jitter makes Raft's election timeouts, which are drawn from crypto/rand, a
// function of the seed.
type jitter struct{ io.Reader }

// Run carries out one run. Only one may be under way in a process: the source of
// Raft's chance is the process's own.
func Run(o Options) Result {
	old := crand.Reader
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], o.Seed)
	crand.Reader = jitter{rand.NewChaCha8(key)}
	defer func() { crand.Reader = old }()

	w := newWorld(o)
	err := w.guarded()
	for _, n := range w.nodes {
		n.close()
	}
	r := Result{Trace: w.hash, Coverage: w.cover, Virtual: w.clock.Mono(), Unrepeatable: w.unrepeatable}
	if err != nil {
		r.Failure = &Failure{Options: o, At: w.clock.Mono(), Err: err, Faults: len(w.plan)}
	}
	return r
}

func newWorld(o Options) *world {
	w := &world{
		o: o, clock: clock.NewVirtual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
		cut: map[[2]record.NodeID]bool{}, loss: o.Loss,
	}
	for i, r := range []**rand.Rand{&w.net, &w.disks, &w.clients, &w.faults, &w.secrets} {
		*r = rand.New(rand.NewPCG(o.Seed, uint64(i)+100))
	}
	w.trace = trace{w: w, hasher: fnv.New64a()}
	w.history.init(w)
	w.elections.init(w)
	return w
}

// guarded turns a panic of the product into a failure.
func (w *world) guarded() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if err := w.begin(); err != nil {
		return err
	}
	return w.phases()
}

// phases is the run: faults, then healing, then the verdict.
func (w *world) phases() error {
	w.until(w.o.Safety)
	if w.failure != nil {
		return w.failure
	}
	w.note("--- healing")
	w.heal()
	end := w.o.Safety + w.o.Liveness
	for w.failure == nil && w.clock.Mono() < end && !w.atRest() {
		w.until(min(w.clock.Mono()+200*time.Millisecond, end))
	}
	if w.failure == nil && !w.atRest() {
		w.fail("no progress: %v after all faults were healed: %s", w.o.Liveness, w.restless())
	}
	if w.failure != nil {
		return w.failure
	}
	w.note("--- verdict")
	w.judge()
	return w.failure
}

// until runs events up to a moment.
func (w *world) until(end time.Duration) {
	for w.failure == nil {
		w.settle()
		d, ok := w.clock.Next()
		left := end - w.clock.Mono()
		if !ok || d > left {
			w.clock.Advance(max(left, 0))
			return
		}
		w.clock.Advance(d)
	}
}

// settle lets every node that something happened to do all it can do at this
// moment.
func (w *world) settle() {
	for len(w.touched) > 0 && w.failure == nil {
		n := w.touched[0]
		w.touched = append(w.touched[:0], w.touched[1:]...)
		n.touched = false
		n.work()
	}
}

// fail ends the run. The first failure counts.
func (w *world) fail(format string, args ...any) {
	if w.failure == nil {
		w.failure = fmt.Errorf(format, args...)
		w.note("FAILURE: %v", w.failure)
	}
}

// after runs f as an event of its own.
func (w *world) after(d time.Duration, f func()) { w.clock.AfterFunc(d, f) }

// upTo draws a time in (0, d].
func upTo(rng *rand.Rand, d time.Duration) time.Duration {
	if d <= 0 {
		return 1
	}
	return time.Duration(rng.Int64N(int64(d))) + 1
}

// logged returns the latest time that log time can have come to: a new leader's may
// leap from the slowest clock to the fastest.
func (w *world) logged() time.Duration { return w.clock.Mono() + w.fastest - w.slowest }

// around draws a time of mean d, between a quarter and seven quarters of it.
func around(rng *rand.Rand, d time.Duration) time.Duration {
	return d/4 + time.Duration(rng.Int64N(int64(d)*3/2+1))
}

// seeded returns random bytes for the product.
func (w *world) seeded() io.Reader {
	var key [32]byte
	for i := range 4 {
		binary.LittleEndian.PutUint64(key[i*8:], w.secrets.Uint64())
	}
	return rand.NewChaCha8(key)
}

func is(err error, any ...error) bool {
	for _, e := range any {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
