package schedule

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
)

// pageKey names a chunk of a bucket, or the root. A key is the number of the
// bucket (8 bytes, big endian) and that of the chunk (4 bytes).
type pageKey struct {
	bucket uint64
	chunk  uint32
}

// rootPage holds the last entry that has fired.
var rootPage = pageKey{math.MaxUint64, 0}

// Freeze makes the present state the cut of a checkpoint.
func (s *State) Freeze() { s.pages.Freeze() }

// EncodePages emits pages of the cut (a nil value: the page no longer exists)
// until more returns false or all are emitted, and reports whether all are.
func (s *State) EncodePages(emit func(key, value []byte), more func() bool) bool {
	for more() {
		if !s.pages.Next(func(k pageKey, value []byte) {
			emit(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, k.bucket), k.chunk), value)
		}) {
			return true
		}
	}
	return false
}

func (s *State) encodePage(dst []byte, k pageKey) ([]byte, bool) {
	dst = append(dst, pageVersion)
	if k == rootPage {
		dst = codec.AppendVarint(dst, s.fired.At)
		dst = codec.AppendUvarint(dst, s.fired.Partition)
		return codec.AppendVarint(dst, s.fired.Offset), true
	}
	b := s.buckets[k.bucket]
	if b == nil || int(k.chunk) >= len(b.chunks) {
		return dst, false
	}
	return append(dst, b.chunks[k.chunk].packed...), true
}

// RestorePage takes a page of a checkpoint, in any order, into a new State. It
// keeps no reference to the slices. Its error wraps codec.ErrMalformed.
func (s *State) RestorePage(key, value []byte) error {
	r := codec.NewReader(value)
	if len(key) != 12 || r.Byte() != pageVersion {
		return fmt.Errorf("%w: page %q of a schedule", codec.ErrMalformed, key)
	}
	k := pageKey{binary.BigEndian.Uint64(key), binary.BigEndian.Uint32(key[8:])}
	if k == rootPage {
		s.fired = Entry{
			At: record.LogTime(r.Varint(0, maxTime)), Partition: record.PartitionID(r.Uvarint(math.MaxUint64)),
			Offset: record.Offset(r.Varint(0, math.MaxInt64)),
		}
		return r.Close() //nolint:wrapcheck // it says all there is
	}
	c := &chunk{}
	old := chunk{packed: value[1:]}
	bad := false
	err := old.each(func(e Entry) {
		bad = bad || bucketOf(e.At) != k.bucket || e.Offset < 0
		c.add(e)
	})
	if err != nil || bad || c.count > chunkEntries || k.chunk > 1<<20 {
		return fmt.Errorf("%w: page %x of a schedule: %w", codec.ErrMalformed, key, err)
	}
	b := s.buckets[k.bucket]
	if b == nil {
		b = &bucket{}
		s.buckets[k.bucket] = b
	}
	for len(b.chunks) <= int(k.chunk) {
		b.chunks = append(b.chunks, &chunk{})
	}
	b.chunks[k.chunk] = c
	return nil
}

// Restored ends the loading.
func (s *State) Restored() error {
	s.order = slices.Sorted(maps.Keys(s.buckets))
	for _, b := range s.buckets {
		for _, c := range b.chunks {
			_ = c.each(func(e Entry) { // it was checked
				if compare(e, s.fired) > 0 {
					s.count++
				}
			})
		}
	}
	if len(s.order) > 0 && s.order[0] <= bucketOf(s.fired.At) {
		s.unpack(s.order[0])
		s.sweep()
	}
	return nil
}
