package record

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
)

// The fixed part of a batch (KIP-98, "Message format"). All integers are
// big-endian. The checksum covers everything from the attributes on, so base
// offset and leader epoch can be patched without touching it.
//
//	 0       8        12      16      17    21           23
//	+--------+--------+-------+-------+-----+------------+-----------------+
//	| base   | length | epoch | magic | crc | attributes | lastOffsetDelta |
//	| offset |        |       |  = 2  |     |            |                 |
//	+--------+--------+-------+-------+-----+------------+-----------------+
//	 27              35             43         51              53
//	+---------------+--------------+----------+---------------+--------------+
//	| baseTimestamp | maxTimestamp | producer | producerEpoch | baseSequence |
//	|               |              | id       |               |              |
//	+---------------+--------------+----------+---------------+--------------+
//	 57      61
//	+-------+---------
//	| count | records, compressed together when a codec is set
//	+-------+---------
const (
	// HeaderSize is the length of a batch's fixed part, in bytes.
	HeaderSize = 61
	// Magic is the one format version that is stored.
	Magic = 2

	lengthEnd    = 12 // what the length field does not count
	posLength    = 8
	posEpoch     = 12
	posMagic     = 16
	posCRC       = 17
	posAttr      = 21
	posLastDelta = 23
	posBaseTime  = 27
	posMaxTime   = 35
	posProducer  = 43
	posProdEpoch = 51
	posSequence  = 53
	posCount     = 57
)

// The bits of Header.Attributes.
const (
	attrCodec         = 0x07
	attrLogAppendTime = 1 << 3
	attrTransactional = 1 << 4
	attrControl       = 1 << 5
	attrDeleteHorizon = 1 << 6
)

// NoProducer is the producer id of a batch that is not idempotent.
const NoProducer = -1

// NoTimestamp stands for "none" wherever a batch carries a timestamp.
const NoTimestamp = -1

// Header is the fixed part of a batch. Timestamps are milliseconds since the
// Unix epoch.
type Header struct {
	BaseOffset      Offset
	Length          int32 // of what follows this field; see Size
	Epoch           Epoch
	Magic           int8
	CRC             uint32
	Attributes      uint16
	LastOffsetDelta int32
	BaseTimestamp   int64
	MaxTimestamp    int64
	ProducerID      int64
	ProducerEpoch   int16
	BaseSequence    int32
	Count           int32
}

// ParseHeader reads the fixed part at the beginning of b and judges nothing
// but its presence: ErrTruncated is the only error. It allocates nothing.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, ErrTruncated
	}
	return Header{
		BaseOffset:      Offset(binary.BigEndian.Uint64(b)),
		Length:          int32(binary.BigEndian.Uint32(b[posLength:])),
		Epoch:           Epoch(binary.BigEndian.Uint32(b[posEpoch:])),
		Magic:           int8(b[posMagic]),
		CRC:             binary.BigEndian.Uint32(b[posCRC:]),
		Attributes:      binary.BigEndian.Uint16(b[posAttr:]),
		LastOffsetDelta: int32(binary.BigEndian.Uint32(b[posLastDelta:])),
		BaseTimestamp:   int64(binary.BigEndian.Uint64(b[posBaseTime:])),
		MaxTimestamp:    int64(binary.BigEndian.Uint64(b[posMaxTime:])),
		ProducerID:      int64(binary.BigEndian.Uint64(b[posProducer:])),
		ProducerEpoch:   int16(binary.BigEndian.Uint16(b[posProdEpoch:])),
		BaseSequence:    int32(binary.BigEndian.Uint32(b[posSequence:])),
		Count:           int32(binary.BigEndian.Uint32(b[posCount:])),
	}, nil
}

