package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store/checkpoint"
)

// write appends an entry with one batch of keys to a partition; "k" has a value,
// "!k" is a tombstone, "" no key.
func (x *simple) write(p record.PartitionID, keys ...string) {
	x.tb.Helper()
	var b record.Builder
	for _, k := range keys {
		r := record.Record{Value: make([]byte, 50)}
		if k != "" {
			r.Key = []byte(strings.TrimPrefix(k, "!"))
		}
		if strings.HasPrefix(k, "!") {
			r.Value = nil
		}
		b.Add(r)
	}
	batch, err := b.AppendTo(nil)
	if err != nil {
		x.tb.Fatal(err)
	}
	x.append(p, batch, len(keys))
}

func (x *simple) append(p record.PartitionID, batch []byte, n int) {
	x.tb.Helper()
	x.last++
	x.s.Append([]Append{{Sync: true, Entries: []Entry{{Index: x.last, Term: 1, Data: batch}}}}, func(err error) {
		if err != nil {
			x.tb.Fatal(err)
		}
	})
	for x.s.Flush() {
	}
	x.s.AddRuns(0, x.last, []Run{{Partition: p, Base: x.next[p], Last: x.next[p] + record.Offset(n) - 1, Len: uint32(len(batch))}})
	x.next[p] += record.Offset(n)
}

// compact compacts a partition below an offset.
func (x *simple) compact(p record.PartitionID, below record.Offset) {
	x.tb.Helper()
	x.s.SetCompaction(0, x.last, p, &Compaction{Below: below})
	x.checkpoint()
	x.rewriteAll()
}

func (x *simple) rewriteAll() {
	x.tb.Helper()
	for {
		did, err := x.s.Rewrite(1 << 20)
		if err != nil {
			x.tb.Fatal(err)
		}
		if !did {
			return
		}
	}
}

// left lists the offsets of the records of a partition.
func (x *simple) left(p record.PartitionID) (offsets []record.Offset) {
	x.tb.Helper()
	res := Result{Whole: true}
	defer res.Release()
	if err := x.s.Read(&res, p, 0, x.next[p], 1<<20, true); err != nil {
		x.tb.Fatal(err)
	}
	res.Batches(func(_ *Run, batch []byte) bool {
		h, err := record.ParseHeader(batch)
		if err == nil {
			err = record.Records(batch, func(r record.Record) error {
				offsets = append(offsets, r.Offset)
				return nil
			})
		}
		if errors.Is(err, record.ErrInvalid) {
			offsets = append(offsets, h.BaseOffset)
		} else if err != nil {
			x.tb.Fatal(err)
		}
		return true
	})
	return offsets
}

func (x *simple) wantLeft(p record.PartitionID, want ...record.Offset) {
	x.tb.Helper()
	if got := x.left(p); !slices.Equal(got, want) {
		x.tb.Fatalf("records %v are left, want %v", got, want)
	}
}

func TestWhatWasNotReplacedCostsNoWrite(t *testing.T) {
	x := openSimple(t, Options{FS: vfs.NewMem()})
	defer x.s.Close()
	for i := range 100 {
		x.write(1, fmt.Sprint("key", i))
	}
	x.compact(1, 90)
	if st := x.s.Stats(); st.RewriteWritten.Load() != 0 || st.Compactions.Load() != 1 || len(x.left(1)) != 100 {
		t.Errorf("%d compactions wrote %d bytes and left %d records", st.Compactions.Load(), st.RewriteWritten.Load(), len(x.left(1)))
	}
	if c := x.s.partitions.get(1).compaction.cleaned; c != 90 {
		t.Errorf("compacted below %d", c)
	}
}

// A compaction waits for the checkpoint that covers what allows it.
func TestCompactionWaitsForTheCheckpoint(t *testing.T) {
	x := openSimple(t, Options{FS: vfs.NewMem()})
	defer x.s.Close()
	x.write(1, "a")
	x.write(1, "a")
	x.checkpoint()
	x.write(1, "b")
	x.s.SetCompaction(0, x.last, 1, &Compaction{Below: 2})
	if !x.s.NeedsCheckpoint() {
		t.Error("it does not ask for a checkpoint")
	}
	x.rewriteAll()
	x.wantLeft(1, 0, 1, 2)
	if err := x.s.Checkpoint([]GroupCut{{Applied: x.last - 1, Term: 1}}); err != nil {
		t.Fatal(err)
	}
	x.rewriteAll()
	x.wantLeft(1, 0, 1, 2)
	x.checkpoint()
	x.rewriteAll()
	x.wantLeft(1, 1, 2)
	x.s.SetCompaction(0, x.last, 1, nil)
	x.write(1, "b")
	x.checkpoint()
	x.rewriteAll()
	x.wantLeft(1, 1, 2, 3)
}

func TestRecordsThatCompactionCannotTell(t *testing.T) {
	x := openSimple(t, Options{FS: vfs.NewMem()})
	defer x.s.Close()
	x.write(1, "a", "", "b")
	x.append(1, unreadable(t), 1)
	x.write(1, "a")
	x.write(1, "end")
	x.compact(1, 5)
	x.wantLeft(1, 2, 3, 4, 5)
}

