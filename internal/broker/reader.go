package broker

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/polylog-mq/polylog/internal/record"
)

// Reader reads the log of a queue, most often a stream, record by record and
// takes nothing away: control records and those of transactions that are open or
// were aborted are left out. But for Leave, it is for one goroutine at a time.
type Reader struct {
	q    *Queue
	next record.Offset
	// seen is the watermark that the last reading was limited by.
	seen    record.Offset
	reading reading
	at      int // of reading.records
	left    atomic.Bool
}

// Read begins to read at an offset, below the floor at the floor. The reader counts
// as a consumer of the queue until Leave or Close.
func (q *Queue) Read(from record.Offset) *Reader {
	q.readers.Add(1)
	return &Reader{q: q, next: from}
}

// Fill sees to it that Take has something to give, and reports whether it has:
// else all that is readable was read. It may read the disk. ErrUnknownQueue (it was
// deleted), ErrDamaged, ErrStorage, ErrClosed.
func (r *Reader) Fill() (bool, error) {
	p := r.q.part
	for r.at == len(r.reading.records) {
		list := r.reading.records
		r.forget()
		if r.q.Deleted() {
			return false, ErrUnknownQueue
		}
		r.next = max(r.next, p.Floor())
		if r.seen = p.LastStable(); r.next >= r.seen {
			r.reading.size = 0
			return false, nil
		}
		r.reading.records = list[:0] // its memory is wanted again
		size := min(max(2*r.reading.size, readLeast), streamRead)
		l := loading{from: r.next, limit: r.seen, size: size}
		err := l.into(&r.reading, p)
		switch {
		case errors.Is(err, ErrOffsetOutOfRange): // retention was here
			continue
		case errors.Is(err, ErrUnknownPartition):
			return false, ErrUnknownQueue
		case err != nil:
			return false, fmt.Errorf("reading %q at offset %d: %w", r.q.Name(), r.next, err)
		}
		r.reading.size, r.next = size, r.reading.next
	}
	return true, nil
}

// Take returns the next record that Fill has read, nil if there is none. It lends
// the bytes until the next Fill, and never reads the disk.
func (r *Reader) Take() *record.Record {
	if r.at == len(r.reading.records) {
		return nil
	}
	rec := &r.reading.records[r.at].record
	r.at++
	return rec
}

// Interest says what to wait for when Fill has found nothing.
func (r *Reader) Interest() Interest {
	return Interest{Partition: r.q.part, Seen: r.seen, Stable: true}
}

// Skip is Interest for a reader that cares only about what is not an append.
func (r *Reader) Skip() Interest {
	r.seen = r.q.part.LastStable()
	return r.Interest()
}

// forget lets go of what was read.
func (r *Reader) forget() {
	r.q.stats.delivered.Add(int64(r.at))
	r.at = 0
	r.reading.forget()
}

// Leave ends what the reader counts for. Any goroutine.
func (r *Reader) Leave() {
	if !r.left.Swap(true) {
		r.q.readers.Add(-1)
	}
}

// Close gives up the reader's memory. Nothing of it may be used afterwards.
func (r *Reader) Close() {
	r.Leave()
	r.forget()
}

// Last returns the offset of the last record that can be read, the end of the log
// if there is none. It may read the disk.
func (q *Queue) Last() (record.Offset, error) {
	p := q.part
	end := p.LastStable()
	l := loading{from: max(p.Floor(), end-lastLooks), limit: end, size: streamRead}
	if l.from >= end {
		return end, nil
	}
	var r reading
	defer r.forget()
	if err := l.into(&r, p); err != nil && !errors.Is(err, ErrOffsetOutOfRange) {
		return 0, fmt.Errorf("looking for the last record of %q: %w", q.Name(), err)
	}
	if n := len(r.records); n > 0 && r.next >= end {
		return r.records[n-1].record.Offset, nil
	}
	return max(p.Floor(), end-1), nil
}
