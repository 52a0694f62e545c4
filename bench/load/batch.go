package load

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"time"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// batch returns a Kafka v2 record batch of n records whose values have size
// bytes each and do not compress.
func batch(n, size int, rng *rand.ChaCha8) []byte {
	b := make([]byte, 61, 61+n*(size+16))
	value := make([]byte, size)
	for i := range n {
		_, _ = rng.Read(value)
		rec := []byte{0, 0} // attributes, timestamp delta
		rec = binary.AppendVarint(rec, int64(i))
		rec = append(rec, 1) // key length -1
		rec = binary.AppendVarint(rec, int64(size))
		rec = append(rec, value...)
		rec = append(rec, 0) // no headers
		b = binary.AppendVarint(b, int64(len(rec)))
		b = append(b, rec...)
	}
	be := binary.BigEndian
	be.PutUint32(b[8:], uint32(len(b)-12))
	be.PutUint32(b[12:], ^uint32(0)) // leader epoch
	b[16] = 2                        // magic
	be.PutUint32(b[23:], uint32(n-1))
	now := uint64(time.Now().UnixMilli())
	be.PutUint64(b[27:], now)
	be.PutUint64(b[35:], now)
	be.PutUint64(b[43:], ^uint64(0)) // producer id
	be.PutUint16(b[51:], ^uint16(0))
	be.PutUint32(b[53:], ^uint32(0))
	be.PutUint32(b[57:], uint32(n))
	be.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
	return b
}
