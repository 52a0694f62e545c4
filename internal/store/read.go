package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
)

// Read adds whole batches of a partition to dst, in the order of offsets over
// all levels: from the batch that holds offset from, or the first one after
// it, while they end before limit and fit into maxBytes. With minOne the first
// batch is taken whatever its size. Batches have their base offsets and epochs
// set. Records that are in memory are neither copied (but small ones) nor
// read; sealed data is verified.
//
// dst.Next is where to go on: after the last batch, or at from if there was
// none. Errors: ErrNoPartition, ErrOffsetOutOfRange, ErrDamaged; dst then has
// nothing of this read.
func (s *Store) Read(dst *Result, p record.PartitionID, from, limit record.Offset, maxBytes int, minOne bool) error {
	part := s.partitions.get(p)
	if part == nil {
		return ErrNoPartition
	}
	m := dst.mark()
	for range maxRetries {
		err := s.read(dst, part, from, limit, maxBytes, minOne)
		if err == nil {
			return nil
		}
		dst.rewind(m)
		if !errors.Is(err, errGone) {
			return err
		}
	}
	return fmt.Errorf("reading partition %d at offset %d: %w too often", p, from, errGone)
}

func (s *Store) read(dst *Result, p *partition, from, limit record.Offset, maxBytes int, minOne bool) error {
	if err := dst.begin(s, p, from, &limit); err != nil {
		return err
	}
	defer dst.end()
	dst.More = false
	w := walker{s: s, p: p, dst: dst, from: from, limit: limit, left: maxBytes, minOne: minOne, next: from}
	defer w.open(nil, nil, 0, nil)
	for !w.full && (w.left > 0 || w.minOne) {
		it, r, err := dst.first(w.left)
		if err == nil && r != nil && r.body == nil && dst.InMemory {
			err = ErrOnDisk
		}
		if errors.Is(err, ErrOnDisk) && w.next > from {
			break
		}
		if err != nil {
			return err
		}
		if r == nil || r.Base >= limit {
			break
		}
		if r.body == nil && w.enough(r, maxBytes) {
			w.full, dst.More = true, true
			break
		}
		before := dst.Size
		if r.body != nil {
			err = w.memory(r)
		} else {
			err = w.file(r, it)
		}
		if err != nil {
			return err
		}
		dst.addRun(&r.Run, dst.Size-before)
		if !w.full {
			it.advance()
		}
	}
	if dst.Next = w.next; w.full && !dst.own {
		w.ahead(maxBytes)
	}
	// What a floor passes disappears even while it is read; nothing at or above
	// the floor ever does.
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.readable(from)
}

// readable reports why nothing can be read from an offset; p.mu is held.
func (p *partition) readable(from record.Offset) error {
	if p.drop.dropped {
		return ErrNoPartition
	}
	if from < p.floor.now && !fault.On(fault.BelowFloor) || from > p.next {
		return ErrOffsetOutOfRange
	}
	return nil
}

// begin checks the bounds of a read and sets up an iterator per level.
func (r *Result) begin(s *Store, p *partition, from record.Offset, limit *record.Offset) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if err := p.readable(from); err != nil {
		return err
	}
	*limit = min(*limit, p.next)
	for _, c := range p.chains {
		if r.OneLevel && c.level != r.Level {
			continue
		}
		i := len(r.iters)
		if i == cap(r.iters) {
			r.iters = append(r.iters, runIter{})
		}
		r.iters = r.iters[:i+1]
		r.iters[i].reset(s, p, c.level, max(from, c.floor.now))
		r.iters[i].inMemory = r.InMemory
	}
	return nil
}

func (r *Result) end() {
	for i := range r.iters {
		r.iters[i].release()
	}
	r.iters = r.iters[:0]
}

// first returns the iterator with the lowest run, and that run.
func (r *Result) first(want int) (it *runIter, low *located, err error) {
	for i := range r.iters {
		l, err := r.iters[i].head(want)
		if err != nil {
			return nil, nil, err
		}
		if l != nil && (low == nil || l.Base < low.Base) {
			it, low = &r.iters[i], l
		}
	}
	return it, low, nil
}

// walker takes batches from runs until a read is full.
type walker struct {
	s           *Store
	p           *partition
	dst         *Result
	from, limit record.Offset
	left        int // bytes that may still be taken
	minOne      bool
	next        record.Offset
	full        bool

	// What is at hand of a file: memory of the result alone, or a piece that
	// others read too.
	chunk   []byte
	chunkAt int64
	chunkOf *file
	piece   *piece // nil: the result's own
	pinned  bool   // the result keeps the piece
	copies  bool   // what is taken of the piece is too little to keep it
	untold  int64  // bytes taken of the piece less those announced
	joined  int64  // where in the file the last batch taken ended, if it is the last buffer

	// Up to where in which file the pieces have been told what is wanted.
	told   int64
	toldOf *file
}

