package wire

import (
	"bytes"
	"errors"
	"testing"
)

func TestHeader(t *testing.T) {
	v1 := []byte{0, 3, 0, 1, 0, 0, 0, 9, 0, 2, 'm', 'e', 'B'}
	h, body, err := ParseHeader(v1, false)
	if err != nil || h.Key != 3 || h.Version != 1 || h.Correlation != 9 || string(h.ClientID) != "me" || string(body) != "B" {
		t.Fatalf("%+v %q %v", h, body, err)
	}
	v2 := []byte{0, 3, 0, 9, 0, 0, 0, 9, 0xff, 0xff, 1, 7, 2, 'x', 'y', 'B'}
	h, body, err = ParseHeader(v2, true)
	if err != nil || h.ClientID != nil || string(body) != "B" {
		t.Fatalf("%+v %q %v", h, body, err)
	}
	for n := range len(v2) - 1 {
		if _, _, err := ParseHeader(v2[:n], true); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	many := append(bytes.Clone(v2[:10]), 0xff, 0xff, 0xff, 0xff, 0x0f)
	if _, _, err := ParseHeader(many, true); !errors.Is(err, ErrMalformed) {
		t.Errorf("four billion tags: %v", err)
	}
	h, err = ParseFallbackHeader([]byte{0, 18, 0, 99, 0, 0, 0, 5})
	if err != nil || h.Correlation != 5 || h.Version != 0 || h.Key != 18 {
		t.Errorf("fallback: %+v, %v", h, err)
	}
	if _, err := ParseFallbackHeader([]byte{0, 18, 0, 99, 0, 0, 0}); !errors.Is(err, ErrMalformed) {
		t.Errorf("short fallback: %v", err)
	}
}

func TestResponseHeader(t *testing.T) {
	for _, c := range []struct {
		h    Header
		want []byte
	}{
		{Header{Key: 3, Version: 8, Correlation: 1}, []byte{0, 0, 0, 1}},
		{Header{Key: 3, Version: 9, Correlation: 1}, []byte{0, 0, 0, 1, 0}},
		{Header{Key: 18, Version: 4, Correlation: 1}, []byte{0, 0, 0, 1}},
		{Header{Key: 0, Version: 9, Correlation: 1}, []byte{0, 0, 0, 1, 0}},
		{Header{Key: 1, Version: 12, Correlation: 1}, []byte{0, 0, 0, 1, 0}},
	} {
		if got := AppendResponseHeader(nil, c.h); !bytes.Equal(got, c.want) {
			t.Errorf("%+v: %x, want %x", c.h, got, c.want)
		}
	}
}

func TestFrameLength(t *testing.T) {
	for _, c := range []struct {
		prefix [4]byte
		n      int
		ok     bool
	}{
		{[4]byte{0, 0, 0, 7}, 0, false},
		{[4]byte{0, 0, 0, 8}, 8, true},
		{[4]byte{0, 0, 1, 0}, 256, true},
		{[4]byte{0, 0, 1, 1}, 0, false},
		{[4]byte{0xff, 0xff, 0xff, 0xff}, 0, false},
		{[4]byte{'G', 'E', 'T', ' '}, 0, false},
	} {
		n, err := FrameLength(c.prefix, 256)
		if n != c.n || (err == nil) != c.ok {
			t.Errorf("%v: %d, %v", c.prefix, n, err)
		}
	}
}

func TestFrames(t *testing.T) {
	for _, n := range append([]int{0, 1, frameSizes[0] + 1, 2 << 20}, frameSizes[:]...) {
		f := NewFrame(n)
		if len(f.B) != n {
			t.Errorf("%d bytes, want %d", len(f.B), n)
		}
		for i := range f.B {
			f.B[i] = 7
		}
		g := f.Grow(n * 3)
		if len(g.B) != n*3 || n > 0 && (g.B[0] != 7 || g.B[n-1] != 7) {
			t.Errorf("grown from %d to %d", n, len(g.B))
		}
		g.Free()
	}
}

func TestOutputPutsSplicesWhereTheyBelong(t *testing.T) {
	var o Output
	for range 2 {
		m := o.Begin()
		o.B = append(o.B, "ab"...)
		o.Splice([]byte("CD"))
		o.Splice(nil)
		o.Splice([]byte("EF"))
		o.B = append(o.B, 'g')
		o.End(m)
		m = o.Begin()
		o.Splice([]byte("H"))
		o.End(m)
		if got := string(bytes.Join(o.Buffers(), nil)); got != "\x00\x00\x00\x07abCDEFg\x00\x00\x00\x01H" {
			t.Errorf("%q", got)
		}
		if o.Size() != 16 {
			t.Errorf("size %d", o.Size())
		}
		o.Reset()
		if o.Size() != 0 || len(o.Buffers()) != 0 {
			t.Error("something is left after Reset")
		}
	}
}
