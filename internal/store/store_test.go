package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/uuid"

	"github.com/polylog-mq/polylog/internal/crashfs"
	"github.com/polylog-mq/polylog/internal/record"
)

func TestRandomHistory(t *testing.T) {
	seeds, steps := 25, 400
	if testing.Short() {
		seeds = 6
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, uint64(seed), 3)
			for range steps {
				w.step()
			}
			w.settle()
			w.check()
			w.reopen(false)
			w.check()
			w.must(w.s.Close())
		})
	}
}

// settle makes everything durable and applied, and rewrites what is due.
func (w *world) settle() {
	w.tb.Helper()
	w.flush()
	w.apply(1 << 20)
	for range 3 {
		if err := w.s.Checkpoint(w.cuts()); err != nil {
			w.tb.Fatal(err)
		}
		for {
			did, err := w.s.Rewrite(64 << 10)
			if err != nil {
				w.tb.Fatal(err)
			}
			if !did {
				break
			}
		}
	}
	for _, l := range w.logs {
		l.saved = l.applied
	}
}

// cuts returns cuts of all groups that compact all they can.
func (w *world) cuts() (cs []GroupCut) {
	for _, l := range w.logs {
		c := w.cut(l)
		c.CompactTo = c.Applied
		cs = append(cs, c)
	}
	return cs
}

// simple is a store with one group, for tests that need no model.
type simple struct {
	tb   testing.TB
	s    *Store
	last record.Index
	next map[record.PartitionID]record.Offset
}

func openSimple(tb testing.TB, o Options) *simple {
	tb.Helper()
	if o.Dir == "" {
		o.Dir = "data"
	}
	s, err := Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	return &simple{tb: tb, s: s, next: map[record.PartitionID]record.Offset{}}
}

// put appends one entry with a batch of n records of size bytes for each of
// the partitions, which all share the bytes. Records tell their number.
func (x *simple) put(n, size int, ts int64, partitions ...record.PartitionID) {
	x.tb.Helper()
	data := testBatch(x.tb, n, size, ts)
	x.last++
	var got error
	x.s.Append([]Append{{Sync: true, Entries: []Entry{{Index: x.last, Term: 1, Data: data}}}}, func(err error) { got = err })
	for x.s.Flush() {
	}
	if got != nil {
		x.tb.Fatal(got)
	}
	var runs []Run
	for _, p := range partitions {
		runs = append(runs, Run{
			Partition: p, Base: x.next[p], Last: x.next[p] + record.Offset(n) - 1, Epoch: 5,
			LogTime: record.LogTime(ts), MaxTimestamp: ts + int64(n) - 1, Len: uint32(len(data)),
		})
		x.next[p] += record.Offset(n)
	}
	x.s.AddRuns(0, x.last, runs)
}

// testBatch has n records with timestamps from ts on and values of size bytes
// that begin with their number in the batch.
func testBatch(tb testing.TB, n, size int, ts int64) []byte {
	tb.Helper()
	var b record.Builder
	b.Reset(record.Template(record.None))
	for i := range n {
		v := make([]byte, max(size, 8))
		binary.BigEndian.PutUint64(v, uint64(i))
		b.Add(record.Record{Timestamp: ts + int64(i), Value: v})
	}
	data, err := b.AppendTo(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func (x *simple) checkpoint() {
	x.tb.Helper()
	if err := x.s.Checkpoint([]GroupCut{{Applied: x.last, Term: 1, CompactTo: x.last}}); err != nil {
		x.tb.Fatal(err)
	}
}

// read reads all from an offset on and returns the offsets of the batches.
func (x *simple) read(p record.PartitionID, from record.Offset) (bases []record.Offset) {
	x.tb.Helper()
	r := Result{Whole: true}
	for from < x.next[p] {
		if err := x.s.Read(&r, p, from, x.next[p], 1<<20, true); err != nil {
			x.tb.Fatal(err)
		}
		r.Batches(func(_ *Run, b []byte) bool {
			h, err := record.Validate(b, record.Checks{})
			if err != nil || h.Epoch != 5 {
				x.tb.Fatalf("batch %s: %v", h, err)
			}
			bases = append(bases, h.BaseOffset)
			return true
		})
		if r.Next <= from {
			x.tb.Fatalf("no progress at %d", from)
		}
		from = r.Next
		r.Release()
	}
	return bases
}

func TestOpenRefuses(t *testing.T) {
	fs := vfs.NewMem()
	o := Options{FS: fs, Dir: "data"}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(o); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "data") {
		t.Errorf("a second open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	writeFile(t, fs, "data/FORMAT", "polylog data format 2\n")
	var newer *NewerFormatError
	if _, err := Open(o); !errors.Is(err, ErrNewerFormat) || !errors.As(err, &newer) || newer.Found != 2 || newer.Known != 1 {
		t.Errorf("a newer format: %v", err)
	}
	writeFile(t, fs, "data/FORMAT", "nonsense")
	if _, err := Open(o); !errors.Is(err, ErrDamaged) {
		t.Errorf("a broken format file: %v", err)
	}
	writeFile(t, fs, "data/FORMAT", "polylog data format 1\n")
	s, err = Open(o) // every refusal has released the lock
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	readOnly := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return syscall.EROFS
		}
		return nil
	}))
	if _, err := Open(Options{FS: readOnly, Dir: "data"}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("a read-only file system: %v", err)
	}
}

