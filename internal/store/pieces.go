package store

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store/checkpoint"
	"github.com/polylog-mq/polylog/internal/store/wal"
)

// pieces is the one owner of the memory in which data files are read for those
// who catch up: pieces of up to a size, a bounded number of them, shared by all
// readers. Each is read by one of them, or ahead of them, while others that want
// it wait; its bytes never change, and each batch in it is verified once. A piece
// that somebody uses stays; when all are used readers read for themselves
// (readPiece). So do those who come when it was read twice: through the page cache,
// which then has it for the next ones.
//
// Files are cut at multiples of the size. But where most runs are long each of
// them is read by itself, as one or several pieces: a reader then reads nothing
// that he does not want, though he and those of the other partitions are far apart.
//
// In a WAL file of shorter runs a reader wants one partition of many. To read all
// of a piece pays if the readers of the others are near, which shows only
// afterwards: each piece that is given up, and each that was asked for and not
// read, says how much of it was wanted while it was remembered, and yield is the recent
// average. Where that is low readers read what they want, for themselves.
type pieces struct {
	size int64 // of a piece, in bytes; a multiple of pages
	max  int   // number of them

	mu    sync.Mutex
	mem   *memory // of all pieces; nil before there was one
	byKey map[pieceKey]*piece
	free  []*piece // in no one's use
	made  int
	clock uint64 // counts calls of acquire
	ahead int    // pieces that were read ahead and not used yet
	// asked remembers what was wanted of pieces that are not here, in a ring.
	asked   [askedPieces]asked
	askedAt int
	yield   float64 // bytes wanted per byte of a piece; at most 1 each

	resting bool   // somebody comes to look whether the memory is in use
	rested  uint64 // what clock was when they last did

	wishes chan extent // to be read ahead

	// cached is what the kernel was asked lately to have in the page cache, a ring.
	cached   [askedCached]pieceKey
	cachedAt int
}

// pieceKey names the piece that begins at a position of a file.
type pieceKey struct {
	f  *file
	at int64
}

// extent is what a piece holds: n bytes, or fewer where the file ends.
type extent struct {
	pieceKey
	n   int64
	run bool // they are those of a long run
}

// asked is how many bytes of a piece were wanted.
type asked struct {
	key   pieceKey
	bytes int64
}

// piece is a part of a file. What is not said to be otherwise belongs to
// pieces.mu.
type piece struct {
	owner *pieces
	extent
	users  int
	used   uint64 // when, in pieces.clock
	wanted int64  // bytes, by all users
	ahead  bool   // it was read ahead and is not used yet
	lost   bool   // it can no longer be found

	loading sync.Mutex // held by who reads it
	failed  bool       // it could not be read; by loading
	buf     []byte     // by loading; then immutable
	// verified has a bit for each stretch of stride bytes in which a batch begins
	// that was verified: no two can begin in one.
	verified []atomic.Uint64
}

const stride = 32

var _ [record.HeaderSize - stride - 1]struct{} // no batch is shorter

// newPieces sizes the pieces by the WAL's files, so that small stores of tests
// have several in a file, too.
func newPieces(fileSize int64) pieces {
	size := int64(pieceBytes)
	for size > 4*wal.PageSize && size > fileSize/8 {
		size /= 2
	}
	return pieces{
		size: size, max: maxPieces, yield: 1, byKey: map[pieceKey]*piece{}, wishes: make(chan extent, maxPieces),
	}
}

// aligned returns the piece that holds position pos of a file of short runs.
func (c *pieces) aligned(f *file, pos int64) extent {
	return extent{pieceKey: pieceKey{f, pos &^ (c.size - 1)}, n: c.size}
}

// of returns the piece that holds position pos of a run.
func (c *pieces) of(r *located, pos int64) extent {
	if !r.f.hasLongRuns(c.size / longShare) {
		return c.aligned(r.f, pos)
	}
	const page = wal.PageSize
	most := c.size - 2*page // a run begins and ends within pages
	begin, end := int64(r.Pos), int64(r.Pos)+int64(r.Len)
	begin += (pos - begin) / most * most
	at := begin &^ (page - 1)
	return extent{pieceKey{r.f, at}, (min(end, begin+most)+page-1)&^(page-1) - at, true}
}