// unreadable returns a valid batch of one record that is malformed.
func unreadable(t *testing.T) []byte {
	t.Helper()
	var b record.Builder
	b.Add(record.Record{Key: []byte("a")})
	batch, err := b.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	batch[record.HeaderSize]++        // the record's length
	record.SetLogAppendTime(batch, 1) // writes the checksum
	return batch
}

// Several partitions lie in the same files, which are compacted one after the
// other, and once more after a restart.
func TestCompactionOfSharedFiles(t *testing.T) {
	o := Options{FS: vfs.NewMem(), WALFileSize: 16 << 10, TailBytes: 4 << 10}
	o.Rewriting.CompactChunk = 2 << 10
	x := openSimple(t, o)
	for i := range 300 {
		for p := range record.PartitionID(3) {
			x.write(p, fmt.Sprint("key", i%20))
		}
		if i%50 == 0 {
			x.checkpoint()
		}
	}
	for p := range record.PartitionID(3) {
		if p == 1 {
			continue
		}
		x.compact(p, 250)
		if n := len(x.left(p)); n != 20+50 {
			t.Errorf("%d records of partition %d are left", n, p)
		}
	}
	for range 2 {
		x.checkpoint()
		if err := x.s.Close(); err != nil {
			t.Fatal(err)
		}
		next, last := x.next, x.last
		x = openSimple(t, o)
		x.next, x.last = next, last
		for p := range record.PartitionID(3) {
			x.s.SetCompaction(0, 0, p, &Compaction{Below: 250})
			x.s.SetEnd(p, x.next[p])
			if n, want := len(x.left(p)), map[bool]int{true: 300, false: 70}[p == 1]; n != want {
				t.Errorf("%d records of partition %d are left, want %d", n, p, want)
			}
		}
		x.s.SetCompaction(0, 0, 1, nil)
	}
	if err := x.s.Close(); err != nil {
		t.Fatal(err)
	}
}

// Where a file keeps runs below a gap, the gap does not reach over them.
func TestGapsOfAFile(t *testing.T) {
	f, g, h := &file{}, &file{num: 1}, &file{num: 2}
	p := &partition{id: 1}
	c := p.makeChain(0)
	c.spans = []span{{file: f, first: 0, last: 9}, {file: g, first: 10, last: 19}, {file: f, first: 20, last: 29}, {file: f, first: 30, last: 39}}
	got := p.compacted(20, 30, []span{{file: h, first: 22, last: 22}})
	if want := []gap{{f, 10, 30}}; !slices.Equal(got, want) {
		t.Fatalf("gaps %v, want %v", got, want)
	}
	if got, want := p.compacted(30, 40, nil), []gap{{f, 10, 40}}; !slices.Equal(got, want) {
		t.Fatalf("gaps %v, want %v", got, want)
	}
	info := checkpoint.File{Moved: []checkpoint.Moved{{Partition: 1, From: 10, Below: 40}}}
	for first, want := range map[record.Offset]record.Offset{0: 0, 10: 40, 20: 40, 39: 40, 40: 40} {
		if from := info.MovedBelow(1, 0, first); from != want {
			t.Errorf("runs from %d on count from %d on, want %d", first, from, want)
		}
	}
	if len(c.spans) != 3 || c.spans[2].file != h {
		t.Errorf("spans %v", c.spans)
	}
}

// Between two jobs of a compaction another rewrite may have joined what was
// done with what was not.
func TestCompactionGoesOnWithinASpan(t *testing.T) {
	x := openSimple(t, Options{FS: vfs.NewMem()})
	defer x.s.Close()
	x.write(1, "a", "b")
	x.write(1, "a", "c")
	x.write(1, "end")
	p := x.s.partitions.get(1)
	d := dirt{p: p, upto: 4}
	c := newCleaning(x.s, &d, &Compaction{Below: 4})
	c.next = 2
	j := c.newJob()
	if j == nil || j.lo != 0 || j.hi != 4 {
		t.Fatalf("job %+v", j)
	}
	if c.next = 4; c.newJob() != nil {
		t.Error("a job where nothing is to be done")
	}
}

// Positions at the end are good though the records there are gone.
func TestTheEndOutlivesItsRecords(t *testing.T) {
	x := openSimple(t, Options{FS: vfs.NewMem()})
	defer x.s.Close()
	x.write(1, "a")
	x.s.SetEnd(1, 10)
	var r Result
	defer r.Release()
	if err := x.s.Read(&r, 1, 7, 10, 100, true); err != nil || r.Size != 0 || r.Next != 7 {
		t.Errorf("%d bytes up to %d, %v", r.Size, r.Next, err)
	}
	if _, next, err := x.s.Bounds(1); next != 10 || err != nil {
		t.Errorf("the partition ends at %d, %v", next, err)
	}
	if err := x.s.Read(&r, 1, 11, 20, 100, true); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Errorf("beyond the end: %v", err)
	}
}

