package crashfs

import (
	"fmt"
	"syscall"
	"unsafe"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Direct gives a file system files that are written and read past the page
// cache, as osfs has them: each WriteAt is a write and a sync of the file below, so that
// whoever watches the operations of FS can crash in between, and what is
// not aligned is refused.
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

// OpenDirectRead opens a file that is there.
func (d Direct) OpenDirectRead(name string) (vfs.File, error) {
	f, err := d.Open(name)
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

// check refuses what a disk would.
func (f direct) check(p []byte, off int64) error {
	at := uintptr(unsafe.Pointer(unsafe.SliceData(p)))
	if off%directPage != 0 || len(p)%directPage != 0 || at%directPage != 0 {
		return fmt.Errorf("%s: %d bytes at %d, memory at %#x, past the page cache: %w", f.name, len(p), off, at, syscall.EINVAL)
	}
	return nil
}

func (f direct) ReadAt(p []byte, off int64) (int, error) {
	if err := f.check(p, off); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f direct) WriteAt(p []byte, off int64) (int, error) {
	if err := f.check(p, off); err != nil {
		return 0, err
	}
	n, err := f.File.WriteAt(p, off)
	if err != nil {
		return n, err
	}
	return n, f.SyncData()
}
