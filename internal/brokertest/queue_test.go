package brokertest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/polylog-mq/polylog/internal/broker"
)

// publish publishes one batch and waits for the answer.
func publish(t *testing.T, n *Node, facts broker.Facts, batch []byte, targets ...*broker.Queue) error {
	t.Helper()
	answered := false
	p := &broker.Publish{Batch: batch, Targets: targets, Facts: facts, Done: func(*broker.Publish) { answered = true }}
	n.Publish(p)
	n.Settle()
	if !answered {
		t.Fatal("a publish was not answered")
	}
	return p.Err
}

func mustPublish(t *testing.T, n *Node, q *broker.Queue, values ...string) {
	t.Helper()
	for _, v := range values {
		if err := publish(t, n, broker.Facts{Bytes: int64(len(v))}, Batch(v), q); err != nil {
			t.Fatal(err)
		}
	}
}

// worker is a consumer that notes what it gets.
type worker struct {
	t        *testing.T
	n        *Node
	session  *broker.Session
	consumer *broker.Consumer
	err      error
	got      []string // a value, with "*" if it was redelivered
	leases   []broker.LeaseID
	ended    error
}

func work(t *testing.T, n *Node, q *broker.Queue, change func(*broker.ConsumerSpec)) *worker {
	t.Helper()
	w := &worker{t: t, n: n, session: n.OpenSession()}
	w.consume(q, change)
	return w
}

func (w *worker) consume(q *broker.Queue, change func(*broker.ConsumerSpec)) {
	w.t.Helper()
	spec := &broker.ConsumerSpec{
		Session: w.session, Credit: -1, Deliver: w.deliver,
		Cancelled: func(err error) { w.ended = err },
	}
	if change != nil {
		change(spec)
	}
	answered := false
	q.Consume(spec, func(c *broker.Consumer, err error) { answered, w.consumer, w.err = true, c, err })
	w.n.Settle()
	if !answered {
		w.t.Fatal("a consume was not answered")
	}
}

func (w *worker) deliver(ds []broker.Delivery) {
	for i := range ds {
		d := &ds[i]
		v := string(d.Record.Value)
		if d.Redelivered {
			v += "*"
		}
		w.got = append(w.got, v)
		w.leases = append(w.leases, d.Lease)
	}
}

// take returns what was delivered since the last time.
func (w *worker) take() string {
	got := strings.Join(w.got, " ")
	w.got = nil
	return got
}

// settle settles the leases from i to j.
func (w *worker) settle(v broker.Verdict, i, j int) {
	w.t.Helper()
	answered := false
	w.n.Broker.Settle(w.session, v, w.leases[i:j], func(err error) {
		answered = true
		if err != nil {
			w.t.Errorf("settling: %v", err)
		}
	})
	w.n.Settle()
	if !answered {
		w.t.Fatal("a settle was not answered")
	}
}

func (w *worker) close() {
	w.t.Helper()
	closed := false
	w.session.Close(func() { closed = true })
	w.n.Settle()
	if !closed {
		w.t.Fatal("a session does not end")
	}
}

func want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func counts(q *broker.Queue) string {
	s := q.Stats()
	return fmt.Sprintf("ready %d unacked %d", s.Ready, s.Unacked)
}

func values(from, to int) []string {
	var vs []string
	for i := from; i < to; i++ {
		vs = append(vs, fmt.Sprintf("m%d", i))
	}
	return vs
}

func TestQueueDeliversAndSettles(t *testing.T) {
	n := Start(t, Options{})
	q := n.CreateQueue("q")
	mustPublish(t, n, q, values(0, 3)...)
	want(t, "published", counts(q), "ready 3 unacked 0")
	w := work(t, n, q, func(s *broker.ConsumerSpec) { s.Credit = 2 })
	want(t, "first two", w.take(), "m0 m1")
	want(t, "two leased", counts(q), "ready 1 unacked 2")
	w.settle(broker.Accept, 0, 1)
	want(t, "no credit", w.take(), "")
	w.consumer.Grant(5)
	n.Settle()
	want(t, "the third", w.take(), "m2")
	mustPublish(t, n, q, "m3")
	want(t, "at once", w.take(), "m3")
	w.settle(broker.Accept, 1, 4)
	want(t, "all settled", counts(q), "ready 0 unacked 0")
	if f := q.Partition().Floor(); f != 4 {
		t.Errorf("the log begins at %d, want 4", f)
	}
}

func TestQueueGivesBackInOrder(t *testing.T) {
	n := Start(t, Options{})
	q := n.CreateQueue("q")
	mustPublish(t, n, q, values(0, 5)...)
	a := work(t, n, q, func(s *broker.ConsumerSpec) { s.Credit = 4 })
	want(t, "first", a.take(), "m0 m1 m2 m3")
	a.settle(broker.Accept, 1, 2)
	b := work(t, n, q, func(s *broker.ConsumerSpec) { s.Credit = 1 })
	want(t, "the rest", b.take(), "m4")
	a.settle(broker.Release, 2, 3)
	a.close()
	want(t, "given back", counts(q), "ready 3 unacked 1")
	b.consumer.Grant(10)
	n.Settle()
	want(t, "in their order", b.take(), "m0* m2* m3*")
	// A late verdict of the ended session is nobody's.
	n.Broker.Settle(a.session, broker.Accept, a.leases, nil)
	n.Settle()
	want(t, "late", counts(q), "ready 0 unacked 4")
	b.settle(broker.Accept, 0, 4)
	want(t, "done", counts(q), "ready 0 unacked 0")
}

func TestQueueSurvives(t *testing.T) {
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprint("crash ", crash), func(t *testing.T) {
			n := Start(t, Options{})
			q := n.CreateQueue("q")
			mustPublish(t, n, q, values(0, 2000)...)
			w := work(t, n, q, func(s *broker.ConsumerSpec) { s.Credit = 300 })
			for i := 100; i < 300; i += 2 {
				w.settle(broker.Accept, i, i+1)
			}
			w.settle(broker.Accept, 0, 50)
			if crash {
				n = n.Crash(true)
				n.Settle()
			} else {
				n = n.Restart()
			}
			q = n.Queue("", "q")
			want(t, "after it", counts(q), "ready 1850 unacked 0")
			w = work(t, n, q, nil)
			if len(w.got) != 1850 || w.got[0] != "m50*" || w.got[50] != "m101*" || !slices.Contains(w.got, "m1999") {
				t.Errorf("%d records, %v", len(w.got), w.got[:min(60, len(w.got))])
			}
			w.settle(broker.Accept, 0, len(w.leases))
			want(t, "done", counts(q), "ready 0 unacked 0")
			if f := q.Partition().Floor(); f != 2000 {
				t.Errorf("the log begins at %d", f)
			}
		})
	}
}
