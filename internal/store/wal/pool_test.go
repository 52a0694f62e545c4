package wal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/polylog-mq/polylog/internal/crashfs"
	"github.com/polylog-mq/polylog/internal/record"
)

// half is the largest body; a file takes one.
var half = strings.Repeat("h", MaxBody(testSize))

// files lists how many named and spare files there are.
func count(t *testing.T, fs vfs.FS) (named, spare int) {
	t.Helper()
	names, err := fs.List("/wal")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, ok := parseFileName(name); ok {
			named++
		}
		if _, ok := parseSpareName(name); ok {
			spare++
		}
	}
	return named, spare
}

func fill(l *Lane) {
	for l.Fill() {
	}
}

func TestPoolReusesFiles(t *testing.T) {
	fs := crashfs.New()
	removed := 0
	o := testOptions(errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpRemove {
			removed++
		}
		return nil
	})), 1)
	o.PoolTarget, o.PoolReserve, o.PoolMax = 2, 1, 3
	l, _ := open(t, o)
	if named, spare := count(t, fs); named != 1 || spare != 0 {
		t.Fatalf("a new lane has %d files and %d spare ones", named, spare)
	}
	fill(l)
	if s := l.Space(); s.Pool != testSize || s.Reserve != testSize || s.Files != 3 {
		t.Fatalf("filled to %+v", s)
	}
	for i := range 20 {
		write(t, l, entry(1, record.Index(i+1), half))
		for _, info := range l.Sealed() {
			if err := l.Free(info.Num); err != nil {
				t.Fatal(err)
			}
		}
	}
	if named, spare := count(t, fs); named+spare > 4 || removed > 0 {
		t.Errorf("a lane that frees as it goes has %d files and %d spare ones, and removed %d", named, spare, removed)
	}
	for i := range 12 { // without frees, then all at once: the excess is deleted
		write(t, l, entry(1, record.Index(i+1), half))
	}
	for _, info := range l.Sealed() {
		if err := l.Free(info.Num); err != nil {
			t.Fatal(err)
		}
	}
	if named, spare := count(t, fs); named != 1 || spare != 3 {
		t.Errorf("%d files and %d spare ones, want 1 and 3", named, spare)
	}
	if named, _ := count(t, fs.Crash(nil)); named != 1 {
		t.Errorf("a crash would bring %d freed files back", named-1)
	}
	active := l.Active()
	if err := l.Free(active); err == nil {
		t.Error("the active file was freed")
	}
	if _, err := l.ReadAt(active-1, make([]byte, 1), 0); !errors.Is(err, ErrNoFile) {
		t.Errorf("reading a freed file: %v", err)
	}
	l.Close()
	o.PoolMax = 2
	l, _ = open(t, o)
	defer l.Close()
	if named, spare := count(t, fs); named != 1 || spare != 2 {
		t.Errorf("reopened with %d files and %d spare ones, want 1 and 2", named, spare)
	}
}

