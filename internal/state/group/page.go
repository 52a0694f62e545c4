package group

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
)

// The kinds of pages, which are the first byte of their keys.
const (
	pageShard   byte = 1 // one
	pageGroup   byte = 2 // one per group
	pageMember  byte = 3 // one per member
	pageOffsets byte = 4 // one per pageEntries offsets of a group
	pageTxn     byte = 5 // one per producer with a transaction
)

// pageVersion begins the value of every page.
const pageVersion = 1

type pageKey struct {
	kind   byte
	group  string
	member string // pageMember
	number uint64 // pageOffsets; pageTxn: the producer
}

func (k pageKey) append(dst []byte) []byte {
	dst = append(dst, k.kind)
	switch k.kind {
	case pageGroup:
		dst = codec.AppendBytes(dst, k.group)
	case pageMember:
		dst = codec.AppendBytes(dst, k.group)
		dst = codec.AppendBytes(dst, k.member)
	case pageOffsets, pageTxn:
		dst = codec.AppendBytes(dst, k.group)
		dst = codec.AppendUvarint(dst, k.number)
	}
	return dst
}

func decodePageKey(b []byte) (pageKey, error) {
	r := newReader(b)
	k := pageKey{kind: r.Byte()}
	switch k.kind {
	case pageShard:
	case pageGroup:
		k.group = r.name()
	case pageMember:
		k.group, k.member = r.name(), r.name()
	case pageOffsets, pageTxn:
		k.group, k.number = r.name(), r.uint64()
	default:
		r.Fail("a page of kind %d", k.kind)
	}
	return k, r.Close()
}

// Freeze begins a checkpoint: see internal/page.
func (s *State) Freeze() { s.pages.Freeze() }

// EncodePages emits pages of the cut, a nil value for a page that is gone, until
// more returns false or all are emitted, and reports whether all are. The slices
// belong to the receiver.
func (s *State) EncodePages(emit func(key, value []byte), more func() bool) (done bool) {
	for more() {
		if !s.pages.Next(func(k pageKey, value []byte) { emit(k.append(nil), value) }) {
			return true
		}
	}
	return false
}

// encodePage appends the present content of a page.
func (s *State) encodePage(dst []byte, k pageKey) ([]byte, bool) {
	dst = append(dst, pageVersion)
	if k.kind == pageShard {
		return appendSettings(codec.AppendUvarint(dst, s.term), s.settings), true
	}
	g := s.groups[k.group]
	if g == nil {
		return dst, false
	}
	switch k.kind {
	case pageGroup:
		return g.append(dst), true
	case pageMember:
		m := g.byID[k.member]
		if m == nil {
			return dst, false
		}
		return m.append(dst), true
	case pageTxn:
		t := g.txns[int64(k.number)]
		if t == nil {
			return dst, false
		}
		return t.append(dst), true
	default:
		if k.number >= uint64(len(g.pages)) || len(g.pages[k.number].entries) == 0 {
			return dst, false
		}
		return g.pages[k.number].append(dst), true
	}
}

func (g *group) append(dst []byte) []byte {
	dst = append(dst, byte(g.phase))
	dst = codec.AppendVarint(dst, g.since)
	dst = codec.AppendVarint(dst, g.generation)
	dst = codec.AppendBytes(dst, g.protocolType)
	dst = codec.AppendBytes(dst, g.protocol)
	dst = codec.AppendBytes(dst, g.leader)
	dst = codec.AppendUvarint(dst, g.seen)
	dst = codec.AppendVarint(dst, g.deadline)
	dst = codec.AppendBool(dst, g.initial)
	dst = codec.AppendVarint(dst, g.left)
	dst = codec.AppendBool(dst, g.arrived)
	dst = codec.AppendVarint(dst, g.expires)
	dst = codec.AppendUvarint(dst, uint(len(g.reserved)))
	for _, r := range g.reserved {
		dst = codec.AppendBytes(dst, r.member)
		dst = codec.AppendVarint(dst, r.timeout)
		dst = codec.AppendVarint(dst, r.deadline)
	}
	return dst
}

func (g *group) load(r *reader) {
	g.phase = Phase(r.Byte())
	g.since = r.time()
	g.generation = r.int32()
	g.protocolType, g.protocol, g.leader = r.name(), r.name(), r.name()
	g.seen = r.uint64()
	g.deadline = r.time()
	g.initial, g.left, g.arrived = r.Bool(), r.int64(), r.Bool()
	g.expires = r.time()
	g.reserved = make([]reservation, r.count(3))
	for i := range g.reserved {
		g.reserved[i] = reservation{member: r.name(), timeout: r.int32(), deadline: r.time()}
	}
	g.review = false
	g.loaded = true
}

func (m *member) append(dst []byte) []byte {
	dst = codec.AppendBytes(dst, m.instance)
	dst = codec.AppendBytes(dst, m.clientID)
	dst = codec.AppendBytes(dst, m.clientHost)
	dst = codec.AppendVarint(dst, m.session)
	dst = codec.AppendVarint(dst, m.rebalance)
	dst = codec.AppendUvarint(dst, m.order)
	dst = codec.AppendUvarint(dst, m.seen)
	dst = codec.AppendBool(dst, m.fresh)
	dst = codec.AppendBool(dst, m.joined)
	dst = codec.AppendBool(dst, m.synced)
	dst = appendProtocols(dst, m.protocols)
	return codec.AppendBytes(dst, m.assignment)
}