// enough reports whether a run of a file is left for the next read: no more than a
// part of it can be taken, if that, which would be read for little, and half of
// what may be taken is there.
func (w *walker) enough(r *located, maxBytes int) bool {
	return !w.minOne && int(r.Len) > w.left && w.left <= maxBytes/2
}

// ahead has what the next read will want be read, if those are long runs.
func (w *walker) ahead(bytes int) {
	for i := range w.dst.iters {
		it := &w.dst.iters[i]
		w.s.wishRuns(it.buf[it.pos:], min(int64(bytes), aheadBytes))
	}
}

// open has other bytes of a file at hand.
func (w *walker) open(chunk []byte, f *file, at int64, p *piece) {
	if w.piece != nil {
		if w.untold != 0 {
			w.piece.leave(w.untold)
		}
		if !w.pinned {
			w.piece.release()
		}
	}
	w.untold = 0
	w.chunk, w.chunkAt, w.chunkOf, w.piece, w.pinned, w.joined = chunk, at, f, p, false, -1
}

// want reports whether the batch from base to last, of size bytes, is to be
// taken; it is skipped if not, unless the walk is full.
func (w *walker) want(last record.Offset, size int) bool {
	if last < w.from {
		return false
	}
	if last >= w.limit || size > w.left && !w.minOne {
		w.full, w.dst.More = true, last < w.limit
		return false
	}
	w.minOne = false
	w.left -= size
	w.next = last + 1
	return true
}

// batchAt returns the size and the last offset of the batch at the beginning
// of b, which must reach that far.
func batchAt(b []byte, base record.Offset) (size int, last record.Offset, err error) {
	if size, err = record.Size(b); err != nil {
		return 0, 0, err
	}
	if len(b) < record.HeaderSize {
		return 0, 0, record.ErrTruncated
	}
	delta := int32(binary.BigEndian.Uint32(b[23:]))
	if delta < 0 {
		return 0, 0, record.ErrInvalid
	}
	return size, base + record.Offset(delta), nil
}

// memory takes batches from a run that is in memory.
func (w *walker) memory(r *located) error {
	base, skip := w.resume(r)
	body := r.body[skip:]
	size := w.dst.Size
	copies := w.s.lane.Lent() > maxLent
	for len(body) > 0 {
		n, last, err := batchAt(body, base)
		if err != nil || n > len(body) {
			return fmt.Errorf("%w: run %d-%d of partition %d is not made of batches", ErrDamaged, r.Base, r.Last, r.Partition)
		}
		if w.want(last, n) {
			if copies {
				w.dst.addCopy(body[:n:n], base, r.Epoch)
			} else if w.dst.addShared(body[:n:n], base, r.Epoch) {
				w.dst.keep(r.chunk)
			}
		} else if w.full {
			w.remember(r, base, len(r.body)-len(body))
			break
		}
		base, body = last+1, body[n:]
	}
	if !w.dst.own {
		w.s.stats.TailReads.Add(uint64(w.dst.Size - size))
	}
	return nil
}

// file takes batches from a run that must be read, the head of it. What a
// header says counts only once the batch is verified, also of a batch that is
// passed over: the offsets of those behind it hang on it.
func (w *walker) file(r *located, it *runIter) error {
	base, skip := w.resume(r)
	pos, end := int64(r.Pos)+int64(skip), int64(r.Pos)+int64(r.Len)
	size := w.dst.Size
	for pos < end {
		head, err := w.view(it, pos, min(record.HeaderSize, end-pos))
		if err != nil {
			return err
		}
		n, last, err := batchAt(head, base)
		if err != nil || int64(n) > end-pos || last > r.Last {
			return w.s.damage(w.s.pathOf(r.f), pos, "there is no record batch where the run index names one")
		}
		if w.full = last >= w.from && n > w.left && !w.minOne; w.full {
			w.dst.More = true
		} else {
			if err := w.take(r, it, pos, n, base); err != nil {
				return err
			}
		}
		if w.full {
			w.remember(r, base, int(pos-int64(r.Pos)))
			break
		}
		base, pos = last+1, pos+int64(n)
	}
	if w.dst.own {
		w.s.stats.RewriteRead.Add(uint64(w.dst.Size - size))
	} else {
		w.s.stats.FileReads.Add(uint64(w.dst.Size - size))
	}
	return nil
}

