package topic

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
)

// shardPage names a page of a shard's partitions. Its key is the kind, then
// the id (8 bytes, big endian), then the chunk (8 bytes), as far as the kind
// has them.
type shardPage struct {
	kind  byte
	id    uint64
	chunk uint64
}

// The kinds of pages, which are part of the checkpoint's format.
const (
	pageShard      = 'r' // the revision
	pageShardTopic = 't' // a topic's settings
	pagePartition  = 'p' // a partition without its sealed segments
	pageSegments   = 's' // up to segmentsPerPage sealed segments of a partition
	pageOpen       = 'o' // the transactions under way in a partition
	pageAborted    = 'a' // up to abortedPerPage aborted transactions of a partition
)

func (k shardPage) appendKey(dst []byte) []byte {
	dst = append(dst, k.kind)
	if k.kind != pageShard {
		dst = binary.BigEndian.AppendUint64(dst, k.id)
	}
	if k.kind == pageSegments || k.kind == pageAborted {
		dst = binary.BigEndian.AppendUint64(dst, k.chunk)
	}
	return dst
}

// Freeze makes the present state the cut of a checkpoint.
func (s *Partitions) Freeze() {
	s.pages.Freeze()
	s.cut++
}

// EncodePages emits pages of the cut (a nil value: the page no longer exists)
// until more returns false or all are emitted, and reports whether all are.
func (s *Partitions) EncodePages(emit func(key, value []byte), more func() bool) bool {
	for more() {
		if !s.pages.Next(func(k shardPage, value []byte) { emit(k.appendKey(nil), value) }) {
			return true
		}
	}
	return false
}

func (s *Partitions) encodePage(dst []byte, k shardPage) ([]byte, bool) {
	dst = append(dst, pageVersion)
	switch k.kind {
	case pageShard:
		return codec.AppendUvarint(dst, s.revision), true
	case pageShardTopic:
		t := s.topics[ID(k.id)]
		if t == nil {
			return dst, false
		}
		return t.settings.appendTo(codec.AppendUvarint(dst, t.revision)), true
	}
	p := s.partitions[record.PartitionID(k.id)]
	if p == nil {
		return dst, false
	}
	switch k.kind {
	case pagePartition:
		return p.encode(dst), true
	case pageOpen:
		return p.encodeOpen(dst)
	case pageAborted:
		return p.encodeAborted(dst, k.chunk)
	}
	return p.encodeSegments(dst, k.chunk)
}

func (p *Partition) encode(dst []byte) []byte {
	dst = codec.AppendUvarint(dst, p.topic.id)
	dst = codec.AppendVarint(dst, p.epochBase)
	dst = codec.AppendVarint(dst, p.start)
	dst = codec.AppendVarint(dst, p.next)
	dst = codec.AppendVarint(dst, p.lastID.Time)
	dst = codec.AppendUvarint(dst, p.lastID.Seq)
	dst = codec.AppendVarint(dst, p.due) // 0: not due
	dst = codec.AppendUvarint(dst, p.firstSealed)
	dst = codec.AppendUvarint(dst, uint(len(p.sealed)))
	dst = p.active.appendTo(dst)
	dst = codec.AppendUvarint(dst, uint(len(p.epochs)))
	for _, r := range p.epochs {
		dst = codec.AppendVarint(dst, r.Epoch)
		dst = codec.AppendVarint(dst, r.Start)
	}
	if c := p.compaction; c != (Compaction{}) {
		dst = codec.AppendVarint(dst, c.Below)
		dst = codec.AppendVarint(dst, c.Overdue)
		dst = codec.AppendVarint(dst, c.At)
	}
	return dst
}

// encodeSegments appends the number of the page's first segment, then its
// segments.
func (p *Partition) encodeSegments(dst []byte, chunk uint64) ([]byte, bool) {
	from := max(chunk*segmentsPerPage, p.firstSealed)
	to := min((chunk+1)*segmentsPerPage, p.firstSealed+uint64(len(p.sealed)))
	if from >= to {
		return dst, false
	}
	dst = codec.AppendUvarint(dst, from)
	for _, seg := range p.sealed[from-p.firstSealed : to-p.firstSealed] {
		dst = seg.appendTo(dst)
	}
	return dst, true
}

