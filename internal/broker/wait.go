package broker

import (
	"time"

	"github.com/polylog-mq/polylog/internal/record"
)

// Waiter is a long poll: it wakes once, when enough bytes were appended to any
// of its partitions, when one of them changes its leader, floor or existence,
// or when its time is over. A Waiter is made once per connection (or session)
// and used for one wait after the other.
type Waiter struct {
	wake func()
}

// Interest names a partition to wait for and how far its reader has seen: the
// watermark (HighWatermark or LastStable) that its last read was limited by. If
// the watermark has moved since, Wait wakes at once.
type Interest struct {
	Partition *Partition
	Seen      record.Offset
}

// NewWaiter returns a waiter that calls wake once per Wait that ends by itself.
// Wake runs on a shard's loop, on a timer or inside Wait; it must not block and
// must not call the waiter's methods.
func (b *Broker) NewWaiter(wake func()) *Waiter { return &Waiter{wake: wake} }

// Wait begins to wait for need more bytes (at least 1) in the partitions, for
// at most timeout. The previous wait must have ended. The slice stays the
// caller's.
func (w *Waiter) Wait(parts []Interest, need int, timeout time.Duration) { panic("unfilled") }

// Cancel ends the wait without waking. It reports whether it did: false means
// that wake has been or is being called, or that no wait was under way.
func (w *Waiter) Cancel() bool { panic("unfilled") }
