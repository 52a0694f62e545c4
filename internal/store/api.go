package store

import (
	"github.com/google/uuid"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store/segment"
	"github.com/polylog-mq/polylog/internal/store/wal"
)

// Run says where consecutive records of a partition lie. Given to AddRuns and
// Import.Add, Pos and Len count within the data of the entry or the bytes
// added.
type Run = segment.Run

// RunFlags say what kind of records a run holds.
type RunFlags = segment.RunFlags

// The flags of a run; see package segment.
const (
	Control       = segment.Control
	Transactional = segment.Transactional
	ExplicitIDs   = segment.ExplicitIDs
)

// AllLevels as a level means every priority level of a partition.
const AllLevels uint8 = 0xff

// Entry is an entry of a group's Raft log. Data is immutable from the moment
// it is given to Append and may be shared with readers for as long as they
// like; what Entries returns must not be changed either.
type Entry struct {
	Index record.Index
	Term  record.Term
	Kind  uint8 // Raft's entry type, not interpreted
	Data  []byte
	// Splices are parts of the data that lie elsewhere: it is put together in the
	// log. They and Data are then immutable until Append's done is called. By then,
	// unless with an error, Data has become the whole, as it lies in Chunk, which is
	// held for the caller to release, and Splices is nil.
	Splices []Splice
	Chunk   *Chunk
}

// Splice is a part of an entry's data that lies elsewhere.
type Splice = wal.Splice

// Chunk is memory of the log. It is released by who was given it.
type Chunk = wal.Chunk

// Spliced returns the size of data with its splices, in bytes.
func Spliced(data []byte, splices []Splice) int { return wal.Spliced(data, splices) }

// Size returns the bytes of the entry's data, splices included.
func (e *Entry) Size() int { return wal.Spliced(e.Data, e.Splices) }

// Whole returns the entry's data with its splices, as a copy.
func (e *Entry) Whole() []byte { return wal.Join(make([]byte, 0, e.Size()), e.Data, e.Splices) }

// HardState is what a Raft member must not forget.
type HardState struct {
	Term   record.Term
	Vote   record.NodeID
	Commit record.Index
}

// Append is what one group adds to its log.
type Append struct {
	Group     record.ShardID
	HardState *HardState // nil if unchanged
	// Entries are consecutive. If the first one's index is not above the last
	// of the log, the log's end from there on is replaced; it is never at or
	// below an applied index.
	Entries []Entry
	// Sync asks for durability before done is called. Without it done only
	// waits for the write.
	Sync bool
}

// Page is a page of a group's state; a nil Value deletes it.
type Page struct{ Key, Value []byte }

// GroupCut is one group's part of a checkpoint: its state after Applied and
// nothing later.
type GroupCut struct {
	Group   record.ShardID
	Applied record.Index
	Term    record.Term // of the entry Applied
	Conf    []byte      // the members as of Applied, not interpreted
	// Pages are those changed since the previous cut; for Import and Bootstrap
	// all there are.
	Pages []Page
	// CompactTo is the last index that the Raft log may forget: at most
	// Applied, less to keep entries for followers that lag.
	CompactTo record.Index
}

// Meta identifies the node and its cluster.
type Meta struct {
	Cluster uuid.UUID
	Node    record.NodeID
}

// HealthState is what the store can do at present.
type HealthState uint8

const (
	// Healthy means that everything works.
	Healthy HealthState = iota
	// DiskWarn means that the disk is filling up.
	DiskWarn
	// DiskFull means that new records must be refused; settles, deletes, hard
	// states and checkpoints still find room.
	DiskFull
	// Dead means that the store acknowledges nothing any more.
	Dead
)

// Health describes the state of the store.
type Health struct {
	State HealthState
	Err   error // the cause when Dead
	// Free and Total are the bytes of the file system as of the last look; 0
	// if unknown.
	Free, Total uint64
	// Debt is the bytes of files that ought to have been rewritten, as a share
	// of what is allowed: from 1 on, appends of records must wait.
	Debt float64
}

// Found is a record that FindTime found.
type Found struct {
	Offset    record.Offset
	Timestamp int64 // milliseconds since the Unix epoch
	Epoch     record.Epoch
}
