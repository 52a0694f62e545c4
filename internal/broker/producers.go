package broker

import (
	"sync"

	"github.com/polylog-mq/polylog/internal/state/topic"
)

// producerIDs hands out producer ids from blocks that the metadata group gives
// to this node.
type producerIDs struct {
	mu sync.Mutex
	// next up to end (excluded) are the ids in hand.
	next, end int64
	asking    bool
	waiting   []func(int64, error)
}

// AllocateProducerID answers a producer id that was never given before. ErrBusy,
// ErrNotLeader, ErrUnknownFate, ErrClosed.
func (b *Broker) AllocateProducerID(done func(id int64, err error)) {
	x := &b.ids
	x.mu.Lock()
	if x.next < x.end && len(x.waiting) == 0 {
		id := x.next
		x.next++
		x.mu.Unlock()
		done(id, nil)
		return
	}
	if len(x.waiting) >= maxProducerIDWaiters {
		x.mu.Unlock()
		done(-1, ErrBusy)
		return
	}
	x.waiting = append(x.waiting, done)
	ask := !x.asking
	x.asking = true
	x.mu.Unlock()
	if ask {
		b.askProducerIDs()
	}
}

// askProducerIDs asks for the next block.
func (b *Broker) askProducerIDs() {
	cmd := topic.AllocateProducerIDs{Count: producerIDBlock}
	b.metadata.propose(kindCatalog, cmd.AppendTo(nil), func(result any, err error) {
		if err != nil {
			b.ids.fail(err)
			return
		}
		first := result.(topic.Result).FirstProducerID
		if b.ids.deal(first, first+producerIDBlock) {
			b.askProducerIDs()
		}
	})
}

// deal gives ids of a new block to those who wait, and reports whether there
// are more of them.
func (x *producerIDs) deal(first, end int64) (more bool) {
	x.mu.Lock()
	x.next, x.end = first, end
	n := min(int(end-first), len(x.waiting))
	served := x.waiting[:n:n]
	x.waiting = x.waiting[n:]
	x.next += int64(n)
	more = len(x.waiting) > 0
	x.asking = more
	x.mu.Unlock()
	for i, done := range served {
		done(first+int64(i), nil)
	}
	return more
}

func (x *producerIDs) fail(err error) {
	x.mu.Lock()
	waiting := x.waiting
	x.waiting, x.asking = nil, false
	x.mu.Unlock()
	for _, done := range waiting {
		done(-1, err)
	}
}
