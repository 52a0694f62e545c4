package page

import (
	"maps"
	"testing"
)

// state is a map of counters, one page each.
type state struct {
	values map[string]byte
	pages  *Set[string]
}

func newState() *state {
	s := &state{values: map[string]byte{}}
	s.pages = New(func(dst []byte, k string) ([]byte, bool) {
		v, ok := s.values[k]
		return append(dst, v), ok
	})
	return s
}

func (s *state) set(k string, v byte) { s.pages.Touch(k); s.values[k] = v }
func (s *state) del(k string)         { s.pages.Touch(k); delete(s.values, k) }

func drain(s *state, into map[string]byte) {
	for s.pages.Next(func(k string, v []byte) {
		if v == nil {
			delete(into, k)
			return
		}
		into[k] = v[0]
	}) {
	}
}

func TestCutShowsTheStateAtItsInstant(t *testing.T) {
	s, disk := newState(), map[string]byte{}
	s.set("a", 1)
	s.set("b", 2)
	s.set("c", 3)
	s.pages.Freeze()
	s.set("a", 9) // changed after the cut: the cut must still show 1
	s.del("b")
	s.set("d", 4) // created after the cut
	drain(s, disk)
	if want := map[string]byte{"a": 1, "b": 2, "c": 3}; !maps.Equal(disk, want) {
		t.Fatalf("first cut = %v, want %v", disk, want)
	}
	s.pages.Freeze()
	drain(s, disk)
	if want := map[string]byte{"a": 9, "c": 3, "d": 4}; !maps.Equal(disk, want) {
		t.Fatalf("second cut = %v, want %v", disk, want)
	}
	s.pages.Freeze()
	if s.pages.Next(func(string, []byte) {}) {
		t.Fatal("a cut after no change wrote a page")
	}
}

func TestFreezeBeforeTheLastCutIsWrittenPanics(t *testing.T) {
	s := newState()
	s.set("a", 1)
	s.pages.Freeze()
	defer func() {
		if recover() == nil {
			t.Fatal("no panic")
		}
	}()
	s.pages.Freeze()
}
