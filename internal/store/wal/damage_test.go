package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/polylog-mq/polylog/internal/crashfs"
	"github.com/polylog-mq/polylog/internal/record"
)

// small is a lane of three files with everything a lane can hold: hard states, a
// large frame, recycled bytes. With a mark, all of it is known to be durable;
// without, all but the last batch.
func small(t *testing.T, mark bool) (fs *crashfs.FS, frames []seen, last int) {
	t.Helper()
	fs = crashfs.New()
	o := testOptions(fs, 1)
	o.FileSize = MinFileSize
	l, _ := open(t, o)
	for i := range 5 { // dirty files for the pool
		write(t, l, entry(9, record.Index(i+1), strings.Repeat("stale", 1500)))
	}
	old := l.Active()
	for _, info := range l.Sealed() {
		if err := l.Free(info.Num); err != nil {
			t.Fatal(err)
		}
	}
	write(t, l, hardState(1, "vote"), entry(1, 1, "first"), entry(1, 2, strings.Repeat("large", 1200)))
	for l.Active() < old+3 {
		write(t, l, entry(2, 1, strings.Repeat("middle", 500)))
	}
	write(t, l, entry(1, 3, "third"), hardState(2, "other"))
	write(t, l, entry(1, 4, strings.Repeat("x", 5000)))
	last = 2
	b := &Batch{Frames: []Frame{entry(1, 5, "the last"), entry(1, 6, "batch")}, Sync: true, Done: func([]Position, error) {}}
	l.Append(b)
	l.Flush()
	if mark {
		l.Flush()
		last = 0
	}
	if err := l.Free(l.Sealed()[0].Num); err != nil {
		t.Fatal(err)
	}
	l.Close()
	o.From = old + 1
	_, frames = open(t, o)
	return fs, frames, last
}

func path(n FileNum) string { return "/wal/" + fileName(n) }

// data returns what a file holds.
func data(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
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

// flip turns one bit of a file.
func flip(fs *crashfs.FS, name string, at int) {
	fs.Damage(name, func(b []byte) []byte { b[at] ^= 1 << (at % 8); return b })
}

// TestBitFlips turns one bit of every byte of a lane, one at a time. What was
// known to be durable is found, or its loss is reported; it is never taken for
// a torn tail.
func TestBitFlips(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and all in one goroutine")
	}
	for _, mark := range []bool{true, false} {
		t.Run(fmt.Sprintf("mark=%v", mark), func(t *testing.T) {
			master, frames, last := small(t, mark)
			from := frames[0].pos.File
			o := testOptions(nil, 3)
			o.FileSize, o.From = MinFileSize, from
			refused := 0
			fs := master.Kill()
			end := frames[len(frames)-1].pos
			newest, tail := end.File, int(end.Offset+FrameSize(len(frames[len(frames)-1].f.Body)))+1<<10
			begin := from
			if !mark { // the files before are the same, and so is what follows from them
				begin = newest - 1
			}
			for num := begin; num <= newest; num++ {
				for at := range data(t, master, path(num)) {
					if num == newest && at > tail && at%7 != 0 {
						continue // what a file of the pool held before, far behind the last frame
					}
					o.FS = fs
					flip(fs, path(num), at)
					l, got, err := tryOpen(o)
					var damage *CorruptionError
					switch {
					case errors.As(err, &damage):
						refused++
						flip(fs, path(num), at)
						if damage.File != num {
							t.Fatalf("byte %d of file %d: damage reported in file %d", at, num, damage.File)
						}
						continue
					case err != nil:
						t.Fatalf("byte %d of file %d: %v", at, num, err)
					case len(got) < len(frames)-last:
						t.Fatalf("byte %d of file %d: %d of %d frames left", at, num, len(got), len(frames))
					case lines(got) != lines(frames[:len(got)]):
						t.Fatalf("byte %d of file %d: frames differ", at, num)
					}
					l.Close()
					fs = master.Kill()
				}
			}
			used := 0
			for _, s := range frames[:len(frames)-last] {
				if s.pos.File >= begin {
					used += headerSize + len(s.f.Body)
				}
			}
			if refused < used {
				t.Errorf("%d flips were refused, %d bytes are in durable frames", refused, used)
			}
		})
	}
}

