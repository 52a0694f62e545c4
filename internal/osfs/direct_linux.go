package osfs

import (
	"fmt"
	"os"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// OpenDirect opens a file, a new one if there is none, that is written past the
// page cache: each WriteAt is on the disk when it returns, and so is what is
// needed to read it back (open(2), O_DIRECT and O_DSYNC). Where in the file and
// in memory the bytes lie, and how many they are, must be multiples of 4 KiB,
// which suits all disks. Not every file system can: some refuse to open, some
// to write.
//
// Such a file may be read through other handles: what they had in the page
// cache is dropped by each write.
func (fs FS) OpenDirect(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_DIRECT|syscall.O_DSYNC, 0o666)
	if err != nil {
		return nil, fmt.Errorf("open for direct writes: %w", err)
	}
	return direct{f}, nil
}

// OpenDirectRead opens a file that is read past the page cache, neither using nor
// filling it. The same must be multiples of 4 KiB.
func (fs FS) OpenDirectRead(name string) (vfs.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_DIRECT, 0)
	if err != nil {
		return nil, fmt.Errorf("open for direct reads: %w", err)
	}
	return direct{f}, nil
}

// direct is a file written or read past the page cache.
type direct struct{ *os.File }

// keepSize is FALLOC_FL_KEEP_SIZE of fallocate(2).
const keepSize = 1

func (f direct) Preallocate(off, n int64) error {
	return syscall.Fallocate(int(f.Fd()), keepSize, off, n)
}

// Prefetch does nothing: there is no cache to read into.
func (f direct) Prefetch(int64, int64) error { return nil }

func (f direct) SyncData() error { return syscall.Fdatasync(int(f.Fd())) }

// SyncTo promises nothing, and does nothing.
func (f direct) SyncTo(int64) (bool, error) { return false, nil }

func (f direct) Stat() (vfs.FileInfo, error) {
	i, err := f.File.Stat()
	if err != nil {
		return nil, err
	}
	return info{i}, nil
}

// info is what a file is, for those who do not ask which device it lies on.
type info struct{ os.FileInfo }

func (info) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
