package store

import "github.com/polylog-mq/polylog/internal/record"

// Result gathers what Read returns. The zero value is ready to use, and a
// Result is best reused: it keeps its memory. Reads add to a Result until
// Release.
type Result struct {
	// Whole, set by the reader beforehand, asks that every batch lie in one
	// buffer. Without it a batch may be split behind its patched header, to
	// spare a copy.
	Whole bool

	// Buffers are the batches' bytes in order, shared and immutable.
	Buffers [][]byte
	// Size is the sum of their lengths.
	Size int
	// Next is where the latest read ended: the offset to go on from.
	Next record.Offset
	// Runs are those that the batches belong to, in order; Pos is without
	// meaning and Len is the bytes that this read took of the run. First is
	// the index in Buffers where each one's bytes begin.
	Runs []RunPart
}

// RunPart is what a read took of a run.
type RunPart struct {
	Run
	// First is the index in Result.Buffers where the part begins.
	First int
}

// Release gives the memory back and empties the result. Nothing that was read
// may be used afterwards.
func (r *Result) Release() { panic("store: not yet") }
