package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Codec is how a batch's records are compressed.
type Codec string

// The codecs that loads use. Values are random bytes under None, and lines of
// made-up JSON, about a third as large once compressed, under the others.
const (
	None Codec = ""
	LZ4  Codec = "lz4"
	Zstd Codec = "zstd"
)

// number returns the codec's number in a batch's attributes.
func (c Codec) number() byte {
	switch c {
	case LZ4:
		return 3
	case Zstd:
		return 4
	}
	return 0
}

func (c Codec) compress(records []byte) ([]byte, error) {
	var b bytes.Buffer
	var w io.WriteCloser
	switch c {
	case None:
		return records, nil
	case LZ4:
		w = lz4.NewWriter(&b)
	case Zstd:
		z, err := zstd.NewWriter(&b)
		if err != nil {
			return nil, fmt.Errorf("compress: %w", err)
		}
		w = z
	default:
		return nil, fmt.Errorf("compress: no codec %q", c)
	}
	if _, err := w.Write(records); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return b.Bytes(), nil
}

// value fills b with what the codec is to work on.
func (c Codec) value(b []byte, rng *rand.ChaCha8) {
	if c == None {
		_, _ = rng.Read(b)
		return
	}
	words := [...]string{"order", "customer", "shipped", "pending", "berlin", "lisbon", "invoice", "express"}
	var text []byte
	for len(text) < len(b) {
		n := rng.Uint64()
		text = fmt.Appendf(text, `{"id":%d,"kind":"%s","state":"%s"}`, n%1_000_000, words[n>>20%8], words[n>>40%8])
	}
	copy(b, text)
}

const (
	batchHeader = 61
	// stampAt is where the value of an uncompressed batch's first record begins,
	// if it has 64 to 8191 bytes: behind two bytes each for the lengths, and
	// attributes, two deltas and the absence of a key.
	stampAt = batchHeader + 2 + 1 + 1 + 1 + 1 + 2
)

// batch returns a Kafka v2 record batch of n records whose values have size
// bytes each.
func batch(n, size int, c Codec, rng *rand.ChaCha8) ([]byte, error) {
	records := make([]byte, 0, n*(size+16))
	value := make([]byte, size)
	for i := range n {
		c.value(value, rng)
		rec := []byte{0, 0} // attributes, timestamp delta
		rec = binary.AppendVarint(rec, int64(i))
		rec = append(rec, 1) // key length -1
		rec = binary.AppendVarint(rec, int64(size))
		rec = append(rec, value...)
		rec = append(rec, 0) // no headers
		records = binary.AppendVarint(records, int64(len(rec)))
		records = append(records, rec...)
	}
	records, err := c.compress(records)
	if err != nil {
		return nil, err
	}
	b := append(make([]byte, batchHeader, batchHeader+len(records)), records...)
	be := binary.BigEndian
	be.PutUint32(b[8:], uint32(len(b)-12))
	be.PutUint32(b[12:], ^uint32(0)) // leader epoch
	b[16] = 2                        // magic
	b[22] = c.number()
	be.PutUint32(b[23:], uint32(n-1))
	now := uint64(time.Now().UnixMilli())
	be.PutUint64(b[27:], now)
	be.PutUint64(b[35:], now)
	be.PutUint64(b[43:], ^uint64(0)) // producer id
	be.PutUint16(b[51:], ^uint16(0))
	be.PutUint32(b[53:], ^uint32(0))
	be.PutUint32(b[57:], uint32(n))
	seal(b)
	return b, nil
}

// seal puts the checksum of a batch in its place.
func seal(b []byte) { binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli)) }
