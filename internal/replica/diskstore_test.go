package replica

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/google/uuid"

	"github.com/polylog-mq/polylog/internal/clock"
	"github.com/polylog-mq/polylog/internal/crashfs"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// testStore is a store that can crash.
type testStore interface {
	storage
	AddRuns(g record.ShardID, i record.Index, runs []store.Run)
	bootstrap(cuts ...store.GroupCut)
	// crash returns what a new process finds.
	crash(rng *rand.Rand) testStore
	// loses makes durable knowledge visible to tests, nil if it is not.
	durable() *memState
}

// diskStore is the real store, on a file system that loses what was not synced.
type diskStore struct {
	realStore
	t       testing.TB
	fs      *crashfs.FS
	options store.Options
	closed  bool
}

// smallStore are options that make little data do much: files are sealed,
// rewritten and freed, and the log is long left behind.
func smallStore(clock clock.Clock) store.Options {
	return store.Options{Dir: "data", WALFileSize: 64 << 10, TailBytes: 32 << 10, CheckpointBytes: 128 << 10, Clock: clock}
}

func newDiskStore(t testing.TB, fs *crashfs.FS, o store.Options) *diskStore {
	o.FS, o.Salt = fs, rand.NewChaCha8([32]byte{1})
	s, err := store.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	d := &diskStore{realStore: realStore{s}, t: t, fs: fs, options: o}
	t.Cleanup(d.close)
	return d
}

func (d *diskStore) close() {
	if !d.closed {
		d.closed = true
		_ = d.Close() // what a crash left is looked at by the next Open
	}
}

func (d *diskStore) bootstrap(cuts ...store.GroupCut) {
	if err := d.Bootstrap(store.Meta{Cluster: uuid.UUID{1}, Node: 1}, cuts); err != nil {
		d.t.Fatal(err)
	}
}

func (d *diskStore) crash(rng *rand.Rand) testStore {
	left := d.fs.Crash(rng)
	d.close()
	return newDiskStore(d.t, left, d.options)
}

func (d *diskStore) durable() *memState { return nil }

// records reads all that a store has of a partition.
func records(t testing.TB, s storage, p record.PartitionID) (first, next record.Offset, bytes_ []byte) {
	t.Helper()
	first, next, err := s.Bounds(p)
	if err != nil {
		return 0, 0, nil
	}
	for at := first; at < next; {
		var r store.Result
		if err := s.Read(&r, p, at, next, 1<<20, true); err != nil {
			t.Fatalf("reading partition %d from %d: %v", p, at, err)
		}
		for _, b := range r.Buffers {
			bytes_ = append(bytes_, b...)
		}
		if r.Next <= at {
			t.Fatalf("partition %d ends at %d of %d", p, at, next)
		}
		at = r.Next
		r.Release()
	}
	return first, next, bytes_
}

// contiguous checks that batches number their records without a gap.
func contiguous(t testing.TB, b []byte, from record.Offset) {
	t.Helper()
	err := record.Walk(b, func(_ []byte, h record.Header) error {
		if h.BaseOffset != from {
			t.Fatalf("a batch begins at %d where %d is next", h.BaseOffset, from)
		}
		from = h.LastOffset() + 1
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// sameData compares the records of all live members with each other and with
// what their state says.
func (c *cluster) sameData() {
	c.t.Helper()
	for _, g := range c.groups {
		for p := range partitions {
			var want []byte
			for i, id := range c.order {
				n := c.nodes[id]
				part := n.machines[g].partition(p)
				first, next, have := records(c.t, n.store, part)
				if first != 0 || next != n.machines[g].next[p] {
					c.t.Fatalf("node %d: partition %d has records %d to %d, its state says %d", id, part, first, next, n.machines[g].next[p])
				}
				contiguous(c.t, have, 0)
				if i == 0 {
					want = have
				} else if !bytes.Equal(want, have) {
					c.t.Fatalf("nodes 1 and %d differ in the records of partition %d", id, part)
				}
			}
		}
	}
}
