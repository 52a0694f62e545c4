package store

import "github.com/polylog-mq/polylog/internal/record"

// NewImport begins the installation of a snapshot of group g.
func (s *Store) NewImport(g record.ShardID) *Import { panic("store: not yet") }

// Import installs a snapshot of a group: first the data that this node lacks,
// then the state that counts on it. It is not safe for concurrent use.
type Import struct{}

// Add writes the records of one run, whose bytes are data[run.Pos:][:run.Len].
// The runs of a partition must come in the order of their offsets; those that
// are here already are ignored.
func (im *Import) Add(run Run, data []byte) error { panic("store: not yet") }

// Commit makes the data and the cut durable, all at once: the group's pages
// are replaced, and its log begins anew behind cut.Applied. Until it returns,
// the group must not append, read its log or step. It flushes by itself.
func (im *Import) Commit(cut GroupCut) error { panic("store: not yet") }

// Abort removes what was added. It does nothing after Commit.
func (im *Import) Abort() { panic("store: not yet") }
