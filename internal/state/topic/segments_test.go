package topic

import (
	"fmt"
	"testing"

	"github.com/polylog-mq/polylog/internal/record"
)

// shardWith has n partitions of one topic, under default settings but for what
// change says.
func shardWith(tb testing.TB, n int, change func(*Settings)) (*Partitions, []*Partition) {
	tb.Helper()
	set := *DefaultSettings()
	if change != nil {
		change(&set)
	}
	d := Definition{Topic: 1, Revision: 1, Settings: &set}
	for i := range n {
		d.Partitions = append(d.Partitions, PartitionDefinition{ID: record.PartitionID(i + 1)})
	}
	s := NewPartitions()
	if err := s.Apply(1, 1, &Define{Revision: 1, Topics: []Definition{d}}, &Effects{}); err != nil {
		tb.Fatal(err)
	}
	return s, s.All()
}

func TestSegmentsAreBounded(t *testing.T) {
	s, all := shardWith(t, 1, func(set *Settings) { set.SegmentBytes, set.RetentionBytes = 10, 50_000 })
	p := all[0]
	cut := cutOfShard(s)
	for i := range 3 * maxSegments {
		s.Append(record.LogTime(i), 1, p, Batch{Offsets: 1, Size: 10, MaxTimestamp: int64(i)})
		if len(p.sealed) > maxSegments {
			t.Fatalf("%d segments", len(p.sealed))
		}
		if i%(maxSegments/3) == 0 {
			checkShardPages(t, s)
			cut.whole(t)
		}
	}
	if p.Bytes() != 3*maxSegments*10 || p.HighWatermark() != 3*maxSegments {
		t.Fatalf("%d bytes up to %d", p.Bytes(), p.HighWatermark())
	}
	var fx Effects
	s.Tick(1<<20, false, &fx)
	checkShardPages(t, s)
	// Merged segments of at most eight batches overshoot by at most one of them.
	if over := p.Bytes() - 50_000; over < 0 || over >= 80 {
		t.Errorf("%d bytes are left of 50000", p.Bytes())
	}
	if o := record.Offset(3*maxSegments) - record.Offset(p.Bytes()/10); len(fx.Floors) != 1 || fx.Floors[0].Offset != o {
		t.Errorf("floors %v, want %d", fx.Floors, o)
	}
}

func TestWideSegmentRolls(t *testing.T) {
	s, all := shardWith(t, 1, nil)
	for range 3 {
		s.Append(1, 1, all[0], Batch{Offsets: 1 << 30, Size: 10, MaxTimestamp: 1})
	}
	if n := all[0].Segments(); n != 2 {
		t.Errorf("%d segments; relative offsets have 31 bits", n)
	}
}

func TestTicksAreBoundedAndShared(t *testing.T) {
	const n = 3*retentionPerTick + 10
	s, all := shardWith(t, n, func(set *Settings) { set.RetentionMs = 1000 })
	for i, p := range all {
		s.Append(record.LogTime(100+i%900), 1, p, Batch{Offsets: 1, Size: 10, MaxTimestamp: -1})
	}
	at, ok := s.NextDeadline()
	if !ok || at != retentionInterval {
		t.Fatalf("the next deadline is %d, %v", at, ok)
	}
	var fx Effects
	for tick, want := range []int{retentionPerTick, retentionPerTick, retentionPerTick, 10} {
		fx.Reset()
		if s.Tick(at, false, &fx); len(fx.Floors) != want {
			t.Errorf("tick %d raised %d floors, want %d", tick, len(fx.Floors), want)
		}
		if next, ok := s.NextDeadline(); ok != (tick < 3) || ok && next > at {
			t.Errorf("after tick %d the next deadline is %d, %v", tick, next, ok)
		}
	}
}

func TestOldBatchInEmptiedPartitionIsLookedAt(t *testing.T) {
	s, all := shardWith(t, 1, func(set *Settings) { set.RetentionMs = 1_000_000 })
	s.Append(2_000_000, 1, all[0], Batch{Offsets: 1, Size: 10, MaxTimestamp: -1})
	if err := s.Apply(2_000_000, 1, &DeleteRecords{Partition: 1, Before: -1}, &Effects{}); err != nil {
		t.Fatal(err)
	}
	s.Append(2_000_000, 1, all[0], Batch{Offsets: 1, Size: 10, MaxTimestamp: 0})
	if at, ok := s.NextDeadline(); !ok || at > 2_000_000+retentionInterval {
		t.Errorf("the next deadline is %d, %v", at, ok)
	}
}

func TestBusyPartitionIsLookedAt(t *testing.T) {
	s, all := shardWith(t, 1, func(set *Settings) { set.SegmentBytes, set.RetentionBytes = 10, 20 })
	for now := range record.LogTime(5 * retentionInterval) {
		s.Append(now, 1, all[0], Batch{Offsets: 1, Size: 10, MaxTimestamp: int64(now)})
	}
	if at, ok := s.NextDeadline(); !ok || at != retentionInterval {
		t.Errorf("appends put the deadline off to %d, %v", at, ok)
	}
}

