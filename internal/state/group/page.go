package group

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/polylog-mq/polylog/internal/record"
)

// The kinds of pages, which are the first byte of their keys.
const (
	pageSettings byte = 1 // one
	pageGroup    byte = 2 // one per group
	pageMember   byte = 3 // one per member
	pageOffsets  byte = 4 // one per pageEntries offsets of a group
)

// pageVersion begins the value of every page.
const pageVersion = 1

type pageKey struct {
	kind   byte
	group  string
	member string // pageMember
	number uint64 // pageOffsets
}

func (k pageKey) append(dst []byte) []byte {
	dst = append(dst, k.kind)
	switch k.kind {
	case pageGroup:
		dst = appendString(dst, k.group)
	case pageMember:
		dst = appendString(dst, k.group)
		dst = appendString(dst, k.member)
	case pageOffsets:
		dst = appendString(dst, k.group)
		dst = appendUint(dst, k.number)
	}
	return dst
}

func decodePageKey(b []byte) (pageKey, error) {
	r := &reader{b: b}
	k := pageKey{kind: r.byte()}
	switch k.kind {
	case pageSettings:
	case pageGroup:
		k.group = r.string()
	case pageMember:
		k.group, k.member = r.string(), r.string()
	case pageOffsets:
		k.group, k.number = r.string(), r.uint()
	default:
		r.fail()
	}
	return k, r.end()
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
	if k.kind == pageSettings {
		return appendSettings(dst, s.settings), true
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
	default:
		if k.number >= uint64(len(g.pages)) || len(g.pages[k.number].entries) == 0 {
			return dst, false
		}
		return g.pages[k.number].append(dst), true
	}
}

func (g *group) append(dst []byte) []byte {
	dst = append(dst, byte(g.phase))
	dst = appendInt(dst, int64(g.since))
	dst = appendInt(dst, int64(g.generation))
	dst = appendString(dst, g.protocolType)
	dst = appendString(dst, g.protocol)
	dst = appendString(dst, g.leader)
	dst = appendUint(dst, g.seen)
	dst = appendInt(dst, int64(g.deadline))
	dst = appendBool(dst, g.initial)
	dst = appendInt(dst, g.left)
	dst = appendBool(dst, g.arrived)
	dst = appendInt(dst, int64(g.expires))
	dst = appendUint(dst, uint64(len(g.reserved)))
	for _, r := range g.reserved {
		dst = appendString(dst, r.member)
		dst = appendInt(dst, int64(r.timeout))
		dst = appendInt(dst, int64(r.deadline))
	}
	return dst
}

func (g *group) load(r *reader) {
	g.phase = Phase(r.byte())
	g.since = r.time()
	g.generation = r.int32()
	g.protocolType, g.protocol, g.leader = r.string(), r.string(), r.string()
	g.seen = r.uint()
	g.deadline = r.time()
	g.initial, g.left, g.arrived = r.bool(), r.int(), r.bool()
	g.expires = r.time()
	g.reserved = make([]reservation, r.count(3))
	for i := range g.reserved {
		g.reserved[i] = reservation{member: r.string(), timeout: r.int32(), deadline: r.time()}
	}
	g.review = false
	g.loaded = true
}

func (m *member) append(dst []byte) []byte {
	dst = appendString(dst, m.instance)
	dst = appendString(dst, m.clientID)
	dst = appendString(dst, m.clientHost)
	dst = appendInt(dst, int64(m.session))
	dst = appendInt(dst, int64(m.rebalance))
	dst = appendUint(dst, m.order)
	dst = appendUint(dst, m.seen)
	dst = appendBool(dst, m.fresh)
	dst = appendBool(dst, m.joined)
	dst = appendBool(dst, m.synced)
	dst = appendProtocols(dst, m.protocols)
	return appendString(dst, m.assignment)
}

func loadMember(id string, r *reader) *member {
	return &member{
		id: id, instance: r.string(), clientID: r.string(), clientHost: r.string(),
		session: r.int32(), rebalance: r.int32(), order: r.uint(), seen: r.uint(),
		fresh: r.bool(), joined: r.bool(), synced: r.bool(),
		protocols: decodeProtocols(r), assignment: r.bytes(),
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
		dst = appendUint(dst, uint64(t.id))
		dst = appendString(dst, t.name)
		dst = appendUint(dst, uint64(n))
		for _, o := range sorted[:n] {
			dst = appendInt(dst, int64(o.partition))
			dst = appendInt(dst, int64(o.offset))
			dst = appendInt(dst, int64(o.epoch))
			dst = appendString(dst, o.metadata)
			dst = appendInt(dst, int64(o.at))
			dst = appendInt(dst, int64(o.expires))
		}
		sorted = sorted[n:]
	}
	return dst
}

func (s *State) loadOffsets(g *group, number uint64, r *reader) {
	if number >= maxPages {
		r.fail()
		return
	}
	for uint64(len(g.pages)) <= number {
		g.pages = append(g.pages, &offsetPage{number: uint64(len(g.pages))})
	}
	for len(r.b) > 0 {
		id, name := r.topic(), r.string()
		for range r.count(6) {
			o := &offset{
				partition: r.int32(), offset: record.Offset(r.int()), epoch: record.Epoch(r.int32()),
				metadata: r.string(), at: r.time(), expires: r.time(),
			}
			t := g.topics[id]
			if t == nil {
				t = &topicOffsets{id: id, name: name, parts: map[int32]*offset{}}
				g.topics[id] = t
				s.topics[id]++
			}
			if t.parts[o.partition] != nil {
				r.fail()
				return
			}
			o.topic, t.parts[o.partition] = t, o
			g.pages[number].put(o)
		}
	}
}

// LoadPage takes a page of a checkpoint, in any order, into a new State. It keeps
// no reference to the slices. Its error is an ErrMalformed.
func (s *State) LoadPage(key, value []byte) error {
	k, err := decodePageKey(key)
	if err != nil {
		return fmt.Errorf("a key of %d bytes: %w", len(key), err)
	}
	r := &reader{b: value}
	if r.byte() != pageVersion {
		r.fail()
	}
	g := s.groups[k.group]
	if g == nil && k.kind != pageSettings {
		g = newGroup(k.group, 0)
		g.loaded = false
		s.groups[k.group] = g
	}
	switch k.kind {
	case pageSettings:
		s.settings = decodeSettings(r)
	case pageGroup:
		g.load(r)
	case pageMember:
		m := loadMember(k.member, r)
		g.members = append(g.members, m)
		g.index(m)
	case pageOffsets:
		s.loadOffsets(g, k.number, r)
	}
	if err := r.end(); err != nil {
		return fmt.Errorf("page %d of group %q: %w", k.kind, k.group, err)
	}
	return nil
}

// Loaded ends the loading: it checks that the pages belong together.
func (s *State) Loaded() error {
	for _, g := range s.sorted() {
		slices.SortFunc(g.members, func(a, b *member) int { return cmp.Compare(a.order, b.order) })
		if what := g.fault(); what != "" {
			return fmt.Errorf("group %q: %s: %w", g.id, what, ErrMalformed)
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
