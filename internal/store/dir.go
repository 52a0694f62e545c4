package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"syscall"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/store/checkpoint"
)

// The data directory.
const (
	lockName      = "LOCK"
	formatName    = "FORMAT"
	formatTemp    = "FORMAT.new"
	ballastName   = "BALLAST"
	walName       = "wal"
	segmentName   = "segment"
	stateName     = "checkpoint"
	formatVersion = 1
	formatPrefix  = "polylog data format "

	dirMode = 0o755
)

const category vfs.DiskWriteCategory = "polylog-store"

// claim creates the data directory if need be, locks it, and checks that this
// version can read it.
func claim(o *Options) (io.Closer, error) {
	if err := o.FS.MkdirAll(o.Dir, dirMode); err != nil {
		return nil, dirError(o.Dir, err)
	}
	lock, err := o.FS.Lock(o.FS.PathJoin(o.Dir, lockName))
	if err != nil {
		// A file that cannot be made is an error with its path; a lock that is
		// held is one without, of another kind on every system.
		var path *fs.PathError
		if !errors.As(err, &path) && !errors.Is(err, syscall.EROFS) {
			return nil, fmt.Errorf("%s: %w", o.Dir, ErrLocked)
		}
		return nil, dirError(o.Dir, err)
	}
	err = checkFormat(o)
	if err == nil {
		err = makeDirs(o)
	}
	if err != nil {
		return nil, errors.Join(dirError(o.Dir, err), lock.Close())
	}
	return lock, nil
}

// dirError names the directory, and says when the reason is that it cannot be
// written.
func dirError(dir string, err error) error {
	if errors.Is(err, syscall.EROFS) || oserror.IsPermission(err) {
		return fmt.Errorf("%s: %w: %w", dir, ErrReadOnly, err)
	}
	return fmt.Errorf("opening the data directory %s: %w", dir, err)
}

func makeDirs(o *Options) error {
	for _, name := range [...]string{walName, segmentName, stateName} {
		if err := o.FS.MkdirAll(o.FS.PathJoin(o.Dir, name), dirMode); err != nil {
			return err
		}
	}
	return syncPath(o.FS, o.Dir)
}

// syncPath syncs a directory and those above it, whose names may all be new, as
// far up as this user may open them.
func syncPath(fs vfs.FS, dir string) error {
	for first := true; ; first = false {
		err := syncDir(fs, dir)
		if err != nil && (first || !oserror.IsPermission(err)) {
			return err
		}
		up := fs.PathDir(dir)
		if up == dir || err != nil {
			return nil
		}
		dir = up
	}
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("syncing directory %s: %w", dir, err)
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("syncing directory %s: %w", dir, err)
	}
	return nil
}

const formatHint = "if this is no Polylog data directory, choose another; otherwise restore the file"

// checkFormat reads the format version, or writes it into a new directory.
func checkFormat(o *Options) error {
	path := o.FS.PathJoin(o.Dir, formatName)
	f, err := o.FS.Open(path)
	if oserror.IsNotExist(err) {
		// It is written before anything else.
		if _, err := o.FS.Stat(o.FS.PathJoin(o.Dir, stateName)); err == nil {
			return &DamageError{Path: path, Reason: "it is missing, but there is data", Hint: formatHint}
		}
		return writeFormat(o, path)
	}
	if err != nil {
		return err
	}
	b, err := io.ReadAll(io.LimitReader(f, 256))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	text, ok := strings.CutPrefix(strings.TrimSpace(string(b)), formatPrefix)
	found, err := strconv.Atoi(text)
	if !ok || err != nil || found < 1 {
		return &DamageError{Path: path, Reason: "it does not tell a data format", Hint: formatHint}
	}
	if found > formatVersion {
		return &NewerFormatError{Path: o.Dir, Found: found, Known: formatVersion}
	}
	return nil
}

func writeFormat(o *Options, path string) error {
	temp := o.FS.PathJoin(o.Dir, formatTemp)
	f, err := o.FS.Create(temp, category)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s%d\n", formatPrefix, formatVersion)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = o.FS.Rename(temp, path)
	}
	if err == nil {
		err = syncDir(o.FS, o.Dir)
	}
	return err
}

func (s *Store) walDir() string     { return s.o.FS.PathJoin(s.o.Dir, walName) }
func (s *Store) stateDir() string   { return s.o.FS.PathJoin(s.o.Dir, stateName) }
func (s *Store) segmentDir() string { return s.o.FS.PathJoin(s.o.Dir, segmentName) }

// dataPath names a level 1 data file.
func (s *Store) dataPath(num uint64) string {
	return s.o.FS.PathJoin(s.segmentDir(), fmt.Sprintf("%016d.seg", num))
}

// indexPath names a version of a run index.
func (s *Store) indexPath(id checkpoint.FileID, gen uint32) string {
	kind := "seg"
	if id.Level == 0 {
		kind = "wal"
	}
	return s.o.FS.PathJoin(s.segmentDir(), fmt.Sprintf("%016d.%s.%d.idx", id.Num, kind, gen))
}