// take verifies a batch of a file, unless another reader of the same memory
// has, and adds it if it is wanted.
func (w *walker) take(r *located, it *runIter, pos int64, n int, base record.Offset) error {
	batch, err := w.view(it, pos, int64(n))
	if err != nil {
		return err
	}
	at := int(pos - w.chunkAt)
	if w.piece == nil || !w.piece.isVerified(at) {
		if _, err := record.Validate(batch, record.Checks{}); err != nil && !fault.On(fault.SkipChecksum) {
			return w.s.damage(w.s.pathOf(r.f), pos, err.Error())
		}
		if w.piece != nil {
			w.piece.setVerified(at)
		}
	}
	_, last, err := batchAt(batch, base)
	if err != nil || !w.want(last, n) {
		return err
	}
	w.untold += int64(n)
	switch {
	case w.piece == nil:
		patch(batch, base, r.Epoch)
		w.dst.addOwn(w.chunk, at, at+n, w.joined == pos)
		w.joined = pos + int64(n)
	case w.copies || w.dst.Whole:
		w.dst.addCopy(batch, base, r.Epoch)
	default:
		w.dst.addShared(batch, base, r.Epoch)
		w.pin()
	}
	return nil
}

// pin makes the result keep the piece at hand.
func (w *walker) pin() {
	if !w.pinned {
		w.pinned = true
		w.dst.pieces = append(w.dst.pieces, w.piece)
	}
}

// view returns n bytes of the file of the run at it's head, from what is at
// hand, a piece, or memory that it reads them into.
func (w *walker) view(it *runIter, pos, n int64) ([]byte, error) {
	f := it.buf[it.pos].f
	if !w.has(f, pos, n) {
		if ok := w.share(it, pos, n); !ok {
			size := max(n, min(it.reach()-pos, int64(w.left)+gapBytes, maxReadSize))
			b, from, err := w.s.readPiece(f, pos, size)
			w.dst.reads = append(w.dst.reads, b)
			if err != nil {
				return nil, err
			}
			w.open(*b, f, from, nil)
		}
	}
	at := pos - w.chunkAt
	return w.chunk[at : at+n], nil
}

// has reports whether bytes of a file are at hand.
func (w *walker) has(f *file, pos, n int64) bool {
	at := pos - w.chunkAt
	return f == w.chunkOf && at >= 0 && at+n <= int64(len(w.chunk))
}

// share gets n bytes of a file at hand from the piece that they lie in, or,
// copied, from several. It reports whether it could.
func (w *walker) share(it *runIter, pos, n int64) bool {
	f := it.buf[it.pos].f
	if w.dst.own || n > maxJoined*w.s.pieces.size || f == w.toldOf && pos < w.told {
		return false
	}
	if !w.enter(it, pos) {
		return false
	}
	if w.has(f, pos, n) {
		return true
	}
	b := getRead(int(n))
	w.dst.reads = append(w.dst.reads, b)
	for got := int64(0); ; {
		copied := int64(copy((*b)[got:], w.chunk[pos+got-w.chunkAt:]))
		got += copied
		w.untold += copied
		if got == n {
			break
		}
		if pos+got != w.chunkAt+int64(len(w.chunk)) || !w.enter(it, pos+got) {
			return false
		}
	}
	w.open(*b, f, pos, nil)
	return true
}

// enter gets the piece that holds a position at hand.
func (w *walker) enter(it *runIter, pos int64) bool {
	r := &it.buf[it.pos]
	f := r.f
	if w.piece != nil && w.has(f, pos, 1) {
		return true
	}
	x := w.s.pieces.of(r, pos)
	want, upTo := it.wanted(pos, x.at+x.n)
	want = min(want, int64(w.left))
	p := w.s.acquirePiece(x, want, it.extent())
	if p == nil {
		w.told, w.toldOf = upTo, f
		return false
	}
	w.open(p.buf, f, p.at, p)
	w.untold = -want
	w.copies = want < w.s.pieces.size/pinShare
	return w.has(f, pos, 1)
}

// resumes remembers where in long runs recent reads have stopped, so that the
// next one need not walk there again.
type resumes struct {
	mu   sync.Mutex
	at   [4]resumePoint
	next int
}

// resumePoint says that the batch with offset base begins skip bytes into the
// run whose body lies at pos of a file. Compaction may give the same offsets
// another body, but never in the same place.
type resumePoint struct {
	f    *file
	base record.Offset
	pos  uint32
	skip uint32
}

// resume returns where in the run to begin, and the offset of the batch there.
func (w *walker) resume(r *located) (record.Offset, int) {
	if w.from > r.Base {
		rs := &w.p.resumes
		rs.mu.Lock()
		defer rs.mu.Unlock()
		for i := range rs.at {
			if p := &rs.at[i]; p.f == r.f && p.pos == r.Pos && p.base == w.from && p.skip > 0 && p.skip < r.Len {
				return p.base, int(p.skip)
			}
		}
	}
	return r.Base, 0
}

func (w *walker) remember(r *located, base record.Offset, skip int) {
	if skip == 0 || base <= r.Base {
		return
	}
	rs := &w.p.resumes
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.at[rs.next] = resumePoint{r.f, base, r.Pos, uint32(skip)}
	rs.next = (rs.next + 1) % len(rs.at)
}
