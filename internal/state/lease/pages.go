package lease

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
)

// pageKey names a page: its key is the kind, the partition's id (8 bytes, big
// endian), and for all but the root the number of the chunk (8 bytes).
type pageKey struct {
	kind  byte
	id    record.PartitionID
	chunk uint64
}

// The kinds of pages, which are part of the checkpoint's format.
const (
	pageRoot     = 's' // a set without what follows
	pageChunk    = 'c' // what is settled, held and given back of chunkSize offsets
	pageTTLs     = 't' // up to ttlsPerPage changes of the time to live
	pageArrivals = 'm' // what has come to a partition without a set
	pageDying    = 'd' // up to deadPerPage records that wait for their dead-letter target
	pageLoans    = 'l' // the loans of loansPerPage offsets
)

func (k pageKey) appendKey(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, k.kind), uint64(k.id))
	if k.kind != pageRoot && k.kind != pageArrivals {
		dst = binary.BigEndian.AppendUint64(dst, k.chunk)
	}
	return dst
}

// touch must be called before every change of a set's root; like the others
// below it costs a look-up only the first time after a cut.
func (s *State) touch(set *Set) {
	if set.cut != s.cut {
		s.pages.Touch(pageKey{kind: pageRoot, id: set.id})
		set.cut = s.cut
	}
}

func (s *State) touchChunk(set *Set, k uint64, c *container) {
	if c.cut != s.cut {
		s.pages.Touch(pageKey{pageChunk, set.id, k})
		c.cut = s.cut
	}
}

// chunk returns a container to be changed, made if need be.
func (s *State) chunk(set *Set, k uint64) *container {
	c := set.chunks[k]
	if c != nil {
		s.touchChunk(set, k, c)
		return c
	}
	s.pages.Touch(pageKey{pageChunk, set.id, k})
	c = &container{cut: s.cut}
	set.chunks[k] = c
	return c
}

// dropEmpty drops a container that was made changeable and tells nothing.
func (s *State) dropEmpty(set *Set, k uint64) {
	if set.chunks[k].empty() {
		delete(set.chunks, k)
	}
}

func (s *State) touchDying(set *Set, number uint64) {
	s.pages.Touch(pageKey{pageDying, set.id, number / deadPerPage})
}

// Durable tells that the latest cut is durable: some of what it holds leaves
// memory.
func (s *State) Durable() { s.shedTTLs() }

// Freeze makes the present state the cut of a checkpoint.
func (s *State) Freeze() {
	s.pages.Freeze()
	s.cut++
}

// EncodePages emits pages of the cut (a nil value: the page no longer exists)
// until more returns false or all are emitted, and reports whether all are.
func (s *State) EncodePages(emit func(key, value []byte), more func() bool) bool {
	for more() {
		if !s.pages.Next(func(k pageKey, value []byte) { emit(k.appendKey(nil), value) }) {
			return true
		}
	}
	return false
}

func (s *State) encodePage(dst []byte, k pageKey) ([]byte, bool) {
	dst = append(dst, pageVersion)
	if a := s.logs[k.id]; k.kind == pageArrivals {
		return a.encode(dst), len(a) > 0
	}
	set := s.sets[k.id]
	if set == nil {
		return dst, false
	}
	switch k.kind {
	case pageRoot:
		return set.encode(dst), true
	case pageChunk:
		if c := set.chunks[k.chunk]; c != nil {
			return c.encode(dst), true
		}
	case pageTTLs:
		return set.ttls.encode(dst, k.chunk)
	case pageDying:
		return set.dying.encode(dst, k.chunk)
	case pageLoans:
		if p := set.loans.pages[k.chunk]; p != nil {
			return p.encode(dst), true
		}
	}
	return dst, false
}

func (s *Set) encode(dst []byte) []byte {
	dst = codec.AppendBytes(dst, s.settings.AppendTo(nil))
	dst = codec.AppendVarint(dst, s.floor)
	dst = codec.AppendVarint(dst, s.next)
	dst = codec.AppendVarint(dst, s.bytes)
	dst = codec.AppendUvarint(dst, s.dying.next)
	dst = codec.AppendUvarint(dst, uint(len(s.marks)))
	for _, m := range s.marks {
		dst = codec.AppendVarint(append(dst, m.Level), m.Below)
	}
	return s.moved.encode(dst)
}

