package amqp

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/polylog-mq/polylog/test/harness"
)

var (
	rounds = flag.Int("rounds", 3, "how often the server is killed")
	seed   = flag.Uint64("seed", 0, "chooses the moments; 0: at random")
)

// ledger is what the clients know of messages, by number.
type ledger struct {
	mu        sync.Mutex
	next      int
	confirmed map[int]bool
	delivered map[int]int
	// unmarked are deliveries of a message that had come before, without the
	// redelivered flag.
	unmarked []int
	changed  chan struct{}
}

func (l *ledger) note(fn func()) {
	l.mu.Lock()
	fn()
	l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// await waits until a condition holds.
func (l *ledger) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	late := time.After(2 * time.Minute)
	for {
		l.mu.Lock()
		ok := holds()
		l.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-l.changed:
		case <-late:
			t.Fatalf("%s: %d sent, %d confirmed, %d delivered", what, l.next, len(l.confirmed), len(l.delivered))
		}
	}
}

// publisher publishes until its connection breaks.
func (l *ledger) publisher(c *amqp.Connection) {
	ch, err := c.Channel()
	if err != nil || ch.Confirm(false) != nil {
		return
	}
	var waiting sync.WaitGroup
	defer waiting.Wait()
	window := make(chan struct{}, 200)
	for {
		var n int
		l.note(func() { n = l.next; l.next++ })
		d, err := ch.PublishWithDeferredConfirm("", "q", true, false, amqp.Publishing{
			DeliveryMode: amqp.Persistent, Body: fmt.Append(nil, n),
		})
		if err != nil {
			return
		}
		window <- struct{}{}
		waiting.Go(func() {
			if d.Wait() {
				l.note(func() { l.confirmed[n] = true })
			}
			<-window
		})
	}
}

// worker consumes and acknowledges until its connection breaks.
func (l *ledger) worker(c *amqp.Connection) {
	ch, err := c.Channel()
	if err != nil || ch.Qos(50, 0, false) != nil {
		return
	}
	ds, err := ch.Consume("q", "", false, false, false, false, nil)
	if err != nil {
		return
	}
	for d := range ds {
		var n int
		if _, err := fmt.Sscan(string(d.Body), &n); err != nil {
			n = -1 // shows as a message that nobody sent
		}
		l.note(func() {
			if l.delivered[n] > 0 && !d.Redelivered {
				l.unmarked = append(l.unmarked, n)
			}
			l.delivered[n]++
		})
		if d.Ack(false) != nil {
			return
		}
	}
}

// TestKill9 kills the server at random moments under publishers and workers:
// every confirmed message is delivered, and what comes twice says so.
func TestKill9(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("-seed %d", *seed)
	r := rand.New(rand.NewPCG(*seed, 0))
	s := harness.Start(t)
	declare(t, channel(t, dial(t, s)), "q", nil)
	l := &ledger{confirmed: map[int]bool{}, delivered: map[int]int{}, changed: make(chan struct{}, 1)}
	for round := range *rounds {
		var clients sync.WaitGroup
		for _, work := range []func(*amqp.Connection){l.publisher, l.publisher, l.worker, l.worker} {
			c := dial(t, s)
			clients.Go(func() { work(c) })
		}
		goal := 200 + r.IntN(5000)
		l.mu.Lock()
		before := len(l.confirmed)
		l.mu.Unlock()
		l.await(t, fmt.Sprintf("round %d", round), func() bool { return len(l.confirmed) >= before+goal })
		s.Kill()
		clients.Wait()
		s.Restart()
	}
	c := dial(t, s)
	for range 2 {
		go l.worker(c)
	}
	l.await(t, "the end", func() bool {
		for n := range l.confirmed {
			if l.delivered[n] == 0 {
				return false
			}
		}
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	twice := 0
	for n, times := range l.delivered {
		if n < 0 || n >= l.next {
			t.Errorf("message %d was never sent", n)
		}
		if times > 1 {
			twice++
		}
	}
	if len(l.unmarked) > 0 {
		t.Errorf("%d deliveries came again without saying so, the first of message %d", len(l.unmarked), l.unmarked[0])
	}
	t.Logf("%d kills: %d messages sent, %d confirmed, %d delivered, %d more than once", *rounds, l.next, len(l.confirmed), len(l.delivered), twice)
}