func writeFile(t testing.TB, fs vfs.FS, path, text string) {
	t.Helper()
	f, err := fs.Create(path, category)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestBootstrapOnce(t *testing.T) {
	fs := crashfs.New()
	x := openSimple(t, Options{FS: fs})
	m := Meta{Cluster: uuid.UUID{1}, Node: 3}
	cuts := []GroupCut{
		{Group: 0, Applied: 1, Term: 1, CompactTo: 1, Conf: []byte("voters"), Pages: []Page{{[]byte("k"), []byte("v")}}},
		{Group: 7, Applied: 4, Term: 2, CompactTo: 4},
	}
	if err := x.s.Bootstrap(m, cuts); err != nil {
		t.Fatal(err)
	}
	if err := x.s.Bootstrap(m, cuts); !errors.Is(err, ErrBootstrapped) {
		t.Fatalf("a second time: %v", err)
	}
	check := func(s *Store) {
		t.Helper()
		if got, ok := s.Meta(); !ok || got != m {
			t.Fatalf("meta %v %t", got, ok)
		}
		i, term, conf, ok := s.Applied(0)
		if i != 1 || term != 1 || string(conf) != "voters" || !ok {
			t.Fatalf("group 0 at %d term %d conf %q %t", i, term, conf, ok)
		}
		l := s.Log(7)
		if term, err := l.Term(4); l.FirstIndex() != 5 || l.LastIndex() != 4 || term != 2 || err != nil {
			t.Fatalf("log of group 7 from %d to %d, term %d %v", l.FirstIndex(), l.LastIndex(), term, err)
		}
		if hs := l.HardState(); hs.Term != 2 || hs.Commit != 4 {
			t.Fatalf("hard state %+v", hs)
		}
		if _, _, _, ok := s.Applied(3); ok {
			t.Fatal("group 3 was never bootstrapped")
		}
	}
	check(x.s)
	crashed := fs.Crash(nil)
	if err := x.s.Close(); err != nil {
		t.Fatal(err)
	}
	again := openSimple(t, Options{FS: crashed})
	check(again.s)
	if err := again.s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestLogErrors(t *testing.T) {
	x := openSimple(t, Options{FS: vfs.NewMem()})
	defer x.s.Close()
	for range 10 {
		x.put(1, 10, 0, 1)
	}
	if err := x.s.Checkpoint([]GroupCut{{Applied: 10, Term: 1, CompactTo: 4}}); err != nil {
		t.Fatal(err)
	}
	l := x.s.Log(0)
	for _, c := range []struct {
		lo, hi record.Index
		want   error
	}{{4, 6, ErrCompacted}, {5, 12, ErrUnavailable}, {5, 11, nil}, {11, 11, nil}, {12, 13, ErrUnavailable}} {
		if got, err := l.Entries(c.lo, c.hi, 1<<20); !errors.Is(err, c.want) || err == nil && len(got) != int(c.hi-c.lo) {
			t.Errorf("entries %d to %d: %d, %v", c.lo, c.hi, len(got), err)
		}
	}
	for i, want := range map[record.Index]error{3: ErrCompacted, 4: nil, 10: nil, 11: ErrUnavailable} {
		if _, err := l.Term(i); !errors.Is(err, want) {
			t.Errorf("term of %d: %v", i, err)
		}
	}
	if got, err := l.Entries(5, 11, 1); err != nil || len(got) != 1 {
		t.Errorf("%d entries of at most 1 byte, %v", len(got), err)
	}
}

func TestReadBounds(t *testing.T) {
	x := openSimple(t, Options{FS: vfs.NewMem()})
	defer x.s.Close()
	for range 10 {
		x.put(10, 100, 0, 1)
	}
	size := len(testBatch(t, 10, 100, 0))
	x.s.SetFloor(0, x.last, 1, AllLevels, 25)
	for _, c := range []struct {
		what        string
		from, limit record.Offset
		max         int
		minOne      bool
		batches     int
		next        record.Offset
		err         error
	}{
		{"all", 30, 100, 1 << 20, false, 7, 100, nil},
		{"inside of a batch", 35, 100, 1 << 20, false, 7, 100, nil},
		{"limit inside of a batch", 30, 45, 1 << 20, false, 1, 40, nil},
		{"limit above the end", 90, 1000, 1 << 20, false, 1, 100, nil},
		{"exactly two", 30, 100, 2 * size, false, 2, 50, nil},
		{"not quite two", 30, 100, 2*size - 1, false, 1, 40, nil},
		{"too small", 30, 100, size - 1, false, 0, 30, nil},
		{"too small, but one", 30, 100, size - 1, true, 1, 40, nil},
		{"no bytes, but one", 30, 100, 0, true, 1, 40, nil},
		{"one is not above the limit", 30, 39, 0, true, 0, 30, nil},
		{"at the end", 100, 200, 100, true, 0, 100, nil},
		{"above the end", 101, 200, 100, true, 0, 0, ErrOffsetOutOfRange},
		{"at the floor", 25, 100, 1 << 20, false, 8, 100, nil},
		{"below the floor", 24, 100, 1 << 20, false, 0, 0, ErrOffsetOutOfRange},
	} {
		for _, whole := range []bool{false, true} {
			r := Result{Whole: whole}
			err := x.s.Read(&r, 1, c.from, c.limit, c.max, c.minOne)
			if !errors.Is(err, c.err) || r.Size != c.batches*size || r.Next != c.next || len(bytes.Join(r.Buffers, nil)) != r.Size {
				t.Errorf("%s: %v, %d bytes (%d batches wanted), next %d", c.what, err, r.Size, c.batches, r.Next)
			}
		}
	}
	var r Result
	if err := x.s.Read(&r, 2, 0, 1, 1, true); !errors.Is(err, ErrNoPartition) {
		t.Errorf("a partition that is not there: %v", err)
	}
}

// A fanout writes its bytes once, at append and at the rewrite.
func TestSharedBodiesAreWrittenOnce(t *testing.T) {
	fs := vfs.NewMem()
	x := openSimple(t, Options{FS: fs, WALFileSize: 64 << 10, TailBytes: 1, Rewriting: Rewriting{MinFiles: 1}})
	defer x.s.Close()
	for range 40 {
		x.put(4, 1000, 0, 1, 2, 3, 4, 5)
	}
	x.put(1, 30_000, 0, 1) // pushes the others out of the tail and of the active file
	x.put(1, 30_000, 0, 1)
	x.checkpoint()
	for {
		did, err := x.s.Rewrite(50_000)
		if err != nil {
			t.Fatal(err)
		}
		if !did {
			break
		}
	}
	x.checkpoint()
	st := x.s.Stats()
	appended, rewritten := st.Appended.Load(), st.RewriteWritten.Load()
	if rewritten == 0 || rewritten > appended {
		t.Fatalf("%d bytes appended for five targets each, %d rewritten", appended, rewritten)
	}
	for p := range record.PartitionID(5) {
		if got := x.read(p+1, 0); len(got) < 40 {
			t.Fatalf("partition %d has %d batches", p+1, len(got))
		}
	}
}

// A drained queue's files go back to the pool without a second write.
func TestDrainedFilesAreFreedUnwritten(t *testing.T) {
	x := openSimple(t, Options{FS: vfs.NewMem(), WALFileSize: 32 << 10, TailBytes: 1})
	defer x.s.Close()
	for range 100 {
		x.put(1, 5000, 0, 1)
	}
	before := x.s.Usage().WALFiles
	x.s.SetFloor(0, x.last, 1, AllLevels, x.next[1])
	x.checkpoint()
	if did, err := x.s.Rewrite(1 << 20); did || err != nil {
		t.Fatalf("rewrote: %t %v", did, err)
	}
	st := x.s.Stats()
	if freed := st.FilesFreed.Load(); freed < 15 || st.IndexWritten.Load() > 0 {
		t.Fatalf("%d of %d files freed, %d bytes of indexes written", freed, before, st.IndexWritten.Load())
	}
	if first, next, err := x.s.Bounds(1); first != 100 || next != 100 || err != nil {
		t.Fatalf("bounds %d %d %v", first, next, err)
	}
}

// Checkpoints of any number of retained files cost what changed.
func TestRecoveryReadsNoSealedFile(t *testing.T) {
	fs := vfs.NewMem()
	o := Options{FS: fs, WALFileSize: 32 << 10, TailBytes: 1, Rewriting: Rewriting{MinFiles: 1 << 20}}
	x := openSimple(t, o)
	for range 300 {
		x.put(1, 3000, 0, 1)
	}
	x.checkpoint()
	x.put(1, 3000, 0, 1)
	if err := x.s.Close(); err != nil {
		t.Fatal(err)
	}
	var read int64
	var mu sync.Mutex
	o.FS = errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileReadAt && strings.HasSuffix(op.Path, ".wal") {
			mu.Lock()
			defer mu.Unlock()
			read++
		}
		return nil
	}))
	again := openSimple(t, o)
	defer again.s.Close()
	if files := again.s.Usage().WALFiles; files < 30 || read > 20 {
		t.Fatalf("%d reads of %d wal files", read, files)
	}
	if l := again.s.Log(0); l.FirstIndex() != 301 || l.LastIndex() != 301 {
		t.Fatalf("log from %d to %d", l.FirstIndex(), l.LastIndex())
	}
	again.next[1] = 300
	if got := again.read(1, 0); len(got) != 300 {
		t.Fatalf("%d batches", len(got))
	}
}

func TestRunBesideAppends(t *testing.T) {
	s, err := Open(Options{FS: vfs.NewMem(), Dir: "data", WALFileSize: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Run(ctx) })
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range record.Index(50) {
		done := make(chan error, 1)
		data := testBatch(t, 1, rng.IntN(2000), 0)
		s.Append([]Append{{Sync: true, Entries: []Entry{{Index: i + 1, Term: 1, Data: data}}}}, func(err error) { done <- err })
		s.Flush()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
