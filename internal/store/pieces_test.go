package store

import (
	"bytes"
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/polylog-mq/polylog/internal/crashfs"
	"github.com/polylog-mq/polylog/internal/record"
)

// readAll reads a partition from the beginning, by so many bytes at a time, and
// returns what there was.
func (x *simple) readAll(tb testing.TB, p record.PartitionID, maxBytes int) []byte {
	tb.Helper()
	var got []byte
	var r Result
	for next := record.Offset(0); next < x.next[p]; next = r.Next {
		r.Release()
		if err := x.s.Read(&r, p, next, x.next[p], maxBytes, true); err != nil {
			tb.Error(err)
			return got
		}
		if r.Next == next {
			tb.Errorf("nothing at offset %d", next)
			return got
		}
		for _, b := range r.Buffers {
			got = append(got, b...)
		}
	}
	r.Release()
	return got
}

// behind opens a store with several files of large batches of n partitions,
// which have left memory, and returns what each is to be read as.
func behind(tb testing.TB, o Options, n int) (*simple, [][]byte) {
	tb.Helper()
	o.WALFileSize, o.TailBytes = 1<<20, 1
	x := openSimple(tb, o)
	want := make([][]byte, n+1)
	for i := range 40 * n {
		p := record.PartitionID(i%n + 1)
		data := testBatch(tb, 3, 7_000+100*(i%17), int64(i))
		record.SetBaseOffset(data, x.next[p])
		record.SetEpoch(data, 5)
		want[p] = append(want[p], data...)
		x.put(3, 7_000+100*(i%17), int64(i), p)
	}
	return x, want
}

// TestReadersShare: ten readers of each of six partitions that catch up side by
// side get what was written, and the disk is read once, or twice where some fall behind.
func TestReadersShare(t *testing.T) {
	x, want := behind(t, Options{FS: crashfs.Direct{FS: crashfs.New()}}, 6)
	defer x.s.Close()
	all := 0
	for _, w := range want {
		all += len(w)
	}
	var step sync.WaitGroup
	for p := record.PartitionID(1); p <= 6; p++ {
		for range 10 {
			step.Go(func() {
				if got := x.readAll(t, p, 100_000); !bytes.Equal(got, want[p]) {
					t.Errorf("partition %d: read %d bytes that are not the %d written", p, len(got), len(want[p]))
				}
			})
		}
	}
	step.Wait()
	// A piece is read a second time for who comes when it has been given up, and
	// not a third time; files hold a little more than batches.
	if read := x.s.stats.PiecesRead.Load(); read < uint64(all)/2 || read > 2*uint64(all)+uint64(all)/10 {
		t.Errorf("read %d bytes of files for readers of %d", read, all)
	}
	for k, p := range x.s.pieces.byKey {
		if p.users != 0 {
			t.Errorf("the piece at %d of file %d is still in use", k.at, k.f.num)
		}
	}
}

// TestReadAhead: who reads on and on finds the next pieces read.
func TestReadAhead(t *testing.T) {
	x, want := behind(t, Options{FS: crashfs.New()}, 1)
	defer x.s.Close()
	var r Result
	var got []byte
	ahead := 0
	for next := record.Offset(0); next < x.next[1]; next = r.Next {
		r.Release()
		if err := x.s.Read(&r, 1, next, x.next[1], 50_000, true); err != nil {
			t.Fatal(err)
		}
		for _, b := range r.Buffers {
			got = append(got, b...)
		}
		for x.s.ReadAhead() {
			ahead++
		}
	}
	r.Release()
	if !bytes.Equal(got, want[1]) {
		t.Errorf("read %d bytes that are not the %d written", len(got), len(want[1]))
	}
	if least := len(got) / int(x.s.pieces.size) / 2; ahead < least {
		t.Errorf("%d pieces were read ahead, want %d or more", ahead, least)
	}
}

