package crashfs

import (
	"fmt"
	"syscall"
	"unsafe"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Direct gives a file system files that are written past the page cache, as
// osfs has them: each WriteAt is a write and a sync of the file below, so that
// whoever watches the operations of FS can crash in between, and it is refused
// unless all of it is aligned.
type Direct struct{ vfs.FS }

// directPage is what everything must be a multiple of.
const directPage = 4096

// OpenDirect opens a file, a new one if there is none.
func (d Direct) OpenDirect(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.OpenReadWrite(name, c)
	if err != nil {
		return nil, err
	}
	return direct{f, name}, nil
}

// Unwrap returns the file system below.
func (d Direct) Unwrap() vfs.FS { return d.FS }

type direct struct {
	vfs.File
	name string
}

func (f direct) WriteAt(p []byte, off int64) (int, error) {
	at := uintptr(unsafe.Pointer(unsafe.SliceData(p)))
	if off%directPage != 0 || len(p)%directPage != 0 || at%directPage != 0 {
		return 0, fmt.Errorf("%s: a direct write of %d bytes at %d, memory at %#x: %w", f.name, len(p), off, at, syscall.EINVAL)
	}
	n, err := f.File.WriteAt(p, off)
	if err != nil {
		return n, err
	}
	return n, f.SyncData()
}
