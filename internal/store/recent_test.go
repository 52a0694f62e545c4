package store

import (
	"bytes"
	"runtime"
	"testing"
	"weak"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A result that points into the tail stays as it is while the tail moves on, and
// its memory is given back when it is released.
func TestResultsOutliveTheTail(t *testing.T) {
	x := openSimple(t, Options{FS: vfs.NewMem(), WALFileSize: 256 << 10, TailBytes: 128 << 10})
	defer x.s.Close()
	type reading struct {
		r    Result
		want [][]byte
	}
	var all []*reading
	for i := range 200 {
		x.put(20, 50, int64(i*100), 1)
		rd := &reading{}
		if err := x.s.Read(&rd.r, 1, x.next[1]-20, x.next[1], 1<<20, true); err != nil {
			t.Fatal(err)
		}
		if len(rd.r.chunks) != 1 {
			t.Fatalf("reading %d holds %d chunks", i, len(rd.r.chunks))
		}
		for _, b := range rd.r.Buffers {
			rd.want = append(rd.want, bytes.Clone(b))
		}
		all = append(all, rd)
	}
	if lent := x.s.lane.Lent(); lent == 0 {
		t.Fatal("nothing has left the tail")
	}
	for i, rd := range all {
		for n, b := range rd.r.Buffers {
			if !bytes.Equal(b, rd.want[n]) {
				t.Fatalf("reading %d changed after it", i)
			}
		}
		rd.r.Release()
	}
	if lent := x.s.lane.Lent(); lent != 0 {
		t.Fatalf("%d bytes are still lent", lent)
	}
}

// The memory that an entry was appended from is its owner's again once it is
// written: what the log keeps of the entry does not hold it.
func TestAppendLetsGoOfTheData(t *testing.T) {
	x := openSimple(t, Options{FS: vfs.NewMem()})
	defer x.s.Close()
	data := testBatch(t, 1, 64<<10, 0)
	lent := weak.Make(&data[0])
	x.s.Append([]Append{{Sync: true, Entries: []Entry{{Index: 1, Term: 1, Data: data}}}}, func(err error) {
		if err != nil {
			t.Error(err)
		}
	})
	for x.s.Flush() {
	}
	// Whatever is used again from one append to the next forgets it with the next.
	x.last = 1
	x.put(1, 10, 0, 1)
	runtime.GC()
	if lent.Value() != nil {
		t.Error("the data of an entry that is written is still held")
	}
}

// When results hold much of what has left the tail, others copy.
func TestResultsCopyWhenMuchIsLent(t *testing.T) {
	x := openSimple(t, Options{FS: vfs.NewMem(), WALFileSize: 64 << 20, TailBytes: 1 << 20})
	defer x.s.Close()
	var held []*Result
	for i := 0; x.s.lane.Lent() <= maxLent; i++ {
		x.put(1, 60<<10, int64(i), 1)
		r := &Result{}
		if err := x.s.Read(r, 1, x.next[1]-1, x.next[1], 1<<20, true); err != nil {
			t.Fatal(err)
		}
		held = append(held, r)
	}
	x.put(20, 50, 1<<20, 1)
	var r Result
	if err := x.s.Read(&r, 1, x.next[1]-20, x.next[1], 1<<20, true); err != nil || r.Size == 0 || len(r.chunks) != 0 {
		t.Fatalf("%v: %d bytes, %d chunks", err, r.Size, len(r.chunks))
	}
	for _, h := range held {
		h.Release()
	}
}
