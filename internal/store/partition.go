package store

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store/checkpoint"
)

// partition knows where the records of a partition lie.
type partition struct {
	id record.PartitionID

	mu sync.RWMutex
	// group is the one whose entries raise the floors.
	group record.ShardID
	// next is one above the last offset ever added.
	next record.Offset
	// chains are the levels, in order; nearly always one.
	chains []*chain
	// floor holds for all levels.
	floor floor
	drop  drop
	// unsaved says that the store's list of partitions to save has this one.
	unsaved bool
	// dead is the bytes of the spans that the floors have passed, as far as
	// passed has counted them.
	dead int64

	compaction compaction
	// settled reads which records are settled, if those are not kept;
	// hasSettled says that the last survey has found some above the floor.
	settled    Settled
	hasSettled atomic.Bool

	resumes resumes
}

// chain is one level of a partition: its spans in the order of offsets, which
// do not overlap.
type chain struct {
	level uint8
	floor floor
	spans []span
}

// span is a stretch of a chain that lies in one file without a gap that
// another file fills. It is what memory holds of old data, so it is small.
type span struct {
	file        *file
	first, last record.Offset
	maxTime     int64  // the largest timestamp
	bytes       uint32 // of bodies
	records     uint32 // that were wanted when the index became final
	// block is where the file's final index lists the runs. Until there is
	// one, and as long as their records are in memory, mem has them.
	block uint32
	mem   *runList
}

func compareSpans(a, b span) int { return cmp.Compare(a.first, b.first) }

// floor is an offset below which nothing is wanted, as apply has raised it and
// as checkpoints may use it: with a cut at index i counts what was set at or
// before i. One earlier value is kept, the first after the last cut, so that a
// floor that moves all the time is at most one checkpoint behind.
type floor struct {
	now, old     record.Offset
	nowAt, oldAt record.Index
	durable      record.Offset
	durableAt    record.Index
}

func (f *floor) raise(i record.Index, o record.Offset) bool {
	if o <= f.now {
		return false
	}
	if f.oldAt <= f.durableAt {
		f.old, f.oldAt = f.now, f.nowAt
	}
	if f.oldAt <= f.durableAt {
		f.old, f.oldAt = o, i
	}
	f.now, f.nowAt = o, i
	return true
}

// cut makes the newest value that a cut at index i covers the durable one and
// reports whether all is durable.
func (f *floor) cut(i record.Index) bool {
	switch {
	case f.nowAt <= i:
		f.durable = f.now
	case f.oldAt <= i:
		f.durable = max(f.durable, f.old)
	}
	f.durableAt = i
	return f.durable == f.now
}

// drop says when a partition was dropped.
type drop struct {
	dropped bool
	at      record.Index
	durable bool
}

// chain returns a level, nil if it has no runs.
func (p *partition) chain(level uint8) *chain {
	for _, c := range p.chains {
		if c.level == level {
			return c
		}
	}
	return nil
}

func (p *partition) makeChain(level uint8) *chain {
	if c := p.chain(level); c != nil {
		return c
	}
	c := &chain{level: level}
	i := sort.Search(len(p.chains), func(i int) bool { return p.chains[i].level > level })
	p.chains = slices.Insert(p.chains, i, c)
	return c
}

// add appends a run whose Pos is counted within its file.
func (p *partition) add(f *file, r *memRun) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drop.dropped || r.Last < p.next {
		return
	}
	if r.Base < p.next || r.Last < r.Base {
		panic(fmt.Sprintf("store: run %d-%d of partition %d where %d is next", r.Base, r.Last, p.id, p.next))
	}
	p.next = r.Last + 1
	c := p.makeChain(r.Level)
	n := len(c.spans)
	if n == 0 || c.spans[n-1].file != f {
		c.spans = append(c.spans, span{file: f, first: r.Base, maxTime: r.MaxTimestamp, mem: new(runList)})
		f.attach(chainKey{p, r.Level})
		n++
	}
	s := &c.spans[n-1]
	s.last, s.maxTime = r.Last, max(s.maxTime, r.MaxTimestamp)
	s.bytes += r.Len
	s.mem.add(r)
	f.live.Add(int64(r.Len))
	f.runs.Add(1)
	f.dirty.Store(true)
}

