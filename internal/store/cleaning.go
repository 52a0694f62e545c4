package store

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store/checkpoint"
	"github.com/polylog-mq/polylog/internal/store/segment"
)

// cleaning is the compaction of a partition under way. It goes in rounds. A
// round first reads what is dirty and notes the last offset of each key, until
// the memory for keys is full; then it rewrites the partition up to there, from
// its beginning, without the records that were replaced. Between its steps the
// partition may be rewritten otherwise, trimmed or dropped.
type cleaning struct {
	s   *Store
	p   *partition
	how Compaction
	// A round compacts what is dirty in [from, upto), and what lies below is held
	// against it; the last one ends at until.
	from, upto, until record.Offset

	keys keyMap
	// at is where reading goes on; once it is at upto, rewriting goes on at next.
	at, next record.Offset
	some     bool // keys were noted
	// open are the producers that have written data since their last marker,
	// begun those as of next.
	open, begun map[int64]bool

	thin    record.Thinning
	horizon int64 // when tombstones that are compacted now may go
	expired bool  // the tombstones of the batch at hand may go
	marking bool  // the batch at hand is a marker, which stays
	buf     []byte
}

func newCleaning(s *Store, d *dirt, how *Compaction) *cleaning {
	c := &cleaning{s: s, p: d.p, how: *how, until: d.upto}
	c.thin.Keep = c.keep
	// Readers have all of the time from now on, whatever log time says.
	now := max(s.o.Clock.Now().UnixMilli(), int64(how.At), 1)
	c.horizon = now + min(how.DeleteRetention, math.MaxInt64-now)
	c.begin(d.from)
	return c
}

// begin begins a round.
func (c *cleaning) begin(from record.Offset) {
	c.from, c.upto, c.at, c.next, c.some = from, c.until, from, 0, false
	c.open, c.begun = map[int64]bool{}, map[int64]bool{}
	c.keys.reset(int64(c.until-from), c.s.o.CompactionBytes)
}

// step reads on, begins a job, or ends a round or all; it reports false once
// there is nothing to do.
func (c *cleaning) step(budget int) (bool, error) {
	if !c.p.stillWanted() {
		c.s.cleaning = nil
		return true, nil
	}
	if c.at < c.upto {
		return true, c.read(budget)
	}
	j := c.newJob()
	if j == nil {
		c.s.cleaned(c.p, c.upto)
		if c.upto < c.until {
			c.begin(c.upto)
			return true, nil
		}
		c.s.cleaning = nil
		c.s.stats.Compactions.Add(1)
		c.s.stats.LastCompaction.Store(c.s.o.Clock.Now().UnixMilli())
		return true, nil
	}
	if uint64(j.bytes) > c.s.roomLeft()/2 {
		return false, nil // until there is room, files are freed only whole
	}
	c.s.job = j
	return true, nil
}

// read notes the keys of some batches.
func (c *cleaning) read(budget int) error {
	res := Result{Whole: true, own: true}
	defer res.Release()
	if err := c.s.Read(&res, c.p.id, c.at, c.upto, min(budget, windowBytes), true); err != nil {
		return fmt.Errorf("reading its keys: %w", err)
	}
	if res.Next == c.at {
		c.at = c.upto // nothing is left below
		return nil
	}
	var err error
	c.at = res.Next
	res.Batches(func(_ *Run, batch []byte) bool {
		var h record.Header
		var fits bool
		if h, err = record.ParseHeader(batch); err != nil {
			return false
		}
		if fits, err = c.note(batch, &h); err != nil || fits {
			c.some = true
			return err == nil
		}
		// The round ends before this batch. What was noted of it is true all the
		// same. A batch that does not even fit alone is passed over; see wide.
		if c.upto = h.BaseOffset; !c.some {
			c.upto = h.LastOffset() + 1
		}
		c.at = c.upto
		return false
	})
	return err
}

// note takes down the keys of a batch and reports whether they fit.
func (c *cleaning) note(batch []byte, h *record.Header) (fits bool, err error) {
	if h.Control() || c.aborted(h) {
		return true, nil
	}
	fits = true
	err = record.Records(batch, func(r record.Record) error {
		if r.Key != nil && !c.keys.put(r.Key, r.Offset) {
			fits = false
			return record.SkipRest
		}
		return nil
	})
	return fits, unlessUnreadable(err)
}

// aborted reports whether a batch belongs to an aborted transaction.
func (c *cleaning) aborted(h *record.Header) bool {
	return h.Transactional() && c.how.Aborted != nil && c.how.Aborted(h.ProducerID, h.BaseOffset)
}

