package store_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/uuid"

	"github.com/polylog-mq/polylog/internal/crashfs"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// This file crashes a store at every change of its files while a snapshot is
// installed and while a node is bootstrapped. Both must have happened whole or
// not at all.

// crashed is what a crash left, and whether what was under way had returned.
type crashed struct {
	fs   *crashfs.FS
	done bool
	what string
}

// crashes collects what crashes during fn leave: three before every change of a
// file that fn makes, three after the last.
func crashes(fs *crashfs.FS, rng *rand.Rand, fn func(fs vfs.FS)) (all []crashed) {
	var mu sync.Mutex // Pebble has goroutines of its own
	snap := func(done bool, what string) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all,
			crashed{fs.Crash(nil), done, what + ", nothing unsynced survives"},
			crashed{fs.Crash(rng), done, what + ", some of the unsynced survives"},
			crashed{fs.Kill(), done, what + ", only the process dies"})
	}
	var over atomic.Bool
	fn(errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !over.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileClose {
			snap(false, fmt.Sprintf("crash before operation %d on %s", op.Kind, op.Path))
		}
		return nil
	})))
	over.Store(true)
	snap(true, "crash at the end")
	return all
}

func openStore(t *testing.T, fs vfs.FS, seed byte) *store.Store {
	t.Helper()
	s, err := store.Open(store.Options{FS: fs, Dir: "data", WALFileSize: 16 << 10, TailBytes: 1 << 10, Salt: rand.NewChaCha8([32]byte{seed})})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// member is what a test knows of a partition: its batches as a reader must see
// them.
type member struct {
	id   record.PartitionID
	next record.Offset
	want []byte
}

// batch makes a batch of n records and the run that names it as the
// partition's next.
func (m *member) batch(t *testing.T, n int, epoch record.Epoch, at int) (store.Run, []byte) {
	t.Helper()
	var b record.Builder
	b.Reset(record.Template(record.None))
	for i := range n {
		b.Add(record.Record{Timestamp: int64(at), Value: bytes.Repeat([]byte{byte(m.id), byte(i)}, 100)})
	}
	body, err := b.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	run := store.Run{
		Partition: m.id, Epoch: epoch, Base: m.next, Last: m.next + record.Offset(n) - 1, LogTime: record.LogTime(at),
		MaxTimestamp: int64(at), FirstID: record.EntryID{Time: record.LogTime(at)}, Len: uint32(len(body)),
	}
	seen := slices.Clone(body)
	record.SetBaseOffset(seen, m.next)
	record.SetEpoch(seen, epoch)
	m.want = append(m.want, seen...)
	m.next += record.Offset(n)
	return run, body
}

func (m *member) check(t *testing.T, s *store.Store, what string) {
	t.Helper()
	if _, next, err := s.Bounds(m.id); err != nil || next != m.next {
		t.Fatalf("%s: partition %d ends at %d (%v), want %d", what, m.id, next, err, m.next)
	}
	var r store.Result
	if err := s.Read(&r, m.id, 0, m.next, 1<<30, true); err != nil {
		t.Fatalf("%s: reading partition %d: %v", what, m.id, err)
	}
	defer r.Release()
	if got := bytes.Join(r.Buffers, nil); !bytes.Equal(got, m.want) {
		t.Fatalf("%s: partition %d reads as other bytes", what, m.id)
	}
}

// log is a group's log as a test writes it: an entry per batch.
type log struct {
	group   record.ShardID
	term    record.Term
	last    record.Index
	entries map[record.Index]store.Run // what each entry adds
	part    *member
}

// put appends an entry with a batch and makes it durable; apply adds its run.
func (l *log) put(t *testing.T, s *store.Store, commit record.Index, n int) {
	t.Helper()
	l.last++
	run, body := l.part.batch(t, n, record.Epoch(l.term), int(l.last))
	l.entries[l.last] = run
	var got error
	s.Append([]store.Append{{
		Group: l.group, Sync: true, HardState: &store.HardState{Term: l.term, Vote: 2, Commit: commit},
		Entries: []store.Entry{{Index: l.last, Term: l.term, Data: body}},
	}}, func(err error) { got = err })
	for s.Flush() {
	}
	if got != nil {
		t.Fatal(got)
	}
}

func (l *log) apply(s *store.Store, from, to record.Index) {
	for i := from; i <= to; i++ {
		s.AddRuns(l.group, i, []store.Run{l.entries[i]})
	}
}

func pages(t *testing.T, s *store.Store, g record.ShardID) string {
	t.Helper()
	got := map[string]string{}
	if err := s.LoadPages(g, func(k, v []byte) error { got[string(k)] = string(v); return nil }); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, k := range slices.Sorted(maps.Keys(got)) {
		fmt.Fprintf(&b, "%s=%s ", k, got[k])
	}
	return b.String()
}

// snapshot is an import that is tried again until it is done.
type snapshot struct {
	runs   []store.Run
	bodies [][]byte
	cut    store.GroupCut
}

func (x *snapshot) install(s *store.Store) error {
	im := s.NewImport(x.cut.Group)
	for i := range x.runs {
		if err := im.Add(x.runs[i], x.bodies[i]); err != nil {
			return err
		}
	}
	return im.Commit(x.cut)
}

// imported is the history of TestCrashWhileASnapshotIsInstalled: group 1 has
// fallen behind, with entries that were never committed; group 2 goes on.
type imported struct {
	behind, other *log
	ahead         *member // the partition of group 1 as the snapshot has it
	fresh         *member // one that only the snapshot has
	snap          snapshot
}

func newImported(t *testing.T, s *store.Store) *imported {
	t.Helper()
	x := &imported{
		behind: &log{group: 1, term: 2, entries: map[record.Index]store.Run{}, part: &member{id: 10}},
		other:  &log{group: 2, term: 1, entries: map[record.Index]store.Run{}, part: &member{id: 20}},
		fresh:  &member{id: 11},
	}
	for i := range record.Index(8) {
		x.behind.put(t, s, i, 2)
		x.other.put(t, s, i+1, 3)
	}
	x.behind.apply(s, 1, 8)
	x.other.apply(s, 1, 8)
	if err := s.Checkpoint([]store.GroupCut{
		{Group: 1, Applied: 4, Term: 2, Conf: []byte("old"), Pages: []store.Page{{Key: []byte("a"), Value: []byte("1")}, {Key: []byte("b"), Value: []byte("1")}}, CompactTo: 2},
		{Group: 2, Applied: 5, Term: 1, CompactTo: 5},
	}); err != nil {
		t.Fatal(err)
	}
	m := *x.behind.part
	m.want = slices.Clone(m.want)
	x.ahead = &m
	for i := range 12 { // enough for files of several blocks
		run, body := x.ahead.batch(t, 3, 4, 100+i)
		x.snap.runs, x.snap.bodies = append(x.snap.runs, run), append(x.snap.bodies, body)
	}
	for i := range 3 {
		run, body := x.fresh.batch(t, 4, 4, 200+i)
		x.snap.runs, x.snap.bodies = append(x.snap.runs, run), append(x.snap.bodies, body)
	}
	// What a dead leader had left behind entry 8: indices that the snapshot is
	// past and one that will be used again.
	stray := &member{id: 99}
	for i := record.Index(9); i <= 60; i++ {
		_, body := stray.batch(t, 1, 3, int(i))
		s.Append([]store.Append{{Group: 1, Sync: true, Entries: []store.Entry{{Index: i, Term: 3, Data: body}}}}, nil)
	}
	for s.Flush() {
	}
	x.snap.cut = store.GroupCut{
		Group: 1, Applied: 50, Term: 4, Conf: []byte("new"), CompactTo: 50,
		Pages: []store.Page{{Key: []byte("b"), Value: []byte("2")}, {Key: []byte("c"), Value: []byte("2")}},
	}
	return x
}

// recover holds a reopened store against the history, replays as apply would,
// and reports whether the snapshot is installed.
func (x *imported) recover(t *testing.T, s *store.Store, what string) bool {
	t.Helper()
	applied, term, conf, _ := s.Applied(1)
	l, hs := s.Log(1), s.Log(1).HardState()
	switch applied {
	case 4:
		if string(conf) != "old" || pages(t, s, 1) != "a=1 b=1 " || l.FirstIndex() != 3 || l.LastIndex() != 60 || hs.Term < 2 || hs.Commit < 4 {
			t.Fatalf("%s: old conf %q, pages %q, log %d to %d, %+v", what, conf, pages(t, s, 1), l.FirstIndex(), l.LastIndex(), hs)
		}
		x.behind.apply(s, 3, 8)
		x.behind.part.check(t, s, what)
	case 50:
		if term != 4 || string(conf) != "new" || pages(t, s, 1) != "b=2 c=2 " || l.FirstIndex() != 51 || hs.Commit < 50 || hs.Term < 4 {
			t.Fatalf("%s: new term %d, conf %q, pages %q, log from %d, %+v", what, term, conf, pages(t, s, 1), l.FirstIndex(), hs)
		}
		x.ahead.check(t, s, what)
		x.fresh.check(t, s, what)
	default:
		t.Fatalf("%s: the checkpoint is at %d", what, applied)
	}
	x.other.apply(s, 6, 8)
	x.other.part.check(t, s, what)
	return applied == 50
}

func TestCrashWhileASnapshotIsInstalled(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 3))
	fs := crashfs.New()
	var x *imported
	s := openStore(t, fs, 1)
	x = newImported(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	all := crashes(fs, rng, func(fs vfs.FS) {
		s = openStore(t, fs, 2)
		x.behind.apply(s, 3, 8)
		x.other.apply(s, 6, 8)
		if err := x.snap.install(s); err != nil {
			t.Fatal(err)
		}
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before, after := 0, 0
	for _, c := range all {
		s := openStore(t, c.fs, 3)
		if x.recover(t, s, c.what) {
			after++
		} else if before++; c.done {
			t.Fatalf("%s: the snapshot was installed and is gone", c.what)
		} else if err := x.snap.install(s); err != nil {
			t.Fatalf("%s: installing it again: %v", c.what, err)
		}
		x.goOn(t, c, s)
	}
	if len(all) < 20 || before == 0 || after == 0 {
		t.Fatalf("%d crashes: %d before, %d after", len(all), before, after)
	}
	t.Logf("%d crashes: %d before, %d after", len(all), before, after)
}

// goOn appends behind the snapshot, at an index that the old log had too, and
// crashes once more.
func (x *imported) goOn(t *testing.T, c crashed, s *store.Store) {
	t.Helper()
	if s.Log(1).LastIndex() != 50 {
		t.Fatalf("%s: the log ends at %d behind a snapshot at 50", c.what, s.Log(1).LastIndex())
	}
	m := *x.ahead
	m.want = slices.Clone(m.want)
	next := &log{group: 1, term: 5, last: 50, entries: map[record.Index]store.Run{}, part: &m}
	next.put(t, s, 51, 2)
	fs := c.fs.Crash(nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, fs, 4)
	if got := s.Log(1).LastIndex(); got != 51 {
		t.Fatalf("%s: after going on the log ends at %d, want 51", c.what, got)
	}
	if term, err := s.Log(1).Term(51); err != nil || term != 5 {
		t.Fatalf("%s: entry 51 has term %d (%v), want 5", c.what, term, err)
	}
	next.apply(s, 51, 51)
	m.check(t, s, c.what)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCrashWhileBootstrapping(t *testing.T) {
	rng := rand.New(rand.NewPCG(12, 3))
	meta := store.Meta{Cluster: uuid.UUID{1, 2}, Node: 7}
	cuts := []store.GroupCut{
		{Group: 0, Applied: 1, Term: 1, Conf: []byte("m"), Pages: []store.Page{{Key: []byte("k"), Value: []byte("v")}}, CompactTo: 1},
		{Group: 1, Applied: 1, Term: 1, Conf: []byte("m"), CompactTo: 1},
	}
	fs := crashfs.New()
	var s *store.Store
	all := crashes(fs, rng, func(fs vfs.FS) {
		s = openStore(t, fs, 1)
		if err := s.Bootstrap(meta, cuts); err != nil {
			t.Fatal(err)
		}
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		s := openStore(t, c.fs, 2)
		if _, ok := s.Meta(); !ok {
			if _, _, _, ok := s.Applied(1); ok || c.done || pages(t, s, 0) != "" {
				t.Fatalf("%s: groups without an identity, or a bootstrap that is gone", c.what)
			}
			if err := s.Bootstrap(meta, cuts); err != nil {
				t.Fatalf("%s: bootstrapping again: %v", c.what, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openStore(t, c.fs, 3)
		got, ok := s.Meta()
		if !ok || got != meta || pages(t, s, 0) != "k=v " {
			t.Fatalf("%s: identity %v %v, pages %q", c.what, got, ok, pages(t, s, 0))
		}
		for g := range record.ShardID(2) {
			i, term, conf, ok := s.Applied(g)
			if !ok || i != 1 || term != 1 || string(conf) != "m" || s.Log(g).FirstIndex() != 2 || s.Log(g).LastIndex() != 1 {
				t.Fatalf("%s: group %d is at %d, term %d", c.what, g, i, term)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d crashes", len(all))
}
