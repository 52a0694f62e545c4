package checkpoint

import (
	"github.com/google/uuid"

	"github.com/polylog-mq/polylog/internal/record"
)

// Meta identifies the node and its cluster.
type Meta struct {
	Cluster uuid.UUID
	Node    record.NodeID
}

// Group is what a checkpoint says of a Raft group.
type Group struct {
	ID      record.ShardID
	Applied record.Index
	Term    record.Term // of the entry Applied
	Conf    []byte
	// Compacted is the last index that the log has forgotten, CompactedTerm
	// its term.
	Compacted     record.Index
	CompactedTerm record.Term
	// ResetFile and ResetOffset are the WAL position before which frames of
	// the group do not count, since its log was replaced by a snapshot.
	ResetFile   uint64
	ResetOffset int64
}

// Page is a page of a group's state; a nil value deletes it.
type Page struct{ Key, Value []byte }

// GroupCut is a group's part of a cut.
type GroupCut struct {
	Group
	Pages   []Page
	Replace bool // Pages are all there are
}

// FileID names a data file: a WAL file (level 0) or a level 1 file.
type FileID struct {
	Level uint8
	Num   uint64
}

// File is a data file with its run index.
type File struct {
	FileID
	DataLen int64 // 0 for a WAL file
	DataCRC uint32
	// Gen numbers the versions of the run index, Digest stands for its bytes.
	Gen    uint32
	Digest uint32
	// Final says that the index holds all runs the file will ever have.
	Final bool
	// Moved are the runs of the index that compaction has moved elsewhere, or
	// removed: they do not count any more.
	Moved []Moved
}

// Moved says that a file's runs of a partition's level from one offset to below
// another do not count.
type Moved struct {
	Partition   record.PartitionID
	Level       uint8
	From, Below record.Offset
}

// MovedBelow returns the offset from which on the runs of a partition's level
// count, of those that begin at an offset.
func (f *File) MovedBelow(p record.PartitionID, level uint8, first record.Offset) record.Offset {
	for i := range f.Moved {
		if m := &f.Moved[i]; m.Partition == p && m.Level == level && first >= m.From && first < m.Below {
			return m.Below
		}
	}
	return first
}

// Floor is where the wanted records of a partition's level begin.
type Floor struct {
	Level  uint8 // AllLevels for the whole partition
	Offset record.Offset
}

// Partition is what a checkpoint says of a partition: its floors, below which
// offset it was compacted here, and whether it was dropped.
type Partition struct {
	ID      record.PartitionID
	Dropped bool
	Floors  []Floor
	Cleaned record.Offset
}

// State is all that a checkpoint says but the pages.
type State struct {
	Meta       *Meta // nil before Bootstrap
	Groups     []Group
	Files      []File
	Partitions []Partition
	// WALFrom is the first WAL file that recovery reads.
	WALFrom uint64
	// NextSegment is a number above those of all level 1 files.
	NextSegment uint64
	// End is a place that the WAL had reached, durably.
	End End
}

// End is a position in the WAL.
type End struct {
	File   uint64
	Offset int64
}

// Cut is what one batch changes.
type Cut struct {
	Meta        *Meta
	Groups      []GroupCut
	Files       []File
	Removed     []FileID
	Partitions  []Partition
	Forgotten   []record.PartitionID // tombstones that nothing needs any more
	WALFrom     uint64
	NextSegment uint64
	End         End
}
