package brokertest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

func credit(n int32) func(*broker.ConsumerSpec) {
	return func(s *broker.ConsumerSpec) { s.Credit = n }
}

func TestQueueServesConsumersInTurn(t *testing.T) {
	n := Start(t, Options{})
	q := n.CreateQueue("q")
	a, b := work(t, n, q, credit(3)), work(t, n, q, credit(2))
	high := work(t, n, q, func(s *broker.ConsumerSpec) { s.Credit, s.Priority = 2, 5 })
	if err := publish(t, n, broker.Facts{}, Batch(values(0, 9)...), q); err != nil {
		t.Fatal(err)
	}
	want(t, "the highest first", high.take(), "m0 m1")
	want(t, "in turn", a.take()+"|"+b.take(), "m2 m4 m6|m3 m5")
	done := false
	a.consumer.Cancel(func() { done = true })
	b.consumer.Grant(1)
	n.Settle()
	if !done {
		t.Error("a cancel was not answered")
	}
	want(t, "cancelled", a.take()+"|"+b.take(), "|m7")
	want(t, "its leases stay", counts(q), "ready 1 unacked 8")
	a.settle(broker.Accept, 0, 3)
	want(t, "and can be settled", counts(q), "ready 1 unacked 5")
}

func TestQueueWithoutAcknowledgements(t *testing.T) {
	n := Start(t, Options{})
	q := n.CreateQueue("q")
	w := work(t, n, q, func(s *broker.ConsumerSpec) { s.NoAck = true })
	mustPublish(t, n, q, values(0, 3)...)
	want(t, "delivered", w.take(), "m0 m1 m2")
	want(t, "and settled", counts(q), "ready 0 unacked 0")
}

// get gets one record and describes the answer.
func get(t *testing.T, n *Node, q *broker.Queue, s *broker.Session, noAck bool) string {
	t.Helper()
	out := "no answer"
	q.Get(s, noAck, func(d *broker.Delivery, remaining int64, ok bool, err error) {
		switch {
		case err != nil:
			out = err.Error()
		case !ok:
			out = "none"
		default:
			out = fmt.Sprintf("%s %v, %d left", d.Record.Value, d.Redelivered, remaining)
		}
	})
	n.Settle()
	return out
}

func TestQueueGet(t *testing.T) {
	n := Start(t, Options{})
	q := n.CreateQueue("q")
	s := n.OpenSession()
	want(t, "empty", get(t, n, q, s, false), "none")
	mustPublish(t, n, q, values(0, 3)...)
	want(t, "first", get(t, n, q, s, false), "m0 false, 2 left")
	want(t, "second", get(t, n, q, s, true), "m1 false, 1 left")
	want(t, "leased", counts(q), "ready 1 unacked 1")
	s.Close(nil)
	n.Settle()
	s = n.OpenSession()
	want(t, "again", get(t, n, q, s, true), "m0 true, 1 left")
	want(t, "last", get(t, n, q, s, true), "m2 false, 0 left")
	want(t, "empty again", get(t, n, q, s, true), "none")
	want(t, "done", counts(q), "ready 0 unacked 0")
}

func TestQueueExclusiveConsumer(t *testing.T) {
	n := Start(t, Options{})
	q := n.CreateQueue("q")
	exclusive := func(s *broker.ConsumerSpec) { s.Exclusive = true }
	a := work(t, n, q, exclusive)
	if b := work(t, n, q, nil); !errors.Is(b.err, broker.ErrExclusive) {
		t.Errorf("beside an exclusive one: %v", b.err)
	}
	a.close()
	b := work(t, n, q, nil)
	if c := work(t, n, q, exclusive); b.err != nil || !errors.Is(c.err, broker.ErrExclusive) {
		t.Errorf("an exclusive one beside another: %v, %v", b.err, c.err)
	}
	if err := n.Delete("q"); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(b.ended, broker.ErrUnknownQueue) {
		t.Errorf("the consumer of a deleted queue was told %v", b.ended)
	}
	if err := publish(t, n, broker.Facts{}, Batch("x"), q); err != nil {
		t.Errorf("publishing to a deleted queue: %v", err)
	}
	if c := work(t, n, q, nil); !errors.Is(c.err, broker.ErrUnknownQueue) {
		t.Errorf("consuming from a deleted queue: %v", c.err)
	}
}

