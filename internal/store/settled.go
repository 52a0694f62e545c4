package store

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store/segment"
)

// Settled tells which records of queues are settled, so that nobody wants them
// any more although the floor has not passed them. It reads that from the pages
// of a group's checkpoint: so what a rewrite leaves behind is never newer than
// what a restart knows, and costs no memory. Its methods are called from any
// goroutine.
type Settled interface {
	// PageAt returns the key of the page that tells of offset o of a partition.
	// Keys sort by partition, then offset.
	PageAt(p record.PartitionID, o record.Offset) []byte
	// ReadPage calls yield with the stretches of settled records, first to last,
	// that a page tells of, in order. It reports a page that cannot be read.
	ReadPage(key, value []byte, yield func(p record.PartitionID, first, last record.Offset)) error
}

// SetSettled says that settled records of a partition of group g are not kept:
// files in which many are, are rewritten without them. With nil, all are kept
// from now on. The last record of a partition always stays, so that a reader who
// has seen it knows that it has seen all.
func (s *Store) SetSettled(g record.ShardID, p record.PartitionID, by Settled) {
	part := s.partitions.make(p)
	part.mu.Lock()
	part.group, part.settled = g, by
	part.mu.Unlock()
	s.partitions.settle(part, by != nil)
}

// NoteSettled tells that so many bytes of records were settled above a floor,
// about: when they are many, a checkpoint is worth while.
func (s *Store) NoteSettled(bytes int64) { s.since.dead.Add(bytes) }

// settle notes whether the settled records of a partition are looked at.
func (t *partitionTable) settle(p *partition, yes bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if yes {
		t.settling[p.id] = p
	} else {
		delete(t.settling, p.id)
	}
}

// settlers returns, by group, what reads the pages of the partitions that are
// looked at, and those partitions.
func (t *partitionTable) settlers() (by map[record.ShardID]Settled, ps []*partition) {
	by = map[record.ShardID]Settled{}
	t.mu.RLock()
	for _, p := range t.settling {
		ps = append(ps, p)
	}
	t.mu.RUnlock()
	for _, p := range ps {
		p.mu.RLock()
		if p.settled != nil {
			by[p.group] = p.settled
		}
		p.mu.RUnlock()
	}
	slices.SortFunc(ps, func(a, b *partition) int { return cmp.Compare(a.id, b.id) })
	return by, ps
}

// stretch is the offsets from first to last.
type stretch struct{ first, last record.Offset }

// overlap returns how many offsets two stretches share.
func (x stretch) overlap(first, last record.Offset) int64 {
	return max(int64(min(x.last, last)-max(x.first, first))+1, 0)
}

// settledPages reads what is settled of a partition.
type settledPages struct {
	s     *Store
	p     record.PartitionID
	group record.ShardID
	by    Settled // nil: nothing is
	// low is the floor, below which nothing is wanted either, end the offset of
	// the last record, which stays.
	low, end record.Offset

	// list is what is settled of the offsets from at to below upto.
	at, upto record.Offset
	list     []stretch
}

// pagesOf begins to read; p.mu is held.
func (s *Store) pagesOf(p *partition, low record.Offset) settledPages {
	x := settledPages{s: s, p: p.id, group: p.group, low: low, end: p.next - 1}
	if p.hasSettled.Load() {
		x.by = p.settled
	}
	return x
}

// clip returns what of a stretch need not be kept.
func (x *settledPages) clip(first, last record.Offset) stretch {
	if fault.On(fault.DropUnsettled) && first%2 == 0 {
		last++
	}
	return stretch{first, min(last, x.end-1)}
}

// scan calls yield with what is settled from an offset to another, in order.
func (x *settledPages) scan(from, to record.Offset, yield func(stretch)) error {
	if from < x.low {
		yield(x.clip(from, min(x.low-1, to)))
	}
	err := x.s.db.PagesBetween(x.group, x.by.PageAt(x.p, from), append(x.by.PageAt(x.p, to), 0), func(key, value []byte) error {
		return x.by.ReadPage(key, value, func(p record.PartitionID, first, last record.Offset) {
			if y := x.clip(first, last); p == x.p && y.overlap(from, to) > 0 {
				yield(y)
			}
		})
	})
	if err != nil {
		return x.s.explain(fmt.Errorf("reading what is settled of partition %d: %w", x.p, err))
	}
	return nil
}

