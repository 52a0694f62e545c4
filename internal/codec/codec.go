// Package codec is the bounded binary form of commands and pages: variable
// length integers and length-prefixed bytes, appended by functions and parsed
// by a Reader that never trusts a length. Whatever is logged or checkpointed
// by the state machines is made of it.
package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrMalformed is wrapped by every error of a Reader: the input is not
// something that the matching append functions wrote.
var ErrMalformed = errors.New("malformed encoding")

// AppendUvarint appends an unsigned integer in 1 to 10 bytes.
func AppendUvarint[T ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uint](dst []byte, v T) []byte {
	return binary.AppendUvarint(dst, uint64(v))
}

// AppendVarint appends a signed integer in 1 to 10 bytes (zigzag).
func AppendVarint[T ~int16 | ~int32 | ~int64 | ~int](dst []byte, v T) []byte {
	return binary.AppendVarint(dst, int64(v))
}

// AppendBool appends one byte, 0 or 1.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// AppendBytes appends a length and the bytes of v (a string or a byte slice).
func AppendBytes[T ~string | ~[]byte](dst []byte, v T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(v))), v...)
}

// Reader parses what the append functions wrote. The first error sticks: every
// later read returns a zero value, so that a decoder reads straight through
// and looks at Err or Close once. It allocates nothing itself. It is not safe
// for concurrent use.
type Reader struct {
	b   []byte
	err error
}

// NewReader returns a reader of b. It keeps b, and what Bytes returns aliases
// it.
func NewReader(b []byte) Reader { return Reader{b: b} }

// Err returns the first error, which wraps ErrMalformed.
func (r *Reader) Err() error { return r.err }

// Len returns how many bytes are left; 0 after an error.
func (r *Reader) Len() int { return len(r.b) }

// Close returns the first error, or one if bytes are left over.
func (r *Reader) Close() error {
	if r.err == nil && len(r.b) > 0 {
		r.Fail("%d bytes left over", len(r.b))
	}
	return r.err
}

// Fail records an error found by the caller (a value out of range, a
// contradiction) in the same sticky way. It wraps ErrMalformed.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
	r.b = nil
}

// Uvarint reads an unsigned integer of at most max.
func (r *Reader) Uvarint(max uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if r.err != nil {
		return 0
	}
	if n <= 0 || v > max {
		r.Fail("unsigned integer missing or above %d", max)
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Varint reads a signed integer between min and max.
func (r *Reader) Varint(min, max int64) int64 {
	v, n := binary.Varint(r.b)
	if r.err != nil {
		return 0
	}
	if n <= 0 || v < min || v > max {
		r.Fail("signed integer missing or outside [%d, %d]", min, max)
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if len(r.b) == 0 {
		r.Fail("byte missing")
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

// Bool reads one byte that is 0 or 1.
func (r *Reader) Bool() bool {
	v := r.Byte()
	if v > 1 {
		r.Fail("boolean byte %d", v)
	}
	return v == 1
}

// Bytes reads a length of at most max and that many bytes. The result aliases
// the input.
func (r *Reader) Bytes(max int) []byte {
	n := int(r.Uvarint(uint64(max)))
	if n > len(r.b) {
		r.Fail("%d bytes announced, %d left", n, len(r.b))
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// String is Bytes, copied into a string.
func (r *Reader) String(max int) string { return string(r.Bytes(max)) }

// Count reads the length of a list of at most max elements, each of which
// takes at least size bytes (1 or more). A count that the bytes left cannot
// hold is refused, so a caller may allocate for what is returned.
func (r *Reader) Count(max, size int) int {
	n := int(r.Uvarint(uint64(max)))
	if n > len(r.b)/size {
		r.Fail("%d elements announced, %d bytes left", n, len(r.b))
		return 0
	}
	return n
}
