package store

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/polylog-mq/polylog/internal/clock"
	"github.com/polylog-mq/polylog/internal/crashfs"
	"github.com/polylog-mq/polylog/internal/record"
)

// keyed is a store with compacted partitions and a model that remembers every
// record: what is missing in the store must be what compaction may remove.
type keyed struct {
	tb    testing.TB
	fs    *crashfs.FS
	wrap  func(vfs.FS) vfs.FS
	o     Options
	s     *Store
	clock *clock.Virtual
	rng   *rand.Rand

	entries []keyedEntry
	end     *keyedState // after all entries
	now     *keyedState // after those applied
	applied record.Index
	acked   record.Index

	mu     sync.Mutex // guards inside, and what a hook looks at while that is set
	inside bool
}

type keyedEntry struct {
	data []byte
	ops  []keyedOp
}

// keyedOp is something that an entry does to a partition.
type keyedOp struct {
	p         record.PartitionID
	pos, end  int           // batches appended
	floor     record.Offset // if above 0
	below     record.Offset // compaction is allowed so far, if above 0
	marks     bool          // the batch is a marker
	level     uint8
	settled   []stretch
	producer  int64
	committed bool
}

type keyedState struct {
	index record.Index
	parts map[record.PartitionID]*keyedPart
}

type keyedPart struct {
	next, floor, below record.Offset
	at                 record.LogTime
	recs               []keyedRec
	batches            map[record.Offset]record.Offset // base to last
	ids                map[record.Offset]record.EntryID
	open               map[int64]record.Offset
	aborted            []keyedTxn
	settled            map[record.Offset]bool
}

type keyedTxn struct {
	producer    int64
	first, last record.Offset
}

type keyedRec struct {
	record.Record
	shown           string
	producer        int64
	control, commit bool
	aborted         bool
	open            bool
	allowed         record.LogTime // when it may have been compacted first
}

const (
	keyedRetention = 3000
	plainPartition = 9 // not compacted
)

// queued reports whether a partition is a queue: not compacted, but settled.
func queued(id record.PartitionID) bool { return id == 7 || id == 8 }

func newKeyed(tb testing.TB, seed uint64) *keyed {
	tb.Helper()
	w := &keyed{tb: tb, fs: crashfs.New(), clock: clock.NewVirtual(time.UnixMilli(0)), rng: rand.New(rand.NewPCG(seed, 11))}
	w.o = Options{Dir: "data", WALFileSize: 24 << 10, TailBytes: 8 << 10, Clock: w.clock, CompactionBytes: slotBytes * int64(8+w.rng.IntN(30))}
	w.o.Rewriting = Rewriting{MinFiles: 2, MaxFiles: 4, OwnFile: 12 << 10, CompactChunk: int64(1+w.rng.IntN(12)) << 10}
	w.o.Salt = rand.NewChaCha8([32]byte{byte(seed)})
	w.end, w.now = newKeyedState(), newKeyedState()
	w.open()
	return w
}

func newKeyedState() *keyedState { return &keyedState{parts: map[record.PartitionID]*keyedPart{}} }

func (st *keyedState) part(id record.PartitionID) *keyedPart {
	if st.parts[id] == nil {
		st.parts[id] = &keyedPart{
			batches: map[record.Offset]record.Offset{}, ids: map[record.Offset]record.EntryID{}, open: map[int64]record.Offset{},
			settled: map[record.Offset]bool{},
		}
	}
	return st.parts[id]
}

// stable is the last stable offset.
func (p *keyedPart) stable() record.Offset {
	o := p.next
	for _, first := range p.open {
		o = min(o, first)
	}
	return o
}

func timeOf(i record.Index) record.LogTime { return record.LogTime(i) * 100 }

func (w *keyed) open() {
	w.tb.Helper()
	w.o.FS = w.fs
	if w.wrap != nil {
		w.o.FS = w.wrap(w.fs)
	}
	var err error
	w.touch(func() { w.s, err = Open(w.o) })
	if err != nil {
		w.tb.Fatal(err)
	}
}

