package schedule

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/polylog-mq/polylog/internal/record"
)

// TestAgainstModel holds a schedule against a sorted list: entries fire once, in
// order, never early and never late, also through checkpoints and restores.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runModel(t, rand.New(rand.NewPCG(seed, 2)), seed%4 > 0) }) //nolint:gosec // to be repeated
	}
}

// pages is what a checkpoint has.
type pages map[string][]byte

func (p pages) between(from, to []byte, yield func(key, value []byte) error) error {
	var found []string
	for k := range p {
		if k >= string(from) && k < string(to) {
			found = append(found, k)
		}
	}
	slices.Sort(found)
	for _, k := range found {
		if err := yield([]byte(k), p[k]); err != nil {
			return err
		}
	}
	return nil
}

func (p pages) put(key, value []byte) {
	if value == nil {
		delete(p, string(key))
		return
	}
	p[string(key)] = bytes.Clone(value)
}

// runModel runs a schedule that may let go of what is in the checkpoint, or not.
// A cut is under way while other things happen, and durable some time later.
func runModel(t *testing.T, rng *rand.Rand, spill bool) {
	disk, cut := pages{}, pages(nil)
	source := Source(nil)
	if spill {
		source = disk.between
	}
	s := New(source)
	var model []Entry
	finish := func() {
		if cut != nil {
			s.EncodePages(cut.note(), func() bool { return true })
			for k, v := range cut {
				disk.put([]byte(k), v)
			}
			s.Durable()
			cut = nil
		}
	}
	now, offset := record.LogTime(1_000_000_000_000), record.Offset(0)
	for range 600 {
		switch rng.IntN(8) {
		case 0, 1, 2:
			for range rng.IntN(40) {
				offset++
				e := Entry{
					At: now + 1 + record.LogTime(rng.IntN(1<<rng.IntN(24))), Partition: record.PartitionID(rng.IntN(3)),
					Offset: offset, Level: uint8(rng.IntN(3)),
				}
				s.Add(e)
				model = append(model, e)
			}
			slices.SortFunc(model, compare)
		case 3:
			now += record.LogTime(rng.IntN(1 << rng.IntN(22)))
			model = fire(t, s, now, model)
		case 4:
			if len(model) > 0 {
				i := rng.IntN(len(model))
				if !s.Remove(model[i]) || s.Remove(model[i]) {
					t.Fatalf("%v cannot be removed once", model[i])
				}
				model = slices.Delete(model, i, i+1)
			}
		case 5:
			finish()
			s = checkpoint(t, s, disk, source)
		case 6:
			finish()
			s.Freeze()
			cut = pages{}
		case 7:
			if cut != nil {
				n := rng.IntN(8)
				s.EncodePages(cut.note(), func() bool { n--; return n >= 0 })
			}
		}
		if s.Err() != nil {
			t.Fatal(s.Err())
		}
		check(t, s, model)
	}
}

// note notes what a cut says, deletions too.
func (p pages) note() func(key, value []byte) {
	return func(key, value []byte) { p[string(key)] = bytes.Clone(value) }
}

// fire lets fire what is due, and returns what is left of the model.
func fire(t *testing.T, s *State, now record.LogTime, model []Entry) []Entry {
	t.Helper()
	var due []Entry
	for {
		n := len(due)
		if due = s.Tick(now, due); len(due) == n {
			break
		}
	}
	n := 0
	for n < len(model) && model[n].At <= now {
		n++
	}
	if !slices.Equal(due, model[:n]) {
		t.Fatalf("at %d fired %v, want %v", now, due, model[:n])
	}
	model = model[n:]
	if at, ok := s.NextDeadline(); ok && at <= now || !ok && len(model) > 0 || ok && at > model[0].At {
		t.Fatalf("the next deadline after %d is %d, %v of %d entries", now, at, ok, len(model))
	}
	return model
}

// check compares what is listed and counted.
func check(t *testing.T, s *State, model []Entry) {
	t.Helper()
	var listed, want []Entry
	if err := s.List(1, func(e Entry) bool { listed = append(listed, e); return true }); err != nil {
		t.Fatal(err)
	}
	for _, e := range model {
		if e.Partition == 1 {
			want = append(want, e)
		}
	}
	if s.Len() != int64(len(model)) || !slices.Equal(listed, want) {
		t.Fatalf("%d entries, want %d; listed %v, want %v", s.Len(), len(model), listed, want)
	}
}

