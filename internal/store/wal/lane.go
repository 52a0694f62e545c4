package wal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/record"
)

// Options configure a lane.
type Options struct {
	// FS may be a DirectFS.
	FS   vfs.FS
	Dir  string // holds nothing but this lane; created when absent
	Lane uint16 // written to every frame, so that a file cannot pass for another lane's

	// FileSize is the size of new files in bytes, a multiple of 4 KiB; default
	// DefaultFileSize. Files of another size that exist already keep theirs.
	FileSize int64
	// From is the first file that recovery reads; 0 means the first there is.
	// Earlier files are left alone until freed.
	From FileNum
	// End is how far the lane is known to have been durable, as End said: a
	// lane that ends before is damaged. The zero value knows nothing.
	End Position
	// Accept is asked when everything has been read and nothing is changed
	// yet; its error ends Open. Default: no questions.
	Accept func() error

	// PoolTarget is how many files Fill keeps ready (default 2), of which
	// PoolReserve (default 1) serve only batches with Reserve. Freed files
	// beyond PoolMax (default 8) are deleted. A negative value means 0.
	PoolTarget, PoolReserve, PoolMax int

	// Keep is how many bytes of what was written last stay in memory, where
	// Frame.Chunk says; default none.
	Keep int64
	// Memory is where they lie; default the Go heap.
	Memory Memory

	// Salt yields the random salt of each file; default crypto/rand. A
	// simulator injects its own.
	Salt io.Reader
	// Logger defaults to discarding.
	Logger *slog.Logger
}

func (o *Options) defaults() error {
	count := func(n *int, def int) {
		if *n == 0 {
			*n = def
		}
		*n = max(*n, 0)
	}
	count(&o.PoolTarget, 2)
	count(&o.PoolReserve, 1)
	count(&o.PoolMax, 8)
	if o.FileSize == 0 {
		o.FileSize = DefaultFileSize
	}
	if o.Memory == nil {
		o.Memory = &heapMemory{}
	}
	if o.Salt == nil {
		o.Salt = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if !validSize(o.FileSize) {
		return fmt.Errorf("wal file size %d is not a multiple of %d between %d and %d", o.FileSize, pageSize, MinFileSize, maxFileSize)
	}
	return nil
}

// Lane is an open write-ahead log. All methods may be called from any
// goroutine.
type Lane struct {
	o      Options
	direct DirectFS // nil: the files are written through the page cache
	pool   pool
	files  files

	// The queue.
	mu     sync.Mutex
	queue  []*Batch
	left   bool // a flush left some of what it took for the next one
	active FileNum
	end    Position // up to where all is durable
	room   int64    // bytes left in the active file
	cause  error    // why the lane is dead or closed
	ready  chan struct{}
	refill chan struct{} // tells Run's filler that the pool may lack files

	freeMu sync.Mutex // one Free at a time
	steps  atomic.Uint64

	// What a flush works on.
	flushMu  sync.Mutex
	work     []*Batch // taken from the queue; those before done are finished
	done     int
	step     []outcome
	pos      []Position
	w        writer
	heads    heads
	max      []GroupIndex // of the active file
	spares   []spare      // taken from the pool for the batch at hand
	sequence uint64       // of the last frame written
	durable  uint64       // of the last frame synced
	marked   uint64       // the largest durable that a frame says
}

// outcome is what became of a batch in the current step.
type outcome struct {
	batch *Batch
	first int // its positions begin here in Lane.pos
	err   error
}

// Batch is a unit of Append. It belongs to the lane until Done was called.
type Batch struct {
	Frames []Frame
	// Sync asks that Done wait for the sync; otherwise it only waits for the
	// write, which a later sync makes durable.
	Sync bool
	// Reserve lets the batch use the files that the pool holds back: settles,
	// hard states, and what a checkpoint needs on a full disk.
	Reserve bool
	// Done is called once, from Flush or Close, in the order of Append. pos
	// has one position per frame, is valid only during the call, and is nil on
	// error. Done must call neither Flush nor Close; it may call Append.
	Done func(pos []Position, err error)
}

// Append queues a batch and never blocks. The order of Append is the order on
// disk and the order of Done. A batch may be torn by a crash: some of its
// frames, always the first ones, may survive without the rest. The caller
// bounds what it has queued.
func (l *Lane) Append(b *Batch) {
	for i := range b.Frames {
		if f := &b.Frames[i]; len(f.Body) >= sumAhead && len(f.Splices) == 0 {
			f.sum = checksum(0, f.Body)
		}
	}
	l.mu.Lock()
	l.queue = append(l.queue, b)
	l.mu.Unlock()
	signal(l.ready)
}

// Pending reports whether there is anything queued for Flush to write.
func (l *Lane) Pending() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left || len(l.queue) > 0
}

// Ready receives a value after batches were queued.
func (l *Lane) Ready() <-chan struct{} { return l.ready }

// Run drives Flush and Fill until ctx ends and returns the error of the lane,
// if any. A dead lane goes on answering. A new lane is left without a pool
// until half of its first file is used: a start does not wait for a disk that
// is busy with zeros, and a node that is hardly used takes little room.
func (l *Lane) Run(ctx context.Context) error {
	var filler sync.WaitGroup
	filler.Go(func() { l.RunFill(ctx, func() {}) })
	defer filler.Wait()
	for {
		for ctx.Err() == nil && l.Flush() {
		}
		select {
		case <-ctx.Done():
			return l.Err()
		case <-l.ready:
		}
	}
}

// RunFill drives Fill alone until ctx ends. It calls rested whenever there is, for
// now, nothing more to do or no room to do it.
func (l *Lane) RunFill(ctx context.Context, rested func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.refill:
		}
		for ctx.Err() == nil && l.Fill() {
		}
		rested()
	}
}

