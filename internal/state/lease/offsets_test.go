package lease

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/polylog-mq/polylog/internal/codec"
)

// TestOffsets holds a set of offsets against an array, as it grows to a bitmap and
// shrinks to spans again, and against what comes out of a page.
func TestOffsets(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1)) //nolint:gosec // to be repeated
	var s offsets
	var m [chunkSize]bool
	forms := map[bool]int{}
	for step := range 20_000 {
		lo := rng.IntN(chunkSize)
		hi := lo
		grows := step/4000%2 == 0
		if n := rng.IntN(40); n == 0 || !grows && n < 20 {
			hi = min(lo+rng.IntN(200), chunkSize-1)
		}
		adds := grows && hi == lo || !grows && rng.IntN(9) == 0
		want := int64(0)
		for o := lo; o <= hi; o++ {
			if m[o] != adds {
				want++
			}
			m[o] = adds
		}
		got := int64(0)
		if adds {
			got = s.add(uint16(lo), uint16(hi))
		} else {
			got = s.remove(uint16(lo), uint16(hi))
		}
		if got != want {
			t.Fatalf("step %d: %v [%d %d] changed %d offsets, want %d", step, adds, lo, hi, got, want)
		}
		forms[s.bits != nil]++
		if step%50 == 0 {
			compareOffsets(t, &s, &m)
		}
	}
	if forms[false] < 1000 || forms[true] < 1000 {
		t.Errorf("%v: the test tests too little", forms)
	}
}

func compareOffsets(t *testing.T, s *offsets, m *[chunkSize]bool) {
	t.Helper()
	var all []span
	for o := 0; o < chunkSize; o++ {
		if !m[o] {
			continue
		}
		x := span{uint16(o), uint16(o)}
		for o+1 < chunkSize && m[o+1] {
			o++
		}
		x.hi = uint16(o)
		all = append(all, x)
	}
	page := s.encode(nil)
	r := &reader{codec.NewReader(page)}
	read := r.offsets()
	if r.Close() != nil {
		t.Fatal(r.Close())
	}
	if again := read.encode(nil); !reflect.DeepEqual(page, again) || len(page) > 1100 && s.count() > manySpans {
		t.Fatalf("pages of %d and %d bytes", len(page), len(again))
	}
	for _, s := range []*offsets{s, &read} {
		var got []span
		s.each(func(x span) { got = append(got, x) })
		if !reflect.DeepEqual(got, all) || s.count() != len(all) || s.empty() != (len(all) == 0) {
			t.Fatalf("spans %v, want %v", got, all)
		}
		size := int64(0)
		for _, x := range all {
			size += x.len()
		}
		if s.size() != size {
			t.Fatalf("size %d, want %d", s.size(), size)
		}
		i := 0
		for o := range chunkSize {
			for i < len(all) && int(all[i].hi) < o {
				i++
			}
			x, ok := s.from(uint16(o))
			if ok != (i < len(all)) || ok && (x.hi != all[i].hi || max(x.lo, uint16(o)) != max(all[i].lo, uint16(o))) || s.has(uint16(o)) != m[o] {
				t.Fatalf("from %d: %v %v", o, x, ok)
			}
		}
	}
}
