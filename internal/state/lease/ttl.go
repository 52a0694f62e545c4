package lease

import (
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
)

// ttls says how long records may wait. A record keeps what held when it was
// appended: the smaller of its own time and the queue's. Neighbours mostly have
// the same, so what is kept are the places where it changes, numbered as they
// come, in pages of ttlsPerPage. Pages that are full leave memory with a checkpoint
// that has them.
type ttls struct {
	pages  []ttlPage // without gaps
	latest int64     // the last change's

	// cached are the changes of page cachedPage, which is not in memory otherwise.
	cached     []ttlChange
	cachedPage uint64
}

// ttlPage is the changes from number first to the end of the page, or to the last
// one.
type ttlPage struct {
	number, first uint64
	from          record.Offset // of its first change
	changes       []ttlChange   // nil: only the checkpoint has them
	cut           uint32        // before which it was changed last
}

// ttlChange says that records from offset from on may wait ttl ms, -1 for ever.
type ttlChange struct {
	from record.Offset
	ttl  int64
}

// full reports whether the page gets no more changes.
func (p *ttlPage) full() bool {
	return p.changes == nil || p.first+uint64(len(p.changes)) == (p.number+1)*ttlsPerPage
}

// any reports whether a record can expire at all.
func (t *ttls) any() bool {
	if len(t.pages) != 1 {
		return len(t.pages) > 1
	}
	c := t.pages[0].changes
	return len(c) != 1 || c[0].ttl >= 0
}

// noteTTL takes down how long the records from offset from on may wait.
func (s *State) noteTTL(set *Set, from record.Offset, ttl int64) {
	t := &set.ttls
	n := len(t.pages)
	if n == 0 && ttl < 0 || n > 0 && t.latest == ttl {
		return
	}
	t.latest = ttl
	if n == 0 || t.pages[n-1].full() {
		number := uint64(0)
		if n > 0 {
			number = t.pages[n-1].number + 1
		}
		t.pages = append(t.pages, ttlPage{number: number, first: number * ttlsPerPage, from: from})
		n++
	}
	p := &t.pages[n-1]
	s.touchTTL(set, p)
	p.changes = append(p.changes, ttlChange{from, ttl})
	if p.full() && s.source != nil {
		s.fullTTLs[set] = struct{}{}
	}
}

func (s *State) touchTTL(set *Set, p *ttlPage) {
	s.pages.Touch(pageKey{pageTTLs, set.id, p.number})
	p.cut = s.cut + 1
}

// trimTTLs forgets changes that nothing above the floor needs: whole pages, and
// within a page that is in memory.
func (s *State) trimTTLs(set *Set) {
	t := &set.ttls
	for len(t.pages) > 1 && t.pages[1].from <= set.floor {
		s.touchTTL(set, &t.pages[0])
		t.pages = slices.Delete(t.pages, 0, 1)
	}
	if len(t.pages) == 0 {
		return
	}
	p := &t.pages[0]
	for len(p.changes) > 1 && p.changes[1].from <= set.floor {
		s.touchTTL(set, p)
		p.changes = p.changes[1:]
		p.first++
		p.from = p.changes[0].from
	}
}

// shedTTLs lets go of the full pages that the latest cut has.
func (s *State) shedTTLs() {
	for set := range s.fullTTLs {
		left := false
		for i := range set.ttls.pages {
			switch p := &set.ttls.pages[i]; {
			case p.changes == nil || !p.full():
			case p.cut <= s.cut:
				p.changes = nil
			default:
				left = true
			}
		}
		if !left {
			delete(s.fullTTLs, set)
		}
	}
}

// TTL returns how long the record at o may wait, in ms from its log time; -1 for
// ever. Its error is the source's.
func (s *State) TTL(set *Set, o record.Offset) (int64, error) {
	t := &set.ttls
	i := sort.Search(len(t.pages), func(i int) bool { return t.pages[i].from > o })
	if i == 0 {
		return -1, nil
	}
	changes, err := s.changesOf(set, &t.pages[i-1])
	if err != nil {
		return -1, err
	}
	i = sort.Search(len(changes), func(i int) bool { return changes[i].from > o })
	return changes[i-1].ttl, nil
}

// changesOf returns the changes of a page, wherever they are.
func (s *State) changesOf(set *Set, p *ttlPage) ([]ttlChange, error) {
	t := &set.ttls
	switch {
	case p.changes != nil:
		return p.changes, nil
	case t.cached != nil && t.cachedPage == p.number:
		return t.cached, nil
	}
	key := pageKey{pageTTLs, set.id, p.number}.appendKey(nil)
	var found ttlPage
	if err := s.source(key, append(slices.Clip(key), 0), func(_, value []byte) error {
		r := &reader{codec.NewReader(value)}
		if v := r.Byte(); v != pageVersion {
			r.Fail("version %d of a page", v)
		}
		found = r.ttlPage(p.number)
		return r.Close() //nolint:wrapcheck // it says all there is
	}); err != nil {
		return nil, fmt.Errorf("reading times to live of partition %d: %w", set.id, err)
	}
	if found.first != p.first || found.from != p.from || !found.full() {
		return nil, fmt.Errorf("%w: page %d with times to live of partition %d is not the one that was written", codec.ErrMalformed, p.number, set.id)
	}
	t.cached, t.cachedPage = found.changes, p.number
	return t.cached, nil
}

// encode appends the number of the page's first change, then its changes.
func (t *ttls) encode(dst []byte, number uint64) ([]byte, bool) {
	i := sort.Search(len(t.pages), func(i int) bool { return t.pages[i].number >= number })
	if i == len(t.pages) || t.pages[i].number > number {
		return dst, false
	}
	p := &t.pages[i]
	if p.changes == nil {
		panic("lease: a page that only the checkpoint has was changed")
	}
	dst = codec.AppendUvarint(dst, p.first)
	for _, c := range p.changes {
		dst = codec.AppendVarint(codec.AppendVarint(dst, c.from), c.ttl)
	}
	return dst, true
}

// ttlPage reads what encode wrote.
func (r *reader) ttlPage(number uint64) ttlPage {
	p := ttlPage{number: number, first: r.Uvarint(math.MaxUint64)}
	for r.Len() > 0 && len(p.changes) < ttlsPerPage {
		p.changes = append(p.changes, ttlChange{r.offset(), r.Varint(-1, math.MaxInt64)})
	}
	if len(p.changes) == 0 || p.first/ttlsPerPage != number || (p.first+uint64(len(p.changes))-1)/ttlsPerPage != number {
		r.Fail("page %d of times to live has %d from %d on", number, len(p.changes), p.first)
		return p
	}
	p.from = p.changes[0].from
	return p
}

// restoreTTLs reads a page, which stays in the checkpoint if it is full, and its
// last time to live.
func (s *State) restoreTTLs(k pageKey, r *reader) (ttlPage, int64) {
	p := r.ttlPage(k.chunk)
	if len(p.changes) == 0 {
		return p, 0
	}
	latest := p.changes[len(p.changes)-1].ttl
	if p.full() && s.source != nil {
		p.changes = nil
	}
	return p, latest
}

// restore appends a page.
func (t *ttls) restore(p ttlPage, latest int64) bool {
	if n := len(t.pages); n > 0 && (t.pages[n-1].number+1 != p.number || !t.pages[n-1].full() || t.pages[n-1].from > p.from) {
		return false
	}
	t.pages, t.latest = append(t.pages, p), latest
	return true
}

// Expires reports whether a record of the set can expire.
func (s *Set) Expires() bool { return s.ttls.any() }
