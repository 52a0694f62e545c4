// Package crashfs is a file system in memory for tests that can lose what was
// not synced, as a crash of the machine does, at the granularity of bytes and
// as a function of a seed alone.
//
// It stands beside Pebble's crashable memory file system, which keeps or loses
// blocks of 4 KiB and single names in no order: no journaling file system
// forgets the creation of a file and remembers a later one in the same
// directory, and Pebble, which counts on that, does not survive it. Here the
// names of a directory change in the order in which they were changed, and
// which of the changes survive is a prefix. Of every unsynced write any part
// may survive, without those before it.
package crashfs

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// FS is a file system. All methods may be called concurrently.
type FS struct {
	mu       sync.Mutex
	root     *node
	locks    map[string]bool
	quota    int64
	pages    int64
	failSync bool
}

var _ vfs.FS = (*FS)(nil)

// node is a file or a directory.
type node struct {
	// Of a directory: its names, those a crash leaves for certain, and the
	// changes in between.
	names, durable map[string]*node
	moves          []move

	// Of a file, likewise.
	data, synced []byte
	writes       []write
	reserved     int64 // bytes allocated beyond data
}

// move is a change of names: a file made (no from), renamed, or removed (no
// to).
type move struct {
	from, to string
	n        *node
}

func (m move) apply(names map[string]*node) {
	delete(names, m.from)
	if m.to != "" {
		names[m.to] = m.n
	}
}

// write is what was written to a file at an offset.
type write struct {
	off  int64
	data []byte
}

func newDir() *node { return &node{names: map[string]*node{}, durable: map[string]*node{}} }

func (n *node) isDir() bool { return n.names != nil }

// move changes a directory.
func (n *node) move(m move) {
	m.apply(n.names)
	n.moves = append(n.moves, m)
}

// New returns an empty file system.
func New() *FS { return &FS{root: newDir(), locks: map[string]bool{}} }

// SetQuota makes the disk full at so many bytes; 0 for no limit.
func (fs *FS) SetQuota(bytes int64) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.quota = bytes
}

// WholePages makes WriteAt refuse what does not begin and end on a multiple of
// size, as a disk does without a page cache before it.
func (fs *FS) WholePages(size int64) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.pages = size
}

// FailSyncs makes every sync of a file fail and, as the kernel does, forget
// that there is anything to write.
func (fs *FS) FailSyncs(on bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.failSync = on
}

func pathError(op, name string, err error) error { return &os.PathError{Op: op, Path: name, Err: err} }

// split cuts a name into its directory's parts and the last one.
func split(name string) (dirs []string, last string) {
	name = strings.Trim(path.Clean("/"+name), "/")
	if name == "" {
		return nil, ""
	}
	parts := strings.Split(name, "/")
	return parts[:len(parts)-1], parts[len(parts)-1]
}

// dir returns the directory that holds the name, and the name in it; the name
// is empty for the root. fs.mu is held here and in all that take names.
func (fs *FS) dir(name string) (*node, string, error) {
	dirs, last := split(name)
	d := fs.root
	for _, part := range dirs {
		if d = d.names[part]; d == nil || !d.isDir() {
			return nil, "", os.ErrNotExist
		}
	}
	return d, last, nil
}

func (fs *FS) find(name string) (*node, error) {
	d, last, err := fs.dir(name)
	if err != nil || last == "" {
		return d, err
	}
	if n := d.names[last]; n != nil {
		return n, nil
	}
	return nil, os.ErrNotExist
}

// Create makes a new file, in place of one of that name.
func (fs *FS) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.create(name)
}

func (fs *FS) create(name string) (vfs.File, error) {
	d, last, err := fs.dir(name)
	if err != nil {
		return nil, pathError("create", name, err)
	}
	n := &node{}
	d.move(move{to: last, n: n})
	return &file{fs: fs, n: n, name: last}, nil
}

// Link gives a file a second name.
func (fs *FS) Link(from, to string) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n, err := fs.find(from)
	if err != nil {
		return pathError("link", from, err)
	}
	d, last, err := fs.dir(to)
	if err != nil {
		return pathError("link", to, err)
	}
	if d.names[last] != nil {
		return pathError("link", to, os.ErrExist)
	}
	d.move(move{to: last, n: n})
	return nil
}

// Open opens a file or directory.
func (fs *FS) Open(name string, _ ...vfs.OpenOption) (vfs.File, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.open(name)
}

func (fs *FS) open(name string) (vfs.File, error) {
	n, err := fs.find(name)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return &file{fs: fs, n: n, name: path.Base(name)}, nil
}

