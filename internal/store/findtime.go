package store

import (
	"errors"
	"fmt"

	"github.com/polylog-mq/polylog/internal/record"
)

// FindTime finds the first record with an offset in [from, limit) and a
// timestamp of at least ts milliseconds; false if there is none.
func (s *Store) FindTime(p record.PartitionID, from, limit record.Offset, ts int64) (Found, bool, error) {
	return s.search(p, from, limit, func(q *query) (best Found, ok bool, err error) {
		for _, sp := range q.spans {
			if sp.maxTime < ts || ok && sp.first > best.Offset {
				continue
			}
			f, found, err := q.after(sp, ts)
			if err != nil {
				return Found{}, false, err
			}
			if found && (!ok || f.Offset < best.Offset) {
				best, ok = f, true
			}
		}
		return best, ok, nil
	})
}

// FindMaxTime finds the first record with the largest timestamp in [from,
// limit).
func (s *Store) FindMaxTime(p record.PartitionID, from, limit record.Offset) (Found, bool, error) {
	return s.search(p, from, limit, func(q *query) (Found, bool, error) {
		var best peak
		for len(q.spans) > 0 {
			// Level by level: only within one do spans not overlap.
			f, ok, err := q.maxOfLevel()
			if err != nil {
				return Found{}, false, err
			}
			if ok && (!best.ok || best.beatenBy(f.Timestamp, f.Offset)) {
				best = peak{found: f, ok: true}
			}
		}
		return best.result()
	})
}

// query is a search by time in the offsets [from, limit) of a partition.
type query struct {
	s           *Store
	p           *partition
	from, limit record.Offset
	spans       []levelSpan // those that overlap, level by level
}

// levelSpan is a span and the level it belongs to.
type levelSpan struct {
	level uint8
	span
}

func (s *Store) search(p record.PartitionID, from, limit record.Offset, find func(*query) (Found, bool, error)) (Found, bool, error) {
	part := s.partitions.get(p)
	if part == nil {
		return Found{}, false, ErrNoPartition
	}
	for range maxRetries {
		q := &query{s: s, p: part, from: from, limit: limit}
		if err := q.look(); err != nil {
			return Found{}, false, err
		}
		f, ok, err := find(q)
		if !errors.Is(err, errGone) {
			return f, ok, err
		}
	}
	return Found{}, false, fmt.Errorf("searching partition %d from offset %d: %w too often", p, from, errGone)
}

// look finds the spans.
func (q *query) look() error {
	p := q.p
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.drop.dropped {
		return ErrNoPartition
	}
	q.limit = min(q.limit, p.next)
	q.from = max(q.from, p.floor.now)
	for _, c := range p.chains {
		for i := c.find(max(q.from, c.floor.now)); i < len(c.spans) && c.spans[i].first < q.limit; i++ {
			q.spans = append(q.spans, levelSpan{c.level, c.spans[i]})
		}
	}
	return nil
}

// inside reports whether all of first to last is asked for.
func (q *query) inside(first, last record.Offset) bool { return first >= q.from && last < q.limit }

// runs calls yield for the runs of a span that overlap, until it returns false.
func (q *query) runs(sp levelSpan, yield func(r *Run) (bool, error)) error {
	var it runIter
	it.reset(q.s, q.p, sp.level, max(q.from, sp.first))
	for {
		r, err := it.head(1)
		if err != nil || r == nil || r.Base > sp.last || r.Base >= q.limit {
			return err
		}
		if more, err := yield(&r.Run); err != nil || !more {
			return err
		}
		it.advance()
	}
}