// TestDamage is about what a flipped bit is not.
func TestDamage(t *testing.T) {
	master, frames, _ := small(t, true)
	first, newest := frames[0].pos.File, frames[len(frames)-1].pos.File
	cases := []struct {
		name   string
		harm   func(fs *crashfs.FS)
		reason string
	}{
		{"file missing in the middle", func(fs *crashfs.FS) { fs.Remove(path(first + 1)) }, "missing"},
		{"first file missing", func(fs *crashfs.FS) { fs.Remove(path(first)) }, "missing"},
		{"file emptied", func(fs *crashfs.FS) { fs.Damage(path(newest), func(b []byte) []byte { return nil }) }, "too short"},
		{"file under another's name", func(fs *crashfs.FS) { fs.Rename(path(newest), path(first)) }, "under the name"},
		{"sealed file cut short", func(fs *crashfs.FS) { fs.Damage(path(first), func(b []byte) []byte { return b[:5000] }) }, "ends here"},
		{"end of a sealed file zeroed", func(fs *crashfs.FS) { fs.Damage(path(first), func(b []byte) []byte { clear(b[5000:]); return b }) }, "the next file begins"},
		{"page of the newest zeroed", func(fs *crashfs.FS) { fs.Damage(path(newest), func(b []byte) []byte { clear(b[4096:8192]); return b }) }, "says so"},
		{"head of the newest zeroed", func(fs *crashfs.FS) { fs.Damage(path(newest), func(b []byte) []byte { clear(b[64:100]); return b }) }, "head of the file"},
		{"all behind the newest's head lost", func(fs *crashfs.FS) { fs.Damage(path(newest), func(b []byte) []byte { return b[:80] }) }, "ends here"},
		{"all behind the newest's head zeroed", func(fs *crashfs.FS) { fs.Damage(path(newest), func(b []byte) []byte { clear(b[80:]); return b }) }, "head of the file"},
		{"newest missing", func(fs *crashfs.FS) { fs.Remove(path(newest)) }, "which followed it, is missing"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			fs := master.Kill()
			c.harm(fs)
			before := fs.Kill()
			o := testOptions(fs, 1)
			o.FileSize, o.From = MinFileSize, first
			_, _, err := tryOpen(o)
			var damage *CorruptionError
			if !errors.As(err, &damage) || !strings.Contains(damage.Reason, c.reason) {
				t.Fatalf("opened with %v, want damage: %s", err, c.reason)
			}
			if damage.Path == "" || damage.Hint == "" || !strings.Contains(err.Error(), damage.Path) {
				t.Errorf("the error does not say where and what now: %v", err)
			}
			names, _ := fs.List("/wal")
			for _, name := range names {
				if !bytes.Equal(data(t, fs, "/wal/"+name), data(t, before, "/wal/"+name)) {
					t.Errorf("opening a damaged lane changed %s", name)
				}
			}
		})
	}
	t.Run("another lane", func(t *testing.T) {
		o := testOptions(master.Kill(), 1)
		o.FileSize, o.From, o.Lane = MinFileSize, first, 1
		if _, _, err := tryOpen(o); err == nil || !strings.Contains(err.Error(), "belongs to lane 0") {
			t.Fatal(err)
		}
	})
}

// TestErrors fails every operation on the file system, one at a time. The lane
// dies, acknowledges nothing from then on, and a restart finds all that it had
// acknowledged.
func TestErrors(t *testing.T) {
	for _, crash := range []bool{false, true} {
		for n := 0; ; n++ {
			disk := crashfs.New()
			calls := 0
			o := testOptions(nil, uint64(n))
			o.FS = errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if calls++; calls == n+1 {
					return syscall.EIO
				}
				return nil
			}))
			acked := erring(t, o, n)
			if crash {
				disk = disk.Crash(newRNG(uint64(n)))
			}
			l, got := open(t, testOptions(disk, 5))
			var recovered []string
			for _, s := range got {
				recovered = append(recovered, string(s.f.Body))
			}
			if len(recovered) < len(acked) || !slices.Equal(recovered[:len(acked)], acked) {
				t.Fatalf("error at operation %d: recovered %d frames, %d acknowledged", n, len(recovered), len(acked))
			}
			write(t, l, entry(1, 100, "life goes on"))
			l.Close()
			if calls <= n {
				break
			}
		}
	}
}

// erring runs a lane until it fails, and returns the bodies it acknowledged.
func erring(t *testing.T, o Options, n int) (acked []string) {
	t.Helper()
	o.From = 0
	l, _, err := tryOpen(o)
	if err != nil {
		if errors.Is(err, syscall.EIO) {
			return nil
		}
		t.Fatal(err)
	}
	defer l.Close()
	var dead error
	for i := range 12 {
		body := fmt.Sprint(i, strings.Repeat("y", 20000))
		l.Append(&Batch{Frames: []Frame{entry(1, record.Index(i+1), body)}, Sync: true, Done: func(_ []Position, err error) {
			switch {
			case err == nil && dead != nil:
				t.Errorf("error at operation %d: acknowledged after %v", n, dead)
			case err == nil:
				acked = append(acked, body)
			case !errors.Is(err, ErrLaneDead) || !errors.Is(err, syscall.EIO):
				t.Errorf("error at operation %d: done with %v", n, err)
			default:
				dead = err
			}
		}})
		l.Flush()
		l.Flush()
		l.Fill()
	}
	if dead != nil && !errors.Is(l.Err(), ErrLaneDead) {
		t.Errorf("error at operation %d: the lane does not say that it is dead", n)
	}
	return acked
}

