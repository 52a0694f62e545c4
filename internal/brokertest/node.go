// Package brokertest runs a whole node (store, Raft groups, broker) in the
// goroutine of a test, on an in-memory file system that can lose what was not
// synced and on a clock that stands still until it is told otherwise. Nothing
// happens but in Settle and Advance, so that every run is the same.
package brokertest

import (
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/clock"
	"github.com/polylog-mq/polylog/internal/crashfs"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/store"
)

// Options says how a node differs from the usual. The zero value is fine.
type Options struct {
	// FS and Clock are new ones if nil. A wrapped FS (to inject errors) must
	// be given together with Mem, the crashable one below it.
	FS    vfs.FS
	Mem   *crashfs.FS
	Clock *clock.Virtual
	// Seed is that of everything random. Default 1.
	Seed uint64
	// Store and Broker change the options of the parts.
	Store  func(*store.Options)
	Broker func(*broker.Options)
	// Logger sees what the parts log; the default discards it.
	Logger *slog.Logger
}

// Node is a node under test. It belongs to one goroutine.
type Node struct {
	*broker.Broker
	Store *store.Store
	Host  *replica.Host
	Clock *clock.Virtual
	Mem   *crashfs.FS
	// Failed is what the host called fatal, nil if nothing was.
	Failed error

	tb   testing.TB
	opts Options
	rng  *rand.Rand
	// halted says that nothing of the node runs any more.
	halted bool
}

// maxSteps bounds what Settle does: a node that never comes to rest is broken.
const maxSteps = 1_000_000

// Start opens a node and lets it become ready.
func Start(tb testing.TB, o Options) *Node {
	tb.Helper()
	n, err := Open(tb, o)
	if err != nil {
		tb.Fatal(err)
	}
	n.Settle()
	select {
	case <-n.Ready():
	default:
		tb.Fatal("the node does not become ready")
	}
	return n
}

// Open opens a node and does no step of it.
func Open(tb testing.TB, o Options) (*Node, error) {
	tb.Helper()
	if o.Mem == nil {
		o.Mem = crashfs.New()
	}
	if o.FS == nil {
		o.FS = o.Mem
	}
	if o.Clock == nil {
		o.Clock = clock.NewVirtual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	n := &Node{tb: tb, opts: o, Clock: o.Clock, Mem: o.Mem, rng: rand.New(rand.NewPCG(o.Seed, 0))} //nolint:gosec // to be repeated
	so := store.Options{FS: o.FS, Dir: "data", WALFileSize: 1 << 20, Salt: n.random(), Clock: o.Clock, Logger: o.Logger}
	if o.Store != nil {
		o.Store(&so)
	}
	var err error
	if n.Store, err = store.Open(so); err != nil {
		return nil, err
	}
	n.Host = replica.New(replica.Options{
		Node: 1, Store: n.Store, Clock: o.Clock, Loops: 1, Logger: o.Logger,
		Fatal: func(err error) { n.Failed = err },
	})
	bo := broker.Options{Store: n.Store, Host: n.Host, Clock: o.Clock, Rand: n.random(), Logger: o.Logger, Shards: 4, Background: func(f func()) { f() }}
	if o.Broker != nil {
		o.Broker(&bo)
	}
	n.Broker, err = broker.Open(bo)
	return n, err
}

// random returns a source of random bytes of its own.
func (n *Node) random() *rand.ChaCha8 {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(n.rng.Uint32())
	}
	return rand.NewChaCha8(seed)
}

// Step does one piece of every part's work and reports whether there was any.
func (n *Node) Step() bool {
	did := false
	for i := range n.Host.Loops() {
		did = n.Host.Step(i) || did
	}
	did = n.Store.Flush() || did
	did = n.Host.StepWork() || did
	return did
}

// Settle works until nothing is left to do at the present time.
func (n *Node) Settle() {
	n.tb.Helper()
	for range maxSteps {
		if !n.Step() {
			return
		}
	}
	n.tb.Fatalf("the node is still busy after %d steps", maxSteps)
}

// Advance lets time pass, settling whenever something comes due.
func (n *Node) Advance(d time.Duration) {
	n.tb.Helper()
	end := n.Clock.Mono() + d
	for {
		n.Settle()
		next, ok := n.Clock.Next()
		if !ok || n.Clock.Mono()+next > end {
			break
		}
		n.Clock.Advance(next)
	}
	n.Clock.Advance(end - n.Clock.Mono())
	n.Settle()
}

// Halt ends the node where it stands, as kill -9 does, and leaves its files to
// the next one.
func (n *Node) Halt() {
	if n.halted {
		return
	}
	n.halted = true
	n.Host.Close()
	if err := n.Store.Close(); err != nil && n.Failed == nil {
		n.tb.Logf("closing the store: %v", err)
	}
}

// Stop ends the node as SIGTERM does.
func (n *Node) Stop() {
	n.tb.Helper()
	drained := n.Drain()
	n.Settle()
	select {
	case <-drained:
	default:
		n.tb.Fatal("the node does not finish what is under way")
	}
	n.Halt()
}

// Crash cuts the power: it returns a new node, not yet ready, on what was
// synced of this one's files and, if unsynced says so, on any part of the rest.
// The old node must not be used any more.
func (n *Node) Crash(unsynced bool) *Node {
	n.tb.Helper()
	o := n.opts
	if unsynced {
		o.Mem = n.Mem.Crash(n.rng)
	} else {
		o.Mem = n.Mem.Crash(nil)
	}
	o.FS = o.Mem
	o.Seed++
	n.halted = true
	next, err := Open(n.tb, o)
	if err != nil {
		n.tb.Fatalf("opening after a crash: %v", err)
	}
	return next
}

// Restart is Stop and Start on the same files.
func (n *Node) Restart() *Node {
	n.tb.Helper()
	n.Stop()
	return Start(n.tb, n.opts)
}
