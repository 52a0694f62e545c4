package record

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Builder packs records into one batch. The zero value, Reset or not, builds
// an uncompressed batch without a producer. It is reused from batch to batch
// and is not safe for concurrent use.
type Builder struct {
	header Header
	// batch is room for the header, then the records.
	batch   []byte
	started bool
}

// Template returns the header to give to Reset for records that no idempotent
// producer sent.
func Template(c Codec) Header {
	return Header{
		Magic: Magic, Attributes: uint16(c), LastOffsetDelta: -1, Epoch: -1,
		ProducerID: NoProducer, ProducerEpoch: -1, BaseSequence: -1,
		BaseTimestamp: NoTimestamp, MaxTimestamp: NoTimestamp,
	}
}

// MarkerTemplate returns the header to give to Reset for the marker that ends a
// producer's transaction.
func MarkerTemplate(producer int64, epoch int16) Header {
	h := Template(None)
	h.Attributes |= attrTransactional | attrControl
	h.ProducerID, h.ProducerEpoch = producer, epoch
	return h
}

// Reset begins a new batch. Of h it takes the base offset, epoch, attributes
// and the producer's fields; the rest follows from the records.
func (b *Builder) Reset(h Header) {
	h.Magic, h.Count, h.LastOffsetDelta = Magic, 0, -1
	h.BaseTimestamp, h.MaxTimestamp = NoTimestamp, NoTimestamp
	b.header, b.started = h, true
	b.batch = append(b.batch[:0], make([]byte, HeaderSize)...)
}

// Add appends a record at the next offset, whatever r.Offset says.
func (b *Builder) Add(r Record) {
	b.begin()
	b.add(r, b.header.LastOffsetDelta+1)
}

// AddAt appends a record at r.Offset, which must lie above that of the record
// before and less than MaxInt32 above the base offset: a batch that lost
// records to compaction has gaps.
func (b *Builder) AddAt(r Record) error {
	b.begin()
	delta := int64(r.Offset - b.header.BaseOffset)
	if delta <= int64(b.header.LastOffsetDelta) || delta > math.MaxInt32 {
		return fmt.Errorf("%w: offset %d after %d in a batch from %d",
			ErrInvalid, r.Offset, b.header.LastOffset(), b.header.BaseOffset)
	}
	b.add(r, int32(delta))
	return nil
}

func (b *Builder) begin() {
	if !b.started {
		b.Reset(Template(None))
	}
}

func (b *Builder) add(r Record, delta int32) {
	h := &b.header
	if h.Count == 0 {
		h.BaseTimestamp = r.Timestamp
	}
	h.MaxTimestamp = max(h.MaxTimestamp, r.Timestamp)
	h.Count++
	h.LastOffsetDelta = delta

	b.batch = appendRecord(b.batch, &r, r.Timestamp-h.BaseTimestamp, int64(delta))
}

// Count returns how many records the batch has.
func (b *Builder) Count() int { return int(b.header.Count) }

// Size returns the length of the batch in bytes if it were not compressed.
func (b *Builder) Size() int { return max(HeaderSize, len(b.batch)) }

// Batch returns the finished batch. One that is not compressed lies where it was
// built, and is good until Reset; more may be added for a longer one.
func (b *Builder) Batch() ([]byte, error) {
	b.begin()
	if b.header.Codec() != None {
		return b.AppendTo(nil)
	}
	if err := finish(b.batch, b.header); err != nil {
		return nil, err
	}
	return b.batch, nil
}

// AppendTo appends the finished batch to dst. The builder stays as it was, so
// that more may be added for a longer one.
func (b *Builder) AppendTo(dst []byte) ([]byte, error) {
	b.begin()
	return appendBatch(dst, b.header, b.header.Codec().DefaultLevel(), b.batch[HeaderSize:])
}

// appendBatch appends a batch with header h and the records, compressing them
// with the header's codec at a level; it sets length and checksum.
func appendBatch(dst []byte, h Header, level int32, records []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, make([]byte, HeaderSize)...)
	dst, err := CompressLevel(dst, h.Codec(), level, records)
	if err != nil {
		return dst[:start], err
	}
	if err := finish(dst[start:], h); err != nil {
		return dst[:start], err
	}
	return dst, nil
}

// finish puts the header before a batch's records, with length and checksum.
func finish(batch []byte, h Header) error {
	if len(batch)-lengthEnd > math.MaxInt32 {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, len(batch))
	}
	h.Length = int32(len(batch) - lengthEnd)
	h.put(batch)
	binary.BigEndian.PutUint32(batch[posCRC:], checksum(batch))
	return nil
}

// Recompress appends a valid batch to dst with its records under another
// codec, at a level of CompressLevel. Nothing else of it changes.
func Recompress(dst, batch []byte, to Codec, level int32) ([]byte, error) {
	h, err := one(batch)
	if err != nil {
		return dst, err
	}
	buf := getBuffer()
	defer putBuffer(buf)
	if *buf, err = Decompress((*buf)[:0], h.Codec(), batch[HeaderSize:]); err != nil {
		return dst, fmt.Errorf("decompressing %s records: %w", h.Codec(), err)
	}
	h.Attributes = h.Attributes&^attrCodec | uint16(to)
	return appendBatch(dst, h, level, *buf)
}
