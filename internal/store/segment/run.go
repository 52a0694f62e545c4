package segment

import (
	"fmt"

	"github.com/polylog-mq/polylog/internal/record"
)

// RunFlags say what kind of records a run holds.
type RunFlags uint8

const (
	// Control marks a run of transaction markers.
	Control RunFlags = 1 << iota
	// Transactional marks a run written within a transaction.
	Transactional
	// ExplicitIDs marks records whose ids were given by the client and lie in
	// the records themselves, so that FirstID holds for the first one only.
	ExplicitIDs
	// Shared marks a run whose body other partitions' runs point to as well.
	// The store sets it.
	Shared
)

// Run says where consecutive records of a partition lie: one or more whole
// batches, back to back, whose offsets count on from Base whatever base
// offsets and epochs the stored headers show.
type Run struct {
	Partition record.PartitionID
	// Level is the priority level. The levels of a partition share its
	// offsets.
	Level uint8
	Flags RunFlags
	Epoch record.Epoch
	// Base and Last are the first and last offset, both within the run.
	Base, Last record.Offset
	// LogTime is when the run was appended, MaxTimestamp the largest timestamp
	// of its batches, both in milliseconds since the Unix epoch.
	LogTime      record.LogTime
	MaxTimestamp int64
	// FirstID is the entry id of the first record; those after it count up
	// Seq.
	FirstID record.EntryID
	// Pos and Len locate the body, in bytes: within the data of its entry when
	// given to the store, within its file afterwards.
	Pos, Len uint32
}

// String shows the run in one line, for dumps and messages.
func (r *Run) String() string {
	return fmt.Sprintf("partition %d level %d offsets %d-%d epoch %d flags %04b log time %d largest time %d first id %d-%d at %d bytes %d",
		r.Partition, r.Level, r.Base, r.Last, r.Epoch, r.Flags, r.LogTime, r.MaxTimestamp, r.FirstID.Time, r.FirstID.Seq, r.Pos, r.Len)
}
