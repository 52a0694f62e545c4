package wal

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/polylog-mq/polylog/internal/crashfs"
	"github.com/polylog-mq/polylog/internal/record"
)

var (
	crashSeeds = flag.Uint64("wal-seeds", 5, "how many seeds the crash tests run")
	crashSeed  = flag.Uint64("wal-seed", 0, "the one seed that the crash tests run, 0 for all")
)

// world is a lane, its file system, and what a correct lane must remember.
type world struct {
	t    *testing.T
	seed uint64
	rng  *rand.Rand
	fs   crashFS

	l    *Lane
	from FileNum // the durable checkpoint's

	log    []wrote // every frame that was written or may have been, in order
	acked  int     // so many of the first are durable
	lost   []Frame // what the last crash took, to be written once more
	serial int
}

type wrote struct {
	f   Frame
	pos Position // zero if unknown
}

// crashFS makes the same test run on two file systems.
type crashFS interface {
	vfs() vfs.FS
	crash(rng *rand.Rand) crashFS
}

type tornDisk struct{ fs *crashfs.FS }

func (d tornDisk) vfs() vfs.FS { return d.fs }
func (d tornDisk) crash(rng *rand.Rand) crashFS {
	next := d.fs.Crash(rng)
	if rng.IntN(4) == 0 {
		next = d.fs.Kill()
	}
	next.WholePages(pageSize)
	return tornDisk{next}
}

// directDisk is tornDisk with files that are written past the page cache.
type directDisk struct{ tornDisk }

func (d directDisk) vfs() vfs.FS { return crashfs.Direct{FS: d.fs} }
func (d directDisk) crash(rng *rand.Rand) crashFS {
	return directDisk{d.tornDisk.crash(rng).(tornDisk)}
}

type memDisk struct{ fs *vfs.MemFS }

func (d memDisk) vfs() vfs.FS { return d.fs }
func (d memDisk) crash(rng *rand.Rand) crashFS {
	percent := []int{0, 100, 1 + rng.IntN(99)}[rng.IntN(3)]
	return memDisk{d.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})}
}

// frame makes up a frame; most are small, some large.
func (w *world) frame() Frame {
	w.serial++
	f := Frame{Kind: KindEntry, Group: record.ShardID(w.rng.IntN(4)), Index: record.Index(w.serial), Term: record.Term(w.serial)}
	n := w.rng.IntN(300)
	switch w.rng.IntN(12) {
	case 0:
		n = w.rng.IntN(MaxBody(testSize) + 1)
	case 1, 2:
		n = w.rng.IntN(9000)
	case 3:
		f.Kind, n = KindHardState, 1+w.rng.IntN(MaxHardState)
	}
	f.Body = make([]byte, n)
	rngReader{w.rng}.Read(f.Body)
	if w.rng.IntN(3) == 0 {
		clear(f.Body) // zeros are what torn files are full of
	}
	return f
}

// batch appends a batch. What the last crash took is sometimes written again,
// byte for byte, as a leader would send it.
func (w *world) batch() {
	b := &Batch{Sync: w.rng.IntN(4) > 0}
	for range 1 + w.rng.IntN(4) {
		f := w.frame()
		if len(w.lost) > 0 && w.rng.IntN(2) == 0 {
			f, w.lost = w.lost[0], w.lost[1:]
		}
		b.Frames = append(b.Frames, f)
	}
	first := len(w.log)
	for i := range b.Frames {
		w.log = append(w.log, wrote{f: b.Frames[i]})
		w.cut(&b.Frames[i])
	}
	b.Done = func(pos []Position, err error) {
		if err != nil && !errors.Is(err, ErrClosed) {
			w.fatal("append: %v", err)
		}
		for i, p := range pos {
			w.log[first+i].pos = p
		}
		if b.Sync && err == nil {
			w.acked = max(w.acked, first+len(pos))
		}
	}
	w.l.Append(b)
}

