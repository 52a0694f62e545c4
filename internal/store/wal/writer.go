package wal

import (
	"github.com/cockroachdb/pebble/v2/vfs"
)

// writer appends frames to one file through chunks of whole pages: every write
// begins and ends on a page boundary, padded with zeros, so that the kernel never
// has to read a page back before it changes it. The page that the next frame
// begins in is written again with it; the next chunk begins with a copy of it. A
// frame lies in one chunk.
type writer struct {
	f vfs.File
	// direct says that f is written past the page cache: what is written is
	// durable.
	direct bool
	// grown is how far the file was written before, by this life of it or an
	// earlier one. Beyond it a write costs the file system more: it must note
	// that the blocks hold something now.
	grown int64
	num   FileNum
	size  int64
	lane  uint16
	salt  uint32
	chain uint32

	recent *recent
	chunk  *Chunk // being filled
	from   int    // where in it the next write begins, a page boundary
	dirty  bool   // it holds bytes that were not written

	head [headerSize]byte // scratch
}

// offset is where the next frame begins.
func (w *writer) offset() int64 { return w.chunk.base + int64(w.chunk.n) }

// fits reports whether a frame of n bytes, header included, has room. What ends
// a file has room of its own.
func (w *writer) fits(n int64) bool { return w.offset()+n <= w.size-endRoom }

// start makes the writer begin at offset 0 of the file w.f.
func (w *writer) start(h *fileHeader) error {
	w.num, w.size, w.lane, w.salt, w.chain = h.num, h.size, h.lane, h.salt, h.salt
	w.enter(0, headerSize)
	h.encode(&w.head)
	return w.put(w.head[:])
}

// enter goes on in a new chunk, at a page boundary of the file, with room for need
// bytes.
func (w *writer) enter(base int64, need int) {
	old := w.chunk
	w.chunk, w.from, w.dirty = w.recent.take(w.num, base, need), 0, false
	if old != nil {
		old.Release()
	}
}

// frame appends a frame and returns where its body begins.
func (w *writer) frame(f *Frame, sequence, durable uint64) (int64, error) {
	size := f.size()
	w.chain = f.chained(w.chain)
	h := header{
		lane: w.lane, kind: f.Kind, entryKind: f.EntryKind, length: uint32(size), file: w.num,
		sequence: sequence, durable: durable, index: f.Index, term: f.Term, group: f.Group, chain: w.chain,
	}
	h.encode(&w.head, w.salt)
	if err := w.room(headerSize + size); err != nil {
		return 0, err
	}
	at := w.offset() + headerSize
	w.add(w.head[:])
	from := 0
	for i := range f.Splices {
		s := &f.Splices[i]
		w.add(f.Body[from:s.At])
		w.add(s.Bytes)
		from = s.At
	}
	w.add(f.Body[from:])
	f.Chunk = w.chunk
	return at, nil
}

// chained continues a chain of checksums over the body, of which it reads no more
// than was not summed before.
func (f *Frame) chained(chain uint32) uint32 {
	if len(f.Splices) == 0 && len(f.Body) >= sumAhead {
		return combine(chain, f.sum, len(f.Body))
	}
	from := 0
	for i := range f.Splices {
		s := &f.Splices[i]
		chain = combine(checksum(chain, f.Body[from:s.At]), s.Sum, len(s.Bytes))
		from = s.At
	}
	return checksum(chain, f.Body[from:])
}

// room sees to it that the next n bytes lie together in a chunk that is kept.
func (w *writer) room(n int) error {
	old := w.chunk
	if old.n+n <= len(old.mem) && !old.retired() {
		return nil
	}
	whole := old.n &^ (pageSize - 1)
	if w.dirty && whole > w.from {
		if err := w.write(whole); err != nil {
			return err
		}
	}
	rest, dirty := old.mem[whole:old.n], w.dirty
	old.Share() // until the rest is copied
	w.enter(old.base+int64(whole), len(rest)+n)
	w.add(rest)
	w.dirty = dirty && len(rest) > 0
	old.Release()
	return nil
}

// add copies p into the chunk, which has room for it.
func (w *writer) add(p []byte) {
	c := w.chunk
	c.n += copy(c.mem[c.n:], p)
	w.dirty = true
}

func (w *writer) put(p []byte) error {
	if err := w.room(len(p)); err != nil {
		return err
	}
	w.add(p)
	return nil
}

// flush writes what is in the chunk. The bytes are not durable before sync.
func (w *writer) flush() error {
	if !w.dirty {
		return nil
	}
	n := w.chunk.n
	end := w.ahead(roundUp(n))
	clear(w.chunk.mem[n:end])
	if err := w.write(end); err != nil {
		return err
	}
	w.from, w.dirty = n&^(pageSize-1), false
	return nil
}

// write writes the chunk's pages up to end.
func (w *writer) write(end int) error {
	c := w.chunk
	if _, err := w.f.WriteAt(c.mem[w.from:end], c.base+int64(w.from)); err != nil {
		return err
	}
	w.grown = max(w.grown, c.base+int64(end))
	return nil
}

// ahead returns where in the chunk a write is to end that ends at end. A small
// one that goes where the file was never written takes zeros along for those
// that follow it: one of many then pays for noting the blocks, and not each.
func (w *writer) ahead(end int) int {
	c := w.chunk
	if at := c.base + int64(end); at > w.grown && c.n-w.from < aheadBelow {
		to := min((at+aheadBytes-1)/aheadBytes*aheadBytes, w.size)
		end = max(end, min(int(to-c.base), len(c.mem)))
	}
	return end
}

// sync writes what is in the chunk and returns once all that was written is durable.
func (w *writer) sync() error {
	if err := w.flush(); err != nil || w.direct {
		return err
	}
	return w.f.SyncData()
}

// seal returns what ends the file, as pages, and where they belong, to be
// written once the next file has its name. Nothing is buffered.
func (w *writer) seal(sequence uint64) (pages []byte, at int64) {
	h := header{lane: w.lane, kind: KindSeal, file: w.num, sequence: sequence, durable: sequence - 1, chain: w.chain}
	h.encode(&w.head, w.salt)
	rest := w.chunk.mem[w.from:w.chunk.n]
	pages = aligned(roundUp(len(rest) + headerSize))
	copy(pages[copy(pages, rest):], w.head[:])
	return pages, w.chunk.base + int64(w.from)
}

// roundUp returns the next page boundary.
func roundUp[T int | int64](n T) T { return (n + pageSize - 1) &^ (pageSize - 1) }