func (g segment) appendTo(dst []byte) []byte {
	dst = codec.AppendVarint(dst, g.base)
	dst = codec.AppendVarint(dst, g.bytes)
	dst = codec.AppendVarint(dst, g.first)
	return codec.AppendVarint(dst, g.stamp)
}

func readSegment(r *codec.Reader) segment {
	return segment{
		base: readOffset(r), bytes: r.Varint(0, math.MaxInt64),
		first: r.Varint(0, math.MaxInt64), stamp: r.Varint(0, math.MaxInt64),
	}
}

func readOffset(r *codec.Reader) record.Offset { return record.Offset(r.Varint(0, math.MaxInt64)) }

// RestorePage takes one page of a checkpoint into an empty state, in any
// order. Key and value are not kept.
func (s *Partitions) RestorePage(key, value []byte) error {
	k, err := parseShardPage(key)
	if err != nil {
		return err
	}
	r := openPage(value)
	switch k.kind {
	case pageShard:
		s.revision = Revision(r.Uvarint(math.MaxUint64))
	case pageShardTopic:
		t := s.restoredTopic(ID(k.id))
		t.revision = Revision(r.Uvarint(math.MaxUint64))
		t.settings = readSettings(&r)
	case pagePartition:
		p := &Partition{id: record.PartitionID(k.id)}
		s.restorePartition(p, &r)
		s.partitions[p.id] = p
	case pageSegments:
		s.restoreSegments(k, &r)
	case pageOpen:
		s.restoringOpen[record.PartitionID(k.id)] = readOpen(&r)
	case pageAborted:
		s.restoringAborted[k] = readAborted(k, &r)
	}
	if err := r.Close(); err != nil {
		return fmt.Errorf("page %q of a shard's partitions: %w", key, err)
	}
	return nil
}

func parseShardPage(key []byte) (k shardPage, err error) {
	length := map[byte]int{pageShard: 1, pageShardTopic: 9, pagePartition: 9, pageSegments: 17, pageOpen: 9, pageAborted: 17}
	if len(key) == 0 || len(key) != length[key[0]] {
		return k, fmt.Errorf("%w: %q is no page of a shard's partitions", codec.ErrMalformed, key)
	}
	k.kind = key[0]
	if len(key) > 1 {
		k.id = binary.BigEndian.Uint64(key[1:])
	}
	if len(key) > 9 {
		k.chunk = binary.BigEndian.Uint64(key[9:])
	}
	return k, nil
}

// restoredTopic returns the topic of this id; its own page may follow later.
func (s *Partitions) restoredTopic(id ID) *shardTopic {
	t := s.topics[id]
	if t == nil {
		t = &shardTopic{id: id}
		s.topics[id] = t
	}
	return t
}

func (s *Partitions) restorePartition(p *Partition, r *codec.Reader) {
	p.topic = s.restoredTopic(ID(r.Uvarint(math.MaxUint64)))
	p.topic.partitions++
	p.epochBase = record.Epoch(r.Varint(math.MinInt32, math.MaxInt32))
	p.start, p.next = readOffset(r), readOffset(r)
	p.lastID.Time = record.LogTime(r.Varint(0, math.MaxInt64))
	p.lastID.Seq = r.Uvarint(math.MaxUint64)
	p.due = record.LogTime(r.Varint(0, math.MaxInt64))
	p.firstSealed = r.Uvarint(math.MaxUint64 - maxSegments)
	p.wantSealed = int(r.Uvarint(maxSegments))
	p.active = readSegment(r)
	p.epochs = make(Epochs, r.Count(maxEpochs, 2))
	for i := range p.epochs {
		p.epochs[i] = EpochStart{record.Epoch(r.Varint(0, math.MaxInt32)), readOffset(r)}
	}
	if r.Len() > 0 { // a partition that was never compacted ends here
		p.compaction = Compaction{readOffset(r), readOffset(r), record.LogTime(r.Varint(0, math.MaxInt64))}
	}
}