// cut leaves the body of some entries in pieces.
func (w *world) cut(f *Frame) {
	if f.Kind != KindEntry || w.rng.IntN(3) > 0 {
		return
	}
	whole := f.Body
	f.Body = nil
	for len(whole) > 0 {
		n := 1 + w.rng.IntN(len(whole))
		f.Splices = append(f.Splices, Splice{At: len(f.Body), Bytes: whole[:n], Sum: checksum(0, whole[:n])})
		whole = whole[n:]
		n = w.rng.IntN(len(whole) + 1)
		f.Body = append(f.Body, whole[:n]...)
		whole = whole[n:]
	}
}

// act does one random thing.
func (w *world) act() {
	switch r := w.rng.IntN(20); {
	case r < 8:
		w.batch()
	case r < 16:
		w.l.Flush()
	case r < 18:
		w.l.Fill()
	default:
		w.free()
	}
}

// free moves the checkpoint and frees what lies before it.
func (w *world) free() {
	active := w.l.Active()
	if active <= w.from {
		return
	}
	w.from += FileNum(w.rng.IntN(int(active-w.from) + 1))
	var nums []FileNum
	for _, info := range w.l.Sealed() {
		if info.Num < w.from && w.rng.IntN(4) > 0 {
			nums = append(nums, info.Num)
		}
	}
	if err := w.l.Free(nums...); err != nil {
		w.fatal("free: %v", err)
	}
}

func (w *world) fatal(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d: %s", w.seed, fmt.Sprintf(format, args...))
}

// crash returns the world after a crash now, with a lane that was recovered
// and found to be right.
func (w *world) crash(rng *rand.Rand) *world {
	w.t.Helper()
	c := &world{t: w.t, seed: w.seed, rng: rng, fs: w.fs.crash(rng), from: w.from, serial: w.serial, acked: w.acked}
	c.log = slices.Clone(w.log)
	c.reopen()
	return c
}

// reopen recovers the lane and holds it against the log.
func (w *world) reopen() {
	w.t.Helper()
	o := testOptions(w.fs.vfs(), w.rng.Uint64())
	o.From = w.from
	o.PoolTarget, o.PoolMax = 3, 4
	if w.seed%2 == 0 {
		o.Salt = zeroReader{} // file numbers alone must tell stale frames apart
	}
	l, got, err := tryOpen(o)
	if err != nil {
		w.fatal("recover from %d: %v", w.from, err)
	}
	heads := map[FileNum]int{}
	at := w.first()
	for _, s := range got {
		if _, ok := heads[s.pos.File]; !ok {
			heads[s.pos.File] = w.heads(s.pos.File)
			w.checkHeads(at, s.pos.File, heads[s.pos.File])
		}
		if heads[s.pos.File] > 0 {
			heads[s.pos.File]--
			w.checkHead(at, s)
			continue
		}
		if at == len(w.log) {
			w.fatal("recovery shows a frame at %v that nobody wrote", s.pos)
		}
		want := &w.log[at]
		if !same(&want.f, &s.f) {
			w.fatal("frame %d at %v is %v %d/%d, want %v %d/%d", at, s.pos, s.f.Kind, s.f.Group, s.f.Index, want.f.Kind, want.f.Group, want.f.Index)
		}
		if want.pos != (Position{}) && want.pos != s.pos {
			w.fatal("frame %d is at %v, was at %v", at, s.pos, want.pos)
		}
		want.pos = s.pos
		at++
	}
	if at < w.acked {
		w.fatal("recovery shows %d frames, %d were acknowledged", at, w.acked)
	}
	for _, x := range w.log[at:] {
		w.lost = append(w.lost, x.f)
	}
	w.log, w.acked, w.l = w.log[:at], at, l
}

