package topic

import (
	"fmt"
	"maps"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/polylog-mq/polylog/internal/record"
)

// The model keeps every batch and segments them anew by Kafka's words; the
// state is held against it.
type modelPartition struct {
	term     record.Term    // that defined it
	segments [][]modelBatch // the last one is active
	start    record.Offset
	next     record.Offset
	lastID   record.EntryID
	set      Settings

	below, overdue record.Offset
}

type modelBatch struct {
	base  record.Offset
	size  int64
	ts    int64
	epoch record.Epoch
}

func total(segment []modelBatch) (n int64) {
	for _, b := range segment {
		n += b.size
	}
	return n
}

func largest(segment []modelBatch) (ts int64) {
	for _, b := range segment {
		ts = max(ts, b.ts)
	}
	return ts
}

func (m *modelPartition) size() (n int64) {
	for _, s := range m.segments {
		n += total(s)
	}
	return n
}

func (m *modelPartition) append(now record.LogTime, epoch record.Epoch, b Batch) {
	ts := b.MaxTimestamp
	if ts == -1 {
		ts = int64(now)
	}
	if n := len(m.segments); n > 0 {
		active := m.segments[n-1]
		if total(active)+int64(b.Size) > int64(m.set.SegmentBytes) || ts-active[0].ts > m.set.rollMs() {
			m.segments = append(m.segments, nil)
		}
	} else {
		m.segments = append(m.segments, nil)
	}
	n := len(m.segments) - 1
	m.segments[n] = append(m.segments[n], modelBatch{m.next, int64(b.Size), ts, epoch})
	m.next += record.Offset(b.Offsets)
}

// retain removes whole segments from the front while a limit says so.
func (m *modelPartition) retain(now record.LogTime) {
	for len(m.segments) > 0 && m.set.Delete {
		oldest := m.segments[0]
		tooOld := m.set.RetentionMs >= 0 && int64(now)-largest(oldest) > m.set.RetentionMs
		tooMuch := m.set.RetentionBytes >= 0 && m.size()-total(oldest) >= m.set.RetentionBytes
		if !tooOld && !tooMuch {
			return
		}
		m.remove()
	}
}

func (m *modelPartition) remove() {
	m.segments = m.segments[1:]
	at := m.next
	if len(m.segments) > 0 {
		at = m.segments[0][0].base
	}
	m.start = max(m.start, at)
}

// compact moves the dirty point over whole closed segments that are old enough,
// and the point below which compaction is due over those that are too old.
func (m *modelPartition) compact(now record.LogTime) {
	if !m.set.Compact {
		return
	}
	for i := range max(len(m.segments)-1, 0) {
		end := m.segments[i+1][0].base
		if end <= m.below {
			continue
		}
		if largest(m.segments[i]) > int64(now)-m.set.MinCompactionLagMs {
			break
		}
		m.below = end
	}
	for i := range max(len(m.segments)-1, 0) {
		end := m.segments[i+1][0].base
		if end <= m.overdue {
			continue
		}
		if end > m.below || int64(now)-m.segments[i][0].ts <= m.set.MaxCompactionLagMs {
			break
		}
		m.overdue = end
	}
}

func (m *modelPartition) trim(o record.Offset) {
	m.start = max(m.start, o)
	for len(m.segments) > 1 && m.segments[1][0].base <= m.start || len(m.segments) == 1 && m.start == m.next {
		m.remove()
	}
}

// twin is a shard, the same on a replica that restarts now and then, and the
// model of both.
type twin struct {
	a, b  *Partitions
	model map[record.PartitionID]*modelPartition
	now   record.LogTime
	term  record.Term
	cut   *cut
}

func newTwin() *twin {
	w := &twin{a: NewPartitions(), b: NewPartitions(), model: map[record.PartitionID]*modelPartition{}, now: 1_000_000, term: 1}
	w.cut = cutOfShard(w.a)
	return w
}

func (w *twin) apply(t *rapid.T, cmd ShardCommand) (*Effects, error) {
	var fxA, fxB Effects
	errA, errB := w.a.Apply(w.now, w.term, cmd, &fxA), w.b.Apply(w.now, w.term, cmd, &fxB)
	if fmt.Sprint(errA) != fmt.Sprint(errB) || effects(&fxA) != effects(&fxB) {
		t.Fatalf("%+v: %s %v, on a replica that restarted %s %v", cmd, effects(&fxA), errA, effects(&fxB), errB)
	}
	return &fxA, errA
}