func TestPublishToManyQueues(t *testing.T) {
	n := Start(t, Options{})
	var qs []*broker.Queue
	shards := map[any]bool{}
	for i := range 6 {
		q := n.CreateQueue(fmt.Sprint("q", i))
		qs = append(qs, q)
		shards[q.Partition().Shard()] = true
	}
	if len(shards) < 2 {
		t.Fatal("all queues are in one shard")
	}
	for i := range 3 {
		if err := publish(t, n, broker.Facts{}, Batch(fmt.Sprint("all", i)), qs...); err != nil {
			t.Fatal(err)
		}
		mustPublish(t, n, qs[2], fmt.Sprint("one", i))
	}
	for i, q := range qs {
		w := work(t, n, q, nil)
		expect := "all0 all1 all2"
		if i == 2 {
			expect = "all0 one0 all1 one1 all2 one2"
		}
		want(t, fmt.Sprint("queue ", i), w.take(), expect)
	}
}

func TestQueuePurge(t *testing.T) {
	n := Start(t, Options{})
	q := n.CreateQueue("q")
	mustPublish(t, n, q, values(0, 10)...)
	w := work(t, n, q, credit(4))
	w.settle(broker.Accept, 1, 2)
	w.settle(broker.Release, 0, 1)
	var purged int64
	q.Purge(func(n int64, err error) {
		if purged = n; err != nil {
			t.Error(err)
		}
	})
	n.Settle()
	if purged != 7 {
		t.Errorf("%d records were purged, want 7", purged)
	}
	want(t, "purged", counts(q), "ready 0 unacked 2")
	w.consumer.Grant(10)
	mustPublish(t, n, q, "new")
	want(t, "afterwards", w.take(), "m0 m1 m2 m3 new")
	w.close()
	if got := work(t, n, q, nil).take(); got != "m2* m3* new*" {
		t.Errorf("after the purge %s", got)
	}
}

func TestQueueExpiry(t *testing.T) {
	n := Start(t, Options{})
	q := n.CreateQueue("q", func(s *broker.QueueSettings) { s.MessageTTL = 5000 })
	mustPublish(t, n, q, "long")
	for i, ttl := range []int64{1000, 60_000} {
		if err := publish(t, n, broker.Facts{Expires: true, TTL: ttl}, Batch(fmt.Sprint("short", i)), q); err != nil {
			t.Fatal(err)
		}
	}
	n.Advance(2 * time.Second)
	want(t, "expired behind the head", counts(q), "ready 3 unacked 0")
	w := work(t, n, q, credit(2))
	want(t, "not delivered", w.take(), "long short1")
	w.close()
	n.Advance(2 * time.Second)
	want(t, "given back", counts(q), "ready 2 unacked 0")
	n.Advance(2 * time.Second)
	want(t, "all expired", counts(q), "ready 0 unacked 0")
	if err := publish(t, n, broker.Facts{Expires: true, TTL: 0}, Batch("now or never"), q); err != nil {
		t.Fatal(err)
	}
	want(t, "nobody was there", counts(q), "ready 0 unacked 0")
	w = work(t, n, q, credit(1))
	if err := publish(t, n, broker.Facts{Expires: true, TTL: 0}, Batch("now", "never"), q); err != nil {
		t.Fatal(err)
	}
	want(t, "somebody waited for one", w.take()+", "+counts(q), "now, ready 0 unacked 1")
	w.settle(broker.Accept, 0, 1)
	w.close()
	n = n.Restart()
	q = n.Queue("", "q")
	mustPublish(t, n, q, "late")
	n = n.Restart()
	n.Advance(6 * time.Second)
	want(t, "expired after a restart", counts(n.Queue("", "q")), "ready 0 unacked 0")
}

