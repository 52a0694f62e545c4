package wal

import (
	"errors"
	"fmt"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// category labels the lane's writes for the file system's statistics.
const category = vfs.DiskWriteCategory("polylog-wal")

// pool holds files that wait to become part of the lane. Their bytes mean
// nothing; what counts is that their blocks exist, so that a write into them
// cannot find the disk full.
type pool struct {
	fs      vfs.FS
	dir     string
	size    int64
	target  int // Fill prepares up to this many
	reserve int // of which the last so many are held back
	max     int

	mu    sync.Mutex
	ready []spare // whole, first in, first out
	short []spare // to be filled up
	next  uint64  // the next id
	full  bool    // the disk was full at the last attempt

	fillMu sync.Mutex // guards what follows
	file   spare      // being filled
	h      vfs.File   // its handle, or nil
	zeros  []byte
	closed bool
}

// spare is a file of the pool.
type spare struct {
	id uint64
	// written is how far it was written, as far as this process knows: what
	// comes next costs more to write than what is written over.
	written int64
}

func (p *pool) path(id uint64) string { return p.fs.PathJoin(p.dir, spareName(id)) }

// adopt takes a spare file found or freed: whole, short, or too large (by a
// former setting). What the pool has no use for is deleted.
func (p *pool) adopt(s spare) error {
	info, err := p.fs.Stat(p.path(s.id))
	if err != nil {
		return fmt.Errorf("look at a spare wal file: %w", err)
	}
	if p.keep(s, info.Size()) {
		return nil
	}
	if err := p.fs.Remove(p.path(s.id)); err != nil {
		return fmt.Errorf("delete a spare wal file: %w", err)
	}
	return nil
}

func (p *pool) keep(s spare, size int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = max(p.next, s.id+1)
	switch {
	case size > p.size || len(p.ready)+len(p.short) >= p.max:
		return false
	case size == p.size:
		p.ready = append(p.ready, s)
		p.full = p.full && len(p.ready) <= p.reserve
	default:
		p.short = append(p.short, s)
	}
	return true
}

// newID names a spare file to come.
func (p *pool) newID() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next++
	return p.next - 1
}

// take returns a file to write to. Without a ready one beyond the reserve it
// takes one that is not filled, or a new one, its blocks allocated at once;
// only on a full disk does it touch the reserve, and only if it may.
func (p *pool) take(reserve bool) (spare, error) {
	if s, ok := p.pop(p.reserve); ok {
		return s, nil
	}
	s := p.unfilled()
	err := p.allocate(&s)
	if err == nil {
		return s, nil
	}
	p.mu.Lock()
	p.short = append(p.short, s)
	p.mu.Unlock()
	if !noSpace(err) {
		return spare{}, fmt.Errorf("allocate a wal file: %w", err)
	}
	_ = p.excuse(err)
	if reserve {
		if s, ok := p.pop(0); ok {
			return s, nil
		}
	}
	return spare{}, fmt.Errorf("%w: %w", ErrNoSpace, err)
}

// pop takes a ready file if there are more than so many.
func (p *pool) pop(keep int) (spare, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.ready) <= keep {
		return spare{}, false
	}
	s := p.ready[0]
	p.ready = append(p.ready[:0], p.ready[1:]...)
	return s, true
}

// unfilled returns a file that is not filled up, or the name of a new one.
func (p *pool) unfilled() spare {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.short); n > 0 {
		s := p.short[n-1]
		p.short = p.short[:n-1]
		return s
	}
	p.next++
	return spare{id: p.next - 1}
}

// allocate gives a file its blocks at once, without writing them where the file
// system can do that.
func (p *pool) allocate(s *spare) error {
	h, err := p.fs.OpenReadWrite(p.path(s.id), category)
	if err != nil {
		return err
	}
	able, err := p.reserveBlocks(h)
	if err == nil && !able {
		s.written, err = p.size, p.writeZeros(h)
	}
	if err == nil { // its length too, so that a file cut short later is known
		_, err = h.WriteAt(make([]byte, pageSize), p.size-pageSize)
	}
	if err = errors.Join(err, h.Close()); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.full = false
	return nil
}

// reserveBlocks gives a file its blocks without writing them; false if the file
// system cannot.
func (p *pool) reserveBlocks(h vfs.File) (able bool, err error) {
	for {
		err = h.Preallocate(0, p.size)
		if !errors.Is(err, syscall.EINTR) { // a signal, such as the scheduler's own
			break
		}
	}
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
		return false, nil
	}
	return true, err
}

