package store

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/polylog-mq/polylog/internal/store/checkpoint"
	"github.com/polylog-mq/polylog/internal/store/segment"
	"github.com/polylog-mq/polylog/internal/store/wal"
)

// file is a data file that runs point into: a WAL file (level 0) or a level 1
// file.
type file struct {
	level uint8
	num   uint64
	path  string // of a level 1 file

	spans atomic.Int64 // of partitions, that lie here
	live  atomic.Int64 // bytes of bodies that are still wanted, about
	runs  atomic.Int64 // added, wanted or not
	// settled is how many of the live bytes are those of settled records, as of
	// the last survey.
	settled atomic.Int64
	dirty   atomic.Bool // runs were added that no durable index has

	// seen says which pieces of lookBytes of a WAL file were read before, and which
	// twice.
	seen, again [maxLooked / 64]atomic.Uint64

	// shared says which pieces of a level 1 file were read for all readers; see pieces.
	shared [maxShared / 64]atomic.Uint64
	// final is the index once it holds all runs that the file will ever have.
	final atomic.Pointer[segment.Index]

	mu     sync.Mutex
	chains []chainKey // with spans here whose runs are in memory
	// What the checkpoint says, or will say with the next one.
	info    checkpoint.File
	index   *segment.Index
	damaged bool // a read failed: rewriting would fail too
}

// chainKey names a level of a partition.
type chainKey struct {
	p     *partition
	level uint8
}

func (k chainKey) compare(o chainKey) int {
	return cmp.Or(cmp.Compare(k.p.id, o.p.id), cmp.Compare(k.level, o.level))
}

func (f *file) id() checkpoint.FileID { return checkpoint.FileID{Level: f.level, Num: f.num} }

func (f *file) compare(o *file) int {
	return cmp.Or(cmp.Compare(f.level, o.level), cmp.Compare(f.num, o.num))
}

// attach notes that a level of a partition has a span here whose runs are in
// memory.
func (f *file) attach(k chainKey) {
	f.spans.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.chains = append(f.chains, k)
}

// attached returns the levels with runs in memory, in the order of an index.
func (f *file) attached() []chainKey {
	f.mu.Lock()
	ks := slices.Clone(f.chains)
	f.mu.Unlock()
	slices.SortFunc(ks, chainKey.compare)
	return slices.Compact(ks)
}

func (f *file) isFinal() bool { return f.final.Load() != nil }

// fileTable knows all files that runs point into.
type fileTable struct {
	mu   sync.RWMutex
	byID map[checkpoint.FileID]*file
}

func (t *fileTable) get(id checkpoint.FileID) *file {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byID[id]
}

// wal returns the file object of a WAL file, a new one if need be.
func (t *fileTable) wal(n wal.FileNum) *file {
	id := checkpoint.FileID{Num: uint64(n)}
	if f := t.get(id); f != nil {
		return f
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.byID[id]; f != nil {
		return f
	}
	f := &file{num: uint64(n), info: checkpoint.File{FileID: id}}
	t.byID[id] = f
	return f
}

func (t *fileTable) add(f *file) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byID[f.id()] = f
}

func (t *fileTable) remove(id checkpoint.FileID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byID, id)
}

// all returns the files in the order of level and number.
func (t *fileTable) all() []*file {
	t.mu.RLock()
	fs := make([]*file, 0, len(t.byID))
	for _, f := range t.byID {
		fs = append(fs, f)
	}
	t.mu.RUnlock()
	slices.SortFunc(fs, (*file).compare)
	return fs
}

// readFile fills b from a data file. The error is errGone when the file has
// been replaced and the run must be looked up again, a *DamageError when the
// file is too short.
func (s *Store) readFile(f *file, b []byte, off int64) error {
	var err error
	if f.level == 0 {
		_, err = s.lane.ReadAt(wal.FileNum(f.num), b, off)
	} else {
		err = s.reader.ReadData(f.path, b, off)
	}
	return s.readError(f, off, err)
}

// prefetch has the kernel read a part of a data file into the page cache: in large
// pieces, which takes a quarter of the processor time of reading what is not there.
func (s *Store) prefetch(f *file, off, bytes int64) {
	if f.level == 0 {
		s.lane.Prefetch(wal.FileNum(f.num), off, bytes)
	} else {
		s.reader.PrefetchData(f.path, off, bytes)
	}
}

