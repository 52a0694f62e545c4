package wal

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// sink is a file system whose files forget what is written to them, so that
// only the lane's own allocations count.
type sink struct{ *vfs.MemFS }

func (fs sink) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := fs.MemFS.OpenReadWrite(name, c, opts...)
	return sinkFile{f}, err
}

type sinkFile struct{ vfs.File }

func (sinkFile) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// TestFlushAllocatesNothing is a gate on the steady path.
func TestFlushAllocatesNothing(t *testing.T) {
	l, _ := open(t, Options{FS: sink{vfs.NewMem()}, Dir: "/wal", Keep: 64 << 20})
	defer l.Close()
	for _, size := range []int{100, 100_000} {
		body := make([]byte, size)
		b := &Batch{Frames: []Frame{{Kind: KindEntry, Group: 1, Index: 1, Body: body}}, Sync: true}
		b.Done = func(_ []Position, err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if n := testing.AllocsPerRun(200, func() {
			l.Append(b)
			l.Flush()
		}); n > 0 {
			t.Errorf("%v allocations for a flush of %d bytes", n, size)
		}
	}
}
