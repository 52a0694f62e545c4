package wal

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// tornFS is a file system in memory that can be crashed at byte granularity:
// of every write that was not synced any part may survive, in any order, while
// names change in the order in which they were changed, as a journal keeps
// them. It also can be full. It knows one directory.
type tornFS struct {
	vfs.FS // what the lane does not use
	mu     sync.Mutex
	names  map[string]*inode
	synced map[string]*inode
	moves  []move // since the last sync of the directory
	quota  int64  // bytes that may be allocated; 0 for any

	failSync bool // a sync of a file fails and forgets what it had to write
}

type inode struct {
	data, synced []byte
	writes       []tornWrite // since the last sync
	reserved     int64
}

// move is a change of names: a file made (no from), renamed, or removed (no to).
type move struct {
	from, to string
	n        *inode
}

func (m move) apply(names map[string]*inode) {
	delete(names, m.from)
	if m.to != "" {
		names[m.to] = m.n
	}
}

type tornWrite struct {
	off  int64
	data []byte
}

func newTornFS() *tornFS {
	return &tornFS{names: map[string]*inode{}, synced: map[string]*inode{}}
}

// crash returns what a crash now may leave.
func (fs *tornFS) crash(rng *rand.Rand) *tornFS {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	c := newTornFS()
	names := maps.Clone(fs.synced)
	for _, m := range fs.moves[:rng.IntN(len(fs.moves)+1)] {
		m.apply(names)
	}
	style := rng.IntN(5)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		n := names[name]
		data := slices.Clone(n.synced)
		for _, w := range n.writes {
			data = w.tear(data, rng, style)
		}
		c.names[name] = &inode{data: data, synced: slices.Clone(data)}
	}
	c.synced = maps.Clone(c.names)
	return c
}

// tear applies what survives of a write.
func (w tornWrite) tear(data []byte, rng *rand.Rand, style int) []byte {
	apply := func(from, to int) {
		if grow := int(w.off) + to - len(data); grow > 0 {
			data = append(data, make([]byte, grow)...)
		}
		copy(data[int(w.off)+from:], w.data[from:to])
	}
	n := len(w.data)
	switch style {
	case 0: // nothing
	case 1: // everything
		apply(0, n)
	case 2: // its beginning
		apply(0, rng.IntN(n+1))
	case 3: // its end
		apply(rng.IntN(n+1), n)
	default: // some pieces
		for from := 0; from < n; {
			to := min(n, from+1+rng.IntN(1+rng.IntN(2000)))
			if rng.IntN(2) == 0 {
				apply(from, to)
			}
			from = to
		}
	}
	return data
}

// kill returns what the next process finds when only this one dies: everything,
// though not all of it would survive a crash.
func (fs *tornFS) kill() *tornFS {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	copies := map[*inode]*inode{}
	copyOf := func(n *inode) *inode {
		if n != nil && copies[n] == nil {
			copies[n] = &inode{slices.Clone(n.data), slices.Clone(n.synced), slices.Clone(n.writes), n.reserved}
		}
		return copies[n]
	}
	c := newTornFS()
	for name, n := range fs.names {
		c.names[name] = copyOf(n)
	}
	for name, n := range fs.synced {
		c.synced[name] = copyOf(n)
	}
	for _, m := range fs.moves {
		c.moves = append(c.moves, move{m.from, m.to, copyOf(m.n)})
	}
	return c
}

func (fs *tornFS) move(m move) {
	m.apply(fs.names)
	fs.moves = append(fs.moves, m)
}

func (fs *tornFS) allocated() (sum int64) {
	for _, n := range fs.names {
		sum += max(int64(len(n.data)), n.reserved)
	}
	return sum
}

func (fs *tornFS) room(n *inode, size int64) error {
	if grow := size - max(int64(len(n.data)), n.reserved); fs.quota > 0 && grow > 0 && fs.allocated()+grow > fs.quota {
		return syscall.ENOSPC
	}
	return nil
}