// put writes h over the first HeaderSize bytes of b.
func (h *Header) put(b []byte) {
	binary.BigEndian.PutUint64(b, uint64(h.BaseOffset))
	binary.BigEndian.PutUint32(b[posLength:], uint32(h.Length))
	binary.BigEndian.PutUint32(b[posEpoch:], uint32(h.Epoch))
	b[posMagic] = byte(h.Magic)
	binary.BigEndian.PutUint32(b[posCRC:], h.CRC)
	binary.BigEndian.PutUint16(b[posAttr:], h.Attributes)
	binary.BigEndian.PutUint32(b[posLastDelta:], uint32(h.LastOffsetDelta))
	binary.BigEndian.PutUint64(b[posBaseTime:], uint64(h.BaseTimestamp))
	binary.BigEndian.PutUint64(b[posMaxTime:], uint64(h.MaxTimestamp))
	binary.BigEndian.PutUint64(b[posProducer:], uint64(h.ProducerID))
	binary.BigEndian.PutUint16(b[posProdEpoch:], uint16(h.ProducerEpoch))
	binary.BigEndian.PutUint32(b[posSequence:], uint32(h.BaseSequence))
	binary.BigEndian.PutUint32(b[posCount:], uint32(h.Count))
}

// Size returns the length of the whole batch in bytes, header included.
func (h *Header) Size() int { return int(h.Length) + lengthEnd }

// LastOffset returns the offset of the last record, whether or not compaction
// has left it in the batch. The next batch begins at LastOffset+1 or later.
func (h *Header) LastOffset() Offset { return h.BaseOffset + Offset(h.LastOffsetDelta) }

// Codec returns how the records are compressed.
func (h *Header) Codec() Codec { return Codec(h.Attributes & attrCodec) }

// LogAppendTime reports whether all records bear the time of their append
// (MaxTimestamp) rather than one the producer gave.
func (h *Header) LogAppendTime() bool { return h.Attributes&attrLogAppendTime != 0 }

// Transactional reports whether the batch belongs to a transaction.
func (h *Header) Transactional() bool { return h.Attributes&attrTransactional != 0 }

// Control reports whether the batch holds a transaction marker, which clients
// may not write and do not see.
func (h *Header) Control() bool { return h.Attributes&attrControl != 0 }

// DeleteHorizon reports whether BaseTimestamp was replaced by the time at
// which tombstones may be dropped (KIP-534).
func (h *Header) DeleteHorizon() bool { return h.Attributes&attrDeleteHorizon != 0 }

// HasProducer reports whether the batch came from an idempotent producer.
func (h *Header) HasProducer() bool { return h.ProducerID != NoProducer }

// LastSequence returns the sequence number of the last record; numbers go
// round from MaxInt32 to 0.
func (h *Header) LastSequence() int32 { return AddSequence(h.BaseSequence, h.LastOffsetDelta) }

// AddSequence returns the producer sequence n records after seq, both not
// negative; numbers go round from MaxInt32 to 0.
func AddSequence(seq, n int32) int32 {
	if seq > math.MaxInt32-n {
		return n - (math.MaxInt32 - seq) - 1
	}
	return seq + n
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum returns the CRC-32C of a whole batch.
func checksum(batch []byte) uint32 { return crc32.Checksum(batch[posAttr:], castagnoli) }

// Sealed returns the part of a batch that its checksum covers, which is its end, and
// that checksum, as CRC32C has it.
func Sealed(batch []byte) (b []byte, sum uint32) {
	return batch[posAttr:], binary.BigEndian.Uint32(batch[posCRC:])
}

// SetBaseOffset numbers the batch's records from o. The checksum stays valid.
func SetBaseOffset(batch []byte, o Offset) {
	binary.BigEndian.PutUint64(batch[:posLength], uint64(o))
}

// SetEpoch writes the partition's leader epoch. The checksum stays valid.
func SetEpoch(batch []byte, e Epoch) {
	binary.BigEndian.PutUint32(batch[posEpoch:posMagic], uint32(e))
}

// SetLogAppendTime dates every record of a valid batch to ts and recomputes
// the checksum, which reads the whole batch.
func SetLogAppendTime(batch []byte, ts int64) {
	batch[posAttr+1] |= attrLogAppendTime
	binary.BigEndian.PutUint64(batch[posMaxTime:], uint64(ts))
	binary.BigEndian.PutUint32(batch[posCRC:], checksum(batch))
}

// String shows the header in one line, for dumps and messages.
func (h Header) String() string {
	return fmt.Sprintf("offsets %d-%d epoch %d records %d bytes %d codec %s times %d-%d producer %d/%d seq %d attributes %#x",
		h.BaseOffset, h.LastOffset(), h.Epoch, h.Count, h.Size(), h.Codec(), h.BaseTimestamp, h.MaxTimestamp,
		h.ProducerID, h.ProducerEpoch, h.BaseSequence, h.Attributes)
}
