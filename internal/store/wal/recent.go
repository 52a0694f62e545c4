package wal

import (
	"sync"
	"sync/atomic"
)

// Chunk is a stretch of a file as it lies in memory. The lane gathers frames in
// it, writes from it, and keeps the latest ones (Options.Keep), so that what was
// written lately is read from where it was put together and exists once.
//
// Its memory is used again when nobody uses it any more, so whoever looks at it
// must have it held: Hold before, Release afterwards. A chunk that the lane has
// let go cannot be held anew, and the object itself is never used again, so that
// an old reference to it finds nothing rather than another chunk's bytes.
type Chunk struct {
	r    *recent
	file FileNum
	base int64 // where in its file it begins, a page boundary
	mem  []byte
	n    int // bytes used of mem; the writer's

	// state counts the users; chunkRetired is added once the lane does not keep
	// it any more.
	state atomic.Int64
}

const chunkRetired = 1 << 32

// Hold makes the chunk's bytes stay until Release; false if they may be gone.
func (c *Chunk) Hold() bool {
	for {
		s := c.state.Load()
		if s&chunkRetired != 0 {
			return false
		}
		if c.state.CompareAndSwap(s, s+1) {
			return true
		}
	}
}

// Share adds a hold to one that the caller has.
func (c *Chunk) Share() {
	if int32(c.state.Add(1)) <= 1 {
		panic("wal: a chunk is shared by somebody who does not hold it")
	}
}

// Release ends a hold. Nothing of the chunk may be used afterwards.
func (c *Chunk) Release() {
	switch s := c.state.Add(-1); {
	case int32(s) < 0:
		panic("wal: a chunk is released more often than it was held")
	case s == chunkRetired:
		c.r.free(c)
	}
}

// Bytes returns n bytes from a position of the file on, which lie in the chunk.
// The caller holds it.
func (c *Chunk) Bytes(off int64, n int) []byte {
	if int32(c.state.Load()) <= 0 {
		panic("wal: a chunk is used by somebody who does not hold it")
	}
	at := int(off - c.base)
	return c.mem[at : at+n : at+n]
}

// retire ends the lane's keeping.
func (c *Chunk) retire() {
	c.r.lent.Add(int64(cap(c.mem)))
	if c.state.Add(chunkRetired) == chunkRetired {
		c.r.free(c)
	}
}

func (c *Chunk) retired() bool { return c.state.Load()&chunkRetired != 0 }

// recent is the lane's memory: the chunks that it keeps, and those that others
// still hold.
type recent struct {
	memory Memory
	max    int64 // bytes kept
	size   int   // of a chunk, unless a frame is larger
	lent   atomic.Int64

	mu     sync.Mutex
	chunks []*Chunk // the last one is being written
	kept   int64    // bytes of memory of all but the last
}

func newRecent(o *Options) *recent {
	r := &recent{memory: o.Memory, max: o.Keep, size: chunkBytes}
	if r.max > 0 {
		r.size = int(min(max(roundUp(r.max/chunkShare), leastChunk), chunkBytes))
	}
	r.size = int(min(int64(r.size), o.FileSize))
	return r
}

// take returns a new chunk, held by the writer, with room for need bytes.
func (r *recent) take(file FileNum, base int64, need int) *Chunk {
	c := &Chunk{r: r, file: file, base: base, mem: r.memory.Take(max(r.size, roundUp(need)))}
	c.state.Store(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.chunks); n > 0 {
		r.kept += int64(len(r.chunks[n-1].mem))
	}
	r.chunks = append(r.chunks, c)
	return c
}

// trim lets go of the oldest chunks beyond what is to be kept.
func (r *recent) trim() {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for ; n < len(r.chunks); n++ {
		c, last := r.chunks[n], r.chunks[len(r.chunks)-1]
		if r.kept+int64(last.n) <= r.max {
			break
		}
		if c != last {
			r.kept -= int64(len(c.mem))
		}
		c.retire()
	}
	if n > 0 {
		rest := copy(r.chunks, r.chunks[n:])
		clear(r.chunks[rest:])
		r.chunks = r.chunks[:rest]
	}
}

// close lets go of all chunks.
func (r *recent) close() {
	r.max = -1
	r.trim()
}

// free gives back the memory of a chunk that nobody uses.
func (r *recent) free(c *Chunk) {
	mem := c.mem[:c.n]
	c.mem = nil
	r.lent.Add(-int64(cap(mem)))
	r.memory.Give(mem)
}

// Recent returns how many bytes of memory the lane keeps of what it has written,
// and the oldest file that some of them belong to: entries of older files are
// not in memory.
func (l *Lane) Recent() (size int64, oldest FileNum) {
	active := l.Active()
	r := l.w.recent
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.chunks) == 0 {
		return 0, active
	}
	return r.kept + int64(len(r.chunks[len(r.chunks)-1].mem)), r.chunks[0].file
}

// Lent returns how many bytes of memory are held by others alone, since the lane
// does not keep them any more.
func (l *Lane) Lent() int64 { return l.w.recent.lent.Load() }
