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

func (k pageKey) append(dst []byte) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(dst, k.bucket), k.chunk)
}

// Freeze makes the present state the cut of a checkpoint.
func (s *State) Freeze() {
	s.pages.Freeze()
	s.cut++
}

// Durable tells that the latest cut is durable: what it holds of buckets to come
// leaves memory.
func (s *State) Durable() {
	if s.source == nil {
		return
	}
	for k := range s.warm {
		b, n := s.buckets[k], 0
		for k >= s.loaded && n < len(b.chunks) && b.chunks[n].cut <= s.cut {
			b.spilledCount += b.chunks[n].count
			n++
		}
		b.spilled += n
		if b.chunks = slices.Delete(b.chunks, 0, n); len(b.chunks) == 0 {
			b.chunks = nil
			delete(s.warm, k)
		}
	}
}

// fetch brings a bucket back into memory.
func (s *State) fetch(k uint64) {
	chunks, err := s.read(k)
	if err != nil {
		if s.err == nil {
			s.err = err
		}
		return
	}
	if b := s.buckets[k]; b.spilled > 0 {
		b.chunks = append(chunks, b.chunks...)
		b.spilled, b.spilledCount = 0, 0
		s.warm[k] = struct{}{}
	}
}

// read returns the chunks of a bucket that are not in memory.
func (s *State) read(k uint64) (chunks []*chunk, err error) {
	b := s.buckets[k]
	if b.spilled == 0 {
		return nil, nil
	}
	count := 0
	err = s.source(pageKey{k, 0}.append(nil), pageKey{k, uint32(b.spilled)}.append(nil), func(key, value []byte) error {
		at, c, err := decodePage(key, value)
		if err != nil {
			return err
		}
		if int(at.chunk) != len(chunks) {
			return fmt.Errorf("%w: page %x of a schedule instead of page %d", codec.ErrMalformed, key, len(chunks))
		}
		chunks = append(chunks, c)
		count += c.count
		return nil
	})
	if err == nil && (len(chunks) != b.spilled || count != b.spilledCount) {
		err = fmt.Errorf("%w: %d pages with %d entries of a schedule instead of %d with %d",
			codec.ErrMalformed, len(chunks), count, b.spilled, b.spilledCount)
	}
	return chunks, err
}

// Err returns why a bucket could not be read: the state is then of no use any
// more.
func (s *State) Err() error { return s.err }

// EncodePages emits pages of the cut (a nil value: the page no longer exists)
// until more returns false or all are emitted, and reports whether all are.
func (s *State) EncodePages(emit func(key, value []byte), more func() bool) bool {
	for more() {
		if !s.pages.Next(func(k pageKey, value []byte) {
			emit(k.append(nil), value)
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
	if b == nil || int(k.chunk) >= b.spilled+len(b.chunks) {
		return dst, false
	}
	return append(dst, b.chunks[int(k.chunk)-b.spilled].packed...), true
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
	_, c, err := decodePage(key, value)
	if err != nil {
		return err
	}
	b := s.buckets[k.bucket]
	if b == nil {
		b = &bucket{}
		s.buckets[k.bucket] = b
	}
	if s.source != nil {
		b.spilled = max(b.spilled, int(k.chunk)+1)
		b.spilledCount += c.count
		return nil
	}
	for len(b.chunks) <= int(k.chunk) {
		b.chunks = append(b.chunks, &chunk{})
	}
	b.chunks[k.chunk] = c
	return nil
}

// decodePage takes a chunk's page apart.
func decodePage(key, value []byte) (pageKey, *chunk, error) {
	if len(key) != 12 || len(value) == 0 || value[0] != pageVersion {
		return pageKey{}, nil, fmt.Errorf("%w: page %x of a schedule", codec.ErrMalformed, key)
	}
	k := pageKey{binary.BigEndian.Uint64(key), binary.BigEndian.Uint32(key[8:])}
	c := &chunk{}
	old := chunk{packed: value[1:]}
	bad := false
	err := old.each(func(e Entry) {
		bad = bad || bucketOf(e.At) != k.bucket || e.Offset < 0
		c.add(e)
	})
	if err != nil || bad || c.count > chunkEntries || k.chunk > maxChunks {
		return k, nil, fmt.Errorf("%w: page %x of a schedule: %w", codec.ErrMalformed, key, err)
	}
	return k, c, nil
}

// Restored ends the loading.
func (s *State) Restored() error {
	s.order = slices.Sorted(maps.Keys(s.buckets))
	for k, b := range s.buckets {
		if k > bucketOf(s.fired.At) && s.source != nil {
			s.count += int64(b.spilledCount)
			continue
		}
		if s.fetch(k); s.err != nil {
			return fmt.Errorf("restoring the schedule: %w", s.err)
		}
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
