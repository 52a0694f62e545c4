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

// What becomes of a message depends on its number: some are delayed, some are
// always rejected, and have to come as dead letters.
func delayed(n int) bool  { return n%10 == 1 }
func rejected(n int) bool { return n%7 == 3 }

// delay is for how long messages are delayed.
const delay = 300 * time.Millisecond

// ledger is what the clients know of messages, by number.
type ledger struct {
	mu        sync.Mutex
	next      int
	confirmed map[int]bool
	delivered map[int]int
	dead      map[int]int
	// unmarked are deliveries of a message that had come before in the same queue,
	// without the redelivered flag; early came before their time, astray as dead
	// letters though nobody rejected them.
	unmarked, early, astray []int
	changed                 chan struct{}
}

// missing returns a confirmed message that has not come where it has to, -1 if
// there is none.
func (l *ledger) missing() int {
	for n := range l.confirmed {
		if l.delivered[n] == 0 || rejected(n) && l.dead[n] == 0 {
			return n
		}
	}
	return -1
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
			l.mu.Lock()
			defer l.mu.Unlock()
			t.Fatalf("%s: %d sent, %d confirmed, %d delivered, %d dead, %d is missing",
				what, l.next, len(l.confirmed), len(l.delivered), len(l.dead), l.missing())
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
		exchange, p := "", amqp.Publishing{DeliveryMode: amqp.Persistent, Body: fmt.Append(nil, n)}
		if delayed(n) {
			exchange = "late"
			p.Headers = amqp.Table{"x-delay": delay.Milliseconds(), "due": time.Now().Add(delay).UnixMilli()}
		}
		d, err := ch.PublishWithDeferredConfirm(exchange, "q", true, false, p)
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

// worker consumes, and acknowledges or rejects, until its connection breaks.
func (l *ledger) worker(c *amqp.Connection) {
	l.consume(c, "q", func(n int, d *amqp.Delivery) error {
		if due, ok := d.Headers["due"].(int64); ok && time.Now().UnixMilli() < due {
			l.early = append(l.early, n)
		}
		if l.delivered[n] > 0 && !d.Redelivered {
			l.unmarked = append(l.unmarked, n)
		}
		l.delivered[n]++
		if rejected(n) {
			return d.Reject(false)
		}
		return d.Ack(false)
	})
}

// undertaker takes the dead letters.
func (l *ledger) undertaker(c *amqp.Connection) {
	l.consume(c, "dead", func(n int, d *amqp.Delivery) error {
		if l.dead[n] > 0 && !d.Redelivered {
			l.unmarked = append(l.unmarked, n)
		}
		if l.dead[n]++; !rejected(n) {
			l.astray = append(l.astray, n)
		}
		return d.Ack(false)
	})
}

// consume hands what a queue delivers to take, under the ledger's lock.
func (l *ledger) consume(c *amqp.Connection, queue string, take func(n int, d *amqp.Delivery) error) {
	ch, err := c.Channel()
	if err != nil || ch.Qos(50, 0, false) != nil {
		return
	}
	ds, err := ch.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return
	}
	for d := range ds {
		var n int
		if _, err := fmt.Sscan(string(d.Body), &n); err != nil {
			n = -1 // shows as a message that nobody sent
		}
		var broken error
		l.note(func() { broken = take(n, &d) })
		if broken != nil {
			return
		}
	}
}

// TestKill9 kills the server at random moments under publishers and workers:
// every confirmed message is delivered, not before its time, and those that are
// rejected come as dead letters; what comes twice says so.
func TestKill9(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("-seed %d", *seed)
	r := rand.New(rand.NewPCG(*seed, 0))
	s := harness.Start(t)
	ch := channel(t, dial(t, s))
	declare(t, ch, "dead", nil)
	declare(t, ch, "q", amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"})
	if err := ch.ExchangeDeclare("late", "x-delayed-message", true, false, false, false, amqp.Table{"x-delayed-type": "direct"}); err != nil {
		t.Fatal(err)
	}
	if err := ch.QueueBind("q", "q", "late", false, nil); err != nil {
		t.Fatal(err)
	}
	l := &ledger{confirmed: map[int]bool{}, delivered: map[int]int{}, dead: map[int]int{}, changed: make(chan struct{}, 1)}
	for round := range *rounds {
		var clients sync.WaitGroup
		for _, work := range []func(*amqp.Connection){l.publisher, l.publisher, l.worker, l.worker, l.undertaker} {
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
	for _, work := range []func(*amqp.Connection){l.worker, l.worker, l.undertaker} {
		go work(c)
	}
	l.await(t, "the end", func() bool { return l.missing() < 0 })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report(t)
}

// report says what is wrong, and how much there was.
func (l *ledger) report(t *testing.T) {
	t.Helper()
	twice := 0
	for n, times := range l.delivered {
		if n < 0 || n >= l.next {
			t.Errorf("message %d was never sent", n)
		}
		if times > 1 {
			twice++
		}
	}
	for what, list := range map[string][]int{"again without saying so": l.unmarked, "too early": l.early, "as dead letters that nobody rejected": l.astray} {
		if len(list) > 0 {
			t.Errorf("%d deliveries came %s, the first of message %d", len(list), what, list[0])
		}
	}
	t.Logf("%d kills: %d messages sent, %d confirmed, %d delivered, %d more than once, %d dead letters",
		*rounds, l.next, len(l.confirmed), len(l.delivered), twice, len(l.dead))
}
