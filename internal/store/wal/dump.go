package wal

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Dump writes a readable listing of one file to w, a line per frame. It goes
// on behind damage as far as it finds frames, and says where. Whether the last
// frames are a torn tail or damage depends on the rest of the lane, so that it
// does not judge.
func Dump(fs vfs.FS, path string, w io.Writer) error {
	f, err := fs.Open(path)
	if err != nil {
		return fmt.Errorf("dump wal file: %w", err)
	}
	out := bufio.NewWriter(w)
	err = dump(f, path, out)
	if err := errors.Join(err, out.Flush(), f.Close()); err != nil {
		return fmt.Errorf("dump wal file %s: %w", path, err)
	}
	return nil
}

func dump(f io.ReaderAt, path string, w io.Writer) error {
	var b [headerSize]byte
	n, err := f.ReadAt(b[:], 0)
	if err != nil && err != io.EOF {
		return err
	}
	h, reason := decodeFileHeader(b[:n])
	if reason != "" {
		_, err := fmt.Fprintf(w, "not readable: %s\n", reason)
		return err
	}
	fmt.Fprintf(w, "file %d lane %d version %d size %d salt %08x first-sequence %d head-frames %d\n",
		h.num, h.lane, h.version, h.size, h.salt, h.first, h.heads)
	s := newScan(f, path, h, 0)
	for {
		fh, body, err := s.frame()
		if bad, ok := errors.AsType[errBad](err); ok {
			if more, err := s.skip(w, string(bad)); !more {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		printFrame(w, s.off, &fh)
		s.off, s.sequence, s.chain = s.off+FrameSize(len(body)), s.sequence+1, fh.chain
	}
}

func printFrame(w io.Writer, off int64, h *header) {
	if h.kind == KindMark || h.kind == KindSeal {
		fmt.Fprintf(w, "%10d sequence %d durable %d %s\n", off, h.sequence, h.durable, h.kind)
		return
	}
	fmt.Fprintf(w, "%10d sequence %d durable %d %s group %d index %d term %d entry-kind %d length %d\n",
		off, h.sequence, h.durable, h.kind, h.group, h.index, h.term, h.entryKind, h.length)
}

// errFound ends a look ahead.
var errFound = errors.New("found")

// skip goes on at the next frame behind a bad place, whose body it cannot
// check for want of the chain, and reports whether there is one.
func (s *scan) skip(w io.Writer, reason string) (bool, error) {
	var at int64
	var next header
	err := s.ahead(s.off+1, func(off int64, h header) error {
		if h.sequence < s.sequence {
			return nil
		}
		at, next = off, h
		return errFound
	})
	if !errors.Is(err, errFound) {
		fmt.Fprintf(w, "%10d end: %s, and no frame follows\n", s.off, reason)
		return false, err
	}
	fmt.Fprintf(w, "%10d bad: %s; the next frame follows after %d bytes, its body unchecked\n", s.off, reason, at-s.off)
	printFrame(w, at, &next)
	s.off, s.sequence, s.chain = min(at+FrameSize(int(next.length)), s.h.size), next.sequence+1, next.chain
	return true, nil
}
