package broker

import (
	"github.com/polylog-mq/polylog/internal/record"
)

// Partition is the handle of one partition. It stays valid for ever; when the
// partition has been deleted its operations answer ErrUnknownPartition. All
// methods may be called from any goroutine and, but for reads of the log, take
// no lock.
type Partition struct {
	id     record.PartitionID
	number int32
	shard  record.ShardID
}

// ID returns the id that the metadata group gave the partition.
func (p *Partition) ID() record.PartitionID { return p.id }

// Number returns its number within the topic, from 0.
func (p *Partition) Number() int32 { return p.number }

// Shard returns the Raft group that orders it.
func (p *Partition) Shard() record.ShardID { return p.shard }

// HighWatermark returns the offset after the last committed record.
func (p *Partition) HighWatermark() record.Offset { panic("unfilled") }

// LastStable returns the first offset that an open transaction may yet decide,
// or the high watermark. Readers other than read_uncommitted stop here.
func (p *Partition) LastStable() record.Offset { panic("unfilled") }

// Floor returns the first offset that is still kept (the log start offset).
func (p *Partition) Floor() record.Offset { panic("unfilled") }

// Epoch returns the leader epoch, -1 if there is no leader.
func (p *Partition) Epoch() record.Epoch { panic("unfilled") }

// Leader returns the node that leads, 0 if none is known.
func (p *Partition) Leader() record.NodeID { panic("unfilled") }

// Append is one batch on its way into a partition. The caller fills Batch and
// Done, and may pool and reuse the whole after Done. Further fields are the
// broker's.
type Append struct {
	// Batch is one record batch, checked with record.Validate by the caller. It
	// belongs to the broker until Done; the broker copies and never writes it.
	Batch []byte
	// Done is called once, on the shard's loop (or in Partition.Append if the
	// batch is refused at once), after the results below were filled. It must
	// not block. Keep it in the pooled object: setting it anew costs an
	// allocation.
	Done func(*Append)

	// Base is the offset of the first record, -1 on error. For a duplicate it
	// is the offset it got the first time.
	Base record.Offset
	// LogAppendTime is the time in ms that was stamped on the batch, -1 if the
	// topic keeps the producer's timestamps.
	LogAppendTime int64
	// Floor is the partition's first kept offset at that moment.
	Floor record.Offset
	// Err is nil when the batch, or its first copy, is committed.
	Err error
}

// Append hands a batch to the partition's shard. It never blocks. Batches
// appended one after the other by one goroutine keep their order. Errors:
// ErrNotLeader, ErrUnknownFate, ErrBusy, ErrDiskFull, ErrStorage, ErrClosed,
// ErrUnknownPartition, ErrTooLarge, ErrListTooLarge, ErrInvalidTimestamp,
// ErrInvalidRecord, ErrOutOfOrderSequence, ErrProducerEpoch.
func (p *Partition) Append(a *Append) { panic("unfilled") }

// Read reads whole batches from offset from on, below limit (pass HighWatermark
// or LastStable), until maxBytes are gathered; with minOne the first batch is
// returned even if it is larger. Base offsets and leader epochs are patched.
// The first batch may begin below from. It may read the disk: call it from a
// goroutine that may wait. dst.Release must be called when its buffers were
// written out. ErrOffsetOutOfRange if from lies outside [Floor, HighWatermark];
// ErrDamaged, ErrUnknownPartition, ErrStorage.
func (p *Partition) Read(dst *Result, from, limit record.Offset, maxBytes int, minOne bool) error {
	panic("unfilled")
}

// Result holds what Read found.
type Result struct {
	Buffers [][]byte      // consecutive whole batches; read only
	Size    int           // bytes in Buffers
	Next    record.Offset // the offset after the last batch; from if none
}

// Release gives the buffers back. The result can be used again.
func (r *Result) Release() { panic("unfilled") }

// TimeOffset is where a timestamp was found.
type TimeOffset struct {
	Offset    record.Offset // -1: no such record
	Timestamp int64         // ms since the Unix epoch, -1 if none
	Epoch     record.Epoch  // leader epoch of the record, -1 if none
}

// OffsetForTime returns the first record below limit whose timestamp is at
// least ts (ms). It may read the disk and look into a batch.
func (p *Partition) OffsetForTime(ts int64, limit record.Offset) (TimeOffset, error) {
	panic("unfilled")
}

// MaxTimestamp returns the record with the largest timestamp below limit
// (Kafka's ListOffsets -3). It may read the disk.
func (p *Partition) MaxTimestamp(limit record.Offset) (TimeOffset, error) { panic("unfilled") }

// EpochEnd returns the largest leader epoch not above e that wrote records, and
// the offset after its last one (Kafka's OffsetForLeaderEpoch): (-1, -1) if
// there is none.
func (p *Partition) EpochEnd(e record.Epoch) (record.Epoch, record.Offset) { panic("unfilled") }

// EpochAt returns the leader epoch under which offset o was written, -1 if
// unknown.
func (p *Partition) EpochAt(o record.Offset) record.Epoch { panic("unfilled") }

// DeleteRecords raises the floor to before (-1: the high watermark) and answers
// the new floor. ErrOffsetOutOfRange if before is above the high watermark.
func (p *Partition) DeleteRecords(before record.Offset, done func(floor record.Offset, err error)) {
	panic("unfilled")
}
