package brokertest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/route"
)

// deadTo lets a queue dead-letter to another through the default exchange.
func deadTo(name string, more ...func(*broker.QueueSettings)) func(*broker.QueueSettings) {
	return func(s *broker.QueueSettings) {
		s.DeadLetter, s.DeadLetterKey = true, name
		for _, f := range more {
			f(s)
		}
	}
}

// history drains a queue and returns the histories of its records.
func history(t *testing.T, n *Node, q *broker.Queue) string {
	t.Helper()
	var out []string
	s := n.OpenSession()
	q.Consume(&broker.ConsumerSpec{Session: s, Credit: -1, Deliver: func(ds []broker.Delivery) {
		for i := range ds {
			deaths, err := broker.Deaths(&ds[i].Record)
			if err != nil {
				t.Error(err)
			}
			line := string(ds[i].Record.Value)
			for _, d := range deaths {
				line += fmt.Sprintf(" %s/%s/%d/%s", d.Queue, d.Reason, d.Count, strings.Join(d.Keys, "+"))
			}
			out = append(out, line)
		}
		var ids []broker.LeaseID
		for i := range ds {
			ids = append(ids, ds[i].Lease)
		}
		n.Broker.Settle(s, broker.Accept, ids, nil)
	}}, func(_ *broker.Consumer, err error) {
		if err != nil {
			t.Error(err)
		}
	})
	n.Settle()
	s.Close(nil)
	n.Settle()
	return strings.Join(out, ", ")
}

func TestDeadLetters(t *testing.T) {
	n := Start(t, Options{})
	dead := n.CreateQueue("dead")
	var sources []*broker.Queue
	here, there := 0, 0
	for i := range 5 {
		q := n.CreateQueue(fmt.Sprint("q", i), deadTo("dead", func(s *broker.QueueSettings) {
			switch i {
			case 1:
				s.MessageTTL = 1000
			case 2:
				s.MaxLength = 1
			case 3:
				s.DeliveryLimit = 0
			}
		}))
		if q.Partition().Shard() == dead.Partition().Shard() {
			here++
		} else {
			there++
		}
		sources = append(sources, q)
	}
	if here == 0 || there == 0 {
		t.Fatalf("%d queues in the target's shard, %d elsewhere", here, there)
	}
	for i, q := range sources {
		mustPublish(t, n, q, fmt.Sprint("a", i), fmt.Sprint("b", i))
	}
	n.Settle()
	want(t, "too long", history(t, n, dead), "a2 q2/maxlen/1/q2")
	n.Advance(2 * time.Second)
	want(t, "expired", history(t, n, dead), "a1 q1/expired/1/q1, b1 q1/expired/1/q1")
	w := work(t, n, sources[0], nil)
	w.settle(broker.Reject, 0, 2)
	want(t, "rejected", history(t, n, dead), "a0 q0/rejected/1/q0, b0 q0/rejected/1/q0")
	w = work(t, n, sources[3], credit(1))
	w.settle(broker.ReleaseCounted, 0, 1)
	want(t, "given back too often", history(t, n, dead), "a3 q3/delivery_limit/1/q3")
	for _, i := range []int{0, 1} {
		if s := sources[i].Stats(); s.Ready+s.Unacked+s.Dying != 0 {
			t.Errorf("queue %d still has %+v", i, s)
		}
	}
}

func TestDeadLettersGoRoundUntilNobodyRejectsThem(t *testing.T) {
	n := Start(t, Options{})
	n.CreateQueue("work", deadTo("wait"))
	wait := n.CreateQueue("wait", deadTo("work", func(s *broker.QueueSettings) { s.MessageTTL = 1000 }))
	q := n.Queue("", "work")
	mustPublish(t, n, q, "x")
	for i := range 3 {
		w := work(t, n, q, nil)
		if len(w.leases) != 1 {
			t.Fatalf("round %d: %v", i, w.got)
		}
		w.settle(broker.Reject, 0, 1)
		w.close()
		want(t, "waiting", counts(wait), "ready 1 unacked 0")
		n.Advance(2 * time.Second)
	}
	want(t, "counted", history(t, n, q), "x wait/expired/3/wait work/rejected/3/work")
	// Without a rejection on the way a record is dropped where it would come again.
	loop := n.CreateQueue("loop", deadTo("loop", func(s *broker.QueueSettings) { s.MessageTTL = 1000 }))
	mustPublish(t, n, loop, "y")
	n.Advance(5 * time.Second)
	want(t, "dropped", counts(loop), "ready 0 unacked 0")
}

func TestDeadLettersSurvive(t *testing.T) {
	for seed := range 6 {
		n := Start(t, Options{Seed: uint64(seed + 1)})
		n.CreateQueue("dead")
		q := n.CreateQueue("q", deadTo("dead"))
		if seed%2 == 1 {
			q = n.CreateQueue("r", deadTo("dead"))
		}
		name := q.Name()
		mustPublish(t, n, q, values(0, 20)...)
		w := work(t, n, q, nil)
		n.Broker.Settle(w.session, broker.Reject, w.leases, nil)
		for range seed * 3 {
			n.Step()
		}
		n = n.Crash(true)
		n.Settle()
		n.Advance(time.Second)
		// What the crash undid is rejected again.
		w = work(t, n, n.Queue("", name), nil)
		w.settle(broker.Reject, 0, len(w.leases))
		n.Advance(time.Second)
		var letters []string
		for _, l := range strings.Split(history(t, n, n.Queue("", "dead")), ", ") {
			letters = append(letters, strings.Fields(l)[0])
		}
		want(t, fmt.Sprint("seed ", seed), strings.Join(letters, " "), strings.Join(values(0, 20), " "))
	}
}