// Fill does one bounded step of preparing files for the pool and reports
// whether there was any to do. It may run beside Flush. On a full disk it does
// nothing, says so in Space, and may be tried again.
func (l *Lane) Fill() bool {
	if l.Err() != nil {
		return false
	}
	more, err := l.pool.fill()
	if err != nil {
		_ = l.die(err)
	}
	return more && err == nil
}

// Active returns the file being written. All earlier ones are sealed: whole,
// durable and immutable.
func (l *Lane) Active() FileNum {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.active
}

// End returns up to where the lane is durable: the file, and the offset in it,
// where the next frame after the latest sync begins.
func (l *Lane) End() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end
}

// GroupIndex is the largest index that a file holds of a group.
type GroupIndex struct {
	Group record.ShardID
	Index record.Index
}

// FileInfo describes a sealed file.
type FileInfo struct {
	Num FileNum
	// Length is where its last frame ends, in bytes; 0 for a file before
	// Options.From, which was not read.
	Length int64
	// MaxIndex has the largest index of each group with entries in the file,
	// sorted by group; nil for a file that was not read.
	MaxIndex []GroupIndex
}

// Sealed returns the files before the active one that are not freed, in
// order, those before Options.From included.
func (l *Lane) Sealed() []FileInfo { return l.files.before(l.Active()) }

// ReadAt fills p from the file at offset off. It reads sealed files too, and
// never bytes of a file that was freed and used again: a file being read is
// not reused before the read is over, and after Free the answer is ErrNoFile.
// A file that ends early yields io.EOF or io.ErrUnexpectedEOF.
func (l *Lane) ReadAt(n FileNum, p []byte, off int64) (int, error) {
	f, err := l.files.acquire(n)
	if err != nil {
		return 0, err
	}
	defer l.files.release(f)
	got, err := f.h.ReadAt(p, off)
	switch {
	case got == len(p):
		return got, nil
	case errors.Is(err, io.EOF) && got > 0:
		err = io.ErrUnexpectedEOF
	}
	return got, fmt.Errorf("read %d bytes at offset %d of wal file %d: %w", len(p), off, n, err)
}

// Prefetch asks the kernel to read so many bytes of a file into the page cache, in
// large pieces and without waiting for them. It is only advice.
func (l *Lane) Prefetch(n FileNum, off, bytes int64) {
	if f, err := l.files.acquire(n); err == nil {
		_ = f.h.Prefetch(off, bytes)
		l.files.release(f)
	}
}

// Free gives sealed files back to the pool. On return they are gone from the
// lane, durably. Freeing a file that the lane does not have is no error. The
// caller's durable Options.From must be above every file freed.
func (l *Lane) Free(nums ...FileNum) error {
	l.freeMu.Lock()
	defer l.freeMu.Unlock()
	if err := l.Err(); err != nil {
		return err
	}
	active := l.Active()
	for _, n := range nums {
		if n >= active {
			return fmt.Errorf("free wal file %d: it is not sealed", n)
		}
	}
	for _, n := range nums {
		next := spare{id: l.pool.newID()}
		f := l.files.retire(n, func() { l.recycle(next) })
		if f == nil {
			continue
		}
		next.written = roundUp(f.info.Length)
		// Released, and with that reused, only when the new name is durable.
		defer l.files.release(f)
		if err := l.o.FS.Rename(f.path, l.pool.path(next.id)); err != nil {
			return l.die(fmt.Errorf("rename a freed wal file: %w", err))
		}
	}
	if err := syncDir(l.o.FS, l.o.Dir); err != nil {
		return l.die(err)
	}
	return nil
}

// recycle gives a freed file that nobody reads any more to the pool.
func (l *Lane) recycle(s spare) {
	if l.Err() != nil {
		return
	}
	if err := l.pool.adopt(s); err != nil {
		_ = l.die(err)
	}
	signal(l.refill)
}

// Space says what room the lane has without asking the file system.
type Space struct {
	Active  int64 // bytes left in the file being written
	Pool    int64 // bytes of ready files that any batch may use
	Reserve int64 // bytes of ready files kept for batches with Reserve
	Files   int   // all files of the lane: active, sealed and pooled
	Full    bool  // the disk was full when a file was last wanted
}

// Space reports the room left.
func (l *Lane) Space() Space {
	s := l.pool.space()
	s.Files += l.files.count()
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Active = l.room
	return s
}

// Err returns nil while the lane lives, ErrLaneDead wrapping the cause once it
// is dead, and ErrClosed after Close.
func (l *Lane) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

// die makes the lane dead; the first cause counts.
func (l *Lane) die(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == nil {
		l.cause = fmt.Errorf("%w: %w", ErrLaneDead, err)
		l.o.Logger.Error("the write-ahead log has failed and acknowledges nothing more", "dir", l.o.Dir, "err", err)
	}
	return l.cause
}

// Close fails what is queued with ErrClosed and closes the files. It syncs
// nothing that was not asked for.
func (l *Lane) Close() error {
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	l.mu.Lock()
	if errors.Is(l.cause, ErrClosed) {
		l.mu.Unlock()
		return nil
	}
	l.cause = ErrClosed
	l.mu.Unlock()
	for l.gather() {
		l.flushStep()
	}
	l.pool.close()
	l.files.close()
	l.w.recent.close()
	l.w.chunk.Release()
	if l.w.f == nil { // it died while changing files
		return nil
	}
	if err := l.w.f.Close(); err != nil {
		return fmt.Errorf("close wal file %d: %w", l.w.num, err)
	}
	return nil
}

func (l *Lane) path(n FileNum) string { return l.o.FS.PathJoin(l.o.Dir, fileName(n)) }

// signal leaves a value in a channel of capacity one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
