package wal

import (
	"errors"
	"fmt"
)

var (
	// ErrLaneDead reports that a write or sync of this lane has failed. What
	// the disk holds is unknown from then on, so nothing is acknowledged any
	// more and no sync is tried again; the error wraps the cause.
	ErrLaneDead = errors.New("wal lane is dead")
	// ErrClosed reports a call after Close.
	ErrClosed = errors.New("wal lane is closed")
	// ErrNoSpace reports that the next file could not be had: the disk is full
	// and what the pool holds is kept for batches with Reserve. Nothing of the
	// batch was written and the lane lives on.
	ErrNoSpace = errors.New("no space for another wal file")
	// ErrTooLarge reports a frame that no file can hold (see MaxBody) or a
	// hard state above its limit. Nothing of the batch was written.
	ErrTooLarge = errors.New("frame too large for a wal file")
	// ErrNoFile reports a file that the lane does not have, or has freed.
	ErrNoFile = errors.New("no such wal file")
)

// CorruptionError reports that bytes known to have been durable are damaged or
// missing. It is never repaired silently: a member that lost what it
// acknowledged must not vote or lead.
type CorruptionError struct {
	File   FileNum
	Path   string
	Offset int64  // where in the file the first bad frame begins
	Reason string // what is wrong there
	Hint   string // what the operator can do
}

// hintDamage is the way out of damage.
const hintDamage = "the log is not opened, since acknowledged data is missing here: restore the file from a copy, " +
	"or let this node join again as a new member; `polylog debug wal dump` lists what is left"

func (e *CorruptionError) Error() string {
	return fmt.Sprintf("wal file %s is damaged at offset %d: %s; %s", e.Path, e.Offset, e.Reason, e.Hint)
}
