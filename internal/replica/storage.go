package replica

import "github.com/polylog-mq/polylog/internal/record"

// Storage is what the host needs of the node's store.
type Storage interface {
	// NeedsCheckpoint reports whether the log has grown enough for a cut.
	NeedsCheckpoint() bool
	// Applied returns what the durable checkpoint says of a group.
	Applied(g record.ShardID) (i record.Index, t record.Term, conf []byte, ok bool)
	// LoadPages walks over a group's pages of the durable checkpoint.
	LoadPages(g record.ShardID, yield func(key, value []byte) error) error
}
