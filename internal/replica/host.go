package replica

import (
	"context"
	"log/slog"

	"github.com/polylog-mq/polylog/internal/clock"
	"github.com/polylog-mq/polylog/internal/record"
)

// Options says what a Host runs on.
type Options struct {
	// Node is this member in every group.
	Node record.NodeID
	// Store keeps logs and checkpoints.
	Store Storage
	// Transport reaches the other members; nil if there are none.
	Transport Transport
	// Clock is the only source of time.
	Clock clock.Clock
	// Loops is how many loops drive the groups: 1 to the number of cores, 0
	// for the number of cores.
	Loops int
	// Logger receives what an operator must know; nil discards it.
	Logger *slog.Logger
	// Fatal is called once, from any goroutine, when the store fails: from
	// then on nothing is acknowledged, and the process should end.
	Fatal func(error)
}

// Host runs this node's member of every group.
type Host struct{}

// New returns a host without groups.
func New(o Options) *Host { panic("unwritten") }

// Open starts this node's member of group g: sm is restored from the durable
// checkpoint, and the log above it follows as Steps run. A member that is
// alone in its group campaigns at once. Open is not for use after Run began.
func (h *Host) Open(g record.ShardID, sm StateMachine) (*Group, error) { panic("unwritten") }

// Group returns an open group, or nil.
func (h *Host) Group(g record.ShardID) *Group { panic("unwritten") }

// Loops returns the number of loops, for Step.
func (h *Host) Loops() int { panic("unwritten") }

// Step lets a loop do all work that waits for it, once, and reports whether
// there was any. Each loop is stepped by one goroutine at a time.
func (h *Host) Step(loop int) bool { panic("unwritten") }

// StepWork does one piece of the host's work that may block on the disk (a
// checkpoint, a snapshot's data) and reports whether there was any. It may
// run beside Step, but not beside itself.
func (h *Host) StepWork() bool { panic("unwritten") }

// Run steps everything in goroutines of its own, the store's Flush included,
// until ctx is done. It returns once they have ended.
func (h *Host) Run(ctx context.Context) { panic("unwritten") }

// Receive takes a message from another member. Any goroutine may call it; it
// never blocks, and drops what a loop cannot take.
func (h *Host) Receive(from record.NodeID, m Message) { panic("unwritten") }

// Close stops all groups: proposals that wait are answered ErrStopped, those
// in the log ErrUnknown. Run must have returned. The store stays open.
func (h *Host) Close() { panic("unwritten") }
