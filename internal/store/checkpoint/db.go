package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/record"
)

// ErrFailed reports that the database could not write: what it holds is
// unknown until it is opened again.
var ErrFailed = errors.New("the checkpoint database has failed")

// ErrMissing reports that there is no database where there must be one.
var ErrMissing = errors.New("there is no checkpoint database")

// ErrMixed reports that a part of the database is of another moment than the
// rest: a file was lost, or an older one put in its place.
var ErrMixed = errors.New("cuts are missing between those that are there")

// errUnreadable is what Pebble says of its files when it opens them, in whatever
// words, unless the system would not let it.
var errUnreadable = errors.New("its files do not fit together")

// IsDamage reports whether an error of Open, Load or Pages says that stored bytes
// are missing or not what was written, and not that the disk fails or is full.
func IsDamage(err error) bool {
	return errors.Is(err, errUnreadable) || errors.Is(err, ErrMissing) || errors.Is(err, ErrMixed) || errors.Is(err, errValue) ||
		pebble.IsCorruptionError(err) || oserror.IsNotExist(err) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// DB is the database of checkpoints. Commit is for one goroutine at a time;
// Pages may run beside it and sees one checkpoint.
type DB struct {
	db  *pebble.DB
	log *logger
	cut uint64 // the number of the latest cut
}

// Open opens the database in dir, or creates it if it may. Errors: ErrMissing,
// ErrMixed, those of Pebble.
func Open(fs vfs.FS, dir string, l *slog.Logger, create bool) (*DB, error) {
	return openDB(fs, dir, l, func(o *pebble.Options) { o.ErrorIfNotExists = !create })
}

func openDB(fs vfs.FS, dir string, l *slog.Logger, more func(*pebble.Options)) (*DB, error) {
	d := &DB{log: &logger{l: l, failed: make(chan struct{})}}
	o := &pebble.Options{
		FS:                 markerFS{fs},
		Cache:              pebble.NewCache(cacheBytes),
		MemTableSize:       memTableBytes,
		MaxOpenFiles:       maxOpenFiles,
		FormatMajorVersion: pebble.FormatNewest,
		Logger:             d.log,
	}
	// By default Pebble makes a fatal error of what it finds damaged, wherever it
	// is just then. Whoever reads gets the error anyway.
	o.EventListener = &pebble.EventListener{DataCorruption: func(i pebble.DataCorruptionInfo) {
		d.log.fail(fmt.Errorf("%w: %s: %w", ErrFailed, i.Path, i.Details))
	}}
	more(o)
	defer o.Cache.Unref()
	// The default scheduler looks for compactions ten times a second for as
	// long as the process lives; this one, only when one has ended or might be
	// due. At most one runs at a time, so that is enough.
	o.Experimental.CompactionScheduler = scheduler{pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest(), d.log}
	o.CompactionConcurrencyRange = func() (int, int) { return 1, 1 }
	o.EnsureDefaults()
	err := d.guard(func() (err error) {
		d.db, err = pebble.Open(dir, o)
		return err
	})
	if errors.Is(err, pebble.ErrDBDoesNotExist) {
		err = ErrMissing
	}
	if err == nil {
		if err = d.findCut(); err != nil {
			err = errors.Join(err, d.Close())
		}
	}
	if _, system := errors.AsType[syscall.Errno](err); err != nil && !system && !d.log.hasFailed() {
		err = fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the checkpoint database %s: %w", dir, err)
	}
	return d, nil
}

// scheduler lets a database that has failed compact no more: damage would make
// the same compaction fail, and be tried again, without end.
type scheduler struct {
	pebble.CompactionScheduler
	log *logger
}

// Register puts the question whether the database has failed before its own.
func (s scheduler) Register(n int, db pebble.DBForCompaction) {
	s.CompactionScheduler.Register(n, resting{db, s.log})
}

type resting struct {
	pebble.DBForCompaction
	log *logger
}

// GetAllowedWithoutPermission is how many compactions may run.
func (r resting) GetAllowedWithoutPermission() int {
	if r.log.hasFailed() {
		return 0
	}
	return r.DBForCompaction.GetAllowedWithoutPermission()
}

// markerFS makes a marker file, by which Pebble names the manifest in force,
// never outlive the manifest's own name in a crash: Pebble syncs both names
// with one sync of the directory, which orders neither before the other.
type markerFS struct{ vfs.FS }

func (fs markerFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(fs.PathBase(name), "marker.") {
		d, err := fs.OpenDir(fs.PathDir(name))
		if err != nil {
			return nil, err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return nil, err
		}
	}
	return fs.FS.Create(name, category)
}

// Unwrap lets Pebble find the file system beneath.
func (fs markerFS) Unwrap() vfs.FS { return fs.FS }

// Close closes the database. One whose background work was ended by a failure
// is left as it is: Pebble would wait for it for ever.
func (d *DB) Close() error {
	if d.log.ended() {
		return nil // whoever met the failure has been told
	}
	if d.log.hasFailed() { // on damage, which its work would try again and again
		_ = d.db.Close()
		return nil
	}
	if err := d.guard(d.db.Close); err != nil {
		return fmt.Errorf("closing the checkpoint database: %w", err)
	}
	return nil
}

// Commit makes a cut durable, all of it or nothing.
func (d *DB) Commit(c *Cut) (written int, err error) {
	if err := d.log.failure(); err != nil {
		return 0, err
	}
	b := d.db.NewBatch()
	set := func(key, value []byte) { _ = b.Set(key, value, nil) } // fails only on a closed batch
	if c.Meta != nil {
		set([]byte{keyMeta}, appendMeta(c.Meta))
	}
	// Every cut takes away the number of the one before. If a log of Pebble's
	// that held cuts between others is lost, two numbers are left.
	_ = b.Delete(cutKey(d.cut), nil)
	set(cutKey(d.cut+1), []byte{valueVersion})
	set([]byte{keyBounds}, appendBounds(c.WALFrom, c.NextSegment))
	set([]byte{keyEnd}, appendEnd(c.End))
	for i := range c.Groups {
		putGroup(b, &c.Groups[i])
	}
	for _, f := range c.Removed {
		_ = b.Delete(fileKey(f), nil)
	}
	for i := range c.Files {
		set(fileKey(c.Files[i].FileID), appendFile(&c.Files[i]))
	}
	for i := range c.Partitions {
		set(partitionKey(c.Partitions[i].ID), appendPartition(&c.Partitions[i]))
	}
	for _, p := range c.Forgotten {
		_ = b.Delete(partitionKey(p), nil)
	}
	written = b.Len()
	if err := d.guard(func() error { return b.Commit(pebble.Sync) }); err != nil {
		return 0, fmt.Errorf("writing a checkpoint: %w", err)
	}
	d.cut++
	return written, b.Close()
}

// Reached notes how far the WAL had come when it was closed, durably.
func (d *DB) Reached(e End) error {
	if err := d.log.failure(); err != nil {
		return err
	}
	if err := d.guard(func() error { return d.db.Set([]byte{keyEnd}, appendEnd(e), pebble.Sync) }); err != nil {
		return fmt.Errorf("noting the end of the log: %w", err)
	}
	return nil
}

func putGroup(b *pebble.Batch, g *GroupCut) {
	_ = b.Set(groupKey(g.ID), appendGroup(&g.Group), nil)
	if g.Replace {
		_ = b.DeleteRange(pagePrefix(g.ID), pageEnd(g.ID), nil)
	}
	prefix := pagePrefix(g.ID)
	for _, p := range g.Pages {
		key := append(slices.Clip(prefix), p.Key...)
		if p.Value == nil {
			_ = b.Delete(key, nil)
		} else {
			_ = b.Set(key, p.Value, nil)
		}
	}
}

// Load returns the state but the pages.
func (d *DB) Load() (*State, error) {
	s := &State{}
	if err := d.scan([]byte{0}, []byte{keyPage}, s.add); err != nil {
		return nil, fmt.Errorf("reading the checkpoint: %w", err)
	}
	return s, nil
}

// findCut takes the number of the latest cut, of which there is one.
func (d *DB) findCut() error {
	return d.scan([]byte{keyCut}, []byte{keyCut + 1}, func(k, _ []byte) error {
		if len(k) != 9 || d.cut != 0 {
			return ErrMixed
		}
		d.cut = binary.BigEndian.Uint64(k[1:])
		return nil
	})
}

func (s *State) add(k, v []byte) (err error) {
	switch k[0] {
	case keyMeta:
		s.Meta, err = parseMeta(v)
	case keyBounds:
		g := open(v)
		s.WALFrom, s.NextSegment = g.uvarint(), g.uvarint()
		err = g.err("the bounds")
	case keyCut: // findCut has it
	case keyEnd:
		g := open(v)
		s.End = End{g.uvarint(), int64(g.uvarint())}
		err = g.err("the end of the log")
	case keyGroup:
		var g Group
		g, err = parseGroup(k, v)
		s.Groups = append(s.Groups, g)
	case keyFile:
		var f File
		f, err = parseFile(k, v)
		s.Files = append(s.Files, f)
	case keyPartition:
		var p Partition
		p, err = parsePartition(k, v)
		s.Partitions = append(s.Partitions, p)
	default:
		err = fmt.Errorf("a key that begins with %q: %w", k[0], errValue)
	}
	return err
}

// Pages walks over a group's pages in the order of their keys, all of one
// checkpoint. The slices are valid only during the call of yield.
func (d *DB) Pages(g record.ShardID, yield func(key, value []byte) error) error {
	prefix := pagePrefix(g)
	return d.scan(prefix, pageEnd(g), func(k, v []byte) error { return yield(k[len(prefix):], v) })
}

// PagesBetween walks likewise over those with keys from one to below another.
func (d *DB) PagesBetween(g record.ShardID, from, to []byte, yield func(key, value []byte) error) error {
	prefix := pagePrefix(g)
	return d.scan(append(slices.Clip(prefix), from...), append(slices.Clip(prefix), to...), func(k, v []byte) error {
		return yield(k[len(prefix):], v)
	})
}

func (d *DB) scan(from, to []byte, yield func(key, value []byte) error) error {
	if err := d.log.failure(); err != nil {
		return err
	}
	it, err := d.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		err = yield(it.Key(), it.Value())
	}
	if cerr := it.Close(); err == nil {
		err = cerr
	}
	return err
}

