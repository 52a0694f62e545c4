package replica

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sort"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// memStore is a store in memory that can lose what was not flushed. now is what
// the running node sees, disk what a crash leaves; queue lies between.
type memStore struct {
	now, disk *memState
	queue     []memAppend
	ready     chan struct{}
	// checkpointEvery entries a checkpoint is wanted; 0 for never.
	checkpointEvery int
	sinceCheckpoint int
	checkpoints     int
	fail            error // of the next Flush
	noRoom          error // of the next Checkpoints
	damaged         bool  // entries that were written cannot be read
	conflicts       int   // imports that will find, at the end, that they do not fit
	dead            error
}

type memState struct {
	groups map[record.ShardID]*memGroup
	data   map[record.PartitionID][]memRun // in the order of offsets
}

type memGroup struct {
	hard        store.HardState
	entries     []store.Entry
	first       record.Index // of entries
	baseTerm    record.Term  // of first-1
	applied     record.Index
	appliedTerm record.Term
	conf        []byte
	pages       map[string][]byte
	cut         bool
}

type memRun struct {
	run   store.Run
	bytes []byte
	group record.ShardID
	index record.Index
}

type memAppend struct {
	parts []store.Append
	given []*store.Entry // those in pieces
	done  func(error)
}

func newMemStore() *memStore {
	return &memStore{now: newMemState(), disk: newMemState(), ready: make(chan struct{}, 1)}
}

func newMemState() *memState {
	return &memState{groups: map[record.ShardID]*memGroup{}, data: map[record.PartitionID][]memRun{}}
}

func (s *memState) group(id record.ShardID) *memGroup {
	g := s.groups[id]
	if g == nil {
		g = &memGroup{first: 1, pages: map[string][]byte{}}
		s.groups[id] = g
	}
	return g
}

func (s *memState) clone() *memState {
	c := newMemState()
	for id, g := range s.groups {
		n := *g
		n.entries, n.pages = slices.Clone(g.entries), maps.Clone(g.pages)
		c.groups[id] = &n
	}
	for p, runs := range s.data {
		c.data[p] = slices.Clone(runs)
	}
	return c
}

func (s *memState) append(parts []store.Append) {
	for _, p := range parts {
		g := s.group(p.Group)
		if p.HardState != nil {
			g.hard = *p.HardState
		}
		for _, e := range p.Entries {
			if e.Index > g.first+record.Index(len(g.entries)) {
				panic("memstore: a gap in the log")
			}
			if e.Index <= g.applied {
				panic("memstore: an applied entry was replaced")
			}
			g.entries = append(g.entries[:e.Index-g.first], e)
		}
	}
}

// crash returns what a new process finds: all that was flushed and a part,
// chosen by chance, of what was queued.
func (s *memStore) crash(rng *rand.Rand) testStore {
	n := newMemStore()
	n.checkpointEvery, n.checkpoints = s.checkpointEvery, s.checkpoints
	n.disk = s.disk.clone()
	for _, a := range s.queue[:rng.IntN(len(s.queue)+1)] {
		n.disk.append(copyParts(a.parts))
	}
	n.now = n.disk.clone()
	for _, g := range n.now.groups {
		n.sinceCheckpoint += int(g.first) + len(g.entries) - 1 - int(g.applied)
	}
	return n
}

func (s *memStore) durable() *memState { return s.disk }

func (s *memStore) bootstrap(cuts ...store.GroupCut) {
	s.now.cut(cuts)
	s.disk.cut(cuts)
}

func (s *memState) cut(cuts []store.GroupCut) {
	for _, c := range cuts {
		g := s.group(c.Group)
		g.applied, g.appliedTerm, g.conf, g.cut = c.Applied, c.Term, c.Conf, true
		for _, p := range c.Pages {
			if p.Value == nil {
				delete(g.pages, string(p.Key))
			} else {
				g.pages[string(p.Key)] = p.Value
			}
		}
		last := g.first + record.Index(len(g.entries)) - 1
		switch {
		case c.CompactTo > last:
			g.entries, g.first, g.baseTerm = nil, c.CompactTo+1, c.Term
		case c.CompactTo >= g.first:
			g.baseTerm = g.entries[c.CompactTo-g.first].Term
			g.entries, g.first = slices.Clone(g.entries[c.CompactTo+1-g.first:]), c.CompactTo+1
		}
	}
}

func (s *memStore) log(g record.ShardID) entryLog { return memLog{s, g} }

