package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store/checkpoint"
	"github.com/polylog-mq/polylog/internal/store/wal"
)

// entry is one Raft entry. Its log, the tail and the runs over it share it.
type entry struct {
	term record.Term
	kind uint8
	size uint32
	// data is the entry's bytes until a flush has written them. Then at is where
	// they lie, also in chunk, for as long as that can be held.
	data  atomic.Pointer[unwritten]
	at    wal.Position
	chunk atomic.Pointer[wal.Chunk]
}

// unwritten is the data of an entry that no flush has written yet.
type unwritten struct {
	data    []byte
	splices []Splice
}

// hold returns the chunk that has the entry's data, held for the caller; nil if
// they are not in memory.
func (e *entry) hold() *wal.Chunk {
	if c := e.chunk.Load(); c != nil && c.Hold() {
		return c
	}
	return nil
}

// landed says that a flush has written the entry.
func (e *entry) landed(at wal.Position, c *wal.Chunk) {
	e.at = at
	e.chunk.Store(c)
	e.data.Store(nil)
}

// Log is the Raft log of one group, in the terms of Raft's storage. It may be
// read from any goroutine.
type Log struct {
	s     *Store
	group record.ShardID

	mu            sync.RWMutex
	hard          HardState
	compacted     record.Index // the last index forgotten
	compactedTerm record.Term
	entries       []*entry // those above compacted
	reset         wal.Position

	// runFile is the file of the last run added; only AddRuns touches it.
	runFile *file
}

// HardState returns the last hard state given to Append, or, after Open, the
// last one found; its commit index is at least the checkpoint's.
func (l *Log) HardState() HardState {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.hard
}

// FirstIndex returns the index of the first entry that the log still has, one
// above LastIndex if it has none.
func (l *Log) FirstIndex() record.Index {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.compacted + 1
}

// LastIndex returns the index of the last entry, FirstIndex-1 if the log has
// none.
func (l *Log) LastIndex() record.Index {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.last()
}

func (l *Log) last() record.Index { return l.compacted + record.Index(len(l.entries)) }

// Term returns the term of entry i, which may be FirstIndex-1. Errors:
// ErrCompacted, ErrUnavailable.
func (l *Log) Term(i record.Index) (record.Term, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.term(i)
}

func (l *Log) term(i record.Index) (record.Term, error) {
	switch {
	case i < l.compacted:
		return 0, ErrCompacted
	case i == l.compacted:
		return l.compactedTerm, nil
	case i > l.last():
		return 0, ErrUnavailable
	}
	return l.entries[i-l.compacted-1].term, nil
}

// entry returns entry i, nil if the log does not have it.
func (l *Log) entry(i record.Index) *entry {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if i <= l.compacted || i > l.last() {
		return nil
	}
	return l.entries[i-l.compacted-1]
}

// Entries returns entries [lo, hi) up to maxBytes of data, but at least one.
// Those that left memory are read from the WAL. Errors: ErrCompacted,
// ErrUnavailable, ErrDamaged.
func (l *Log) Entries(lo, hi record.Index, maxBytes int) ([]Entry, error) {
	found, err := l.slice(lo, hi, maxBytes)
	if err != nil {
		return nil, err
	}
	out := make([]Entry, len(found))
	cold := -1
	for i, e := range found {
		out[i] = Entry{Index: lo + record.Index(i), Term: e.term, Kind: e.kind}
		if d := e.data.Load(); d != nil {
			out[i].Data = d.data
			if len(d.splices) > 0 {
				out[i].Data = wal.Join(make([]byte, 0, e.size), d.data, d.splices)
			}
		} else if c := e.hold(); c != nil {
			out[i].Data = bytes.Clone(c.Bytes(e.at.Offset, int(e.size)))
			c.Release()
		} else if cold < 0 {
			cold = i
		}
	}
	if cold >= 0 {
		if err := l.s.readEntries(found, out, cold); err != nil {
			if errors.Is(err, wal.ErrNoFile) { // compacted and freed in the meantime
				return nil, ErrCompacted
			}
			return nil, err
		}
	}
	return out, nil
}

