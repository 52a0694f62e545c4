package checkpoint

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/record"
)

// ErrFailed reports that the database could not write: what it holds is
// unknown until it is opened again.
var ErrFailed = errors.New("the checkpoint database has failed")

// DB is the database of checkpoints. Commit is for one goroutine at a time;
// Pages may run beside it and sees one checkpoint.
type DB struct {
	db  *pebble.DB
	log *logger
}

// Open opens or creates the database in dir.
func Open(fs vfs.FS, dir string, l *slog.Logger) (*DB, error) {
	return openDB(fs, dir, l, false)
}

func openDB(fs vfs.FS, dir string, l *slog.Logger, readOnly bool) (*DB, error) {
	d := &DB{log: &logger{l: l, failed: make(chan struct{})}}
	o := &pebble.Options{
		FS:                 markerFS{fs},
		Cache:              pebble.NewCache(cacheBytes),
		MemTableSize:       memTableBytes,
		MaxOpenFiles:       maxOpenFiles,
		FormatMajorVersion: pebble.FormatNewest,
		Logger:             d.log,
		ReadOnly:           readOnly,
	}
	defer o.Cache.Unref()
	// The default scheduler looks for compactions ten times a second for as
	// long as the process lives; this one, only when one has ended or might be
	// due. At most one runs at a time, so that is enough.
	o.Experimental.CompactionScheduler = pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()
	o.CompactionConcurrencyRange = func() (int, int) { return 1, 1 }
	o.EnsureDefaults()
	err := d.guard(func() (err error) {
		d.db, err = pebble.Open(dir, o)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening the checkpoint database %s: %w", dir, err)
	}
	return d, nil
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

// Close closes the database. One that has failed is left as it is: its
// background work may never end.
func (d *DB) Close() error {
	if d.log.hasFailed() {
		return nil // whoever met the failure has been told
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
	set([]byte{keyBounds}, appendBounds(c.WALFrom, c.NextSegment))
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
	return written, b.Close()
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

func (s *State) add(k, v []byte) (err error) {
	switch k[0] {
	case keyMeta:
		s.Meta, err = parseMeta(v)
	case keyBounds:
		g := open(v)
		s.WALFrom, s.NextSegment = g.uvarint(), g.uvarint()
		err = g.err("the bounds")
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

	mu  sync.Mutex
	err error
}

func (l *logger) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *logger) hasFailed() bool { return l.failure() != nil }

func (*logger) Infof(string, ...any) {} // a line per flush is of no use to an operator

func (l *logger) Errorf(format string, args ...any) {
	l.l.Error("checkpoint database: " + fmt.Sprintf(format, args...))
}

func (l *logger) Fatalf(format string, args ...any) {
	l.mu.Lock()
	if l.err == nil {
		l.err = fmt.Errorf("%w: %s", ErrFailed, fmt.Sprintf(format, args...))
		close(l.failed)
	}
	l.mu.Unlock()
	runtime.Goexit()
}