func TestQueueOverflow(t *testing.T) {
	n := Start(t, Options{})
	drop := n.CreateQueue("drop", func(s *broker.QueueSettings) { s.MaxLength = 3 })
	mustPublish(t, n, drop, values(0, 5)...)
	want(t, "the head is dropped", counts(drop), "ready 3 unacked 0")
	w := work(t, n, drop, credit(2))
	mustPublish(t, n, drop, values(5, 8)...)
	want(t, "leases do not count", counts(drop), "ready 3 unacked 2")
	w.consumer.Grant(9)
	n.Settle()
	want(t, "what was left", w.take(), "m2 m3 m5 m6 m7")

	small := n.CreateQueue("small", func(s *broker.QueueSettings) { s.MaxBytes = 10 })
	mustPublish(t, n, small, "aaaaa", "bbbbb", "ccc")
	want(t, "by bytes", work(t, n, small, nil).take(), "bbbbb ccc")

	reject := n.CreateQueue("reject", func(s *broker.QueueSettings) { s.MaxLength, s.Overflow = 2, broker.RejectPublish })
	other := n.CreateQueue("other")
	var answers []string
	for i := range 4 {
		p := &broker.Publish{
			Batch: Batch(fmt.Sprint("r", i)), Targets: []*broker.Queue{reject, other},
			Done: func(p *broker.Publish) { answers = append(answers, fmt.Sprint(errors.Is(p.Err, broker.ErrRejected))) },
		}
		n.Publish(p)
	}
	n.Settle()
	want(t, "refused", strings.Join(answers, " "), "false false true true")
	want(t, "not here", counts(reject), "ready 2 unacked 0")
	want(t, "but there", counts(other), "ready 4 unacked 0")
}

func TestQueuePriorities(t *testing.T) {
	n := Start(t, Options{})
	q := n.CreateQueue("q", func(s *broker.QueueSettings) { s.MaxPriority = 9 })
	for i, level := range []uint8{0, 5, 9, 5, 200, 1} {
		if err := publish(t, n, broker.Facts{Level: level}, Batch(fmt.Sprint("p", level, "-", i)), q); err != nil {
			t.Fatal(err)
		}
	}
	w := work(t, n, q, credit(3))
	want(t, "the highest first", w.take(), "p9-2 p200-4 p5-1")
	w.settle(broker.Release, 2, 3)
	w.close()
	n = n.Restart()
	w = work(t, n, n.Queue("", "q"), nil)
	want(t, "all again", w.take(), "p9-2* p200-4* p5-1* p5-3* p1-5* p0-0*")
	w.settle(broker.Accept, 0, 6)
	want(t, "done", counts(n.Queue("", "q")), "ready 0 unacked 0")
}

func TestQueueSingleActiveConsumer(t *testing.T) {
	n := Start(t, Options{})
	q := n.CreateQueue("q", func(s *broker.QueueSettings) { s.SingleActive = true })
	a, b := work(t, n, q, nil), work(t, n, q, nil)
	mustPublish(t, n, q, values(0, 3)...)
	want(t, "the first has all", a.take()+"|"+b.take(), "m0 m1 m2|")
	a.settle(broker.Accept, 0, 1)
	a.close()
	want(t, "then the second", b.take(), "m1* m2*")
}

func TestQueueDeliveryLimit(t *testing.T) {
	n := Start(t, Options{})
	q := n.CreateQueue("q", func(s *broker.QueueSettings) { s.DeliveryLimit = 2 })
	mustPublish(t, n, q, "poison")
	w := work(t, n, q, nil)
	for i := range 3 {
		w.settle(broker.ReleaseCounted, i, i+1)
	}
	want(t, "three attempts", w.take(), "poison poison* poison*")
	want(t, "then it is gone", counts(q), "ready 0 unacked 0")
}

