package dedup

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/polylog-mq/polylog/internal/record"
)

// Producer is what is known of a producer in a partition, for people.
type Producer struct {
	ID       int64
	Epoch    int16
	Sequence int32          // the last one, -1 if there was none in this epoch
	Seen     record.LogTime // of its last batch or marker
	// Coordinator is the epoch of the coordinator that wrote its last marker, -1
	// if there was none.
	Coordinator int32
}

// Producers returns the producers of a partition, ordered by id. It looks at all
// of the table.
func (t *Table) Producers(partition record.PartitionID) []Producer {
	var found []Producer
	for _, l := range t.leaves {
		if l == nil {
			continue
		}
		for rest := l.used; rest > 0; rest &= rest - 1 {
			if p := &l.slots[bits.TrailingZeros64(rest)]; p.partition == partition {
				found = append(found, Producer{p.key.producer, p.epoch, p.last[p.head], p.seen(), p.coordinator})
			}
		}
	}
	slices.SortFunc(found, func(a, b Producer) int { return cmp.Compare(a.ID, b.ID) })
	return found
}
