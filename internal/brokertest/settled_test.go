package brokertest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// small makes files small, so that a short test fills many.
func small(o *store.Options) {
	o.WALFileSize, o.TailBytes, o.CheckpointBytes = 64<<10, 32<<10, 48<<10
	o.Rewriting = store.Rewriting{MinFiles: 2, MaxFiles: 4, OwnFile: 24 << 10}
}

// body is the number of a record and a filler of a kilobyte.
func body(i int) string { return fmt.Sprintf("m%d ", i) + strings.Repeat("x", 1000) }

// feed publishes records from to below to, some to a batch.
func feed(t *testing.T, n *Node, facts broker.Facts, from, to int, targets ...*broker.Queue) {
	t.Helper()
	for i := from; i < to; i += 5 {
		var vs []string
		for k := i; k < min(i+5, to); k++ {
			vs = append(vs, body(k))
		}
		facts.Bytes = int64(len(vs) * len(vs[0]))
		if err := publish(t, n, facts, Batch(vs...), targets...); err != nil {
			t.Fatal(err)
		}
	}
}

// tidy lets checkpoints be made and files be rewritten until nothing more comes
// of it; some other traffic takes the files out of memory.
func (n *Node) tidy(t *testing.T) {
	t.Helper()
	other := n.CreateQueue(fmt.Sprint("other", n.Clock.Now().UnixNano()))
	work(t, n, other, func(s *broker.ConsumerSpec) { s.NoAck = true })
	for range 3 {
		for range 40 {
			mustPublish(t, n, other, strings.Repeat("y", 4000))
		}
		n.Advance(time.Second) // what was consumed is logged a little later
		for {
			did, err := n.Store.Rewrite(1 << 20)
			if err != nil {
				t.Fatal(err)
			}
			if !did {
				break
			}
		}
		n.Settle()
	}
}

// numbers returns which records of feed a partition has, from an offset on.
func (n *Node) numbers(t *testing.T, p *broker.Partition, from record.Offset) (got []int) {
	t.Helper()
	for _, v := range n.Values(p, from) {
		var i int
		if _, err := fmt.Sscanf(v, "m%d ", &i); err != nil {
			t.Fatal(err)
		}
		got = append(got, i)
	}
	return got
}

// keep makes a list of the numbers below n for which keep is true.
func kept(n int, keep func(i int) bool) (list []int) {
	for i := range n {
		if keep(i) {
			list = append(list, i)
		}
	}
	return list
}

func (w *worker) numbers() (got []int) {
	for _, v := range w.got {
		var i int
		_, _ = fmt.Sscanf(v, "m%d ", &i)
		got = append(got, i)
	}
	w.got = nil
	return got
}

// acceptBut settles all that was delivered but for some.
func (w *worker) acceptBut(stuck func(i int) bool) {
	w.t.Helper()
	var ids []broker.LeaseID
	for i, v := range w.got {
		var k int
		_, _ = fmt.Sscanf(v, "m%d ", &k)
		if !stuck(k) {
			ids = append(ids, w.leases[i])
		}
	}
	w.n.Broker.Settle(w.session, broker.Accept, ids, func(err error) {
		if err != nil {
			w.t.Error(err)
		}
	})
	w.n.Settle()
}

