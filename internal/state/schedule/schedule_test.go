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
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runModel(t, rand.New(rand.NewPCG(seed, 2))) }) //nolint:gosec // to be repeated
	}
}

func runModel(t *testing.T, rng *rand.Rand) {
	s, disk := New(), map[string][]byte{}
	var model []Entry
	now, offset := record.LogTime(1_000_000_000_000), record.Offset(0)
	for range 600 {
		switch rng.IntN(6) {
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
		case 4:
			if len(model) > 0 {
				i := rng.IntN(len(model))
				if !s.Remove(model[i]) || s.Remove(model[i]) {
					t.Fatalf("%v cannot be removed once", model[i])
				}
				model = slices.Delete(model, i, i+1)
			}
		case 5:
			s = checkpoint(t, s, disk)
		}
		check(t, s, model)
	}
}

// check compares what is listed and counted.
func check(t *testing.T, s *State, model []Entry) {
	t.Helper()
	var listed, want []Entry
	s.List(1, func(e Entry) bool { listed = append(listed, e); return true })
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
func checkpoint(t *testing.T, s *State, disk map[string][]byte) *State {
	t.Helper()
	s.Freeze()
	s.EncodePages(func(key, value []byte) {
		if value == nil {
			delete(disk, string(key))
			return
		}
		disk[string(key)] = bytes.Clone(value)
	}, func() bool { return true })
	next := New()
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
	s := New()
	s.Add(Entry{At: 1_000_000, Partition: 2, Offset: 3, Level: 1})
	s.Freeze()
	s.EncodePages(func(k, v []byte) { f.Add(k, v) }, func() bool { return true })
	f.Fuzz(func(t *testing.T, key, value []byte) {
		s := New()
		if s.RestorePage(key, value) != nil || s.Restored() != nil {
			return
		}
		s.Tick(maxTime, nil)
	})
}

// BenchmarkMonth schedules a million entries over a month, and lets them fire.
func BenchmarkMonth(b *testing.B) {
	for b.Loop() {
		s := New()
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
