package wal

import (
	"github.com/cockroachdb/pebble/v2/vfs"
)

// writer appends frames to one file through a buffer of whole pages: every
// write begins and ends on a page boundary, padded with zeros, so that the
// kernel never has to read a page back before it changes it. The page that the
// next frame begins in stays in the buffer and is written again with it.
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

	buf   []byte // its first byte lies at offset base, a page boundary; aligned
	base  int64
	n     int  // bytes in buf
	dirty bool // buf holds bytes that were not written

	head [headerSize]byte // scratch
}

// offset is where the next frame begins.
func (w *writer) offset() int64 { return w.base + int64(w.n) }

// fits reports whether a frame of n bytes, header included, has room. What ends
// a file has room of its own.
func (w *writer) fits(n int64) bool { return w.offset()+n <= w.size-endRoom }

// start makes the writer begin at offset 0 of the file w.f.
func (w *writer) start(h *fileHeader) error {
	w.num, w.size, w.lane, w.salt, w.chain = h.num, h.size, h.lane, h.salt, h.salt
	w.base, w.n = 0, 0
	h.encode(&w.head)
	return w.put(w.head[:])
}

// frame appends a frame and returns where its body begins.
func (w *writer) frame(f *Frame, sequence, durable uint64) (int64, error) {
	if n := len(f.Body); n >= sumAhead {
		w.chain = combine(w.chain, f.sum, n)
	} else {
		w.chain = checksum(w.chain, f.Body)
	}
	h := header{
		lane: w.lane, kind: f.Kind, entryKind: f.EntryKind, length: uint32(len(f.Body)), file: w.num,
		sequence: sequence, durable: durable, index: f.Index, term: f.Term, group: f.Group, chain: w.chain,
	}
	h.encode(&w.head, w.salt)
	at := w.offset() + headerSize
	if err := w.put(w.head[:]); err != nil {
		return 0, err
	}
	return at, w.put(f.Body)
}

func (w *writer) put(p []byte) error {
	for len(p) > 0 {
		c := copy(w.buf[w.n:], p)
		w.n, p, w.dirty = w.n+c, p[c:], true
		if w.n == len(w.buf) {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush writes the buffer. The bytes are not durable before sync.
func (w *writer) flush() error {
	if !w.dirty {
		return nil
	}
	end := w.ahead(roundUp(w.n))
	clear(w.buf[w.n:end])
	if _, err := w.f.WriteAt(w.buf[:end], w.base); err != nil {
		return err
	}
	w.grown = max(w.grown, w.base+int64(end))
	whole := w.n &^ (pageSize - 1)
	copy(w.buf, w.buf[whole:w.n])
	w.base, w.n, w.dirty = w.base+int64(whole), w.n-whole, false
	return nil
}

// ahead returns where in the buffer a write is to end that ends at end. A small
// one that goes where the file was never written takes zeros along for those
// that follow it: one of many then pays for noting the blocks, and not each.
func (w *writer) ahead(end int) int {
	if at := w.base + int64(end); at > w.grown && w.n < aheadBelow {
		to := min((at+aheadBytes-1)/aheadBytes*aheadBytes, w.size)
		end = max(end, min(int(to-w.base), len(w.buf)))
	}
	return end
}

// sync writes the buffer and returns once all that was written is durable.
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
	pages = aligned(roundUp(w.n + headerSize))
	copy(pages[copy(pages, w.buf[:w.n]):], w.head[:])
	return pages, w.base
}

// roundUp returns the next page boundary.
func roundUp[T int | int64](n T) T { return (n + pageSize - 1) &^ (pageSize - 1) }
