package sim

import (
	"io"
	"io/fs"
	"path"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// file is an open file, or an open directory if dir is set.
type file struct {
	d    *disk
	name string
	f    *inode
	dir  *directory
	pos  int
}

// Close implements vfs.File.
func (h *file) Close() error { return nil }

// Read implements vfs.File.
func (h *file) Read(p []byte) (int, error) {
	n, err := h.ReadAt(p, int64(h.pos))
	h.pos += n
	if n > 0 {
		err = nil
	}
	return n, err
}

// ReadAt implements vfs.File.
func (h *file) ReadAt(p []byte, off int64) (int, error) {
	if err := h.d.ask(opRead, h.name); err != nil {
		return 0, err
	}
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if off >= int64(len(h.f.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.f.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Write implements vfs.File.
func (h *file) Write(p []byte) (int, error) {
	n, err := h.WriteAt(p, int64(h.pos))
	h.pos += n
	return n, err
}

// WriteAt implements vfs.File.
func (h *file) WriteAt(p []byte, off int64) (int, error) {
	if err := h.d.ask(opWrite, h.name); err != nil {
		return 0, err
	}
	d, f := h.d, h.f
	d.mu.Lock()
	defer d.mu.Unlock()
	end := int(off) + len(p)
	before := f.size()
	if grown := int64(end) - before; grown > 0 && !f.uncounted {
		if d.capacity > 0 && d.used+grown > d.capacity {
			return 0, syscall.ENOSPC
		}
		d.used += grown
	}
	if end > len(f.data) {
		f.data = append(f.data, make([]byte, end-len(f.data))...)
	}
	copy(f.data[off:], p)
	if n := len(f.dirty); n > 0 && f.dirty[n-1].to == int(off) {
		f.dirty[n-1].to = end
	} else {
		f.dirty = append(f.dirty, span{int(off), end})
	}
	return len(p), nil
}

// Preallocate implements vfs.File: it takes the room and leaves the size.
func (h *file) Preallocate(off, length int64) error {
	if err := h.d.ask(opWrite, h.name); err != nil {
		return err
	}
	d := h.d
	d.mu.Lock()
	defer d.mu.Unlock()
	grown := off + length - h.f.size()
	if grown <= 0 || h.f.uncounted {
		return nil
	}
	if d.capacity > 0 && d.used+grown > d.capacity {
		return syscall.ENOSPC
	}
	d.used += grown
	h.f.reserved = off + length
	return nil
}

// Stat implements vfs.File.
func (h *file) Stat() (vfs.FileInfo, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	i := fileInfo{name: path.Base(h.name), dir: h.dir != nil}
	if h.f != nil {
		i.size = int64(len(h.f.data))
	}
	return i, nil
}

// Sync implements vfs.File.
func (h *file) Sync() error {
	if err := h.d.ask(opSync, h.name); err != nil {
		return err
	}
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.dir == nil {
		h.f.sync()
		return nil
	}
	for _, c := range h.dir.log {
		bind(h.dir.synced, c)
	}
	h.dir.log = h.dir.log[:0]
	return nil
}

// SyncData implements vfs.File.
func (h *file) SyncData() error { return h.Sync() }

// SyncTo implements vfs.File.
func (h *file) SyncTo(int64) (bool, error) { return true, h.Sync() }

// Prefetch implements vfs.File.
func (h *file) Prefetch(int64, int64) error { return nil }

// Fd implements vfs.File.
func (h *file) Fd() uintptr { return vfs.InvalidFd }

type fileInfo struct {
	name string
	size int64
	dir  bool
}

func (i fileInfo) Name() string { return i.name }
func (i fileInfo) Size() int64  { return i.size }
func (i fileInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o755
	}
	return 0o644
}
func (i fileInfo) ModTime() time.Time     { return time.Time{} }
func (i fileInfo) IsDir() bool            { return i.dir }
func (i fileInfo) Sys() any               { return nil }
func (i fileInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
