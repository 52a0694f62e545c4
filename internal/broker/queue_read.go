package broker

import (
	"errors"
	"fmt"
	"sort"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/lease"
	"github.com/polylog-mq/polylog/internal/state/topic"
	"github.com/polylog-mq/polylog/internal/store"
)

// reading is a piece of one level of a queue's log, as records.
type reading struct {
	res store.Result
	// [from, next) is what it covers; empty if nothing was read.
	from, next record.Offset
	records    []fetched
	size       int    // how much the next read takes
	arena      []byte // of records that were compressed
}

// fetched is a record of a reading.
type fetched struct {
	record record.Record
	time   record.LogTime // of its append
	level  uint8
}

// forget lets go of the bytes.
func (r *reading) forget() {
	if r.next == r.from {
		return
	}
	r.res.Release()
	r.records, r.from, r.next = emptied(r.records), 0, 0
	r.arena = nil
}

// emptied empties a list that is used again, and lets go of one that has grown:
// there may be very many.
func emptied[T any](list []T) []T {
	if cap(list) > idleItems {
		return nil
	}
	clear(list)
	return list[:0]
}

// seek returns the first record at or above o; ok is false if the reading does
// not tell.
func (r *reading) seek(o record.Offset) (f *fetched, ok bool) {
	if o < r.from || o >= r.next {
		return nil, false
	}
	i := sort.Search(len(r.records), func(i int) bool { return r.records[i].record.Offset >= o })
	if i == len(r.records) {
		return nil, true
	}
	return &r.records[i], true
}

// keep keeps what a desk has read for the next time, as long as there are not too
// many others: a consumer that asks for one record after the other must not read
// for each.
func (q *queues) keep(d *desk) {
	switch {
	case d.closed || d.Ready() == 0:
		d.forget()
	case !d.kept:
		d.kept = true
		if len(q.kept) == keptReadings {
			oldest := q.kept[0]
			q.kept = append(q.kept[:0], q.kept[1:]...)
			oldest.kept = false
			oldest.forget()
		}
		q.kept = append(q.kept, d)
	}
}

// forget lets go of all bytes that were read.
func (d *desk) forget() {
	for i := range d.reads {
		d.reads[i].forget()
	}
	d.again.forget()
	d.ahead.forget()
}

// reading returns where the record of a Want is read.
func (d *desk) reading(w lease.Want) *reading {
	if w.Exact {
		return &d.again
	}
	for len(d.reads) <= int(w.Level) {
		d.reads = append(d.reads, reading{})
	}
	return &d.reads[w.Level]
}

// find returns the record that a Want has led to. It is nil if the desk has to
// look elsewhere, and ok is false if it cannot go on at all.
func (d *desk) find(w lease.Want) (f *fetched, ok bool) {
	r := d.reading(w)
	f, known := r.seek(w.From)
	if !known {
		switch err := d.read(r, w); {
		case errors.Is(err, errLater):
			return nil, false
		case err != nil:
			d.unreadable(w.From, err)
			return nil, false
		}
		f, _ = r.seek(w.From)
	}
	alone := d.Levels() == 1
	switch {
	case f == nil:
		d.Pass(w, min(r.next, w.Limit), alone)
	case f.record.Offset != w.From:
		d.Pass(w, min(f.record.Offset, w.Limit), alone)
		return nil, true
	case d.Blocked(w, d.found(f)):
		return nil, true
	}
	return f, true
}

// errLater says that a reading is under way, and the desk will go on then.
var errLater = errors.New("the records are being read")

// read reads on from where a Want says. What was read before is gone afterwards.
// The shard's loop does not wait for a disk: what is not in memory is read beside
// it.
func (d *desk) read(r *reading, w lease.Want) error {
	if d.loading && d.loaded.Exact == w.Exact && d.loaded.Level == w.Level {
		return errLater
	}
	d.handOver()
	if x := &d.ahead; !w.Exact && w.Level == d.aheadOf && w.From >= x.from && w.From < x.next {
		r.forget()
		*r, *x = *x, *r
		d.readAhead(w, r)
		return nil
	}
	// What is read on and on, perhaps between the records of other levels, is read in
	// larger and larger pieces.
	size := min(max(2*r.size, readLeast), readBytes)
	if skipped := w.From - r.next; skipped < 0 || skipped > r.next-r.from {
		size = readLeast
	}
	l := loading{from: w.From, limit: w.Limit, size: size, one: d.Levels() > 1, level: w.Level, inMemory: true}
	if w.Exact { // the batch that holds the record may end beyond it
		l.limit, l.size = d.part.HighWatermark(), 1
	}
	r.forget()
	r.size = size
	err := l.into(r, d.part)
	if errors.Is(err, store.ErrOnDisk) {
		l.inMemory = false
		if size == readBytes {
			l.size = diskBytes
		}
		d.readLater(w, l, false)
		return errLater
	}
	return err
}