func (w *keyed) touch(fn func()) {
	set := func(inside bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.inside = inside
	}
	set(true)
	defer set(false)
	fn()
}

// batch returns a batch of some keys' records.
func (w *keyed) batch(producer int64, now record.LogTime) []byte {
	h := record.Template(record.Codec(w.rng.IntN(5)))
	if producer >= 0 {
		h.ProducerID, h.ProducerEpoch, h.BaseSequence = producer, 1, 0
		h.Attributes |= 1 << 4
	}
	var b record.Builder
	b.Reset(h)
	for range 1 + w.rng.IntN(4) {
		r := record.Record{Timestamp: max(int64(now)-w.rng.Int64N(500), 0), Key: fmt.Appendf(nil, "key%d", w.rng.IntN(24))}
		if w.rng.IntN(5) > 0 {
			r.Value = make([]byte, 1+w.rng.IntN(300))
			for i := range r.Value {
				r.Value[i] = byte(w.rng.Uint32())
			}
		}
		b.Add(r)
	}
	return w.built(&b)
}

func (w *keyed) built(b *record.Builder) []byte {
	out, err := b.AppendTo(nil)
	if err != nil {
		w.tb.Fatal(err)
	}
	return out
}

// propose adds an entry to the log that does something to some partitions.
func (w *keyed) propose() {
	i := record.Index(len(w.entries) + 1)
	e := keyedEntry{data: []byte("prefix")}
	for range 1 + w.rng.IntN(3) {
		w.op(&e, record.PartitionID(1+w.rng.IntN(3)), timeOf(i))
	}
	if w.rng.IntN(3) == 0 {
		w.op(&e, plainPartition, timeOf(i))
	}
	for range w.rng.IntN(3) {
		w.queueOp(&e, record.PartitionID(7+w.rng.IntN(2)), timeOf(i))
	}
	w.entries = append(w.entries, e)
	w.end.apply(&e)
	w.s.Append([]Append{{Sync: true, Entries: []Entry{{Index: i, Term: 1, Data: e.data}}}}, func(err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if err == nil {
			w.acked = max(w.acked, i)
		}
	})
}

func (w *keyed) op(e *keyedEntry, id record.PartitionID, now record.LogTime) {
	if slices.ContainsFunc(e.ops, func(o keyedOp) bool { return o.p == id }) {
		return // what an operation says counts from the state before the entry
	}
	p := w.end.part(id)
	op := keyedOp{p: id, pos: len(e.data), producer: -1}
	switch n := w.rng.IntN(20); {
	case n < 10 || id == plainPartition:
		for range 1 + w.rng.IntN(3) {
			e.data = append(e.data, w.batch(-1, now)...)
		}
	case n < 13:
		op.producer = int64(w.rng.IntN(2))
		e.data = append(e.data, w.batch(op.producer, now)...)
	case n < 16 && len(p.open) > 0:
		op.producer = slices.Sorted(maps.Keys(p.open))[0]
		op.marks, op.committed = true, w.rng.IntN(2) == 0
		var b record.Builder
		b.Reset(record.MarkerTemplate(op.producer, 1))
		key := []byte{0, 0, 0, 0}
		if op.committed {
			key[3] = 1
		}
		b.Add(record.Record{Timestamp: int64(now), Key: key, Value: make([]byte, 6)})
		e.data = append(e.data, w.built(&b)...)
	case n == 16 && w.rng.IntN(3) == 0 && p.next > 0:
		op.floor = p.floor + record.Offset(w.rng.Int64N(int64(p.next-p.floor)/3+1))
	default:
		// Anywhere between batches, but not behind the last one.
		o := p.below + record.Offset(w.rng.Int64N(int64(max(p.stable()-p.below, 0))+1))
		for base, last := range p.batches {
			if base < o && o <= last {
				o = base
			}
		}
		if o >= p.next {
			return
		}
		op.below = o
	}
	if op.end = len(e.data); op.end > op.pos || op.floor > 0 || op.below > 0 {
		e.ops = append(e.ops, op)
	}
}

