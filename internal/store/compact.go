package store

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
)

// Compaction says how the log of a partition is to be compacted: of the records
// below an offset the last one of each key is kept (docs/adr/0011-log-compaction.md).
type Compaction struct {
	// Below is the dirty point: records at or above it stay as they are. Records
	// below Overdue, which is not above it, are compacted however few they are.
	Below, Overdue record.Offset
	// At is the log time at which that was decided.
	At record.LogTime
	// DirtyPermille is the share of uncompacted bytes from which on it is worth
	// while, in thousandths.
	DirtyPermille int32
	// DeleteRetention is how long a tombstone, or the marker of a transaction that
	// has left nothing else, stays once it was compacted the first time, in ms.
	DeleteRetention int64
	// Aborted reports whether what a producer wrote in a transaction at an offset
	// below Below was aborted. It is called from any goroutine.
	Aborted func(producer int64, o record.Offset) bool
}

// SetCompaction says, from apply of entry i of group g, how a partition is
// compacted from now on; nil: it is not. It takes effect with the first
// checkpoint that covers i, so that what has replaced a record is never less
// durable than its removal. i is 0 for what a checkpoint has restored.
func (s *Store) SetCompaction(g record.ShardID, i record.Index, p record.PartitionID, c *Compaction) {
	part := s.partitions.make(p)
	s.partitions.compact(part, c != nil)
	part.mu.Lock()
	part.group = g
	part.compaction.put(i, c)
	save := i > 0 && !part.unsaved && !part.drop.dropped
	part.unsaved = part.unsaved || save
	part.mu.Unlock()
	if save {
		s.partitions.toSave(part)
	}
	if part.compactionWaits() {
		s.since.compact.Store(true)
	}
}

// SetEnd says that the offsets of a partition below next were given away, also
// if the last records before it have been compacted away where this node got
// its data from.
func (s *Store) SetEnd(p record.PartitionID, next record.Offset) {
	part := s.partitions.make(p)
	part.mu.Lock()
	defer part.mu.Unlock()
	part.next = max(part.next, next)
}

// compact notes whether compaction looks after a partition.
func (t *partitionTable) compact(p *partition, yes bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if yes {
		t.compacted[p.id] = p
	} else {
		delete(t.compacted, p.id)
	}
}

// toCompact returns the partitions that compaction looks after.
func (t *partitionTable) toCompact() []*partition {
	t.mu.RLock()
	defer t.mu.RUnlock()
	ps := make([]*partition, 0, len(t.compacted))
	for _, p := range t.compacted {
		ps = append(ps, p)
	}
	slices.SortFunc(ps, func(a, b *partition) int { return cmp.Compare(a.id, b.id) })
	return ps
}

// compaction is what a partition knows of its compaction: how it is to be done,
// as apply has set it and as checkpoints cover it (see floor), and how far it
// was done.
type compaction struct {
	now, old, durable       *Compaction
	nowAt, oldAt, durableAt record.Index
	cleaned                 record.Offset
	// broken says that damage was met; it would be met again.
	broken bool
}

func (c *compaction) put(i record.Index, v *Compaction) {
	if i == 0 {
		c.durable = v
	} else {
		if c.oldAt <= c.durableAt {
			c.old, c.oldAt = c.now, c.nowAt
		}
		if c.oldAt <= c.durableAt {
			c.old, c.oldAt = v, i
		}
	}
	c.now, c.nowAt = v, i
}

// cut takes over what a cut at index i covers and reports whether that is all.
func (c *compaction) cut(i record.Index) bool {
	switch {
	case c.nowAt <= i:
		c.durable = c.now
	case c.oldAt <= i && c.oldAt > c.durableAt:
		c.durable = c.old
	}
	c.durableAt = i
	return c.durable == c.now
}

// dirt is what of a partition can be compacted, in bytes of records.
type dirt struct {
	p          *partition
	from, upto record.Offset // not compacted yet
	share      float64       // of that
	overdue    bool
}

// due reports whether it is worth while.
func (d *dirt) due(c *Compaction) bool {
	return d.from < d.upto && (d.overdue || d.share > float64(c.DirtyPermille)/1000)
}

// dirt measures the partition up to where c allows; p.mu is held.
func (p *partition) dirt(c *Compaction) dirt {
	d := dirt{p: p}
	if c == nil || p.compaction.now == nil || p.compaction.broken || p.drop.dropped {
		return d
	}
	var level0 *chain
	for _, ch := range p.chains {
		switch {
		case ch.level == 0:
			level0 = ch
		case len(ch.spans) > 0:
			return d // keys are compared within one level only
		}
	}
	if level0 == nil {
		return d
	}
	low := max(p.floor.now, level0.floor.now)
	d.from, d.upto = max(p.compaction.cleaned, low), c.Below
	if fault.On(fault.CompactIgnoresDirtyPoint) {
		d.upto = p.next
	}
	if d.from >= d.upto {
		return d
	}
	d.overdue = c.Overdue > d.from
	var dirty, clean float64
	for i := level0.find(low); i < len(level0.spans) && level0.spans[i].first < d.upto; i++ {
		s := &level0.spans[i]
		clean += s.share(low, d.from)
		dirty += s.share(d.from, d.upto)
	}
	if dirty == 0 {
		d.upto = d.from
		return d
	}
	d.share = dirty / (dirty + clean)
	return d
}

