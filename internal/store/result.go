package store

import (
	"sync"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store/wal"
)

// Result gathers what Read returns. The zero value is ready to use, and a
// Result is best reused: it keeps its memory. Reads add to a Result until
// Release.
type Result struct {
	// Whole, set by the reader beforehand, asks that every batch lie in one
	// buffer. Without it a batch may be split behind its patched header, to
	// spare a copy.
	Whole bool
	// OneLevel, set likewise, asks for the records of priority level Level alone.
	OneLevel bool
	Level    uint8
	// InMemory, set likewise, asks for what needs no file to be read: a read that
	// would begin with a file answers ErrOnDisk, and others end before it.
	InMemory bool

	// Buffers are the batches' bytes in order, shared and immutable.
	Buffers [][]byte
	// Size is the sum of their lengths.
	Size int
	// Next is where the latest read ended: the offset to go on from.
	Next record.Offset
	// More says that the latest read left out what was there to be read, since no
	// more was wanted at a time.
	More bool
	// Runs are those that the batches belong to, in order. Their Pos is
	// without meaning, and Len is the bytes taken of the run.
	Runs []Run

	own    bool   // the store reads for itself, which is counted elsewhere
	arena  []byte // where copies and patched headers go; never moved, only replaced
	small  []byte // the first arena, which outlives Release
	open   bool   // the last buffer is arena[start:] and can grow
	start  int
	reads  []*[]byte    // pooled memory
	pieces []*piece     // of files, kept until Release
	chunks []*wal.Chunk // of the log, likewise
	iters  []runIter
}

// mark is a state of a result to return to.
type mark struct{ buffers, runs, size int }

func (r *Result) mark() mark { return mark{len(r.Buffers), len(r.Runs), r.Size} }

func (r *Result) rewind(m mark) {
	r.Buffers, r.Runs, r.Size = r.Buffers[:m.buffers], r.Runs[:m.runs], m.size
	r.open = false
}

// Release gives the memory back and empties the result. Nothing that was read
// may be used afterwards.
func (r *Result) Release() {
	for _, b := range r.reads {
		putRead(b)
	}
	for _, p := range r.pieces {
		p.release()
	}
	for _, c := range r.chunks {
		c.Release()
	}
	clear(r.reads)
	clear(r.pieces)
	clear(r.chunks)
	r.pieces, r.chunks = r.pieces[:0], r.chunks[:0]
	clear(r.Buffers)
	r.reads, r.Buffers, r.Runs = r.reads[:0], r.Buffers[:0], r.Runs[:0]
	r.arena, r.open, r.Size, r.Next, r.More = r.small, false, 0, 0, false
}

// Batches calls yield for every batch of a result whose Whole was set, with
// the run it belongs to, until yield returns false.
func (r *Result) Batches(yield func(run *Run, batch []byte) bool) {
	run, left := -1, 0
	for _, b := range r.Buffers {
		for len(b) > 0 {
			if left == 0 {
				run++
				left = int(r.Runs[run].Len)
			}
			n, err := record.Size(b)
			if err != nil || n > len(b) {
				return
			}
			if !yield(&r.Runs[run], b[:n:n]) {
				return
			}
			b, left = b[n:], left-n
		}
	}
}

// grow returns n new bytes of the arena, which begins small and goes on in
// pooled pieces.
func (r *Result) grow(n int) []byte {
	if cap(r.arena)-len(r.arena) < n {
		r.open = false
		if r.small == nil && n <= arenaBytes {
			r.small = make([]byte, 0, arenaBytes)
			r.arena = r.small
		} else {
			b := getRead(max(n, readClass))
			r.reads = append(r.reads, b)
			r.arena = (*b)[:0]
		}
	}
	at := len(r.arena)
	r.arena = r.arena[:at+n]
	return r.arena[at:]
}

// headerPatch is how much of a batch is replaced: base offset, length and
// epoch.
const headerPatch = 16

// keep makes a chunk that somebody else holds stay until Release.
func (r *Result) keep(c *wal.Chunk) {
	if n := len(r.chunks); n > 0 && r.chunks[n-1] == c {
		return
	}
	c.Share()
	r.chunks = append(r.chunks, c)
}

// addShared takes a batch that lies in memory which others read too. It reports
// whether the result points there now, and has not copied all of it.
func (r *Result) addShared(batch []byte, base record.Offset, epoch record.Epoch) bool {
	if len(batch) <= copyBytes || r.Whole {
		r.addCopy(batch, base, epoch)
		return false
	}
	r.addCopy(batch[:headerPatch], base, epoch)
	r.Buffers = append(r.Buffers, batch[headerPatch:])
	r.Size += len(batch) - headerPatch
	r.open = false
	return true
}

// addCopy copies b, which begins with a batch's header, and patches it.
func (r *Result) addCopy(b []byte, base record.Offset, epoch record.Epoch) {
	dst := r.grow(len(b))
	copy(dst, b)
	patch(dst, base, epoch)
	r.Size += len(b)
	if r.open {
		r.Buffers[len(r.Buffers)-1] = r.arena[r.start:]
		return
	}
	r.open, r.start = true, len(r.arena)-len(b)
	r.Buffers = append(r.Buffers, r.arena[r.start:])
}

// addOwn takes a batch at chunk[at:end], memory of this result alone.
// Neighbours become one buffer: joined says that the batch before it is the
// last buffer's end.
func (r *Result) addOwn(chunk []byte, at, end int, joined bool) {
	r.Size += end - at
	r.open = false
	if joined {
		last := &r.Buffers[len(r.Buffers)-1]
		*last = chunk[at-len(*last) : end]
		return
	}
	r.Buffers = append(r.Buffers, chunk[at:end])
}

func patch(batch []byte, base record.Offset, epoch record.Epoch) {
	record.SetBaseOffset(batch, base)
	record.SetEpoch(batch, epoch)
}

// addRun notes that the next n bytes belong to a run.
func (r *Result) addRun(run *Run, n int) {
	if n == 0 {
		return
	}
	r.Runs = append(r.Runs, *run)
	r.Runs[len(r.Runs)-1].Len = uint32(n)
}

// readBuffers keeps buffers for file reads, by size class.
var readBuffers [8]sync.Pool

// readClass is the smallest buffer, the next ones double.
const readClass = 64 << 10

func getRead(n int) *[]byte {
	for i := range readBuffers {
		if size := readClass << i; n <= size {
			if b, ok := readBuffers[i].Get().(*[]byte); ok {
				*b = (*b)[:n]
				return b
			}
			b := make([]byte, n, size)
			return &b
		}
	}
	b := make([]byte, n)
	return &b
}

func putRead(b *[]byte) {
	for i := range readBuffers {
		if cap(*b) == readClass<<i {
			readBuffers[i].Put(b)
			return
		}
	}
}
