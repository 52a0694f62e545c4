package brokertest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
)

// lent is what receives and claims have got, by value.
type lent struct {
	t      *testing.T
	n      *Node
	leases map[string]broker.LeaseID
}

func lending(t *testing.T, n *Node) *lent {
	return &lent{t: t, n: n, leases: map[string]broker.LeaseID{}}
}

// describe notes the leases and says what was got: a value, "*" if it was
// redelivered, and how often it was given back.
func (l *lent) describe(ds []broker.Delivery) string {
	var got []string
	for _, d := range ds {
		v := string(d.Record.Value)
		if v == "" {
			v = fmt.Sprint("#", d.Record.Offset)
		}
		l.leases[v] = d.Lease
		if d.Redelivered {
			v += "*"
		}
		if d.Attempts > 0 {
			v += fmt.Sprint(d.Attempts)
		}
		got = append(got, v)
	}
	return strings.Join(got, " ")
}

// receive receives and returns what it got: "waits" if it has no answer yet.
func (l *lent) receive(q *broker.Queue, most int, ms int64, change func(*broker.ReceiveSpec)) *string {
	l.t.Helper()
	out := "waits"
	s := &broker.ReceiveSpec{Max: most, For: ms, Done: func(ds []broker.Delivery, err error) {
		if out = l.describe(ds); err != nil {
			out = err.Error()
		}
	}}
	if change != nil {
		change(s)
	}
	q.Receive(s)
	l.n.Settle()
	return &out
}

// answers describes what was answered for each lease.
func (l *lent) answers(ask func([]broker.LeaseID, func([]error, error)), values ...string) string {
	l.t.Helper()
	var ids []broker.LeaseID
	for _, v := range values {
		ids = append(ids, l.leases[v])
	}
	out := "no answer"
	ask(ids, func(each []error, err error) {
		out = ""
		for i, e := range each {
			if e != nil {
				out += values[i] + ": " + e.Error() + ". "
			}
		}
		if err != nil {
			out = err.Error()
		}
	})
	l.n.Settle()
	return out
}

func (l *lent) settle(q *broker.Queue, v broker.Verdict, values ...string) string {
	l.t.Helper()
	return l.answers(func(ids []broker.LeaseID, done func([]error, error)) { q.SettleLent(v, false, ids, done) }, values...)
}

func (l *lent) extend(q *broker.Queue, ms int64, values ...string) string {
	l.t.Helper()
	return l.answers(func(ids []broker.LeaseID, done func([]error, error)) { q.Extend(ids, ms, done) }, values...)
}

func TestReceiveForATime(t *testing.T) {
	n := Start(t, Options{})
	q := n.CreateQueue("q")
	l := lending(t, n)
	want(t, "empty", *l.receive(q, 1, 1000, nil), "")
	mustPublish(t, n, q, values(0, 4)...)
	want(t, "two", *l.receive(q, 2, 1000, nil), "m0 m1")
	want(t, "the rest", *l.receive(q, 10, 5000, nil), "m2 m3")
	want(t, "leased", counts(q), "ready 0 unacked 4")
	want(t, "settled", l.settle(q, broker.Accept, "m1", "m2"), "")
	n.Advance(900 * time.Millisecond)
	want(t, "not yet", *l.receive(q, 10, 1000, nil), "")
	want(t, "longer", l.extend(q, 10_000, "m3"), "")
	n.Advance(200 * time.Millisecond)
	want(t, "its time has passed", counts(q), "ready 1 unacked 1")
	want(t, "too late to extend", l.extend(q, 1000, "m0"), "m0: the time of the lease has passed. ")
	first := l.leases["m0"]
	want(t, "again", *l.receive(q, 10, 1000, nil), "m0*1")
	l.leases["first"] = first
	want(t, "the first owner", l.settle(q, broker.Accept, "first", "m1"), "first: the lease is somebody else's. m1: the record is settled. ")
	want(t, "the second owner", l.settle(q, broker.Accept, "m0"), "")
	n.Advance(6 * time.Second)
	want(t, "extended", counts(q), "ready 0 unacked 1")
	want(t, "given back", l.extend(q, 0, "m3"), "")
	want(t, "at once", *l.receive(q, 1, 1000, nil), "m3*1")
	n.Advance(1100 * time.Millisecond)
	want(t, "late, and nobody else has it", l.settle(q, broker.Accept, "m3"), "")
	want(t, "done", counts(q), "ready 0 unacked 0")
	if f := q.Partition().Floor(); f != 4 {
		t.Errorf("the log begins at %d", f)
	}
}

