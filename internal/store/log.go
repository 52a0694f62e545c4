package store

import "github.com/polylog-mq/polylog/internal/record"

// Log is the Raft log of one group, in the terms of Raft's storage. It may be
// read from any goroutine.
type Log struct{}

// HardState returns the last hard state given to Append, or, after Open, the
// last one found; its commit index is at least the checkpoint's.
func (l *Log) HardState() HardState { panic("store: not yet") }

// FirstIndex returns the index of the first entry that the log still has, one
// above LastIndex if it has none.
func (l *Log) FirstIndex() record.Index { panic("store: not yet") }

// LastIndex returns the index of the last entry, FirstIndex-1 if the log has
// none.
func (l *Log) LastIndex() record.Index { panic("store: not yet") }

// Term returns the term of entry i, which may be FirstIndex-1. Errors:
// ErrCompacted, ErrUnavailable.
func (l *Log) Term(i record.Index) (record.Term, error) { panic("store: not yet") }

// Entries returns entries [lo, hi) up to maxBytes of data, but at least one.
// Those that left memory are read from the WAL. Errors: ErrCompacted,
// ErrUnavailable, ErrDamaged.
func (l *Log) Entries(lo, hi record.Index, maxBytes int) ([]Entry, error) { panic("store: not yet") }