// What is settled leaves the disk although a record before it is stuck, and what
// is not stays, also through restarts and a replay from the start.
func TestStuckRecordsDoNotPinTheDisk(t *testing.T) {
	for _, every := range []int{1 << 20, 97, 7} {
		t.Run(fmt.Sprint("one in ", every), func(t *testing.T) {
			n := Start(t, Options{Store: small})
			q := n.CreateQueue("q")
			const all = 1500
			stuck := func(i int) bool { return i%every == 3 }
			feed(t, n, broker.Facts{}, 0, all, q)
			w := work(t, n, q, nil)
			w.acceptBut(stuck)
			n.tidy(t)
			p := n.Topic("q").Partitions[0]
			want := kept(all, func(i int) bool { return stuck(i) || i == all-1 }) // the last one stays
			if got := n.numbers(t, p, 3); !slices.Equal(got, want) {
				t.Fatalf("a replay shows %v, want %v", got, want)
			}
			bytes := n.Store.Usage().SegmentBytes
			if limit := int64(len(want))*1200*2 + 200_000; bytes > limit {
				t.Errorf("%d bytes for %d records, more than %d", bytes, len(want), limit)
			}
			n = n.Restart()
			if got := n.numbers(t, n.Topic("q").Partitions[0], 3); !slices.Equal(got, want) {
				t.Fatalf("after a restart a replay shows %v, want %v", got, want)
			}
			q = n.Queue("", "q")
			w = work(t, n, q, nil)
			if got := w.numbers(); !slices.Equal(got, kept(all, stuck)) {
				t.Errorf("after a restart workers get %v", got)
			}
			feed(t, n, broker.Facts{}, all, all+5, q)
			if got := w.numbers(); !slices.Equal(got, []int{all, all + 1, all + 2, all + 3, all + 4}) {
				t.Errorf("new ones: %v", got)
			}
			w.settle(broker.Accept, 0, len(w.leases))
			if got := counts(q); got != "ready 0 unacked 0" {
				t.Error(got)
			}
			n.Halt()
		})
	}
}

// Records that were given back, died, are scheduled or have another priority are
// not settled.
func TestWhatIsNotSettledStaysOnTheDisk(t *testing.T) {
	n := Start(t, Options{Store: small})
	q := n.CreateQueue("q", func(s *broker.QueueSettings) {
		s.MaxPriority, s.DeliveryLimit = 3, 5
	})
	const all = 600
	for i := 0; i < all; i += 5 {
		f := broker.Facts{Level: uint8(i / 5 % 4)}
		if i%50 == 0 {
			f.Delay = time.Hour.Milliseconds()
		}
		feed(t, n, f, i, i+5, q)
	}
	w := work(t, n, q, nil)
	// In the order of delivery: priorities are not that of the numbers.
	numbers := w.numbers()
	var back []int
	var accept, release []broker.LeaseID
	for k, i := range numbers {
		switch {
		case i%40 == 7:
			release, back = append(release, w.leases[k]), append(back, i)
		default:
			accept = append(accept, w.leases[k])
		}
	}
	w.consumer.Cancel(nil)
	n.Broker.Settle(w.session, broker.ReleaseCounted, release, nil)
	n.Broker.Settle(w.session, broker.Accept, accept, nil)
	n.Settle()
	n.tidy(t)
	slices.Sort(back)
	want := kept(all, func(i int) bool { return i/5%10 == 0 || slices.Contains(back, i) || i == all-1 })
	got := n.numbers(t, n.Topic("q").Partitions[0], 0)
	if !slices.Equal(got, want) {
		t.Fatalf("the disk has %v, want %v", got, want)
	}
	n = n.Restart()
	n.Advance(2 * time.Hour)
	w = work(t, n, n.Queue("", "q"), nil)
	got = w.numbers()
	slices.Sort(got)
	if want := slices.DeleteFunc(want, func(i int) bool { return i == all-1 }); !slices.Equal(got, want) {
		t.Errorf("later workers get %v, want %v", got, want)
	}
	n.Halt()
}

// A queue with a retention, and a topic that is consumed as a queue, keep all.
func TestSettledRecordsThatAreRetainedStay(t *testing.T) {
	n := Start(t, Options{Store: small})
	q := n.CreateQueue("q", func(s *broker.QueueSettings) { s.Retention = time.Hour.Milliseconds() })
	topic := n.Create("t", 1)
	feed(t, n, broker.Facts{}, 0, 500, q)
	for i := range 500 {
		n.MustAppend(topic.Partitions[0], Batch(body(i)))
	}
	drained := []*broker.Queue{q, n.QueuesOf("", "t")[0]}
	for _, q := range drained {
		w := work(t, n, q, nil)
		w.acceptBut(func(i int) bool { return i == 3 })
	}
	n.tidy(t)
	for _, name := range []string{"q", "t"} {
		if got := n.numbers(t, n.Topic(name).Partitions[0], 0); len(got) != 500 {
			t.Errorf("%s has %d records left", name, len(got))
		}
	}
	n.Halt()
}
