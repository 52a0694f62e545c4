package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/crashfs"
	"github.com/polylog-mq/polylog/internal/record"
)

// world is a store and a model of what must be in it. It plays the parts of
// Raft (everything that is durable gets committed) and of the state machines:
// what an entry means is remembered beside it, so that a replay after a crash
// does the same again.
type world struct {
	tb   testing.TB
	fs   *crashfs.FS
	wrap func(vfs.FS) vfs.FS // what the store sees, if not nil
	o    Options
	s    *Store
	rng  *rand.Rand
	logs []*modelLog
	// inside is set while a call of the store may touch files. While it is, mu
	// guards what may be looked at from other goroutines.
	mu     sync.Mutex
	inside bool
	// hurt says that an error was injected: the store may be dead.
	hurt bool
}

type modelLog struct {
	id      record.ShardID
	entries []modelEntry // entry i is entries[i-1]
	// older are what entries was before its end was replaced, while a crash
	// may still bring that back.
	older   [][]modelEntry
	acked   record.Index // durable, told by done
	applied record.Index
	term    record.Term

	parts map[record.PartitionID]*modelPartition // as of applied
	saved record.Index                           // of the last checkpoint
	pages map[string]string                      // as of applied
	dirty map[string]bool
	owed  bool // the last checkpoint failed and had it: the next one must, too
}

type modelEntry struct {
	term  record.Term
	data  []byte
	runs  []modelRun // Pos and Len; offsets are given at apply
	floor []modelFloor
	drop  []record.PartitionID
	page  string
}

type modelRun struct {
	p        record.PartitionID
	level    uint8
	pos, end int
}

type modelFloor struct {
	p     record.PartitionID
	level uint8
	back  record.Offset // how far below the partition's end
}

type modelPartition struct {
	next    record.Offset
	floor   record.Offset
	dropped bool
	batches []modelBatch
}

type modelBatch struct {
	base, last record.Offset
	bytes      []byte // with base offset and epoch
}

const worldParts = 4 // partitions of each group at a time

func newWorld(tb testing.TB, seed uint64, groups int) *world {
	tb.Helper()
	fs := crashfs.New()
	w := &world{tb: tb, fs: fs, rng: rand.New(rand.NewPCG(seed, 7))}
	w.o = Options{FS: fs, Dir: "data", WALFileSize: 32 << 10, TailBytes: 24 << 10}
	w.o.Rewriting = Rewriting{MinFiles: 2, MaxFiles: 5, OwnFile: 12 << 10}
	w.o.Salt = rand.NewChaCha8([32]byte{byte(seed)})
	for g := range groups {
		w.logs = append(w.logs, &modelLog{id: record.ShardID(g), term: 1, parts: map[record.PartitionID]*modelPartition{}, pages: map[string]string{}, dirty: map[string]bool{}})
	}
	w.open()
	return w
}

func (w *world) open() {
	w.tb.Helper()
	if err := w.tryOpen(); err != nil {
		w.tb.Fatal(err)
	}
}

func (w *world) tryOpen() (err error) {
	w.o.FS = w.fs
	if w.wrap != nil {
		w.o.FS = w.wrap(w.fs)
	}
	w.touch(func() { w.s, err = Open(w.o) })
	return err
}

// touch runs a call of the store that may touch files.
func (w *world) touch(fn func()) {
	set := func(inside bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.inside = inside
	}
	set(true)
	defer set(false)
	fn()
}

// must fails the test unless err is nil or errors are being injected.
func (w *world) must(err error) {
	w.tb.Helper()
	if err != nil && !w.hurt {
		w.tb.Fatal(err)
	}
}

// batch returns a batch of n records with bodies of about size bytes.
func (w *world) batch(n, size int) []byte {
	var b record.Builder
	b.Reset(record.Template(record.None))
	for range n {
		v := make([]byte, 1+w.rng.IntN(size))
		for i := range v {
			v[i] = byte(w.rng.Uint32())
		}
		b.Add(record.Record{Timestamp: w.rng.Int64N(1000), Value: v})
	}
	out, err := b.AppendTo(nil)
	if err != nil {
		w.tb.Fatal(err)
	}
	return out
}

