package segment

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/record"
)

// someRuns returns sorted runs with gaps, levels and extreme values.
func someRuns(rng *rand.Rand, partitions, perPartition int) []Run {
	var runs []Run
	for p := range partitions {
		for level := range 2 {
			next := record.Offset(rng.IntN(5))
			for range rng.IntN(perPartition + 1) {
				base := next + record.Offset(rng.IntN(3))
				last := base + record.Offset(rng.IntN(1000))
				runs = append(runs, Run{
					Partition: record.PartitionID(p * 7), Level: uint8(level * 200), Flags: RunFlags(rng.IntN(16)),
					Epoch: record.Epoch(rng.Int32()), Base: base, Last: last, LogTime: record.LogTime(rng.Int64()),
					MaxTimestamp: rng.Int64() - math.MaxInt64/2, FirstID: record.EntryID{Time: record.LogTime(rng.Int64()), Seq: rng.Uint64()},
					Pos: rng.Uint32(), Len: 1 + rng.Uint32N(1<<20),
				})
				next = last + 1
			}
		}
	}
	return runs
}

func writeIndex(tb testing.TB, fs vfs.FS, runs []Run) IndexInfo {
	tb.Helper()
	w, err := CreateIndex(fs, "idx", 1, 42)
	if err != nil {
		tb.Fatal(err)
	}
	for i := range runs {
		w.Add(&runs[i])
	}
	info, err := w.Finish(1000, 77)
	if err != nil {
		tb.Fatal(err)
	}
	return info
}

func readSpan(tb testing.TB, r *Reader, x *Index, s *Span, from record.Offset) []Run {
	tb.Helper()
	c, err := r.Seek(x, s, from)
	if err != nil {
		tb.Fatal(err)
	}
	return drain(tb, c)
}

func drain(tb testing.TB, c *Cursor) (out []Run) {
	tb.Helper()
	for {
		run, err := c.Next()
		if err != nil {
			tb.Fatal(err)
		}
		if run == nil {
			return out
		}
		out = append(out, *run)
	}
}

func TestIndexRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, size := range []struct{ partitions, runs int }{{0, 0}, {1, 1}, {1, 5000}, {300, 20}, {2000, 2}} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			fs := vfs.NewMem()
			runs := someRuns(rng, size.partitions, size.runs)
			info := writeIndex(t, fs, runs)
			r := NewReader(fs, 2, 1<<20)
			defer r.Close()
			x, spans, err := r.Open("idx", info.Digest)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(spans, info.Spans) || x.Num != 42 || x.Level != 1 || x.DataLen != 1000 || x.DataCRC != 77 || int(x.Runs) != len(runs) {
				t.Fatalf("opened %+v with %d spans, wrote %d", x, len(spans), len(info.Spans))
			}
			var got []Run
			for i := range spans {
				got = append(got, readSpan(t, r, x, &spans[i], 0)...)
			}
			if !slices.Equal(got, runs) {
				t.Fatalf("read %d runs, not the %d written", len(got), len(runs))
			}
		})
	}
}

func TestSeekFindsTheRunAtEveryOffset(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	fs := vfs.NewMem()
	runs := someRuns(rng, 5, 400)
	info := writeIndex(t, fs, runs)
	r := NewReader(fs, 2, 1<<20)
	defer r.Close()
	x, spans, err := r.Open("idx", info.Digest)
	if err != nil {
		t.Fatal(err)
	}
	for range 3000 {
		s := &spans[rng.IntN(len(spans))]
		from := s.First - 3 + record.Offset(rng.Int64N(int64(s.Last-s.First)+6))
		i := slices.IndexFunc(runs, func(r Run) bool { return r.Partition == s.Partition && r.Level == s.Level && r.Last >= from })
		c, err := r.Seek(x, s, from)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case got == nil && i >= 0:
			t.Fatalf("nothing at offset %d of partition %d; run %v is", from, s.Partition, &runs[i])
		case got != nil && (i < 0 || *got != runs[i]):
			t.Fatalf("offset %d of partition %d found %v", from, s.Partition, got)
		}
	}
}

