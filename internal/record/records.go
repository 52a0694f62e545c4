package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
)

// Record is one record of a batch. A nil Key or Value is null, which is not
// the same as empty.
type Record struct {
	Offset    Offset
	Timestamp int64 // milliseconds since the Unix epoch, or NoTimestamp
	Key       []byte
	Value     []byte
	Headers   Headers
}

// Headers is a record's ordered list of named values, kept in its wire form;
// names may repeat. The zero value is the empty list.
type Headers struct {
	raw []byte // well-formed fields, without their count
	n   int
}

// Len returns the number of headers.
func (h Headers) Len() int { return h.n }

// Clone returns a record with the same bytes in memory of its own.
func (r *Record) Clone() Record {
	c := *r
	all := make([]byte, 0, len(r.Key)+len(r.Value)+len(r.Headers.raw))
	own := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		at := len(all)
		all = append(all, b...)
		return all[at:len(all):len(all)]
	}
	c.Key, c.Value, c.Headers.raw = own(r.Key), own(r.Value), own(r.Headers.raw)
	return c
}

// All yields the headers in order. The bytes alias the list; a nil value is
// null.
func (h Headers) All() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		r := reader{b: h.raw}
		for range h.n {
			name, value := r.bytes(), r.bytes()
			if !yield(name, value) {
				return
			}
		}
	}
}

// Get returns the value of the last header called name.
func (h Headers) Get(name string) (value []byte, ok bool) {
	for k, v := range h.All() {
		if string(k) == name {
			value, ok = v, true
		}
	}
	return value, ok
}

// Add appends a header. A nil value is null.
func (h *Headers) Add(name string, value []byte) {
	h.raw = binary.AppendVarint(h.raw, int64(len(name)))
	h.raw = append(h.raw, name...)
	h.raw = appendBytes(h.raw, value)
	h.n++
}

// Reset empties the list and keeps its memory. It must not be called on the
// headers of a record that Records handed out.
func (h *Headers) Reset() { h.raw, h.n = h.raw[:0], 0 }

// Records calls fn for each record of a valid batch, in order, decompressing
// them first if need be. Record bytes alias the batch or a buffer that is
// reused: they are gone when fn returns. The error is fn's (SkipRest ends the
// walk without one), ErrInvalid when the records are not what the header
// promises, ErrTooLarge when they exceed MaxInflated.
func Records(batch []byte, fn func(Record) error) error {
	h, err := one(batch)
	if err != nil {
		return err
	}
	if err := h.check(); err != nil {
		return err
	}
	body := batch[HeaderSize:]
	if c := h.Codec(); c != None {
		buf := getBuffer()
		defer putBuffer(buf)
		if *buf, err = Decompress((*buf)[:0], c, body); err != nil {
			return fmt.Errorf("decompressing %s records: %w", c, err)
		}
		body = *buf
	}
	err = h.each(body, fn)
	if errors.Is(err, SkipRest) {
		return nil
	}
	return err
}

// each walks the decompressed records.
func (h *Header) each(body []byte, fn func(Record) error) error {
	r := reader{b: body}
	last := int64(-1)
	for i := range h.Count {
		rec, delta, ok := h.next(&r)
		if !ok {
			return fmt.Errorf("%w: record %d of %d is malformed", ErrInvalid, i, h.Count)
		}
		if delta <= last || delta > int64(h.LastOffsetDelta) {
			return fmt.Errorf("%w: record %d has offset delta %d after %d", ErrInvalid, i, delta, last)
		}
		last = delta
		if err := fn(rec); err != nil {
			return err
		}
	}
	if len(r.b) > 0 {
		return fmt.Errorf("%w: %d bytes follow the last record", ErrInvalid, len(r.b))
	}
	return nil
}

// next reads one record.
func (h *Header) next(r *reader) (rec Record, delta int64, ok bool) {
	size := r.varint()
	if size < 0 || size > int64(len(r.b)) {
		return rec, 0, false
	}
	in := reader{b: r.b[:size]}
	r.b = r.b[size:]
	in.skip(1) // attributes: none are defined
	rec.Timestamp = h.BaseTimestamp + in.varint()
	delta = in.varint()
	rec.Key, rec.Value = in.bytes(), in.bytes()
	rec.Headers = in.headers()
	rec.Offset = h.BaseOffset + Offset(delta)
	if h.LogAppendTime() {
		rec.Timestamp = h.MaxTimestamp
	}
	return rec, delta, !in.bad && !r.bad && len(in.b) == 0
}

// reader takes values off the front of b; bad is set once b does not hold
// what was asked of it.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) skip(n int64) {
	if n < 0 || n > int64(len(r.b)) {
		r.fail()
		return
	}
	r.b = r.b[n:]
}

// bytes reads a length and as many bytes; length -1 is null.
func (r *reader) bytes() []byte {
	n := r.varint()
	if r.bad || n == -1 {
		return nil
	}
	if n < 0 || n > int64(len(r.b)) {
		r.fail()
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// headers reads a count and as many fields, and keeps them in wire form.
func (r *reader) headers() Headers {
	n := r.varint()
	if n < 0 || n > int64(len(r.b)) || n > math.MaxInt32 {
		r.fail()
		return Headers{}
	}
	raw := r.b
	for range n {
		r.skip(r.varint()) // the name cannot be null
		r.bytes()
		if r.bad {
			return Headers{}
		}
	}
	raw = raw[:len(raw)-len(r.b)]
	return Headers{raw: slices.Clip(raw), n: int(n)}
}

func (r *reader) fail() { r.b, r.bad = nil, true }

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(dst, -1)
	}
	dst = binary.AppendVarint(dst, int64(len(b)))
	return append(dst, b...)
}
