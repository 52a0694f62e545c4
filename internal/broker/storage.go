package broker

import (
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// storage is what the broker needs of the node's store once it is open; see
// store.Store for each method.
type storage interface {
	AddRuns(g record.ShardID, i record.Index, runs []store.Run)
	SetFloor(g record.ShardID, i record.Index, p record.PartitionID, level uint8, o record.Offset)
	SetCompaction(g record.ShardID, i record.Index, p record.PartitionID, c *store.Compaction)
	SetSettled(g record.ShardID, p record.PartitionID, by store.Settled)
	NoteSettled(bytes int64)
	SetEnd(p record.PartitionID, next record.Offset)
	DropPartition(g record.ShardID, i record.Index, p record.PartitionID)
	PagesBetween(g record.ShardID, from, to []byte, yield func(key, value []byte) error) error
	Read(dst *store.Result, p record.PartitionID, from, limit record.Offset, maxBytes int, minOne bool) error
	FindTime(p record.PartitionID, from, limit record.Offset, ts int64) (store.Found, bool, error)
	FindMaxTime(p record.PartitionID, from, limit record.Offset) (store.Found, bool, error)
	Health() store.Health
}
