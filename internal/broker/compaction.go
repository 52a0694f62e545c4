package broker

import (
	"slices"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/topic"
	"github.com/polylog-mq/polylog/internal/store"
)

// compact tells the store how to compact a partition, as of entry i; 0: as a
// checkpoint has it. state/topic decides what may be compacted, and the store
// does it when that pays. What a lease set names must be there: once somebody
// consumes a topic as a queue it is compacted no further.
func (s *shard) compact(i record.Index, st *topic.Partition) {
	p := s.parts[st.ID()]
	if p == nil || st.Dropped() {
		return
	}
	set := st.Settings()
	if !set.Compact || p.lease != nil {
		if p.compacted {
			p.compacted = false
			s.b.store.SetCompaction(s.id, i, p.id, nil)
		}
		return
	}
	p.compacted = true
	c, aborted := st.Compaction(), st.Aborted()
	s.b.store.SetCompaction(s.id, i, p.id, &store.Compaction{
		Below: c.Below, Overdue: c.Overdue, At: c.At,
		DirtyPermille: set.MinCleanableDirtyPermille, DeleteRetention: set.DeleteRetentionMs,
		Aborted: func(producer int64, o record.Offset) bool {
			return slices.ContainsFunc(topic.AbortedIn(nil, aborted, o, o+1), func(a topic.Aborted) bool { return a.Producer == producer })
		},
	})
}
