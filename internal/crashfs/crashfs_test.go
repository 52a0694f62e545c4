package crashfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

func rng(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func put(fs vfs.FS, name, data string, sync bool) {
	f := must(fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified))
	must(f.WriteAt([]byte(data), 0))
	if sync {
		must(0, f.Sync())
	}
	must(0, f.Close())
}

func syncDir(fs vfs.FS, name string) {
	d := must(fs.OpenDir(name))
	must(0, d.Sync())
	must(0, d.Close())
}

// show lists a directory with what is in its files.
func show(fs vfs.FS, dir string) string {
	var b strings.Builder
	for _, name := range must(fs.List(dir)) {
		f := must(fs.Open(fs.PathJoin(dir, name)))
		fmt.Fprintf(&b, "%s=%s ", name, must(io.ReadAll(f)))
	}
	return b.String()
}

func TestWhatACrashMayLeave(t *testing.T) {
	fs := New()
	must(0, fs.MkdirAll("/d", 0o755))
	syncDir(fs, "/")
	put(fs, "/d/a", "synced", true)
	syncDir(fs, "/d")
	put(fs, "/d/a", "SYNC", false)
	put(fs, "/d/b", "data without a name", true)
	must(0, fs.Rename("/d/b", "/d/c"))
	must(0, fs.Remove("/d/a"))
	if got := show(fs, "/d"); got != "c=data without a name " {
		t.Fatalf("before the crash %q", got)
	}
	if got := show(fs.Kill(), "/d"); got != "c=data without a name " {
		t.Errorf("after a kill %q", got)
	}
	if got := show(fs.Crash(nil), "/d"); got != "a=synced " {
		t.Errorf("synced is %q", got)
	}
	if got := show(fs.Kill().Crash(nil), "/d"); got != "a=synced " {
		t.Errorf("after a kill, synced is %q", got)
	}
	seen := map[string]bool{}
	for seed := range uint64(500) {
		got := show(fs.Crash(rng(seed)), "/d")
		if again := show(fs.Crash(rng(seed)), "/d"); again != got {
			t.Fatalf("one seed leaves %q and %q", got, again)
		}
		seen[got] = true
		names := ""
		for part := range strings.FieldsSeq(got) {
			if name, _, ok := strings.Cut(part, "="); ok {
				names += name
			}
		}
		if !slices.Contains([]string{"a", "ab", "ac", "c"}, names) { // the moves in their order
			t.Errorf("a crash leaves the names %q", names)
		}
	}
	for _, want := range []string{"a=synced ", "a=SYNCed ", "a=SYnced ", "a=synCed ", "c=data without a name "} {
		if !seen[want] {
			t.Errorf("no crash leaves %q", want)
		}
	}
}

func TestFullDisk(t *testing.T) {
	fs := New()
	fs.SetQuota(100)
	f := must(fs.Create("f", vfs.WriteCategoryUnspecified))
	must(0, f.Preallocate(0, 60))
	must(f.WriteAt(make([]byte, 60), 0))
	if _, err := f.WriteAt(make([]byte, 60), 60); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("writing beyond the quota: %v", err)
	}
	if err := f.Preallocate(0, 101); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("allocating beyond the quota: %v", err)
	}
	if u := must(fs.GetDiskUsage("")); u.AvailBytes != 40 || u.TotalBytes != 100 {
		t.Errorf("usage %+v", u)
	}
	must(0, fs.Remove("f"))
	if u := must(fs.GetDiskUsage("")); u.AvailBytes != 100 {
		t.Errorf("usage %+v", u)
	}
}

func TestFailedSyncForgets(t *testing.T) {
	fs := New()
	put(fs, "f", "old", true)
	syncDir(fs, "/")
	fs.FailSyncs(true)
	f := must(fs.OpenReadWrite("f", vfs.WriteCategoryUnspecified))
	must(f.WriteAt([]byte("new"), 0))
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("sync: %v", err)
	}
	fs.FailSyncs(false)
	must(0, f.Sync())
	if got := show(fs, "/"); got != "f=new " {
		t.Errorf("reads as %q", got)
	}
	if got := show(fs.Crash(nil), "/"); got != "f=old " {
		t.Errorf("a sync after a failed one has written %q", got)
	}
}

func TestErrors(t *testing.T) {
	fs := New()
	must(0, fs.MkdirAll("a/b", 0o755))
	put(fs, "a/f", "x", false)
	put(fs, "a/b/g", "x", false)
	fs.WholePages(4)
	f := must(fs.Open("a/f"))
	_, partial := f.WriteAt([]byte("abc"), 4)
	_, locked := fs.Lock("l")
	_, again := fs.Lock("l")
	_, missing := fs.Open("a/none")
	_, noDir := fs.Create("none/f", vfs.WriteCategoryUnspecified)
	_, notDir := fs.List("a/f")
	for _, c := range []struct{ got, want error }{
		{partial, syscall.EINVAL},
		{locked, nil},
		{again, syscall.EAGAIN},
		{missing, os.ErrNotExist},
		{noDir, os.ErrNotExist},
		{notDir, syscall.ENOTDIR},
		{fs.Remove("a/b"), syscall.ENOTEMPTY},
		{fs.Remove("none"), os.ErrNotExist},
		{fs.Rename("a/f", "a/b/f"), syscall.EXDEV},
		{fs.Rename("none", "x"), os.ErrNotExist},
		{fs.Link("a/f", "a/b"), os.ErrExist},
		{fs.MkdirAll("a/f/c", 0o755), syscall.ENOTDIR},
		{fs.Link("a/f", "a/b/f"), nil},
		{fs.RemoveAll("a/b"), nil},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%v, want %v", c.got, c.want)
		}
	}
	if got := show(fs, "a"); got != "f=x " {
		t.Errorf("in the end %q", got)
	}
}

// TestPebbleSurvives runs Pebble through crashes: what it calls durable is.
func TestPebbleSurvives(t *testing.T) {
	for seed := range uint64(30) {
		r := rng(seed)
		fs := New()
		value, synced := 0, 0
		for range 6 {
			db, err := pebble.Open("db", &pebble.Options{FS: fs, MemTableSize: 64 << 10, Logger: quiet{}})
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if synced > 0 {
				v, c, err := db.Get([]byte("key"))
				if err != nil || string(v[:8]) < fmt.Sprintf("%08d", synced) || string(v[:8]) > fmt.Sprintf("%08d", value) {
					t.Fatalf("seed %d: read %.8q, %v; synced was %d", seed, v, err, synced)
				}
				must(0, c.Close())
			}
			syncDir(fs, "/")
			for range r.IntN(40) {
				value++
				how := pebble.NoSync
				if r.IntN(2) == 0 {
					how = pebble.Sync
				}
				v := append(fmt.Appendf(nil, "%08d", value), bytes.Repeat([]byte("x"), 4000)...)
				must(0, db.Set([]byte("key"), v, how))
				if how == pebble.Sync {
					synced = value
				}
			}
			next := fs.Crash(r)
			must(0, db.Close())
			fs = next
		}
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }
