package sim

import (
	"bytes"
	"cmp"
	"hash/fnv"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// sector is the unit in which unsynced data survives a crash or does not: what
// a disk writes at once.
const sector = 512

// disk is a file system in memory that knows what of it was synced, so that a
// power cut can be had at any operation. A sync costs what was written since
// the last one, whatever the size of the file. Directories are durable from the
// start; the names in them only once the directory was synced, and a crash
// keeps a prefix of the changes since, as a journal does.
//
// It stands beside crashfs, which tears by the byte and keeps a list of writes that
// every crash plays back: here every operation can be met with, and a run has
// thousands of crashes of disks that hold megabytes.
//
// Everything of the product but Pebble calls it from the simulator's goroutine;
// Pebble has goroutines of its own, hence the lock.
type disk struct {
	mu    sync.Mutex
	dirs  map[string]*directory
	locks map[string]bool
	// used leaves out Pebble's files: when its goroutines write is not decided
	// by the seed.
	used int64
	// capacity is what fits; 0 is without end.
	capacity int64
	// before is called ahead of every operation on a file, without the lock;
	// its error is the operation's.
	before func(op diskOp, name string) error
}

// pebbleDir is in the path of every file that is Pebble's, and, with a slash at its
// end, in that of their folder.
const pebbleDir = "/checkpoint/"

// diskOp is a kind of operation.
type diskOp uint8

const (
	opRead diskOp = iota
	opWrite
	opSync
	opName // create, rename, remove
)

type directory struct {
	now, synced map[string]*inode
	log         []nameChange
}

// nameChange binds a name to a file, or to none; a rename is two at once.
type nameChange struct {
	name string
	file *inode
	more bool // the next one belongs to it
}

type inode struct {
	data, synced []byte
	dirty        []span // written since the last sync, in order
	reserved     int64
	uncounted    bool // see disk.used
}

type span struct{ from, to int }

func newDisk() *disk {
	return &disk{dirs: map[string]*directory{".": newDirectory()}, locks: map[string]bool{}}
}

func newDirectory() *directory {
	return &directory{now: map[string]*inode{}, synced: map[string]*inode{}}
}

// crash returns the disk as a power cut at this moment leaves it: everything
// synced, and each unsynced sector with a chance. The source of chance is one
// per file, so that what Pebble's goroutines do beside has no influence.
func (d *disk) crash(seed uint64, chance float64) *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := newDisk()
	out.capacity = d.capacity
	copies := map[*inode]*inode{}
	for _, dir := range slices.Sorted(maps.Keys(d.dirs)) {
		from, to := d.dirs[dir], newDirectory()
		names := maps.Clone(from.synced)
		rng := rand.New(rand.NewPCG(seed, hashOf(dir)))
		keep := 0
		for keep < len(from.log) && rng.Float64() < chance {
			for from.log[keep].more {
				keep++
			}
			keep++
		}
		for _, c := range from.log[:keep] {
			bind(names, c)
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			f := names[name]
			if copies[f] == nil {
				copies[f] = f.crash(rand.New(rand.NewPCG(seed, hashOf(dir+"/"+name))), chance)
				out.used += copies[f].size()
			}
			to.now[name], to.synced[name] = copies[f], copies[f]
		}
		out.dirs[dir] = to
	}
	return out
}

// killed returns the disk as the end of the process alone leaves it: with all that
// was written, and what was not synced may still be lost.
func (d *disk) killed() *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := newDisk()
	out.capacity = d.capacity
	copies := map[*inode]*inode{nil: nil}
	same := func(f *inode) *inode {
		if copies[f] == nil && f != nil {
			copies[f] = &inode{
				data: slices.Clone(f.data), synced: slices.Clone(f.synced), dirty: slices.Clone(f.dirty),
				reserved: f.reserved, uncounted: f.uncounted,
			}
		}
		return copies[f]
	}
	for name, from := range d.dirs {
		to := newDirectory()
		for base, f := range from.now {
			to.now[base] = same(f)
			out.used += f.size()
		}
		for base, f := range from.synced {
			to.synced[base] = same(f)
		}
		for _, c := range from.log {
			c.file = same(c.file)
			to.log = append(to.log, c)
		}
		out.dirs[name] = to
	}
	return out
}

