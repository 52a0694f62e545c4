package topic

import "github.com/polylog-mq/polylog/internal/record"

// Partitions is the state of a data shard's partitions.
type Partitions struct{}

// NewPartitions returns the state of a shard without partitions.
func NewPartitions() *Partitions { panic("unfilled") }

// Partition is one partition of a shard. It stays the same object from its
// definition to its drop; see Dropped.
type Partition struct{}

// Batch is what a verdict needs to know of a record batch.
type Batch struct {
	// Offsets is how many offsets the batch takes (LastOffsetDelta+1), at
	// least 1.
	Offsets int32
	// Size is the batch's length in bytes.
	Size int32
	// MaxTimestamp is the batch's largest timestamp in ms, -1 if it has none;
	// log time where the leader stamped it.
	MaxTimestamp int64
}

// Verdict is what a batch gets.
type Verdict struct {
	Base    record.Offset
	Epoch   record.Epoch
	FirstID record.EntryID // the batch's records get consecutive sequences from it
}

// Floor says that a partition begins at Offset now: what lies below is no
// longer wanted.
type Floor struct {
	Partition record.PartitionID
	Offset    record.Offset
}

// Effects collects what the outside must do after commands and ticks. The
// caller reuses it.
type Effects struct {
	Defined []*Partition         // new, or under new settings
	Dropped []record.PartitionID // gone with their data
	Floors  []Floor              // raised log starts
}

// Reset empties e and keeps its memory.
func (e *Effects) Reset() { panic("unfilled") }

// Apply carries out a command, or changes nothing and returns an error: ErrStale
// (Define), ErrUnknownPartition and ErrOffsetOutOfRange (DeleteRecords). What
// follows from it is appended to fx.
func (s *Partitions) Apply(now record.LogTime, cmd ShardCommand, fx *Effects) error {
	panic("unfilled")
}

// Append takes a batch into partition p, which must not be dropped, at the
// shard's term. It allocates nothing in the steady state and cannot fail: what
// can be refused is refused before (Settings.Check, dedup).
func (s *Partitions) Append(now record.LogTime, term record.Term, p *Partition, b Batch) Verdict {
	panic("unfilled")
}

// NextDeadline returns the log time at which Tick has work to do, and false if
// no partition has anything that can expire.
func (s *Partitions) NextDeadline() (record.LogTime, bool) { panic("unfilled") }

// Tick carries out what is due: retention by time and size, a bounded number
// of partitions at a time (NextDeadline stays in the past while there are
// more). With hold nothing is deleted, only put off.
func (s *Partitions) Tick(now record.LogTime, hold bool, fx *Effects) { panic("unfilled") }

// Revision returns up to which revision of the catalog this shard is defined:
// what Confirm is to carry.
func (s *Partitions) Revision() Revision { panic("unfilled") }

// Lookup returns the partition with this id, nil if it is not defined here.
func (s *Partitions) Lookup(id record.PartitionID) *Partition { panic("unfilled") }

// All returns the partitions in ascending order of their ids.
func (s *Partitions) All() []*Partition { panic("unfilled") }

// ID returns the partition's id.
func (p *Partition) ID() record.PartitionID { panic("unfilled") }

// Topic returns the number of the topic it belongs to.
func (p *Partition) Topic() ID { panic("unfilled") }

// Settings returns the settings that the shard has applied. They can be read
// from any goroutine; the pointer changes with the next Define.
func (p *Partition) Settings() *Settings { panic("unfilled") }

// Dropped reports whether the partition has been dropped. It is then no part
// of the state any more.
func (p *Partition) Dropped() bool { panic("unfilled") }

// LogStart returns the first offset that is kept.
func (p *Partition) LogStart() record.Offset { panic("unfilled") }

// HighWatermark returns the offset after the last record.
func (p *Partition) HighWatermark() record.Offset { panic("unfilled") }

// LastStable returns the offset that readers of committed data stop at: the
// first one of the oldest open transaction, or the high watermark.
func (p *Partition) LastStable() record.Offset { panic("unfilled") }

// Bytes returns the size of the batches that are kept, as they were appended.
func (p *Partition) Bytes() int64 { panic("unfilled") }

// MaxTimestamp returns the largest timestamp among the batches that are kept,
// in ms, -1 if there is none.
func (p *Partition) MaxTimestamp() int64 { panic("unfilled") }

// Epoch returns the leader epoch that the shard's term stands for here.
func (p *Partition) Epoch(term record.Term) record.Epoch { panic("unfilled") }

// Epochs returns the leader epochs that wrote the records that are kept. The
// result never changes: a new epoch, or retention, makes a new one.
func (p *Partition) Epochs() Epochs { panic("unfilled") }

// Freeze makes the present state the cut of a checkpoint.
func (s *Partitions) Freeze() { panic("unfilled") }

// EncodePages emits pages of the cut (a nil value: the page no longer exists)
// until more returns false or all are emitted, and reports whether all are.
func (s *Partitions) EncodePages(emit func(key, value []byte), more func() bool) bool {
	panic("unfilled")
}

// RestorePage takes one page of a checkpoint into an empty state, in any
// order. Key and value are not kept.
func (s *Partitions) RestorePage(key, value []byte) error { panic("unfilled") }

// Restored ends a restore: it checks that the pages fit together and rebuilds
// what is derived.
func (s *Partitions) Restored() error { panic("unfilled") }
