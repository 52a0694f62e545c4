package store

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/crashfs"
)

func TestCloseTwice(t *testing.T) {
	s, err := Open(Options{FS: vfs.NewMem(), Dir: "data"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFilesWithoutRoomForAnEntry are refused at once, by the name of what sets
// their size, rather than when such an entry comes.
func TestFilesWithoutRoomForAnEntry(t *testing.T) {
	o := Options{FS: vfs.NewMem(), Dir: "data", WALFileSize: 1 << 20, MaxEntry: 1 << 20}
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "WALFileSize") || !strings.Contains(err.Error(), "2097152") {
		t.Fatalf("opened: %v", err)
	}
	o.WALFileSize = 2 << 20
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got error
	s.Append([]Append{{Sync: true, Entries: []Entry{{Index: 1, Term: 1, Data: make([]byte, o.MaxEntry)}}}}, func(err error) { got = err })
	for s.Flush() {
	}
	if got != nil {
		t.Errorf("the largest entry: %v", got)
	}
}

// TestDeepDirectoriesSurvive a crash right after the first entry, all levels of
// them.
func TestDeepDirectoriesSurvive(t *testing.T) {
	fs := crashfs.New()
	o := Options{FS: fs, Dir: "/srv/deep/below/data", WALFileSize: 32 << 10}
	x := openSimple(t, o)
	defer x.s.Close()
	x.put(1, 100, 1, 1)
	for seed := range uint64(20) {
		o.FS = fs.Crash(rand.New(rand.NewPCG(seed, 0)))
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Log(0).LastIndex(); got != 1 {
			t.Errorf("seed %d: the log ends at %d", seed, got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNoSecondLife: a log without an identity is no place to begin a node.
func TestNoSecondLife(t *testing.T) {
	x := openSimple(t, Options{FS: vfs.NewMem()})
	defer x.s.Close()
	x.put(1, 100, 1, 1)
	if err := x.s.Bootstrap(Meta{Node: 1}, nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("begun: %v", err)
	}
}
