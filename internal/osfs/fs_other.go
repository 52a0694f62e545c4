//go:build !linux

package osfs

import (
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// OpenReadWrite opens a file, a new one if there is none, that says so when it
// cannot be given blocks; Pebble's does nothing then.
func (fs FS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := fs.FS.OpenReadWrite(name, c, opts...)
	if err != nil {
		return nil, err
	}
	return unallocated{f}, nil
}

type unallocated struct{ vfs.File }

func (unallocated) Preallocate(int64, int64) error { return syscall.ENOSYS }