func TestQueueRetention(t *testing.T) {
	n := Start(t, Options{})
	q := n.CreateQueue("q", func(s *broker.QueueSettings) { s.Retention = time.Hour.Milliseconds() })
	forever := n.CreateQueue("forever", func(s *broker.QueueSettings) { s.Retention = -1 })
	w := work(t, n, q, nil)
	w.consume(forever, nil)
	for i := range 10 {
		batch := At(n.Clock.Now().UnixMilli(), fmt.Sprint("m", i))
		if err := publish(t, n, broker.Facts{}, batch, q, forever); err != nil {
			t.Fatal(err)
		}
		n.Advance(20 * time.Minute)
	}
	wantValues(t, n, q.Partition(), 0, values(0, 10)...) // leased, so nothing goes
	w.settle(broker.Accept, 0, len(w.leases))
	want(t, "settled", counts(q), "ready 0 unacked 0")
	n.Advance(time.Minute)
	if f := q.Partition().Floor(); f < 7 || f > 8 {
		t.Errorf("an hour is kept from offset %d", f)
	}
	wantValues(t, n, forever.Partition(), 0, values(0, 10)...)
	n = n.Restart()
	n.Advance(3 * time.Hour)
	if f := n.Queue("", "q").Partition().Floor(); f != 10 {
		t.Errorf("after a restart and three hours the log begins at %d", f)
	}
}

func TestTopicDrainedAsQueue(t *testing.T) {
	n := Start(t, Options{})
	p := n.Create("t", 1).Partitions[0]
	n.MustAppend(p, Batch("a", "b"))
	q := n.QueuesOf("", "t")[0]
	w := work(t, n, q, nil)
	n.MustAppend(p, Sequenced(4711, 0, 0, "c"))
	want(t, "drained", w.take(), "a b c")
	w.settle(broker.Accept, 0, 2)
	want(t, "settled", counts(q), "ready 0 unacked 1")
	wantValues(t, n, p, 0, "a", "b", "c")
	done := false
	p.DeleteRecords(3, func(_ record.Offset, err error) { done = err == nil })
	n.Settle()
	if s := q.Stats(); !done || s.Ready+s.Unacked > 1 {
		t.Errorf("deleted %v: %+v", done, s)
	}
	n.MustAppend(p, Batch("d"))
	n = n.Restart()
	q = n.QueuesOf("", "t")[0]
	want(t, "after a restart", work(t, n, q, nil).take(), "d*")
}

func TestQueueSmoothsDeliveries(t *testing.T) {
	n := Start(t, Options{})
	q := n.CreateQueue("q", func(s *broker.QueueSettings) { s.RateLimit, s.InFlightLimit = 10, 25 })
	mustPublish(t, n, q, values(0, 50)...)
	w := work(t, n, q, nil)
	if got := len(w.got); got > 2 {
		t.Errorf("%d at once", got)
	}
	n.Advance(time.Second)
	if got := len(w.got); got < 9 || got > 12 {
		t.Errorf("%d in the first second", got)
	}
	n.Advance(10 * time.Second)
	if got := len(w.got); got != 25 {
		t.Errorf("%d in flight", got)
	}
	w.settle(broker.Accept, 0, 10)
	n.Advance(10 * time.Second)
	if got := len(w.got); got != 35 {
		t.Errorf("%d after ten were settled", got)
	}
}

// TestSettlesShareReports settles records one by one: they are logged together a
// little later, at once if somebody waits for it, and before the broker closes.
func TestSettlesShareReports(t *testing.T) {
	n := Start(t, Options{})
	q := n.CreateQueue("q")
	mustPublish(t, n, q, values(0, 10)...)
	w := work(t, n, q, nil)
	log := n.Store.Stats().Appends.Load
	accept := func(i int) {
		t.Helper()
		n.Broker.Settle(w.session, broker.Accept, w.leases[i:i+1], nil)
		n.Settle()
	}
	before := log()
	for i := range 4 {
		accept(i)
	}
	if got := log(); got != before {
		t.Errorf("%d commits for settles that nobody waits for", got-before)
	}
	want(t, "they are settled at once", counts(q), "ready 0 unacked 6")
	n.Advance(time.Second)
	if got := log(); got != before+1 {
		t.Errorf("%d commits instead of one", got-before)
	}
	accept(4)
	w.settle(broker.Accept, 5, 6)
	if got := log(); got != before+2 {
		t.Errorf("%d commits when somebody waits", got-before)
	}
	n.Advance(time.Second)
	if got := log(); got != before+2 {
		t.Errorf("%d commits with nothing to say", got-before)
	}
	accept(6)
	n = n.Restart()
	want(t, "after a stop", work(t, n, n.Queue("", "q"), nil).take(), "m7* m8* m9*")
}

