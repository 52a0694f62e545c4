package dedup

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
)

// maxLeaves is how many pages MaxProducers need.
const maxLeaves = MaxProducers / slotsPerPage

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

// encodePage appends which slots are taken, then their producers.
func (t *Table) encodePage(dst []byte, n uint32) ([]byte, bool) {
	if int(n) >= len(t.leaves) || t.leaves[n] == nil || t.leaves[n].used == 0 {
		return dst, false
	}
	l := t.leaves[n]
	dst = codec.AppendUvarint(dst, l.used)
	for i := range l.slots {
		if l.used>>i&1 == 1 {
			dst = l.slots[i].appendTo(dst)
		}
	}
	return dst, true
}

// appendTo appends the producer with its batches, the oldest first.
func (p *producer) appendTo(dst []byte) []byte {
	dst = codec.AppendUvarint(dst, p.partition)
	dst = codec.AppendVarint(dst, p.producer)
	dst = codec.AppendVarint(dst, p.epoch)
	dst = append(dst, p.count)
	for i := p.head + batches + 1 - p.count; i <= p.head+batches; i++ {
		b := &p.last[i%batches]
		dst = codec.AppendVarint(dst, b.base)
		dst = codec.AppendVarint(dst, b.time)
		dst = codec.AppendVarint(dst, b.first)
		dst = codec.AppendVarint(dst, b.last)
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
	l := &leaf{used: r.Uvarint(math.MaxUint64)}
	if l.used == 0 {
		r.Fail("an empty page")
	}
	for i := range l.slots {
		if l.used>>i&1 == 0 {
			continue
		}
		p := &l.slots[i]
		*p = producer{slot: n*slotsPerPage + uint32(i), prev: none, next: none}
		t.restore(p, &r)
		if r.Err() != nil {
			break
		}
		t.index[p.key] = p.slot
	}
	if err := r.Close(); err != nil {
		return fmt.Errorf("page %d of the producers: %w", n, err)
	}
	t.leaves[n] = l
	return nil
}

func (t *Table) restore(p *producer, r *codec.Reader) {
	p.partition = record.PartitionID(r.Uvarint(math.MaxUint64))
	p.producer = r.Varint(0, math.MaxInt64)
	p.epoch = int16(r.Varint(0, math.MaxInt16))
	n := r.Byte()
	if n < 1 || n > batches {
		r.Fail("%d batches of one producer", n)
		return
	}
	for range n {
		p.record(batch{
			base: record.Offset(r.Varint(0, math.MaxInt64)), time: record.LogTime(r.Varint(0, math.MaxInt64)),
			first: int32(r.Varint(0, math.MaxInt32)), last: int32(r.Varint(0, math.MaxInt32)),
		})
	}
	if _, twice := t.index[p.key]; twice {
		r.Fail("producer %d is there twice in partition %d", p.producer, p.partition)
	}
}

// Restored ends a restore and rebuilds what is derived: the list, by the last
// batch and then the slot.
func (t *Table) Restored() error {
	all := make([]*producer, 0, len(t.index))
	for _, l := range t.leaves {
		for i := range slotsPerPage {
			if l != nil && l.used>>i&1 == 1 {
				all = append(all, &l.slots[i])
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *producer) int { return cmp.Compare(a.seen(), b.seen()) })
	for _, p := range all {
		t.link(p)
	}
	return nil
}