func TestReceiveWaits(t *testing.T) {
	n := Start(t, Options{})
	q := n.CreateQueue("q")
	l := lending(t, n)
	wait := func(s *broker.ReceiveSpec) { s.Wait = 20 * time.Second }
	a, b := l.receive(q, 5, 1000, wait), l.receive(q, 5, 1000, wait)
	n.Advance(10 * time.Second)
	want(t, "nothing there", *a+" "+*b, "waits waits")
	mustPublish(t, n, q, "m0")
	want(t, "the first who waits has it", *a+" "+*b, "m0 waits")
	n.Advance(1100 * time.Millisecond)
	want(t, "it came back", *b, "m0*1")
	c := l.receive(q, 5, 1000, wait)
	n.Advance(500 * time.Millisecond)
	want(t, "waits", *c, "waits")
	l.settle(q, broker.Accept, "m0")
	n.Advance(20 * time.Second)
	want(t, "in vain", *c, "")
	d := l.receive(q, 5, 1000, wait)
	if err := n.Delete("q"); err != nil {
		t.Fatal(err)
	}
	want(t, "deleted", *d, broker.ErrUnknownQueue.Error())
}

func TestLentSurvives(t *testing.T) {
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprint("crash ", crash), func(t *testing.T) {
			n := Start(t, Options{})
			q := n.CreateQueue("q")
			mustPublish(t, n, q, values(0, 40)...)
			l := lending(t, n)
			l.receive(q, 20, 60_000, nil)
			l.receive(q, 10, -1, func(s *broker.ReceiveSpec) { s.Owner = "bob" })
			l.settle(q, broker.Accept, "m0", "m25")
			if crash {
				n = n.Crash(true)
				n.Settle()
			} else {
				n = n.Restart()
			}
			q, l.n = n.Queue("", "q"), n
			want(t, "after it", counts(q), "ready 10 unacked 28")
			want(t, "the leases hold", l.settle(q, broker.Accept, "m1", "m26"), "")
			want(t, "what is left", *l.receive(q, 100, 60_000, nil), strings.Join(values(30, 40), " "))
			n.Advance(61 * time.Second)
			if got := *l.receive(q, 100, 60_000, nil); len(strings.Fields(got)) != 28 || !strings.HasPrefix(got, "m2*1 m3*1 ") {
				t.Errorf("after the time: %s", got)
			}
			want(t, "without a time", counts(q), "ready 0 unacked 36")
		})
	}
}

func TestClaim(t *testing.T) {
	n := Start(t, Options{})
	q := n.CreateQueue("q")
	mustPublish(t, n, q, values(0, 5)...)
	l := lending(t, n)
	owner := func(name string) func(*broker.ReceiveSpec) { return func(s *broker.ReceiveSpec) { s.Owner = name } }
	l.receive(q, 2, -1, owner("ann"))
	n.Advance(10 * time.Second)
	l.receive(q, 2, -1, owner("bob"))
	n.Advance(10 * time.Second)
	list := func() string {
		out := ""
		q.ListLent(0, 10, nil, func(all []broker.Lent, err error) {
			for _, x := range all {
				out += fmt.Sprintf("%d %s %d s %d, ", x.Lease.Offset, x.Owner, x.Idle/1000, x.Attempts)
			}
			if err != nil {
				out = err.Error()
			}
		})
		n.Settle()
		return out
	}
	want(t, "pending", list(), "0 ann 20 s 0, 1 ann 20 s 0, 2 bob 10 s 0, 3 bob 10 s 0, ")
	claim := func(s broker.ClaimSpec) string {
		out := "no answer"
		s.Done = func(c broker.Claimed, err error) {
			out = fmt.Sprint(l.describe(c.Deliveries), c.Gone, c.Next, err)
		}
		q.Claim(&s)
		n.Settle()
		return out
	}
	old := l.leases["m1"]
	want(t, "claimed", claim(broker.ClaimSpec{Owner: "cid", For: -1, Offsets: []record.Offset{1, 3, 4}, MinIdle: 15_000, Attempts: broker.CountUp}), "m1*1[] -1 <nil>")
	l.leases["old"] = old
	want(t, "by the old owner", l.settle(q, broker.Accept, "old"), "old: the lease is somebody else's. ")
	want(t, "of all", claim(broker.ClaimSpec{Owner: "dan", For: 1000, Max: 2, MinIdle: 5_000, Attempts: broker.CountKeep, IDs: true}), "#0* #2*[] 3 <nil>")
	want(t, "further", claim(broker.ClaimSpec{Owner: "dan", For: 1000, From: 3, Max: 2, Attempts: 7, Idle: 3000}), "m3*7[] -1 <nil>")
	want(t, "pending", list(), "0 dan 0 s 0, 1 cid 0 s 1, 2 dan 0 s 0, 3 dan 3 s 7, ")
	want(t, "settled", l.settle(q, broker.Accept, "m1"), "")
	n.Advance(1100 * time.Millisecond)
	want(t, "over, and claimed", claim(broker.ClaimSpec{Owner: "eve", For: -1, Offsets: []record.Offset{2}, Attempts: broker.CountUp}), "m2*2[] -1 <nil>")
	want(t, "the others", *l.receive(q, 10, 1000, nil), "m0*1 m3*8 m4")
}

