package segment

import (
	"encoding/binary"

	"github.com/polylog-mq/polylog/internal/record"
)

// Span is the sparse top of an index: a stretch of one partition and level
// without foreign runs in between, and where in the index its runs begin.
type Span struct {
	Partition    record.PartitionID
	Level        uint8
	First, Last  record.Offset
	MaxTimestamp int64
	Runs         uint64
	Bytes        uint64 // of bodies
	Shared       uint64 // of bodies that other partitions' runs point to as well
	Records      uint64 // that were wanted when the index was written
	Block        uint32 // the block that holds the first run
}

func appendSpan(dst []byte, prev, s *Span) []byte {
	dst = binary.AppendUvarint(dst, uint64(s.Partition-prev.Partition))
	dst = append(dst, s.Level)
	dst = binary.AppendUvarint(dst, uint64(s.First))
	dst = binary.AppendUvarint(dst, uint64(s.Last-s.First))
	dst = binary.AppendVarint(dst, s.MaxTimestamp)
	dst = binary.AppendUvarint(dst, s.Runs)
	dst = binary.AppendUvarint(dst, s.Bytes)
	dst = binary.AppendUvarint(dst, s.Shared)
	dst = binary.AppendUvarint(dst, s.Records)
	return binary.AppendUvarint(dst, uint64(s.Block-prev.Block))
}

func (d *decoder) span(prev *Span, version uint8) Span {
	var s Span
	s.Partition = prev.Partition + record.PartitionID(d.uvarint())
	s.Level = d.byte()
	s.First = record.Offset(d.uvarint())
	s.Last = s.First + record.Offset(d.uvarint())
	s.MaxTimestamp = d.varint()
	s.Runs, s.Bytes, s.Shared = d.uvarint(), d.uvarint(), d.uvarint()
	if s.Records = uint64(s.Last-s.First) + 1; version > 1 {
		s.Records = d.uvarint()
	}
	s.Block = prev.Block + uint32(d.uvarint())
	return s
}

// minSpanBytes and minBlockBytes are the least that one takes in its section,
// which bounds what a count may claim.
const (
	minSpanBytes  = 9
	minBlockBytes = 9
)

func decodeSpans(b []byte, version uint8) ([]Span, bool) {
	d := decoder{b: b}
	n := d.uvarint()
	if d.bad || n > uint64(len(d.b)/minSpanBytes) {
		return nil, false
	}
	spans := make([]Span, 0, n)
	var prev Span
	for range n {
		s := d.span(&prev, version)
		if d.bad || s.Last < s.First || s.First < 0 {
			return nil, false
		}
		spans = append(spans, s)
		prev = s
	}
	return spans, len(d.b) == 0
}

// blockRef locates a block and names its first run.
type blockRef struct {
	off       uint64
	len       uint32
	crc       uint32
	runs      uint32
	level     uint8
	partition record.PartitionID
	base      record.Offset
}

func appendBlockRef(dst []byte, prev, r *blockRef) []byte {
	dst = binary.AppendUvarint(dst, uint64(r.len))
	dst = binary.LittleEndian.AppendUint32(dst, r.crc)
	dst = binary.AppendUvarint(dst, uint64(r.runs))
	dst = binary.AppendUvarint(dst, uint64(r.partition-prev.partition))
	dst = append(dst, r.level)
	return binary.AppendUvarint(dst, uint64(r.base))
}

func decodeTable(b []byte) ([]blockRef, bool) {
	d := decoder{b: b}
	n := d.uvarint()
	if d.bad || n > uint64(len(d.b)/minBlockBytes) {
		return nil, false
	}
	refs := make([]blockRef, 0, n)
	prev := blockRef{off: headerSize}
	for range n {
		r := blockRef{off: prev.off + uint64(prev.len), len: uint32(d.uvarint())}
		r.crc, r.runs = d.uint32(), uint32(d.uvarint())
		r.partition = prev.partition + record.PartitionID(d.uvarint())
		r.level = d.byte()
		r.base = record.Offset(d.uvarint())
		if d.bad || r.runs == 0 || r.runs > MaxBlockRuns {
			return nil, false
		}
		refs = append(refs, r)
		prev = r
	}
	return refs, len(d.b) == 0
}