func TestRefusedPublishIsDeadLettered(t *testing.T) {
	n := Start(t, Options{})
	dead := n.CreateQueue("dead")
	q := n.CreateQueue("q", deadTo("dead", func(s *broker.QueueSettings) {
		s.MaxLength, s.Overflow = 1, broker.RejectPublishDeadLetter
	}))
	mustPublish(t, n, q, "a")
	if err := publish(t, n, broker.Facts{}, Batch("b"), q); !errors.Is(err, broker.ErrRejected) {
		t.Errorf("a full queue answered %v", err)
	}
	want(t, "refused", history(t, n, dead), "b q/maxlen/1/q")
}

// TestDeadLetterKeepsTheRecord looks at the bytes.
func TestDeadLetterKeepsTheRecord(t *testing.T) {
	n := Start(t, Options{})
	n.CreateQueue("dead")
	q := n.CreateQueue("q", deadTo("dead"))
	var b record.Builder
	b.Reset(record.Template(record.None))
	r := record.Record{Timestamp: 77, Key: []byte("key"), Value: []byte("value")}
	r.Headers.Add(broker.HeaderExchange, []byte("ex"))
	r.Headers.Add(broker.HeaderRoutingKey, []byte("rk"))
	r.Headers.Add("other", nil)
	b.Add(r)
	batch, err := b.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := publish(t, n, broker.Facts{}, batch, q); err != nil {
		t.Fatal(err)
	}
	w := work(t, n, q, nil)
	w.settle(broker.Reject, 0, 1)
	got := "nothing"
	n.Queue("", "dead").Get(w.session, true, func(d *broker.Delivery, _ int64, ok bool, err error) {
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		got = fmt.Sprintf("%d %s %s", d.Record.Timestamp, d.Record.Key, d.Record.Value)
		for name, value := range d.Record.Headers.All() {
			if string(name) != broker.HeaderDeaths {
				got += fmt.Sprintf(" %s=%q", name, value)
			}
		}
		deaths, _ := broker.Deaths(&d.Record)
		got += fmt.Sprint(" ", deaths[0].Exchange, deaths[0].Keys)
	})
	n.Settle()
	want(t, "the letter", got, `77 key value amqp.exchange="" amqp.routing-key="dead" other="" ex[rk]`)
}

// TestLettersToATopicArriveOnce: a topic that nobody consumes as a queue
// remembers what has come to it, so that a move whose answer is lost with the
// leader is not made twice.
func TestLettersToATopicArriveOnce(t *testing.T) {
	for steps := range 24 {
		n := Start(t, Options{Seed: uint64(steps + 1)})
		topic := n.Create("events", 1)
		name := ""
		for i := 0; name == ""; i++ {
			if q := n.CreateQueue(fmt.Sprint("q", i), deadTo("events")); q.Partition().Shard() != topic.Partitions[0].Shard() {
				name = q.Name()
			}
		}
		mustPublish(t, n, n.Queue("", name), values(0, 20)...)
		w := work(t, n, n.Queue("", name), nil)
		n.Broker.Settle(w.session, broker.Reject, w.leases, nil)
		for range steps {
			n.Step()
		}
		n = n.Crash(true)
		n.Settle()
		n.Advance(time.Second)
		w = work(t, n, n.Queue("", name), nil) // what the crash undid is rejected again
		w.settle(broker.Reject, 0, len(w.leases))
		n.Advance(time.Second)
		p := n.Broker.Topic("events").Partitions[0]
		want(t, fmt.Sprint("after ", steps, " steps"), strings.Join(n.Values(p, 0), " "), strings.Join(values(0, 20), " "))
	}
}

// TestPoliciesForTopicsThatWorkersDrain: a policy made before or after the first
// worker counts, a restart keeps it, and without it a rejected record just goes.
// The topic itself keeps everything.
func TestPoliciesForTopicsThatWorkersDrain(t *testing.T) {
	n := Start(t, Options{})
	n.CreateQueue("dead")
	n.Create("events", 2)
	policy := &broker.Policy{Name: "p", Pattern: "^events$", ApplyTo: route.ToQueues, Definition: route.AppendText(route.AppendInteger(
		route.AppendText(nil, "dead-letter-exchange", ""), "expires", 1000), "dead-letter-routing-key", "dead")}
	reject := func(partition int, value string) {
		t.Helper()
		q := n.QueuesOf("/", "events")[partition]
		n.MustAppend(q.Partition(), Batch(value))
		w := work(t, n, q, nil)
		w.settle(broker.Reject, 0, len(w.leases))
		w.close()
		n.Settle()
	}
	reject(0, "a")
	want(t, "no policy", history(t, n, n.Queue("", "dead")), "")
	if err := n.Ask(func(done func(error)) { n.PutPolicy(policy, func(_ bool, err error) { done(err) }) }); err != nil {
		t.Fatal(err)
	}
	reject(0, "b")
	reject(1, "c")
	want(t, "under a policy", history(t, n, n.Queue("", "dead")), "b events/rejected/1/events, c events/rejected/1/events")
	n.Advance(time.Second) // what nobody waits for is logged a little later
	n = n.Crash(false)
	n.Settle()
	n.Advance(time.Minute) // the policy's expiry is no business of a topic
	reject(0, "d")
	want(t, "after a crash", history(t, n, n.Queue("", "dead")), "d events/rejected/1/events")
	if err := n.Ask(func(done func(error)) { n.DeletePolicy("/", "p", false, done) }); err != nil {
		t.Fatal(err)
	}
	reject(1, "e")
	want(t, "the policy is gone", history(t, n, n.Queue("", "dead")), "")
	for i, values := range []string{"a b d", "c e"} {
		want(t, "kept", strings.Join(n.Values(n.Broker.Topic("events").Partitions[i], 0), " "), values)
	}
}
