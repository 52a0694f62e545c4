package dedup

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/script"
)

// failer is a test of the testing package or of rapid.
type failer interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// A dump is every page that a table has, by number.
func dump(t *Table) map[uint32]string {
	d := map[uint32]string{}
	for n := range t.leaves {
		if v, ok := t.encodePage(nil, uint32(n)); ok {
			d[uint32(n)] = string(v)
		}
	}
	return d
}

func restored(t failer, d map[uint32]string) *Table {
	t.Helper()
	o := New()
	keys := slices.Sorted(maps.Keys(d))
	slices.Reverse(keys)
	for _, n := range keys {
		if err := o.RestorePage(binary.BigEndian.AppendUint32(nil, n), []byte(d[n])); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Restored(); err != nil {
		t.Fatal(err)
	}
	return o
}

// list returns the producers by slot, and checks what is derived.
func list(t failer, tab *Table) (all []*producer) {
	t.Helper()
	leaves := 0
	for n, l := range tab.leaves {
		if l == nil {
			continue
		}
		leaves++
		if l.used == 0 || int(l.number) != n || !tab.due.Has(l) {
			t.Fatalf("leaf %d is empty or astray", n)
		}
		for i := range l.slots {
			p := &l.slots[i]
			if l.used>>i&1 == 0 {
				continue
			}
			if slot, ok := tab.index[p.key]; !ok || tab.at(slot) != p || l.due > look(p.seen()) {
				t.Fatalf("slot %d of leaf %d is lost, or expires before the leaf is due", i, n)
			}
			all = append(all, p)
		}
	}
	if len(all) != tab.Len() || leaves != tab.due.Len() {
		t.Fatalf("%d producers in %d leaves, the table says %d in %d", len(all), leaves, tab.Len(), tab.due.Len())
	}
	return all
}

type driver struct {
	t    *testing.T
	tab  *Table
	now  record.LogTime
	next record.Offset
}

func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.txt", func(t *testing.T) func(*script.Command) string {
		d := &driver{t: t, tab: New(), now: 1_000_000}
		return d.run
	})
}

func (d *driver) run(c *script.Command) string {
	switch c.Name {
	case "now":
		d.now = record.LogTime(c.Int("at", int64(d.now))) + record.LogTime(c.Int("plus", 0))
		return fmt.Sprint(d.now)
	case "send":
		return d.send(c)
	case "tick":
		d.tab.Tick(d.now, c.Str("hold", "") == "true")
		return d.state()
	case "show":
		return d.state()
	case "pages":
		var b strings.Builder
		pages := dump(d.tab)
		for _, n := range slices.Sorted(maps.Keys(pages)) {
			fmt.Fprintf(&b, "%d: %x\n", n, pages[n])
		}
		return b.String()
	case "restart":
		d.tab = restored(d.t, dump(d.tab))
		return ""
	}
	return "unknown command " + c.Name
}

// send takes seq=first-last.
func (d *driver) send(c *script.Command) string {
	var b Batch
	if _, err := fmt.Sscanf(c.Str("seq", "0-0"), "%d-%d", &b.First, &b.Last); err != nil {
		return err.Error()
	}
	b.Partition = record.PartitionID(c.Int("p", 1))
	b.Producer, b.Epoch = c.Int("pid", 1), int16(c.Int("epoch", 0))
	v, err := d.tab.Check(&b)
	switch {
	case err != nil:
		return "error: " + err.Error()
	case v.Duplicate:
		return fmt.Sprintf("duplicate of %d at %d", v.Base, v.Time)
	}
	base := d.next
	d.next += 10
	d.tab.Record(d.now, &b, v, base)
	return fmt.Sprintf("appended at %d", base)
}

func (d *driver) state() string {
	var b strings.Builder
	for _, p := range list(d.t, d.tab) {
		fmt.Fprintf(&b, "slot %d: partition %d producer %d epoch %d:", d.tab.index[p.key], p.partition, p.producer, p.epoch)
		for n := range p.count {
			i := (p.head + batches - n) % batches
			fmt.Fprintf(&b, " %d-%d@%d", p.first[i], p.last[i], p.base[i])
		}
		b.WriteString("\n")
	}
	if at, ok := d.tab.NextDeadline(); ok {
		return b.String() + fmt.Sprintf("next %d", at)
	}
	return b.String() + "next never"
}

// The model keeps everything and judges by Kafka's words.
type modelKey struct {
	p   record.PartitionID
	pid int64
}

type modelProducer struct {
	epoch int16
	sent  []modelBatch // of this epoch
	seen  record.LogTime
}

