package replica

import (
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// storage is what the host needs of the node's store; see *store.Store for the
// contracts.
type storage interface {
	log(g record.ShardID) entryLog
	Append(batch []store.Append, done func(error))
	Flush() bool
	Pending() bool
	Ready() <-chan struct{}

	NeedsCheckpoint() bool
	Checkpoint(cuts []store.GroupCut) error
	Applied(g record.ShardID) (i record.Index, t record.Term, conf []byte, ok bool)
	LoadPages(g record.ShardID, yield func(key, value []byte) error) error

	Bounds(p record.PartitionID) (first, next record.Offset, err error)
	Read(dst *store.Result, p record.PartitionID, from, limit record.Offset, maxBytes int, minOne bool) error
	newImport(g record.ShardID) importer
}

// entryLog is the Raft log of one group; see *store.Log.
type entryLog interface {
	HardState() store.HardState
	FirstIndex() record.Index
	LastIndex() record.Index
	Term(i record.Index) (record.Term, error)
	Entries(lo, hi record.Index, maxBytes int) ([]store.Entry, error)
}

// importer installs a snapshot; see *store.Import.
type importer interface {
	Add(run store.Run, data []byte) error
	Commit(cut store.GroupCut) error
	Abort()
}

// realStore lets the store stand for storage.
type realStore struct{ *store.Store }

func (s realStore) log(g record.ShardID) entryLog       { return s.Log(g) }
func (s realStore) newImport(g record.ShardID) importer { return s.NewImport(g) }
