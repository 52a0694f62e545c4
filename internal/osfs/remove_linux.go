package osfs

import (
	"os"
	"sync"
	"syscall"
	"time"
)

// Remove removes a file. Of a large one the name is gone on return and the blocks
// are given back little by little afterwards: to free 64 MiB at once makes every
// write on the disk wait for 10 to 40 ms, where the file system tells the disk what
// it no longer needs.
//
// They are freed at once where others have the file, by another name or a handle,
// which keep what is in it; where much waits to be freed; and on a disk that is
// nearly full.
func (fs FS) Remove(name string) error {
	f := fs.reaper.claim(name)
	if err := fs.FS.Remove(name); err != nil || f == nil {
		if f != nil {
			_ = f.Close()
		}
		return err
	}
	fs.reaper.add(f)
	return nil
}

const (
	// freedStep is how much of a file is freed at a time, in bytes, and freedPause
	// the time from one to the next.
	freedStep  = 1 << 20
	freedPause = time.Millisecond
	// maxDying is how many files wait to be freed.
	maxDying = 64
	// scarce is the part of a disk that is free when there is no time to lose: one
	// in so many.
	scarce = 16
)

// reaper frees the blocks of files that are removed.
type reaper struct {
	mu    sync.Mutex
	dying []*os.File
	busy  bool // a goroutine is at it
}

// claim opens a file that is worth freeing in pieces, nil for others.
func (r *reaper) claim(name string) *os.File {
	if r == nil {
		return nil
	}
	i, err := os.Lstat(name)
	if err != nil || !i.Mode().IsRegular() || i.Size() <= 2*freedStep {
		return nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return nil // to remove it says what is wrong, if that is anything
	}
	return f
}

// add has a file freed whose name is gone.
func (r *reaper) add(f *os.File) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.dying) >= maxDying || !unshared(f) {
		_ = f.Close() // which frees it, unless others have it
		return
	}
	r.dying = append(r.dying, f)
	if !r.busy {
		r.busy = true
		go r.run()
	}
}

func (r *reaper) run() {
	for {
		r.mu.Lock()
		if len(r.dying) == 0 {
			r.dying, r.busy = nil, false
			r.mu.Unlock()
			return
		}
		f := r.dying[0]
		r.dying = r.dying[1:]
		r.mu.Unlock()
		shrink(f)
		_ = f.Close()
	}
}

// shrink frees a file from its end, but for the last piece.
func shrink(f *os.File) {
	i, err := f.Stat()
	if err != nil {
		return
	}
	for size := i.Size() - freedStep; size > 0 && !short(f); size -= freedStep {
		if err := f.Truncate(size); err != nil {
			return
		}
		time.Sleep(freedPause)
	}
}

// short reports whether the disk that a file lies on is nearly full.
func short(f *os.File) bool {
	var s syscall.Statfs_t
	err := syscall.Fstatfs(int(f.Fd()), &s)
	return err != nil || s.Bavail < s.Blocks/scarce
}

// unshared reports whether nobody else has a file: it has no other name, and is
// not open elsewhere, or there would be no lease (fcntl(2), F_SETLEASE). One that
// has no name cannot be opened any more.
func unshared(f *os.File) bool {
	i, err := f.Stat()
	if err != nil {
		return false
	}
	if s, ok := i.Sys().(*syscall.Stat_t); !ok || s.Nlink != 0 {
		return false
	}
	_, _, e := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_SETLEASE, syscall.F_WRLCK)
	return e == 0
}
