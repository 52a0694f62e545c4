package wal

import (
	"context"
	"io"
	"log/slog"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/record"
)

// Options configure a lane.
type Options struct {
	FS   vfs.FS
	Dir  string // holds nothing but this lane; created when absent
	Lane uint16 // written to every frame, so that a file cannot pass for another lane's

	// FileSize is the size of new files in bytes; default DefaultFileSize.
	// Files of another size that exist already keep theirs.
	FileSize int64
	// From is the first file that recovery reads; 0 means the first there is.
	// Earlier files are left alone until freed.
	From FileNum

	// PoolTarget is how many files Fill keeps ready (default 2), of which
	// PoolReserve (default 1) serve only batches with Reserve. Freed files
	// beyond PoolMax (default 8) are deleted.
	PoolTarget, PoolReserve, PoolMax int

	// Salt yields the random salt of each file; default crypto/rand. A
	// simulator injects its own.
	Salt io.Reader
	// Logger defaults to discarding.
	Logger *slog.Logger
}

// Lane is an open write-ahead log. Append, ReadAt, Free, Active, Sealed and
// Space may be called from any goroutine; Flush and Fill each from one at a
// time.
type Lane struct {
}

// Open reads the lane from file Options.From on and calls visit for every
// entry and hard state in order, those repeated at the head of a file
// included. The body that visit sees is valid only during the call. An error
// of visit ends Open.
//
// A torn tail, the remains of a write that was never acknowledged, is erased.
// Damage to what was durable yields a *CorruptionError and changes nothing.
// When Open returns, all that was visited is durable.
func Open(o Options, visit func(pos Position, f Frame) error) (*Lane, error) {
	panic("wal: not yet")
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
	// Done is called once, from Flush, in the order of Append. pos has one
	// position per frame, is valid only during the call, and is nil on error.
	// Done must not call Flush; it may call Append.
	Done func(pos []Position, err error)
}

// Append queues a batch and never blocks. The order of Append is the order on
// disk and the order of Done. A batch may be torn by a crash: some of its
// frames, always the first ones, may survive without the rest.
func (l *Lane) Append(b *Batch) { panic("wal: not yet") }

// Flush writes what is queued, up to about 4 MiB, syncs once if any batch asks
// for it, calls Done for each, and reports whether there was anything. When
// there was nothing, and what was synced last is not yet marked so, it writes
// that mark without a sync.
func (l *Lane) Flush() bool { panic("wal: not yet") }

// Fill does one bounded step of preparing files for the pool and reports
// whether there was any to do. It may run beside Flush.
func (l *Lane) Fill() bool { panic("wal: not yet") }

// Ready receives a value after batches were queued.
func (l *Lane) Ready() <-chan struct{} { panic("wal: not yet") }

// Run drives Flush and Fill until ctx ends or the lane dies, and returns the
// error of the lane, if any.
func (l *Lane) Run(ctx context.Context) error { panic("wal: not yet") }

// ReadAt fills p from the file at offset off. It reads sealed files too, and
// never bytes of a file that was freed and used again: a file being read is
// not reused before the read is over, and after Free the answer is ErrNoFile.
func (l *Lane) ReadAt(f FileNum, p []byte, off int64) (int, error) { panic("wal: not yet") }

// Active returns the file being written. All earlier ones are sealed: whole,
// durable and immutable.
func (l *Lane) Active() FileNum { panic("wal: not yet") }

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
func (l *Lane) Sealed() []FileInfo { panic("wal: not yet") }

// Free gives sealed files back to the pool. On return they are gone from the
// lane, durably. Freeing a file that the lane does not have is no error.
func (l *Lane) Free(files ...FileNum) error { panic("wal: not yet") }

// Space says what room the lane has without asking the file system.
type Space struct {
	Active  int64 // bytes left in the file being written
	Pool    int64 // bytes of ready files that any batch may use
	Reserve int64 // bytes of ready files kept for batches with Reserve
	Files   int   // all files of the lane: active, sealed and pooled
	Full    bool  // the disk was full when a file was last wanted
}

// Space reports the room left.
func (l *Lane) Space() Space { panic("wal: not yet") }

// Err returns nil while the lane lives, else ErrLaneDead wrapping the cause.
func (l *Lane) Err() error { panic("wal: not yet") }

// Close fails what is queued with ErrClosed and closes the files. It syncs
// nothing that was not asked for.
func (l *Lane) Close() error { panic("wal: not yet") }