// apply carries out the next entry and returns the runs it adds.
func (st *keyedState) apply(e *keyedEntry) (runs []Run) {
	st.index++
	now := timeOf(st.index)
	for _, op := range e.ops {
		p := st.part(op.p)
		if op.end > op.pos {
			runs = append(runs, p.add(&op, e.data[op.pos:op.end], now))
		}
		p.floor = max(p.floor, op.floor)
		for _, x := range op.settled {
			for o := x.first; o <= x.last; o++ {
				p.settled[o] = true
			}
		}
		if op.below > p.below {
			for i := range p.recs {
				if r := &p.recs[i]; r.Offset >= p.below && r.Offset < op.below {
					r.allowed = now
				}
			}
			p.below, p.at = op.below, now
		}
	}
	return runs
}

func (p *keyedPart) add(op *keyedOp, body []byte, now record.LogTime) Run {
	run := Run{
		Partition: op.p, Level: op.level, Epoch: 3, Base: p.next, LogTime: now, FirstID: record.EntryID{Time: now, Seq: 7},
		Pos: uint32(op.pos), Len: uint32(len(body)), MaxTimestamp: -1,
	}
	for len(body) > 0 {
		h, _ := record.ParseHeader(body)
		run.MaxTimestamp = max(run.MaxTimestamp, h.MaxTimestamp)
		b := slices.Clone(body[:h.Size()])
		record.SetBaseOffset(b, p.next)
		_ = record.Records(b, func(r record.Record) error {
			rec := keyedRec{producer: op.producer, control: op.marks, commit: op.committed, open: op.producer >= 0 && !op.marks}
			rec.Offset, rec.Timestamp = r.Offset, r.Timestamp
			rec.Key, rec.Value, rec.shown = slices.Clone(r.Key), slices.Clone(r.Value), showKeyed(&r)
			p.recs = append(p.recs, rec)
			return nil
		})
		p.batches[p.next] = p.next + record.Offset(h.LastOffsetDelta)
		p.ids[p.next] = record.EntryID{Time: now, Seq: 7 + uint64(p.next-run.Base)}
		p.next += record.Offset(h.LastOffsetDelta) + 1
		body = body[h.Size():]
	}
	run.Last = p.next - 1
	first, open := p.open[op.producer]
	switch {
	case op.marks:
		p.decide(op, first, run.Last)
		run.Flags = Control | Transactional
	case op.producer >= 0:
		if !open {
			p.open[op.producer] = run.Base
		}
		run.Flags = Transactional
	}
	return run
}

// decide ends a transaction.
func (p *keyedPart) decide(op *keyedOp, first, marker record.Offset) {
	delete(p.open, op.producer)
	for i := range p.recs {
		if r := &p.recs[i]; r.open && r.producer == op.producer {
			r.open, r.aborted = false, !op.committed
		}
	}
	if !op.committed {
		p.aborted = append(p.aborted, keyedTxn{op.producer, first, marker})
	}
}

// showKeyed tells a record apart from all others; it is called very often.
func showKeyed(r *record.Record) string {
	b := make([]byte, 0, 24+len(r.Key)+len(r.Value))
	b = binary.AppendVarint(binary.AppendVarint(b, int64(r.Offset)), r.Timestamp)
	b = append(binary.AppendUvarint(b, uint64(len(r.Key))), r.Key...)
	if r.Value == nil {
		return string(append(b, "no value"...))
	}
	return string(append(append(b, '='), r.Value...))
}

// tell gives the store what apply of entry i allows; 0: what a checkpoint says.
func (w *keyed) tell(i record.Index, id record.PartitionID, p *keyedPart) {
	if queued(id) {
		w.s.SetSettled(0, id, keyedPages{})
	}
	if queued(id) || id == plainPartition {
		return
	}
	aborted := slices.Clip(p.aborted)
	w.s.SetCompaction(0, i, id, &Compaction{Below: p.below, At: p.at, DeleteRetention: keyedRetention, Aborted: func(producer int64, o record.Offset) bool {
		return slices.ContainsFunc(aborted, func(t keyedTxn) bool { return t.producer == producer && t.first <= o && o < t.last })
	}})
}