func (s *memStore) Append(batch []store.Append, done func(error)) {
	if s.dead != nil {
		done(s.dead)
		return
	}
	var given []*store.Entry
	for i := range batch {
		for j := range batch[i].Entries {
			if e := &batch[i].Entries[j]; len(e.Splices) > 0 {
				given = append(given, e)
			}
		}
	}
	batch = copyParts(batch)
	for i := range batch { // the caller uses the memory again
		for j := range batch[i].Entries {
			e := &batch[i].Entries[j]
			e.Data, e.Splices = e.Whole(), nil
		}
	}
	s.now.append(batch)
	for _, p := range batch {
		s.sinceCheckpoint += len(p.Entries)
	}
	s.queue = append(s.queue, memAppend{copyParts(batch), given, done})
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

func copyParts(parts []store.Append) []store.Append {
	out := slices.Clone(parts)
	for i := range out {
		out[i].Entries = slices.Clone(out[i].Entries)
		if h := out[i].HardState; h != nil {
			c := *h
			out[i].HardState = &c
		}
	}
	return out
}

func (s *memStore) Flush() bool {
	queue := s.queue
	s.queue = nil
	if s.fail != nil && len(queue) > 0 {
		s.dead = fmt.Errorf("%w: %w", store.ErrDead, s.fail)
	}
	for _, a := range queue {
		if s.dead == nil {
			s.disk.append(a.parts)
			for _, e := range a.given {
				e.Data, e.Splices = e.Whole(), nil
			}
		}
		a.done(s.dead)
	}
	return len(queue) > 0
}

func (s *memStore) Pending() bool { return len(s.queue) > 0 }

func (s *memStore) Ready() <-chan struct{} { return s.ready }

func (s *memStore) NeedsCheckpoint() bool {
	return s.checkpointEvery > 0 && s.sinceCheckpoint >= s.checkpointEvery
}

func (s *memStore) Checkpoint(cuts []store.GroupCut) error {
	if err := cmp.Or(s.dead, s.noRoom); err != nil {
		return err
	}
	s.sinceCheckpoint = 0
	s.checkpoints++
	for _, c := range cuts {
		if c.Applied < s.now.group(c.Group).applied {
			panic("memstore: a checkpoint goes back")
		}
		if d := s.disk.group(c.Group); c.Applied > d.first+record.Index(len(d.entries))-1 {
			panic("memstore: a checkpoint counts on entries that are not durable")
		}
		s.saveRuns(c.Group, c.Applied)
	}
	s.now.cut(cuts)
	s.disk.cut(cuts)
	return nil
}

// saveRuns makes the runs durable that a checkpoint counts on.
func (s *memStore) saveRuns(g record.ShardID, applied record.Index) {
	for p, runs := range s.now.data {
		for _, r := range runs {
			if r.group == g && r.index <= applied {
				s.disk.addRun(p, r)
			}
		}
	}
}

func (s *memStore) Applied(id record.ShardID) (record.Index, record.Term, []byte, bool) {
	g := s.now.group(id)
	return g.applied, g.appliedTerm, g.conf, g.cut
}

func (s *memStore) LoadPages(id record.ShardID, yield func(key, value []byte) error) error {
	g := s.now.group(id)
	pages := maps.Clone(g.pages)
	for _, k := range slices.Sorted(maps.Keys(pages)) {
		if err := yield([]byte(k), pages[k]); err != nil {
			return err
		}
	}
	return nil
}

func (s *memState) addRun(p record.PartitionID, r memRun) {
	runs := s.data[p]
	if n := len(runs); n > 0 && r.run.Base <= runs[n-1].run.Last {
		return
	}
	s.data[p] = append(runs, r)
}

// AddRuns is what the state machine calls.
func (s *memStore) AddRuns(id record.ShardID, i record.Index, runs []store.Run) {
	g := s.now.group(id)
	data := g.entries[i-g.first].Data
	for _, r := range runs {
		s.now.addRun(r.Partition, memRun{r, data[r.Pos : r.Pos+r.Len], id, i})
	}
}

// trim forgets records below an offset, as retention does.
func (s *memStore) trim(p record.PartitionID, floor record.Offset) {
	for _, st := range []*memState{s.now, s.disk} {
		st.data[p] = slices.DeleteFunc(st.data[p], func(r memRun) bool { return r.run.Last < floor })
	}
}

func (s *memStore) Bounds(p record.PartitionID) (first, next record.Offset, err error) {
	runs := s.now.data[p]
	if len(runs) == 0 {
		return 0, 0, store.ErrNoPartition
	}
	return runs[0].run.Base, runs[len(runs)-1].run.Last + 1, nil
}

func (s *memStore) Read(dst *store.Result, p record.PartitionID, from, limit record.Offset, maxBytes int, minOne bool) error {
	runs := s.now.data[p]
	i := sort.Search(len(runs), func(i int) bool { return runs[i].run.Last >= from })
	dst.Next = from
	for ; i < len(runs) && runs[i].run.Last < limit; i++ {
		if n := len(runs[i].bytes); dst.Size+n > maxBytes && !(minOne && dst.Size == 0) {
			break
		}
		b := bytes.Clone(runs[i].bytes)
		record.SetBaseOffset(b, runs[i].run.Base)
		run := runs[i].run
		run.Len = uint32(len(b))
		dst.Runs = append(dst.Runs, run)
		dst.Buffers = append(dst.Buffers, b)
		dst.Size += len(b)
		dst.Next = runs[i].run.Last + 1
	}
	return nil
}

type memLog struct {
	s *memStore
	g record.ShardID
}

func (l memLog) group() *memGroup           { return l.s.now.group(l.g) }
func (l memLog) HardState() store.HardState { return l.group().hard }
func (l memLog) FirstIndex() record.Index   { return l.group().first }
func (l memLog) LastIndex() record.Index {
	g := l.group()
	return g.first + record.Index(len(g.entries)) - 1
}

func (l memLog) Term(i record.Index) (record.Term, error) {
	g := l.group()
	switch {
	case i+1 < g.first:
		return 0, store.ErrCompacted
	case i+1 == g.first:
		return g.baseTerm, nil
	case i > l.LastIndex():
		return 0, store.ErrUnavailable
	}
	return g.entries[i-g.first].Term, nil
}

func (l memLog) Entries(lo, hi record.Index, maxBytes int) ([]store.Entry, error) {
	g := l.group()
	if l.s.damaged {
		return nil, &store.DamageError{Path: "000001.log", Reason: "its checksum does not match"}
	}
	if lo < g.first {
		return nil, store.ErrCompacted
	}
	if hi > l.LastIndex()+1 {
		return nil, store.ErrUnavailable
	}
	var out []store.Entry
	size := 0
	for _, e := range g.entries[lo-g.first : hi-g.first] {
		if size += len(e.Data); len(out) > 0 && size > maxBytes {
			break
		}
		out = append(out, e)
	}
	return out, nil
}

func (s *memStore) newImport(g record.ShardID) importer { return &memImport{s: s, g: g} }

type memImport struct {
	s     *memStore
	g     record.ShardID
	runs  []memRun
	ended bool
}

var errImport = errors.New("memstore: the import has ended")

func (im *memImport) Add(run store.Run, data []byte) error {
	if im.ended {
		return errImport
	}
	if _, next, _ := im.s.Bounds(run.Partition); run.Base < next {
		return store.ErrConflict
	}
	im.runs = append(im.runs, memRun{run: run, bytes: bytes.Clone(data[run.Pos : run.Pos+run.Len]), group: im.g})
	return nil
}

func (im *memImport) Commit(cut store.GroupCut) error {
	if im.ended {
		return errImport
	}
	if im.s.conflicts > 0 {
		im.s.conflicts--
		return store.ErrConflict
	}
	for _, r := range im.runs {
		if _, next, _ := im.s.Bounds(r.run.Partition); next > im.first(r.run.Partition) {
			return store.ErrConflict
		}
	}
	im.ended = true
	for _, a := range im.s.queue {
		for _, p := range a.parts {
			if p.Group == im.g {
				panic("memstore: the group appends while a snapshot is installed")
			}
		}
	}
	im.s.Flush()
	im.s.saveRuns(im.g, cut.Applied)
	for _, st := range []*memState{im.s.now, im.s.disk} {
		for _, r := range im.runs {
			r.index = cut.Applied
			st.addRun(r.run.Partition, r)
		}
		g := st.group(cut.Group)
		g.entries, g.first, g.baseTerm, g.pages = nil, cut.Applied+1, cut.Term, map[string][]byte{}
		st.cut([]store.GroupCut{cut})
	}
	return nil
}

// first returns the first offset that was added of a partition.
func (im *memImport) first(p record.PartitionID) record.Offset {
	for _, r := range im.runs {
		if r.run.Partition == p {
			return r.run.Base
		}
	}
	return 0
}

// holds reports whether a crash would leave the entry.
func (s *memState) holds(id record.ShardID, i record.Index, t record.Term) bool {
	g := s.group(id)
	if i < g.first {
		return true
	}
	return i < g.first+record.Index(len(g.entries)) && g.entries[i-g.first].Term == t
}

func (im *memImport) Abort() { im.ended = true }
