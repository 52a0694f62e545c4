package segment

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/polylog-mq/polylog/internal/record"
)

// Version is the version of both file formats. A file with a higher one was
// written by a newer Polylog. In version 1 spans do not tell their records.
const Version = 2

const (
	indexMagic = "plogRUNS"
	dataMagic  = "plogDATA"

	headerSize = 32 // magic, version, level, file number, checksum
	footerSize = 72
	// DataHeaderSize is where the first body of a level 1 data file begins.
	DataHeaderSize = headerSize
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header identifies a file: a run index by the data file it belongs to.
type header struct {
	level uint8
	num   uint64
}

func (h header) appendTo(dst []byte, magic string) []byte {
	le := binary.LittleEndian
	start := len(dst)
	dst = append(dst, magic...)
	dst = le.AppendUint16(dst, Version)
	dst = append(dst, h.level, 0, 0, 0, 0, 0)
	dst = le.AppendUint64(dst, h.num)
	dst = append(dst, 0, 0, 0, 0)
	return le.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

func parseHeader(b []byte, magic, path string) (header, error) {
	le := binary.LittleEndian
	if len(b) < headerSize || string(b[:8]) != magic {
		return header{}, damaged(path, 0, "it does not begin with %q", magic)
	}
	if crc32.Checksum(b[:28], castagnoli) != le.Uint32(b[28:]) {
		return header{}, damaged(path, 0, "the checksum of the header does not match")
	}
	if v := le.Uint16(b[8:]); v > Version {
		return header{}, fmt.Errorf("%s has format version %d; this version knows up to %d", path, v, Version)
	}
	return header{level: b[10], num: le.Uint64(b[16:])}, nil
}

// section is a part of an index file with a checksum of its own.
type section struct {
	off uint64
	len uint32
	crc uint32
}

// footer ends an index file. Its checksum covers the sections' checksums, and
// the table section holds those of the blocks, so that it stands for the whole
// file.
type footer struct {
	header
	table, spans section
	runs         uint64
	dataLen      uint64 // what the data file holds, header and all
	dataCRC      uint32 // of a level 1 data file behind its header
	version      uint8
}

func (f *footer) appendTo(dst []byte) []byte {
	le := binary.LittleEndian
	start := len(dst)
	for _, s := range [...]section{f.table, f.spans} {
		dst = le.AppendUint64(dst, s.off)
		dst = le.AppendUint32(dst, s.len)
		dst = le.AppendUint32(dst, s.crc)
	}
	dst = le.AppendUint64(dst, f.runs)
	dst = le.AppendUint64(dst, f.dataLen)
	dst = le.AppendUint64(dst, f.num)
	dst = le.AppendUint32(dst, f.dataCRC)
	dst = append(dst, f.level, Version, 0, 0)
	dst = le.AppendUint32(dst, 0)
	return le.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// digest is the footer's checksum, by which a checkpoint knows the file.
func parseFooter(b []byte, path string, at int64) (f footer, digest uint32, err error) {
	le := binary.LittleEndian
	digest = le.Uint32(b[footerSize-4:])
	if crc32.Checksum(b[:footerSize-4], castagnoli) != digest {
		return f, 0, damaged(path, at, "the checksum of the footer does not match")
	}
	for i, s := range [...]*section{&f.table, &f.spans} {
		b := b[16*i:]
		*s = section{le.Uint64(b), le.Uint32(b[8:]), le.Uint32(b[12:])}
		if s.off > uint64(at) || uint64(s.len) > uint64(at)-s.off {
			return f, 0, damaged(path, at, "the footer names a section beyond the file")
		}
	}
	if f.version = b[61]; f.version > Version {
		return f, 0, fmt.Errorf("%s has format version %d; this version knows up to %d", path, f.version, Version)
	}
	f.runs, f.dataLen, f.num = le.Uint64(b[32:]), le.Uint64(b[40:]), le.Uint64(b[48:])
	f.dataCRC, f.level = le.Uint32(b[56:]), b[60]
	return f, digest, nil
}

// blockCRC seeds a block's checksum with its place, so that no block passes
// for another.
func blockCRC(num uint64, block int, b []byte) uint32 {
	var seed [12]byte
	binary.LittleEndian.PutUint64(seed[:], num)
	binary.LittleEndian.PutUint32(seed[8:], uint32(block))
	return crc32.Update(crc32.Checksum(seed[:], castagnoli), castagnoli, b)
}

// appendRun encodes r as differences to the run before it in the block, which
// is the zero Run at its beginning.
func appendRun(dst []byte, prev, r *Run) []byte {
	dst = binary.AppendUvarint(dst, uint64(r.Partition-prev.Partition))
	dst = append(dst, r.Level, byte(r.Flags))
	base := r.Base
	if prev.Len > 0 && r.Partition == prev.Partition && r.Level == prev.Level {
		base -= prev.Last + 1
	}
	dst = binary.AppendUvarint(dst, uint64(base))
	dst = binary.AppendUvarint(dst, uint64(r.Last-r.Base))
	dst = binary.AppendVarint(dst, int64(r.Epoch)-int64(prev.Epoch))
	dst = binary.AppendVarint(dst, int64(r.LogTime-prev.LogTime))
	dst = binary.AppendVarint(dst, r.MaxTimestamp-int64(r.LogTime))
	dst = binary.AppendVarint(dst, int64(r.FirstID.Time-r.LogTime))
	dst = binary.AppendUvarint(dst, r.FirstID.Seq)
	dst = binary.AppendVarint(dst, int64(r.Pos)-int64(prev.Pos)-int64(prev.Len))
	return binary.AppendUvarint(dst, uint64(r.Len))
}

// decoder reads varints; after the first fault it yields zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.b, d.bad = nil, true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.b, d.bad = nil, true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) uint32() uint32 {
	if len(d.b) < 4 {
		d.b, d.bad = nil, true
		return 0
	}
	v := binary.LittleEndian.Uint32(d.b)
	d.b = d.b[4:]
	return v
}

// run is the inverse of appendRun.
func (d *decoder) run(prev *Run) Run {
	var r Run
	r.Partition = prev.Partition + record.PartitionID(d.uvarint())
	r.Level, r.Flags = d.byte(), RunFlags(d.byte())
	r.Base = record.Offset(d.uvarint())
	if prev.Len > 0 && r.Partition == prev.Partition && r.Level == prev.Level {
		r.Base += prev.Last + 1
	}
	r.Last = r.Base + record.Offset(d.uvarint())
	r.Epoch = record.Epoch(int64(prev.Epoch) + d.varint())
	r.LogTime = prev.LogTime + record.LogTime(d.varint())
	r.MaxTimestamp = int64(r.LogTime) + d.varint()
	r.FirstID.Time = r.LogTime + record.LogTime(d.varint())
	r.FirstID.Seq = d.uvarint()
	r.Pos = uint32(int64(prev.Pos) + int64(prev.Len) + d.varint())
	r.Len = uint32(d.uvarint())
	return r
}

// decodeRuns appends the n runs of a block to dst.
func decodeRuns(dst []Run, b []byte, n int) ([]Run, bool) {
	d := decoder{b: b}
	var prev Run
	for range n {
		r := d.run(&prev)
		if d.bad || r.Last < r.Base || r.Base < 0 {
			return dst, false
		}
		dst = append(dst, r)
		prev = r
	}
	return dst, len(d.b) == 0
}
