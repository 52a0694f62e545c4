package store

import (
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/record"
)

// Readers see every record whole and in its place while records come, floors
// rise, checkpoints are made, and files are rewritten and used again.
func TestReadersBesideEverythingElse(t *testing.T) {
	const partitions = 3
	x := openSimple(t, Options{FS: vfs.NewMem(), WALFileSize: 32 << 10, TailBytes: 40 << 10, Rewriting: Rewriting{MinFiles: 2, MaxFiles: 3, OwnFile: 8 << 10}})
	defer x.s.Close()
	var ends, floors [partitions + 1]atomic.Int64
	var stop atomic.Bool
	var wg sync.WaitGroup
	enough := func() bool {
		st := x.s.Stats()
		return st.Rewrites.Load() > 2 && st.FileReads.Load() > 0 && st.TailReads.Load() > 0 && st.FilesFreed.Load() > 0
	}
	wg.Go(func() {
		defer stop.Store(true)
		rng := rand.New(rand.NewPCG(1, 1))
		for i := 0; i < 300 || i < 100_000 && !enough(); i++ {
			p := record.PartitionID(1 + rng.IntN(partitions))
			targets := []record.PartitionID{p}
			if q := p%partitions + 1; rng.IntN(3) == 0 {
				targets = append(targets, q)
			}
			x.put(1+rng.IntN(4), 1+rng.IntN(900), int64(i), targets...)
			for _, p := range targets {
				ends[p].Store(int64(x.next[p]))
			}
			if i%37 == 0 {
				o := max(0, x.next[p]-200)
				floors[p].Store(int64(o))
				x.s.SetFloor(0, x.last, p, AllLevels, o)
			}
			if i%20 == 0 {
				x.checkpoint()
			}
		}
	})
	wg.Go(func() {
		for !stop.Load() {
			if _, err := x.s.Rewrite(10_000); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for n := range 3 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(2, uint64(n)))
			var r Result
			for !stop.Load() && !t.Failed() {
				p := 1 + rng.IntN(partitions)
				from, end := floors[p].Load(), ends[p].Load()
				if end > from {
					from += rng.Int64N(end - from)
				}
				readSome(t, x.s, &r, record.PartitionID(p), record.Offset(from), record.Offset(end), &floors[p])
			}
		})
	}
	wg.Wait()
	if !enough() {
		t.Fatal("too little has happened")
	}
}

func readSome(t *testing.T, s *Store, r *Result, p record.PartitionID, from, end record.Offset, floor *atomic.Int64) {
	t.Helper()
	r.Whole = true
	defer r.Release()
	err := s.Read(r, p, from, end, 8000, true)
	if errors.Is(err, ErrOffsetOutOfRange) && floor.Load() > int64(from) || errors.Is(err, ErrNoPartition) && end == 0 {
		return
	}
	if err != nil {
		t.Error(err)
		return
	}
	next := record.Offset(-1)
	r.Batches(func(run *Run, b []byte) bool {
		h, err := record.Validate(b, record.Checks{})
		switch {
		case err != nil:
			t.Error(err)
		case h.BaseOffset < run.Base || h.LastOffset() > run.Last:
			t.Errorf("batch %s is not part of run %d-%d", h, run.Base, run.Last)
		case next >= 0 && h.BaseOffset != next:
			t.Errorf("offset %d follows %d", h.BaseOffset, next-1)
		case next < 0 && (h.BaseOffset > from || h.LastOffset() < from):
			t.Errorf("a read from %d begins with %s", from, h)
		}
		next = h.LastOffset() + 1
		return !t.Failed()
	})
	if next >= 0 && next != r.Next {
		t.Errorf("next is %d, the batches end before %d", r.Next, next)
	}
}

// Readers of a compacted partition see the last record of every key, or a later
// one, while it is written and compacted.
func TestReadersBesideCompaction(t *testing.T) {
	const keys = 12
	o := Options{FS: vfs.NewMem(), WALFileSize: 32 << 10, TailBytes: 16 << 10, CompactionBytes: slotBytes * 40}
	o.Rewriting = Rewriting{MinFiles: 2, MaxFiles: 3, OwnFile: 8 << 10, CompactChunk: 4 << 10}
	x := openSimple(t, o)
	defer x.s.Close()
	var steps atomic.Int64 // of the rewriter
	var lasts [keys]atomic.Int64
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		defer stop.Store(true)
		rng := rand.New(rand.NewPCG(1, 1))
		for i := 0; i < 300 || i < 20_000 && x.s.Stats().Compactions.Load() < 20; i++ {
			base := x.next[1]
			var ks []string
			var at []int
			for range 1 + rng.IntN(4) {
				at = append(at, rng.IntN(keys))
				ks = append(ks, strconv.Itoa(at[len(at)-1]))
			}
			x.write(1, ks...)
			x.write(2, ks...) // not compacted, in the same files
			for n, k := range at {
				lasts[k].Store(int64(base) + int64(n))
			}
			if i%15 == 0 {
				x.s.SetCompaction(0, x.last, 1, &Compaction{Below: base})
			}
			if i%20 == 0 {
				x.checkpoint()
				for was := steps.Load(); steps.Load() == was && !t.Failed(); { // however little the rewriter runs
					runtime.Gosched()
				}
			}
		}
	})
	wg.Go(func() {
		for !stop.Load() {
			if _, err := x.s.Rewrite(4000); err != nil {
				t.Error(err)
				return
			}
			steps.Add(1)
		}
	})
	for range 2 {
		wg.Go(func() {
			for !stop.Load() && !t.Failed() {
				var least [keys]int64
				for k := range least {
					least[k] = lasts[k].Load()
				}
				readKeys(t, x.s, least[:])
			}
		})
	}
	wg.Wait()
	if st := x.s.Stats(); st.Compactions.Load() < 5 || st.Compacted.Load() == 0 {
		t.Errorf("%d compactions removed %d bytes", st.Compactions.Load(), st.Compacted.Load())
	}
}

// readKeys reads partition 1 to its end: what replaces a record may lie behind
// where that was when the reader began. Of no key may the last record lie below
// the least offset given.
func readKeys(t *testing.T, s *Store, least []int64) {
	t.Helper()
	seen := make([]int64, len(least))
	r := Result{Whole: true}
	defer r.Release()
	last := record.Offset(-1)
	for from := record.Offset(0); ; from = r.Next {
		r.Release()
		if err := s.Read(&r, 1, from, math.MaxInt64, 6000, true); err != nil {
			if !errors.Is(err, ErrNoPartition) {
				t.Error(err)
			}
			return
		}
		if r.Next == from {
			break
		}
		r.Batches(func(_ *Run, b []byte) bool {
			err := record.Records(b, func(rec record.Record) error {
				k, err := strconv.Atoi(string(rec.Key))
				if rec.Offset <= last {
					t.Errorf("offset %d follows %d", rec.Offset, last)
				}
				last, seen[k] = rec.Offset, int64(rec.Offset)
				return err
			})
			if err != nil {
				t.Error(err)
			}
			return err == nil
		})
	}
	for k := range least {
		if seen[k] < least[k] {
			t.Errorf("the last record of key %d below %d is %d, want %d or a later one", k, last, seen[k], least[k])
		}
	}
}