// wipe forgets everything: a Pebble that has failed is never closed, and holds its
// disk for ever.
func (d *disk) wipe() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.dirs)
}

// crash keeps what was synced and some sectors of what was not. What a lost
// write would have grown the file by reads as zeros.
func (f *inode) crash(rng *rand.Rand, chance float64) *inode {
	b := slices.Clone(f.synced)
	for _, s := range f.dirty {
		for at := s.from - s.from%sector; at < s.to; at += sector {
			if rng.Float64() >= chance {
				continue
			}
			from, to := max(at, s.from), min(at+sector, s.to, len(f.data))
			if to > len(b) {
				b = append(b, make([]byte, to-len(b))...)
			}
			if from < to {
				copy(b[from:to], f.data[from:to])
			}
		}
	}
	return &inode{data: b, synced: slices.Clone(b), reserved: f.reserved, uncounted: f.uncounted}
}

// size is the room that the file takes.
func (f *inode) size() int64 {
	if f.uncounted {
		return 0
	}
	return max(int64(len(f.data)), f.reserved)
}

func (f *inode) sync() {
	if len(f.synced) < len(f.data) {
		f.synced = append(f.synced, make([]byte, len(f.data)-len(f.synced))...)
	}
	for _, s := range f.dirty {
		copy(f.synced[s.from:s.to], f.data[s.from:s.to])
	}
	f.dirty = f.dirty[:0]
}

func hashOf(s string) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, s)
	return h.Sum64()
}

func bind(names map[string]*inode, c nameChange) {
	if c.file == nil {
		delete(names, c.name)
	} else {
		names[c.name] = c.file
	}
}

func clean(name string) (dir, base string) {
	name = path.Clean(strings.TrimPrefix(name, "/"))
	return path.Dir(name), path.Base(name)
}

func notExist(op, name string) error { return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist} }

// change changes names in a directory, together.
func (d *disk) change(dir *directory, cs ...nameChange) {
	for i := range cs {
		cs[i].more = i+1 < len(cs)
		bind(dir.now, cs[i])
	}
	dir.log = append(dir.log, cs...)
}

func (d *disk) ask(op diskOp, name string) error {
	if d.before == nil {
		return nil
	}
	return d.before(op, name)
}

func (d *disk) find(name string) (*directory, string, *inode) {
	at, base := clean(name)
	dir := d.dirs[at]
	if dir == nil {
		return nil, base, nil
	}
	return dir, base, dir.now[base]
}

func (d *disk) open(name string, create, truncate bool) (vfs.File, error) {
	if create {
		if err := d.ask(opName, name); err != nil {
			return nil, err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, base, f := d.find(name)
	if _, isDir := d.dirs[path.Clean(name)]; isDir {
		return &file{d: d, name: name, dir: d.dirs[path.Clean(name)]}, nil
	}
	switch {
	case dir == nil, f == nil && !create:
		return nil, notExist("open", name)
	case f == nil || truncate:
		f = &inode{uncounted: strings.Contains(name, pebbleDir)}
		d.change(dir, nameChange{name: base, file: f})
	}
	return &file{d: d, name: name, f: f}, nil
}

// Create implements vfs.FS.
func (d *disk) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	return d.open(name, true, true)
}

// Open implements vfs.FS.
func (d *disk) Open(name string, _ ...vfs.OpenOption) (vfs.File, error) {
	return d.open(name, false, false)
}

// OpenReadWrite implements vfs.FS.
func (d *disk) OpenReadWrite(name string, _ vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	return d.open(name, true, false)
}

// OpenDir implements vfs.FS.
func (d *disk) OpenDir(name string) (vfs.File, error) { return d.open(name, false, false) }

// Link implements vfs.FS.
func (d *disk) Link(oldname, newname string) error {
	if err := d.ask(opName, newname); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, _, f := d.find(oldname)
	dir, base, there := d.find(newname)
	switch {
	case f == nil || dir == nil:
		return notExist("link", oldname)
	case there != nil:
		return &os.LinkError{Op: "link", Old: oldname, New: newname, Err: fs.ErrExist}
	}
	d.change(dir, nameChange{name: base, file: f})
	return nil
}

// Remove implements vfs.FS.
func (d *disk) Remove(name string) error {
	if err := d.ask(opName, name); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, base, f := d.find(name)
	if f == nil {
		return notExist("remove", name)
	}
	d.used -= f.size()
	d.change(dir, nameChange{name: base})
	return nil
}

// RemoveAll implements vfs.FS.
func (d *disk) RemoveAll(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.dirs, path.Clean(name))
	if dir, base, f := d.find(name); f != nil {
		d.change(dir, nameChange{name: base})
	}
	return nil
}

