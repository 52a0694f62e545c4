package store

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/store/checkpoint"
	"github.com/polylog-mq/polylog/internal/store/wal"
)

// ballast is a file that only holds room: removed when the disk is full, so
// that a checkpoint can still be written, without which nothing is ever freed.
// The WAL's pool does the same for the log.
type ballast struct {
	f    vfs.File // while it is being filled
	zero []byte   // a piece, meanwhile
	size int64    // written so far
	full bool     // it is there, whole
}

func (s *Store) ballastPath() string { return s.o.FS.PathJoin(s.o.Dir, ballastName) }

// findBallast looks for the file of an earlier life.
func (s *Store) findBallast() {
	st, err := s.o.FS.Stat(s.ballastPath())
	s.ballast.full = err == nil && st.Size() >= ballastBytes
}

// fillBallast writes a piece of the file, if the disk has room, and reports
// whether more is to be written. s.cutting is held.
func (s *Store) fillBallast() (more bool, err error) {
	b := &s.ballast
	if b.full || s.roomLeft() < 2*ballastBytes {
		return false, nil
	}
	if b.f == nil {
		if b.f, err = s.o.FS.Create(s.ballastPath(), category); err != nil {
			return false, err
		}
		b.size, b.zero = 0, make([]byte, ballastPiece)
	}
	n, err := b.f.Write(b.zero)
	b.size += int64(n)
	if err == nil && b.size < ballastBytes {
		return true, nil
	}
	if err == nil {
		err = b.f.Sync()
	}
	err = errors.Join(err, b.f.Close())
	b.f, b.zero, b.full = nil, nil, err == nil
	if err != nil {
		err = errors.Join(err, s.o.FS.Remove(s.ballastPath()))
	}
	return false, err
}

// dropBallast gives the room back and reports whether there was any. s.cutting
// is held.
func (s *Store) dropBallast() bool {
	b := &s.ballast
	if b.f != nil {
		_ = b.f.Close()
		b.f, b.zero = nil, nil
	} else if !b.full {
		return false
	}
	b.full = false
	err := s.o.FS.Remove(s.ballastPath())
	if err == nil {
		err = syncDir(s.o.FS, s.o.Dir)
	}
	if err != nil && !oserror.IsNotExist(err) {
		s.o.Logger.Warn("the file that holds room for a checkpoint cannot be removed", "error", err)
		return false
	}
	s.LookAtDisk()
	return true
}

// roomLeft returns the bytes free on the disk, a very large number if that is
// not known.
func (s *Store) roomLeft() uint64 {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	if !s.disk.known {
		return 1 << 62
	}
	return s.disk.free
}

// errNoRoom reports that a checkpoint was not tried: Pebble does not survive a
// full disk.
var errNoRoom = errors.New("the disk is full")

// makeRoom checks that the disk has room for a checkpoint, and makes some if
// it has not.
func (s *Store) makeRoom(c *checkpoint.Cut) error {
	need := uint64(checkpointRoom)
	for i := range c.Groups {
		for _, p := range c.Groups[i].Pages {
			need += 2 * uint64(len(p.Key)+len(p.Value)) // the log and the table
		}
	}
	s.LookAtDisk()
	if s.roomLeft() < need && (!s.dropBallast() || s.roomLeft() < need) {
		return fmt.Errorf("writing a checkpoint of up to %d bytes: %w", need, errNoRoom)
	}
	return nil
}

// makeRoomToOpen sees to it that Pebble can write while it opens: a full disk
// it takes for a passing error and tries again for ever. The room comes from
// the ballast, else from the WAL's spare files.
func (s *Store) makeRoomToOpen() error {
	for {
		s.LookAtDisk()
		if s.roomLeft() >= checkpointRoom {
			return nil
		}
		if s.dropBallast() {
			continue
		}
		dropped, err := wal.DropSpare(s.o.FS, s.walDir())
		if err != nil {
			return err
		}
		if !dropped {
			return fmt.Errorf("%w: %d bytes are free and %d needed to open it", syscall.ENOSPC, s.roomLeft(), int64(checkpointRoom))
		}
	}
}
