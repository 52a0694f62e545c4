package store

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/clock"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store/checkpoint"
	"github.com/polylog-mq/polylog/internal/store/segment"
	"github.com/polylog-mq/polylog/internal/store/wal"
)

// Options configure a store. FS and Dir are required.
type Options struct {
	FS  vfs.FS
	Dir string

	// WALFileSize is the size of new WAL files; default wal.DefaultFileSize.
	// No entry may be larger than half of it.
	WALFileSize int64
	// MaxEntry is the largest entry that will be appended, in bytes. Open
	// refuses a WALFileSize that has no room for one; 0 refuses nothing.
	MaxEntry int
	// TailBytes bounds the entries kept in memory; default DefaultTailBytes.
	TailBytes int64
	// Memory is where they lie; default the Go heap.
	Memory wal.Memory
	// CheckpointBytes is how much WAL may follow a checkpoint before
	// NeedsCheckpoint says so, and so bounds recovery; default
	// DefaultCheckpointBytes.
	CheckpointBytes int64
	// CompactionBytes is the memory for the keys of a partition that is being
	// compacted; default DefaultCompactionBytes.
	CompactionBytes int64
	// WarnBelow and FullBelow are the free bytes of the file system below which
	// the store reports DiskWarn and DiskFull; 0 for a share of its size, see
	// limits.go.
	WarnBelow, FullBelow uint64
	// Rewriting says when level 0 files are rewritten.
	Rewriting Rewriting

	// Salt yields random bytes for file salts; default crypto/rand. A
	// simulator injects its own.
	Salt io.Reader
	// Clock times the looks at the disk that Run takes; default clock.System.
	Clock clock.Clock
	// Logger defaults to discarding.
	Logger *slog.Logger
}

