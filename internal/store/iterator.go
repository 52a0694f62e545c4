package store

import (
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store/segment"
	"github.com/polylog-mq/polylog/internal/store/wal"
)

// located is a run and where its body is.
type located struct {
	Run
	f    *file
	body []byte // nil if it must be read from the file
	// chunk is where body lies. The iterator holds it as long as the run is among
	// those looked up.
	chunk *wal.Chunk
}

// runIter walks over the runs of one level of a partition in the order of
// offsets. It looks them up piecemeal under the partition's lock and reads
// indexes without it.
type runIter struct {
	s     *Store
	p     *partition
	level uint8
	// from is where the look-up goes on: runs that end before are done with.
	from record.Offset
	// inMemory says that files are not to be read.
	inMemory bool

	buf []located // runs looked up and not yet taken
	// held are the chunks of those in memory, each once for runs that follow each
	// other.
	held []*wal.Chunk
	pos  int
	cur  *segment.Cursor // over the span at hand, if that is on disk
	in   span
	end  bool
}

// reset makes it begin at offset from.
func (it *runIter) reset(s *Store, p *partition, level uint8, from record.Offset) {
	*it = runIter{s: s, p: p, level: level, from: from, buf: it.buf[:0], held: it.held[:0]}
}

// release lets go of what the iterator refers to.
func (it *runIter) release() {
	clear(it.buf[:cap(it.buf)])
	it.drop()
	*it = runIter{buf: it.buf[:0], held: it.held}
}

// drop lets go of the chunks of the runs looked up.
func (it *runIter) drop() {
	for i, c := range it.held {
		c.Release()
		it.held[i] = nil
	}
	it.held = it.held[:0]
}

// memory finds the body of a run in memory, if it is there.
func (it *runIter) memory(l *located, e *entry) {
	c := e.chunk.Load()
	if c == nil {
		return
	}
	if n := len(it.held); n == 0 || it.held[n-1] != c {
		if !c.Hold() {
			return
		}
		it.held = append(it.held, c)
	}
	l.body, l.chunk = c.Bytes(int64(l.Pos), int(l.Len)), c
}

// head returns the next run, nil behind the last. want bounds the bytes of
// bodies that are looked up ahead.
func (it *runIter) head(want int) (*located, error) {
	for it.pos == len(it.buf) {
		if it.end {
			return nil, nil
		}
		if err := it.fill(want); err != nil {
			return nil, err
		}
	}
	return &it.buf[it.pos], nil
}

// advance takes the head.
func (it *runIter) advance() { it.pos++ }

// reach returns where the bytes end that are worth reading together with the
// head: those of the runs behind it in the same file, without much between.
func (it *runIter) reach() int64 {
	r := &it.buf[it.pos]
	end := int64(r.Pos) + int64(r.Len)
	for i := it.pos + 1; i < len(it.buf); i++ {
		n := &it.buf[i]
		if n.f != r.f || n.body != nil || int64(n.Pos) < end || int64(n.Pos) > end+gapBytes {
			break
		}
		end = int64(n.Pos) + int64(n.Len)
	}
	return end
}

// wanted returns how many bytes of the runs looked up lie in the head's file from
// a position in the head up to end, and where the last of them ends.
func (it *runIter) wanted(pos, end int64) (bytes, upTo int64) {
	f := it.buf[it.pos].f
	for i := it.pos; i < len(it.buf); i++ {
		r := &it.buf[i]
		from := max(pos, int64(r.Pos))
		if r.f != f || r.body != nil || i > it.pos && int64(r.Pos) < upTo || from >= end {
			break
		}
		upTo = int64(r.Pos) + int64(r.Len)
		bytes += min(upTo, end) - from
	}
	return bytes, upTo
}

// extent returns how far in the head's file there is something to be read for
// whoever goes on: in a WAL file, which its partitions share, up to the end, in
// a level 1 file about as far as the bytes of the partition go.
func (it *runIter) extent() int64 {
	r := &it.buf[it.pos]
	if r.f.level == 0 || it.in.file == nil {
		return it.s.o.WALFileSize
	}
	all, left := int64(it.in.last-it.in.first)+1, int64(it.in.last-r.Base)+1
	return int64(r.Pos) + int64(float64(it.in.bytes)*float64(left)/float64(all))
}

func (it *runIter) fill(want int) error {
	it.buf, it.pos = it.buf[:0], 0
	it.drop()
	if it.cur == nil {
		if it.fillFromMemory(want); it.cur == nil && it.in.file == nil {
			return nil
		}
		if it.inMemory {
			return ErrOnDisk
		}
		var err error
		s := segment.Span{Partition: it.p.id, Level: it.level, First: it.in.first, Last: it.in.last, Block: it.in.block}
		if it.cur, err = it.s.reader.Seek(it.in.file.final.Load(), &s, it.from); err != nil {
			return it.s.explain(err)
		}
	}
	for size := 0; len(it.buf) < fillRuns && (size < want || size == 0); {
		r, err := it.cur.Next()
		if err != nil {
			return it.s.explain(err)
		}
		if r == nil {
			it.from, it.cur, it.in = it.in.last+1, nil, span{}
			return nil
		}
		it.buf = append(it.buf, located{Run: *r, f: it.in.file})
		size += int(r.Len)
	}
	return nil
}

// fillFromMemory looks up the span that holds it.from. Runs in memory go to
// the buffer; for others the span is left in it.in.
func (it *runIter) fillFromMemory(want int) {
	it.in = span{}
	it.p.mu.RLock()
	defer it.p.mu.RUnlock()
	c := it.p.chain(it.level)
	i := c.find(it.from)
	if i == len(c.spans) {
		it.end = true
		return
	}
	s := &c.spans[i]
	if s.mem == nil {
		it.in = *s
		return
	}
	size := 0
	s.mem.from(it.from, func(r *memRun) bool {
		if len(it.buf) == fillRuns || size >= want && size > 0 {
			return false
		}
		l := located{Run: r.Run, f: s.file}
		if r.e != nil {
			it.memory(&l, r.e)
		}
		it.buf = append(it.buf, l)
		size += int(r.Len)
		return true
	})
	it.from = it.buf[len(it.buf)-1].Last + 1
}