// Rename implements vfs.FS. Both names must be in one directory.
func (d *disk) Rename(oldname, newname string) error {
	if err := d.ask(opName, newname); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, was, f := d.find(oldname)
	to, base, over := d.find(newname)
	if f == nil || to == nil {
		return notExist("rename", oldname)
	}
	if dir != to {
		return &os.LinkError{Op: "rename", Old: oldname, New: newname, Err: syscall.EXDEV}
	}
	if over != nil && over != f {
		d.used -= over.size()
	}
	d.change(dir, nameChange{name: base, file: f}, nameChange{name: was})
	return nil
}

// ReuseForWrite implements vfs.FS.
func (d *disk) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := d.Rename(oldname, newname); err != nil {
		return nil, err
	}
	return d.OpenReadWrite(newname, c)
}

// MkdirAll implements vfs.FS.
func (d *disk) MkdirAll(dir string, _ os.FileMode) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for at := path.Clean(strings.TrimPrefix(dir, "/")); d.dirs[at] == nil; at = path.Dir(at) {
		d.dirs[at] = newDirectory()
	}
	return nil
}

// Lock implements vfs.FS.
func (d *disk) Lock(name string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locks[name] {
		return nil, syscall.EAGAIN
	}
	d.locks[name] = true
	return unlock(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.locks, name)
	}), nil
}

type unlock func()

func (u unlock) Close() error { u(); return nil }

// List implements vfs.FS.
func (d *disk) List(name string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := path.Clean(strings.TrimPrefix(name, "/"))
	dir := d.dirs[at]
	if dir == nil {
		return nil, notExist("list", name)
	}
	names := slices.Collect(maps.Keys(dir.now))
	for sub := range d.dirs {
		if sub != "." && path.Dir(sub) == at {
			names = append(names, path.Base(sub))
		}
	}
	slices.Sort(names)
	return names, nil
}

// Stat implements vfs.FS.
func (d *disk) Stat(name string) (vfs.FileInfo, error) {
	f, err := d.open(name, false, false)
	if err != nil {
		return nil, err
	}
	return f.Stat()
}

// PathBase implements vfs.FS.
func (d *disk) PathBase(p string) string { return path.Base(p) }

// PathJoin implements vfs.FS.
func (d *disk) PathJoin(elem ...string) string { return path.Join(elem...) }

// PathDir implements vfs.FS.
func (d *disk) PathDir(p string) string { return path.Dir(p) }

// GetDiskUsage implements vfs.FS.
func (d *disk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	total := cmp.Or(d.capacity, 1<<40)
	return vfs.DiskUsage{
		AvailBytes: uint64(max(total-d.used, 0)), TotalBytes: uint64(total), UsedBytes: uint64(d.used),
	}, nil
}

// Unwrap implements vfs.FS.
func (d *disk) Unwrap() vfs.FS { return nil }

// flip inverts one bit of a file that is at rest: of those whose path contains
// part and that hold something, one that rng chooses. It returns what it hit.
func (d *disk) flip(rng *rand.Rand, part string) (name string, at int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for dir, entries := range d.dirs {
		for base, f := range entries.now {
			p := path.Join(dir, base)
			if strings.Contains(p, part) && len(f.dirty) == 0 && bytes.ContainsFunc(f.synced, func(r rune) bool { return r != 0 }) {
				names = append(names, p)
			}
		}
	}
	if len(names) == 0 {
		return "", 0
	}
	slices.Sort(names)
	name = names[rng.IntN(len(names))]
	_, _, f := d.find(name)
	for range 20 { // most of a file that is not full is zeros
		if at = rng.IntN(len(f.synced)); f.synced[at] != 0 {
			break
		}
	}
	bit := byte(1) << rng.IntN(8)
	f.data[at] ^= bit
	f.synced[at] ^= bit
	return name, at
}
