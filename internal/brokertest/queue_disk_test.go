package brokertest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// TestQueueDisk prints what a queue takes on the disk while messages go through
// it and some are never settled. Like TestQueueCurves it runs if POLYLOG_CURVES
// says how many.
func TestQueueDisk(t *testing.T) {
	all, err := strconv.Atoi(os.Getenv("POLYLOG_CURVES"))
	if err != nil {
		t.Skip("POLYLOG_CURVES does not say how many")
	}
	for _, keep := range []int{all, 1000, 100} {
		var curve []string
		c := newDiskCurve(t, keep)
		for range 10 {
			c.through(all / 10)
			curve = append(curve, fmt.Sprintf("%d", c.used()>>20))
		}
		st := c.n.Store.Stats()
		t.Logf("1 in %-8d never settled: MiB on the disk after each tenth: %s; the log took %d MiB, rewrites %d read and %d written",
			keep, strings.Join(curve, " "), st.Appended.Load()>>20, st.RewriteRead.Load()>>20, st.RewriteWritten.Load()>>20)
		c.n.Halt()
	}
}

// diskCurve is a queue with a worker that settles all but one message in keep.
type diskCurve struct {
	n    *Node
	dir  string
	q    *broker.Queue
	keep int
}

func newDiskCurve(t *testing.T, keep int) *diskCurve {
	c := &diskCurve{dir: t.TempDir(), keep: keep}
	c.n = Start(t, Options{FS: vfs.Default, Store: func(o *store.Options) { o.Dir, o.WALFileSize = c.dir, 64<<20 }})
	c.q = c.n.CreateQueue("q")
	s := c.n.OpenSession()
	seen := 0
	var ids []broker.LeaseID
	c.q.Consume(&broker.ConsumerSpec{Session: s, Credit: -1, Deliver: func(ds []broker.Delivery) {
		for i := range ds {
			if seen++; seen%keep != 1 {
				ids = append(ids, ds[i].Lease)
			}
		}
		c.n.Broker.Settle(s, broker.Accept, ids, nil)
		ids = ids[:0]
	}}, func(*broker.Consumer, error) {})
	c.n.Settle()
	return c
}

// through sends messages of 100 bytes through the queue, in batches of 100.
func (c *diskCurve) through(n int) {
	var b record.Builder
	b.Reset(record.Template(record.None))
	for range 100 {
		b.Add(record.Record{Timestamp: record.NoTimestamp, Value: make([]byte, 100)})
	}
	batch, err := b.AppendTo(nil)
	if err != nil {
		panic(err)
	}
	for i := range n / 1000 {
		for range 10 {
			c.n.Publish(&broker.Publish{Batch: batch, Targets: []*broker.Queue{c.q}, Facts: broker.Facts{Bytes: 10_000}, Done: func(*broker.Publish) {}})
		}
		c.n.Settle()
		if i%100 == 99 {
			c.rewrite()
		}
	}
}

func (c *diskCurve) rewrite() {
	for {
		did, err := c.n.Store.Rewrite(2 << 20)
		if err != nil {
			panic(err)
		}
		if !did {
			break
		}
	}
	c.n.Settle()
}

// used returns the bytes of all files.
func (c *diskCurve) used() (bytes int64) {
	_ = filepath.WalkDir(c.dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // it is gone
		}
		if i, err := d.Info(); err == nil {
			bytes += i.Size()
		}
		return nil
	})
	return bytes
}