// acquire returns a piece for use until release. It is nil if the piece is not
// here and is not worth to be read either, for want bytes of it and what others
// have wanted lately, or if there is no memory. With load the caller reads it,
// and must call loaded. next says that it is the first use of a piece that follows
// another and is no run's.
func (c *pieces) acquire(x extent, want int64) (p *piece, load, next bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock++
	if p = c.byKey[x.pieceKey]; p != nil {
		next = p.ahead && !p.run
		c.use(p, want)
		return p, false, next
	}
	if c.wasHere(x) {
		return nil, false, false
	}
	all, worth := want, want >= c.size/worthShare
	if !x.run {
		all, worth = c.worth(x.pieceKey, want)
	}
	if !worth {
		return nil, false, false
	}
	if p = c.take(x); p == nil {
		return nil, false, false
	}
	c.use(p, all)
	return p, true, !x.run && (x.at == 0 || c.byKey[pieceKey{x.f, x.at - c.size}] != nil)
}

// wasHere reports whether something was read before, so often that it is to be
// read through the page cache from now on.
func (c *pieces) wasHere(x extent) bool {
	if x.f.level == 0 {
		return x.f.looked(x.at, x.n)
	}
	return x.f.pieced(x.at / c.size)
}

func (c *pieces) use(p *piece, want int64) {
	p.users++
	p.wanted += want
	p.used = c.clock
	if p.ahead {
		p.ahead = false
		c.ahead--
	}
}

// worth reports whether a piece of which want bytes are wanted now, and all with
// what others have asked for, is to be read whole.
func (c *pieces) worth(k pieceKey, want int64) (all int64, worth bool) {
	at := -1
	for i := range c.asked {
		if c.asked[i].key == k {
			at = i
			break
		}
	}
	all = want
	if at >= 0 {
		all += c.asked[at].bytes
	}
	if least := c.size / worthShare; all >= c.size/2 || c.yield >= 0.5 && all >= least {
		if at >= 0 {
			c.asked[at] = asked{}
		}
		return all, true
	}
	if at < 0 {
		at = c.askedAt
		c.askedAt = (c.askedAt + 1) % len(c.asked)
		c.learn(c.asked[at].bytes)
	}
	c.asked[at] = asked{k, all}
	return all, false
}

// learn takes note of how much was wanted of a piece. Those who want little of a
// file do not count: for them no piece is read.
func (c *pieces) learn(wanted int64) {
	if wanted >= c.size/worthShare {
		c.yield += (min(float64(wanted)/float64(c.size), 1) - c.yield) / yieldSpan
	}
}

// spent reports whether a piece has served: all of it was wanted, or nobody came
// for it any more. Until then it stays for those who are a little behind, and who
// is far ahead of them must read for himself: else he would take away what they
// need next, which throws them back further.
func (c *pieces) spent(p *piece) bool {
	return p.wanted >= p.n-p.n/8 || c.clock-p.used > patience
}

// take makes a piece for x, out of the one that was not used for longest of
// those that have served if need be; nil if there is none. Its loading is locked.
func (c *pieces) take(x extent) *piece {
	var p *piece
	switch n := len(c.free); {
	case n > 0:
		p = c.free[n-1]
		c.free = c.free[:n-1]
	case c.made < c.max:
		if c.mem == nil {
			c.mem = newMemory(c.size * int64(c.max))
		}
		at := int64(c.made) * c.size
		c.made++
		p = &piece{owner: c, buf: c.mem.b[at : at+c.size : at+c.size], verified: make([]atomic.Uint64, (c.size/stride+63)/64)}
	default:
		for _, o := range c.byKey {
			if o.users == 0 && (p == nil || o.older(p)) && c.spent(o) {
				p = o
			}
		}
		if p == nil {
			return nil
		}
		if !p.run {
			c.learn(max(p.wanted, c.size/worthShare))
		}
		c.drop(p)
		c.free = c.free[:len(c.free)-1]
	}
	p.wanted = 0
	p.extent, p.lost, p.failed, p.buf = x, false, false, p.buf[:x.n]
	for i := range p.verified {
		p.verified[i].Store(0)
	}
	p.loading.Lock()
	c.byKey[x.pieceKey] = p
	if x.f.level == 0 {
		x.f.look(x.at, x.n)
	} else {
		x.f.setPieced(x.at / c.size)
	}
	return p
}

