package record

import "strconv"

// Codec is how the records of a batch are compressed; the numbers are those of
// the batch attributes.
type Codec uint8

// The codecs.
const (
	None Codec = iota
	Gzip
	Snappy
	LZ4
	Zstd
)

var codecNames = [...]string{"none", "gzip", "snappy", "lz4", "zstd"}

// Valid reports whether c exists.
func (c Codec) Valid() bool { return c <= Zstd }

// String returns the name that Kafka's configuration uses.
func (c Codec) String() string {
	if c.Valid() {
		return codecNames[c]
	}
	return "codec " + strconv.Itoa(int(c))
}

// ParseCodec returns the codec of a name as Kafka's configuration spells it;
// "uncompressed" is another name for none.
func ParseCodec(name string) (Codec, bool) {
	if name == "uncompressed" {
		return None, true
	}
	for c, n := range codecNames {
		if n == name {
			return Codec(c), true
		}
	}
	return None, false
}