// guard runs fn in a goroutine of its own, which Pebble's fatal errors may
// end, and returns its error or the fatal one. When a fatal error has ended a
// goroutine of Pebble's that fn waits for, fn never returns and is left behind.
func (d *DB) guard(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		err := ErrFailed
		defer func() { done <- err }()
		err = fn()
	}()
	var err error
	select {
	case err = <-done:
	case <-d.log.failed:
	}
	if f := d.log.failure(); f != nil {
		return f
	}
	return err
}

// logger passes on what Pebble has to say. Pebble expects Fatalf not to
// return; ending the goroutine instead of the process leaves it to the store
// to stop acknowledging.
type logger struct {
	l      *slog.Logger
	failed chan struct{} // closed with the first fatal error

	mu   sync.Mutex
	err  error
	gone bool // a goroutine of Pebble's was ended
}

func (l *logger) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *logger) hasFailed() bool { return l.failure() != nil }

func (l *logger) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gone
}

func (*logger) Infof(string, ...any) {} // a line per flush is of no use to an operator

func (l *logger) Errorf(format string, args ...any) {
	l.l.Error("checkpoint database: " + fmt.Sprintf(format, args...))
}

func (l *logger) Fatalf(format string, args ...any) {
	l.mu.Lock()
	l.gone = true
	l.mu.Unlock()
	l.fail(fmt.Errorf("%w: %s", ErrFailed, fmt.Sprintf(format, args...)))
	runtime.Goexit()
}

// fail notes why the database can no longer be trusted; the first reason counts.
func (l *logger) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
		close(l.failed)
	}
}