func (w *keyed) apply(n int) {
	for ; n > 0 && w.applied < w.acked; n-- {
		e := &w.entries[w.applied]
		w.applied++
		w.s.AddRuns(0, w.applied, w.now.apply(e))
		w.clock.Advance(time.UnixMilli(int64(timeOf(w.applied))).Sub(w.clock.Now()))
		for _, op := range e.ops {
			if op.floor > 0 {
				w.s.SetFloor(0, w.applied, op.p, AllLevels, w.now.part(op.p).floor)
			}
			if op.below > 0 || queued(op.p) {
				w.tell(w.applied, op.p, w.now.part(op.p))
			}
		}
	}
}

func (w *keyed) flush() {
	w.touch(func() {
		for w.s.Flush() {
		}
	})
}

func (w *keyed) checkpoint() {
	c := GroupCut{Applied: w.applied, CompactTo: w.applied, Pages: w.now.pages()}
	if w.applied > 0 {
		c.Term = 1
	}
	for range w.rng.IntN(4) { // life goes on between cut and checkpoint
		w.flush()
		w.apply(w.rng.IntN(4))
		w.rewrite()
	}
	var err error
	w.touch(func() { err = w.s.Checkpoint([]GroupCut{c}) })
	if err != nil {
		w.tb.Fatal(err)
	}
}

func (w *keyed) rewrite() bool {
	var did bool
	var err error
	w.touch(func() { did, err = w.s.Rewrite(1 + w.rng.IntN(6000)) })
	if err != nil {
		w.tb.Fatal(err)
	}
	return did
}

func (w *keyed) step() {
	w.tb.Helper()
	switch n := w.rng.IntN(100); {
	case n < 45:
		w.propose()
	case n < 60:
		w.flush()
	case n < 74:
		w.apply(1 + w.rng.IntN(6))
	case n < 80:
		w.checkpoint()
	case n < 98:
		w.rewrite()
	case n < 99:
		w.check(false)
	default:
		fs := w.fs
		if w.rng.IntN(2) == 0 {
			fs = w.fs.Crash(w.rng)
		}
		if err := w.s.Close(); err != nil {
			w.tb.Fatal(err)
		}
		w.fs = fs
		w.open()
		w.recovered()
	}
}

// recovered brings the model to what the opened store must have, and replays.
func (w *keyed) recovered() {
	w.tb.Helper()
	last := w.s.Log(0).LastIndex()
	if last < w.acked {
		w.tb.Fatalf("the log ends at %d, acknowledged was %d", last, w.acked)
	}
	was := w.applied
	w.entries, w.acked = w.entries[:last:last], last
	w.end, w.now = newKeyedState(), newKeyedState()
	for i := range w.entries {
		w.end.apply(&w.entries[i])
	}
	w.applied, _, _, _ = w.s.Applied(0)
	for i := range w.applied {
		w.now.apply(&w.entries[i])
	}
	for _, id := range slices.Sorted(maps.Keys(w.now.parts)) {
		p := w.now.parts[id]
		w.tell(0, id, p)
		w.s.SetEnd(id, p.next)
	}
	// What a later entry has allowed must not have happened yet: it may never
	// come again if this member does not.
	w.check(false)
	w.apply(int(max(was, w.applied) - w.applied))
}

// check reads every partition. What is missing must be what may be, and once all
// is compacted, nothing else may be there.
func (w *keyed) check(exact bool) {
	w.tb.Helper()
	for _, id := range slices.Sorted(maps.Keys(w.now.parts)) {
		p := w.now.parts[id]
		if _, next, err := w.s.Bounds(id); err != nil || next < p.next {
			w.tb.Fatalf("partition %d ends at %d (%v), want %d", id, next, err, p.next)
		}
		got := w.read(id, p)
		p.compare(w.tb, id, got, timeOf(w.now.index), exact)
		w.checkTimes(id, p, got)
	}
}