// TestFullDisk: the lane never finds out in the middle of a write. Batches
// without Reserve are refused whole, those with it go on, and freeing heals.
func TestFullDisk(t *testing.T) {
	fs := crashfs.New()
	fs.SetQuota(5*testSize + testSize/2)
	o := testOptions(fs, 1)
	o.PoolTarget, o.PoolReserve = 2, 2
	l, _ := open(t, o)
	fill(l)
	try := func(reserve bool, frames ...Frame) (err error) {
		l.Append(&Batch{Frames: frames, Sync: true, Reserve: reserve, Done: func(_ []Position, e error) { err = e }})
		for l.Flush() {
		}
		return err
	}
	n := 0
	for try(false, entry(1, record.Index(n+1), half)) == nil {
		n++
	}
	if n != 3 { // of five files two are reserve, and a file takes one such body
		t.Fatalf("%d batches were taken, want 3", n)
	}
	if s := l.Space(); !s.Full || s.Pool != 0 || s.Reserve != 2*testSize {
		t.Errorf("space when full: %+v", s)
	}
	big := entry(2, 1, half)
	if err := l.Free(1); err != nil { // room for one file
		t.Fatal(err)
	}
	if err := try(false, entry(1, 4, "small"), big, big); !errors.Is(err, ErrNoSpace) {
		t.Errorf("a batch of two files with room for one: %v", err)
	}
	if err := try(false, entry(1, 4, half)); err != nil {
		t.Errorf("a batch of one file with room for one: %v", err)
	}
	if err := try(false, entry(1, 4, "small"), big); !errors.Is(err, ErrNoSpace) {
		t.Errorf("a batch that does not fit whole: %v", err)
	}
	if err := try(false, entry(1, 4, "still room here")); err != nil {
		t.Errorf("a batch that fits into the active file: %v", err)
	}
	if l.Fill() {
		t.Error("fill did something on a full disk")
	}
	for i := range 2 {
		if err := try(true, big); err != nil {
			t.Errorf("batch %d with reserve: %v", i, err)
		}
	}
	if err := try(true, big); !errors.Is(err, ErrNoSpace) {
		t.Errorf("with the reserve used up: %v", err)
	}
	if err := l.Err(); err != nil {
		t.Fatalf("a full disk killed the lane: %v", err)
	}
	if err := l.Free(1, 2, 3, 4); err != nil {
		t.Fatal(err)
	}
	fill(l)
	if s := l.Space(); s.Full || s.Pool != testSize || s.Reserve != 2*testSize {
		t.Errorf("space after freeing: %+v", s)
	}
	if err := try(false, big); err != nil {
		t.Errorf("after freeing: %v", err)
	}
	l.Close()
	_, got := open(t, Options{FS: fs, Dir: "/wal", FileSize: testSize, From: 5})
	if s := lines(got); strings.Contains(s, "small") || strings.Count(s, "2/1 hhhh") != 3 {
		t.Errorf("recovered\n%s", s)
	}
}

// unallocated is a file system that gives a file its blocks only as it is
// written.
type unallocated struct{ *crashfs.FS }

func (fs unallocated) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := fs.FS.OpenReadWrite(name, c, opts...)
	return unallocatedFile{f}, err
}

type unallocatedFile struct{ vfs.File }

func (unallocatedFile) Preallocate(int64, int64) error { return syscall.EOPNOTSUPP }

// TestFillReserves: where files can be given their blocks unwritten, a step is
// a file, and what a crash leaves of it has them too.
func TestFillReserves(t *testing.T) {
	fs := crashfs.New()
	l, _ := open(t, testOptions(fs, 1))
	steps := 0
	for l.Fill() {
		steps++
	}
	if s := l.Space(); steps != 2 || s.Pool+s.Reserve != 2*testSize {
		t.Errorf("%d steps filled to %+v", steps, s)
	}
	l.Close()
	disk := fs.Crash(nil)
	disk.SetQuota(1) // nothing more is to be had
	l, _ = open(t, testOptions(disk, 1))
	if s := l.Space(); s.Pool+s.Reserve != 2*testSize {
		t.Errorf("reopened with %+v", s)
	}
	for i := range 2 {
		var err error
		b := &Batch{Frames: []Frame{entry(1, 1, half)}, Sync: true, Reserve: true}
		b.Done = func(_ []Position, e error) { err = e }
		l.Append(b)
		if l.Flush(); err != nil {
			t.Errorf("batch %d: %v", i, err)
		}
	}
	l.Close()
}

