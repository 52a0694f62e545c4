package store

import (
	"context"
	"io"
	"log/slog"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/clock"
	"github.com/polylog-mq/polylog/internal/record"
)

// Options configure a store. FS and Dir are required.
type Options struct {
	FS  vfs.FS
	Dir string

	// WALFileSize is the size of new WAL files; default wal.DefaultFileSize.
	WALFileSize int64
	// TailBytes bounds the entries kept in memory; default DefaultTailBytes.
	TailBytes int64
	// CheckpointBytes is how much WAL may follow a checkpoint before
	// NeedsCheckpoint says so, and so bounds recovery; default
	// DefaultCheckpointBytes.
	CheckpointBytes int64

	// Salt yields random bytes for file salts; default crypto/rand. A
	// simulator injects its own.
	Salt io.Reader
	// Clock times the looks at the disk that Run takes; default clock.System.
	Clock clock.Clock
	// Logger defaults to discarding.
	Logger *slog.Logger
}

// Store is the open log of one node.
type Store struct{}

// Open opens or creates the data directory and recovers it: the checkpoint,
// then the WAL above it. Errors: ErrLocked, ErrReadOnly, ErrNewerFormat,
// ErrDamaged or *wal.CorruptionError, all wrapped with the path.
func Open(o Options) (*Store, error) { panic("store: not yet") }

// Meta returns what Bootstrap wrote; false before.
func (s *Store) Meta() (Meta, bool) { panic("store: not yet") }

// Bootstrap writes the identity of a new node and the first state of its
// groups, durably and all at once.
func (s *Store) Bootstrap(m Meta, cuts []GroupCut) error { panic("store: not yet") }

// Log returns a group's Raft log, which exists for every group.
func (s *Store) Log(g record.ShardID) *Log { panic("store: not yet") }

// Append queues additions to the logs of groups and never blocks. They are in
// the logs on return; done is called from Flush once they are durable (see
// Append.Sync; one that asks is enough for all), in the order of Append. An
// error is final: the store is dead.
//
// Appends of one group must not be concurrent.
func (s *Store) Append(batch []Append, done func(error)) { panic("store: not yet") }

// Flush writes what is queued and syncs it, calls what waits for that, and
// reports whether there was anything. One goroutine at a time may call it.
func (s *Store) Flush() bool { panic("store: not yet") }

// Ready receives a value when there is something to flush.
func (s *Store) Ready() <-chan struct{} { panic("store: not yet") }

// AddRuns makes the records of an applied entry readable. Calls of one group
// are in the order of the log; within a partition offsets only grow. Runs whose
// offsets are there already are ignored: replay adds them again. runs is not
// kept.
func (s *Store) AddRuns(g record.ShardID, i record.Index, runs []Run) { panic("store: not yet") }

// SetFloor says, from apply of entry i of group g, that records of a
// partition's level below o are no longer wanted. Floors only rise. They are
// part of the next checkpoint that covers i.
func (s *Store) SetFloor(g record.ShardID, i record.Index, p record.PartitionID, level uint8, o record.Offset) {
	panic("store: not yet")
}

// DropPartition says, from apply of entry i of group g, that nothing of a
// partition is wanted any more. Its id is never used again.
func (s *Store) DropPartition(g record.ShardID, i record.Index, p record.PartitionID) {
	panic("store: not yet")
}

// Bounds returns the offset of the first record that can be read and the one
// after the last.
func (s *Store) Bounds(p record.PartitionID) (first, next record.Offset, err error) {
	panic("store: not yet")
}

// Read adds whole batches of a partition to dst, in the order of offsets over
// all levels: from the batch that holds offset from, or the first one after
// it, while they end before limit and fit into maxBytes. With minOne the first
// batch is taken whatever its size. Batches have their base offsets and epochs
// set. Records that are in memory are neither copied nor read; sealed data is
// verified.
//
// dst.Next is where to go on: after the last batch, or at from if there was
// none. Errors: ErrNoPartition, ErrOffsetOutOfRange, ErrDamaged; dst then has
// nothing of this read.
func (s *Store) Read(dst *Result, p record.PartitionID, from, limit record.Offset, maxBytes int, minOne bool) error {
	panic("store: not yet")
}

// FindTime finds the first record with an offset in [from, limit) and a
// timestamp of at least ts milliseconds; false if there is none.
func (s *Store) FindTime(p record.PartitionID, from, limit record.Offset, ts int64) (Found, bool, error) {
	panic("store: not yet")
}

// FindMaxTime finds the first record with the largest timestamp in [from,
// limit).
func (s *Store) FindMaxTime(p record.PartitionID, from, limit record.Offset) (Found, bool, error) {
	panic("store: not yet")
}

// NeedsCheckpoint reports whether the log has grown enough since the last
// checkpoint.
func (s *Store) NeedsCheckpoint() bool { panic("store: not yet") }

// Checkpoint makes the cuts durable, all or none, compacts the logs and frees
// files. It blocks on the disk and runs beside everything but itself, Import's
// Commit and Bootstrap, for which it waits.
func (s *Store) Checkpoint(cuts []GroupCut) error { panic("store: not yet") }

// Applied returns what the durable checkpoint says of a group.
func (s *Store) Applied(g record.ShardID) (i record.Index, t record.Term, conf []byte, ok bool) {
	panic("store: not yet")
}

// LoadPages walks over a group's pages of the durable checkpoint in the order
// of their keys. The slices are valid only during the call of yield.
func (s *Store) LoadPages(g record.ShardID, yield func(key, value []byte) error) error {
	panic("store: not yet")
}

// Rewrite does one step, about budget bytes, of rewriting level 0 files into
// level 1, and reports whether there was anything to do. Its results count
// from the next checkpoint on. One goroutine at a time may call it.
func (s *Store) Rewrite(budget int) (bool, error) { panic("store: not yet") }

// NewImport begins the installation of a snapshot of group g.
func (s *Store) NewImport(g record.ShardID) *Import { panic("store: not yet") }

// Health tells what the store can do. It is cheap.
func (s *Store) Health() Health { panic("store: not yet") }

// Run drives Flush, the WAL's pool, Rewrite and the looks at the disk until
// ctx is done or the store dies, and returns why it died, if it did.
func (s *Store) Run(ctx context.Context) error { panic("store: not yet") }

// Close fails what is queued with ErrClosed and closes all files. It writes no
// checkpoint. Run must have returned.
func (s *Store) Close() error { panic("store: not yet") }