// unlessUnreadable passes over batches that cannot be read: nobody looks inside
// before they are stored (docs/adr, "decompression"), and they stay as they are.
func unlessUnreadable(err error) error {
	if errors.Is(err, record.ErrInvalid) || errors.Is(err, record.ErrTooLarge) {
		return nil
	}
	return err
}

// keep decides on a record. One without a key cannot be told from others, and
// goes, as in Kafka.
func (c *cleaning) keep(r *record.Record) bool {
	return c.marking || r.Key != nil && (r.Value != nil || !c.expired) && !c.keys.superseded(r.Key, r.Offset)
}

// batch decides on a batch whose first offset is base: what is left of it, nil
// if nothing is, and whether that is less or other than it was. The result is
// valid until the next call.
func (c *cleaning) batch(b []byte, base record.Offset) (left []byte, changed bool, err error) {
	record.SetBaseOffset(b, base)
	h, err := record.ParseHeader(b)
	if err != nil {
		return nil, false, err
	}
	if h.LastOffset() >= c.upto {
		return b, false, nil
	}
	c.expired = h.DeleteHorizon() && h.BaseTimestamp <= int64(c.how.At)
	c.thin.Horizon = c.horizon
	if c.wide(&h) {
		c.thin.Horizon = 0
	}
	switch {
	case h.Control():
		return c.marker(b, &h)
	case c.aborted(&h):
		return nil, true, nil
	case h.Transactional():
		c.open[h.ProducerID] = true
	}
	return c.thinned(b)
}

// wide reports whether a batch may have had more keys than there is memory for.
// Then older records of those that were left out are still there, and its
// tombstones must never go.
func (c *cleaning) wide(h *record.Header) bool {
	return int64(h.LastOffsetDelta) >= keysIn(c.s.o.CompactionBytes)
}

func (c *cleaning) thinned(b []byte) (left []byte, changed bool, err error) {
	out, n, changed, err := c.thin.Thin(c.buf[:0], b)
	c.buf = out[:0]
	switch {
	case err != nil:
		return b, false, unlessUnreadable(err)
	case !changed:
		return b, false, nil
	case n == 0:
		return nil, true, nil
	}
	return out, true, nil
}

// marker decides on a transaction's marker. That of a commit goes once the
// transaction has no other record left and readers have had their time. That of
// an abort stays as long as the log says that the transaction was aborted:
// without it readers would take the producer's next one for a part of that.
func (c *cleaning) marker(b []byte, h *record.Header) (left []byte, changed bool, err error) {
	data := c.open[h.ProducerID]
	delete(c.open, h.ProducerID)
	committed := false
	if err := record.Records(b, func(r record.Record) error {
		committed = len(r.Key) == 4 && r.Key[3] == 1 // version, then type
		return nil
	}); err != nil {
		return b, false, unlessUnreadable(err)
	}
	switch {
	case data || !committed:
		return b, false, nil
	case c.expired:
		return nil, true, nil
	}
	c.thin.Always, c.marking = true, true
	defer func() { c.thin.Always, c.marking = false, false }()
	return c.thinned(b)
}

// newJob makes a job of the next piece of the partition, nil if all is done.
func (c *cleaning) newJob() *job {
	if c.next >= c.upto {
		return nil
	}
	j := &job{s: c.s, clean: c, all: []chainKey{{c.p, 0}}, own: true, dry: true}
	if j.chunk(); len(j.spans) == 0 {
		return nil
	}
	return j
}

// chunk takes up the spans from next on, as many as go into one job. A job
// begins dry: it only reads, until it finds something to remove. So what needs
// no compaction costs no write.
func (j *job) chunk() {
	c := j.clean
	j.keys, j.spans, j.cuts, j.cur, j.mem = j.all, nil, nil, nil, nil
	j.lo, j.stop, j.bytes, j.taken = c.next, c.upto, 0, 0
	c.open = maps.Clone(c.begun)
	p := c.p
	p.mu.RLock()
	defer p.mu.RUnlock()
	ch := p.chain(0)
	if ch == nil {
		return
	}
	j.low = max(p.floor.durable, ch.floor.durable)
	for i := ch.find(c.next); i < len(ch.spans) && ch.spans[i].first < c.upto; i++ {
		s := ch.spans[i]
		if len(j.spans) > 0 && j.bytes+int64(s.bytes) > j.s.o.Rewriting.CompactChunk {
			j.stop = s.first
			break
		}
		j.lo = min(j.lo, s.first)
		j.bytes += int64(s.bytes)
		// Until the index is final only memory knows the runs.
		if final := s.file.isFinal(); final {
			s.mem = nil
		} else {
			s.mem = &runList{s.mem.snapshot()}
		}
		j.spans = append(j.spans, s)
		j.cuts = append(j.cuts, false)
	}
	j.hi = j.stop
}

