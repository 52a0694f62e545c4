package store

import (
	"errors"
	"fmt"
)

var (
	// ErrLocked reports that another process has the data directory open.
	ErrLocked = errors.New("the data directory is in use by another process")
	// ErrReadOnly reports that the data directory cannot be written.
	ErrReadOnly = errors.New("the data directory cannot be written")
	// ErrNewerFormat is what every NewerFormatError is.
	ErrNewerFormat = errors.New("the data directory was written by a newer version")
	// ErrDamaged is what every DamageError is.
	ErrDamaged = errors.New("stored data is damaged")
	// ErrDead reports that a write or sync has failed and the store no longer
	// acknowledges anything; the error wraps the cause.
	ErrDead = errors.New("the store has failed")
	// ErrClosed reports a call after Close.
	ErrClosed = errors.New("the store is closed")
	// ErrCompacted reports an index below a log's first.
	ErrCompacted = errors.New("the entry has been compacted away")
	// ErrUnavailable reports an index above a log's last.
	ErrUnavailable = errors.New("the entry is not in the log")
	// ErrOffsetOutOfRange reports an offset below a partition's floor or above
	// its end.
	ErrOffsetOutOfRange = errors.New("the offset is out of range")
	// ErrOnDisk reports that a read which was to keep to memory would need a file.
	ErrOnDisk = errors.New("the records are not in memory")
	// ErrNoPartition reports a partition that never had a run here, or was
	// dropped.
	ErrNoPartition = errors.New("no such partition")
	// ErrBootstrapped reports that the store has been bootstrapped before.
	ErrBootstrapped = errors.New("the store is bootstrapped already")
)

// NewerFormatError reports a data directory that this version cannot read.
type NewerFormatError struct {
	Path         string
	Found, Known int // format versions
}

func (e *NewerFormatError) Error() string {
	return fmt.Sprintf("%s has data format %d; this version knows up to %d", e.Path, e.Found, e.Known)
}

// Is makes errors.Is(err, ErrNewerFormat) hold.
func (*NewerFormatError) Is(target error) bool { return target == ErrNewerFormat }

// DamageError reports stored bytes that are not what was written. The member
// must not vote or lead on what it lost. (Damage within the part of the WAL
// that recovery reads is a *wal.CorruptionError.)
type DamageError struct {
	Path   string
	Offset int64  // where in the file, in bytes
	Reason string // what is wrong there
	Hint   string // what the operator can do
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s is damaged at offset %d: %s; %s", e.Path, e.Offset, e.Reason, e.Hint)
}

// Is makes errors.Is(err, ErrDamaged) hold.
func (*DamageError) Is(target error) bool { return target == ErrDamaged }