func TestCutSplitsASpan(t *testing.T) {
	fs := vfs.NewMem()
	w, err := CreateIndex(fs, "idx", 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	run := func(base, last record.Offset) *Run {
		return &Run{Partition: 1, Base: base, Last: last, Len: 10, Flags: Shared, MaxTimestamp: int64(base)}
	}
	w.Add(run(0, 4))
	w.Add(run(5, 9))
	w.Cut()
	w.Add(run(20, 29))
	info, err := w.Finish(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := []Span{
		{Partition: 1, First: 0, Last: 9, MaxTimestamp: 5, Runs: 2, Bytes: 20, Shared: 20, Records: 10},
		{Partition: 1, First: 20, Last: 29, MaxTimestamp: 20, Runs: 1, Bytes: 10, Shared: 10, Records: 10},
	}
	r := NewReader(fs, 1, 1<<20)
	defer r.Close()
	x, spans, err := r.Open("idx", info.Digest)
	if err != nil || !slices.Equal(spans, want) {
		t.Fatalf("spans %+v, %v", spans, err)
	}
	if a, b := readSpan(t, r, x, &spans[0], 0), readSpan(t, r, x, &spans[1], 0); len(a) != 2 || len(b) != 1 {
		t.Fatalf("%d and %d runs", len(a), len(b))
	}
}

// Every flipped byte of an index shows: in Open, or at the latest when the
// runs are read. The header only tells people what the file is.
func TestFlippedByteInAnIndexIsFound(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	fs := vfs.NewMem()
	info := writeIndex(t, fs, someRuns(rng, 3, 60))
	f, err := fs.Open("idx")
	if err != nil {
		t.Fatal(err)
	}
	good, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	for i := headerSize; i < len(good); i++ {
		bad := slices.Clone(good)
		bad[i] ^= 1 << rng.IntN(8)
		put(t, fs, "bad", bad)
		err := readAll(fs, "bad", info.Digest)
		var d *DamageError
		if !errors.As(err, &d) || d.Path != "bad" {
			t.Fatalf("byte %d of %d flipped: %v", i, len(good), err)
		}
	}
	for n := range len(good) {
		put(t, fs, "bad", good[:n])
		if err := readAll(fs, "bad", info.Digest); err == nil {
			t.Fatalf("an index cut off at %d of %d was read", n, len(good))
		}
	}
}

func put(tb testing.TB, fs vfs.FS, name string, b []byte) {
	tb.Helper()
	f, err := fs.Create(name, category)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := f.Write(b); err != nil {
		tb.Fatal(err)
	}
	if err := f.Close(); err != nil {
		tb.Fatal(err)
	}
}

func readAll(fs vfs.FS, name string, digest uint32) error {
	r := NewReader(fs, 1, 1<<20)
	defer r.Close()
	x, _, err := r.Open(name, digest)
	if err != nil {
		return err
	}
	refs, err := r.blockTable(x)
	if err != nil {
		return err
	}
	for i := range refs {
		if _, err := r.Block(x, i); err != nil {
			return err
		}
	}
	return nil
}

func FuzzIndex(f *testing.F) {
	rng := rand.New(rand.NewPCG(4, 1))
	fs := vfs.NewMem()
	for _, n := range []int{0, 1, 40} {
		writeIndex(f, fs, someRuns(rng, 2, n))
		file, err := fs.Open("idx")
		if err != nil {
			f.Fatal(err)
		}
		b, err := io.ReadAll(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fs := vfs.NewMem()
		put(t, fs, "idx", b)
		if len(b) >= 4 {
			_ = readAll(fs, "idx", uint32(b[len(b)-4])|uint32(b[len(b)-3])<<8|uint32(b[len(b)-2])<<16|uint32(b[len(b)-1])<<24)
		}
		_ = Dump(fs, "idx", io.Discard)
		_, _ = decodeSpans(b, 1)
		_, _ = decodeSpans(b, 2)
		_, _ = decodeTable(b)
		_, _ = decodeRuns(nil, b, 100)
	})
}

func TestDataRoundTrip(t *testing.T) {
	fs := vfs.NewMem()
	w, err := CreateData(fs, "dat", 9)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 1))
	type body struct {
		pos uint32
		b   []byte
	}
	var bodies []body
	for range 50 {
		b := make([]byte, rng.IntN(200_000))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		bodies = append(bodies, body{w.Append(b), b})
	}
	size, _, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	r := NewReader(fs, 1, 0)
	defer r.Close()
	for _, b := range bodies {
		got := make([]byte, len(b.b))
		if err := r.ReadData("dat", got, int64(b.pos)); err != nil || !bytes.Equal(got, b.b) {
			t.Fatalf("body at %d: %v", b.pos, err)
		}
	}
	var d *DamageError
	if err := r.ReadData("dat", make([]byte, 1), size); !errors.As(err, &d) {
		t.Fatalf("reading behind the end: %v", err)
	}
	if err := r.ReadData("none", make([]byte, 1), 0); !errors.Is(err, ErrGone) {
		t.Fatalf("reading a file that is not there: %v", err)
	}
}

func TestHandlesAndCacheAreBounded(t *testing.T) {
	fs := vfs.NewMem()
	rng := rand.New(rand.NewPCG(6, 1))
	info := writeIndex(t, fs, someRuns(rng, 2, 3000))
	const cacheMax = 100_000
	r := NewReader(fs, 3, cacheMax)
	defer r.Close()
	x, _, err := r.Open("idx", info.Digest)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		name := fmt.Sprint("f", i)
		put(t, fs, name, []byte("x"))
		if err := r.ReadData(name, make([]byte, 1), 0); err != nil {
			t.Fatal(err)
		}
		if n := len(r.files.byKey); n > 3 {
			t.Fatalf("%d files open", n)
		}
	}
	refs, err := r.blockTable(x)
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if _, err := r.Block(x, rng.IntN(len(refs))); err != nil {
			t.Fatal(err)
		}
		if r.cache.size > cacheMax {
			t.Fatalf("%d bytes cached", r.cache.size)
		}
	}
	if len(r.cache.byKey) < 2 {
		t.Fatal("nothing is cached")
	}
	r.Forget(x)
	if r.cache.size != 0 || len(r.cache.byKey) != 0 {
		t.Fatalf("%d bytes cached of an index that was forgotten", r.cache.size)
	}
}

func TestDump(t *testing.T) {
	fs := vfs.NewMem()
	rng := rand.New(rand.NewPCG(7, 1))
	writeIndex(t, fs, someRuns(rng, 2, 3))
	var out strings.Builder
	if err := Dump(fs, "idx", &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"run index of level 1 file 42", "span partition 7 level 200", "block 0 partition 7"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the dump lacks %q:\n%s", want, out.String())
		}
	}
	var b record.Builder
	b.Reset(record.Template(record.None))
	b.Add(record.Record{Value: []byte("hello")})
	batch, err := b.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	w, err := CreateData(fs, "dat", 9)
	if err != nil {
		t.Fatal(err)
	}
	w.Append(batch)
	w.Append(batch)
	if _, _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if err := Dump(fs, "dat", &out); err != nil || strings.Count(out.String(), "records 1") != 2 {
		t.Fatalf("dump of a segment: %v\n%s", err, out.String())
	}
	put(t, fs, "odd", []byte("something else"))
	if err := Dump(fs, "odd", io.Discard); err == nil {
		t.Fatal("a file of another kind was dumped")
	}
}