// readError says what it means that a read failed, if it did.
func (s *Store) readError(f *file, off int64, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, wal.ErrNoFile) || errors.Is(err, segment.ErrGone):
		return errGone
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return s.damage(s.pathOf(f), off, "the file ends too early")
	}
	return s.explain(fmt.Errorf("reading records: %w", err))
}

// looked reports whether most of the bytes of a WAL file from off on were read
// twice before.
func (f *file) looked(off, n int64) bool {
	first, end := looks(off, n)
	seen := int64(0)
	for i := first; i < end; i++ {
		seen += int64(f.again[i/64].Load() >> (i % 64) & 1)
	}
	return 2*seen >= end-first
}

// look notes that they are read.
func (f *file) look(off, n int64) {
	first, end := looks(off, n)
	for i := first; i < end; i++ {
		if bit := uint64(1) << (i % 64); f.seen[i/64].Or(bit)&bit != 0 {
			f.again[i/64].Or(bit)
		}
	}
}

// looks returns what stands for bytes in file.seen: the pieces that they fill, so
// that neighbours do not share any, or else the one in their middle.
func looks(off, n int64) (first, end int64) {
	if first, end = (off+lookBytes-1)/lookBytes, (off+n)/lookBytes; first >= end {
		first = (off + n/2) / lookBytes
		end = first + 1
	}
	return min(first, maxLooked), min(end, maxLooked)
}

// hasLongRuns reports whether the runs of a WAL file are so long on average.
func (f *file) hasLongRuns(least int64) bool {
	runs := f.runs.Load()
	return f.level == 0 && runs > 0 && f.live.Load()/runs >= least
}

// pieced reports whether piece n was read for all readers once.
func (f *file) pieced(n int64) bool {
	return n >= maxShared || f.shared[n/64].Load()&(1<<(n%64)) != 0
}

func (f *file) setPieced(n int64) { f.shared[n/64].Or(1 << (n % 64)) }

// readPiece reads size bytes of a data file, or a few more around them, into
// pooled memory, and returns where that begins in the file.
//
// Much of a WAL file that was not read twice is read past the page cache, as it
// was written: one reader who catches up would only push out of the cache what
// others need, and to fill it takes longer. Who comes later reads through the
// cache, so that many who catch up together need the disk three times and not many
// times.
func (s *Store) readPiece(f *file, off, size int64) (b *[]byte, at int64, err error) {
	if f.level > 0 || size < directBytes || !s.lane.Direct() || f.looked(off, size) {
		b = getRead(int(size))
		return b, off, s.readFile(f, *b, off)
	}
	f.look(off, size)
	const page = wal.PageSize
	at = off &^ (page - 1)
	b = getRead(int((off+size+page-1)&^(page-1) - at))
	_, err = s.lane.ReadDirect(wal.FileNum(f.num), *b, at)
	return b, at, s.readError(f, off, err)
}

// pathOf names a data file in messages.
func (s *Store) pathOf(f *file) string {
	if f.level > 0 {
		return f.path
	}
	return wal.FilePath(s.o.FS, s.walDir(), wal.FileNum(f.num))
}

// explain turns the damage of a segment, of the checkpoint or of a WAL file that
// is read as a segment into the store's.
func (s *Store) explain(err error) error {
	var d *segment.DamageError
	var c *wal.CorruptionError
	switch {
	case checkpoint.IsDamage(err):
		return s.damage(s.stateDir(), 0, err.Error())
	case errors.Is(err, segment.ErrGone):
		return errGone
	case errors.As(err, &d):
		return s.damage(d.Path, d.Offset, d.Reason)
	case errors.As(err, &c):
		return s.damage(c.Path, c.Offset, c.Reason)
	}
	return err
}

func (s *Store) damage(path string, off int64, reason string) error {
	return &DamageError{Path: path, Offset: off, Reason: reason, Hint: damageHint}
}

const damageHint = "restore this file from a backup, or replace this node by one with an empty data directory and a new node id"

// errGone reports that a run's file was replaced since it was looked up.
var errGone = errors.New("the file was replaced")