// TestFillResumes: a spare file that was not filled to its end is filled up.
func TestFillResumes(t *testing.T) {
	fs := unallocated{crashfs.New()}
	o := testOptions(fs, 1)
	o.FileSize = 4 << 20
	l, _ := open(t, o)
	for range 2 {
		if !l.Fill() {
			t.Fatal("nothing to fill")
		}
	}
	l.Close()
	if l.Fill() {
		t.Error("a closed lane fills")
	}
	l, _ = open(t, o)
	steps := 0
	for l.Fill() {
		steps++
	}
	if steps != 6 { // two of the first file's four, four of the second's
		t.Errorf("%d steps of 1 MiB to fill what lacked", steps)
	}
	if s := l.Space(); s.Pool+s.Reserve != 8<<20 {
		t.Errorf("filled to %+v", s)
	}
	l.Close()
	l, _ = open(t, o)
	if s := l.Space(); s.Pool+s.Reserve != 8<<20 {
		t.Errorf("reopened with %+v", s)
	}
	l.Close()
	for id := range uint64(4) {
		if st, err := fs.Stat("/wal/" + spareName(id)); err == nil && st.Size() != 4<<20 {
			t.Errorf("spare file %d has %d bytes", id, st.Size())
		}
	}
}

// TestReadersNeverSeeReusedBytes reads while files are freed and reused as fast
// as they can be.
func TestReadersNeverSeeReusedBytes(t *testing.T) {
	o := testOptions(vfs.NewMem(), 1)
	o.FileSize = MinFileSize
	l, _ := open(t, o)
	defer l.Close()
	const size = 1000
	body := func(i uint64) []byte {
		b := make([]byte, size)
		for at := 0; at < size; at += 8 {
			binary.BigEndian.PutUint64(b[at:], i)
		}
		return b
	}
	type at struct {
		pos Position
		i   uint64
	}
	var mu sync.Mutex
	var known []at
	ctx, stop := context.WithCancel(context.Background())
	var readers sync.WaitGroup
	for r := range 3 {
		readers.Go(func() {
			rng := newRNG(uint64(r))
			b := make([]byte, size)
			for ctx.Err() == nil {
				mu.Lock()
				if len(known) == 0 {
					mu.Unlock()
					continue
				}
				x := known[rng.IntN(len(known))]
				mu.Unlock()
				if _, err := l.ReadAt(x.pos.File, b, x.pos.Offset); err != nil {
					if !errors.Is(err, ErrNoFile) {
						t.Errorf("read: %v", err)
						return
					}
					continue
				}
				if want := body(x.i); string(b) != string(want) {
					t.Errorf("frame %d reads as frame %d", x.i, binary.BigEndian.Uint64(b))
					return
				}
			}
		})
	}
	for i := range uint64(4000) {
		pos := write(t, l, Frame{Kind: KindEntry, Group: 1, Index: record.Index(i + 1), Body: body(i)})
		mu.Lock()
		known = append(known, at{pos[0], i})
		if len(known) > 60 {
			known = known[1:]
		}
		mu.Unlock()
		if sealed := l.Sealed(); len(sealed) > 1 {
			if err := l.Free(sealed[0].Num); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop()
	readers.Wait()
}

func TestHandlesAreBounded(t *testing.T) {
	o := testOptions(vfs.NewMem(), 1)
	o.FileSize = MinFileSize
	l, _ := open(t, o)
	defer l.Close()
	var at []Position
	for i := range maxHandles + 20 {
		at = append(at, write(t, l, entry(1, record.Index(i+1), fmt.Sprintf("%03d%s", i, strings.Repeat("b", MaxBody(MinFileSize)-3))))...)
	}
	b := make([]byte, MaxBody(MinFileSize))
	for range 2 {
		for i, p := range at {
			if _, err := l.ReadAt(p.File, b, p.Offset); err != nil || !strings.HasPrefix(string(b), fmt.Sprintf("%03d", i)) {
				t.Fatalf("read %.8s, %v", b, err)
			}
		}
	}
	if l.files.open > maxHandles {
		t.Errorf("%d handles are open", l.files.open)
	}
	if _, err := l.ReadAt(1, b, testSize); !errors.Is(err, io.EOF) {
		t.Errorf("read behind the end: %v", err)
	}
}
