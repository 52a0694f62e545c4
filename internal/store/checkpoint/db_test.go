package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/uuid"

	"github.com/polylog-mq/polylog/internal/crashfs"
	"github.com/polylog-mq/polylog/internal/record"
)

var quiet = slog.New(slog.DiscardHandler)

func mustOpen(t *testing.T, fs vfs.FS) *DB {
	t.Helper()
	d, err := Open(fs, "db", quiet, true)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mustCommit(t *testing.T, d *DB, c *Cut) {
	t.Helper()
	if _, err := d.Commit(c); err != nil {
		t.Fatal(err)
	}
}

func pages(t *testing.T, d *DB, g record.ShardID) string {
	t.Helper()
	var b strings.Builder
	if err := d.Pages(g, func(k, v []byte) error {
		fmt.Fprintf(&b, "%s=%s ", k, v)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(b.String())
}

func sampleState() *State {
	return &State{
		Meta: &Meta{Cluster: uuid.UUID{1, 2, 3}, Node: 7},
		Groups: []Group{
			{ID: 0, Applied: 5, Term: 2, Compacted: 4, CompactedTerm: 1, Conf: []byte("c0")},
			{ID: 300, Applied: 1 << 40, Term: 9, Compacted: 3, CompactedTerm: 3, ResetFile: 8, ResetOffset: 4096},
		},
		Files: []File{
			{FileID: FileID{0, 12}, Gen: 3, Digest: 0xdeadbeef},
			{FileID: FileID{1, 2}, DataLen: 99, DataCRC: 5, Gen: 1, Digest: 1, Final: true, Moved: []Moved{{1 << 40, 0, 3, 5}, {2, 3, 0, 1 << 50}}},
		},
		Partitions: []Partition{
			{ID: 1, Floors: []Floor{{Level: 0, Offset: 7}, {Level: 255, Offset: 9}}, Cleaned: 1 << 41},
			{ID: 1 << 33, Dropped: true},
		},
		WALFrom: 12, NextSegment: 3,
	}
}

func sampleCut() *Cut {
	s := sampleState()
	c := &Cut{Meta: s.Meta, Files: s.Files, Partitions: s.Partitions, WALFrom: s.WALFrom, NextSegment: s.NextSegment}
	for _, g := range s.Groups {
		c.Groups = append(c.Groups, GroupCut{Group: g})
	}
	return c
}

func TestWhatIsCommittedIsLoaded(t *testing.T) {
	fs := crashfs.New()
	d := mustOpen(t, fs)
	mustCommit(t, d, sampleCut())
	crashed := fs.Crash(nil)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = mustOpen(t, crashed)
	defer d.Close()
	got, err := d.Load()
	if err != nil {
		t.Fatal(err)
	}
	if want := sampleState(); !reflect.DeepEqual(got, want) {
		t.Fatalf("loaded\n%+v, want\n%+v", got, want)
	}
}

func TestPagesOfACut(t *testing.T) {
	d := mustOpen(t, vfs.NewMem())
	defer d.Close()
	page := func(k, v string) Page { return Page{[]byte(k), []byte(v)} }
	mustCommit(t, d, &Cut{Groups: []GroupCut{
		{Group: Group{ID: 255}, Pages: []Page{page("a", "1"), page("b", "2"), page("empty", "")}},
		{Group: Group{ID: 256}, Pages: []Page{page("a", "other")}},
	}})
	mustCommit(t, d, &Cut{Groups: []GroupCut{{Group: Group{ID: 255}, Pages: []Page{page("c", "3"), {Key: []byte("a")}}}}})
	if got, want := pages(t, d, 255), "b=2 c=3 empty="; got != want {
		t.Fatalf("pages %q, want %q", got, want)
	}
	mustCommit(t, d, &Cut{Groups: []GroupCut{{Group: Group{ID: 255}, Replace: true, Pages: []Page{page("z", "9")}}}})
	if got, want := pages(t, d, 255)+"|"+pages(t, d, 256), "z=9|a=other"; got != want {
		t.Fatalf("pages %q, want %q", got, want)
	}
}

func TestRemovedAndForgotten(t *testing.T) {
	d := mustOpen(t, vfs.NewMem())
	defer d.Close()
	mustCommit(t, d, sampleCut())
	mustCommit(t, d, &Cut{Removed: []FileID{{0, 12}}, Forgotten: []record.PartitionID{1 << 33}, WALFrom: 13, NextSegment: 4})
	s, err := d.Load()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Files) != 1 || s.Files[0].Level != 1 || len(s.Partitions) != 1 || s.WALFrom != 13 || s.NextSegment != 4 {
		t.Fatalf("loaded %+v", s)
	}
}

// A crash between two commits shows the first one whole, the second one whole,
// or nothing in between.
func TestACutIsAllOrNothing(t *testing.T) {
	fs := crashfs.New()
	d := mustOpen(t, fs)
	rng := rand.New(rand.NewPCG(1, 2))
	value := bytes.Repeat([]byte{'v'}, 40<<10)
	for n := range 40 {
		cut := &Cut{WALFrom: uint64(n)}
		for p := range 8 {
			v := append([]byte{byte(n)}, value...)
			cut.Groups = append(cut.Groups, GroupCut{Group: Group{ID: record.ShardID(p)}, Pages: []Page{{[]byte("k"), v}}})
		}
		mustCommit(t, d, cut)
		crashed := fs.Crash(rng)
		c := mustOpen(t, crashed)
		s, err := c.Load()
		if err != nil || s.WALFrom != uint64(n) {
			t.Fatalf("after commit %d: WALFrom %d, %v", n, s.WALFrom, err)
		}
		for p := range 8 {
			if got := pages(t, c, record.ShardID(p)); got[2] != byte(n) {
				t.Fatalf("after commit %d group %d has page %d", n, p, got[2])
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAFailedSyncIsFinal(t *testing.T) {
	var on atomic.Bool // Pebble syncs in goroutines of its own
	fail := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if on.Load() && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
			return errorfs.ErrInjected
		}
		return nil
	})
	d := mustOpen(t, errorfs.Wrap(vfs.NewMem(), fail))
	mustCommit(t, d, sampleCut())
	on.Store(true)
	if _, err := d.Commit(sampleCut()); !errors.Is(err, ErrFailed) {
		t.Fatalf("commit with a failing sync: %v", err)
	}
	on.Store(false)
	if _, err := d.Commit(sampleCut()); !errors.Is(err, ErrFailed) {
		t.Fatalf("commit after a failed one: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDump(t *testing.T) {
	fs := vfs.NewMem()
	d := mustOpen(t, fs)
	cut := sampleCut()
	cut.Groups[0].Pages = []Page{{[]byte("k"), []byte("value")}}
	mustCommit(t, d, cut)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Dump(fs, "db", &b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"node 7", "wal from file 12", "group 300 applied", "level 1 file 2: 99 bytes", "partition 1 dropped false floors [{0 7} {255 9}]", "6b  5 bytes"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the dump lacks %q:\n%s", want, b.String())
		}
	}
}

func FuzzValues(f *testing.F) {
	s := sampleState()
	f.Add(appendMeta(s.Meta))
	f.Add(appendGroup(&s.Groups[1]))
	f.Add(appendFile(&s.Files[1]))
	f.Add(appendPartition(&s.Partitions[0]))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = parseMeta(b)
		_, _ = parseGroup(groupKey(1), b)
		_, _ = parseFile(fileKey(FileID{1, 1}), b)
		_, _ = parsePartition(partitionKey(1), b)
	})
}

// A fatal error that ends a goroutine of Pebble's must not leave the caller
// waiting for it: as when a flush fails while the database is being opened.
func TestAFatalErrorInTheBackgroundEndsTheWait(t *testing.T) {
	d := &DB{log: &logger{l: quiet, failed: make(chan struct{})}}
	never := make(chan struct{})
	defer close(never)
	err := d.guard(func() error {
		go d.log.Fatalf("a flush failed")
		<-never
		return nil
	})
	if !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "a flush failed") {
		t.Fatal(err)
	}
	if _, err := d.Commit(&Cut{}); !errors.Is(err, ErrFailed) {
		t.Fatalf("commit after a fatal error: %v", err)
	}
}

// TestAPartOfAnotherMoment: with the manifest of an earlier moment Pebble takes
// old tables and new logs for a whole, though cuts between them are missing.
func TestAPartOfAnotherMoment(t *testing.T) {
	fs := crashfs.New()
	var moments []*crashfs.FS
	for i := range uint64(3) {
		d := mustOpen(t, fs)
		mustCommit(t, d, &Cut{WALFrom: i, Groups: []GroupCut{{Group: Group{Applied: record.Index(i)}}}})
		moments = append(moments, fs.Kill())
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	now, then := moments[2], moments[1]
	list := func(fs *crashfs.FS) []string {
		names, err := fs.List("db")
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	isManifest := func(name string) bool { return strings.Contains(strings.ToUpper(name), "MANIFEST") }
	for _, name := range list(now) {
		if isManifest(name) {
			if err := now.Remove("db/" + name); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range list(then) { // a compaction may have removed tables since
		if _, err := now.Stat("db/" + name); isManifest(name) || strings.HasSuffix(name, ".sst") && err != nil {
			if err := vfs.CopyAcrossFS(then, "db/"+name, now, "db/"+name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := Open(now, "db", quiet, false); !errors.Is(err, ErrMixed) || !IsDamage(err) {
		t.Fatalf("opened: %v", err)
	}
}

// TestNothingIsMadeInThePlaceOfALostDatabase but where it may be.
func TestNothingIsMadeInThePlaceOfALostDatabase(t *testing.T) {
	fs := vfs.NewMem()
	if _, err := Open(fs, "db", quiet, false); !errors.Is(err, ErrMissing) || !IsDamage(err) {
		t.Fatalf("opened: %v", err)
	}
	if err := mustOpen(t, fs).Close(); err != nil {
		t.Fatal(err)
	}
	d, err := Open(fs, "db", quiet, false)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Reached(End{3, 4096}); err != nil {
		t.Fatal(err)
	}
	if st, err := d.Load(); err != nil || st.End != (End{3, 4096}) {
		t.Errorf("%+v, %v", st, err)
	}
}
