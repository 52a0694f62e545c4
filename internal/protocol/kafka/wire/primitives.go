package wire

import (
	"encoding/binary"
	"errors"
	"math"
)

// ErrMalformed says that bytes are not the request they are said to be.
var ErrMalformed = errors.New("malformed request")

// reader takes values off the front of b. Once b did not hold what was asked
// for, bad is set and every further value is zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() { r.b, r.bad = nil, true }

// span takes n bytes; they alias b.
func (r *reader) span(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.fail()
		return nil
	}
	s := r.b[:n:n]
	r.b = r.b[n:]
	return s
}

func (r *reader) int8() int8 {
	if s := r.span(1); s != nil {
		return int8(s[0])
	}
	return 0
}

func (r *reader) int16() int16 {
	if s := r.span(2); s != nil {
		return int16(binary.BigEndian.Uint16(s))
	}
	return 0
}

func (r *reader) int32() int32 {
	if s := r.span(4); s != nil {
		return int32(binary.BigEndian.Uint32(s))
	}
	return 0
}

func (r *reader) int64() int64 {
	if s := r.span(8); s != nil {
		return int64(binary.BigEndian.Uint64(s))
	}
	return 0
}

func (r *reader) uuid() (id [16]byte) {
	copy(id[:], r.span(16))
	return id
}

// uvarint takes an unsigned varint of at most 32 bits.
func (r *reader) uvarint() uint32 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > math.MaxUint32 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return uint32(v)
}

// length takes the length of a string, bytes or array, -1 for null. Compact
// lengths are one more than they mean.
func (r *reader) length(compact, short bool) int {
	switch {
	case compact:
		v := r.uvarint()
		if v > math.MaxInt32 {
			r.fail()
			return 0
		}
		return int(v) - 1
	case short:
		return int(r.int16())
	default:
		return int(r.int32())
	}
}

// bytes takes a string (short) or bytes; nil is null.
func (r *reader) bytes(compact, short bool) []byte {
	n := r.length(compact, short)
	if n == -1 {
		return nil
	}
	return r.span(n)
}

// str takes a string that may not be null.
func (r *reader) str(compact bool) []byte {
	s := r.bytes(compact, true)
	if s == nil {
		r.fail()
	}
	return s
}

// count takes an array's length; null counts as nothing. An element has at
// least one byte.
func (r *reader) count(compact bool) int {
	n := r.length(compact, false)
	if n < -1 || n > len(r.b) {
		r.fail()
		return 0
	}
	return max(n, 0)
}

// tags skips the tagged fields that end a flexible structure.
func (r *reader) tags() {
	n := r.uvarint()
	if n > MaxTags {
		r.fail()
		return
	}
	for range n {
		r.uvarint()
		r.span(int(r.uvarint()))
	}
}

// The append functions of the encoders, named after Kafka's types.

func appendInt16(dst []byte, v int16) []byte { return binary.BigEndian.AppendUint16(dst, uint16(v)) }

func appendInt32(dst []byte, v int32) []byte { return binary.BigEndian.AppendUint32(dst, uint32(v)) }

func appendInt64(dst []byte, v int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(v)) }

func appendUvarint(dst []byte, v uint32) []byte { return binary.AppendUvarint(dst, uint64(v)) }

// appendCount appends the length of an array.
func appendCount(dst []byte, n int, compact bool) []byte {
	if compact {
		return appendUvarint(dst, uint32(n)+1)
	}
	return appendInt32(dst, int32(n))
}

func appendString[S string | []byte](dst []byte, s S, compact bool) []byte {
	if compact {
		dst = appendUvarint(dst, uint32(len(s))+1)
	} else {
		dst = appendInt16(dst, int16(len(s)))
	}
	return append(dst, s...)
}

// appendNullable appends a string for which empty means null.
func appendNullable(dst []byte, s string, compact bool) []byte {
	switch {
	case s != "":
		return appendString(dst, s, compact)
	case compact:
		return appendUvarint(dst, 0)
	default:
		return appendInt16(dst, -1)
	}
}