func TestSegmentsCheckpoint(t *testing.T) {
	s, all := shardWith(t, 2, func(set *Settings) { set.SegmentBytes = 10 })
	cut := cutOfShard(s)
	fill := func(n int) {
		for range n {
			s.Append(5, 1, all[0], Batch{Offsets: 1, Size: 10, MaxTimestamp: 5})
		}
	}
	trim := func(o record.Offset) {
		if err := s.Apply(5, 1, &DeleteRecords{Partition: 1, Before: o}, &Effects{}); err != nil {
			t.Fatal(err)
		}
	}
	fill(segmentsPerPage / 2)
	cut.whole(t)
	fill(2 * segmentsPerPage)
	cut.whole(t)
	// What changes while a cut is being written is not in it.
	cut.begin()
	trim(segmentsPerPage / 3)
	cut.step(t, 1<<30)
	cut.begin()
	trim(2 * segmentsPerPage)
	fill(segmentsPerPage)
	cut.step(t, 1<<30)
	cut.whole(t)
	checkShardPages(t, s)
	drop := Definition{Topic: 1, Revision: 2, Dropped: true, Partitions: []PartitionDefinition{{ID: 1}, {ID: 2}}}
	if err := s.Apply(6, 1, &Define{After: 1, Revision: 2, Topics: []Definition{drop}}, &Effects{}); err != nil {
		t.Fatal(err)
	}
	cut.whole(t)
	if n := len(cut.disk); n != 1 || !all[0].Dropped() {
		t.Errorf("%d pages are left of a dropped topic", n)
	}
}

func TestCheckpointCostsWhatChanged(t *testing.T) {
	s, all := shardWith(t, 10_000, nil)
	drain := func() (pages int) {
		s.Freeze()
		s.EncodePages(func(_, _ []byte) { pages++ }, func() bool { return true })
		return pages
	}
	if n := drain(); n != 10_000+2 {
		t.Errorf("the first cut wrote %d pages", n)
	}
	for range 100 {
		for _, p := range all[:7] {
			s.Append(5, 1, p, Batch{Offsets: 1, Size: 10, MaxTimestamp: -1})
		}
	}
	if n := drain(); n != 7 {
		t.Errorf("after appends to 7 partitions a cut wrote %d pages", n)
	}
	set := *DefaultSettings()
	if err := s.Apply(6, 1, &Define{After: 1, Revision: 2, Topics: []Definition{{Topic: 1, Revision: 2, Settings: &set}}}, &Effects{}); err != nil {
		t.Fatal(err)
	}
	if n := drain(); n != 2 {
		t.Errorf("after a change of settings a cut wrote %d pages", n)
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	s, all := shardWith(t, 16, nil)
	now := record.LogTime(1)
	round := func() {
		for _, p := range all {
			now++
			s.Append(now, 1, p, Batch{Offsets: 3, Size: 100, MaxTimestamp: int64(now)})
		}
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%v allocations in 16 appends", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{16, 10_000} {
		b.Run(fmt.Sprintf("partitions=%d", n), func(b *testing.B) {
			s, all := shardWith(b, n, func(set *Settings) { set.RetentionBytes = 1 << 30 })
			now := record.LogTime(1)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				now += record.LogTime(i & 1)
				s.Append(now, 1, all[i*7919%n], Batch{Offsets: 3, Size: 1000, MaxTimestamp: int64(now)})
			}
		})
	}
}

// BenchmarkAppendByID adds the look-up that a logged command needs.
func BenchmarkAppendByID(b *testing.B) {
	for _, n := range []int{16, 10_000} {
		b.Run(fmt.Sprintf("partitions=%d", n), func(b *testing.B) {
			s, _ := shardWith(b, n, nil)
			now := record.LogTime(1)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				now += record.LogTime(i & 1)
				s.Append(now, 1, s.Lookup(record.PartitionID(i*7919%n+1)), Batch{Offsets: 3, Size: 1000, MaxTimestamp: int64(now)})
			}
		})
	}
}

func BenchmarkCheckpoint(b *testing.B) {
	s, all := shardWith(b, 10_000, nil)
	now, bytes := record.LogTime(1), 0
	b.ReportAllocs()
	for b.Loop() {
		bytes = 0
		for _, p := range all[:1000] {
			now++
			s.Append(now, 1, p, Batch{Offsets: 3, Size: 1000, MaxTimestamp: int64(now)})
		}
		s.Freeze()
		s.EncodePages(func(_, v []byte) { bytes += len(v) }, func() bool { return true })
	}
	b.ReportMetric(float64(bytes)/1000, "page-B/partition")
}