func (fs *tornFS) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := &inode{}
	fs.move(move{to: name, n: n})
	return &tornFile{fs: fs, n: n}, nil
}

func (fs *tornFS) Open(name string, _ ...vfs.OpenOption) (vfs.File, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := fs.names[name]
	if n == nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
	}
	return &tornFile{fs: fs, n: n}, nil
}

func (fs *tornFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	if f, err := fs.Open(name); err == nil {
		return f, nil
	}
	return fs.Create(name, c)
}

func (fs *tornFS) OpenDir(string) (vfs.File, error)   { return &tornFile{fs: fs}, nil }
func (fs *tornFS) MkdirAll(string, os.FileMode) error { return nil }
func (fs *tornFS) PathJoin(elem ...string) string     { return path.Join(elem...) }
func (fs *tornFS) PathDir(p string) string            { return path.Dir(p) }
func (fs *tornFS) PathBase(p string) string           { return path.Base(p) }

func (fs *tornFS) Remove(name string) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.move(move{from: name})
	return nil
}

func (fs *tornFS) Rename(from, to string) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.names[from] == nil {
		return &os.PathError{Op: "rename", Path: from, Err: os.ErrNotExist}
	}
	fs.move(move{from, to, fs.names[from]})
	return nil
}

func (fs *tornFS) List(string) ([]string, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	var all []string
	for name := range fs.names {
		all = append(all, path.Base(name))
	}
	return all, nil
}

func (fs *tornFS) Stat(name string) (vfs.FileInfo, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	return f.Stat()
}

// tornFile is a handle; without an inode it is the directory.
type tornFile struct {
	vfs.File
	fs  *tornFS
	n   *inode
	pos int64
}

func (f *tornFile) Close() error { return nil }

func (f *tornFile) ReadAt(p []byte, off int64) (int, error) {
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

func (f *tornFile) Write(p []byte) (int, error) {
	n, err := f.WriteAt(p, f.pos)
	f.pos += int64(n)
	return n, err
}

func (f *tornFile) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	end := off + int64(len(p))
	if off%pageSize != 0 || end%pageSize != 0 {
		return 0, fmt.Errorf("write of %d bytes at %d is not of whole pages", len(p), off)
	}
	if err := f.fs.room(f.n, end); err != nil {
		return 0, err
	}
	if grow := end - int64(len(f.n.data)); grow > 0 {
		f.n.data = append(f.n.data, make([]byte, grow)...)
	}
	f.n.writes = append(f.n.writes, tornWrite{off, slices.Clone(p)})
	return copy(f.n.data[off:], p), nil
}

func (f *tornFile) Preallocate(off, n int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.room(f.n, off+n); err != nil {
		return err
	}
	f.n.reserved = max(f.n.reserved, off+n)
	return nil
}

func (f *tornFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.n == nil {
		f.fs.synced, f.fs.moves = maps.Clone(f.fs.names), nil
		return nil
	}
	if f.fs.failSync {
		f.n.writes = nil
		return syscall.EIO
	}
	for _, w := range f.n.writes {
		if grow := int(w.off) + len(w.data) - len(f.n.synced); grow > 0 {
			f.n.synced = append(f.n.synced, make([]byte, grow)...)
		}
		copy(f.n.synced[w.off:], w.data)
	}
	f.n.writes = nil
	return nil
}

func (f *tornFile) SyncData() error { return f.Sync() }

func (f *tornFile) Stat() (vfs.FileInfo, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return tornInfo{int64(len(f.n.data))}, nil
}

type tornInfo struct{ size int64 }

func (i tornInfo) Name() string           { return "" }
func (i tornInfo) Size() int64            { return i.size }
func (i tornInfo) Mode() os.FileMode      { return 0o644 }
func (i tornInfo) ModTime() time.Time     { return time.Time{} }
func (i tornInfo) IsDir() bool            { return false }
func (i tornInfo) Sys() any               { return nil }
func (i tornInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
