package lease

import (
	"cmp"
	"maps"
	"slices"

	"github.com/polylog-mq/polylog/internal/record"
)

// Idle reports whether the desk has nothing to say.
func (d *Desk) Idle() bool {
	return d.out.Items() == 0
}

// Patient reports whether nobody waits for what the desk has to say: a few ranges of
// records were settled, and nothing else.
func (d *Desk) Patient() bool {
	return d.out.Items() == len(d.out.Settled) && len(d.out.Settled) < maxPatient && !d.Strict()
}

// Take hands over what the desk has decided since the last time: of each list at
// most limit items.
func (d *Desk) Take(limit int) Change {
	c := Change{
		Partition: d.set.id, Bytes: d.out.Bytes,
		Settled: cut(&d.out.Settled, limit), Returned: cut(&d.out.Returned, limit),
		Died: cut(&d.out.Died, limit), Marks: cut(&d.out.Marks, limit),
		Loans: cut(&d.out.Loans, limit), Term: d.term,
	}
	d.out.Bytes = 0
	c.records = c.count()
	c.tidy()
	return c
}

// cut takes the first items of a list.
func cut[T any](list *[]T, limit int) []T {
	if len(*list) <= limit {
		taken := *list
		*list = nil
		return taken
	}
	taken := (*list)[:limit:limit]
	*list = (*list)[limit:]
	return taken
}

// count counts the records whose fate the change is.
func (c *Change) count() int64 {
	n := int64(len(c.Returned))
	for _, r := range c.Settled {
		n += r.Len()
	}
	for _, d := range c.Died {
		n += d.Len()
	}
	for i := range c.Loans {
		if c.Loans[i].What == Lend {
			n++
		}
	}
	return n
}

// Items returns how long the lists are together.
func (c *Change) Items() int {
	return len(c.Settled) + len(c.Returned) + len(c.Died) + len(c.Marks) + len(c.Loans)
}

// tidy sorts and joins what is settled.
func (c *Change) tidy() {
	if len(c.Settled) < 2 {
		return
	}
	slices.SortFunc(c.Settled, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	kept := c.Settled[:1]
	for _, r := range c.Settled[1:] {
		if last := &kept[len(kept)-1]; r.First <= last.Last+1 {
			last.Last = max(last.Last, r.Last)
			continue
		}
		kept = append(kept, r)
	}
	c.Settled = kept
}

// Refused takes back a change that did not get into the log.
func (d *Desk) Refused(c *Change) {
	out := &d.out
	d.pending -= c.records
	out.Bytes += c.Bytes
	out.Settled = append(c.Settled, out.Settled...)
	out.Returned = append(c.Returned, out.Returned...)
	out.Died = append(c.Died, out.Died...)
	out.Marks = append(c.Marks, out.Marks...)
	out.Loans = append(c.Loans, out.Loans...)
	d.pending += c.count()
}

// Applied tells that a change was applied. What it gave back is told by Back.
func (d *Desk) Applied(c *Change) {
	d.pending -= c.records
	d.pendingBytes -= c.Bytes
	for i := range c.Loans {
		d.lentApplied(&c.Loans[i])
	}
	if len(d.away) == 0 {
		return
	}
	for _, x := range c.Died {
		for o := x.First; o <= x.Last; o++ {
			delete(d.away, o)
		}
	}
}

// Back tells that a record is to be given again. It is called before Applied.
func (d *Desk) Back(r Returned) {
	level := r.Level
	if n, ok := d.away[r.Offset]; ok {
		level = n
	}
	d.back(level, r.Offset, false)
}

// Free tells that a record which was held can be given. It counts as redelivered
// only if it was given back before.
func (d *Desk) Free(n uint8, o record.Offset) {
	n = min(n, uint8(len(d.levels)-1))
	d.back(n, o, d.set.Attempts(o) == 0)
}

// Purge settles everything that is ready, and returns how many records that was.
func (d *Desk) Purge() int64 {
	n := d.Ready()
	leased := d.leases.sorted()
	keep := slices.AppendSeq(leased, maps.Keys(d.away))
	keep = slices.AppendSeq(keep, maps.Keys(d.lending))
	slices.Sort(keep)
	keep = slices.Compact(keep)
	for o := d.set.NextReady(d.set.floor); o < d.set.next; {
		end := d.set.readyEnd(o)
		for ; len(keep) > 0 && keep[0] < end; keep = keep[1:] {
			if keep[0] > o {
				d.settleRange(Range{o, keep[0] - 1}, 0)
			}
			o = max(o, keep[0]+1)
		}
		if o < end {
			d.settleRange(Range{o, end - 1}, 0)
		}
		o = d.set.NextReady(end)
	}
	for i := range d.levels {
		l := &d.levels[i]
		l.cursor, l.back = max(l.cursor, d.set.next), nil
	}
	d.purgeGroups()
	if b := d.ReadyBytes(); b > 0 && d.set.held == 0 {
		d.out.Bytes += b
		d.pendingBytes += b
	}
	return n
}

// readyEnd returns the first offset above o, which is ready, that is not, or
// where a chunk ends.
func (s *Set) readyEnd(o record.Offset) record.Offset {
	end := min(record.Offset(chunkOf(o)+1)<<chunkBits, s.next)
	c := s.chunks[chunkOf(o)]
	if c == nil {
		return end
	}
	for _, over := range [...]*offsets{&c.settled, &c.held} {
		if x, ok := over.from(low(o)); ok {
			end = min(end, o+record.Offset(x.lo-low(o)))
		}
	}
	return end
}
