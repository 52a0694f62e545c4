package store

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/polylog-mq/polylog/internal/record"
)

func readFile(t testing.TB, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A flipped byte anywhere in sealed data is either found or does not matter:
// nothing but what was appended is ever returned.
func TestFlippedByteInSealedDataIsFound(t *testing.T) {
	for _, level1 := range []bool{false, true} {
		fs := vfs.NewMem()
		o := Options{FS: fs, WALFileSize: 32 << 10, TailBytes: 1, Rewriting: Rewriting{MinFiles: 1, OwnFile: 20_000}}
		if !level1 {
			o.Rewriting = Rewriting{MinFiles: 1 << 20}
		}
		x := openSimple(t, o)
		for range 30 {
			x.put(3, 1000, 0, 1)
			x.put(3, 100, 0, 2)
		}
		for range 2 {
			x.put(1, 14_000, 0, 3)
			x.checkpoint()
		}
		for did := level1; did; {
			var err error
			if did, err = x.s.Rewrite(1 << 20); err != nil {
				t.Fatal(err)
			}
		}
		x.checkpoint()
		if err := x.s.Close(); err != nil {
			t.Fatal(err)
		}
		dir, suffix := "data/wal", ".wal"
		if level1 {
			dir, suffix = "data/segment", ".seg"
		}
		flipAll(t, fs, o, x.next, dir, suffix)
	}
}

func flipAll(t *testing.T, fs vfs.FS, o Options, next map[record.PartitionID]record.Offset, dir, suffix string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	found, tried := 0, 0
	for _, name := range names {
		path := dir + "/" + name
		if !strings.HasSuffix(name, suffix) {
			continue
		}
		good := readFile(t, fs, path)
		for range 40 {
			bad := slices.Clone(good)
			bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
			writeFile(t, fs, path, string(bad))
			tried++
			if checkFlipped(t, o, next, path) {
				found++
			}
		}
		writeFile(t, fs, path, string(good))
	}
	if found < tried/8 {
		t.Errorf("%s: of %d flipped bytes %d were found", dir, tried, found)
	}
}

// checkFlipped opens the store, reads everything, and reports whether the
// damage was found.
func checkFlipped(t *testing.T, o Options, next map[record.PartitionID]record.Offset, path string) bool {
	t.Helper()
	o.Dir = "data"
	s, err := Open(o)
	if err != nil {
		if !strings.Contains(err.Error(), path) {
			t.Fatalf("open: %v", err)
		}
		return true // in the part of the WAL that recovery reads
	}
	defer s.Close()
	found := false
	for p, end := range next {
		r := Result{Whole: true}
		for from := record.Offset(0); from < end; from = r.Next {
			r.Release()
			err := s.Read(&r, p, from, end, 4000, true)
			if err != nil {
				var d *DamageError
				if !errors.As(err, &d) || d.Path != path || d.Hint == "" {
					t.Fatalf("reading partition %d at %d with %s damaged: %v", p, from, path, err)
				}
				found = true
				break
			}
			if r.Next <= from {
				t.Fatalf("reading partition %d at %d of %d with %s damaged: no progress", p, from, end, path)
			}
			r.Batches(func(_ *Run, b []byte) bool {
				if h, err := record.Validate(b, record.Checks{}); err != nil || h.Epoch != 5 {
					t.Fatalf("a damaged batch was returned: %v %v", h, err)
				}
				return true
			})
		}
	}
	return found
}

// Log entries that have left memory are verified too.
func TestFlippedByteInALogEntryIsFound(t *testing.T) {
	fs := vfs.NewMem()
	x := openSimple(t, Options{FS: fs, WALFileSize: 32 << 10, TailBytes: 1})
	defer x.s.Close()
	for range 20 {
		x.put(3, 1000, 0, 1)
	}
	l := x.s.Log(0)
	before, err := l.Entries(1, 21, 1<<20)
	if err != nil || len(before) != 20 {
		t.Fatalf("%d entries, %v", len(before), err)
	}
	for i := range before {
		at := l.entry(record.Index(i + 1)).at
		path := fmt.Sprintf("data/wal/%016d.wal", at.File)
		b := readFile(t, fs, path)
		b[int(at.Offset)+i*7] ^= 1
		overwrite(t, fs, path, b)
		var d *DamageError
		if _, err := l.Entries(record.Index(i+1), 21, 1<<20); !errors.As(err, &d) || d.Path != path || d.Offset != at.Offset {
			t.Fatalf("entry %d is damaged: %v", i+1, err)
		}
		b[int(at.Offset)+i*7] ^= 1
		overwrite(t, fs, path, b)
	}
	if after, err := l.Entries(1, 21, 1<<20); err != nil || len(after) != 20 {
		t.Fatalf("%d entries, %v", len(after), err)
	}
}

// overwrite changes a file that others have open.
func overwrite(t *testing.T, fs vfs.FS, path string, b []byte) {
	t.Helper()
	f, err := fs.OpenReadWrite(path, category)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// A rewrite never copies damage: it leaves the file where it is and goes on
// with others.
func TestRewriteLeavesADamagedFileAlone(t *testing.T) {
	fs := vfs.NewMem()
	o := Options{FS: fs, WALFileSize: 32 << 10, TailBytes: 1, Rewriting: Rewriting{MinFiles: 1, MaxFiles: 1}}
	x := openSimple(t, o)
	for range 30 {
		x.put(3, 1000, 0, 1)
	}
	x.checkpoint()
	path := "data/wal/0000000000000001.wal"
	b := readFile(t, fs, path)
	b[len(b)/2] ^= 1
	writeFile(t, fs, path, string(b))
	failures, rewrites := 0, 0
	for range 100 {
		did, err := x.s.Rewrite(1 << 20)
		switch {
		case errors.Is(err, ErrDamaged):
			failures++
		case err != nil:
			t.Fatal(err)
		case !did:
			if failures != 1 || rewrites == 0 {
				t.Fatalf("%d failures, %d steps", failures, rewrites)
			}
			if err := x.s.Close(); err != nil {
				t.Fatal(err)
			}
			return
		default:
			rewrites++
		}
	}
	t.Fatal("the rewriting does not end")
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	for _, c := range []struct {
		what string
		hurt func(fs vfs.FS) (path string, err error)
	}{
		{"a level 1 file", func(fs vfs.FS) (string, error) { return removeFirst(fs, "data/segment", ".seg") }},
		{"a run index", func(fs vfs.FS) (string, error) { return removeFirst(fs, "data/segment", ".seg.1.idx") }},
	} {
		fs := vfs.NewMem()
		o := Options{FS: fs, Dir: "data", WALFileSize: 32 << 10, TailBytes: 1, Rewriting: Rewriting{MinFiles: 1}}
		x := openSimple(t, o)
		for range 30 {
			x.put(3, 1000, 0, 1)
		}
		x.checkpoint()
		for did := true; did; {
			var err error
			if did, err = x.s.Rewrite(1 << 20); err != nil {
				t.Fatal(err)
			}
		}
		x.checkpoint()
		if err := x.s.Close(); err != nil {
			t.Fatal(err)
		}
		path, err := c.hurt(fs)
		if err != nil || path == "" {
			t.Fatalf("%s: nothing to remove: %v", c.what, err)
		}
		if _, err := Open(o); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func removeFirst(fs vfs.FS, dir, suffix string) (string, error) {
	names, err := fs.List(dir)
	slices.Sort(names)
	for _, name := range names {
		if strings.HasSuffix(name, suffix) {
			return dir + "/" + name, fs.Remove(dir + "/" + name)
		}
	}
	return "", err
}

// While the disk is full a checkpoint is refused and nothing dies; the ballast
// makes room for one, and once there is room all goes on.
func TestFullDiskHeals(t *testing.T) {
	mem := vfs.NewMem()
	full := false
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		grows := op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpFileWrite
		if full && grows && !strings.HasPrefix(op.Path, "data/wal") {
			return syscall.ENOSPC
		}
		return nil
	}))
	usage := func(free uint64) {
		mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: free, TotalBytes: 100 << 30, UsedBytes: 100<<30 - free})
	}
	usage(50 << 30)
	x := openSimple(t, Options{FS: fs, WALFileSize: 32 << 10})
	defer x.s.Close()
	for more := true; more; {
		var err error
		if more, err = x.s.fillBallast(); err != nil {
			t.Fatal(err)
		}
	}
	if st, err := mem.Stat("data/BALLAST"); err != nil || st.Size() != ballastBytes {
		t.Fatalf("ballast: %v", err)
	}
	for range 20 {
		x.put(1, 5000, 0, 1)
	}
	full = true
	usage(1 << 20)
	x.s.LookAtDisk()
	if h := x.s.Health(); h.State != DiskFull || h.Free != 1<<20 {
		t.Fatalf("health %+v", h)
	}
	x.s.SetFloor(0, x.last, 1, AllLevels, 3)
	if x.s.NeedsCheckpoint() {
		t.Fatal("a checkpoint that frees nothing")
	}
	x.s.SetFloor(0, x.last, 1, AllLevels, 10)
	if !x.s.NeedsCheckpoint() {
		t.Fatal("no checkpoint, though it would free files")
	}
	cut := []GroupCut{{Applied: x.last, Term: 1, CompactTo: x.last, Pages: []Page{{[]byte("k"), []byte("v")}}}}
	if err := x.s.Checkpoint(cut); !vfs.IsNoSpaceError(err) || errors.Is(err, ErrDead) {
		t.Fatalf("checkpoint on a full disk: %v", err)
	}
	if _, err := mem.Stat("data/BALLAST"); err == nil {
		t.Fatal("the ballast is still there")
	}
	full = false
	if err := x.s.Checkpoint(cut); !errors.Is(err, errNoRoom) {
		t.Fatalf("checkpoint with 1 MiB free: %v", err)
	}
	if got := x.read(1, 10); len(got) != 10 {
		t.Fatalf("%d batches", len(got))
	}
	usage(50 << 30)
	if err := x.s.Checkpoint(cut); err != nil {
		t.Fatal(err)
	}
	if h := x.s.Health(); h.State != Healthy {
		t.Fatalf("health %+v", h)
	}
	if x.s.Stats().FilesFreed.Load() == 0 {
		t.Fatal("nothing was freed")
	}
}
