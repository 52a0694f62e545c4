package store

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/polylog-mq/polylog/internal/crashfs"
	"github.com/polylog-mq/polylog/internal/record"
)

// crashPoint is what a crash would have left behind at one moment, and what
// the model knew then.
type crashPoint struct {
	fs   *crashfs.FS
	logs []*modelLog
	what string
}

// remember copies what recovered needs of the model; w.mu is held.
func (w *world) remember() []*modelLog {
	var out []*modelLog
	for _, l := range w.logs {
		c := *l
		c.entries, c.older = slices.Clone(l.entries), slices.Clone(l.older)
		c.parts = map[record.PartitionID]*modelPartition{}
		c.pages, c.dirty = maps.Clone(l.pages), map[string]bool{}
		out = append(out, &c)
	}
	return out
}

func isSync(op errorfs.Op) bool {
	return slices.Contains([]errorfs.OpKind{
		errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo, errorfs.OpRename, errorfs.OpRemove,
	}, op.Kind)
}

// At every sync, rename and removal of a random history the machine crashes:
// once with nothing of what was not synced, once with some of it, once with
// all. Each time all that was acknowledged must be there, and life go on.
func TestCrashAtEverySyncPoint(t *testing.T) {
	seeds, steps := 3, 150
	if testing.Short() {
		seeds, steps = 1, 60
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(seed), 3))
			var points []crashPoint
			w := newWorld(t, uint64(seed)+1000, 2)
			hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
				w.mu.Lock()
				defer w.mu.Unlock()
				if !isSync(op) || !w.inside {
					return nil
				}
				fs, left := w.fs.Crash(nil), "nothing"
				switch len(points) % 3 {
				case 1:
					fs, left = w.fs.Crash(rng), "some"
				case 2:
					fs, left = w.fs.Kill(), "all"
				}
				points = append(points, crashPoint{
					fs, w.remember(),
					fmt.Sprintf("sync %d, kind %d of %s, %s of the rest", len(points), op.Kind, op.Path, left),
				})
				return nil
			})
			w.wrap = func(fs vfs.FS) vfs.FS { return errorfs.Wrap(fs, hook) }
			w.reopen(false)
			for range steps {
				w.step()
			}
			w.must(w.s.Close())
			if len(points) < steps/2 {
				t.Fatalf("only %d crash points", len(points))
			}
			for _, p := range points {
				p.survive(t, w, rng)
			}
		})
	}
}

func (p *crashPoint) survive(t *testing.T, w *world, rng *rand.Rand) {
	t.Helper()
	after := &world{tb: failing{t, p.what}, fs: p.fs, o: w.o, rng: rng, logs: p.logs}
	after.o.Salt = rand.NewChaCha8([32]byte{9})
	after.open()
	after.recovered()
	after.check()
	for range 8 {
		after.step()
	}
	after.check()
	if err := after.s.Close(); err != nil {
		t.Fatal(err)
	}
}

// failing says where a failure was.
type failing struct {
	testing.TB
	where string
}

func (f failing) Fatal(args ...any) {
	f.Helper()
	f.TB.Fatal(append([]any{f.where + ":"}, args...)...)
}

func (f failing) Fatalf(format string, args ...any) {
	f.Helper()
	f.TB.Fatal(f.where + ": " + fmt.Sprintf(format, args...))
}

// An error of any one operation that changes the disk either is survived or
// makes the store stop acknowledging; what it had acknowledged is there after
// a crash.
func TestAnErrorOfAnyWriteLosesNothingAcknowledged(t *testing.T) {
	rounds := 150
	if testing.Short() {
		rounds = 20
	}
	deaths, refusals := 0, 0
	for round := range rounds {
		w := newWorld(t, uint64(round)+5000, 2)
		left := 1 + w.rng.IntN(300)
		hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpRemove || pebbleWouldPanic(op.Path) {
				return nil
			}
			if left--; left == 0 {
				return errorfs.ErrInjected
			}
			return nil
		})
		w.must(w.s.Close())
		w.wrap = func(fs vfs.FS) vfs.FS { return errorfs.Wrap(fs, hook) }
		w.hurt = true
		opened := w.tryOpen() == nil
		for range 150 {
			if !opened || w.s.Err() != nil {
				deaths++
				break
			}
			if w.steadyStep(); left <= 0 {
				refusals++
			}
		}
		w.wrap, w.hurt = nil, false
		w.tb = failing{t, fmt.Sprintf("round %d", round)}
		fs := w.fs.Crash(w.rng)
		if opened {
			_ = w.s.Close()
		}
		w.fs = fs
		w.open()
		w.recovered()
		w.check()
		if err := w.s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if deaths == 0 || refusals == 0 {
		t.Fatalf("%d deaths, %d steps survived after an error: the test tests too little", deaths, refusals)
	}
}

// pebbleWouldPanic tells the files of the checkpoint database at whose errors
// Pebble ends the process. An error in its log ends only the store.
func pebbleWouldPanic(path string) bool {
	return strings.Contains(path+"/", "/checkpoint/") && !strings.HasSuffix(path, ".log")
}

// After an error of the WAL nothing is acknowledged, whatever is tried.
func TestADeadStoreAcknowledgesNothing(t *testing.T) {
	w := newWorld(t, 1, 1)
	var fail atomic.Bool // Pebble's goroutines come through the hook as well
	hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSyncData && fail.CompareAndSwap(true, false) { // the next sync would succeed
			return errorfs.ErrInjected
		}
		return nil
	})
	w.wrap = func(fs vfs.FS) vfs.FS { return errorfs.Wrap(fs, hook) }
	w.reopen(false)
	fail.Store(true)
	for i := range 3 {
		var got error
		w.s.Append([]Append{{Group: 0, Sync: true, Entries: []Entry{{Index: record.Index(i + 1), Term: 1, Data: []byte("x")}}}}, func(err error) { got = err })
		for w.s.Flush() {
		}
		if !errors.Is(got, ErrDead) {
			t.Fatalf("append %d: %v", i, got)
		}
	}
	if err := w.s.Checkpoint(nil); !errors.Is(err, ErrDead) {
		t.Fatalf("checkpoint of a dead store: %v", err)
	}
	if h := w.s.Health(); h.State != Dead || h.Err == nil {
		t.Fatalf("health %+v", h)
	}
	if err := w.s.Close(); err != nil {
		t.Fatal(err)
	}
}

// Apply goes on while a checkpoint writes its indexes, here in the middle of
// every one of them. What becomes durable of a partition must be without gaps
// all the same, since replay goes by its highest offset.
func TestApplyDuringACheckpoint(t *testing.T) {
	for seed := range uint64(20) {
		w := newWorld(t, 300+seed, 3)
		w.tb = failing{t, fmt.Sprint("seed ", seed)}
		applied := 0
		hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".idx") && w.rng.IntN(2) == 0 {
				w.apply(2)
				applied++
			}
			return nil
		})
		w.wrap = func(fs vfs.FS) vfs.FS { return errorfs.Wrap(fs, hook) }
		w.reopen(false)
		for range 40 {
			for range 15 {
				w.append(w.logs[w.rng.IntN(len(w.logs))], 1+w.rng.IntN(3))
			}
			w.flush()
			w.apply(2)
			w.checkpoint()
			if w.rng.IntN(3) == 0 {
				w.reopen(true)
			}
			w.check()
		}
		w.must(w.s.Close())
		if applied == 0 {
			t.Fatal("nothing was applied during a checkpoint")
		}
	}
}