// read returns the records that are left.
func (w *keyed) read(id record.PartitionID, p *keyedPart) map[record.Offset]string {
	w.tb.Helper()
	got := map[record.Offset]string{}
	res := Result{Whole: true}
	from, last := p.floor, p.floor-1
	for from < p.next {
		if err := w.s.Read(&res, id, from, p.next, 1+w.rng.IntN(3000), true); err != nil {
			w.tb.Fatalf("reading partition %d at %d: %v", id, from, err)
		}
		if res.Next == from {
			break // nothing is left up to the end
		}
		res.Batches(func(run *Run, batch []byte) bool {
			h, _ := record.ParseHeader(batch)
			if p.batches[h.BaseOffset] != h.LastOffset() || h.BaseOffset <= last && last >= p.floor {
				w.tb.Fatalf("partition %d has a batch %v behind offset %d", id, h, last)
			}
			first := record.EntryID{Time: run.FirstID.Time, Seq: run.FirstID.Seq + uint64(h.BaseOffset-run.Base)}
			if h.BaseOffset < run.Base || h.LastOffset() > run.Last || first != p.ids[h.BaseOffset] || run.LogTime != first.Time || h.Epoch != 3 {
				w.tb.Fatalf("partition %d: run %v has a batch %v", id, run, h)
			}
			last = h.LastOffset()
			if err := record.Records(batch, func(r record.Record) error {
				if r.Offset >= p.floor {
					got[r.Offset] = showKeyed(&r)
				}
				return nil
			}); err != nil {
				w.tb.Fatal(err)
			}
			return true
		})
		from = res.Next
		res.Release()
	}
	return got
}

// compare holds what is left against the model.
func (p *keyedPart) compare(tb testing.TB, id record.PartitionID, got map[record.Offset]string, now record.LogTime, exact bool) {
	tb.Helper()
	newest := map[string]record.Offset{} // of each key, below the dirty point
	for i := range p.recs {
		if r := &p.recs[i]; r.Offset < p.below && !r.control && !r.aborted {
			newest[string(r.Key)] = r.Offset
		}
	}
	data := map[int64]bool{} // is left of the producer's transaction
	for i := range p.recs {
		r := &p.recs[i]
		if r.Offset < p.floor {
			continue
		}
		shown, there := got[r.Offset]
		if there && shown != r.shown {
			tb.Fatalf("partition %d has %q, want %q", id, shown, r.shown)
		}
		had := data[r.producer]
		data[r.producer] = !r.control && (had || there)
		old := r.Offset < p.below && now >= r.allowed+keyedRetention
		removed, free := false, false // it must, or may be gone
		switch {
		case queued(id):
			free = p.settled[r.Offset] && r.Offset < p.next-1
		case id == plainPartition || r.Offset >= p.below:
		case r.control:
			free = r.commit && old && !had
		case r.aborted || newest[string(r.Key)] > r.Offset:
			removed = true
		default:
			free = r.Value == nil && old
		}
		if !there && !removed && !free {
			tb.Fatalf("partition %d, compacted below %d at %d, lacks %q (control %v, aborted %v, allowed at %d)", id, p.below, now, r.shown, r.control, r.aborted, r.allowed)
		}
		if there && removed && exact {
			tb.Fatalf("partition %d, compacted below %d, still has %q", id, p.below, r.shown)
		}
	}
	if len(got) > len(p.recs) {
		tb.Fatalf("partition %d has %d records of %d", id, len(got), len(p.recs))
	}
}

