package broker

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/polylog-mq/polylog/internal/clock"
	"github.com/polylog-mq/polylog/internal/store"
)

// checkup remembers how the store is, so that appends need not ask each time:
// the answer grows with the number of files.
type checkup struct {
	clock clock.Clock
	ask   func() store.Health
	asked atomic.Int64 // clock.Mono
	last  atomic.Pointer[store.Health]
}

func newCheckup(c clock.Clock, ask func() store.Health) *checkup {
	h := ask()
	k := &checkup{clock: c, ask: ask}
	k.asked.Store(math.MinInt64 / 2)
	k.last.Store(&h)
	return k
}

// get returns the store's health as it was at most healthAge ago. Any
// goroutine.
func (k *checkup) get() *store.Health {
	now, asked := int64(k.clock.Mono()), k.asked.Load()
	if time.Duration(now-asked) >= healthAge && k.asked.CompareAndSwap(asked, now) {
		h := k.ask()
		k.last.Store(&h)
	}
	return k.last.Load()
}