// passed notes that a job is done.
func (c *cleaning) passed(j *job) { c.next, c.begun = j.hi, c.open }

// thin moves what compaction leaves of a window's runs.
func (j *job) thin(w *window) error {
	for i := range w.items {
		it := &w.items[i]
		if changed, err := j.thinRun(it, w.body(it)); err != nil {
			return err
		} else if changed && j.dry {
			j.dry = false
			j.chunk() // once more from the beginning, and writing this time
			return nil
		}
	}
	if w.ends {
		return j.end(&j.single)
	}
	return nil
}

// thinRun moves what is left of a run, as runs without gaps, and reports whether
// that is less.
func (j *job) thinRun(it *item, body []byte) (changed bool, err error) {
	run := it.run // what is left since the last gap
	run.Len = 0
	for base := it.run.Base; len(body) > 0; {
		n, last, err := batchAt(body, base)
		if err != nil {
			return changed, err
		}
		left, less, err := j.clean.batch(body[:n:n], base)
		if err != nil {
			return changed, fmt.Errorf("at offset %d: %w", base, err)
		}
		changed = changed || less
		switch {
		case j.dry && changed:
			return true, nil
		case j.dry:
		case left == nil:
			j.put(&run)
		default:
			if err := j.toOwn(); err != nil {
				return changed, err
			}
			if err := j.single.extend(&run, it, left, base, last); err != nil {
				return changed, err
			}
		}
		body, base = body[n:], last+1
	}
	j.put(&run)
	return changed, nil
}

// toOwn makes sure that there is an output for one partition.
func (j *job) toOwn() (err error) {
	if j.single == nil {
		j.single, err = j.s.newOutput()
	}
	return err
}

// extend appends a batch to an output and to the run.
func (o *output) extend(run *Run, it *item, batch []byte, base, last record.Offset) error {
	h, err := record.ParseHeader(batch)
	if err != nil {
		return err
	}
	pos := o.data.Append(batch)
	if run.Len == 0 {
		*run = it.run
		run.Base, run.Pos, run.Len, run.MaxTimestamp = base, pos, 0, math.MinInt64
		run.FirstID.Seq += uint64(base - it.run.Base)
		run.Flags &^= segment.Shared
	}
	run.Last = last
	run.MaxTimestamp = max(run.MaxTimestamp, h.MaxTimestamp)
	run.Len += uint32(len(batch))
	return nil
}

// put adds the run to the index of the output, if there is something in it.
func (j *job) put(run *Run) {
	if run.Len > 0 {
		j.single.index.Add(run)
		run.Len = 0
	}
}

// install puts what the job has written in the place of what it has read;
// s.cutting is held.
func (j *job) install() {
	s, c := j.s, j.clean
	spans := []span{}
	left := int64(0)
	for _, d := range j.done {
		s.files.add(d.file)
		for i := range d.spans {
			spans = append(spans, newSpan(d.file, &d.spans[i]))
			left += int64(d.spans[i].Bytes)
		}
	}
	for _, g := range c.p.compacted(j.lo, j.hi, spans) {
		s.moved(c.p.id, &g)
	}
	gone := max(j.taken-left, 0)
	s.stats.Compacted.Add(uint64(gone))
	s.since.dead.Add(gone)
}

// moved notes that level 0 runs of a partition lie in a file no more; s.cutting
// is held.
func (s *Store) moved(p record.PartitionID, g *gap) {
	f := g.f
	f.mu.Lock()
	defer f.mu.Unlock()
	// A copy, since the old list may be part of a checkpoint in the making.
	list := slices.DeleteFunc(slices.Clone(f.info.Moved), func(m checkpoint.Moved) bool {
		return m.Partition == p && m.Level == 0 && m.From >= g.from && m.Below <= g.below
	})
	f.info.Moved = append(list, checkpoint.Moved{Partition: p, From: g.from, Below: g.below})
	if f.info.Gen > 0 { // else no checkpoint knows the file
		s.pending.files[f.id()] = f.info
	}
}
