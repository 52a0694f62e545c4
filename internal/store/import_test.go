package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/polylog-mq/polylog/internal/crashfs"
	"github.com/polylog-mq/polylog/internal/record"
)

// A member that lags far behind gets the leader's data and state, and has
// both or neither after a crash at any point.
func TestImport(t *testing.T) {
	leader := openSimple(t, Options{FS: vfs.NewMem(), WALFileSize: 64 << 10, TailBytes: 1})
	defer leader.s.Close()
	for i := range 60 {
		leader.put(1+i%4, 700, int64(i), record.PartitionID(1+i%3))
	}
	fs := crashfs.New()
	rng := rand.New(rand.NewPCG(1, 1))
	var crashes []*crashfs.FS
	count := false
	o := Options{FS: errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if count && isSync(op) {
			crashes = append(crashes, fs.Crash(nil), fs.Crash(rng), fs.Kill())
		}
		return nil
	})), WALFileSize: 64 << 10}
	follower := openSimple(t, o)
	// It has the beginning, and a suffix that the others do not share.
	for i := range 10 {
		follower.put(1+i%4, 700, int64(i), record.PartitionID(1+i%3))
	}
	follower.s.Append([]Append{{Sync: true, Entries: []Entry{{Index: 11, Term: 9, Data: []byte("junk")}, {Index: 12, Term: 9, Data: []byte("junk")}}}}, nil)
	for follower.s.Flush() {
	}
	if err := follower.s.Checkpoint([]GroupCut{{Applied: 10, Term: 1, CompactTo: 8, Pages: []Page{{[]byte("old"), []byte("x")}}}}); err != nil {
		t.Fatal(err)
	}
	im := follower.s.NewImport(0)
	send(t, leader, im, 3000)
	count = true
	cut := GroupCut{Applied: 60, Term: 3, Conf: []byte("c"), CompactTo: 60, Pages: []Page{{[]byte("new"), []byte("y")}}}
	if err := im.Commit(cut); err != nil {
		t.Fatal(err)
	}
	count = false
	im.Abort()
	checkImported(t, follower.s, leader)
	// The log goes on, and a restart finds all of it.
	follower.last, follower.next = 60, map[record.PartitionID]record.Offset{1: leader.next[1], 2: leader.next[2], 3: leader.next[3]}
	follower.put(2, 10, 0, 2)
	follower.checkpoint()
	if err := follower.s.Close(); err != nil {
		t.Fatal(err)
	}
	imported := 0
	for i, crashed := range crashes {
		s, err := Open(Options{FS: crashed, Dir: "data", WALFileSize: 64 << 10})
		if err != nil {
			t.Fatalf("crash %d: %v", i, err)
		}
		if applied, _, _, _ := s.Applied(0); applied == 60 {
			imported++
			checkImported(t, s, leader)
		} else if l := s.Log(0); applied != 10 || l.LastIndex() != 12 {
			t.Fatalf("crash %d: applied %d, log to %d", i, applied, l.LastIndex())
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if imported == 0 || imported == len(crashes) {
		t.Fatalf("imported in %d of %d crashes", imported, len(crashes))
	}
}

// send hands all that the leader has to an import, in pieces.
func send(t *testing.T, leader *simple, im *Import, piece int) {
	t.Helper()
	for p := range leader.next {
		r := Result{Whole: true}
		for from := record.Offset(0); from < leader.next[p]; from = r.Next {
			r.Release()
			if err := leader.s.Read(&r, p, from, leader.next[p], piece, true); err != nil {
				t.Fatal(err)
			}
			r.Batches(func(run *Run, b []byte) bool {
				h, err := record.ParseHeader(b)
				if err != nil {
					t.Fatal(err)
				}
				part := *run
				part.Base, part.Last, part.Pos, part.Len = h.BaseOffset, h.LastOffset(), 0, uint32(len(b))
				if err := im.Add(part, b); err != nil {
					t.Fatal(err)
				}
				return true
			})
		}
	}
}

func checkImported(t *testing.T, s *Store, leader *simple) {
	t.Helper()
	x := &simple{tb: t, s: s, next: leader.next}
	for p := range leader.next {
		if got, want := x.read(p, 0), leader.read(p, 0); !slices.Equal(got, want) {
			t.Fatalf("partition %d: %v, want %v", p, got, want)
		}
	}
	l := s.Log(0)
	term, err := l.Term(60)
	if l.FirstIndex() != 61 || l.LastIndex() != 60 || term != 3 || err != nil {
		t.Fatalf("log from %d to %d, term %d, %v", l.FirstIndex(), l.LastIndex(), term, err)
	}
	if hs := l.HardState(); hs.Commit != 60 || hs.Term < 3 {
		t.Fatalf("hard state %+v", hs)
	}
	if i, term, conf, _ := s.Applied(0); i != 60 || term != 3 || string(conf) != "c" {
		t.Fatalf("applied %d term %d conf %q", i, term, conf)
	}
	pages := ""
	if err := s.LoadPages(0, func(k, v []byte) error {
		pages += fmt.Sprintf("%s=%s;", k, v)
		return nil
	}); err != nil || pages != "new=y;" {
		t.Fatalf("pages %q, %v", pages, err)
	}
}

func TestImportRefuses(t *testing.T) {
	fs := vfs.NewMem()
	x := openSimple(t, Options{FS: fs})
	defer x.s.Close()
	x.put(5, 100, 0, 1)
	batch := testBatch(t, 5, 100, 0)
	run := func(base record.Offset) Run {
		return Run{Partition: 1, Base: base, Last: base + 4, Len: uint32(len(batch))}
	}
	im := x.s.NewImport(0)
	if err := im.Add(run(0), batch); err != nil { // is here already
		t.Fatal(err)
	}
	if err := im.Add(run(3), batch); !errors.Is(err, ErrConflict) {
		t.Errorf("an overlap: %v", err)
	}
	bad := slices.Clone(batch)
	bad[100] ^= 1
	if err := im.Add(run(5), bad); !errors.Is(err, record.ErrCorrupt) {
		t.Errorf("a flipped bit: %v", err)
	}
	long := run(5)
	long.Last++
	if err := im.Add(long, batch); !errors.Is(err, record.ErrCorrupt) {
		t.Errorf("a run longer than its batches: %v", err)
	}
	if err := im.Add(run(5), batch[:len(batch)-1]); err == nil {
		t.Error("a run without its bytes")
	}
	if err := im.Add(run(5), batch); err != nil {
		t.Fatal(err)
	}
	x.put(2, 100, 0, 1) // apply was faster
	if err := im.Commit(GroupCut{Applied: 9, Term: 1, CompactTo: 9}); !errors.Is(err, ErrConflict) {
		t.Errorf("commit over records that came meanwhile: %v", err)
	}
	im.Abort()
	names, err := fs.List("data/segment")
	if err != nil || len(names) != 0 {
		t.Errorf("an aborted import left %v, %v", names, err)
	}
	if got := x.read(1, 0); len(got) != 2 {
		t.Errorf("%d batches", len(got))
	}
}