func (s *Partitions) restoreSegments(k shardPage, r *codec.Reader) {
	list := restoredSegments{first: r.Uvarint(math.MaxUint64)}
	if list.first/segmentsPerPage != k.chunk {
		r.Fail("segment %d is no part of this page", list.first)
	}
	for r.Len() > 0 && len(list.segments) < segmentsPerPage {
		list.segments = append(list.segments, readSegment(r))
	}
	s.restoring[k] = list
}

// restoredSegments is a page of segments: the number of the first one, and
// all.
type restoredSegments struct {
	first    uint64
	segments []segment
}

// Restored ends a restore: it checks that the pages fit together and rebuilds
// what is derived.
func (s *Partitions) Restored() error {
	for _, k := range inOrder(s.restoring) {
		p := s.partitions[record.PartitionID(k.id)]
		if p == nil {
			return fmt.Errorf("restoring partitions: %w: segments of partition %d, which is not there", codec.ErrMalformed, k.id)
		}
		if err := p.adopt(s.restoring[k]); err != nil {
			return fmt.Errorf("restoring partitions: %w", err)
		}
	}
	clear(s.restoring)
	if err := s.restoredTransactions(); err != nil {
		return fmt.Errorf("restoring partitions: %w", err)
	}
	for _, p := range s.All() {
		if err := p.restored(); err != nil {
			return fmt.Errorf("restoring partition %d: %w", p.id, err)
		}
		if due := p.due; due > 0 {
			s.reschedule(p, due)
		}
	}
	return nil
}

// inOrder returns the keys of pages, by partition and chunk.
func inOrder[V any](pages map[shardPage]V) []shardPage {
	return slices.SortedFunc(maps.Keys(pages), func(a, b shardPage) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.chunk, b.chunk))
	})
}

// restoredTransactions gives the partitions their transactions.
func (s *Partitions) restoredTransactions() error {
	for _, id := range slices.Sorted(maps.Keys(s.restoringOpen)) {
		p := s.partitions[id]
		if p == nil {
			return fmt.Errorf("%w: transactions of partition %d, which is not there", codec.ErrMalformed, id)
		}
		if err := p.adoptOpen(s.restoringOpen[id]); err != nil {
			return err
		}
	}
	clear(s.restoringOpen)
	for _, k := range inOrder(s.restoringAborted) {
		p := s.partitions[record.PartitionID(k.id)]
		if p == nil {
			return fmt.Errorf("%w: transactions of partition %d, which is not there", codec.ErrMalformed, k.id)
		}
		if err := p.adoptAborted(s.restoringAborted[k]); err != nil {
			return err
		}
	}
	clear(s.restoringAborted)
	return nil
}

// adopt takes the next page of segments.
func (p *Partition) adopt(list restoredSegments) error {
	if list.first != p.firstSealed+uint64(len(p.sealed)) {
		return fmt.Errorf("%w: segment %d of partition %d does not follow", codec.ErrMalformed, list.first, p.id)
	}
	p.sealed = append(p.sealed, list.segments...)
	return nil
}

// restored checks what was read and counts what is derived.
func (p *Partition) restored() error {
	if c := p.compaction; c.Below > p.next || c.Overdue > c.Below {
		return fmt.Errorf("%w: compacted below %d and %d of %d", codec.ErrMalformed, c.Below, c.Overdue, p.next)
	}
	if p.topic.settings == nil || len(p.sealed) != p.wantSealed || p.start > p.next || len(p.txns.aborted) != p.txns.wantAborted {
		return fmt.Errorf("%w: offsets [%d, %d), %d of %d segments", codec.ErrMalformed, p.start, p.next, len(p.sealed), p.wantSealed)
	}
	p.bytes = p.active.bytes
	last := record.Offset(-1)
	for _, g := range append(slices.Clip(p.sealed), p.active) {
		if g.base < last || g.base > p.next {
			return fmt.Errorf("%w: segments out of order", codec.ErrMalformed)
		}
		last = g.base
	}
	for _, g := range p.sealed {
		p.bytes += g.bytes
	}
	for i := 1; i < len(p.epochs); i++ {
		if p.epochs[i].Epoch <= p.epochs[i-1].Epoch || p.epochs[i].Start < p.epochs[i-1].Start {
			return fmt.Errorf("%w: leader epochs out of order", codec.ErrMalformed)
		}
	}
	return nil
}
