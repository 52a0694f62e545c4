package brokertest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
)

// delayed publishes a record that is held back.
func delayed(t *testing.T, n *Node, q *broker.Queue, value string, d time.Duration, more ...func(*broker.Facts)) {
	t.Helper()
	f := broker.Facts{Delay: d.Milliseconds()}
	for _, change := range more {
		change(&f)
	}
	if err := publish(t, n, f, Batch(value), q); err != nil {
		t.Fatal(err)
	}
}

func scheduled(t *testing.T, n *Node, q *broker.Queue) (list []broker.Scheduled) {
	t.Helper()
	q.Scheduled(0, 100, func(l []broker.Scheduled, err error) {
		if list = l; err != nil {
			t.Error(err)
		}
	})
	n.Settle()
	return list
}

func TestScheduledDelivery(t *testing.T) {
	n := Start(t, Options{})
	q := n.CreateQueue("q")
	delayed(t, n, q, "late", 10*time.Second)
	delayed(t, n, q, "month", 30*24*time.Hour)
	delayed(t, n, q, "soon", 2*time.Second, func(f *broker.Facts) { f.Expires, f.TTL = true, 1000 })
	mustPublish(t, n, q, "now")
	w := work(t, n, q, nil)
	want(t, "at once", w.take(), "now")
	n.Advance(1900 * time.Millisecond)
	want(t, "not early", w.take(), "")
	n.Advance(200 * time.Millisecond)
	want(t, "in time", w.take(), "soon")
	w.close()
	n = n.Restart()
	q = n.Queue("", "q")
	if s := q.Stats(); s.Scheduled != 2 || s.Ready != 2 {
		t.Errorf("after a restart: %+v", s)
	}
	w = work(t, n, q, nil)
	n.Advance(time.Second)
	want(t, "given back", w.take(), "soon* now*")
	n.Advance(10 * time.Second)
	want(t, "late", w.take(), "late*") // below the mark
	n = n.Crash(true)
	n.Settle()
	q = n.Queue("", "q")
	w = work(t, n, q, nil)
	w.take()
	n.Advance(31 * 24 * time.Hour)
	want(t, "after a month", w.take(), "month*")
	if s := q.Stats(); s.Scheduled != 0 {
		t.Errorf("%+v", s)
	}
}

func TestScheduleCanBeChanged(t *testing.T) {
	n := Start(t, Options{})
	q := n.CreateQueue("q", func(s *broker.QueueSettings) { s.MaxPriority = 3 })
	for i := range 3 {
		delayed(t, n, q, fmt.Sprint("s", i), time.Duration(3-i)*time.Minute, func(f *broker.Facts) { f.Level = 2 })
	}
	list := scheduled(t, n, q)
	if len(list) != 3 || list[0].Offset != 2 || list[2].Offset != 0 || list[0].Level != 2 {
		t.Fatalf("scheduled: %+v", list)
	}
	answer := func(f func(broker.Scheduled, func(error)), x broker.Scheduled) (err error) {
		err = errors.New("no answer")
		f(x, func(e error) { err = e })
		n.Settle()
		return err
	}
	w := work(t, n, q, nil)
	if err := answer(q.DeliverNow, list[1]); err != nil {
		t.Error(err)
	}
	want(t, "now", w.take(), "s1")
	if err := answer(q.CancelScheduled, list[0]); err != nil {
		t.Error(err)
	}
	if err := answer(q.CancelScheduled, list[0]); !errors.Is(err, broker.ErrNotScheduled) {
		t.Errorf("the second time: %v", err)
	}
	n.Advance(5 * time.Minute)
	want(t, "the other one", w.take(), "s0")
	w.settle(broker.Accept, 0, 2)
	if q.Partition().Floor() != 3 {
		t.Errorf("floor %d", q.Partition().Floor())
	}
	p := &broker.Publish{
		Batch: Batch("x"), Targets: n.QueuesOf("", n.Create("topic", 1).Name), Facts: broker.Facts{Delay: 5}, Done: func(*broker.Publish) {},
	}
	if n.Publish(p); !errors.Is(p.Err, broker.ErrNotQueue) {
		t.Errorf("a delay in a topic: %v", p.Err)
	}
}

func TestRetryWithBackoff(t *testing.T) {
	n := Start(t, Options{})
	dead := n.CreateQueue("dead")
	q := n.CreateQueue("q", deadTo("dead", func(s *broker.QueueSettings) {
		s.Retry = broker.QueueRetry{First: 1000, Factor: 3000, Cap: 5000, Attempts: 4}
	}))
	mustPublish(t, n, q, "x")
	w := work(t, n, q, nil)
	for i, delay := range []time.Duration{1000, 3000, 5000} {
		w.settle(broker.ReleaseCounted, i, i+1)
		if at := scheduled(t, n, q); len(at) != 1 {
			t.Fatalf("attempt %d is not shown: %v", i, at)
		}
		n.Advance(delay*time.Millisecond - 10*time.Millisecond)
		if len(w.leases) != i+1 {
			t.Errorf("attempt %d came early", i+2)
		}
		n.Advance(20 * time.Millisecond)
		if len(w.leases) != i+2 {
			t.Fatalf("attempt %d did not come", i+2)
		}
	}
	want(t, "attempts", w.take(), "x x* x* x*")
	w.settle(broker.ReleaseCounted, 3, 4)
	want(t, "then it dies", history(t, n, dead), "x q/delivery_limit/1/q")
}

// What is scheduled far ahead lies in checkpoints alone, and comes in time all the
// same, also through crashes.
func TestFarSchedulesComeBackFromCheckpoints(t *testing.T) {
	n := Start(t, Options{Store: small})
	q := n.CreateQueue("q")
	const all = 400
	for i := range all {
		delayed(t, n, q, fmt.Sprint("s", i), time.Hour+time.Duration(i*7919%all)*time.Minute)
	}
	for range 3 {
		n.tidy(t)
		n.Advance(time.Minute)
	}
	for _, far := range scheduled(t, n, q)[50:52] {
		answered := errors.New("no answer")
		q.CancelScheduled(far, func(err error) { answered = err })
		n.Settle()
		if answered != nil {
			t.Fatal(answered)
		}
	}
	delayed(t, n, q, "another", 90*time.Minute)
	got := map[string]bool{}
	for range 11 {
		n = n.Crash(true)
		n.Settle()
		q = n.Queue("", "q")
		w := work(t, n, q, nil)
		n.Advance(45 * time.Minute)
		for i, v := range w.got {
			got[strings.TrimSuffix(v, "*")] = true
			w.settle(broker.Accept, i, i+1)
		}
		n.tidy(t)
	}
	if s := q.Stats(); len(got) != all-2+1 || s.Scheduled+s.Ready+s.Unacked != 0 {
		t.Errorf("%d have come, and there are %+v", len(got), s)
	}
	n.Halt()
}