// TestQueueBehind lets a queue fall behind: publishers are to give way while its
// consumers take something and what waits can still be kept in memory.
func TestQueueBehind(t *testing.T) {
	n := Start(t, Options{})
	q := n.CreateQueue("q")
	w := work(t, n, q, credit(1))
	behind := func(what string, want bool) {
		t.Helper()
		if got := q.Behind(); got != want {
			t.Errorf("%s: behind %v", what, got)
		}
	}
	large := func(bytes int64) {
		t.Helper()
		if err := publish(t, n, broker.Facts{Bytes: bytes}, Batch("m"), q); err != nil {
			t.Fatal(err)
		}
	}
	large(9 << 20)
	large(1 << 20)
	behind("a little waits", false)
	large(9 << 20)
	behind("more waits", true)
	n.Advance(time.Second)
	large(1)
	behind("the consumer does not come back", false)
	w.settle(broker.Accept, 0, 1)
	w.consumer.Grant(1)
	n.Settle()
	behind("it does", true)
	large(16 << 20)
	behind("it is too late", false)
}

func TestConsumerTimeout(t *testing.T) {
	n := Start(t, Options{})
	q := n.CreateQueue("q", func(s *broker.QueueSettings) { s.ConsumerTimeout = 60_000 })
	mustPublish(t, n, q, "a", "b")
	slow := work(t, n, q, credit(1))
	var timedOut *broker.Queue
	slow.session.OnTimeout(func(q *broker.Queue) { timedOut = q })
	good := work(t, n, q, credit(1))
	n.Advance(30 * time.Second)
	good.settle(broker.Accept, 0, 1)
	mustPublish(t, n, q, "c")
	good.consumer.Grant(1)
	n.Advance(29 * time.Second)
	if slow.ended != nil {
		t.Errorf("ended too early: %v", slow.ended)
	}
	n.Advance(15 * time.Second)
	if !errors.Is(slow.ended, broker.ErrConsumerTimeout) || good.ended != nil || timedOut != q {
		t.Errorf("after the timeout: %v, %v", slow.ended, good.ended)
	}
	want(t, "given back", counts(q), "ready 1 unacked 1")
	good.consumer.Grant(1)
	n.Settle()
	want(t, "to the other", good.take(), "b c a*")
}

// TestColdQueue reads a backlog that has left memory: beside the loop, and only
// then.
func TestColdQueue(t *testing.T) {
	reads := 0
	var waiting []func()
	n := Start(t, Options{
		Store:  func(o *store.Options) { o.TailBytes = 16 << 10 },
		Broker: func(o *broker.Options) { o.Background = func(f func()) { reads++; waiting = append(waiting, f) } },
	})
	q := n.CreateQueue("q", func(s *broker.QueueSettings) { s.MaxPriority = 1 })
	const records = 2000 // of each level several pieces, which are read ahead
	for i := range records {
		body := fmt.Sprintf("%d%s", i, strings.Repeat("x", 2000))
		if err := publish(t, n, broker.Facts{Level: uint8(i % 2)}, Batch(body), q); err != nil {
			t.Fatal(err)
		}
	}
	if reads > 0 {
		t.Errorf("%d reads beside the loop while nobody consumed", reads)
	}
	var got []int
	s := n.OpenSession()
	q.Consume(&broker.ConsumerSpec{Session: s, Credit: -1, NoAck: true, Deliver: func(ds []broker.Delivery) {
		for i := range ds {
			var v int
			if _, err := fmt.Sscanf(string(ds[i].Record.Value), "%dx", &v); err != nil {
				t.Error(err)
			}
			got = append(got, v)
		}
	}}, func(_ *broker.Consumer, err error) {
		if err != nil {
			t.Error(err)
		}
	})
	n.Settle()
	for len(waiting) > 0 {
		f := waiting[0]
		waiting = waiting[1:]
		f()
		n.Settle()
	}
	if len(got) != records || reads < 10 || reads > records/50 {
		t.Fatalf("%d records by %d reads", len(got), reads)
	}
	for i, v := range got {
		if want := 2*(i%(records/2)) + 1 - i/(records/2); v != want {
			t.Fatalf("record %d is %d, want %d", i, v, want)
		}
	}
	want(t, "done", counts(q), "ready 0 unacked 0")
}

