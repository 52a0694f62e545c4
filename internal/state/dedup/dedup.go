// Package dedup recognises idempotent producers: per partition and producer it
// remembers the epoch and the last five batches, so that a batch sent twice is
// appended once and answered twice (KIP-98; DESIGN §4 "Proposals of unknown
// fate"). It is pure state: (state, batch, log time) in, verdict out.
//
// A Table belongs to the loop of its shard and is not safe for concurrent use.
package dedup

import (
	"errors"

	"github.com/polylog-mq/polylog/internal/record"
)

var (
	// ErrOutOfOrder refuses a batch whose first sequence does not follow the
	// last one, or is not 0 in a new epoch.
	ErrOutOfOrder = errors.New("out of order sequence number")
	// ErrFenced refuses a batch of an epoch older than the producer's.
	ErrFenced = errors.New("producer epoch is fenced")
)

// Batch is what a verdict needs to know of a batch of an idempotent producer.
type Batch struct {
	Partition record.PartitionID
	Producer  int64 // 0 or more
	Epoch     int16 // 0 or more
	// First and Last are the sequences of the first and the last record, 0 to
	// MaxInt32; Last is below First when they wrap.
	First, Last int32
}

// Verdict is what a table says of a batch.
type Verdict struct {
	// Duplicate says that the very batch was appended before: it must not be
	// again, and is answered with Base and Time.
	Duplicate bool
	Base      record.Offset  // of the first copy
	Time      record.LogTime // at which the first copy was appended
	slot      uint32
}

// Table is the state of one shard's producers.
type Table struct{}

// New returns an empty table.
func New() *Table { panic("unfilled") }

// Check judges a batch and changes nothing: a duplicate, a batch to append, or
// ErrOutOfOrder or ErrFenced. A producer that is unknown in the partition may
// begin with any sequence.
func (t *Table) Check(b *Batch) (Verdict, error) { panic("unfilled") }

// Record remembers that a batch was appended at base. The verdict must be what
// Check said of it, with nothing recorded in between. It allocates nothing for
// a producer that is known.
func (t *Table) Record(now record.LogTime, b *Batch, v Verdict, base record.Offset) {
	panic("unfilled")
}

// Len returns the number of (partition, producer) pairs that are remembered.
func (t *Table) Len() int { panic("unfilled") }

// NextDeadline returns the log time at which Tick has work to do, and false if
// the table is empty.
func (t *Table) NextDeadline() (record.LogTime, bool) { panic("unfilled") }

// Tick forgets producers that have been silent for 24 hours, about a thousand
// at a time (NextDeadline stays in the past while there are more). With hold
// it forgets nothing.
func (t *Table) Tick(now record.LogTime, hold bool) { panic("unfilled") }

// Freeze makes the present state the cut of a checkpoint.
func (t *Table) Freeze() { panic("unfilled") }

// EncodePages emits pages of the cut (a nil value: the page no longer exists)
// until more returns false or all are emitted, and reports whether all are.
func (t *Table) EncodePages(emit func(key, value []byte), more func() bool) bool {
	panic("unfilled")
}

// RestorePage takes one page of a checkpoint into an empty table, in any
// order. Key and value are not kept.
func (t *Table) RestorePage(key, value []byte) error { panic("unfilled") }

// Restored ends a restore and rebuilds what is derived.
func (t *Table) Restored() error { panic("unfilled") }
