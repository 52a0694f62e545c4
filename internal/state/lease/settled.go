package lease

import (
	"fmt"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
)

// SettledPage returns the key of the page that tells whether the record at o is
// settled, if there is one. Keys sort by partition, then offset.
func SettledPage(id record.PartitionID, o record.Offset) []byte {
	return pageKey{pageChunk, id, chunkOf(o)}.appendKey(nil)
}

// ReadSettled calls yield with the settled records of a page of a checkpoint, in
// order. What lies below the floor, no page tells. Its error wraps
// codec.ErrMalformed.
func ReadSettled(key, value []byte, yield func(id record.PartitionID, first, last record.Offset)) error {
	k, ok := parseKey(key)
	r := &reader{codec.NewReader(value)}
	if v := r.Byte(); v != pageVersion || !ok || k.kind != pageChunk {
		r.Fail("version %d of a page, or its key", v)
	}
	c := r.container()
	if err := r.Close(); err != nil {
		return fmt.Errorf("page %q of the lease sets: %w", key, err)
	}
	at := record.Offset(k.chunk) << chunkBits
	c.settled.each(func(x span) { yield(k.id, at+record.Offset(x.lo), at+record.Offset(x.hi)) })
	return nil
}

// SettledAbove returns how many records above the floor are settled.
func (s *Set) SettledAbove() int64 { return s.settled }