// OpenReadWrite opens a file, a new one if there is none.
func (fs *FS) OpenReadWrite(name string, _ vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f, err := fs.open(name)
	if errors.Is(err, os.ErrNotExist) {
		return fs.create(name)
	}
	return f, err
}

// OpenDir opens a directory to sync it.
func (fs *FS) OpenDir(name string) (vfs.File, error) { return fs.Open(name) }

// Remove removes a file or an empty directory.
func (fs *FS) Remove(name string) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	d, last, err := fs.dir(name)
	if err == nil && d.names[last] == nil {
		err = os.ErrNotExist
	}
	if err == nil && len(d.names[last].names) > 0 {
		err = syscall.ENOTEMPTY
	}
	if err != nil {
		return pathError("remove", name, err)
	}
	d.move(move{from: last})
	return nil
}

// RemoveAll removes whatever has the name.
func (fs *FS) RemoveAll(name string) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if d, last, err := fs.dir(name); err == nil && d.names[last] != nil {
		d.move(move{from: last})
	}
	return nil
}

// Rename renames within one directory; between two it fails, since that would
// not be atomic here.
func (fs *FS) Rename(from, to string) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.rename(from, to)
}

func (fs *FS) rename(from, to string) error {
	d, old, err := fs.dir(from)
	if err == nil && d.names[old] == nil {
		err = os.ErrNotExist
	}
	if err != nil {
		return pathError("rename", from, err)
	}
	d2, last, err := fs.dir(to)
	if err == nil && d2 != d {
		err = syscall.EXDEV
	}
	if err != nil {
		return pathError("rename", to, err)
	}
	d.move(move{old, last, d.names[old]})
	return nil
}

// ReuseForWrite renames a file and opens it.
func (fs *FS) ReuseForWrite(from, to string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if err := fs.rename(from, to); err != nil {
		return nil, err
	}
	return fs.open(to)
}

// MkdirAll makes a directory and those above it.
func (fs *FS) MkdirAll(name string, _ os.FileMode) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	dirs, last := split(name)
	d := fs.root
	for _, part := range append(dirs, last) {
		if part == "" {
			continue
		}
		if d.names[part] == nil {
			d.move(move{to: part, n: newDir()})
		}
		if d = d.names[part]; !d.isDir() {
			return pathError("mkdir", name, syscall.ENOTDIR)
		}
	}
	return nil
}

// Lock locks a name until it is unlocked, or the machine crashes.
func (fs *FS) Lock(name string) (io.Closer, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.locks[name] {
		return nil, fmt.Errorf("lock %s: %w", name, syscall.EAGAIN)
	}
	if _, err := fs.find(name); err != nil {
		if _, err := fs.create(name); err != nil {
			return nil, err
		}
	}
	fs.locks[name] = true
	return &lock{fs, name}, nil
}

type lock struct {
	fs   *FS
	name string
}

func (l *lock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	delete(l.fs.locks, l.name)
	return nil
}

// List returns the names in a directory, sorted.
func (fs *FS) List(name string) ([]string, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n, err := fs.find(name)
	if err == nil && !n.isDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, pathError("list", name, err)
	}
	return slices.Sorted(maps.Keys(n.names)), nil
}

// Stat describes a file or directory.
func (fs *FS) Stat(name string) (vfs.FileInfo, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n, err := fs.find(name)
	if err != nil {
		return nil, pathError("stat", name, err)
	}
	return info{path.Base(name), int64(len(n.data)), n.isDir()}, nil
}

// PathBase is path.Base.
func (fs *FS) PathBase(p string) string { return path.Base(p) }

// PathJoin is path.Join.
func (fs *FS) PathJoin(elem ...string) string { return path.Join(elem...) }

// PathDir is path.Dir.
func (fs *FS) PathDir(p string) string { return path.Dir(p) }

// Unwrap returns nil: there is nothing below.
func (fs *FS) Unwrap() vfs.FS { return nil }

// GetDiskUsage reports the quota, or a large disk if there is none.
func (fs *FS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	total, used := fs.quota, fs.root.allocated()
	if total == 0 {
		total = 1 << 40
	}
	return vfs.DiskUsage{AvailBytes: uint64(max(0, total-used)), TotalBytes: uint64(total), UsedBytes: uint64(used)}, nil
}

func (n *node) allocated() int64 {
	sum := n.size()
	for _, child := range n.names {
		sum += child.allocated()
	}
	return sum
}

func (n *node) size() int64 { return max(int64(len(n.data)), n.reserved) }

// room refuses to let a file grow beyond the quota.
func (fs *FS) room(n *node, size int64) error {
	if grow := size - n.size(); fs.quota > 0 && grow > 0 && fs.root.allocated()+grow > fs.quota {
		return syscall.ENOSPC
	}
	return nil
}