// checkTimes looks records up by time.
func (w *keyed) checkTimes(id record.PartitionID, p *keyedPart, got map[record.Offset]string) {
	w.tb.Helper()
	ts := w.rng.Int64N(int64(timeOf(w.now.index)) + 500)
	first, top := record.Offset(-1), keyedRec{}
	top.Timestamp = -1
	for _, r := range p.recs {
		if _, there := got[r.Offset]; !there {
			continue
		}
		if first < 0 && r.Timestamp >= ts {
			first = r.Offset
		}
		if r.Timestamp > top.Timestamp {
			top = r
		}
	}
	if p.floor == p.next {
		return
	}
	f, ok, err := w.s.FindTime(id, p.floor, p.next, ts)
	if err != nil || ok != (first >= 0) || ok && f.Offset != first {
		w.tb.Fatalf("partition %d: the first record at %d or later is %d, want %d (%v %v)", id, ts, f.Offset, first, ok, err)
	}
	f, ok, err = w.s.FindMaxTime(id, p.floor, p.next)
	if err != nil || ok != (top.Timestamp >= 0) || ok && (f.Offset != top.Offset || f.Timestamp != top.Timestamp) {
		w.tb.Fatalf("partition %d: the newest record is %d, want %d (%v %v)", id, f.Offset, top.Offset, ok, err)
	}
}

// settle compacts all that may be.
func (w *keyed) settle() {
	w.tb.Helper()
	w.flush()
	w.apply(1 << 20)
	for range 3 {
		w.checkpoint()
		for n := 0; w.rewrite(); n++ {
			if n > 100_000 {
				w.tb.Fatal("compaction finds no end")
			}
		}
	}
}

func TestCompactionAgainstModel(t *testing.T) {
	seeds, steps := 40, 500
	if testing.Short() {
		seeds = 8
	}
	var compactions, compacted, settled uint64
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newKeyed(t, uint64(seed))
			for range steps {
				w.step()
			}
			w.settle()
			w.check(true)
			compactions += w.s.Stats().Compactions.Load()
			compacted += w.s.Stats().Compacted.Load()
			settled += w.s.Stats().Settled.Load()
			if err := w.s.Close(); err != nil {
				t.Fatal(err)
			}
			w.open()
			w.recovered()
			w.settle()
			w.check(true)
			if err := w.s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
	if compactions < uint64(seeds) || compacted == 0 || settled == 0 {
		t.Errorf("%d compactions removed %d bytes, and %d were settled: the test tests too little", compactions, compacted, settled)
	}
}

// At every sync, rename and removal of a random history with compaction the
// machine crashes.
func TestCompactionSurvivesACrashAtEverySyncPoint(t *testing.T) {
	type point struct {
		fs             *crashfs.FS
		entries        []keyedEntry
		acked, applied record.Index
		what           string
	}
	seeds, steps := 3, 200
	if testing.Short() {
		seeds, steps = 1, 80
	}
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(uint64(seed), 5))
		var points []point
		w := newKeyed(t, 900+uint64(seed))
		hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if !isSync(op) || !w.inside {
				return nil
			}
			fs := w.fs.Crash(nil)
			switch len(points) % 3 {
			case 1:
				fs = w.fs.Crash(rng)
			case 2:
				fs = w.fs.Kill()
			}
			points = append(points, point{fs, slices.Clone(w.entries), w.acked, w.applied, fmt.Sprintf("seed %d, sync %d, kind %d of %s", seed, len(points), op.Kind, op.Path)})
			return nil
		})
		if err := w.s.Close(); err != nil {
			t.Fatal(err)
		}
		w.wrap = func(fs vfs.FS) vfs.FS { return errorfs.Wrap(fs, hook) }
		w.open()
		for range steps {
			w.step()
		}
		if err := w.s.Close(); err != nil {
			t.Fatal(err)
		}
		for i := range points {
			p := &points[i]
			after := &keyed{tb: failing{t, p.what}, fs: p.fs, o: w.o, clock: w.clock, rng: rng, entries: p.entries, acked: p.acked, applied: p.applied}
			after.o.Salt = rand.NewChaCha8([32]byte{9})
			after.open()
			after.recovered()
			after.check(false)
			after.settle()
			after.check(true)
			if err := after.s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if len(points) < steps/2 {
			t.Fatalf("only %d crash points", len(points))
		}
	}
}