func TestReceiveWithinLimits(t *testing.T) {
	n := Start(t, Options{})
	q := n.CreateQueue("q", func(s *broker.QueueSettings) { s.InFlightLimit, s.RateLimit = 5, 100 })
	mustPublish(t, n, q, values(0, 20)...)
	n.Advance(time.Second)
	l := lending(t, n)
	want(t, "in flight", *l.receive(q, 10, 60_000, nil)+"|"+*l.receive(q, 10, 1000, nil), "m0 m1 m2 m3 m4|")
	l.settle(q, broker.Accept, "m0", "m1")
	want(t, "room for two", *l.receive(q, 10, 60_000, nil), "m5 m6")
	for _, bad := range []broker.ReceiveSpec{{}, {Max: 5000}, {Max: 1, For: 1 << 60}, {Max: 1, Owner: strings.Repeat("x", 256)}} {
		bad.Done = func(_ []broker.Delivery, err error) {
			if !errors.Is(err, broker.ErrInvalidArgument) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
		q.Receive(&bad)
	}
}

func TestDeliveryLimitOfReceives(t *testing.T) {
	n := Start(t, Options{})
	dead := n.CreateQueue("dead")
	q := n.CreateQueue("q", func(s *broker.QueueSettings) {
		s.DeliveryLimit, s.DeadLetter, s.DeadLetterKey = 1, true, "dead"
		s.Retry.First = 500
	})
	mustPublish(t, n, q, "m0", "m1")
	l := lending(t, n)
	want(t, "first", *l.receive(q, 10, 1000, nil), "m0 m1")
	want(t, "rejected", l.settle(q, broker.Reject, "m1"), "")
	n.Advance(1100 * time.Millisecond)
	want(t, "waits for its next attempt", *l.receive(q, 10, 1000, nil), "")
	n.Advance(600 * time.Millisecond)
	want(t, "second", *l.receive(q, 10, 1000, nil), "m0*1")
	n.Advance(1100 * time.Millisecond)
	want(t, "dead", counts(q)+"; "+*l.receive(dead, 10, 1000, nil), "ready 0 unacked 0; m1 m0")
}

// keyed publishes records "key.number" with their keys.
func keyed(t *testing.T, n *Node, q *broker.Queue, values ...string) {
	t.Helper()
	var b record.Builder
	b.Reset(record.Template(record.None))
	for _, v := range values {
		key, _, _ := strings.Cut(v, ".")
		b.Add(record.Record{Timestamp: record.NoTimestamp, Key: []byte(key), Value: []byte(v)})
	}
	batch, err := b.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := publish(t, n, broker.Facts{}, batch, q); err != nil {
		t.Fatal(err)
	}
}

func TestMessageGroups(t *testing.T) {
	n := Start(t, Options{})
	q := n.CreateQueue("q", func(s *broker.QueueSettings) { s.Grouped = true })
	keyed(t, n, q, "a.0", "a.1", "b.0", "a.2", "c.0", "b.1")
	a, b := work(t, n, q, credit(1)), work(t, n, q, credit(5))
	want(t, "one of each", a.take()+"|"+b.take(), "a.0|b.0 c.0")
	a.consumer.Grant(5)
	b.settle(broker.Accept, 0, 2)
	want(t, "the next of b", a.take()+b.take(), "b.1")
	a.close()
	n.Settle()
	want(t, "given back", b.take(), "a.0*")
	l := lending(t, n)
	want(t, "a is busy", *l.receive(q, 10, 1000, nil), "")
	keyed(t, n, q, "d.0", "d.1", "d.2", "e.0")
	want(t, "to who had credit", b.take(), "d.0")
	b.close()
	n = n.Crash(true)
	n.Settle()
	q, l.n = n.Queue("", "q"), n
	want(t, "several of a group to one", *l.receive(q, 2, 1000, nil), "a.0* a.1*")
	want(t, "others to another", *l.receive(q, 2, 2000, nil), "b.1* d.0*")
	want(t, "settled", l.settle(q, broker.Accept, "a.0", "d.0"), "")
	want(t, "the rest of d", *l.receive(q, 3, 500, nil), "d.1 d.2 e.0")
	n.Advance(1100 * time.Millisecond)
	want(t, "in order again", *l.receive(q, 3, 500, nil), "a.1*1 a.2* d.1*1")
}

// TestManyInAGroup: what waits behind one message is bounded, and so is what it
// costs to look.
func TestManyInAGroup(t *testing.T) {
	n := Start(t, Options{})
	q := n.CreateQueue("q", func(s *broker.QueueSettings) { s.Grouped = true })
	for i := range 20 {
		var vs []string
		for j := range 1000 {
			vs = append(vs, fmt.Sprintf("hot.%d", i*1000+j))
		}
		keyed(t, n, q, vs...)
	}
	keyed(t, n, q, "cool.0")
	l := lending(t, n)
	want(t, "the first", *l.receive(q, 1, 60_000, nil), "hot.0")
	want(t, "too far behind", *l.receive(q, 1, 60_000, nil), "")
	for i := range 5000 {
		v := fmt.Sprint("hot.", i)
		if got := l.settle(q, broker.Accept, v); got != "" {
			t.Fatal(got)
		}
		want(t, "the next", *l.receive(q, 1, 60_000, nil), fmt.Sprint("hot.", i+1))
	}
	want(t, "in sight", *l.receive(q, 1, 60_000, nil), "cool.0")
}
