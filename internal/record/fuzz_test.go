package record

import (
	"bytes"
	"fmt"
	"testing"
)

func seeds(f *testing.F) {
	f.Helper()
	for c := None; c <= Zstd; c++ {
		b := build(f, Template(c), "a", "bb", "")
		f.Add(b)
		f.Add(append(bytes.Clone(b), b[:len(b)-1]...))
	}
	f.Add([]byte{})
}

// FuzzBatch: no bytes make the walk, the validation or the iteration panic or
// disagree about where a batch ends.
func FuzzBatch(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		covered := 0
		err := Walk(b, func(batch []byte, h Header) error {
			covered += len(batch)
			again, err := ParseHeader(batch)
			if err != nil || again != h {
				t.Fatalf("header %v, then %v, %v", h, again, err)
			}
			_, _ = Validate(batch, Checks{MaxSize: 1 << 20, Produced: true})
			last := h.BaseOffset - 1
			_ = Records(batch, func(r Record) error {
				if r.Offset <= last {
					t.Fatalf("offset %d after %d", r.Offset, last)
				}
				last = r.Offset
				for range r.Headers.All() {
				}
				return nil
			})
			return nil
		})
		if err == nil && covered != len(b) {
			t.Fatalf("walked %d of %d bytes without an error", covered, len(b))
		}
	})
}

// FuzzResummed: a batch whose checksum is right but whose content is anything
// is either refused or survives a rewrite unchanged.
func FuzzResummed(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := one(b); err != nil {
			return
		}
		b = resum(bytes.Clone(b))
		h, err := Validate(b, Checks{Produced: true})
		if err != nil {
			return
		}
		var want []string
		if err := Records(b, func(r Record) error { want = append(want, shown(r)); return nil }); err != nil {
			return
		}
		out, err := Recompress(nil, b, None, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Validate(out, Checks{Produced: true}); err != nil || got.Count != h.Count {
			t.Fatalf("rewritten header %v, %v", got, err)
		}
		if got := collect(t, out); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

// FuzzDecompress: no compressed bytes make a codec panic or break the bound.
func FuzzDecompress(f *testing.F) {
	for c := None; c <= Zstd; c++ {
		b, err := Compress(nil, c, bytes.Repeat([]byte("polylog "), 40))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(c), b)
	}
	f.Add(uint8(Snappy), append(bytes.Clone(xerialMagic), 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0))
	f.Fuzz(func(t *testing.T, c uint8, b []byte) {
		prefix := []byte("prefix")
		out, err := Decompress(prefix, Codec(c%6), b)
		if err != nil {
			return
		}
		if !bytes.HasPrefix(out, prefix) || len(out)-len(prefix) > MaxInflated {
			t.Fatalf("%d bytes out", len(out))
		}
	})
}