type modelBatch struct {
	first, last int32
	base        record.Offset
	time        record.LogTime
}

func (m *modelProducer) judge(b *Batch) (dup *modelBatch, err error) {
	switch {
	case m == nil:
		return nil, nil
	case b.Epoch < m.epoch:
		return nil, ErrFenced
	case b.Epoch > m.epoch && b.First == 0:
		return nil, nil
	case b.Epoch > m.epoch:
		return nil, ErrOutOfOrder
	}
	for i := len(m.sent) - 1; i >= max(0, len(m.sent)-5); i-- {
		if s := &m.sent[i]; s.first == b.First && s.last == b.Last {
			return s, nil
		}
	}
	want := int64(m.sent[len(m.sent)-1].last) + 1
	if want > math.MaxInt32 {
		want = 0
	}
	if int64(b.First) != want {
		return nil, ErrOutOfOrder
	}
	return nil, nil
}

type twin struct {
	a, b  *Table
	model map[modelKey]*modelProducer
	now   record.LogTime
	next  record.Offset
	disk  map[uint32]string
	want  map[uint32]string // of the cut under way
}

func (w *twin) send(t *rapid.T) {
	k := modelKey{record.PartitionID(rapid.IntRange(1, 2).Draw(t, "partition")), int64(rapid.IntRange(0, 90).Draw(t, "pid"))}
	m := w.model[k]
	b := Batch{Partition: k.p, Producer: k.pid}
	if m != nil {
		b.Epoch = m.epoch
	}
	b.Epoch = max(0, b.Epoch+int16(rapid.SampledFrom([]int{0, 0, 0, 0, 1, -1}).Draw(t, "epoch")))
	n := int32(rapid.IntRange(0, 3).Draw(t, "records"))
	switch how := rapid.IntRange(0, 9).Draw(t, "how"); {
	case m == nil || how == 0:
		b.First = rapid.SampledFrom([]int32{0, 1, 7, math.MaxInt32 - 2, math.MaxInt32}).Draw(t, "first")
	case how < 6:
		b.First = record.AddSequence(m.sent[len(m.sent)-1].last, 1)
	default:
		s := m.sent[max(0, len(m.sent)-rapid.IntRange(1, 7).Draw(t, "back"))]
		b.First, n = s.first, int32(uint32(s.last)-uint32(s.first)&math.MaxInt32)
	}
	b.Last = record.AddSequence(b.First, n)
	w.judge(t, k, &b)
}

func (w *twin) judge(t *rapid.T, k modelKey, b *Batch) {
	m := w.model[k]
	dup, want := m.judge(b)
	v, err := w.a.Check(b)
	o, errO := w.b.Check(b)
	if !errors.Is(err, want) || (want == nil) != (err == nil) || (errO == nil) != (err == nil) {
		t.Fatalf("%+v: %v, on a replica that restarted %v, the model %v", b, err, errO, want)
	}
	if v.Duplicate != (dup != nil) || o.Duplicate != v.Duplicate || o.Base != v.Base || o.Time != v.Time {
		t.Fatalf("%+v: %+v, on a replica that restarted %+v, the model %+v", b, v, o, dup)
	}
	if dup != nil && (dup.base != v.Base || dup.time != v.Time) {
		t.Fatalf("%+v: %+v, the model %+v", b, v, dup)
	}
	if err != nil || dup != nil {
		return
	}
	w.a.Record(w.now, b, v, w.next)
	w.b.Record(w.now, b, o, w.next)
	if m == nil {
		m = &modelProducer{epoch: b.Epoch}
		w.model[k] = m
	}
	if b.Epoch != m.epoch {
		m.epoch, m.sent = b.Epoch, nil
	}
	m.sent = append(m.sent, modelBatch{b.First, b.Last, w.next, w.now})
	m.seen = w.now
	w.next += 10
}

func (w *twin) tick(t *rapid.T) {
	w.now += record.LogTime(rapid.SampledFrom([]int64{1, 60_000, ExpiryMs / 2, ExpiryMs}).Draw(t, "plus"))
	hold := rapid.IntRange(0, 4).Draw(t, "hold") == 0
	w.a.Tick(w.now, hold)
	w.b.Tick(w.now, hold)
	if at, ok := w.a.NextDeadline(); ok && at <= w.now {
		t.Fatalf("at %d the next deadline is %d", w.now, at)
	}
	for k, m := range w.model {
		if !hold && look(m.seen) <= w.now {
			delete(w.model, k)
		}
	}
}

func (w *twin) begin(*rapid.T) {
	if w.want == nil {
		w.want = dump(w.a)
		w.a.Freeze()
	}
}

