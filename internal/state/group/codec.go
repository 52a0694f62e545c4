package group

import (
	"encoding/binary"

	"github.com/polylog-mq/polylog/internal/record"
)

// The encodings of commands and pages are made of bytes, unsigned and zigzag
// varints, and strings that begin with their length as an unsigned varint.
// docs/format/group.md draws them.

func appendInt(dst []byte, v int64) []byte { return binary.AppendVarint(dst, v) }

func appendUint(dst []byte, v uint64) []byte { return binary.AppendUvarint(dst, v) }

func appendString[S string | []byte](dst []byte, s S) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// reader reads one encoding. After the first fault all that it reads is zero
// and failed is set. It allocates nothing that the remaining bytes do not pay
// for.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) fail() {
	r.b, r.failed = nil, true
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) bool() bool {
	v := r.byte()
	if v > 1 {
		r.fail()
	}
	return v == 1
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int32() int32 {
	v := r.int()
	if v != int64(int32(v)) {
		r.fail()
		return 0
	}
	return int32(v)
}

func (r *reader) time() record.LogTime { return record.LogTime(r.int()) }

func (r *reader) topic() record.TopicID { return record.TopicID(r.uint()) }

// span returns the next length-prefixed bytes; they are part of the input.
func (r *reader) span() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) string() string { return string(r.span()) }

// bytes returns a copy, nil when empty.
func (r *reader) bytes() []byte { return append([]byte(nil), r.span()...) }

// count reads the length of an array whose elements take at least size bytes.
func (r *reader) count(size int) int {
	n := r.uint()
	if n > uint64(len(r.b)/size) {
		r.fail()
		return 0
	}
	return int(n)
}

// end answers ErrMalformed if something was wrong or is left over.
func (r *reader) end() error {
	if r.failed || len(r.b) > 0 {
		return ErrMalformed
	}
	return nil
}