// TestErrorsOfRecovery fails every operation of opening a lane, one at a time.
// An error is not taken for damage, and nothing is lost by it.
func TestErrorsOfRecovery(t *testing.T) {
	master, frames, _ := small(t, false)
	for n := 1; ; n++ {
		disk := master.Kill()
		calls := 0
		o := testOptions(nil, 1)
		o.FileSize, o.From = MinFileSize, frames[0].pos.File
		o.FS = errorfs.Wrap(disk, errorfs.InjectorFunc(func(errorfs.Op) error {
			if calls++; calls == n {
				return syscall.EIO
			}
			return nil
		}))
		l, _, err := tryOpen(o)
		if err != nil && !errors.Is(err, syscall.EIO) {
			t.Fatalf("error at operation %d: opened with %v", n, err)
		}
		if err == nil {
			l.Close()
		}
		o.FS = disk
		l, got := open(t, o)
		l.Close()
		if lines(got) != lines(frames) {
			t.Fatalf("error at operation %d: recovered %d of %d frames", n, len(got), len(frames))
		}
		if calls < n {
			return
		}
	}
}

// TestSyncThatFailedIsNotTrusted: after a failed sync the kernel takes the
// pages for clean. What the next process reads of them is not on disk, and
// another sync does not help; recovery has to write it again.
func TestSyncThatFailedIsNotTrusted(t *testing.T) {
	fs := crashfs.New()
	l, _ := open(t, testOptions(fs, 1))
	write(t, l, entry(1, 1, "synced"))
	fs.FailSyncs(true)
	var failed error
	l.Append(&Batch{Frames: []Frame{entry(1, 2, strings.Repeat("not synced", 2000))}, Sync: true, Done: func(_ []Position, err error) { failed = err }})
	l.Flush()
	if !errors.Is(failed, ErrLaneDead) {
		t.Fatalf("done with %v after a failed sync", failed)
	}
	l.Close()
	fs.FailSyncs(false)
	l, got := open(t, testOptions(fs, 2))
	l.Close()
	want := "entry 1/1 synced\nentry 1/2 not sync…20000\n"
	if lines(got) != want {
		t.Fatalf("recovered\n%s", lines(got))
	}
	for range 20 {
		_, got = open(t, testOptions(fs.Crash(newRNG(1)), 3))
		if lines(got) != want {
			t.Fatalf("recovered\n%safter a crash, but an earlier recovery had shown\n%s", lines(got), want)
		}
	}
}

// TestTornFramesDoNotComeBack: of an unfinished write the later frames may
// survive without the first. When the first is then written again, just as it
// was, they fit behind it; but nobody wrote them again.
func TestTornFramesDoNotComeBack(t *testing.T) {
	fs := crashfs.New()
	l, _ := open(t, testOptions(fs, 1))
	page := strings.Repeat("p", pageSize-headerSize)
	write(t, l, entry(1, 1, page[:len(page)-2*headerSize])) // the mark behind it ends the page
	frames := []Frame{entry(1, 2, page), entry(1, 3, page), entry(1, 4, page), entry(1, 5, page)}
	if pos := write(t, l, frames...); pos[0].Offset != pageSize+headerSize {
		t.Fatalf("frames do not begin on pages: %v", pos)
	}
	l.Close()
	fs.Damage(path(1), func(b []byte) []byte {
		clear(b[5*pageSize:])           // without the mark
		clear(b[pageSize : 2*pageSize]) // and without the first frame
		return b
	})
	for i := 0; i < len(frames); i += 2 {
		l, got := open(t, testOptions(fs, 1))
		if len(got) != i+1 {
			t.Fatalf("recovered\n%swant %d frames", lines(got), i+1)
		}
		l.Append(&Batch{Frames: frames[i : i+2], Sync: true, Done: func([]Position, error) {}})
		l.Flush()
		l.Close()
	}
}

// TestNamesThatADeadProcessLeft: the next file has its name, but not durably,
// when the process dies; the next process writes to it and acknowledges.
func TestNamesThatADeadProcessLeft(t *testing.T) {
	fs := crashfs.New()
	var left *crashfs.FS
	o := testOptions(errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSync && op.Path == "/wal" {
			left = fs.Kill()
		}
		return nil
	})), 1)
	l, _ := open(t, o)
	write(t, l, entry(1, 1, half))
	write(t, l, entry(1, 2, half))
	l.Close()
	l, got := open(t, testOptions(left, 2))
	if l.Active() != 2 || len(got) != 1 {
		t.Fatalf("left in file %d with %d frames", l.Active(), len(got))
	}
	write(t, l, entry(1, 2, "acknowledged"))
	l.Close()
	_, got = open(t, testOptions(left.Crash(nil), 3))
	if !strings.HasSuffix(lines(got), "entry 1/2 acknowledged\n") {
		t.Fatalf("recovered\n%s", lines(got))
	}
}

func TestPowerLossOfTheNamesInADirectory(t *testing.T) {
	fs := vfs.NewCrashableMem()
	l, _ := open(t, testOptions(fs, 1))
	write(t, l, entry(1, 1, "one"))
	l.Close()
	_, got := open(t, testOptions(fs.CrashClone(vfs.CrashCloneCfg{}), 1))
	if lines(got) != "entry 1/1 one\n" {
		t.Fatalf("recovered %q", lines(got))
	}
}