// checkpoint writes the pages that have changed, and returns what they restore.
func checkpoint(t *testing.T, s *State, disk pages, source Source) *State {
	t.Helper()
	s.Freeze()
	s.EncodePages(disk.put, func() bool { return true })
	next := New(source)
	for key, value := range disk {
		if err := next.RestorePage([]byte(key), value); err != nil {
			t.Fatal(err)
		}
	}
	if err := next.Restored(); err != nil {
		t.Fatal(err)
	}
	return next
}

func FuzzPages(f *testing.F) {
	s := New(nil)
	s.Add(Entry{At: 1_000_000, Partition: 2, Offset: 3, Level: 1})
	s.Freeze()
	s.EncodePages(func(k, v []byte) { f.Add(k, v) }, func() bool { return true })
	f.Fuzz(func(t *testing.T, key, value []byte) {
		s := New(nil)
		if s.RestorePage(key, value) != nil || s.Restored() != nil {
			return
		}
		s.Tick(maxTime, nil)
	})
}

// BenchmarkMonth schedules a million entries over a month, and lets them fire.
func BenchmarkMonth(b *testing.B) {
	for b.Loop() {
		s := New(nil)
		rng := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // to be repeated
		for i := range 1_000_000 {
			s.Add(Entry{At: 1 + record.LogTime(rng.IntN(30*24*3600*1000)), Partition: 1, Offset: record.Offset(i)})
		}
		packed := 0
		for _, x := range s.buckets {
			for _, c := range x.chunks {
				packed += cap(c.packed)
			}
		}
		b.ReportMetric(float64(packed)/1e6, "packed-B/entry")
		fired := 0
		for now := record.LogTime(0); s.Len() > 0; now += 1000 {
			fired += len(s.Tick(now, nil))
		}
		if fired != 1_000_000 {
			b.Fatal(fired)
		}
	}
}

// Far buckets leave memory with a checkpoint, and what is left does not grow with
// their entries.
func TestFarBucketsLeaveMemory(t *testing.T) {
	disk := pages{}
	s := New(disk.between)
	rng := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // to be repeated
	for i := range 20_000 {
		s.Add(Entry{At: 1 + record.LogTime(rng.IntN(100*bucketSpan)), Partition: 1, Offset: record.Offset(i)})
	}
	s.Freeze()
	late := Entry{At: 50 * bucketSpan, Partition: 2, Offset: 7}
	s.EncodePages(disk.put, func() bool { return true })
	s.Add(late)
	s.Durable()
	inMemory := 0
	for _, b := range s.buckets {
		inMemory += len(b.chunks)
	}
	if inMemory != 1 || s.Len() != 20_001 {
		t.Errorf("%d chunks are in memory, of %d entries", inMemory, s.Len())
	}
	if !s.Remove(late) || s.Remove(late) {
		t.Error("what came last cannot be removed once")
	}
	fired := 0
	for now := record.LogTime(0); s.Len() > 0; now += 10_000 {
		fired += len(s.Tick(now, nil))
	}
	if fired != 20_000 || s.Err() != nil || len(s.buckets)+len(s.warm) != 0 {
		t.Errorf("%d have fired, %v; %d buckets are left", fired, s.Err(), len(s.buckets))
	}
}

// A page that is missing or another than it was is noticed.
func TestLostPagesAreNoticed(t *testing.T) {
	for _, hurt := range []func(p pages, key string){
		func(p pages, key string) { delete(p, key) },
		func(p pages, key string) { p[key] = p[key][:len(p[key])-1] },
		func(p pages, key string) { p[key] = p[key][:1] },
	} {
		disk := pages{}
		s := New(disk.between)
		for i := range 3000 {
			s.Add(Entry{At: 5 * bucketSpan, Partition: 1, Offset: record.Offset(i)})
		}
		s.Freeze()
		s.EncodePages(disk.put, func() bool { return true })
		s.Durable()
		hurt(disk, string(pageKey{5, 1}.append(nil)))
		if err := s.List(1, func(Entry) bool { return true }); err == nil {
			t.Error("a list does not notice")
		}
		if s.Tick(6*bucketSpan, nil); s.Err() == nil {
			t.Error("a tick does not notice")
		}
	}
}