func (c *container) encode(dst []byte) []byte {
	dst = c.held.encode(c.settled.encode(dst))
	dst = codec.AppendUvarint(dst, uint(len(c.touched)))
	for _, t := range c.touched {
		dst = codec.AppendUvarint(codec.AppendUvarint(dst, t.at), t.attempts)
	}
	return dst
}

// encode appends the spans, or a bitmap if they are many: that is a function of
// what is in the set, however it is kept.
func (s *offsets) encode(dst []byte) []byte {
	if s.count() > manySpans {
		full := *s
		if full.bits == nil {
			full.toBits()
		}
		var raw [chunkSize / 8]byte
		for i, w := range full.bits.words {
			binary.LittleEndian.PutUint64(raw[8*i:], w)
		}
		return codec.AppendBytes(codec.AppendUvarint(dst, uint(asBitmap)), raw[:])
	}
	dst = codec.AppendUvarint(dst, uint(s.count()))
	s.each(func(x span) { dst = codec.AppendUvarint(codec.AppendUvarint(dst, x.lo), x.hi-x.lo) })
	return dst
}

func (d *dying) encode(dst []byte, chunk uint64) ([]byte, bool) {
	from, _ := d.find(chunk * deadPerPage)
	to, _ := d.find((chunk + 1) * deadPerPage)
	for _, x := range d.list[from:to] {
		dst = codec.AppendVarint(codec.AppendUvarint(dst, x.Number), x.Offset)
		dst = codec.AppendVarint(append(dst, byte(x.Reason)), x.Attempts)
	}
	return dst, from < to
}

// restoring is what waits for the last page of a checkpoint.
type restoring struct {
	chunks map[pageKey]*container
	ttls   map[pageKey]ttlPage
	latest map[pageKey]int64 // of their last change
	dying  map[record.PartitionID][]Dead
	loans  map[pageKey]*loanPage
}

// RestorePage takes a page of a checkpoint, in any order, into a new State. It
// keeps no reference to the slices. Its error wraps codec.ErrMalformed.
func (s *State) RestorePage(key, value []byte) error {
	if s.restoring.chunks == nil {
		s.restoring = restoring{
			map[pageKey]*container{}, map[pageKey]ttlPage{}, map[pageKey]int64{}, map[record.PartitionID][]Dead{},
			map[pageKey]*loanPage{},
		}
	}
	r := &reader{codec.NewReader(value)}
	k, ok := parseKey(key)
	if v := r.Byte(); v != pageVersion || !ok {
		r.Fail("version %d of a page, or its key", v)
	}
	switch k.kind {
	case pageRoot:
		s.restoreRoot(k.id, r)
	case pageArrivals:
		s.logs[k.id] = r.arrivals()
	case pageChunk:
		s.restoring.chunks[k] = r.container()
	case pageTTLs:
		s.restoring.ttls[k], s.restoring.latest[k] = s.restoreTTLs(k, r)
	case pageDying:
		for n := 0; r.Len() > 0 && n < deadPerPage; n++ {
			d := Dead{Number: r.Uvarint(math.MaxUint64), Offset: r.offset(), Reason: Reason(r.Byte())}
			d.Attempts = int32(r.Varint(0, math.MaxInt32))
			if d.Reason >= reasons {
				r.Fail("reason %d", d.Reason)
			}
			s.restoring.dying[k.id] = append(s.restoring.dying[k.id], d)
		}
	case pageLoans:
		s.restoring.loans[k] = r.loanPage(k.chunk)
	}
	if err := r.Close(); err != nil {
		return fmt.Errorf("page %q of the lease sets: %w", key, err)
	}
	return nil
}

func parseKey(key []byte) (k pageKey, ok bool) {
	if len(key) == 0 {
		return k, false
	}
	k.kind = key[0]
	switch {
	case (k.kind == pageRoot || k.kind == pageArrivals) && len(key) == 9:
	case (k.kind == pageChunk || k.kind == pageTTLs || k.kind == pageDying || k.kind == pageLoans) && len(key) == 17:
		k.chunk = binary.BigEndian.Uint64(key[9:])
	default:
		return k, false
	}
	k.id = record.PartitionID(binary.BigEndian.Uint64(key[1:]))
	return k, true
}

