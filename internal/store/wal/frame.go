package wal

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"github.com/polylog-mq/polylog/internal/record"
)

// FileNum numbers the files of a lane upwards without gaps, from 1. A number
// is never reused, though the bytes beneath it are.
type FileNum uint64

// Position locates the first byte of a frame's body.
type Position struct {
	File   FileNum
	Offset int64
	// Seed is what the chain of checksums was before this frame, for Body.
	Seed uint32
}

// Body returns the body of a frame that was read back whole, from FrameSize(0)
// bytes before the position on. It reports whether the body is the one that
// was written there.
func (p Position) Body(frame []byte) ([]byte, bool) {
	if len(frame) < headerSize {
		return nil, false
	}
	body := frame[headerSize:]
	return body, checksum(p.Seed, body) == binary.LittleEndian.Uint32(frame[60:])
}

// Kind says what a frame is.
type Kind uint8

const (
	// KindEntry is a Raft log entry. It discards every earlier entry of its
	// group with an index at or above its own.
	KindEntry Kind = 1
	// KindHardState is a group's vote and term, opaque here; Index is the
	// first index of the group's log and is not interpreted. The lane repeats
	// the last one of each group at the head of every file. An empty body
	// makes it forget the group.
	KindHardState Kind = 2
	// KindMark says only what is durable; the lane writes it by itself and
	// never shows it.
	KindMark Kind = 3
	// KindSeal ends a file: there is a next one, which had its name when this
	// was written. The lane writes it by itself and never shows it.
	KindSeal Kind = 4
)

func (k Kind) String() string {
	switch k {
	case KindEntry:
		return "entry"
	case KindHardState:
		return "hardstate"
	case KindMark:
		return "mark"
	case KindSeal:
		return "seal"
	}
	return "unknown"
}

// Frame is one thing in the log. The body belongs to the caller and must not
// change between Append and Done.
type Frame struct {
	Kind      Kind
	EntryKind uint8 // not interpreted
	Group     record.ShardID
	Index     record.Index
	Term      record.Term
	Body      []byte
	// Splices are parts of the body that lie elsewhere and are brought together
	// with it in the log alone, in the order of At. They, too, must not change
	// between Append and Done. Only an entry may have some.
	Splices []Splice

	// Chunk is set by the lane while it calls Done: the memory in which the body
	// lies from then on, at its Position, for who holds it.
	Chunk *Chunk

	sum uint32 // the checksum of Body alone, if that has sumAhead bytes and no splices
}

// Splice is a part of a body that belongs before the byte At of what Frame.Body
// has of it.
type Splice struct {
	At    int
	Bytes []byte
	Sum   uint32 // CRC32C of Bytes, as 0 begins it
}

// Spliced returns the size of a body with its splices, in bytes.
func Spliced(body []byte, splices []Splice) int {
	n := len(body)
	for i := range splices {
		n += len(splices[i].Bytes)
	}
	return n
}

// Join appends a body to dst, with its splices in their places.
func Join(dst, body []byte, splices []Splice) []byte {
	at := 0
	for i := range splices {
		s := &splices[i]
		dst = append(append(dst, body[at:s.At]...), s.Bytes...)
		at = s.At
	}
	return append(dst, body[at:]...)
}

// size is that of the body, with its splices.
func (f *Frame) size() int { return Spliced(f.Body, f.Splices) }

// FrameSize returns the bytes that a body of n bytes takes in a file.
func FrameSize(n int) int64 { return headerSize + int64(n) }

// headerSize is the size of a frame's header, and of a file's.
const headerSize = 64

// frameMagic begins every frame. Its first byte is rare in text and in zeros,
// which keeps the search for frames behind a bad one fast.
var frameMagic = [4]byte{0xF5, 'P', 'L', 'W'}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum continues a CRC32C over p. A file's salt is the first value of both
// the headers' and the bodies' checksums.
func checksum(crc uint32, p []byte) uint32 { return crc32.Update(crc, castagnoli, p) }

// header is what precedes a frame's body; docs/format/wal.md draws it.
type header struct {
	lane      uint16
	kind      Kind
	entryKind uint8
	length    uint32 // of the body
	file      FileNum
	sequence  uint64 // of this frame in the lane, from 1
	durable   uint64 // the largest sequence known to be durable when this was written
	index     record.Index
	term      record.Term
	group     record.ShardID
	chain     uint32 // CRC32C of all bodies of the file up to and including this one
}

func (h *header) encode(dst *[headerSize]byte, salt uint32) {
	le := binary.LittleEndian
	copy(dst[0:4], frameMagic[:])
	le.PutUint16(dst[8:], h.lane)
	dst[10], dst[11] = byte(h.kind), h.entryKind
	le.PutUint32(dst[12:], h.length)
	le.PutUint64(dst[16:], uint64(h.file))
	le.PutUint64(dst[24:], h.sequence)
	le.PutUint64(dst[32:], h.durable)
	le.PutUint64(dst[40:], uint64(h.index))
	le.PutUint64(dst[48:], uint64(h.term))
	le.PutUint32(dst[56:], uint32(h.group))
	le.PutUint32(dst[60:], h.chain)
	le.PutUint32(dst[4:], checksum(salt, dst[8:]))
}

// decodeHeader reads the header at the start of b and reports whether it is
// one that was written under this salt.
func decodeHeader(b []byte, salt uint32) (h header, ok bool) {
	le := binary.LittleEndian
	if len(b) < headerSize || !bytes.Equal(b[:4], frameMagic[:]) || le.Uint32(b[4:]) != checksum(salt, b[8:headerSize]) {
		return header{}, false
	}
	return header{
		lane:      le.Uint16(b[8:]),
		kind:      Kind(b[10]),
		entryKind: b[11],
		length:    le.Uint32(b[12:]),
		file:      FileNum(le.Uint64(b[16:])),
		sequence:  le.Uint64(b[24:]),
		durable:   le.Uint64(b[32:]),
		index:     record.Index(le.Uint64(b[40:])),
		term:      record.Term(le.Uint64(b[48:])),
		group:     record.ShardID(le.Uint32(b[56:])),
		chain:     le.Uint32(b[60:]),
	}, true
}