func (w *twin) write(t *rapid.T) {
	if w.want == nil {
		return
	}
	left := rapid.IntRange(0, 2).Draw(t, "pages")
	done := w.a.EncodePages(func(key, value []byte) {
		n := binary.BigEndian.Uint32(key)
		if w.disk[n] = string(value); value == nil {
			delete(w.disk, n)
		}
	}, func() bool { left--; return left >= 0 })
	if !done {
		return
	}
	if !maps.Equal(w.disk, w.want) {
		t.Fatalf("the cut wrote %d pages, the state had %d, or others", len(w.disk), len(w.want))
	}
	w.want = nil
}

func TestTableAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &twin{a: New(), b: New(), model: map[modelKey]*modelProducer{}, now: 1, disk: map[uint32]string{}}
		rt.Repeat(map[string]func(*rapid.T){
			"send": w.send, "send2": w.send, "send3": w.send, "send4": w.send,
			"wait":    func(t *rapid.T) { w.now += record.LogTime(rapid.IntRange(0, 3).Draw(t, "plus")) },
			"tick":    w.tick,
			"cut":     w.begin,
			"write":   w.write,
			"restart": func(t *rapid.T) { w.b = restored(t, dump(w.b)) },
			"": func(rt *rapid.T) {
				if !maps.Equal(dump(w.a), dump(w.b)) {
					rt.Fatal("a replica that restarted has other pages")
				}
				if w.a.Len() != len(w.model) {
					rt.Fatalf("%d producers, the model has %d", w.a.Len(), len(w.model))
				}
				list(rt, w.a)
				list(rt, w.b)
			},
		})
	})
}

// fill makes n producers, one batch each, perMs of them in each millisecond.
func fill(tab *Table, n, perMs int) {
	for i := range n {
		b := Batch{Partition: 1, Producer: int64(i)}
		v, _ := tab.Check(&b)
		tab.Record(record.LogTime(i/perMs), &b, v, record.Offset(i))
	}
}

func TestExpiryIsBoundedPerTick(t *testing.T) {
	const most = leavesPerTick * slotsPerLeaf
	tab := New()
	fill(tab, 3*most+100, 700)
	for tick, want := range []int{2*most + 100, most + 100, 100, 0} {
		if at, ok := tab.NextDeadline(); !ok || at > 2*ExpiryMs {
			t.Fatalf("with %d producers left the next deadline is %d, %v", tab.Len(), at, ok)
		}
		if tab.Tick(2*ExpiryMs, false); tab.Len() != want {
			t.Fatalf("after tick %d there are %d producers, want %d", tick, tab.Len(), want)
		}
	}
	if _, ok := tab.NextDeadline(); ok || len(tab.leaves) > 0 || tab.free != 0 {
		t.Errorf("an empty table has %d pages", len(tab.leaves))
	}
}

func TestFullTableForgetsTheLongestSilent(t *testing.T) {
	tab := New()
	fill(tab, MaxProducers, 1) // 60,000 a minute
	send := func(partition record.PartitionID, pid int64, first int32) {
		b := Batch{Partition: partition, Producer: pid, First: first, Last: first}
		v, _ := tab.Check(&b)
		tab.Record(MaxProducers, &b, v, 0)
	}
	for pid := range int64(slotsPerLeaf) { // the first leaf is silent no longer
		send(1, pid, 1)
	}
	send(2, 7, 0)
	if want := MaxProducers - slotsPerLeaf + 1; tab.Len() != want {
		t.Errorf("%d producers, want %d", tab.Len(), want)
	}
	_, busy := tab.index[key{1, 0}]
	_, silent := tab.index[key{1, slotsPerLeaf}]
	if !busy || silent {
		t.Errorf("known: the busy one %v, the silent one %v", busy, silent)
	}
	if slot := tab.index[key{2, 7}]; slot != slotsPerLeaf {
		t.Errorf("the newest took slot %d, not the lowest free one", slot)
	}
	list(t, tab)
}

func TestLeafRebornDuringACut(t *testing.T) {
	tab := New()
	fill(tab, 1, 1)
	emit := func(_, value []byte) {
		if value != nil {
			t.Errorf("a page that did not exist at the cut is written as %q", value)
		}
	}
	tab.Tick(3*ExpiryMs, false)
	tab.Freeze()
	fill(tab, 1, 1)
	if !tab.EncodePages(emit, func() bool { return true }) {
		t.Error("pages are left")
	}
}

