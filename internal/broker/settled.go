package broker

import (
	"fmt"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/lease"
)

// settledPages reads for the store, from the checkpoint's pages of lease sets,
// which records of queues are settled. It implements store.Settled.
type settledPages struct{}

// PageAt implements store.Settled.
func (settledPages) PageAt(p record.PartitionID, o record.Offset) []byte {
	return append([]byte{byte(kindLease)}, lease.SettledPage(p, o)...)
}

// ReadPage implements store.Settled.
func (settledPages) ReadPage(key, value []byte, yield func(p record.PartitionID, first, last record.Offset)) error {
	if len(key) == 0 || key[0] != byte(kindLease) {
		return fmt.Errorf("page %q is none of lease sets", key)
	}
	return lease.ReadSettled(key[1:], value, yield) //nolint:wrapcheck // it says all there is
}

// keepSettled tells the store whether it has to keep what is settled in a
// partition: it does if the queue is kept for replay, or if it is a topic that is
// consumed as a queue.
func (q *queues) keepSettled(p *Partition) {
	if p.state.Settings().Lease == "" || p.lease.Settings().Retention != 0 {
		q.s.b.store.SetSettled(q.s.id, p.id, nil)
		return
	}
	q.s.b.store.SetSettled(q.s.id, p.id, settledPages{})
}

// settledAbove tells the store of records that were settled while the floor is
// held up far below them. In a queue that is worked on in order the floor follows,
// and the store knows.
func (q *queues) settledAbove(r *lease.Report) {
	for i := range r.Changes {
		c := &r.Changes[i]
		if set := q.state.Lookup(c.Partition); set != nil && set.SettledAbove() > floorLag {
			q.s.b.store.NoteSettled(c.Bytes)
		}
	}
}