func (w *twin) define(t *rapid.T) {
	topic := ID(rapid.IntRange(1, 3).Draw(t, "topic"))
	rev := w.a.Revision() + 1
	set := *DefaultSettings()
	set.SegmentBytes = int32(rapid.SampledFrom([]int{100, 1000}).Draw(t, "segment.bytes"))
	set.SegmentMs = int64(rapid.SampledFrom([]int{500, 50_000}).Draw(t, "segment.ms"))
	set.RetentionMs = int64(rapid.SampledFrom([]int{-1, 0, 20_000, 90_000}).Draw(t, "retention.ms"))
	set.RetentionBytes = int64(rapid.SampledFrom([]int{-1, 0, 250, 3000}).Draw(t, "retention.bytes"))
	set.Delete = rapid.IntRange(0, 9).Draw(t, "delete") > 0
	set.Compact = rapid.Bool().Draw(t, "compact")
	set.MinCompactionLagMs = int64(rapid.SampledFrom([]int{0, 0, 600, 40_000}).Draw(t, "min.compaction.lag.ms"))
	set.MaxCompactionLagMs = rapid.SampledFrom([]int64{1000, 60_000, math.MaxInt64}).Draw(t, "max.compaction.lag.ms")
	d := Definition{Topic: topic, Revision: rev, Settings: &set, Dropped: rapid.IntRange(0, 9).Draw(t, "dropped") == 0}
	if d.Dropped {
		d.Settings = nil
	}
	for i := range 3 { // as the catalog does, it names all there are, and new ones
		id := record.PartitionID(int(topic)*10 + i)
		if w.model[id] != nil || !d.Dropped && (i == 0 || rapid.Bool().Draw(t, "more")) {
			d.Partitions = append(d.Partitions, PartitionDefinition{ID: id})
		}
	}
	if _, err := w.apply(t, &Define{After: w.a.Revision(), Revision: rev, Topics: []Definition{d}}); err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Partitions {
		if d.Dropped {
			delete(w.model, p.ID)
		} else if w.model[p.ID] == nil {
			w.model[p.ID] = &modelPartition{term: w.term}
		}
	}
	for id, m := range w.model {
		if ID(id/10) == topic && !d.Dropped {
			m.set = set
		}
	}
}

func (w *twin) pick(t *rapid.T) record.PartitionID {
	all := w.a.All()
	if len(all) == 0 {
		t.Skip("no partitions")
	}
	return all[rapid.IntRange(0, len(all)-1).Draw(t, "partition")].ID()
}

func (w *twin) append(t *rapid.T) {
	id := w.pick(t)
	m := w.model[id]
	w.now += record.LogTime(rapid.SampledFrom([]int{0, 0, 1, 700, 30_000}).Draw(t, "plus"))
	b := Batch{
		Offsets: int32(rapid.IntRange(1, 3).Draw(t, "offsets")), Size: int32(rapid.IntRange(1, 90).Draw(t, "size")),
		MaxTimestamp: rapid.SampledFrom([]int64{-1, 0, int64(w.now), int64(w.now) + 1000, int64(w.now) - 400}).Draw(t, "ts"),
	}
	v, o := w.a.Append(w.now, w.term, w.a.Lookup(id), b), w.b.Append(w.now, w.term, w.b.Lookup(id), b)
	if v != o {
		t.Fatalf("verdict %+v, on a replica that restarted %+v", v, o)
	}
	if v.Base != m.next || v.Epoch != record.Epoch(w.term-m.term) || v.FirstID.Compare(m.lastID) <= 0 || v.FirstID.Time < w.now {
		t.Fatalf("verdict %+v after offset %d and id %v", v, m.next, m.lastID)
	}
	m.lastID = record.EntryID{Time: v.FirstID.Time, Seq: v.FirstID.Seq + uint64(b.Offsets) - 1}
	m.append(w.now, v.Epoch, b)
}

// tick lets some time pass and ticks, on hold now and then.
func (w *twin) tick(t *rapid.T) {
	w.now += record.LogTime(rapid.IntRange(0, 20_000).Draw(t, "plus"))
	w.tickNow(t, rapid.IntRange(0, 4).Draw(t, "hold") == 0)
}