func (s *State) restoreRoot(id record.PartitionID, r *reader) {
	set := &Set{id: id, chunks: map[uint64]*container{}}
	set.settings = r.settings()
	set.floor, set.next, set.bytes = r.offset(), r.offset(), r.Varint(0, math.MaxInt64)
	set.dying.next = r.Uvarint(math.MaxUint64)
	set.marks = make([]Mark, r.Count(256, 2))
	for i := range set.marks {
		set.marks[i] = Mark{Level: r.Byte(), Below: r.offset()}
		if i > 0 && set.marks[i].Level <= set.marks[i-1].Level {
			r.Fail("marks out of order")
		}
	}
	set.moved = r.arrivals()
	if set.floor > set.next {
		r.Fail("floor %d of %d", set.floor, set.next)
	}
	s.sets[id] = set
}

// container reads what encode wrote.
func (r *reader) container() *container {
	c := &container{}
	c.settled, c.held = r.offsets(), r.offsets()
	c.touched = make([]touch, r.Count(chunkSize, 2))
	for i := range c.touched {
		c.touched[i] = touch{uint16(r.Uvarint(chunkMask)), uint16(r.Uvarint(maxAttempts))}
		if i > 0 && c.touched[i].at <= c.touched[i-1].at {
			r.Fail("returns out of order")
		}
	}
	return c
}

// offsets reads what encode wrote.
func (r *reader) offsets() (s offsets) {
	n := r.Uvarint(asBitmap)
	if n == asBitmap {
		raw := r.Bytes(chunkSize / 8)
		if len(raw) != chunkSize/8 {
			r.Fail("a bitmap of %d bytes", len(raw))
			return s
		}
		s.bits = &bitmap{}
		for i := range s.bits.words {
			s.bits.words[i] = binary.LittleEndian.Uint64(raw[8*i:])
			s.bits.size += bits.OnesCount64(s.bits.words[i])
		}
		s.bits.spans = s.bits.begins(0, len(s.bits.words)-1)
		return s
	}
	if n > uint64(r.Len()/2) {
		r.Fail("%d spans", n)
		return s
	}
	last := -2
	for range n {
		lo := int(r.Uvarint(chunkMask))
		hi := lo + int(r.Uvarint(uint64(chunkMask-lo)))
		if lo <= last+1 {
			r.Fail("spans out of order")
		}
		s.list, last = append(s.list, span{uint16(lo), uint16(hi)}), hi
	}
	return s
}

// Restored ends the loading: it checks that the pages fit together.
func (s *State) Restored() error {
	r := &s.restoring
	for id := range s.logs {
		if s.sets[id] != nil {
			return fmt.Errorf("restoring the lease sets: %w: partition %d with and without one", codec.ErrMalformed, id)
		}
	}
	for k, c := range r.chunks {
		set := s.sets[k.id]
		if set == nil || k.chunk < chunkOf(set.floor) || k.chunk > chunkOf(set.next) {
			return fmt.Errorf("restoring the lease sets: %w: a chunk of partition %d", codec.ErrMalformed, k.id)
		}
		set.chunks[k.chunk] = c
		set.settled += c.settled.size()
		set.held += c.held.size()
	}
	for _, k := range sortedPages(r.ttls) {
		set := s.sets[k.id]
		if set == nil || !set.ttls.restore(r.ttls[k], r.latest[k]) {
			return fmt.Errorf("restoring the lease sets: %w: times of partition %d", codec.ErrMalformed, k.id)
		}
	}
	for id, list := range r.dying {
		set := s.sets[id]
		if set == nil {
			return fmt.Errorf("restoring the lease sets: %w: dead letters of partition %d", codec.ErrMalformed, id)
		}
		set.dying.restore(list)
	}
	for _, k := range sortedPages(r.loans) {
		set := s.sets[k.id]
		if set == nil {
			return fmt.Errorf("restoring the lease sets: %w: loans of partition %d", codec.ErrMalformed, k.id)
		}
		set.restoreLoans(k.chunk, r.loans[k])
		for i := range r.loans[k].list {
			s.watchLoan(set, &r.loans[k].list[i])
		}
	}
	s.restoring = restoring{}
	return nil
}

func sortedPages[V any](m map[pageKey]V) []pageKey {
	return slices.SortedFunc(maps.Keys(m), func(a, b pageKey) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.chunk, b.chunk))
	})
}
