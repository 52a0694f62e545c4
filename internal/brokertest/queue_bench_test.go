package brokertest

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// TestQueueCurves prints what a queue costs by its backlog: the curves of issue 7.
// It runs if POLYLOG_CURVES names the largest backlog (10000000), since that takes
// minutes and memory for the files.
//
//	POLYLOG_CURVES=1000000 go test ./internal/brokertest -run TestQueueCurves -v
//
// The node's clients and loops share one goroutine, on the real disk. The figures
// are processor time, of everything from Publish and Consume to their answers; the
// records of a burst of 250 share their commits.
func TestQueueCurves(t *testing.T) {
	largest, err := strconv.Atoi(os.Getenv("POLYLOG_CURVES"))
	if err != nil {
		t.Skip("POLYLOG_CURVES does not say how far")
	}
	t.Logf("%-34s %12s %14s %12s", "", "publish", "consume+ack", "memory")
	for _, backlog := range []int{0, largest / 10, largest} {
		c := newCurve(t, 1)
		c.fill(backlog, 0)
		c.measure(fmt.Sprintf("backlog %d", backlog))
	}
	c := newCurve(t, 1)
	c.fill(largest/10, 100)
	c.measure(fmt.Sprintf("of %d, 1 in 100 never acked", largest/10))
	for _, queues := range []int{1000, 10_000} {
		c := newCurve(t, queues)
		c.measure(fmt.Sprintf("%d queues", queues))
	}
	for _, scheduled := range []int{largest / 10, largest} {
		c := newCurve(t, 1)
		c.schedule(scheduled)
		c.measure(fmt.Sprintf("%d scheduled over a month", scheduled))
	}
}

// curve is a node with queues under measurement.
type curve struct {
	t      *testing.T
	n      *Node
	queues []*broker.Queue
	before uint64
}

func newCurve(t *testing.T, queues int) *curve {
	n := Start(t, Options{FS: vfs.Default, Store: func(o *store.Options) {
		o.Dir, o.WALFileSize, o.TailBytes = t.TempDir(), 64<<20, 8<<20
	}})
	c := &curve{t: t, n: n, before: memory()}
	for i := range queues {
		c.queues = append(c.queues, n.CreateQueue(fmt.Sprint("q", i)))
	}
	return c
}

// memory returns the bytes in use.
func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// batchOf builds a batch of n records with a body of 12 bytes.
func batchOf(n int) []byte {
	var b record.Builder
	b.Reset(record.Template(record.None))
	for range n {
		b.Add(record.Record{Timestamp: record.NoTimestamp, Value: []byte("twelve bytes")})
	}
	batch, err := b.AppendTo(nil)
	if err != nil {
		panic(err)
	}
	return batch
}

// fill publishes a backlog; with keep, it is consumed and settled again but for
// one record in keep.
func (c *curve) fill(n, keep int) {
	batch := batchOf(1000)
	for range n / 1000 {
		c.n.Publish(&broker.Publish{Batch: batch, Targets: c.queues[:1], Facts: broker.Facts{Bytes: 12_000}, Done: func(*broker.Publish) {}})
		c.n.Settle()
	}
	if keep == 0 {
		return
	}
	s := c.n.OpenSession()
	var ids []broker.LeaseID
	seen, taker := 0, (*broker.Consumer)(nil)
	c.queues[0].Consume(&broker.ConsumerSpec{Session: s, Credit: -1, Deliver: func(ds []broker.Delivery) {
		for i := range ds {
			if seen++; seen%keep != 0 {
				ids = append(ids, ds[i].Lease)
			}
		}
		c.n.Broker.Settle(s, broker.Accept, ids, nil)
		ids = ids[:0]
	}}, func(k *broker.Consumer, _ error) { taker = k })
	c.n.Settle()
	taker.Cancel(nil)
	c.n.Settle()
}

// schedule publishes records with delays that are spread over a month.
func (c *curve) schedule(n int) {
	batch := batchOf(1)
	month := 30 * 24 * time.Hour.Milliseconds()
	for i := range n {
		c.n.Publish(&broker.Publish{
			Batch: batch, Targets: c.queues, Facts: broker.Facts{Delay: 60_000 + int64(i)*7919%month}, Done: func(*broker.Publish) {},
		})
		if i%1000 == 999 {
			c.n.Settle()
		}
	}
	c.n.Settle()
}

// measure publishes single records in bursts, consumes them from the head and
// settles them, and prints what that costs.
func (c *curve) measure(what string) {
	const bursts, burst = 200, 250
	held := memory()
	batch := batchOf(1)
	var publishing, consuming time.Duration
	s := c.n.OpenSession()
	consumers := map[*broker.Queue]*broker.Consumer{}
	var ids []broker.LeaseID
	got := 0
	for range bursts {
		start := cpuTime()
		for i := range burst {
			q := c.queues[i*7919%len(c.queues)]
			c.n.Publish(&broker.Publish{Batch: batch, Targets: []*broker.Queue{q}, Facts: broker.Facts{Bytes: 12}, Done: func(*broker.Publish) {}})
		}
		c.n.Settle()
		publishing += cpuTime() - start
		start = cpuTime()
		for i := range burst {
			q := c.queues[i*7919%len(c.queues)]
			if consumers[q] != nil {
				consumers[q].Grant(1)
				continue
			}
			q.Consume(&broker.ConsumerSpec{Session: s, Credit: 1, Deliver: func(ds []broker.Delivery) {
				for i := range ds {
					ids = append(ids, ds[i].Lease)
				}
				got += len(ds)
			}}, func(k *broker.Consumer, err error) {
				if consumers[q] = k; err != nil {
					c.t.Fatal(err)
				}
			})
			c.n.Settle()
		}
		c.n.Settle()
		c.n.Broker.Settle(s, broker.Accept, ids, nil)
		ids = ids[:0]
		c.n.Settle()
		consuming += cpuTime() - start
	}
	c.t.Logf("%-34s %9d ns %11d ns %9.1f MB", what, publishing.Nanoseconds()/(bursts*burst),
		consuming.Nanoseconds()/int64(max(got, 1)), float64(int64(held)-int64(c.before))/1e6)
	c.n.Halt()
}
