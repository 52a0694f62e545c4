package wire

import (
	"encoding/binary"
	"fmt"
)

// LengthSize is the length of a frame's length prefix, in bytes.
const LengthSize = 4

// FrameLength returns the length of the frame that follows the prefix, in
// bytes: at least that of the shortest header, and at most limit.
func FrameLength(prefix [LengthSize]byte, limit int) (int, error) {
	n := int32(binary.BigEndian.Uint32(prefix[:]))
	if n < minHeader || int(n) > limit {
		return 0, fmt.Errorf("%w: a frame of %d bytes, the limit is %d", ErrMalformed, n, limit)
	}
	return int(n), nil
}

// minHeader is the length of key, version and correlation id, in bytes.
const minHeader = 8

// Header is what every request begins with.
type Header struct {
	Key         int16
	Version     int16
	Correlation int32
	// ClientID aliases the frame; nil is null.
	ClientID []byte
}

// Peek returns the key and version of a request, of which the first bytes are
// enough; ok is false for less than that.
func Peek(b []byte) (key, version int16, ok bool) {
	if len(b) < 4 {
		return 0, 0, false
	}
	return int16(binary.BigEndian.Uint16(b)), int16(binary.BigEndian.Uint16(b[2:])), true
}

// PeekSize is how many bytes Peek needs.
const PeekSize = 4

// ParseHeader reads a request's header and returns the body behind it. The
// header is version 2, which ends in tagged fields, when the body is flexible,
// and version 1 otherwise; the client id is not compact in either.
func ParseHeader(b []byte, flexible bool) (h Header, body []byte, err error) {
	r := reader{b: b}
	h.Key, h.Version, h.Correlation = r.int16(), r.int16(), r.int32()
	h.ClientID = r.bytes(false, true)
	if flexible {
		r.tags()
	}
	if r.bad {
		return h, nil, fmt.Errorf("%w: the header of key %d version %d", ErrMalformed, h.Key, h.Version)
	}
	return h, r.b, nil
}

// ParseFallbackHeader reads of a header only what no version will ever change,
// and gives it version 0, the one in which a request of unknown version is
// answered.
func ParseFallbackHeader(b []byte) (Header, error) {
	r := reader{b: b}
	h := Header{Key: r.int16()}
	r.int16()
	h.Correlation = r.int32()
	if r.bad {
		return h, fmt.Errorf("%w: a header of %d bytes", ErrMalformed, len(b))
	}
	return h, nil
}

// Flexible reports whether requests and responses of this key and version use
// the compact encoding with tagged fields (KIP-482). Keys without a shape are
// not flexible.
func Flexible(key, version int16) bool {
	s := lookup(key)
	return s != nil && version >= s.flexible
}

// keyAPIVersions is the one response whose header never has tags, since its
// reader cannot know yet what the server speaks.
const keyAPIVersions = 18

// AppendResponseHeader appends the header of the response to h.
func AppendResponseHeader(dst []byte, h Header) []byte {
	dst = appendInt32(dst, h.Correlation)
	if Flexible(h.Key, h.Version) && h.Key != keyAPIVersions {
		dst = append(dst, 0)
	}
	return dst
}
