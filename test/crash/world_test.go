package crash

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/polylog-mq/polylog/test/harness"
)

const (
	// topic takes all that producers can write, and a group reads it. The
	// records of orders come slowly; transactions copy them to ledger.
	topic, orders, ledger = "crash", "orders", "ledger"

	partitions = 6
	producers  = 10 // of topic
	clerks     = 2  // producers of orders
	readers    = 3
	copiers    = 2

	// sessionTime is how long a group waits for a silent member.
	sessionTime = 6 * time.Second
	// settle is how long answers that a server gave before it froze may be on
	// their way.
	settle = 300 * time.Millisecond
)

// world is a server under load.
type world struct {
	t       *testing.T
	server  *harness.Server
	written *history // of topic
	ordered *history // of orders
	crew    *crew
	copied  tally

	stopProducing, stopReading context.CancelFunc
	producing, reading         chan error
	slowest                    time.Duration // restart
}

// begin starts a server and the load.
func begin(t *testing.T) *world {
	w := &world{
		t: t, server: harness.Start(t), written: newHistory(), ordered: newHistory(), crew: newCrew(),
		producing: make(chan error, producers+clerks), reading: make(chan error, readers+copiers),
	}
	address := w.server.Kafka()
	for _, name := range []string{topic, orders, ledger} {
		createTopic(t, address, name)
	}
	writing, stopProducing := context.WithCancel(context.Background())
	reading, stopReading := context.WithCancel(context.Background())
	w.stopProducing, w.stopReading = stopProducing, stopReading
	t.Cleanup(stopReading)
	t.Cleanup(stopProducing)
	for i := range producers {
		go func() { w.producing <- produce(writing, address, topic, i+1, 500, w.written) }()
	}
	for i := range clerks {
		go func() { w.producing <- produce(writing, address, orders, i+1, 1, w.ordered) }()
	}
	for range readers {
		go func() { w.reading <- w.crew.read(reading, address) }()
	}
	for i := range copiers {
		go func() { w.reading <- copyOrders(reading, address, i, &w.copied) }()
	}
	return w
}

// progress waits until n more records of topic are acknowledged.
func (w *world) progress(round, n int) {
	w.t.Helper()
	select {
	case <-w.written.after(n):
	case err := <-w.producing:
		w.t.Fatalf("round %d: a producer gave up: %v", round, err)
	case err := <-w.reading:
		w.t.Fatalf("round %d: a consumer gave up: %v", round, err)
	case <-time.After(2 * time.Minute):
		w.t.Fatalf("round %d: no progress", round)
	}
}

// everyone waits until the group has been given something more, and another
// transaction has ended.
func (w *world) everyone(round int) {
	w.t.Helper()
	given, done := w.crew.delivered(), w.copied.done.Load()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(2 * time.Minute)
	for w.crew.delivered() == given || w.copied.done.Load() == done {
		select {
		case err := <-w.reading:
			w.t.Fatalf("round %d: a consumer gave up: %v", round, err)
		case <-limit:
			w.t.Fatalf("round %d: the consumers get nothing", round)
		case <-tick.C:
		}
	}
}

// still waits while the server is frozen, and makes sure that it is.
func (w *world) still(pause time.Duration) {
	w.t.Helper()
	<-time.After(settle)
	before := w.written.count()
	<-time.After(pause - settle)
	if n := w.written.count() - before; n > 0 {
		w.t.Errorf("a frozen server acknowledged %d records", n)
	}
}

// restart starts the server after a kill, and makes sure that no group has
// gone back behind a commit that was answered.
func (w *world) restart() {
	w.t.Helper()
	w.server.Restart()
	w.slowest = max(w.slowest, w.server.Took())
	acked := w.crew.commits() // first, since more are made meanwhile
	now := committed(w.t, w.server.Kafka())
	for p, at := range acked {
		if now[p] < at {
			w.t.Errorf("the group had committed offset %d of partition %d; after a restart it is at %d", at, p, now[p])
		}
	}
}

// end stops the load, lets the consumers finish, and checks everything.
func (w *world) end() {
	w.t.Helper()
	w.stopProducing()
	for range producers + clerks {
		if err := <-w.producing; err != nil {
			w.t.Fatal(err)
		}
	}
	address := w.server.Kafka()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	c, err := client(address)
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	w.settled(ctx, "readers", endOffsets(ctx, w.t, c, topic))
	w.settled(ctx, "copiers", endOffsets(ctx, w.t, c, orders))
	w.stopReading()
	for range readers + copiers {
		if err := <-w.reading; err != nil {
			w.t.Fatal(err)
		}
	}
	records := readAll(w.t, address, topic)
	acked := w.written.check(w.t, records)
	w.crew.check(w.t, records)
	source := readAll(w.t, address, orders)
	w.ordered.check(w.t, source)
	copies := compare(w.t, source, readAll(w.t, address, ledger))
	w.t.Logf("%d records acknowledged, all found once and in order, all delivered to the group (%d times in all); "+
		"%d of them copied exactly once by %d transactions, %d more were given up",
		acked, w.crew.delivered(), copies, w.copied.done.Load(), w.copied.aborted.Load())
	w.server.Stop()
}

// settled waits until a group has committed the ends of a topic.
func (w *world) settled(ctx context.Context, group string, ends map[int32]int64) {
	w.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		at := groupOffsets(w.t, w.server.Kafka(), group)
		behind := int64(0)
		for p, end := range ends {
			if at[p] > end {
				w.t.Fatalf("%s have committed offset %d of partition %d, which ends at %d", group, at[p], p, end)
			}
			behind += end - at[p]
		}
		if behind == 0 {
			return
		}
		select {
		case err := <-w.reading:
			w.t.Fatalf("a consumer gave up: %v", err)
		case <-ctx.Done():
			w.t.Fatalf("%s do not get on: %d records are left of %v", group, behind, ends)
		case <-tick.C:
		}
	}
}

// compare holds the copies against the source: the same records in the same
// order.
func compare(t errorer, source, copies map[int32][]found) (n int) {
	for p := range int32(partitions) {
		for i, r := range source[p] {
			if i >= len(copies[p]) {
				t.Errorf("partition %d: %d orders, %d copies", p, len(source[p]), len(copies[p]))
				break
			}
			if copies[p][i].payload != r.payload {
				t.Errorf("partition %d: copy %d is %+v, want %+v", p, i, copies[p][i].payload, r.payload)
				break
			}
			n++
		}
		if len(copies[p]) > len(source[p]) {
			t.Errorf("partition %d: %d orders, %d copies", p, len(source[p]), len(copies[p]))
		}
	}
	return n
}

// retriable reports whether a consumer may go on after an error: the server was
// away, or the group has moved on.
func retriable(err error) bool {
	if _, known := errors.AsType[*kerr.Error](err); known {
		return kerr.IsRetriable(err) || errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.UnknownMemberID) ||
			errors.Is(err, kerr.RebalanceInProgress) || errors.Is(err, kerr.FencedInstanceID)
	}
	return true
}

// fatal returns the first error of a poll that a consumer cannot go on after.
func fatal(fetches kgo.Fetches) (err error) {
	fetches.EachError(func(topic string, p int32, e error) {
		if err == nil && !errors.Is(e, context.Canceled) && !retriable(e) {
			err = fmt.Errorf("reading partition %d of %s: %w", p, topic, e)
		}
	})
	return err
}