// TestReadBehindAllocatesNothing is a gate on the path of those who catch up.
func TestReadBehindAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	x, _ := behind(t, Options{FS: crashfs.New()}, 2)
	defer x.s.Close()
	var r Result
	pass := func() {
		for next := record.Offset(0); next < x.next[1]; next = r.Next {
			r.Release()
			if err := x.s.Read(&r, 1, next, x.next[1], 60_000, true); err != nil {
				t.Fatal(err)
			}
		}
		r.Release()
	}
	pass()
	if n := testing.AllocsPerRun(5, pass); n > 0 {
		t.Errorf("%v allocations to catch up", n)
	}
}

// TestPieceDamaged: a batch that no longer is what was written is not given to
// anybody, though others of its piece were verified.
func TestPieceDamaged(t *testing.T) {
	x, _ := behind(t, Options{FS: crashfs.New()}, 1)
	defer x.s.Close()
	read := func(limit record.Offset) error {
		var r Result
		defer r.Release()
		return x.s.Read(&r, 1, 0, limit, 200_000, true)
	}
	if err := read(3); err != nil {
		t.Fatal(err)
	}
	p := x.s.pieces.byKey[pieceKey{x.s.files.wal(1), 0}]
	if p == nil {
		t.Fatal("no piece was read")
	}
	p.buf[75_000]++ // within the fourth batch
	if err := read(6); err != nil {
		t.Errorf("reading in front of damage: %v", err)
	}
	if err := read(12); !errors.Is(err, ErrDamaged) {
		t.Errorf("reading damage: %v", err)
	}
}

func TestPieces(t *testing.T) {
	f := &file{}
	c := newPieces(8 * 64 << 10)
	size := c.size
	key := func(n int64) extent { return c.aligned(f, n*size) }
	load := func(n, want int64) *piece {
		t.Helper()
		p, load, _ := c.acquire(key(n), want)
		if p == nil || !load {
			t.Fatalf("piece %d is not to be read", n)
		}
		p.loaded(int(size), nil)
		return p
	}
	if p, _, _ := c.acquire(key(0), size/worthShare-1); p != nil {
		t.Error("a piece of which hardly anything is wanted is read")
	}
	first := load(0, 2)
	if p, load, _ := c.acquire(key(0), 1); p != first || load || !p.wait() {
		t.Error("a piece that is there is not found")
	} else {
		p.release()
	}
	pieces := []*piece{first}
	for n := int64(1); n < maxPieces; n++ {
		pieces = append(pieces, load(n, size))
	}
	if p, _, _ := c.acquire(key(maxPieces), size); p != nil {
		t.Error("there is a piece too many")
	}
	pieces[3].release()
	last := load(maxPieces, size)
	if last != pieces[3] {
		t.Error("the memory of another piece than the one nobody uses was taken")
	}
	if p, _, _ := c.acquire(key(3), size); p != nil {
		t.Error("a piece is read a second time")
	}
	for i, p := range pieces {
		if i != 3 {
			p.release()
		}
	}
	c.forget(f)
	if len(c.byKey) > 0 || len(c.free) != maxPieces-1 {
		t.Errorf("%d pieces are left of a forgotten file, %d free", len(c.byKey), len(c.free))
	}
	last.release()
	last.buf[0] = 1
	if !c.rest() || c.rest() || len(c.free) != c.made {
		t.Errorf("%d pieces of %d are kept without a use", c.made-len(c.free), c.made)
	}
	if runtime.GOOS == "linux" && last.buf[0] != 0 {
		t.Error("the memory was not given back")
	}
}

