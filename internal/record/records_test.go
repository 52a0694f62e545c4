package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// shown is a record that may be kept and compared.
func shown(r Record) string {
	s := fmt.Sprintf("%d@%d %q=%q nil:%v,%v", r.Offset, r.Timestamp, r.Key, r.Value, r.Key == nil, r.Value == nil)
	for k, v := range r.Headers.All() {
		s += fmt.Sprintf(" %q:%q nil:%v", k, v, v == nil)
	}
	return s
}

func collect(t interface{ Fatal(...any) }, batch []byte) (out []string) {
	if err := Records(batch, func(r Record) error {
		out = append(out, shown(r))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func genRecord(t *rapid.T, o Offset) Record {
	blob := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 0, 300))
	r := Record{
		Offset:    o,
		Timestamp: rapid.Int64Range(-1, 1<<50).Draw(t, "timestamp"),
		Key:       blob.Draw(t, "key"),
		Value:     blob.Draw(t, "value"),
	}
	for range rapid.IntRange(0, 3).Draw(t, "headers") {
		r.Headers.Add(rapid.StringN(0, 5, -1).Draw(t, "name"), blob.Draw(t, "header"))
	}
	return r
}

func TestRecordsGiveBackWhatWasBuilt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		codec := Codec(rapid.IntRange(0, int(Zstd)).Draw(t, "codec"))
		h := Template(codec)
		h.BaseOffset = Offset(rapid.Int64Range(0, 1<<60).Draw(t, "base"))
		var b Builder
		b.Reset(h)
		var want []string
		o := h.BaseOffset
		for range rapid.IntRange(0, 20).Draw(t, "records") {
			o += Offset(rapid.Int64Range(0, 1000).Draw(t, "gap"))
			r := genRecord(t, o)
			if err := b.AddAt(r); err != nil {
				t.Fatal(err)
			}
			want = append(want, shown(r))
			o++
		}
		batch, err := b.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(want) > 0 {
			if _, err := Validate(batch, Checks{}); err != nil {
				t.Fatal(err)
			}
			if got := collect(t, batch); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("got %v\nwant %v", got, want)
			}
			other, err := Recompress(nil, batch, Codec(rapid.IntRange(0, int(Zstd)).Draw(t, "other codec")),
				rapid.Int32Range(-10, 23).Draw(t, "level"))
			if err != nil {
				t.Fatal(err)
			}
			if got := collect(t, other); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("recompressed: got %v\nwant %v", got, want)
			}
		}
	})
}

func TestAddAtRefusesOffsetsThatDoNotFit(t *testing.T) {
	var b Builder
	h := Template(None)
	h.BaseOffset = 10
	b.Reset(h)
	for _, c := range []struct {
		o  Offset
		ok bool
	}{{9, false}, {10, true}, {10, false}, {15, true}, {12, false}, {10 + 1<<31, false}, {9 + 1<<31, true}} {
		if err := b.AddAt(Record{Offset: c.o}); (err == nil) != c.ok {
			t.Errorf("offset %d: %v", c.o, err)
		}
	}
}