// start returns the first offset that may be read; p.mu is held.
func (p *partition) start() record.Offset {
	first, found := p.next, false
	for _, c := range p.chains {
		low := max(p.floor.now, c.floor.now)
		if i := c.find(low); i < len(c.spans) {
			if o := max(low, c.spans[i].first); !found || o < first {
				first, found = o, true
			}
		}
	}
	return first
}

// find returns the first span that ends at offset o or later.
func (c *chain) find(o record.Offset) int {
	return sort.Search(len(c.spans), func(i int) bool { return c.spans[i].last >= o })
}

// prune drops the spans below the durable floor, or all; p.mu is held.
func (p *partition) prune(all bool) {
	for _, c := range p.chains {
		low := max(p.floor.durable, c.floor.durable)
		n := c.find(low)
		if all {
			n = len(c.spans)
		}
		for i := range c.spans[:n] {
			c.spans[i].release()
		}
		c.spans = slices.Delete(c.spans, 0, n)
	}
	p.dead = 0
}

// passed returns by how many bytes the spans that nothing wants any more have
// grown since it was last asked; p.mu is held.
func (p *partition) passed() int64 {
	var dead int64
	for _, c := range p.chains {
		n := len(c.spans)
		if !p.drop.dropped {
			n = c.find(max(p.floor.now, c.floor.now))
		}
		for i := range c.spans[:n] {
			dead += int64(c.spans[i].bytes)
		}
	}
	grown := dead - p.dead
	p.dead = dead
	return max(grown, 0)
}

// release tells the file that the span no longer wants it.
func (s *span) release() {
	s.file.live.Add(-int64(s.bytes))
	s.file.spans.Add(-1)
}

// settle applies what a cut covers, as applied tells by group, returns what the
// checkpoint shall say of the partition, and reports whether more is to come.
func (p *partition) settle(applied func(record.ShardID) record.Index) (rec checkpoint.Partition, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := applied(p.group)
	done := p.floor.cut(i)
	for _, c := range p.chains {
		done = c.floor.cut(i) && done
	}
	done = p.compaction.cut(i) && done
	if p.drop.dropped && p.drop.at <= i {
		p.drop.durable = true
	}
	p.prune(p.drop.durable)
	rec = checkpoint.Partition{ID: p.id, Dropped: p.drop.durable, Cleaned: p.compaction.cleaned}
	if p.floor.durable > 0 {
		rec.Floors = append(rec.Floors, checkpoint.Floor{Level: AllLevels, Offset: p.floor.durable})
	}
	for _, c := range p.chains {
		if c.floor.durable > 0 {
			rec.Floors = append(rec.Floors, checkpoint.Floor{Level: c.level, Offset: c.floor.durable})
		}
	}
	p.unsaved = !p.drop.durable && (!done || p.drop.dropped)
	return rec, p.unsaved
}

// partitionTable knows all partitions that have, or had, records here.
type partitionTable struct {
	mu   sync.RWMutex
	byID map[record.PartitionID]*partition
	// unsaved are those with a floor, a drop or a compaction that no checkpoint
	// has yet.
	unsaved []*partition
	// compacted are those that compaction looks after.
	compacted map[record.PartitionID]*partition
	// settling are those whose settled records are not kept.
	settling map[record.PartitionID]*partition
}

func (t *partitionTable) get(id record.PartitionID) *partition {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byID[id]
}

func (t *partitionTable) make(id record.PartitionID) *partition {
	if p := t.get(id); p != nil {
		return p
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.byID[id]; p != nil {
		return p
	}
	p := &partition{id: id}
	t.byID[id] = p
	return p
}

// toSave notes a partition for the next checkpoint.
func (t *partitionTable) toSave(p *partition) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unsaved = append(t.unsaved, p)
}

// takeUnsaved returns the partitions to save and forgets them.
func (t *partitionTable) takeUnsaved() []*partition {
	t.mu.Lock()
	defer t.mu.Unlock()
	ps := t.unsaved
	t.unsaved = nil
	slices.SortFunc(ps, func(a, b *partition) int { return cmp.Compare(a.id, b.id) })
	return ps
}