// older reports whether p was not used for longer than o. Among those that were
// read ahead at once the place decides, so that a simulation can be repeated.
func (p *piece) older(o *piece) bool {
	return cmp.Or(
		cmp.Compare(p.used, o.used), cmp.Compare(p.f.level, o.f.level), cmp.Compare(p.f.num, o.f.num), cmp.Compare(p.at, o.at),
	) < 0
}

// drop makes a piece one that cannot be found.
func (c *pieces) drop(p *piece) {
	delete(c.byKey, p.pieceKey)
	p.lost = true
	if p.ahead {
		p.ahead = false
		c.ahead--
	}
	if p.users == 0 {
		c.free = append(c.free, p)
	}
}

// loaded says that the reader of a piece has filled n bytes of it.
func (p *piece) loaded(n int, err error) {
	if p.failed = err != nil && n == 0; p.failed {
		p.owner.mu.Lock()
		if !p.lost {
			p.owner.drop(p)
		}
		p.owner.mu.Unlock()
	}
	p.buf = p.buf[:n]
	p.loading.Unlock()
}

// wait returns once a piece that is used was read, and reports whether it was.
func (p *piece) wait() bool {
	p.loading.Lock()
	defer p.loading.Unlock()
	return !p.failed
}

// leave says that of a piece in use so many bytes more, or fewer, were taken than
// was said to be wanted.
func (p *piece) leave(more int64) {
	p.owner.mu.Lock()
	p.wanted += more
	p.owner.mu.Unlock()
}

// release ends a use.
func (p *piece) release() {
	c := p.owner
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.users--; p.users == 0 && p.lost {
		c.free = append(c.free, p)
	}
}

// forget drops the pieces of a file that is given up.
func (c *pieces) forget(f *file) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, p := range c.byKey {
		if k.f == f {
			c.drop(p)
		}
	}
	for i := range c.asked {
		if c.asked[i].key.f == f {
			c.asked[i] = asked{}
		}
	}
	for i := range c.cached {
		if c.cached[i].f == f {
			c.cached[i] = pieceKey{}
		}
	}
}

// rouse reports whether from now on somebody must call rest from time to time.
func (c *pieces) rouse() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.resting
	c.resting = true
	return !was
}

// rest lets go of the memory if there was no use for it since the last call, and
// reports whether it must be called again.
func (c *pieces) rest() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resting = c.clock != c.rested
	c.rested = c.clock
	if !c.resting {
		for _, p := range c.byKey {
			c.drop(p)
		}
		for _, p := range c.free {
			c.mem.rest(p.buf[:cap(p.buf)])
		}
	}
	return c.resting
}

// restPieces sees to it that memory for reading is not kept for long when
// nobody reads.
func (s *Store) restPieces() {
	if s.pieces.rest() {
		s.o.Clock.AfterFunc(restAfter, s.restPieces)
	}
}

// isVerified reports whether the batch that begins at byte i was.
func (p *piece) isVerified(i int) bool {
	return p.verified[i/stride/64].Load()&(1<<(i/stride%64)) != 0
}

func (p *piece) setVerified(i int) { p.verified[i/stride/64].Or(1 << (i / stride % 64)) }

// wish asks for a piece to be read ahead, if it is not here and there is room for
// it: half of the memory may wait for readers who are yet to come.
func (c *pieces) wish(x extent) {
	c.mu.Lock()
	wanted := c.byKey[x.pieceKey] == nil && !c.wasHere(x) && c.ahead < c.max/2
	c.mu.Unlock()
	if wanted {
		select {
		case c.wishes <- x:
		default:
		}
	}
}

// acquirePiece returns the piece that holds position pos of a run, read, for use
// until release, if it is worth while; else nil. upTo is where in the file the
// caller's interest ends.
func (s *Store) acquirePiece(x extent, want, upTo int64) *piece {
	if !s.settled(x) {
		return nil
	}
	p, load, next := s.pieces.acquire(x, want)
	if p == nil {
		s.again(x, want, upTo)
		return nil
	}
	if next {
		s.wishAhead(x, upTo)
	}
	if load {
		s.loadPiece(p)
	}
	if !p.wait() {
		p.release()
		return nil
	}
	return p
}

