package codec

import (
	"bytes"
	"errors"
	"math"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	var b []byte
	b = AppendUvarint(b, uint64(math.MaxUint64))
	b = AppendVarint(b, int64(math.MinInt64))
	b = AppendBool(b, true)
	b = AppendBytes(b, "name")
	b = AppendUvarint(b, uint8(2))
	b = append(b, 7, 9)
	r := NewReader(b)
	if v := r.Uvarint(math.MaxUint64); v != math.MaxUint64 {
		t.Errorf("Uvarint = %d", v)
	}
	if v := r.Varint(math.MinInt64, math.MaxInt64); v != math.MinInt64 {
		t.Errorf("Varint = %d", v)
	}
	if !r.Bool() {
		t.Error("Bool = false")
	}
	if v := r.String(4); v != "name" {
		t.Errorf("String = %q", v)
	}
	if n := r.Count(2, 1); n != 2 {
		t.Errorf("Count = %d", n)
	}
	if a, b := r.Byte(), r.Byte(); a != 7 || b != 9 {
		t.Errorf("Byte = %d, %d", a, b)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestReaderRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		in   []byte
		read func(r *Reader)
	}{
		"empty integer":       {nil, func(r *Reader) { r.Uvarint(1) }},
		"endless integer":     {bytes.Repeat([]byte{0xff}, 11), func(r *Reader) { r.Uvarint(math.MaxUint64) }},
		"integer too large":   {[]byte{5}, func(r *Reader) { r.Uvarint(4) }},
		"signed too small":    {AppendVarint(nil, -1), func(r *Reader) { r.Varint(0, 9) }},
		"signed too large":    {AppendVarint(nil, 10), func(r *Reader) { r.Varint(0, 9) }},
		"no byte":             {nil, func(r *Reader) { r.Byte() }},
		"boolean 2":           {[]byte{2}, func(r *Reader) { r.Bool() }},
		"bytes cut short":     {[]byte{3, 'a'}, func(r *Reader) { r.Bytes(9) }},
		"bytes too long":      {[]byte{3, 'a', 'b', 'c'}, func(r *Reader) { r.Bytes(2) }},
		"count beyond bytes":  {[]byte{3, 0, 0}, func(r *Reader) { r.Count(9, 1) }},
		"count of wide":       {[]byte{2, 0, 0, 0}, func(r *Reader) { r.Count(9, 2) }},
		"left over":           {[]byte{1, 2}, func(r *Reader) { r.Byte() }},
		"caller's own reason": {nil, func(r *Reader) { r.Fail("no") }},
	} {
		r := NewReader(c.in)
		c.read(&r)
		if err := r.Close(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestErrorSticks(t *testing.T) {
	r := NewReader([]byte{9, 1})
	r.Uvarint(3)
	first := r.Err()
	if v := r.Byte(); v != 0 || !errors.Is(r.Err(), first) || r.Len() != 0 {
		t.Errorf("after an error: byte %d, error %v, %d bytes", v, r.Err(), r.Len())
	}
}