func (w *twin) tickNow(t *rapid.T, hold bool) {
	var fxA, fxB Effects
	w.a.Tick(w.now, hold, &fxA)
	w.b.Tick(w.now, hold, &fxB)
	if effects(&fxA) != effects(&fxB) || hold && len(fxA.Floors) > 0 {
		t.Fatalf("tick: %s, on a replica that restarted %s (hold %v)", effects(&fxA), effects(&fxB), hold)
	}
	if at, ok := w.a.NextDeadline(); ok && at <= w.now {
		t.Fatalf("at %d the next deadline is %d", w.now, at)
	}
	if hold && len(fxA.Compactions) > 0 {
		t.Fatal("compaction goes on while deletion is held")
	}
	for _, f := range fxA.Floors {
		m := w.model[f.Partition]
		if m.retain(w.now); m.start != f.Offset {
			t.Fatalf("partition %d begins at %d, the model's at %d", f.Partition, f.Offset, m.start)
		}
	}
	for _, p := range fxA.Compactions {
		m, c := w.model[p.ID()], p.Compaction()
		if m.compact(w.now); c.Below != m.below || c.Overdue != m.overdue || c.At != w.now {
			t.Fatalf("partition %d may be compacted below %d, must be below %d; the model's below %d and %d", p.ID(), c.Below, c.Overdue, m.below, m.overdue)
		}
	}
}

// settle gives retention its time, after which nothing is left that could have
// gone before.
func (w *twin) settle(t *rapid.T) {
	before := w.now
	w.now += retentionInterval
	w.tickNow(t, false)
	for id, m := range w.model {
		if start := m.start; len(m.segments) > 0 {
			if m.retain(before); m.start != start {
				t.Fatalf("partition %d keeps %d to %d, which were due at %d", id, start, m.start, before)
			}
		}
		if below, overdue := m.below, m.overdue; m.set.Compact {
			if m.compact(before); m.below != below || m.overdue != overdue {
				t.Fatalf("partition %d: compaction below %d (due below %d) was to be allowed at %d; %d and %d are", id, m.below, m.overdue, before, below, overdue)
			}
		}
	}
}

func (w *twin) trim(t *rapid.T) {
	id := w.pick(t)
	m := w.model[id]
	if m.set.Compact && !m.set.Delete {
		t.Skip("deletion is refused")
	}
	o := m.start + record.Offset(rapid.IntRange(0, int(m.next-m.start)).Draw(t, "before"))
	_, err := w.apply(t, &DeleteRecords{Partition: id, Before: o})
	if err != nil {
		t.Fatal(err)
	}
	m.trim(o)
}

func (w *twin) check(t *rapid.T) {
	if !maps.Equal(dumpShard(w.a), dumpShard(w.b)) {
		t.Fatal("a replica that restarted has other pages")
	}
	if len(w.a.All()) != len(w.model) {
		t.Fatalf("%d partitions, the model has %d", len(w.a.All()), len(w.model))
	}
	for id, m := range w.model {
		p := w.a.Lookup(id)
		if p.LogStart() != m.start || p.HighWatermark() != m.next || p.Bytes() != m.size() || p.Segments() != len(m.segments) {
			t.Fatalf("partition %d is [%d, %d) with %d bytes in %d segments; the model's [%d, %d) with %d in %d", id, p.LogStart(),
				p.HighWatermark(), p.Bytes(), p.Segments(), m.start, m.next, m.size(), len(m.segments))
		}
		for _, s := range m.segments {
			for _, b := range s {
				if b.base >= m.start && p.Epochs().At(b.base) != b.epoch {
					t.Fatalf("offset %d was written in epoch %d, not %d", b.base, b.epoch, p.Epochs().At(b.base))
				}
			}
		}
	}
}

func TestPartitionsAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newTwin()
		rt.Repeat(map[string]func(*rapid.T){
			"define":  w.define,
			"append":  w.append,
			"append2": w.append,
			"append3": w.append,
			"tick":    w.tick,
			"settle":  w.settle,
			"trim":    w.trim,
			"term":    func(*rapid.T) { w.term++ },
			"cut":     func(*rapid.T) { w.cut.begin() },
			"write":   func(t *rapid.T) { w.cut.step(t, rapid.IntRange(0, 4).Draw(t, "pages")) },
			"restart": func(t *rapid.T) { w.b = restoreShard(t, dumpShard(w.b)) },
			"": func(rt *rapid.T) {
				w.check(rt)
				checkShardPages(rt, w.a)
			},
		})
	})
}
