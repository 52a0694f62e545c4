package wal

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// DirectFS is a file system whose files can be written and read past the page
// cache. The lane uses it where Options.FS has it and a first write succeeds.
type DirectFS interface {
	// OpenDirect opens a file, a new one if there is none. Each WriteAt through
	// it is durable on return, with all that is needed to read it back through
	// other handles, which see it from then on. Offset, length and the address
	// of the bytes are multiples of 4 KiB.
	OpenDirect(name string, category vfs.DiskWriteCategory) (vfs.File, error)
	// OpenDirectRead opens a file that is there for reading, under the same
	// conditions.
	OpenDirectRead(name string) (vfs.File, error)
}

// PageSize is what direct reads are aligned to, in the file and in memory.
const PageSize = pageSize

// Aligned reports whether ReadDirect takes p.
func Aligned(p []byte) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(p)))%pageSize == 0 && len(p)%pageSize == 0
}

// Direct reports whether ReadDirect is any different from ReadAt.
func (l *Lane) Direct() bool { return l.direct != nil }

// ReadDirect is ReadAt past the page cache, for whole pages into aligned
// memory: what is read once and is much costs less so. Where that cannot be it
// does what ReadAt does.
func (l *Lane) ReadDirect(n FileNum, p []byte, off int64) (int, error) {
	if l.direct == nil || !Aligned(p) || off%pageSize != 0 {
		return l.ReadAt(n, p, off)
	}
	f, err := l.files.acquire(n)
	if err != nil {
		return 0, err
	}
	got := 0
	if h := l.files.direct(f, l.direct); h != nil {
		got, _ = h.ReadAt(p, off)
	}
	l.files.release(f)
	if got == len(p) {
		return got, nil
	}
	return l.ReadAt(n, p, off) // or that knows what is wrong
}

// probeName is the file of the first write. It is gone again at once.
const probeName = "direct-probe"

// probe finds out whether files can be written directly.
func (l *Lane) probe() {
	fs, ok := l.o.FS.(DirectFS)
	if !ok {
		return
	}
	path := l.o.FS.PathJoin(l.o.Dir, probeName)
	f, err := fs.OpenDirect(path, category)
	if err == nil {
		_, err = f.WriteAt(aligned(pageSize), 0)
		err = errors.Join(err, f.Close(), l.o.FS.Remove(path))
	}
	if err != nil {
		l.o.Logger.Info("the file system takes no direct writes; the log goes through the page cache", "dir", l.o.Dir, "reason", err)
		return
	}
	l.direct = fs
}

// openActive opens a file for the writer.
func (l *Lane) openActive(path string) (vfs.File, error) {
	if l.direct != nil {
		return l.direct.OpenDirect(path, category)
	}
	f, err := l.o.FS.OpenReadWrite(path, category)
	if err != nil {
		return nil, fmt.Errorf("open for writing: %w", err)
	}
	return f, nil
}

// aligned returns n zero bytes that begin on a page boundary in memory.
func aligned(n int) []byte {
	b := make([]byte, n+pageSize)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (pageSize - 1))
	return b[skip : skip+n : skip+n]
}
