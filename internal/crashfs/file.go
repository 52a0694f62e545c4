package crashfs

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// file is a handle.
type file struct {
	fs   *FS
	n    *node
	name string
	pos  int64
}

func (f *file) Close() error { return nil }

func (f *file) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, f.pos)
	f.pos += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) Write(p []byte) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	n, err := f.write(p, f.pos)
	f.pos += int64(n)
	return n, err
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if size := f.fs.pages; size > 0 && (off%size != 0 || int64(len(p))%size != 0) {
		return 0, fmt.Errorf("%s: a write of %d bytes at %d is not of whole pages: %w", f.name, len(p), off, syscall.EINVAL)
	}
	return f.write(p, off)
}

func (f *file) write(p []byte, off int64) (int, error) {
	if f.n.isDir() {
		return 0, syscall.EISDIR
	}
	if err := f.fs.room(f.n, off+int64(len(p))); err != nil {
		return 0, err
	}
	w := write{off, slices.Clone(p)}
	f.n.data = w.apply(f.n.data, 0, len(p))
	f.n.writes = append(f.n.writes, w)
	return len(p), nil
}

// apply puts a part of a write into data.
func (w write) apply(data []byte, from, to int) []byte {
	if grow := int(w.off) + to - len(data); grow > 0 {
		data = append(data, make([]byte, grow)...)
	}
	copy(data[int(w.off)+from:], w.data[from:to])
	return data
}

func (f *file) Preallocate(off, n int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.room(f.n, off+n); err != nil {
		return err
	}
	f.n.reserved = max(f.n.reserved, off+n)
	return nil
}

func (f *file) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	n := f.n
	if n.isDir() {
		n.durable, n.moves = maps.Clone(n.names), nil
		return nil
	}
	if f.fs.failSync {
		n.writes = nil
		return syscall.EIO
	}
	for _, w := range n.writes {
		n.synced = w.apply(n.synced, 0, len(w.data))
	}
	n.writes = nil
	return nil
}

func (f *file) SyncData() error { return f.Sync() }

// SyncTo promises nothing, and does nothing.
func (f *file) SyncTo(int64) (bool, error) { return false, nil }

func (f *file) Prefetch(_ int64, _ int64) error { return nil }
func (f *file) Fd() uintptr                     { return vfs.InvalidFd }

func (f *file) Stat() (vfs.FileInfo, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return info{f.name, int64(len(f.n.data)), f.n.isDir()}, nil
}

type info struct {
	name string
	size int64
	dir  bool
}

func (i info) Name() string           { return i.name }
func (i info) Size() int64            { return i.size }
func (i info) IsDir() bool            { return i.dir }
func (i info) ModTime() time.Time     { return time.Time{} }
func (i info) Sys() any               { return nil }
func (i info) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }

func (i info) Mode() os.FileMode {
	if i.dir {
		return os.ModeDir | 0o755
	}
	return 0o644
}