// first is the first frame of the log that lies in file w.from or later. What
// has no position yet comes after all that has.
func (w *world) first() int {
	i := slices.IndexFunc(w.log, func(x wrote) bool { return x.pos.File >= w.from || x.pos.File == 0 })
	if i < 0 {
		return len(w.log)
	}
	return i
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func (w *world) heads(n FileNum) int {
	name := w.fs.vfs().PathJoin("/wal", fileName(n))
	f, err := w.fs.vfs().Open(name)
	if err != nil {
		w.fatal("%v", err)
	}
	defer f.Close()
	h, err := readFileHeader(f, name, 0, n)
	if err != nil {
		w.fatal("%v", err)
	}
	return int(h.heads)
}

// checkHeads: the head of a file has one hard state of each group.
func (w *world) checkHeads(at int, n FileNum, heads int) {
	groups := map[record.ShardID]bool{}
	for i := range w.log[:at] {
		if f := &w.log[i].f; f.Kind == KindHardState {
			groups[f.Group] = true
		}
	}
	if heads != len(groups) {
		w.fatal("the head of file %d has %d hard states, of %d groups", n, heads, len(groups))
	}
}

// checkHead: a hard state repeated at the head of a file is the group's last.
func (w *world) checkHead(at int, s seen) {
	for i := at - 1; i >= 0; i-- {
		if f := &w.log[i].f; f.Kind == KindHardState && f.Group == s.f.Group {
			if !same(f, &s.f) {
				w.fatal("the head of file %d repeats an old hard state of group %d", s.pos.File, f.Group)
			}
			return
		}
	}
	w.fatal("the head of file %d repeats a hard state that nobody wrote", s.pos.File)
}

func same(a, b *Frame) bool {
	return a.Kind == b.Kind && a.Group == b.Group && a.Index == b.Index && a.Term == b.Term && bytes.Equal(a.Body, b.Body)
}

// TestCrash lets a lane live through a few crashes in a row, each just before
// a random operation on its files, and beside that crashes copies of it before
// many other operations.
func TestCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and all in one goroutine")
	}
	disks := map[string]func() crashFS{
		"torn":   func() crashFS { return tornDisk{crashfs.New()} },
		"direct": func() crashFS { return directDisk{tornDisk{crashfs.New()}} },
		"mem":    func() crashFS { return memDisk{vfs.NewCrashableMem()} },
	}
	for name, disk := range disks {
		t.Run(name, func(t *testing.T) {
			cases := 0
			for seed := uint64(1); seed <= *crashSeeds; seed++ {
				if *crashSeed != 0 {
					seed = *crashSeed
				}
				cases += lives(t, seed, disk())
				if *crashSeed != 0 {
					break
				}
			}
			t.Logf("%d crashes", cases)
		})
	}
}

func lives(t *testing.T, seed uint64, disk crashFS) (cases int) {
	t.Helper()
	rng := newRNG(seed)
	w := &world{t: t, seed: seed, rng: rng, fs: disk}
	w.reopen()
	for range 6 {
		inner := w.fs
		last := 1 + rng.IntN(400) // operations that this life may do
		var next *world
		inHook := false
		w.l.Close()
		w.fs = hooked{inner, errorfs.Wrap(below(inner), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if inHook || next != nil || op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
				return nil
			}
			inHook = true
			if last--; last == 0 {
				next = w.crash(rng)
			} else if w.l != nil && rng.IntN(4) == 0 {
				w.crash(newRNG(rng.Uint64())).l.Close()
				cases++
			}
			inHook = false
			return nil
		}))}
		w.l = nil
		w.reopen()
		for next == nil {
			w.act()
		}
		w.l.Close()
		w = next
		cases++
	}
	w.l.Close()
	return cases
}

// below is what a disk's own view of it is made of.
func below(d crashFS) vfs.FS {
	if d, ok := d.(directDisk); ok {
		return d.fs
	}
	return d.vfs()
}

// hooked is a disk seen through a wrapper.
type hooked struct {
	crashFS
	wrapped vfs.FS
}

func (h hooked) vfs() vfs.FS {
	if _, ok := h.crashFS.(directDisk); ok {
		return crashfs.Direct{FS: h.wrapped} // outside, so that each of its steps is seen
	}
	return h.wrapped
}