func (l *Log) slice(lo, hi record.Index, maxBytes int) ([]*entry, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if lo <= l.compacted {
		return nil, ErrCompacted
	}
	if hi > l.last()+1 || lo > hi {
		return nil, ErrUnavailable
	}
	all := l.entries[lo-l.compacted-1 : hi-l.compacted-1]
	n, size := 0, 0
	for n < len(all) && (n == 0 || size+int(all[n].size) <= maxBytes) {
		size += int(all[n].size)
		n++
	}
	// A copy, since compaction moves what is behind the slice.
	return append([]*entry(nil), all[:n]...), nil
}

// readEntries reads the data of found[cold:] that out lacks, neighbours in one
// read, and verifies it: nothing else would tell a damaged command before every
// member has applied it.
func (s *Store) readEntries(found []*entry, out []Entry, cold int) error {
	for i := cold; i < len(found); {
		if out[i].Data != nil || found[i].size == 0 {
			i++
			continue
		}
		first, end := found[i].at, found[i].at.Offset+int64(found[i].size)
		start := first.Offset - wal.FrameSize(0)
		n := i + 1
		for ; n < len(found) && out[n].Data == nil; n++ {
			e := found[n]
			gap := e.at.Offset - end
			if e.at.File != first.File || gap < 0 || gap > gapBytes || e.at.Offset+int64(e.size)-start > maxReadSize {
				break
			}
			end = e.at.Offset + int64(e.size)
		}
		buf := make([]byte, end-start)
		if _, err := s.lane.ReadAt(first.File, buf, start); err != nil {
			return fmt.Errorf("reading log entries: %w", err)
		}
		for ; i < n; i++ {
			at := found[i].at
			from := at.Offset - first.Offset
			body, ok := at.Body(buf[from : from+wal.FrameSize(int(found[i].size))])
			if !ok {
				return s.damage(wal.FilePath(s.o.FS, s.walDir(), at.File), at.Offset, "the checksum of a log entry does not match")
			}
			out[i].Data = slices.Clip(body)
		}
	}
	return nil
}

// push puts entries behind the log, in place of what is there from the first
// one's index on.
func (l *Log) push(first record.Index, es []*entry) {
	if first <= l.compacted || first > l.last()+1 {
		panic(fmt.Sprintf("store: entry %d appended to a log of group %d that holds %d to %d",
			first, l.group, l.compacted+1, l.last()))
	}
	l.entries = append(l.entries[:first-l.compacted-1], es...)
}

// compact forgets entries up to i, of the given term.
func (l *Log) compact(i record.Index, t record.Term) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i <= l.compacted {
		return
	}
	n := min(int(i-l.compacted), len(l.entries))
	rest := l.entries[n:]
	// A new slice once half of the old one is dead, so that it can shrink.
	if len(rest) < cap(l.entries)/2 {
		rest = append([]*entry(nil), rest...)
	} else {
		clear(l.entries[:n])
	}
	l.entries, l.compacted, l.compactedTerm = rest, i, t
}

// restart empties the log behind a snapshot.
func (l *Log) restart(g *checkpoint.Group) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries, l.compacted, l.compactedTerm = nil, g.Compacted, g.CompactedTerm
	l.hard = l.hard.after(g)
}

// after returns the hard state once a checkpoint is durable.
func (h HardState) after(g *checkpoint.Group) HardState {
	h.Commit = max(h.Commit, g.Applied)
	if g.Term > h.Term {
		h.Term, h.Vote = g.Term, 0
	}
	return h
}

// hardStateSize is the size of an encoded hard state.
const hardStateSize = 24

func (h HardState) appendTo(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.Term))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.Vote))
	return binary.LittleEndian.AppendUint64(dst, uint64(h.Commit))
}

func parseHardState(b []byte) (HardState, bool) {
	if len(b) != hardStateSize {
		return HardState{}, false
	}
	le := binary.LittleEndian
	return HardState{record.Term(le.Uint64(b)), record.NodeID(le.Uint64(b[8:])), record.Index(le.Uint64(b[16:]))}, true
}
