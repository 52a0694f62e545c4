package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// reader gives windows of a file, reading ahead in large pieces.
type reader struct {
	f    io.ReaderAt
	size int // how much to read at once
	buf  []byte
	base int64
}

// bytes returns n bytes at offset off, fewer at the end of the file. They are
// valid until the next call.
func (r *reader) bytes(off int64, n int) ([]byte, error) {
	if off < r.base || off+int64(n) > r.base+int64(len(r.buf)) {
		if err := r.fill(off, n); err != nil {
			return nil, err
		}
	}
	from := off - r.base
	return r.buf[from:min(from+int64(n), int64(len(r.buf)))], nil
}

// window returns what follows offset off: a header's worth at least, less only
// at the end of the file.
func (r *reader) window(off int64) ([]byte, error) {
	if off < r.base || off+headerSize > r.base+int64(len(r.buf)) {
		if err := r.fill(off, r.size); err != nil {
			return nil, err
		}
	}
	return r.buf[off-r.base:], nil
}

func (r *reader) fill(off int64, n int) error {
	if want := max(n, r.size); cap(r.buf) < want {
		r.buf = make([]byte, want)
	}
	got, err := r.f.ReadAt(r.buf[:cap(r.buf)], off)
	r.buf, r.base = r.buf[:got], off
	if err == io.EOF {
		err = nil
	}
	return err
}

// scan reads one file frame by frame and decides what a bad one means.
type scan struct {
	r    reader
	path string
	h    fileHeader
	next uint64 // the sequence that the following file begins with; 0 in the newest

	off      int64  // where the next frame begins; at the end, where the log does
	sequence uint64 // of that frame
	chain    uint32
	proof    uint64 // the largest durable that a frame said
	tail     int64  // the first frame that said so: what follows it may not be durable
	torn     int64  // frames of a torn tail begin before this offset
	max      []GroupIndex
}

func newScan(f io.ReaderAt, path string, h fileHeader, next uint64) *scan {
	return &scan{
		r: reader{f: f, size: int(min(readAhead, h.size))}, path: path, h: h, next: next,
		off: headerSize, sequence: h.first, chain: h.salt, tail: headerSize,
	}
}

// errBad says why there is no good frame at some place.
type errBad string

func (e errBad) Error() string { return string(e) }

// run visits the file's frames to the end of the log in it.
func (s *scan) run(visit func(pos Position, f *Frame) error) error {
	for s.next == 0 || s.sequence < s.next {
		h, body, err := s.frame()
		if bad, ok := errors.AsType[errBad](err); ok {
			return s.judge(string(bad))
		}
		if err != nil {
			return fmt.Errorf("read wal file %d at offset %d: %w", s.h.num, s.off, err)
		}
		if h.kind == KindSeal { // reached in the newest file only
			return s.unsealed()
		}
		if h.durable > s.proof {
			s.proof, s.tail = h.durable, s.off
		}
		at := Position{s.h.num, s.off + headerSize, s.chain}
		s.off += FrameSize(len(body))
		s.sequence++
		s.chain = h.chain
		if h.kind == KindMark {
			continue
		}
		f := Frame{Kind: h.kind, EntryKind: h.entryKind, Group: h.group, Index: h.index, Term: h.term, Body: body}
		if f.Kind == KindEntry {
			s.max = raise(s.max, &f)
		}
		if err := visit(at, &f); err != nil {
			return err
		}
	}
	return nil
}

// unsealed is what is wrong with a lane whose newest file is sealed.
func (s *scan) unsealed() error {
	return &CorruptionError{
		File: s.h.num, Path: s.path, Offset: s.off, Hint: hintDamage,
		Reason: fmt.Sprintf("it is not the newest file: file %d, which followed it, is missing", s.h.num+1),
	}
}

// frame reads the frame at s.off. The error is errBad unless reading failed.
func (s *scan) frame() (header, []byte, error) {
	b, err := s.r.bytes(s.off, headerSize)
	if err != nil {
		return header{}, nil, err
	}
	h, ok := s.decode(b)
	switch {
	case !ok:
		return h, nil, errBad("there is no frame header")
	case h.sequence != s.sequence:
		return h, nil, errBad(fmt.Sprintf("frame %d is where frame %d belongs", h.sequence, s.sequence))
	case h.kind < KindEntry || h.kind > KindSeal:
		return h, nil, errBad(fmt.Sprintf("the frame is of the unknown kind %d", h.kind))
	case int64(h.length) > s.h.size-s.off-headerSize:
		return h, nil, errBad(fmt.Sprintf("a body of %d bytes does not fit in the file", h.length))
	}
	body, err := s.r.bytes(s.off+headerSize, int(h.length))
	if err != nil {
		return h, nil, err
	}
	if len(body) < int(h.length) || checksum(s.chain, body) != h.chain {
		return h, nil, errBad("the body's checksum is wrong")
	}
	return h, body, nil
}

// decode reads a header that was written to this file in this life.
func (s *scan) decode(b []byte) (header, bool) {
	h, ok := decodeHeader(b, s.h.salt)
	return h, ok && h.lane == s.h.lane && h.file == s.h.num
}

// judge decides whether what is wrong at s.off is damage or merely the end of
// the log, where a write was cut short that nobody was told of. It is damage
// if anything says that the frame was durable: the head of a file is before
// the file gets its name; all of a file is before there is a next one; and a
// later frame of this file may say so, which is found by its salted header
// whatever lies in between.
func (s *scan) judge(reason string) error {
	damage := func(proof string, args ...any) error {
		return &CorruptionError{
			File: s.h.num, Path: s.path, Offset: s.off, Hint: hintDamage,
			Reason: fmt.Sprintf("%s, but frame %d was durable: %s", reason, s.sequence, fmt.Sprintf(proof, args...)),
		}
	}
	switch {
	case s.sequence < s.h.first+uint64(s.h.heads):
		return damage("it belongs to the head of the file")
	case s.next > 0:
		return damage("the next file begins with frame %d", s.next)
	}
	return s.ahead(s.off, func(at int64, h header) error {
		if h.sequence < s.sequence {
			return nil
		}
		if h.durable >= s.sequence {
			return damage("frame %d at offset %d says so", h.sequence, at)
		}
		s.torn = at + headerSize
		return nil
	})
}

// ahead calls found for every frame header from offset off to the end.
func (s *scan) ahead(off int64, found func(at int64, h header) error) error {
	for {
		b, err := s.r.window(off)
		if err != nil {
			return fmt.Errorf("look ahead in wal file %d: %w", s.h.num, err)
		}
		if len(b) < headerSize {
			return nil
		}
		i := bytes.Index(b, frameMagic[:])
		if i < 0 { // the magic may straddle the end of the window
			off += int64(len(b) - len(frameMagic) + 1)
			continue
		}
		off += int64(i)
		if len(b)-i < headerSize {
			continue
		}
		if h, ok := s.decode(b[i:]); ok {
			if err := found(off, h); err != nil {
				return err
			}
		}
		off++
	}
}