// TestPiecesYield: where readers want little of what is read it is not read for
// long; and is again when more want the same.
func TestPiecesYield(t *testing.T) {
	c := newPieces(8 * 64 << 10)
	read := func(readers, pieces int) (whole int) {
		for n := range int64(pieces) {
			k := c.aligned(&file{}, n*c.size)
			for range readers {
				p, load, _ := c.acquire(k, c.size/6+1)
				if load {
					whole++
					p.loaded(int(c.size), nil)
				}
				if p != nil {
					p.release()
				}
			}
		}
		return whole
	}
	for _, s := range []struct{ readers, pieces, least, most int }{
		{6, 200, 200, 200},
		{1, 1000, 0, maxPieces + 2*yieldSpan},
		{1, 100, 0, 0},
		{6, 1000, 800, 1000},
		{6, 200, 200, 200},
	} {
		if n := read(s.readers, s.pieces); n < s.least || n > s.most {
			t.Errorf("%d readers of a sixth each: %d of %d pieces read whole, want %d to %d", s.readers, n, s.pieces, s.least, s.most)
		}
	}
}

// TestUnsettled: what is read of the file being written does not hide what is
// written behind it.
func TestUnsettled(t *testing.T) {
	x := openSimple(t, Options{FS: crashfs.New(), WALFileSize: 1 << 20, TailBytes: 1})
	defer x.s.Close()
	var want []byte
	for i := range 20 {
		data := testBatch(t, 3, 5_000, int64(i))
		record.SetBaseOffset(data, x.next[1])
		record.SetEpoch(data, 5)
		want = append(want, data...)
		x.put(3, 5_000, int64(i), 1)
		x.put(1, 100, 0, 2) // the tail keeps the last one
		if got := x.readAll(t, 1, 1<<20); !bytes.Equal(got, want) {
			t.Fatalf("after %d batches: read %d bytes that are not the %d written", i+1, len(got), len(want))
		}
	}
}

// TestLongRuns: a reader who asks for several partitions at a time whose runs are
// long reads what he wants and nothing else, once, though he is far ahead with one
// of them; and finds the next ones read.
func TestLongRuns(t *testing.T) {
	x := openSimple(t, Options{FS: crashfs.Direct{FS: crashfs.New()}, WALFileSize: 1 << 20, TailBytes: 1})
	defer x.s.Close()
	const size, batches = 31_000, 3 // about three quarters of a piece
	var want [3][]byte
	all := 0
	for i := range 40 {
		p := record.PartitionID(i%2 + 1)
		data := testBatch(t, batches, size, int64(i))
		record.SetBaseOffset(data, x.next[p])
		record.SetEpoch(data, 5)
		want[p] = append(want[p], data...)
		x.put(batches, size, int64(i), p)
		all += len(data)
	}
	x.put(1, 100, 0, 3) // the tail keeps the last one
	var got [3][]byte
	var r Result
	ahead := 0
	next := [3]record.Offset{}
	read := func(p record.PartitionID) {
		t.Helper()
		r.Release()
		if next[p] == x.next[p] {
			return
		}
		if err := x.s.Read(&r, p, next[p], x.next[p], size*4, true); err != nil {
			t.Fatal(err)
		}
		for _, b := range r.Buffers {
			got[p] = append(got[p], b...)
		}
		if r.More != (r.Next < x.next[p]) {
			t.Errorf("partition %d, up to %d of %d: there is more: %v", p, r.Next, x.next[p], r.More)
		}
		next[p] = r.Next
		for x.s.ReadAhead() {
			ahead++
		}
	}
	for range 12 {
		read(1)
	}
	for next[1] < x.next[1] || next[2] < x.next[2] {
		read(1)
		read(2)
	}
	r.Release()
	for p := 1; p <= 2; p++ {
		if !bytes.Equal(got[p], want[p]) {
			t.Errorf("partition %d: read %d bytes that are not the %d written", p, len(got[p]), len(want[p]))
		}
	}
	if read := int(x.s.stats.PiecesRead.Load()); read < all*9/10 || read > all*11/10 {
		t.Errorf("read %d bytes of files of %d", read, all)
	}
	if ahead < 30 {
		t.Errorf("%d runs were read ahead", ahead)
	}
}