// batches calls yield for the batches of a run that overlap, until it returns
// false.
func (q *query) batches(r *Run, yield func(batch []byte, h record.Header) (bool, error)) error {
	res := Result{Whole: true}
	defer res.Release()
	limit := r.Last + 1
	for from := max(q.from, r.Base); from < min(limit, q.limit); from = res.Next {
		res.Release()
		if err := q.s.Read(&res, q.p.id, from, limit, findBytes, true); err != nil {
			return err
		}
		if res.Next <= from {
			return nil
		}
		more := true
		var err error
		res.Batches(func(_ *Run, batch []byte) bool {
			var h record.Header
			if h, err = record.ParseHeader(batch); err == nil {
				more, err = yield(batch, h)
			}
			return more && err == nil
		})
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// records calls yield for the records of a batch that are asked for, until it
// returns false. A batch whose records cannot be read counts as one record with
// the batch's largest timestamp: nobody looks inside before it is stored
// (docs/adr, "decompression"), and one such batch must not blind the search.
func (q *query) records(batch []byte, yield func(o record.Offset, ts int64) bool) error {
	err := record.Records(batch, func(r record.Record) error {
		if r.Offset < q.from {
			return nil
		}
		if r.Offset >= q.limit || !yield(r.Offset, r.Timestamp) {
			return record.SkipRest
		}
		return nil
	})
	if !errors.Is(err, record.ErrInvalid) && !errors.Is(err, record.ErrTooLarge) {
		return err
	}
	h, err := record.ParseHeader(batch)
	if err == nil {
		yield(max(h.BaseOffset, q.from), h.MaxTimestamp)
	}
	return err
}

// after finds the first record of a span with a timestamp of at least ts.
func (q *query) after(sp levelSpan, ts int64) (f Found, ok bool, err error) {
	err = q.runs(sp, func(r *Run) (bool, error) {
		if r.MaxTimestamp < ts {
			return true, nil
		}
		err := q.batches(r, func(batch []byte, h record.Header) (bool, error) {
			if h.MaxTimestamp < ts {
				return true, nil
			}
			err := q.records(batch, func(o record.Offset, t int64) bool {
				if t >= ts {
					f, ok = Found{Offset: o, Timestamp: t, Epoch: h.Epoch}, true
				}
				return !ok
			})
			return !ok, err
		})
		return !ok, err
	})
	return f, ok, err
}

// maxOfLevel takes the spans of one level off the query and searches them.
func (q *query) maxOfLevel() (Found, bool, error) {
	var best peak
	level := q.spans[0].level
	for len(q.spans) > 0 && q.spans[0].level == level {
		sp := q.spans[0]
		q.spans = q.spans[1:]
		err := best.offer(sp.maxTime, sp.first, q.inside(sp.first, sp.last), func() (Found, bool, error) { return q.maxOfSpan(sp) })
		if err != nil {
			return Found{}, false, err
		}
	}
	return best.result()
}

func (q *query) maxOfSpan(sp levelSpan) (Found, bool, error) {
	var best peak
	if err := q.runs(sp, func(r *Run) (bool, error) {
		run := *r
		return true, best.offer(run.MaxTimestamp, run.Base, q.inside(run.Base, run.Last), func() (Found, bool, error) { return q.maxOfRun(&run) })
	}); err != nil {
		return Found{}, false, err
	}
	return best.result()
}

func (q *query) maxOfRun(r *Run) (f Found, ok bool, err error) {
	err = q.batches(r, func(batch []byte, h record.Header) (bool, error) {
		if ok && h.MaxTimestamp <= f.Timestamp {
			return true, nil
		}
		return true, q.records(batch, func(o record.Offset, t int64) bool {
			if !ok || t > f.Timestamp {
				f, ok = Found{Offset: o, Timestamp: t, Epoch: h.Epoch}, true
			}
			return true
		})
	})
	return f, ok, err
}

// peak keeps the first of the largest timestamps offered. What lies wholly
// inside of the range asked for is judged by its largest timestamp and looked
// into only in the end; so what is offered must not overlap.
type peak struct {
	found Found
	ok    bool
	look  func() (Found, bool, error)
}

func (p *peak) offer(maxTime int64, first record.Offset, inside bool, look func() (Found, bool, error)) error {
	if p.ok && !p.beatenBy(maxTime, first) {
		return nil
	}
	if inside {
		p.found, p.ok, p.look = Found{Offset: first, Timestamp: maxTime}, true, look
		return nil
	}
	f, ok, err := look()
	if err == nil && ok && (!p.ok || p.beatenBy(f.Timestamp, f.Offset)) {
		p.found, p.ok, p.look = f, true, nil
	}
	return err
}

func (p *peak) beatenBy(ts int64, o record.Offset) bool {
	return ts > p.found.Timestamp || ts == p.found.Timestamp && o < p.found.Offset
}

func (p *peak) result() (Found, bool, error) {
	if p.look != nil {
		return p.look()
	}
	return p.found, p.ok, nil
}