// readAhead begins to read what follows a large piece from the disk while that is
// delivered.
func (d *desk) readAhead(w lease.Want, r *reading) {
	if r.size == diskBytes && r.next < w.Limit {
		l := loading{from: r.next, limit: w.Limit, size: diskBytes, one: d.Levels() > 1, level: w.Level}
		d.readLater(w, l, true)
	}
}

// readLater reads in the background, one piece of a queue at a time.
func (d *desk) readLater(w lease.Want, l loading, ahead bool) {
	if d.loading {
		return
	}
	d.loading, d.loaded = true, w
	b, x := d.q.s.b, &reading{size: l.size}
	b.background.run(func() {
		err := l.into(x, d.part)
		if ahead && errors.Is(err, ErrOffsetOutOfRange) { // records of other levels that are gone begin it
			l.from = d.part.Floor()
			err = l.into(x, d.part)
		}
		d.q.s.group.Post(func() {
			d.loading = false
			switch {
			case d.closed:
				x.forget()
			case ahead:
				if d.ahead.forget(); err == nil { // else who comes there is told
					d.ahead, d.aheadOf = *x, w.Level
				}
				d.workNow()
			case err != nil:
				d.unreadable(w.From, err)
			default:
				r := d.reading(w)
				r.forget()
				*r = *x
				d.readAhead(w, r)
				d.workNow()
			}
		})
	})
}

// unreadable says that a queue cannot go on.
func (d *desk) unreadable(o record.Offset, err error) {
	if !errors.Is(err, ErrClosed) {
		d.q.s.b.log.Error("a queue cannot be read", "partition", d.part.id, "offset", o, "reason", err)
	}
}

// loading says what is to be read of a partition. It can be carried out by any
// goroutine.
type loading struct {
	from, limit record.Offset
	size        int
	one         bool // of one level
	level       uint8
	inMemory    bool
}

func (l *loading) into(r *reading, p *Partition) error {
	r.res.Whole, r.res.OneLevel, r.res.Level, r.res.InMemory = true, l.one, l.level, l.inMemory
	err := p.shard.b.store.Read(&r.res, p.id, l.from, l.limit, l.size, true)
	if errors.Is(err, store.ErrOnDisk) {
		return err //nolint:wrapcheck // not for anybody outside
	}
	if err != nil && !errors.Is(err, store.ErrNoPartition) {
		return p.readError(err)
	}
	r.from, r.next = l.from, max(r.res.Next, l.from)
	if r.next == l.from {
		r.next = max(l.limit, l.from+1) // there is nothing
		return nil
	}
	return r.parse(p)
}

// parse takes the batches of a reading apart. Control records and those of
// aborted transactions are no records for consumers.
func (r *reading) parse(p *Partition) error {
	aborted := p.Aborted(nil, r.from, min(r.next, p.LastStable()))
	var failed error
	r.res.Batches(func(run *store.Run, batch []byte) bool {
		h, err := record.ParseHeader(batch)
		if err != nil {
			failed = err
			return false
		}
		if h.Control() || h.Transactional() && abortedBatch(aborted, &h) {
			return true
		}
		failed = record.Records(batch, func(rec record.Record) error {
			if rec.Offset >= r.from {
				if h.Codec() != record.None {
					r.keep(&rec)
				}
				r.records = append(r.records, fetched{rec, run.LogTime, run.Level})
			}
			return nil
		})
		return failed == nil
	})
	if failed != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, failed)
	}
	return nil
}

// abortedBatch reports whether a batch belongs to an aborted transaction.
func abortedBatch(aborted []topic.Aborted, h *record.Header) bool {
	for _, a := range aborted {
		if a.Producer == h.ProducerID && h.BaseOffset >= a.First && h.BaseOffset <= a.Last {
			return true
		}
	}
	return false
}

// keep copies a record whose bytes are only lent.
func (r *reading) keep(rec *record.Record) {
	rec.Key, rec.Value = r.copied(rec.Key), r.copied(rec.Value)
	headers := record.Headers{}
	for name, value := range rec.Headers.All() {
		headers.Add(string(name), r.copied(value))
	}
	rec.Headers = headers
}

func (r *reading) copied(b []byte) []byte {
	if b == nil {
		return nil
	}
	at := len(r.arena)
	if cap(r.arena)-at < len(b) {
		r.arena, at = make([]byte, 0, max(arenaBytes, len(b))), 0
	}
	r.arena = append(r.arena, b...)
	return r.arena[at:len(r.arena):len(r.arena)]
}