// TestQueuesOfTenantsShareAShard: a queue with a backlog and a greedy consumer does
// not keep another tenant's message in the same shard waiting until it is empty.
func TestQueuesOfTenantsShareAShard(t *testing.T) {
	n := Start(t, Options{})
	if err := n.Ask(func(done func(error)) {
		n.CreateTenant("other", broker.TenantInfo{}, func(_ bool, err error) { done(err) })
	}); err != nil {
		t.Fatal(err)
	}
	deep := n.CreateQueue("deep")
	var q *broker.Queue
	for i := 0; q == nil || q.Partition().Shard() != deep.Partition().Shard(); i++ {
		var err error
		if q, _, err = n.Declare(broker.QueueSpec{Tenant: "other", Name: fmt.Sprint("q", i), Durable: true}); err != nil {
			t.Fatal(err)
		}
	}
	const backlog = 5000
	for i := 0; i < backlog; i += 500 {
		if err := publish(t, n, broker.Facts{}, Batch(values(i, i+500)...), deep); err != nil {
			t.Fatal(err)
		}
	}
	mustPublish(t, n, q, "m")
	greedy, before := 0, -1
	consume := func(q *broker.Queue, deliver func([]broker.Delivery)) {
		q.Consume(&broker.ConsumerSpec{Session: n.OpenSession(), NoAck: true, Credit: -1, Deliver: deliver}, func(_ *broker.Consumer, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	consume(deep, func(ds []broker.Delivery) { greedy += len(ds) })
	consume(q, func([]broker.Delivery) { before = greedy })
	n.Settle()
	if before < 0 || before > backlog/2 || greedy != backlog {
		t.Errorf("delivered after %d of %d", before, greedy)
	}
}

// TestQueueGivesWhatHasLeftMemory reads records of what is in memory, and gives some
// of them when that has moved on: what was read stays as it is until it is given.
func TestQueueGivesWhatHasLeftMemory(t *testing.T) {
	n := Start(t, Options{Store: func(o *store.Options) { o.WALFileSize, o.TailBytes = 256<<10, 128<<10 }})
	q := n.CreateQueue("q", func(*broker.QueueSettings) {})
	body := func(i int) string { return strings.Repeat(fmt.Sprintf("%06d", i), 120) }
	fill := func(from, to int) {
		for i := from; i < to; i++ {
			mustPublish(t, n, q, body(i))
		}
	}
	w := work(t, n, q, func(s *broker.ConsumerSpec) { s.Credit, s.NoAck = 0, true })
	fill(0, 120)
	w.consumer.Grant(80) // reads more and more at a time
	n.Settle()
	fill(120, 1200)
	for i := 80; i < 1200; i++ {
		w.consumer.Grant(1)
		n.Settle()
	}
	if len(w.got) != 1200 {
		t.Fatalf("%d records", len(w.got))
	}
	for i, v := range w.got {
		if v != body(i) {
			t.Fatalf("record %d is %.60q", i, v)
		}
	}
}
