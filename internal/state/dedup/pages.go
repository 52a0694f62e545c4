package dedup

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
)

// maxLeaves is how many pages MaxProducers need.
const maxLeaves = MaxProducers / slotsPerLeaf

// maxTime is later than any log time, and safe to add to.
const maxTime = math.MaxInt64 / 2

// Freeze makes the present state the cut of a checkpoint.
func (t *Table) Freeze() {
	t.pages.Freeze()
	t.cut++
}

// EncodePages emits pages of the cut (a nil value: the page no longer exists)
// until more returns false or all are emitted, and reports whether all are.
// A page's key is its number, 4 bytes, big endian.
func (t *Table) EncodePages(emit func(key, value []byte), more func() bool) bool {
	for more() {
		if !t.pages.Next(func(n uint32, value []byte) { emit(binary.BigEndian.AppendUint32(nil, n), value) }) {
			return true
		}
	}
	return false
}

// encodePage appends the version, which slots are taken and when the leaf is due, then its
// producers.
func (t *Table) encodePage(dst []byte, n uint32) ([]byte, bool) {
	if int(n) >= len(t.leaves) || t.leaves[n] == nil || t.leaves[n].used == 0 {
		return dst, false
	}
	l := t.leaves[n]
	dst = codec.AppendUvarint(append(dst, pageVersion), l.used)
	dst = codec.AppendVarint(dst, l.due)
	for rest := l.used; rest > 0; rest &= rest - 1 {
		dst = l.slots[bits.TrailingZeros64(rest)].appendTo(dst)
	}
	return dst, true
}

// appendTo appends the producer with its batches, the oldest first.
func (p *producer) appendTo(dst []byte) []byte {
	dst = codec.AppendUvarint(dst, p.partition)
	dst = codec.AppendVarint(dst, p.producer)
	dst = codec.AppendVarint(dst, p.epoch)
	dst = codec.AppendVarint(dst, p.coordinator)
	dst = append(dst, p.count)
	for n := p.head + batches + 1 - p.count; n <= p.head+batches; n++ {
		i := n % batches
		dst = codec.AppendVarint(dst, p.first[i])
		dst = codec.AppendVarint(dst, p.last[i])
		dst = codec.AppendVarint(dst, p.base[i])
		dst = codec.AppendVarint(dst, p.time[i])
	}
	return dst
}

// RestorePage takes one page of a checkpoint into an empty table, in any
// order. Key and value are not kept.
func (t *Table) RestorePage(key, value []byte) error {
	if len(key) != 4 || binary.BigEndian.Uint32(key) >= maxLeaves {
		return fmt.Errorf("%w: %q is no page of producers", codec.ErrMalformed, key)
	}
	n := binary.BigEndian.Uint32(key)
	if missing := int(n) + 1 - len(t.leaves); missing > 0 {
		t.leaves = append(t.leaves, make([]*leaf, missing)...)
	}
	r := codec.NewReader(value)
	version := r.Byte()
	if version < firstVersion || version > pageVersion {
		r.Fail("a page of version %d", version)
	}
	l := &leaf{
		number: n, used: r.Uvarint(math.MaxUint64), due: record.LogTime(r.Varint(0, maxTime)),
	}
	if l.used == 0 || t.leaves[n] != nil {
		r.Fail("an empty page, or one given twice")
	}
	for rest := l.used; rest > 0 && r.Err() == nil; rest &= rest - 1 {
		i := bits.TrailingZeros64(rest)
		t.restore(&l.slots[i], &r, version)
		t.index[l.slots[i].key] = n*slotsPerLeaf + uint32(i)
	}
	if err := r.Close(); err != nil {
		return fmt.Errorf("page %d of the producers: %w", n, err)
	}
	t.leaves[n] = l
	return nil
}

func (t *Table) restore(p *producer, r *codec.Reader, version byte) {
	p.partition = record.PartitionID(r.Uvarint(math.MaxUint64))
	p.producer = r.Varint(0, math.MaxInt64)
	p.epoch = int16(r.Varint(0, math.MaxInt16))
	p.coordinator = noEpoch
	if version >= 2 {
		p.coordinator = int32(r.Varint(noEpoch, math.MaxInt32))
	}
	n := r.Byte()
	if n < 1 || n > batches {
		r.Fail("%d batches of one producer", n)
		return
	}
	for range n {
		first, last := int32(r.Varint(beforeFirst, math.MaxInt32)), int32(r.Varint(beforeFirst, math.MaxInt32))
		p.record(first, last, record.Offset(r.Varint(0, math.MaxInt64)), record.LogTime(r.Varint(0, maxTime)))
	}
	if _, twice := t.index[p.key]; twice {
		r.Fail("producer %d is there twice in partition %d", p.producer, p.partition)
	}
}

// Restored ends a restore and rebuilds what is derived.
func (t *Table) Restored() error {
	for _, l := range t.leaves {
		if l != nil {
			t.due.Set(l)
		}
	}
	return nil
}