func TestCheckOfKnownProducerAllocatesNothing(t *testing.T) {
	tab := New()
	fill(tab, 1000, 10)
	seq, now := int32(1), record.LogTime(1000)
	if n := testing.AllocsPerRun(1000, func() {
		b := Batch{Partition: 1, Producer: 500, First: seq, Last: seq}
		v, err := tab.Check(&b)
		if err != nil || v.Duplicate {
			t.Fatal(v, err)
		}
		tab.Record(now, &b, v, 5)
		seq++
		now++
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzRestorePage(f *testing.F) {
	tab := New()
	fill(tab, 100, 10)
	for n, page := range dump(tab) {
		f.Add(binary.BigEndian.AppendUint32(nil, n), []byte(page))
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		o := New()
		if o.RestorePage(key, value) != nil {
			return
		}
		if err := o.Restored(); err != nil {
			t.Fatal(err)
		}
		if again := restored(t, dump(o)); !maps.Equal(dump(again), dump(o)) {
			t.Fatal("a second restore differs")
		}
	})
}

func benchmark(b *testing.B, producers int) {
	tab := New()
	fill(tab, producers, 100)
	seqs := make([]int32, producers)
	now := record.LogTime(producers)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		n := i * 7919 % producers
		seqs[n]++
		batch := Batch{Partition: 1, Producer: int64(n), First: seqs[n], Last: seqs[n]}
		v, err := tab.Check(&batch)
		if err != nil || v.Duplicate {
			b.Fatal(v, err)
		}
		now++
		tab.Record(now, &batch, v, 1)
	}
}

func BenchmarkAppend16(b *testing.B) { benchmark(b, 16) }
func BenchmarkAppend1M(b *testing.B) { benchmark(b, 1_000_000) }

func BenchmarkCheckpoint1M(b *testing.B) {
	tab := New()
	fill(tab, 1_000_000, 100)
	seq, now := int32(0), record.LogTime(1_000_000)
	drain := func() (n int) {
		tab.Freeze()
		tab.EncodePages(func(_, v []byte) { n += len(v) }, func() bool { return true })
		return n
	}
	drain()
	var bytes int
	b.ReportAllocs()
	for b.Loop() {
		seq++
		for i := range 1000 {
			batch := Batch{Partition: 1, Producer: int64(i * 997), First: seq, Last: seq}
			v, _ := tab.Check(&batch)
			now++
			tab.Record(now, &batch, v, 1)
		}
		bytes = drain()
	}
	b.ReportMetric(float64(bytes)/1000, "page-B/batch")
}

// TestMarkersAreRemembered: a marker says which coordinator wrote it, whether or
// not it shuts anybody out, and a checkpoint keeps that.
func TestMarkersAreRemembered(t *testing.T) {
	s := New()
	b := Batch{Partition: 1, Producer: 7, Epoch: 3, First: 0, Last: 4}
	v, err := s.Check(&b)
	if err != nil {
		t.Fatal(err)
	}
	s.Record(1000, &b, v, 0)
	coordinator := func(s *Table) int32 { return s.Producers(1)[0].Coordinator }
	if c := coordinator(s); c != -1 {
		t.Errorf("before any marker: %d", c)
	}
	for i, epoch := range []int16{3, 4, 4} {
		s.Fence(2000, 1, 7, epoch, int32(10+i))
		if c := coordinator(s); c != int32(10+i) {
			t.Errorf("marker %d: coordinator %d", i, c)
		}
	}
	restored := New()
	page, _ := s.encodePage(nil, 0)
	if err := restored.RestorePage(make([]byte, 4), page); err != nil {
		t.Fatal(err)
	}
	if c := coordinator(restored); c != 12 {
		t.Errorf("after a checkpoint: coordinator %d", c)
	}
}

// TestPagesOfVersion1: they lack the coordinators, and are read all the same.
func TestPagesOfVersion1(t *testing.T) {
	page, err := hex.DecodeString("01038081e3d0fa6201d00f06020a0e0080a0abfef96210101480a0abfef962f0a204d20f0001feffffff0f022880a0abfef962")
	if err != nil {
		t.Fatal(err)
	}
	s := New()
	if err := errors.Join(s.RestorePage(make([]byte, 4), page), s.Restored()); err != nil {
		t.Fatal(err)
	}
	if s.Len() != 2 {
		t.Errorf("%d producers", s.Len())
	}
	for _, p := range s.Producers(1) {
		if p.Coordinator != -1 {
			t.Errorf("%+v", p)
		}
	}
	page[0] = pageVersion + 1
	if err := New().RestorePage(make([]byte, 4), page); err == nil {
		t.Error("a page of a version to come was read")
	}
}
