package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/polylog-mq/polylog/internal/crashfs"
	"github.com/polylog-mq/polylog/internal/record"
)

// counted is a file system that counts syncs of data and writes.
func counted(fs vfs.FS, syncs, writes *int) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSyncData:
			*syncs++
		case errorfs.OpFileWriteAt:
			*writes++
		}
		return nil
	}))
}

func TestOneSyncForAllThatIsQueued(t *testing.T) {
	var syncs, writes int
	o := testOptions(counted(vfs.NewMem(), &syncs, &writes), 1)
	o.FileSize = 16 << 20
	l, _ := open(t, o)
	defer l.Close()
	syncs, writes = 0, 0
	done := 0
	add := func(size int, sync bool) {
		l.Append(&Batch{
			Frames: []Frame{entry(1, 1, strings.Repeat("s", size))}, Sync: sync,
			Done: func([]Position, error) { done++ },
		})
	}
	for range 100 {
		add(200, true)
	}
	if !l.Flush() || done != 100 || syncs != 1 || writes != 1 {
		t.Errorf("100 batches: %d done, %d syncs, %d writes", done, syncs, writes)
	}
	add(200, false)
	if !l.Flush() || done != 101 || syncs != 1 {
		t.Errorf("a batch that asks for no sync: %d done, %d syncs", done, syncs)
	}
	syncs, done = 0, 0
	for range 6 {
		add(1<<20, true)
	}
	if !l.Flush() || done != 4 || syncs != 1 { // 4 MiB a step
		t.Errorf("first step of 6 MiB: %d done, %d syncs", done, syncs)
	}
	if !l.Flush() || done != 6 || syncs != 2 {
		t.Errorf("second step of 6 MiB: %d done, %d syncs", done, syncs)
	}
	if l.Flush() {
		t.Error("flush of nothing")
	}
}

// TestIdleMark: falling idle writes that the last frames are durable, once,
// and without a sync.
func TestIdleMark(t *testing.T) {
	var syncs, writes int
	o := testOptions(counted(vfs.NewMem(), &syncs, &writes), 1)
	l, _ := open(t, o)
	l.Flush()
	syncs, writes = 0, 0
	write(t, l, entry(1, 1, "one")) // flushes until idle
	if syncs != 1 || writes != 2 {
		t.Errorf("a write and its mark: %d syncs, %d writes", syncs, writes)
	}
	l.Flush()
	if syncs != 1 || writes != 2 {
		t.Errorf("marked twice: %d syncs, %d writes", syncs, writes)
	}
	l.Close()
	l, _ = open(t, o)
	defer l.Close()
	writes = 0
	l.Flush()
	if writes != 1 {
		t.Errorf("%d writes to mark what recovery synced", writes)
	}
}

// TestMarkFitsAtTheEnd: room for a mark is kept in a full file.
func TestMarkFitsAtTheEnd(t *testing.T) {
	l, _ := open(t, testOptions(vfs.NewMem(), 1))
	room := int(testSize - 3*headerSize - endRoom)
	l.Append(&Batch{Done: func([]Position, error) {}, Frames: []Frame{entry(1, 1, strings.Repeat("a", room/2)), entry(1, 2, strings.Repeat("b", room/2-1))}})
	l.Append(&Batch{Done: func(pos []Position, err error) {
		if pos[0].File != 2 {
			t.Errorf("a frame was put where the mark belongs: %v, %v", pos, err)
		}
	}, Frames: []Frame{entry(1, 2, "")}})
	l.Flush()
	l, _ = open(t, testOptions(vfs.NewMem(), 1))
	write(t, l, entry(1, 1, strings.Repeat("a", room/2)), entry(1, 2, strings.Repeat("b", room/2)))
	if l.Active() != 1 || l.Space().Active != 0 || l.marked != 2 || l.sequence != 3 {
		t.Fatalf("file %d, %d bytes left, marked %d", l.Active(), l.Space().Active, l.marked)
	}
	write(t, l, entry(1, 3, ""))
	if l.Active() != 2 {
		t.Errorf("a frame was put where the mark is")
	}
}

// TestSteadyStateAllocatesNothing on the way of a frame.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	l, _ := open(t, Options{FS: vfs.NewMem(), Dir: "/wal", FileSize: 64 << 20})
	defer l.Close()
	batches := make([]*Batch, 10)
	for i := range batches {
		f := []Frame{entry(1, 1, strings.Repeat("x", 200)), entry(2, 1, "y"), hardState(1, "h")}
		batches[i] = &Batch{Frames: f, Sync: true, Done: func([]Position, error) {}}
	}
	run := func() {
		for _, b := range batches {
			l.Append(b)
		}
		for l.Flush() {
		}
	}
	run()
	if n := testing.AllocsPerRun(100, run); n > 1 { // the memory file grows now and then
		t.Errorf("%v allocations for 30 frames", n)
	}
}