// share estimates how many of the span's bytes have offsets in [from, upto).
func (s *span) share(from, upto record.Offset) float64 {
	n := min(s.last+1, upto) - max(s.first, from)
	if n <= 0 {
		return 0
	}
	return float64(s.bytes) * float64(n) / float64(s.last+1-s.first)
}

// compactionWaits reports whether the partition would be compacted if only a
// checkpoint covered what apply has allowed.
func (p *partition) compactionWaits() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	c := &p.compaction
	if c.now == nil || c.durable == c.now || c.durable != nil && c.durable.Below == c.now.Below {
		return false
	}
	d := p.dirt(c.now)
	return d.due(c.now)
}

// dirtiest returns the partition that most needs to be compacted, and how, or
// false if none does.
func (s *Store) dirtiest() (best dirt, how Compaction, ok bool) {
	worst := 0.0
	for _, p := range s.partitions.toCompact() {
		p.mu.RLock()
		if c := &p.compaction; c.now != nil && c.durable != nil {
			now := *c.now
			now.Below, now.Overdue, now.At, now.Aborted = c.durable.Below, c.durable.Overdue, c.durable.At, c.durable.Aborted
			d := p.dirt(&now)
			worst = max(worst, d.share)
			if d.due(&now) && (!ok || d.overdue && !best.overdue || d.overdue == best.overdue && d.share > best.share) {
				best, how, ok = d, now, true
			}
		}
		p.mu.RUnlock()
	}
	s.stats.DirtyPermille.Store(int64(1000 * worst))
	return best, how, ok
}

// clean takes compaction one step further, within about budget bytes, or begins
// a job that does, and reports whether there was anything to do.
func (s *Store) clean(budget int) (bool, error) {
	if s.cleaning == nil {
		d, how, ok := s.dirtiest()
		if !ok {
			return false, nil
		}
		s.cleaning = newCleaning(s, &d, &how)
	}
	c := s.cleaning
	did, err := c.step(budget)
	if err != nil {
		return s.giveUp(c, err)
	}
	return did, nil
}

// giveUp ends a compaction because of an error. It returns true without one if
// that was for something that the next look knows.
func (s *Store) giveUp(c *cleaning, err error) (bool, error) {
	s.cleaning = nil
	switch {
	case errors.Is(err, errGone) || errors.Is(err, ErrNoPartition) || errors.Is(err, ErrOffsetOutOfRange):
		return true, nil // dropped, trimmed or moved under it
	case errors.Is(err, ErrDamaged):
		c.p.mu.Lock()
		c.p.compaction.broken = true
		c.p.mu.Unlock()
	}
	return false, fmt.Errorf("compacting partition %d: %w", c.p.id, err)
}

// stillWanted reports whether the partition is to be compacted, now that work on
// it has begun.
func (p *partition) stillWanted() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.compaction.now != nil && !p.drop.dropped
}

// cleaned notes that the partition was compacted below an offset. A checkpoint
// makes that last and frees what it has left behind.
func (s *Store) cleaned(p *partition, below record.Offset) {
	p.mu.Lock()
	p.compaction.cleaned = max(p.compaction.cleaned, below)
	save := !p.unsaved && !p.drop.dropped
	p.unsaved = p.unsaved || save
	p.mu.Unlock()
	if save {
		s.partitions.toSave(p)
	}
	s.since.compact.Store(true)
}

// leaves reports whether runs at hi or above would stay in a file whose index is
// final. Nothing says so of single runs there: they are moved all or none.
func (p *partition) leaves(hi record.Offset) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	c := p.chain(0)
	i := c.find(hi)
	return i < len(c.spans) && c.spans[i].first < hi && c.spans[i].file.isFinal()
}

// gap is where a file has no run of a partition any more.
type gap struct {
	f           *file
	from, below record.Offset
}

// compacted puts spans in the place of the level 0 runs from lo to below hi, and
// returns where those lay.
func (p *partition) compacted(lo, hi record.Offset, spans []span) (gaps []gap) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drop.dropped && p.drop.durable {
		return nil
	}
	c := p.makeChain(0)
	low := max(p.floor.durable, c.floor.durable)
	kept := c.spans[:0:0]
	ends := map[*file]record.Offset{} // of what stays in a file below
	for _, s := range c.spans {
		switch {
		case s.last < lo || s.first >= hi:
			ends[s.file] = s.last + 1
			kept = append(kept, s)
			continue
		case s.last < hi:
			s.release()
		default:
			s.trim(hi)
			kept = append(kept, s)
		}
		gaps = append(gaps, gap{s.file, ends[s.file], hi})
	}
	for i := range spans {
		if s := &spans[i]; s.last >= low {
			s.file.spans.Add(1)
			s.file.live.Add(int64(s.bytes))
			kept = append(kept, *s)
		}
	}
	slices.SortFunc(kept, compareSpans)
	c.spans = kept
	return gaps
}

// trim takes the runs below hi out of a span whose runs are in memory.
func (s *span) trim(hi record.Offset) {
	was, all := int64(s.bytes), s.mem
	s.mem, s.bytes, s.maxTime = new(runList), 0, math.MinInt64
	all.from(hi, func(r *memRun) bool {
		if len(s.mem.pieces) == 0 {
			s.first = r.Base
		}
		s.bytes, s.maxTime = s.bytes+r.Len, max(s.maxTime, r.MaxTimestamp)
		s.mem.add(r)
		return true
	})
	s.file.live.Add(int64(s.bytes) - was)
}
