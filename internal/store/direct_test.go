package store

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/crashfs"
	"github.com/polylog-mq/polylog/internal/record"
)

// counting counts the reads past the page cache.
type counting struct {
	crashfs.Direct
	reads *int
}

func (fs counting) OpenDirectRead(name string) (vfs.File, error) {
	f, err := fs.Direct.OpenDirectRead(name)
	return countingFile{f, fs.reads}, err
}

type countingFile struct {
	vfs.File
	reads *int
}

func (f countingFile) ReadAt(p []byte, off int64) (int, error) {
	*f.reads++
	return f.File.ReadAt(p, off)
}

// TestReadPastTheCache: the first two readers of much go past the page cache, the
// next ones do not, and all read the same.
func TestReadPastTheCache(t *testing.T) {
	reads := 0
	x := openSimple(t, Options{FS: counting{crashfs.Direct{FS: crashfs.New()}, &reads}, WALFileSize: 1 << 20, TailBytes: 1})
	defer x.s.Close()
	const batches = 12
	for i := range batches {
		x.put(3, 70_000+1000*i, int64(i), 1)
		x.put(1, 100, 0, 2) // so that nothing begins on a page
	}
	var all []string
	for pass, want := range []bool{true, true, false} {
		before := reads
		var got bytes.Buffer
		for next := record.Offset(0); next < x.next[1]; {
			var r Result
			if err := x.s.Read(&r, 1, next, x.next[1], 300_000, true); err != nil {
				t.Fatal(err)
			}
			if r.Next == next {
				t.Fatalf("nothing at offset %d", next)
			}
			next = r.Next
			for _, b := range r.Buffers {
				got.Write(b)
			}
			r.Release()
		}
		if direct := reads > before; direct != want {
			t.Errorf("pass %d: %d reads past the page cache", pass, reads-before)
		}
		all = append(all, got.String())
	}
	if len(all[0]) < batches*3*70_000 || all[0] != all[1] || all[1] != all[2] {
		t.Errorf("read %d bytes, then %d others", len(all[0]), len(all[1]))
	}
}

func TestFirstLook(t *testing.T) {
	f := &file{}
	for i, c := range []struct {
		off, n int64
		first  bool
	}{
		{0, 4 * lookBytes, true},
		{0, 4 * lookBytes, false},
		{4*lookBytes - 1, 2 * lookBytes, true}, // but for a little
		{2 * lookBytes, 9 * lookBytes, true},   // five of nine
		{10 * lookBytes, 3 * lookBytes, true},  // two of three
		{5 * lookBytes, 2 * lookBytes, false},
		{maxLooked * lookBytes, 4 * lookBytes, false}, // not remembered
		{(maxLooked - 1) * lookBytes, 4 * lookBytes, true},
	} {
		for range 2 {
			if got := !f.looked(c.off, c.n); got != c.first {
				t.Error(fmt.Sprint(i, " is a first or second look: ", got))
			}
			f.look(c.off, c.n)
		}
	}
}