func loadMember(id string, r *reader) *member {
	return &member{
		id: id, instance: r.name(), clientID: r.name(), clientHost: r.name(),
		session: r.int32(), rebalance: r.int32(), order: r.uint64(), seen: r.uint64(),
		fresh: r.Bool(), joined: r.Bool(), synced: r.Bool(),
		protocols: decodeProtocols(r), assignment: r.blob(MaxAssignment),
	}
}

// append writes the offsets by topic; each topic's name is there once.
func (p *offsetPage) append(dst []byte) []byte {
	sorted := slices.SortedFunc(slices.Values(p.entries), compareOffsets)
	for len(sorted) > 0 {
		t := sorted[0].topic
		n := slices.IndexFunc(sorted, func(o *offset) bool { return o.topic != t })
		if n < 0 {
			n = len(sorted)
		}
		dst = codec.AppendUvarint(dst, t.id)
		dst = codec.AppendBytes(dst, t.name)
		dst = codec.AppendUvarint(dst, uint(n))
		for _, o := range sorted[:n] {
			dst = codec.AppendVarint(dst, o.partition)
			dst = codec.AppendVarint(dst, o.offset)
			dst = codec.AppendVarint(dst, o.epoch)
			dst = codec.AppendBytes(dst, o.metadata)
			dst = codec.AppendVarint(dst, o.at)
			dst = codec.AppendVarint(dst, o.expires)
		}
		sorted = sorted[n:]
	}
	return dst
}

func (s *State) loadOffsets(g *group, number uint64, r *reader) {
	if number >= maxPages {
		r.Fail("page %d of offsets", number)
		return
	}
	for uint64(len(g.pages)) <= number {
		g.pages = append(g.pages, &offsetPage{number: uint64(len(g.pages))})
	}
	for r.Len() > 0 {
		id, name := r.topic(), r.name()
		for range r.count(6) {
			o := &offset{
				partition: r.int32(), offset: record.Offset(r.int64()), epoch: record.Epoch(r.int32()),
				metadata: r.String(MaxOffsetMetadata), at: r.time(), expires: r.time(),
			}
			t := g.topics[id]
			if t == nil {
				t = &topicOffsets{id: id, name: name, parts: map[int32]*offset{}}
				g.topics[id] = t
				s.topics[id]++
			}
			if t.parts[o.partition] != nil {
				r.Fail("topic %d partition %d twice", id, o.partition)
				return
			}
			o.topic, t.parts[o.partition] = t, o
			g.pages[number].put(o)
		}
	}
}

// RestorePage takes a page of a checkpoint, in any order, into a new State. It keeps
// no reference to the slices. Its error wraps codec.ErrMalformed.
func (s *State) RestorePage(key, value []byte) error {
	k, err := decodePageKey(key)
	if err != nil {
		return fmt.Errorf("a key of %d bytes: %w", len(key), err)
	}
	r := newReader(value)
	if v := r.Byte(); v != pageVersion {
		r.Fail("version %d of a page, this program knows %d", v, pageVersion)
	}
	g := s.groups[k.group]
	if g == nil && k.kind != pageShard {
		g = newGroup(k.group, 0)
		g.loaded = false
		s.groups[k.group] = g
	}
	switch k.kind {
	case pageShard:
		s.term, s.settings = record.Term(r.uint64()), decodeSettings(r)
	case pageGroup:
		g.load(r)
	case pageMember:
		m := loadMember(k.member, r)
		g.members = append(g.members, m)
		g.index(m)
	case pageOffsets:
		s.loadOffsets(g, k.number, r)
	case pageTxn:
		g.loadTxn(k.number, r)
	}
	if err := r.Close(); err != nil {
		return fmt.Errorf("page %d of group %q: %w", k.kind, k.group, err)
	}
	return nil
}

// Restored ends the loading: it checks that the pages belong together.
func (s *State) Restored() error {
	for _, g := range s.sorted() {
		slices.SortFunc(g.members, func(a, b *member) int { return cmp.Compare(a.order, b.order) })
		if what := g.fault(); what != "" {
			return fmt.Errorf("group %q: %w: %s", g.id, codec.ErrMalformed, what)
		}
		s.schedule(g)
	}
	return nil
}

// fault names what cannot be in a group, "" if nothing.
func (g *group) fault() string {
	static := 0
	for i, m := range g.members {
		if i > 0 && g.members[i-1].order == m.order {
			return "two members at one place"
		}
		if m.instance != "" {
			static++
		}
	}
	switch {
	case !g.loaded:
		return "members or offsets, but no group"
	case g.phase >= Dead:
		return "no such phase"
	case len(g.byID) != len(g.members), len(g.static) != static:
		return "two members of one id"
	case len(g.members) > 0 && g.byID[g.leader] == nil, len(g.members) == 0 && g.leader != "":
		return "the leader is no member"
	case g.phase == Empty && len(g.members) > 0:
		return "an empty group with members"
	case g.phase > PreparingRebalance && (len(g.members) == 0 || g.protocol == ""):
		return "a generation without members or protocol"
	case g.phase > PreparingRebalance && !g.common(g.protocol):
		return "a member that does not follow the group's protocol"
	}
	return ""
}
