package wal

import (
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// file is a named file of the lane.
type file struct {
	info FileInfo
	path string

	h    vfs.File // open for reading, or nil
	d    vfs.File // the same past the page cache, or nil; only while h is open
	refs int      // reads under way
	used uint64   // when it was last read, in reads
	gone func()   // set once freed: what to do when the last read is over
}

// files are the named files of a lane and the bounded set of handles to read
// them through.
type files struct {
	fs   vfs.FS
	lane uint16

	mu    sync.Mutex
	byNum map[FileNum]*file
	open  int
	reads uint64
}

// acquire returns a file that will not be reused before its release.
func (t *files) acquire(n FileNum) (*file, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.byNum[n]
	if f == nil {
		return nil, fmt.Errorf("%w: %d", ErrNoFile, n)
	}
	if f.h == nil {
		h, err := openChecked(t.fs, f.path, t.lane, n)
		if err != nil {
			return nil, err
		}
		f.h = h
		t.open++
		t.evict(f)
	}
	t.reads++
	f.used = t.reads
	f.refs++
	return f, nil
}

func (t *files) release(f *file) {
	t.mu.Lock()
	f.refs--
	gone := f.gone
	if f.refs > 0 {
		gone = nil
	}
	if gone != nil {
		t.shut(f)
	}
	t.mu.Unlock()
	if gone != nil {
		gone()
	}
}

// evict closes the handle that was not read for longest, if there are too many.
func (t *files) evict(keep *file) {
	if t.open <= maxHandles {
		return
	}
	var oldest *file
	for _, f := range t.byNum {
		if f != keep && f.h != nil && f.refs == 0 && (oldest == nil || f.used < oldest.used) {
			oldest = f
		}
	}
	if oldest != nil {
		t.shut(oldest)
	}
}

// direct returns a handle of an acquired file that reads past the page cache,
// nil if there is none to be had.
func (t *files) direct(f *file, fs DirectFS) vfs.File {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f.d == nil && f.gone == nil { // a file that is gone no longer has its name
		if h, err := fs.OpenDirectRead(f.path); err == nil {
			f.d = h
		}
	}
	return f.d
}

// shut closes a file's handles for reading, which have nothing to lose.
func (t *files) shut(f *file) {
	if f.d != nil {
		_ = f.d.Close()
		f.d = nil
	}
	if f.h != nil {
		_ = f.h.Close()
		f.h = nil
		t.open--
	}
}

func (t *files) add(info FileInfo, path string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byNum[info.Num] = &file{info: info, path: path}
}

func (t *files) seal(info FileInfo) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byNum[info.Num].info = info
}

// retire makes the lane forget a file and returns it acquired, or nil; gone
// runs when nobody has it any more.
func (t *files) retire(n FileNum, gone func()) *file {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.byNum[n]
	if f == nil {
		return nil
	}
	delete(t.byNum, n)
	f.refs++
	f.gone = gone
	return f
}

func (t *files) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byNum)
}

// before returns what is known of the files below n, in order.
func (t *files) before(n FileNum) []FileInfo {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []FileInfo
	for num, f := range t.byNum {
		if num < n {
			all = append(all, f.info)
		}
	}
	slices.SortFunc(all, func(a, b FileInfo) int { return int(a.Num) - int(b.Num) })
	return all
}

func (t *files) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.byNum {
		if f.refs > 0 {
			f.gone = func() {} // release shuts it
			continue
		}
		t.shut(f)
	}
	clear(t.byNum)
}

// openChecked opens a file for reading and makes sure that it is the one its
// name says.
func openChecked(fs vfs.FS, path string, lane uint16, n FileNum) (vfs.File, error) {
	h, err := fs.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open wal file %d: %w", n, err)
	}
	if _, err := readFileHeader(h, path, lane, n); err != nil {
		_ = h.Close()
		return nil, err
	}
	return h, nil
}

// readFileHeader reads the head of a named file.
func readFileHeader(h io.ReaderAt, path string, lane uint16, n FileNum) (fileHeader, error) {
	var b [headerSize]byte
	got, err := h.ReadAt(b[:], 0)
	if err != nil && err != io.EOF {
		return fileHeader{}, fmt.Errorf("read the header of wal file %d: %w", n, err)
	}
	fh, reason := decodeFileHeader(b[:got])
	if reason == "" {
		reason = fh.check(lane, n)
	}
	if reason != "" {
		return fh, &CorruptionError{File: n, Path: path, Reason: reason, Hint: hintDamage}
	}
	return fh, nil
}