// entry makes up an entry of a group: bodies for some of its partitions, some
// for several at once, now and then a floor or a drop.
func (w *world) entry(l *modelLog) modelEntry {
	e := modelEntry{term: l.term, data: []byte("prefix")}
	part := func() record.PartitionID {
		return record.PartitionID(1 + int(l.id)*100 + w.rng.IntN(worldParts))
	}
	for range w.rng.IntN(4) {
		pos := len(e.data)
		for range 1 + w.rng.IntN(3) {
			e.data = append(e.data, w.batch(1+w.rng.IntN(3), 1+w.rng.IntN(1500))...)
		}
		targets := map[record.PartitionID]bool{}
		for range 1 + w.rng.IntN(2) {
			p := part()
			if !targets[p] {
				targets[p] = true
				e.runs = append(e.runs, modelRun{p, uint8(w.rng.IntN(8) / 7), pos, len(e.data)})
			}
		}
	}
	switch w.rng.IntN(12) {
	case 0:
		e.floor = append(e.floor, modelFloor{part(), AllLevels, record.Offset(w.rng.IntN(20))})
	case 1:
		e.drop = append(e.drop, part())
	}
	e.page = fmt.Sprintf("%d", w.rng.IntN(5))
	return e
}

// append adds n entries to a group's log, behind its end or in place of what
// is not acknowledged yet.
func (w *world) append(l *modelLog, n int) {
	if w.rng.IntN(6) == 0 && len(l.entries) > int(l.applied) {
		// As after a change of leader: nothing applied is ever replaced.
		keep := int(l.applied) + w.rng.IntN(len(l.entries)-int(l.applied)+1)
		l.older = append(l.older, l.entries)
		l.entries = slices.Clone(l.entries[:keep])
		l.acked = min(l.acked, record.Index(keep))
		l.term++
	}
	first := record.Index(len(l.entries) + 1)
	a := Append{Group: l.id, Sync: true}
	for range n {
		e := w.entry(l)
		l.entries = append(l.entries, e)
		a.Entries = append(a.Entries, Entry{Index: record.Index(len(l.entries)), Term: e.term, Data: e.data})
	}
	last, term := first+record.Index(n)-1, l.term
	a.HardState = &HardState{Term: l.term, Vote: 1, Commit: l.applied}
	w.s.Append([]Append{a}, func(err error) {
		if err != nil {
			return // a crash or an injected error; the test that made it knows
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(l.entries) >= int(last) && l.entries[last-1].term == term {
			l.acked = max(l.acked, last)
		}
	})
}

// flush makes everything durable.
func (w *world) flush() {
	w.touch(func() {
		for w.s.Flush() {
		}
	})
	if w.s.Err() != nil {
		return
	}
	for _, l := range w.logs {
		l.older = nil
	}
}

// apply applies up to n durable entries of each group.
func (w *world) apply(n int) {
	for _, l := range w.logs {
		for i := 0; i < n && l.applied < l.acked; i++ {
			w.applyNext(l)
		}
	}
}

func (l *modelLog) part(p record.PartitionID) *modelPartition {
	if l.parts[p] == nil {
		l.parts[p] = &modelPartition{}
	}
	return l.parts[p]
}

// applyNext applies the next entry to the model and, unless it has it already,
// to the store.
func (w *world) applyNext(l *modelLog) {
	runs, dropped := w.applyModel(l)
	e := &l.entries[l.applied-1]
	w.s.AddRuns(l.id, l.applied, runs)
	for _, f := range e.floor {
		if p := l.part(f.p); !p.dropped {
			w.s.SetFloor(l.id, l.applied, f.p, f.level, p.floor)
		}
	}
	for _, id := range dropped {
		w.s.DropPartition(l.id, l.applied, id)
	}
	l.dirty[e.page] = true
}

func (w *world) applyModel(l *modelLog) (runs []Run, dropped []record.PartitionID) {
	l.applied++
	e := &l.entries[l.applied-1]
	for _, r := range e.runs {
		if p := l.part(r.p); !p.dropped {
			runs = append(runs, w.runOf(l, e, r, p))
		}
	}
	for _, f := range e.floor {
		p := l.part(f.p)
		p.floor = max(p.floor, p.next-f.back)
	}
	for _, id := range e.drop {
		if p := l.part(id); !p.dropped {
			p.dropped = true
			dropped = append(dropped, id)
		}
	}
	l.pages[e.page] = fmt.Sprint(l.applied)
	return runs, dropped
}

func (w *world) runOf(l *modelLog, e *modelEntry, r modelRun, p *modelPartition) Run {
	run := Run{
		Partition: r.p, Level: r.level, Epoch: record.Epoch(e.term), Base: p.next, LogTime: record.LogTime(l.applied),
		FirstID: record.EntryID{Time: record.LogTime(l.applied), Seq: 3}, Pos: uint32(r.pos), Len: uint32(r.end - r.pos),
	}
	for body := e.data[r.pos:r.end]; len(body) > 0; {
		h, err := record.ParseHeader(body)
		if err != nil {
			w.tb.Fatal(err)
		}
		run.MaxTimestamp = max(run.MaxTimestamp, h.MaxTimestamp)
		b := slices.Clone(body[:h.Size()])
		patch(b, p.next, run.Epoch)
		last := p.next + record.Offset(h.LastOffsetDelta)
		p.batches = append(p.batches, modelBatch{p.next, last, b})
		p.next, body = last+1, body[h.Size():]
	}
	run.Last = p.next - 1
	return run
}

// cut returns a group's part of a checkpoint.
func (w *world) cut(l *modelLog) GroupCut {
	c := GroupCut{Group: l.id, Applied: l.applied, CompactTo: max(l.applied-min(l.applied, record.Index(w.rng.IntN(4))), w.s.Log(l.id).FirstIndex()-1)}
	c.Term = 0
	if l.applied > 0 {
		c.Term = l.entries[l.applied-1].term
	}
	for _, k := range slices.Sorted(maps.Keys(l.dirty)) {
		c.Pages = append(c.Pages, Page{[]byte(k), []byte(l.pages[k])})
	}
	clear(l.dirty)
	return c
}

func (w *world) checkpoint() {
	var cuts []GroupCut
	for _, l := range w.logs {
		if w.rng.IntN(4) > 0 || l.owed {
			cuts = append(cuts, w.cut(l))
		}
	}
	w.apply(w.rng.IntN(4)) // apply goes on between cut and checkpoint
	var err error
	w.touch(func() { err = w.s.Checkpoint(cuts) })
	if w.must(err); err != nil {
		for _, c := range cuts { // the next one must have these pages as well
			for _, p := range c.Pages {
				w.logs[c.Group].dirty[string(p.Key)] = true
			}
			w.logs[c.Group].owed = true
		}
		return
	}
	for _, c := range cuts {
		w.logs[c.Group].saved, w.logs[c.Group].owed = c.Applied, false
	}
}

// reopen closes the store, or crashes it, and recovers. What was acknowledged
// must be there; what was not may be.
func (w *world) reopen(crash bool) {
	fs := w.fs
	if crash {
		fs = w.fs.Crash(w.rng)
	}
	w.must(w.s.Close())
	w.fs = fs
	w.open()
	w.recovered()
}

// recovered brings the model to what the opened store must have, and replays.
func (w *world) recovered() {
	w.tb.Helper()
	for _, l := range w.logs {
		log := w.s.Log(l.id)
		applied, _, _, _ := w.s.Applied(l.id)
		if applied < l.saved {
			w.tb.Fatalf("group %d: the checkpoint is at %d, and was made durable at %d", l.id, applied, l.saved)
		}
		if log.LastIndex() < l.acked {
			w.tb.Fatalf("group %d: the log ends at %d, acknowledged was %d", l.id, log.LastIndex(), l.acked)
		}
		was := l.applied
		w.checkEntries(l)
		l.saved, l.acked = applied, log.LastIndex()
		l.entries, l.older = slices.Clone(l.entries[:l.acked]), nil
		w.checkPages(l, applied)
		// The model begins again and passes over what the checkpoint has.
		l.parts, l.applied = map[record.PartitionID]*modelPartition{}, 0
		l.pages, l.dirty = map[string]string{}, map[string]bool{}
		for l.applied < applied {
			w.applyModel(l)
		}
		// What later entries have deleted is there as of the cut: they may never
		// come again if this member does not.
		w.checkLog(l, false)
		for l.applied < was {
			w.applyNext(l)
		}
	}
}

// checkEntries compares the whole log with what was appended, or with what was
// there before an end was replaced, and makes that the model's.
func (w *world) checkEntries(l *modelLog) {
	w.tb.Helper()
	log := w.s.Log(l.id)
	var all []Entry
	for lo := log.FirstIndex(); lo <= log.LastIndex(); {
		got, err := log.Entries(lo, log.LastIndex()+1, 1+w.rng.IntN(20_000))
		if err != nil {
			w.tb.Fatal(err)
		}
		all = append(all, got...)
		lo += record.Index(len(got))
	}
	for _, entries := range append(slices.Clip(l.older), l.entries) {
		if len(all) == 0 || len(entries) >= int(log.LastIndex()) && !slices.ContainsFunc(all, func(e Entry) bool {
			want := entries[e.Index-1]
			return e.Term != want.term || !bytes.Equal(e.Data, want.data)
		}) {
			l.entries = entries
			return
		}
	}
	w.tb.Fatalf("group %d: the log from %d to %d is not what was appended", l.id, log.FirstIndex(), log.LastIndex())
}

func (w *world) checkPages(l *modelLog, applied record.Index) {
	w.tb.Helper()
	want := map[string]string{}
	for i := range applied {
		want[l.entries[i].page] = fmt.Sprint(i + 1)
	}
	got := 0
	if err := w.s.LoadPages(l.id, func(k, v []byte) error {
		if want[string(k)] != string(v) {
			w.tb.Fatalf("group %d: page %s is %s, want %s at %d", l.id, k, v, want[string(k)], applied)
		}
		got++
		return nil
	}); err != nil {
		w.tb.Fatal(err)
	}
	if got != len(want) {
		w.tb.Fatalf("group %d: %d pages, want %d", l.id, got, len(want))
	}
}

// check reads every partition and compares it with the model.
func (w *world) check() {
	w.tb.Helper()
	for _, l := range w.logs {
		w.checkLog(l, true)
	}
}

// checkLog checks the partitions of a group. Unless exact is set the store may
// have more at their ends.
func (w *world) checkLog(l *modelLog, exact bool) {
	w.tb.Helper()
	var r Result
	for _, id := range slices.Sorted(maps.Keys(l.parts)) {
		w.checkPartition(&r, id, l.parts[id], exact)
	}
}

func (w *world) checkPartition(r *Result, id record.PartitionID, p *modelPartition, exact bool) {
	w.tb.Helper()
	_, next, err := w.s.Bounds(id)
	if p.dropped {
		if !errors.Is(err, ErrNoPartition) {
			w.tb.Fatalf("partition %d was dropped, but Bounds says %v", id, err)
		}
		return
	}
	if err != nil && p.next == 0 {
		return
	}
	if err != nil || next < p.next || exact && next != p.next {
		w.tb.Fatalf("partition %d ends at %d (%v), want %d", id, next, err, p.next)
	}
	from := p.floor
	if p.next > p.floor && w.rng.IntN(3) == 0 {
		from += record.Offset(w.rng.Int64N(int64(p.next - p.floor)))
	}
	r.Whole = w.rng.IntN(2) == 0
	want := slices.DeleteFunc(slices.Clone(p.batches), func(b modelBatch) bool { return b.last < from })
	for from < p.next {
		maxBytes := 1 + w.rng.IntN(8000)
		if err := w.s.Read(r, id, from, p.next, maxBytes, true); err != nil {
			w.tb.Fatalf("reading partition %d at %d: %v", id, from, err)
		}
		got := bytes.Join(r.Buffers, nil)
		if len(got) == 0 || len(got) != r.Size || r.Next <= from {
			w.tb.Fatalf("reading partition %d at %d: %d bytes, size %d, next %d", id, from, len(got), r.Size, r.Next)
		}
		n := 0
		for len(got) > 0 {
			if len(want) == 0 || !bytes.HasPrefix(got, want[0].bytes) {
				w.tb.Fatalf("reading partition %d at %d: something else than the next batch", id, from)
			}
			got, want, n = got[len(want[0].bytes):], want[1:], n+1
		}
		if n > 1 && r.Size > maxBytes {
			w.tb.Fatalf("read %d bytes of at most %d", r.Size, maxBytes)
		}
		from = r.Next
		r.Release()
	}
	if len(want) > 0 {
		w.tb.Fatalf("partition %d lacks %d batches", id, len(want))
	}
}

// step does something at random, a restart included.
func (w *world) step() {
	w.tb.Helper()
	if w.rng.IntN(50) == 0 {
		w.reopen(w.rng.IntN(2) == 0)
		return
	}
	w.steadyStep()
}

// steadyStep does something at random to the open store.
func (w *world) steadyStep() {
	w.tb.Helper()
	switch n := w.rng.IntN(98); {
	case n < 40:
		w.append(w.logs[w.rng.IntN(len(w.logs))], 1+w.rng.IntN(3))
	case n < 65:
		w.flush()
	case n < 85:
		w.apply(1 + w.rng.IntN(5))
	case n < 92:
		w.checkpoint()
	case n < 94:
		w.check()
	default:
		var err error
		w.touch(func() { _, err = w.s.Rewrite(1 + w.rng.IntN(20_000)) })
		w.must(err)
	}
}