func (o *Options) defaults() error {
	if o.FS == nil || o.Dir == "" {
		return errors.New("store: a file system and a directory are required")
	}
	set := func(v *int64, def int64) {
		if *v == 0 {
			*v = def
		}
	}
	set(&o.WALFileSize, wal.DefaultFileSize)
	set(&o.TailBytes, DefaultTailBytes)
	set(&o.CheckpointBytes, DefaultCheckpointBytes)
	set(&o.CompactionBytes, DefaultCompactionBytes)
	if room := wal.MaxBody(o.WALFileSize); room < o.MaxEntry {
		return fmt.Errorf("store: WALFileSize is %d, so that entries have room for %d bytes, but they may have %d: make it %d or more",
			o.WALFileSize, room, o.MaxEntry, 2*o.MaxEntry)
	}
	o.Rewriting.defaults()
	if o.Clock == nil {
		o.Clock = clock.System()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Store is the open log of one node. All methods may be called from any
// goroutine unless they say otherwise.
//
// Locks, in the order in which they may be taken: rewriting; cutting;
// partition; file; then the tables, the tail, the logs and what the disk has
// shown, none of which is held while another lock is taken. Only the first two
// are held while a file is read or written.
type Store struct {
	o      Options
	lock   io.Closer
	db     *checkpoint.DB
	lane   *wal.Lane
	reader *segment.Reader

	pieces     pieces
	partitions partitionTable
	files      fileTable
	stats      Stats
	disk       disk
	meta       atomic.Pointer[Meta]
	closed     atomic.Bool
	dead       atomic.Pointer[error]
	debt       atomic.Uint64 // a float64; see Health.Debt

	groupsMu sync.RWMutex
	groups   map[record.ShardID]*Log

	// since counts what has happened since the last checkpoint: bytes and
	// entries in the WAL, runs in memory, bytes of records that floors have passed. compact says
	// that compaction waits for one.
	since struct {
		bytes, entries, runs, dead atomic.Int64
		compact                    atomic.Bool
	}

	// cutting is held by whoever makes a checkpoint.
	cutting sync.Mutex
	pending pending
	ballast ballast
	// durable is what the last checkpoint says of each group; it is replaced,
	// never changed.
	durableMu sync.RWMutex
	durable   map[record.ShardID]checkpoint.Group

	// rewriting is held by whoever works on level 1 files.
	rewriting   sync.Mutex
	nextSegment atomic.Uint64
	job         *job
	cleaning    *cleaning
	cleanFirst  bool // it is compaction's turn
	surveyed    atomic.Bool
	wake        chan struct{}
}

// Open opens or creates the data directory and recovers it: the checkpoint,
// then the WAL above it. Errors: ErrLocked, ErrReadOnly, ErrNewerFormat,
// ErrDamaged or *wal.CorruptionError, all wrapped with the path.
func Open(o Options) (*Store, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	lock, err := claim(&o)
	if err != nil {
		return nil, err
	}
	s := &Store{
		o:          o,
		lock:       lock,
		reader:     segment.NewReader(o.FS, maxHandles, cacheBytes),
		pieces:     newPieces(o.WALFileSize),
		partitions: partitionTable{byID: map[record.PartitionID]*partition{}, compacted: map[record.PartitionID]*partition{}, settling: map[record.PartitionID]*partition{}},
		files:      fileTable{byID: map[checkpoint.FileID]*file{}},
		groups:     map[record.ShardID]*Log{},
		durable:    map[record.ShardID]checkpoint.Group{},
		pending: pending{
			files:      map[checkpoint.FileID]checkpoint.File{},
			partitions: map[record.PartitionID]checkpoint.Partition{},
		},
		wake: make(chan struct{}, 1),
	}
	s.findBallast()
	s.weigh()
	if err := s.recover(); err != nil {
		return nil, fmt.Errorf("recovering %s: %w", o.Dir, errors.Join(err, s.close()))
	}
	s.LookAtDisk()
	return s, nil
}

// Err returns nil while the store lives, else ErrDead wrapping the cause.
func (s *Store) Err() error {
	if p := s.dead.Load(); p != nil {
		return *p
	}
	return nil
}

// die makes the store stop acknowledging, and returns why it does not.
func (s *Store) die(cause error) error {
	if errors.Is(cause, wal.ErrClosed) {
		return fmt.Errorf("%w: %w", ErrClosed, cause)
	}
	if !errors.Is(cause, ErrDead) {
		cause = fmt.Errorf("%w: %w", ErrDead, cause)
	}
	if s.dead.CompareAndSwap(nil, &cause) {
		s.o.Logger.Error("the store has failed and acknowledges nothing any more", "error", cause)
	}
	return s.Err()
}

// Log returns a group's Raft log, which exists for every group.
func (s *Store) Log(g record.ShardID) *Log {
	s.groupsMu.RLock()
	l := s.groups[g]
	s.groupsMu.RUnlock()
	if l != nil {
		return l
	}
	s.groupsMu.Lock()
	defer s.groupsMu.Unlock()
	if l := s.groups[g]; l != nil {
		return l
	}
	l = &Log{s: s, group: g}
	s.groups[g] = l
	return l
}

// Meta returns what Bootstrap wrote; false before.
func (s *Store) Meta() (Meta, bool) {
	if m := s.meta.Load(); m != nil {
		return *m, true
	}
	return Meta{}, false
}

// Bootstrap writes the identity of a new node and the first state of its
// groups, durably and all at once. A log without an identity is the rest of a
// node that has lost its checkpoint, and no place to begin another.
func (s *Store) Bootstrap(m Meta, cuts []GroupCut) error {
	s.cutting.Lock()
	defer s.cutting.Unlock()
	if s.meta.Load() != nil {
		return ErrBootstrapped
	}
	if s.since.entries.Load() > 0 {
		return s.damage(s.stateDir(), 0, "it knows no node, but the log has entries")
	}
	c, err := s.newCut(cuts, &wal.Position{})
	if err != nil {
		return err
	}
	cm := checkpoint.Meta(m)
	c.Meta = &cm
	if err := s.commit(c); err != nil {
		return err
	}
	s.meta.Store(&m)
	return nil
}

// Applied returns what the durable checkpoint says of a group.
func (s *Store) Applied(g record.ShardID) (i record.Index, t record.Term, conf []byte, ok bool) {
	s.durableMu.RLock()
	defer s.durableMu.RUnlock()
	d, ok := s.durable[g]
	return d.Applied, d.Term, d.Conf, ok
}

// LoadPages walks over a group's pages of the durable checkpoint in the order
// of their keys. The slices are valid only during the call of yield.
func (s *Store) LoadPages(g record.ShardID, yield func(key, value []byte) error) error {
	return s.explain(s.db.Pages(g, yield))
}

// PagesBetween walks likewise over those whose keys lie between two; the second
// is excluded.
func (s *Store) PagesBetween(g record.ShardID, from, to []byte, yield func(key, value []byte) error) error {
	return s.explain(s.db.PagesBetween(g, from, to, yield))
}

// Close fails what is queued with ErrClosed and closes all files. It writes no
// checkpoint but notes how far the log had come, so that the next start finds
// out if somebody has cut it short. Run must have returned. A second call does
// nothing.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	err := s.noteEnd()
	if err = errors.Join(err, s.close()); err != nil {
		return fmt.Errorf("closing the store: %w", err)
	}
	return nil
}

// noteEnd is left out on a disk without room, since Pebble would not survive it.
func (s *Store) noteEnd() error {
	s.cutting.Lock()
	defer s.cutting.Unlock()
	s.LookAtDisk()
	if s.Err() != nil || s.roomLeft() < checkpointRoom {
		return nil
	}
	return s.db.Reached(s.reached())
}

func (s *Store) close() (err error) {
	s.rewriting.Lock()
	if s.job != nil {
		s.job.abort()
		s.job = nil
	}
	s.cleaning = nil
	s.rewriting.Unlock()
	if s.ballast.f != nil {
		err = s.ballast.f.Close()
	}
	if s.lane != nil {
		err = errors.Join(err, s.lane.Close())
	}
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
	}
	s.reader.Close()
	return errors.Join(err, s.lock.Close())
}