func (p *pool) writeZeros(h vfs.File) error {
	zeros := make([]byte, min(fillChunk, p.size))
	for at := int64(0); at < p.size; at += int64(len(zeros)) {
		n := min(int64(len(zeros)), p.size-at)
		if _, err := h.WriteAt(zeros[:n], at); err != nil {
			return err
		}
	}
	return nil
}

// fill does one bounded step and reports whether there is more to do. An error
// other than a full disk is serious.
func (p *pool) fill() (more bool, err error) {
	p.fillMu.Lock()
	defer p.fillMu.Unlock()
	if p.closed {
		return false, nil
	}
	if p.h == nil {
		did, err := p.beginFill()
		if err != nil || p.h == nil {
			return did && err == nil, p.excuse(err)
		}
	}
	if p.zeros == nil {
		p.zeros = make([]byte, fillChunk)
	}
	n := min(int64(len(p.zeros)), p.size-p.file.written)
	if _, err := p.h.WriteAt(p.zeros[:n], p.file.written); err != nil {
		return false, p.excuse(p.abandon(err))
	}
	// Synced piece by piece, so that the lane's own syncs never wait for a
	// whole file of zeros.
	if err := p.h.SyncData(); err != nil {
		return false, p.excuse(p.abandon(err))
	}
	if p.file.written += n; p.file.written < p.size {
		return true, nil
	}
	return true, p.endFill()
}

// beginFill opens the file to fill next, if the pool lacks one, and reports
// whether it did something. Where the file system can give a file its blocks
// unwritten, that is all there is to do.
func (p *pool) beginFill() (bool, error) {
	p.mu.Lock()
	if len(p.ready) >= p.target {
		p.mu.Unlock()
		p.zeros = nil // idle memory counts
		return false, nil
	}
	p.mu.Unlock()
	p.file = p.unfilled()
	h, err := p.fs.OpenReadWrite(p.path(p.file.id), category)
	if err != nil {
		return false, fmt.Errorf("open a wal file to fill: %w", err)
	}
	info, err := h.Stat()
	if err != nil {
		return false, errors.Join(err, h.Close())
	}
	p.h, p.file.written = h, min(info.Size(), p.size)&^(pageSize-1)
	if !p.roomFor(p.size - p.file.written) {
		return false, p.abandon(syscall.ENOSPC)
	}
	able, err := p.reserveBlocks(h)
	if err != nil {
		return false, p.abandon(err)
	}
	if !able {
		return true, nil
	}
	// The size says that all blocks are there, also after a restart.
	if p.file.written < p.size {
		if _, err := h.WriteAt(make([]byte, pageSize), p.size-pageSize); err != nil {
			return false, p.abandon(err)
		}
	}
	return true, p.endFill()
}

// roomFor reports whether the disk has room for so many bytes and leaves some
// for what others must write on a disk that is nearly full: a pool that took
// the last bytes would keep a checkpoint from freeing any. A freed file lacks
// little and so needs little more.
func (p *pool) roomFor(n int64) bool {
	u, err := p.fs.GetDiskUsage(p.dir)
	return n == 0 || err != nil || u.TotalBytes == 0 || u.AvailBytes >= uint64(n+n/fillHeadroom)
}

// endFill makes the file durable under its name and ready.
func (p *pool) endFill() error {
	err := errors.Join(p.h.Sync(), p.h.Close())
	p.h = nil
	if err == nil {
		err = syncDir(p.fs, p.dir)
	}
	if err != nil {
		return fmt.Errorf("sync a filled wal file: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ready, p.full = append(p.ready, p.file), false
	return nil
}

// abandon closes the file being filled after an error; what it has stays for
// the next attempt.
func (p *pool) abandon(err error) error {
	_ = p.h.Close()
	p.h = nil
	p.mu.Lock()
	defer p.mu.Unlock()
	p.short = append(p.short, p.file)
	return fmt.Errorf("fill a wal file: %w", err)
}

// excuse notes a full disk, which is not an error of the lane.
func (p *pool) excuse(err error) error {
	if !noSpace(err) {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.full = true
	return nil
}

func (p *pool) close() {
	p.fillMu.Lock()
	defer p.fillMu.Unlock()
	p.closed = true
	if p.h != nil {
		_ = p.h.Close()
		p.h = nil
	}
}

func noSpace(err error) bool {
	return err != nil && (vfs.IsNoSpaceError(err) || errors.Is(err, syscall.EDQUOT))
}

// syncDir makes the names in a directory durable.
func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("open directory %s to sync: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

func (p *pool) space() Space {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := min(len(p.ready), p.reserve)
	return Space{
		Pool:    int64(len(p.ready)-held) * p.size,
		Reserve: int64(held) * p.size,
		Files:   len(p.ready) + len(p.short),
		Full:    p.full,
	}
}