// again sees to it that what is wanted once more, as much of a file that was read
// before, and what follows it are in the page cache.
func (s *Store) again(x extent, want, upTo int64) {
	for range cachedAhead {
		if x.at >= upTo || !s.settled(x) {
			return
		}
		if s.pieces.uncached(x, want) {
			s.prefetch(x.f, x.at, x.n)
		}
		if x.run {
			return // wishRuns knows what follows
		}
		x.at += x.n
	}
}

// uncached reports whether the kernel is to be asked for what was here before, for
// want bytes of it, and takes note that it is.
func (c *pieces) uncached(x extent, want int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.wasHere(x) || want < c.size/2 && (c.yield < 0.5 || want < c.size/worthShare) || slices.Contains(c.cached[:], x.pieceKey) {
		return false
	}
	c.cached[c.cachedAt] = x.pieceKey
	c.cachedAt = (c.cachedAt + 1) % len(c.cached)
	return true
}

// settled reports whether a piece will never change: nothing is written there
// any more.
func (s *Store) settled(x extent) bool {
	if x.f.level > 0 {
		return true
	}
	end := s.lane.End()
	return wal.FileNum(x.f.num) < end.File || wal.FileNum(x.f.num) == end.File && x.at+x.n <= end.Offset
}

// loadPiece reads a piece that was taken: a WAL file past the page cache, as it
// was written, since to fill the cache takes more processor time than all the
// rest of a fetch.
func (s *Store) loadPiece(p *piece) {
	if s.pieces.rouse() {
		s.o.Clock.AfterFunc(restAfter, s.restPieces)
	}
	f, n := p.f, 0
	var err error
	if f.level == 0 {
		n, err = s.lane.ReadDirect(wal.FileNum(f.num), p.buf, p.at)
	} else if size := min(p.n, f.info.DataLen-p.at); size <= 0 {
		err = errGone
	} else {
		s.prefetch(f, p.at, size)
		if err = s.reader.ReadData(f.path, p.buf[:size], p.at); err == nil {
			n = int(size)
		}
	}
	s.stats.PiecesRead.Add(uint64(n))
	p.loaded(n, err)
}

// wishAhead asks for the pieces behind x to be read ahead, up to a place in its
// file. Behind a WAL file comes the next one.
func (s *Store) wishAhead(x extent, upTo int64) {
	for range aheadPieces {
		if x.at += x.n; x.at >= upTo {
			if x.f.level > 0 {
				return
			}
			f := s.files.get(checkpoint.FileID{Num: x.f.num + 1})
			if f == nil {
				return
			}
			x = s.pieces.aligned(f, 0)
		}
		if !s.settled(x) {
			return
		}
		s.pieces.wish(x)
	}
}

// wishRuns asks for the long runs to be read ahead that are the next of a
// partition, as many as hold so many bytes.
func (s *Store) wishRuns(next []located, bytes int64) {
	for i := range next {
		r := &next[i]
		if r.body != nil || bytes <= 0 {
			return
		}
		for pos, end := int64(r.Pos), int64(r.Pos)+int64(r.Len); pos < end && bytes > 0; {
			x := s.pieces.of(r, pos)
			if !x.run || !s.settled(x) {
				return
			}
			s.pieces.wish(x)
			s.again(x, x.n, x.at+x.n)
			pos, bytes = x.at+x.n, bytes-x.n
		}
	}
}

// ReadAhead does one step of reading what readers who catch up will want next,
// and reports whether there was one. Run sees to it.
func (s *Store) ReadAhead() bool {
	select {
	case x := <-s.pieces.wishes:
		s.readAhead(x)
		return true
	default:
		return false
	}
}

func (s *Store) readAhead(x extent) {
	c := &s.pieces
	c.mu.Lock()
	if c.byKey[x.pieceKey] != nil || c.wasHere(x) || c.ahead >= c.max/2 {
		c.mu.Unlock()
		return
	}
	p := c.take(x)
	if p != nil {
		p.used, p.ahead = c.clock, true
		p.users++ // only so that it stays
		c.ahead++
	}
	c.mu.Unlock()
	if p == nil {
		return
	}
	s.loadPiece(p)
	p.release()
}

// runReadAhead drives ReadAhead until ctx is done.
func (s *Store) runReadAhead(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case x := <-s.pieces.wishes:
			s.readAhead(x)
		}
	}
}