// TestRun appends from many goroutines through the driver: every batch is done
// once, in order, and found again.
func TestRun(t *testing.T) {
	fs := vfs.NewMem()
	o := testOptions(fs, 1)
	l, _ := open(t, o)
	ctx, stop := context.WithCancel(context.Background())
	var driver sync.WaitGroup
	driver.Go(func() {
		if err := l.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	const writers, each = 8, 200
	var all sync.WaitGroup
	for g := range writers {
		all.Go(func() {
			next := 0
			var done sync.WaitGroup
			for i := range each {
				done.Add(1)
				l.Append(&Batch{Frames: []Frame{entry(record.ShardID(g), record.Index(i), fmt.Sprint(i))}, Sync: true, Done: func(pos []Position, err error) {
					if err != nil || len(pos) != 1 || next != i {
						t.Errorf("writer %d: batch %d done after %d, %v", g, i, next, err)
					}
					next = i + 1
					done.Done()
				}})
			}
			done.Wait()
		})
	}
	all.Wait()
	stop()
	driver.Wait()
	l.Close()
	var failed error
	l.Append(&Batch{Done: func(_ []Position, err error) { failed = err }})
	l.Flush()
	if !errors.Is(failed, ErrClosed) {
		t.Errorf("append after close: %v", failed)
	}
	_, got := open(t, o)
	next := map[record.ShardID]record.Index{}
	for _, s := range got {
		if s.f.Index != next[s.f.Group] {
			t.Fatalf("group %d: index %d, want %d", s.f.Group, s.f.Index, next[s.f.Group])
		}
		next[s.f.Group]++
	}
	if len(got) != writers*each {
		t.Errorf("%d frames recovered", len(got))
	}
}

// TestBatchOverManyFiles: a batch is split between files, a frame never.
func TestBatchOverManyFiles(t *testing.T) {
	fs := vfs.NewMem()
	l, _ := open(t, testOptions(fs, 1))
	frames := []Frame{entry(1, 1, "small")}
	for i := range 5 {
		frames = append(frames, entry(1, record.Index(i+2), fmt.Sprint(i, half[1:])))
	}
	pos := write(t, l, frames...)
	if len(pos) != 6 || pos[0].File != 1 || pos[5].File != 5 || l.Active() != 5 {
		t.Fatalf("written to %v", pos)
	}
	l.Close()
	_, got := open(t, testOptions(fs, 1))
	for i, s := range got {
		if s.pos != pos[i] || !same(&s.f, &frames[i]) {
			t.Fatalf("frame %d is wrong", i)
		}
	}
}

// TestRunFillsThePool, but not for a lane that is hardly used.
func TestRunFillsThePool(t *testing.T) {
	o := testOptions(crashfs.New(), 1)
	l, _ := open(t, o)
	defer l.Close()
	run := func(until func() bool) {
		ctx, stop := context.WithCancel(context.Background())
		ran := make(chan error)
		go func() { ran <- l.Run(ctx) }()
		for !until() {
			runtime.Gosched()
		}
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	}
	full := func() bool { s := l.Space(); return s.Pool > 0 && s.Reserve > 0 }
	write(t, l, entry(1, 1, "little"))
	run(func() bool { return true })
	if s := l.Space(); s.Files != 1 {
		t.Fatalf("a lane that is hardly used has %+v", s)
	}
	write(t, l, entry(1, 1, half))
	run(full)
	for range 3 {
		write(t, l, entry(1, 1, half))
	}
	l.Close()
	l, _ = open(t, o)
	run(full)
}

func TestDeadLaneGoesOnAnswering(t *testing.T) {
	fail := false
	o := testOptions(errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if fail && op.Kind == errorfs.OpFileSyncData {
			return errorfs.ErrInjected
		}
		return nil
	})), 1)
	l, _ := open(t, o)
	pos := write(t, l, entry(1, 1, "one"))
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error)
	fail = true
	go func() { ran <- l.Run(ctx) }()
	for range 3 {
		done := make(chan error)
		l.Append(&Batch{Frames: []Frame{entry(1, 2, "two")}, Sync: true, Done: func(_ []Position, err error) { done <- err }})
		if err := <-done; !errors.Is(err, ErrLaneDead) || !errors.Is(err, errorfs.ErrInjected) {
			t.Fatalf("done with %v", err)
		}
	}
	if _, err := l.ReadAt(pos[0].File, make([]byte, 3), pos[0].Offset); err != nil {
		t.Errorf("a dead lane does not read: %v", err)
	}
	stop()
	if err := <-ran; !errors.Is(err, ErrLaneDead) {
		t.Errorf("Run returned %v", err)
	}
	if err := l.Free(1); !errors.Is(err, ErrLaneDead) {
		t.Errorf("Free returned %v", err)
	}
	l.Close()
}

func TestVisitEndsOpen(t *testing.T) {
	fs := vfs.NewMem()
	l, _ := open(t, testOptions(fs, 1))
	write(t, l, entry(1, 1, "one"), entry(1, 2, "two"))
	l.Close()
	calls := 0
	_, err := Open(testOptions(fs, 1), func(Position, Frame) error { calls++; return io.ErrNoProgress })
	if !errors.Is(err, io.ErrNoProgress) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
	for _, o := range []Options{{FileSize: 5000}, {FileSize: 4096}, {FileSize: maxFileSize * 2}} {
		o.FS, o.Dir = fs, "/other"
		if _, _, err := tryOpen(o); err == nil {
			t.Errorf("opened with files of %d bytes", o.FileSize)
		}
	}
}

// TestChangedFileSize: files keep the size they were made with.
func TestChangedFileSize(t *testing.T) {
	fs := vfs.NewMem()
	o := testOptions(fs, 1)
	var want []seen
	for i, size := range []int64{testSize, 4 * testSize, MinFileSize, testSize} {
		o.FileSize = size
		l, _ := open(t, o)
		fill(l)
		for j := range 5 {
			f := entry(1, record.Index(i*5+j), strings.Repeat("z", MaxBody(size)))
			for _, p := range write(t, l, f, hardState(1, fmt.Sprint(i, j))) {
				want = append(want, seen{p, f})
			}
		}
		l.Close()
	}
	_, got := open(t, o)
	got = slices.DeleteFunc(got, func(s seen) bool {
		return !slices.ContainsFunc(want, func(w seen) bool { return w.pos == s.pos })
	})
	if len(got) != len(want) {
		t.Errorf("recovered %d of %d", len(got), len(want))
	}
}