func TestMalformedRecordsAreRefused(t *testing.T) {
	record := func(fields ...byte) []byte { return append([]byte{byte(len(fields) << 1)}, fields...) }
	good := record(0, 0, 0, 1, 1, 0) // attributes, times, delta, null key, null value, no headers
	for name, c := range map[string]struct {
		count   int32
		records []byte
	}{
		"fewer than promised":        {2, good},
		"more than promised":         {1, append(bytes.Clone(good), good...)},
		"offset does not increase":   {2, append(bytes.Clone(good), good...)},
		"offset above the last":      {1, record(0, 0, 6, 1, 1, 0)},
		"negative offset":            {1, record(0, 0, 1, 1, 1, 0)},
		"length beyond the end":      {1, []byte{40, 0, 0, 0, 1, 1, 0}},
		"negative length":            {1, []byte{1}},
		"key beyond the end":         {1, record(0, 0, 0, 40, 1, 0)},
		"key length -2":              {1, record(0, 0, 0, 3, 1, 0)},
		"bytes left in the record":   {1, record(0, 0, 0, 1, 1, 0, 0)},
		"cut before headers":         {1, record(0, 0, 0, 1, 1)},
		"negative header count":      {1, record(0, 0, 0, 1, 1, 1)},
		"header count beyond bytes":  {1, record(0, 0, 0, 1, 1, 0x7e)},
		"null header name":           {1, record(0, 0, 0, 1, 1, 2, 1, 1)},
		"header name beyond the end": {1, record(0, 0, 0, 1, 1, 2, 40, 1)},
		"endless varint":             {1, bytes.Repeat([]byte{0xff}, 20)},
		"nothing":                    {1, nil},
	} {
		h := Template(None)
		h.Count, h.LastOffsetDelta = c.count, 1
		batch, err := appendBatch(nil, h, 0, c.records)
		if err != nil {
			t.Fatal(err)
		}
		if err := Records(batch, func(Record) error { return nil }); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRecordsStopWhenTold(t *testing.T) {
	b := build(t, Template(Gzip), "a", "b", "c")
	n := 0
	if err := Records(b, func(Record) error { n++; return SkipRest }); err != nil || n != 1 {
		t.Fatalf("%d records, %v", n, err)
	}
	boom := errors.New("boom")
	if err := Records(b, func(Record) error { return boom }); !errors.Is(err, boom) {
		t.Fatal(err)
	}
}

func TestHeadersGet(t *testing.T) {
	var h Headers
	h.Add("a", []byte("1"))
	h.Add("a", []byte("2"))
	h.Add("n", nil)
	if v, ok := h.Get("a"); !ok || string(v) != "2" {
		t.Errorf("a = %q, %v", v, ok)
	}
	if v, ok := h.Get("n"); !ok || v != nil {
		t.Errorf("n = %q, %v", v, ok)
	}
	if _, ok := h.Get("x"); ok || h.Len() != 3 {
		t.Errorf("x found, or %d headers", h.Len())
	}
	h.Reset()
	if h.Len() != 0 {
		t.Errorf("%d headers after Reset", h.Len())
	}
}

func TestXerialSnappy(t *testing.T) {
	block := func(s string) []byte {
		raw, err := Compress(nil, Snappy, []byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(raw))), raw...)
	}
	framed := append(bytes.Clone(xerialMagic), 0, 0, 0, 1, 0, 0, 0, 1)
	empty := bytes.Clone(framed)
	framed = append(append(framed, block("hello ")...), block("world")...)
	if got, err := Decompress([]byte("> "), Snappy, framed); err != nil || string(got) != "> hello world" {
		t.Fatalf("%q, %v", got, err)
	}
	if got, err := Decompress(nil, Snappy, empty); err != nil || len(got) != 0 {
		t.Fatalf("no blocks: %q, %v", got, err)
	}
	for _, cut := range []int{9, 17, 21, len(framed) - 1} {
		if _, err := Decompress(nil, Snappy, framed[:cut]); !errors.Is(err, ErrInvalid) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
}

func TestDecompressionIsBounded(t *testing.T) {
	bomb := make([]byte, MaxInflated+1)
	for c := None; c <= Zstd; c++ {
		small, err := Compress(nil, c, bomb)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decompress(nil, c, small); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", c, err)
		}
		small, err = Compress(nil, c, bomb[1:])
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Decompress(nil, c, small); err != nil || len(got) != MaxInflated {
			t.Errorf("%s at the limit: %d bytes, %v", c, len(got), err)
		}
	}
	lie := binary.AppendUvarint(nil, MaxInflated)
	if _, err := Decompress(nil, Snappy, append(lie, 0, 'x')); !errors.Is(err, ErrInvalid) {
		t.Errorf("snappy length that cannot be true: %v", err)
	}
	for c := Gzip; c <= Zstd; c++ {
		if _, err := Decompress(nil, c, []byte("not compressed at all")); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s of garbage: %v", c, err)
		}
	}
	if _, err := Decompress(nil, 5, nil); !errors.Is(err, ErrUnsupportedCodec) {
		t.Errorf("codec 5: %v", err)
	}
}

func TestCodecNames(t *testing.T) {
	for c := None; c <= Zstd; c++ {
		if got, ok := ParseCodec(c.String()); !ok || got != c {
			t.Errorf("%s parses to %s, %v", c, got, ok)
		}
	}
	if c, ok := ParseCodec("uncompressed"); !ok || c != None {
		t.Error("uncompressed is not none")
	}
	if _, ok := ParseCodec("producer"); ok || Codec(5).Valid() {
		t.Error("a codec that does not exist")
	}
}

func TestCloneOfARecord(t *testing.T) {
	var h Headers
	h.Add("a", []byte("1"))
	h.Add("b", nil)
	buf := []byte("keyvalue")
	r := Record{Offset: 3, Timestamp: 4, Key: buf[:3], Value: buf[3:], Headers: h}
	c := r.Clone()
	clear(buf)
	clear(h.raw)
	v, ok := c.Headers.Get("a")
	if c.Offset != 3 || c.Timestamp != 4 || string(c.Key) != "key" || string(c.Value) != "value" || string(v) != "1" || !ok || c.Headers.Len() != 2 {
		t.Errorf("%+v", c)
	}
	null := (&Record{}).Clone()
	if null.Key != nil || null.Value != nil {
		t.Errorf("%+v", null)
	}
}