// Damage ends the compaction of the partition that has it, not that of others.
func TestCompactionMeetsDamage(t *testing.T) {
	fs := vfs.NewMem()
	x := openSimple(t, Options{FS: fs, WALFileSize: 16 << 10, TailBytes: 1})
	defer x.s.Close()
	for i := range 500 {
		x.write(1, fmt.Sprint("key", i%10))
		x.write(2, fmt.Sprint("key", i%10))
	}
	x.checkpoint()
	at := x.s.partitions.get(1).chain(0).spans[0]
	cur, err := x.s.reader.Block(at.file.final.Load(), int(at.block))
	if err != nil {
		t.Fatal(err)
	}
	path := x.s.pathOf(at.file)
	f, err := fs.OpenReadWrite(path, "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0xff, 0xff}, int64(cur[0].Pos)+70); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	x.s.SetCompaction(0, x.last, 1, &Compaction{Below: 400})
	x.s.SetCompaction(0, x.last, 2, &Compaction{Below: 400})
	x.checkpoint()
	failed := 0
	for range 10_000 {
		did, err := x.s.Rewrite(1 << 20)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			failed++
		} else if !did {
			break
		}
	}
	if failed == 0 || failed > 3 {
		t.Errorf("%d attempts failed", failed)
	}
	if n := len(x.left(2)); n != 110 {
		t.Errorf("%d records of the other partition are left", n)
	}
}

// A batch with more keys than there is memory for leaves older records of some:
// they must not come back to life when its tombstones would have had their time.
func TestTombstonesOfAWideBatchStay(t *testing.T) {
	x := openSimple(t, Options{FS: vfs.NewMem(), CompactionBytes: 5 * slotBytes})
	defer x.s.Close()
	x.write(1, "a", "b", "c")
	x.write(1, "d", "e", "f")
	x.write(1, "!a", "!b", "!c", "!d", "!e", "!f")
	for i := range 4 {
		x.write(1, fmt.Sprint("end", i))
		x.s.SetCompaction(0, x.last, 1, &Compaction{Below: x.next[1] - 1, At: record.LogTime(1 << (50 + i))})
		x.checkpoint()
		x.rewriteAll()
	}
	left := x.left(1)
	for o := record.Offset(6); o < 12; o++ {
		if !slices.Contains(left, o) {
			t.Fatalf("records %v are left, without the tombstone at %d", left, o)
		}
	}
	if slices.Contains(left, 0) {
		t.Errorf("records %v are left", left)
	}
}

func TestKeyMapAgainstAMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var m keyMap
	for range 50 {
		limit := slotBytes * (2 + rng.Int64N(200))
		m.reset(1+rng.Int64N(300), limit)
		if int64(len(m.slots))*slotBytes > max(limit, 2*slotBytes) {
			t.Fatalf("%d slots in %d bytes", len(m.slots), limit)
		}
		want := map[string]record.Offset{}
		refused := false
		for o := range record.Offset(400) {
			k := fmt.Sprint(rng.IntN(150))
			if m.put([]byte(k), o) {
				want[k] = o
			} else if _, ok := want[k]; ok {
				t.Fatalf("a key that is there was refused")
			} else {
				refused = true
			}
		}
		if refused != (len(want) < 150 && len(want) == m.max) && len(want) != m.used {
			t.Fatalf("%d keys of at most %d, refused %v", len(want), m.max, refused)
		}
		for i := range 150 {
			k := []byte(fmt.Sprint(i))
			o, ok := want[string(k)]
			if ok && (m.superseded(k, o) || o > 0 && !m.superseded(k, o-1)) || !ok && m.superseded(k, 0) {
				t.Fatalf("key %s, last at %d (%v), is not what the map says", k, o, ok)
			}
		}
	}
	m.reset(1_000_000, 1<<30)
	if m.max < 1_000_000 {
		t.Errorf("room for %d keys of a million", m.max)
	}
}

// The planted bugs are caught by the model.
func TestPlantedCompactionBugs(t *testing.T) {
	if !fault.Planted {
		t.Skip("needs the build tag planted")
	}
	for _, b := range []fault.Bug{fault.CompactDropsLatest, fault.CompactIgnoresDirtyPoint} {
		t.Run(b.String(), func(t *testing.T) {
			fault.Plant(b)
			defer fault.Plant(fault.None)
			for seed := range uint64(20) {
				if caught(t, seed) {
					return
				}
			}
			t.Error("not caught")
		})
	}
}

// stopped is what a test that must fail panics with.
type stopped struct{ testing.TB }

func (s stopped) Fatal(...any)          { panic(s) }
func (s stopped) Fatalf(string, ...any) { panic(s) }

func caught(t *testing.T, seed uint64) (yes bool) {
	defer func() {
		if recover() != nil {
			yes = true
		}
	}()
	w := newKeyed(stopped{t}, seed)
	for range 400 {
		w.step()
	}
	w.settle()
	w.check(true)
	return false
}
