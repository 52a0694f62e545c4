package replica

import (
	"errors"
	"fmt"
	"math"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// errLogShort: the node would vote on a log that it no longer holds.
var errLogShort = errors.New("the log does not reach its checkpoint")

// raftLog shows a group's log in the store to Raft. It belongs to the group's
// loop.
type raftLog struct {
	group   record.ShardID
	storage storage
	log     entryLog

	// hard and conf are what Raft starts from.
	hard *raftpb.HardState
	conf *raftpb.ConfState

	// recent are the entries that were appended and not yet applied: what Raft
	// is about to ask for, in the form it wants.
	recent []*raftpb.Entry
}

// openLog reads where the group stands: its checkpoint, and a hard state that
// reaches at least as far.
func openLog(g record.ShardID, s storage) (l *raftLog, applied record.Index, m cutMeta, err error) {
	l = &raftLog{group: g, storage: s, log: s.log(g)}
	applied, _, conf, ok := s.Applied(g)
	m.conf = &raftpb.ConfState{}
	if ok {
		if m, err = parseCutMeta(conf); err != nil {
			return nil, 0, m, fmt.Errorf("reading the checkpoint's members: %w", err)
		}
	}
	first, last := l.log.FirstIndex(), l.log.LastIndex()
	if last < applied || first > applied+1 {
		return nil, 0, m, fmt.Errorf("%w: entries %d to %d, checkpoint at %d", errLogShort, first, last, applied)
	}
	lastTerm, err := l.log.Term(last)
	if err != nil {
		return nil, 0, m, fmt.Errorf("reading the log's last term: %w", err)
	}
	hard := l.log.HardState()
	if hard.Term < lastTerm {
		// The entry was written and the hard state beside it was torn off: no
		// vote was cast in that term yet.
		hard.Term, hard.Vote = lastTerm, 0
	}
	if fault.On(fault.ForgetVote) {
		hard.Vote = 0
	}
	// A commit index above the log's end was torn off its entries likewise.
	hard.Commit = min(max(hard.Commit, applied), last)
	l.hard, l.conf = hardState(hard), m.conf
	return l, applied, m, nil
}

func hardState(h store.HardState) *raftpb.HardState {
	return &raftpb.HardState{
		Term: new(uint64(h.Term)), Vote: new(uint64(h.Vote)), Commit: new(uint64(h.Commit)),
	}
}

// keep remembers entries on their way into the store.
func (l *raftLog) keep(ents []*raftpb.Entry) {
	if len(l.recent) > 0 {
		first, from := l.recent[0].GetIndex(), ents[0].GetIndex()
		switch {
		case from <= first:
			l.recent = l.recent[:0:0]
		case from-first < uint64(len(l.recent)):
			l.recent = l.recent[: from-first : from-first]
		}
	}
	l.recent = append(l.recent, ents...)
}

// forget drops the entries up to i.
func (l *raftLog) forget(i uint64) {
	if len(l.recent) == 0 || i < l.recent[0].GetIndex() {
		return
	}
	n := min(i-l.recent[0].GetIndex()+1, uint64(len(l.recent)))
	clear(l.recent[:n])
	l.recent = l.recent[n:]
}

// InitialState implements raft.Storage.
func (l *raftLog) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	return l.hard, l.conf, nil
}

// Entries implements raft.Storage.
func (l *raftLog) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	if n := uint64(len(l.recent)); n > 0 && lo >= l.recent[0].GetIndex() && hi <= l.recent[0].GetIndex()+n {
		from := lo - l.recent[0].GetIndex()
		return limit(l.recent[from:from+hi-lo], maxSize), nil
	}
	ents, err := l.log.Entries(record.Index(lo), record.Index(hi), int(min(maxSize, math.MaxInt)))
	if err != nil {
		return nil, raftError(err, "reading entries")
	}
	type block struct {
		entry       raftpb.Entry
		term, index uint64
		kind        raftpb.EntryType
	}
	blocks, out := make([]block, len(ents)), make([]*raftpb.Entry, len(ents))
	for i := range ents {
		b := &blocks[i]
		b.term, b.index, b.kind = uint64(ents[i].Term), uint64(ents[i].Index), raftpb.EntryType(ents[i].Kind)
		b.entry.Term, b.entry.Index, b.entry.Type, b.entry.Data = &b.term, &b.index, &b.kind, ents[i].Data
		out[i] = &b.entry
	}
	return out, nil
}

// limit copies the first entries that fit into maxSize bytes, at least one.
func limit(ents []*raftpb.Entry, maxSize uint64) []*raftpb.Entry {
	n, size := 0, uint64(0)
	for ; n < len(ents); n++ {
		if size += uint64(len(ents[n].GetData())) + entryOverhead; n > 0 && size > maxSize {
			break
		}
	}
	return append(make([]*raftpb.Entry, 0, n), ents[:n]...)
}

// entryOverhead is about what Raft counts for an entry beside its data.
const entryOverhead = 16

// Term implements raft.Storage.
func (l *raftLog) Term(i uint64) (uint64, error) {
	if n := uint64(len(l.recent)); n > 0 && i >= l.recent[0].GetIndex() && i < l.recent[0].GetIndex()+n {
		return l.recent[i-l.recent[0].GetIndex()].GetTerm(), nil
	}
	t, err := l.log.Term(record.Index(i))
	if err != nil {
		return 0, raftError(err, "reading a term")
	}
	return uint64(t), nil
}

// LastIndex implements raft.Storage.
func (l *raftLog) LastIndex() (uint64, error) { return uint64(l.log.LastIndex()), nil }

// FirstIndex implements raft.Storage.
func (l *raftLog) FirstIndex() (uint64, error) { return uint64(l.log.FirstIndex()), nil }

// Snapshot implements raft.Storage: the durable checkpoint, without its pages
// and data, which travel ahead of it (snapshot.go).
func (l *raftLog) Snapshot() (*raftpb.Snapshot, error) {
	i, t, conf, ok := l.storage.Applied(l.group)
	if !ok {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	m, err := parseCutMeta(conf)
	if err != nil {
		return nil, &storageError{fmt.Errorf("reading the checkpoint's members: %w", err)}
	}
	return &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{
		ConfState: m.conf, Index: new(uint64(i)), Term: new(uint64(t)),
	}}, nil
}

// storageError is what Raft panics with when the store cannot be read.
type storageError struct{ err error }

func (e *storageError) Error() string { return e.err.Error() }
func (e *storageError) Unwrap() error { return e.err }

// raftError turns an error of the store into what Raft expects.
func raftError(err error, doing string) error {
	switch {
	case errors.Is(err, store.ErrCompacted):
		return raft.ErrCompacted
	case errors.Is(err, store.ErrUnavailable):
		return raft.ErrUnavailable
	default:
		return &storageError{fmt.Errorf("%s of the Raft log: %w", doing, err)}
	}
}