// within returns the stretches that have something settled from an offset to
// another. The result stays as it is.
func (x *settledPages) within(first, last record.Offset) ([]stretch, error) {
	if x.by == nil {
		return nil, nil
	}
	if first < x.at || last >= x.upto {
		x.at, x.upto, x.list = first, max(last+1, first+settledAhead), nil
		if err := x.scan(x.at, x.upto-1, func(y stretch) {
			if n := len(x.list); n > 0 && x.list[n-1].last+1 >= y.first {
				x.list[n-1].last = max(x.list[n-1].last, y.last)
			} else {
				x.list = append(x.list, y)
			}
		}); err != nil {
			x.at, x.upto = 0, 0
			return nil, err
		}
	}
	from, _ := slices.BinarySearchFunc(x.list, first, func(y stretch, o record.Offset) int { return cmp.Compare(y.last, o) })
	to := from
	for to < len(x.list) && x.list[to].first <= last {
		to++
	}
	return x.list[from:to], nil
}

// count returns how many offsets from first to last are in some of the
// stretches, which do not overlap.
func count(list []stretch, first, last record.Offset) (n int64) {
	for _, y := range list {
		n += y.overlap(first, last)
	}
	return n
}

// tally counts what is settled of the spans of a partition.
type tally struct {
	pages settledPages
	spans []talliedSpan
}

type talliedSpan struct {
	span
	settled int64
}

// take takes up the spans of a partition; p.mu is held.
func (t *tally) take(s *Store, p *partition) {
	t.pages, t.spans = s.pagesOf(p, p.floor.durable), t.spans[:0]
	for _, c := range p.chains {
		for i := range c.spans {
			x := talliedSpan{span: c.spans[i]}
			x.settled = stretch{0, max(p.floor.durable, c.floor.durable) - 1}.overlap(x.first, x.last)
			t.spans = append(t.spans, x)
		}
	}
	// Several levels have spans over the same offsets.
	slices.SortFunc(t.spans, func(a, b talliedSpan) int { return compareSpans(a.span, b.span) })
}

// add counts a stretch. Stretches come in order, and so do their spans: those
// that end before are passed for good unless spans overlap.
func (t *tally) add(first, last record.Offset, from int) (next int) {
	y := t.pages.clip(first, last)
	for from < len(t.spans) && t.spans[from].last < y.first {
		from++
	}
	for i := from; i < len(t.spans) && t.spans[i].first <= y.last; i++ {
		t.spans[i].settled += y.overlap(t.spans[i].first, t.spans[i].last)
	}
	return from
}

// dead returns how many bytes of a span nobody wants. Between the records of one
// level lie those of others: what is wanted of those counts as if it were the
// span's, so that this is never too much, and nothing where a rewrite has just
// removed all that it can.
func (x *talliedSpan) dead() int64 {
	wanted := int64(x.last-x.first) + 1 - x.settled
	if wanted >= int64(x.records) {
		return 0
	}
	return int64(float64(x.bytes) * (1 - float64(wanted)/float64(x.records)))
}

// survey works out how much of each file is settled, once after a checkpoint. It
// costs what the pages of partitions with something settled above their floor
// take; others have none.
func (s *Store) survey() error {
	if s.surveyed.Swap(true) {
		return nil
	}
	by, ps := s.partitions.settlers()
	dead := map[*file]int64{}
	for g, by := range by {
		if err := s.surveyGroup(g, by, ps, dead); err != nil {
			s.surveyed.Store(false)
			return err
		}
	}
	for _, f := range s.files.all() {
		f.settled.Store(dead[f])
	}
	return nil
}

