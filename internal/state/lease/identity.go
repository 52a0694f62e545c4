package lease

import "github.com/polylog-mq/polylog/internal/record"

// ID names one lease of one record, so that a late settle never settles somebody
// else's. It is opaque to protocols, which may keep it for as long as they like.
type ID struct {
	Partition record.PartitionID
	Offset    record.Offset
	// Term is that of the leader who gave the lease, Counter its number there.
	Term    record.Term
	Counter uint64
}

// Verdict is what becomes of a leased record.
type Verdict uint8

// The verdicts.
const (
	// Accept: the work is done, the record is settled.
	Accept Verdict = iota
	// Release gives the record back, to its place in the order, redelivered.
	Release
	// ReleaseCounted does so and counts the attempt: the delivery limit and the
	// retry policy look at it.
	ReleaseCounted
	// Reject: the record dies. It is dead-lettered if the queue says where to.
	Reject
	verdicts
)