func (s *Store) surveyGroup(g record.ShardID, by Settled, ps []*partition, dead map[*file]int64) error {
	var t tally
	var at *partition
	next := 0
	end := func() {
		for i := range t.spans {
			dead[t.spans[i].file] += t.spans[i].dead()
		}
		t.spans = t.spans[:0]
	}
	seen := map[*partition]bool{}
	err := s.db.PagesBetween(g, by.PageAt(0, 0), append(by.PageAt(math.MaxUint64, math.MaxInt64), 0), func(key, value []byte) error {
		return by.ReadPage(key, value, func(id record.PartitionID, first, last record.Offset) {
			if at == nil || at.id != id {
				end()
				i, ok := slices.BinarySearchFunc(ps, id, func(p *partition, id record.PartitionID) int { return cmp.Compare(p.id, id) })
				if at, next = nil, 0; !ok {
					return
				}
				at = ps[i]
				seen[at] = true
				at.mu.RLock()
				t.take(s, at)
				at.mu.RUnlock()
			}
			next = t.add(first, last, next)
		})
	})
	if err != nil {
		return s.explain(fmt.Errorf("reading what is settled: %w", err))
	}
	end()
	for _, p := range ps {
		p.mu.RLock()
		if p.group == g {
			p.hasSettled.Store(seen[p])
		}
		p.mu.RUnlock()
	}
	return nil
}

// weigh returns how many bytes of spans of the partition being worked on are
// wanted.
func (x *settledPages) weigh(spans []span) (bytes int64, err error) {
	t := tally{pages: *x}
	for i := range spans {
		t.spans = append(t.spans, talliedSpan{span: spans[i]})
		bytes += int64(spans[i].bytes)
	}
	if x.by == nil || len(spans) == 0 {
		return bytes, nil
	}
	next := 0
	err = x.scan(spans[0].first, spans[len(spans)-1].last, func(y stretch) { next = t.add(y.first, y.last, next) })
	for i := range t.spans {
		bytes -= t.spans[i].dead()
	}
	return bytes, err
}

// sift takes what is wanted of a run, and reports false if that is nothing. What
// several partitions point to is copied for this one only if that makes it much
// less.
func (j *job) sift(it *item) (bool, error) {
	gone, err := j.settled.within(it.run.Base, it.run.Last)
	if err != nil {
		return false, err
	}
	all := int64(it.run.Last-it.run.Base) + 1
	it.records = all - count(gone, it.run.Base, it.run.Last)
	if it.run.Flags&segment.Control != 0 || it.records == all {
		return true, nil // a marker ends what readers must leave out
	}
	if it.run.Flags&segment.Shared == 0 || it.records*sharedShare < all {
		it.gone = gone
		it.run.Flags &^= segment.Shared
	}
	if it.records == 0 {
		j.left += int64(it.run.Len)
	}
	return it.records > 0, nil
}

// writeSifted moves what is wanted of a run, as runs without gaps.
func (j *job) writeSifted(out *output, it *item, body []byte) error {
	run := it.run // what is left since the last gap
	run.Len = 0
	records, size := int64(0), len(body)
	put := func() {
		if run.Len > 0 {
			size -= int(run.Len)
			out.index.AddOf(&run, records)
			run.Len, records = 0, 0
		}
	}
	for base := it.run.Base; len(body) > 0; {
		n, last, err := batchAt(body, base)
		if err != nil {
			return err
		}
		wanted := int64(last-base) + 1 - count(it.gone, base, last)
		if left, err := j.siftBatch(body[:n:n], base, wanted, it.gone); err != nil {
			return fmt.Errorf("at offset %d: %w", base, err)
		} else if left == nil {
			put()
		} else if err := out.extend(&run, it, left, base, last); err != nil {
			return err
		} else {
			records += wanted
		}
		body, base = body[n:], last+1
	}
	put()
	j.left += int64(size)
	return nil
}

// siftBatch returns what is wanted of a batch, nil if nothing is. It is valid
// until the next call.
func (j *job) siftBatch(b []byte, base record.Offset, wanted int64, gone []stretch) ([]byte, error) {
	if wanted == 0 {
		return nil, nil
	}
	record.SetBaseOffset(b, base)
	j.thinning.Keep = func(r *record.Record) bool { return count(gone, r.Offset, r.Offset) == 0 }
	out, n, changed, err := j.thinning.Thin(j.thinned[:0], b)
	j.thinned = out[:0]
	switch {
	case err != nil:
		return b, unlessUnreadable(err)
	case !changed:
		return b, nil
	case n == 0:
		return nil, nil
	}
	return out, nil
}
