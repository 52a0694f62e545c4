package route

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
)

// pageKey names a page. Its key is the kind, then the number (8 bytes, big
// endian) or the name, as far as the kind has them.
type pageKey struct {
	kind   byte
	number uint64
	name   string
}

// The kinds of pages, which are part of the checkpoint's format.
const (
	pageRoot     = 'r' // counters
	pageTenant   = 't' // a tenant, by name
	pageExchange = 'x' // an exchange that is not predeclared, by id
	pageBindings = 'b' // bindingsPerPage bindings of consecutive numbers
	pagePolicy   = 'p' // a policy, by whose it is, tenant and name
)

var rootPage = pageKey{kind: pageRoot}

func bindingPage(number uint64) pageKey {
	return pageKey{kind: pageBindings, number: number / bindingsPerPage}
}

// policyPage names the page of a policy: 1 for an operator's and 0 for another,
// tenant, a zero byte, name.
func policyPage(k policyKey) pageKey {
	whose := "\x00"
	if k.operator {
		whose = "\x01"
	}
	return pageKey{kind: pagePolicy, name: whose + k.tenant + "\x00" + k.name}
}

// policyKey is the reverse.
func (k pageKey) policyKey() (policyKey, bool) {
	if k.name == "" || k.name[0] > 1 {
		return policyKey{}, false
	}
	tenant, name, ok := strings.Cut(k.name[1:], "\x00")
	return policyKey{k.name[0] == 1, tenant, name}, ok
}

func (k pageKey) appendKey(dst []byte) []byte {
	dst = append(dst, k.kind)
	if k.kind == pageExchange || k.kind == pageBindings {
		dst = binary.BigEndian.AppendUint64(dst, k.number)
	}
	return append(dst, k.name...)
}

func parsePageKey(key []byte) (pageKey, error) {
	if len(key) > 0 {
		k := pageKey{kind: key[0]}
		switch {
		case k.kind == pageRoot && len(key) == 1:
			return k, nil
		case k.kind == pageTenant || k.kind == pagePolicy:
			k.name = string(key[1:])
			return k, nil
		case (k.kind == pageExchange || k.kind == pageBindings) && len(key) == 9:
			k.number = binary.BigEndian.Uint64(key[1:])
			return k, nil
		}
	}
	return pageKey{}, fmt.Errorf("%w: %q is no page of routes", codec.ErrMalformed, key)
}

// Freeze makes the present state the cut of a checkpoint.
func (s *State) Freeze() { s.pages.Freeze() }

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
	switch k.kind {
	case pageTenant:
		t := s.tenants[k.name]
		if t == nil {
			return dst, false
		}
		return appendInfo(codec.AppendUvarint(dst, t.first), &t.Info), true
	case pageExchange:
		x := s.exchanges[ID(k.number)]
		if x == nil {
			return dst, false
		}
		return x.encode(dst), true
	case pagePolicy:
		key, _ := k.policyKey()
		p := s.policies[key]
		if p == nil {
			return dst, false
		}
		return p.appendTo(dst), true
	case pageBindings:
		start := len(dst)
		for n := k.number * bindingsPerPage; n < (k.number+1)*bindingsPerPage; n++ {
			if b := s.bindings[n]; b != nil {
				dst = b.encode(dst)
			}
		}
		return dst, len(dst) > start
	}
	dst = codec.AppendUvarint(dst, s.lastExchange)
	dst = codec.AppendUvarint(dst, s.lastBinding)
	dst = codec.AppendUvarint(dst, uint(len(s.incarnations)))
	for _, n := range slices.Sorted(maps.Keys(s.incarnations)) {
		dst = codec.AppendUvarint(dst, n)
		dst = codec.AppendUvarint(dst, s.incarnations[n])
	}
	return dst, true
}

func (x *Exchange) encode(dst []byte) []byte {
	dst = codec.AppendBytes(dst, x.Tenant)
	dst = codec.AppendBytes(dst, x.Name)
	dst = codec.AppendBytes(dst, x.Type)
	dst = append(dst, flags(x.Durable, x.AutoDelete, x.Internal))
	dst = appendOwner(dst, x.Home)
	return codec.AppendBytes(dst, x.Arguments)
}

func (b *Binding) encode(dst []byte) []byte {
	dst = codec.AppendUvarint(dst, b.Number)
	dst = codec.AppendUvarint(dst, b.Source)
	dst = codec.AppendUvarint(dst, b.Dest.Topic)
	dst = codec.AppendUvarint(dst, b.Dest.Exchange)
	dst = codec.AppendBytes(dst, b.Key)
	return codec.AppendBytes(dst, b.Arguments)
}

// RestorePage takes one page of a checkpoint into a new state, in any order. Key
// and value are not kept.
func (s *State) RestorePage(key, value []byte) error {
	k, err := parsePageKey(key)
	if err != nil {
		return err
	}
	r := codec.NewReader(value)
	if v := r.Byte(); v != pageVersion {
		r.Fail("a page of version %d", v)
	}
	switch k.kind {
	case pageRoot:
		s.restoreRoot(&r)
	case pageTenant:
		s.restoreTenant(k.name, &r)
	case pageExchange:
		s.restoreExchange(ID(k.number), &r)
	case pageBindings:
		s.restoreBindings(k, &r)
	case pagePolicy:
		s.restorePolicy(k, &r)
	}
	if err := r.Close(); err != nil {
		return fmt.Errorf("page %q of routes: %w", key, err)
	}
	return nil
}

func (s *State) restoreRoot(r *codec.Reader) {
	s.lastExchange = ID(r.Uvarint(math.MaxUint64))
	s.lastBinding = r.Uvarint(math.MaxUint64)
	for range r.Count(math.MaxInt32, 2) {
		n := record.NodeID(r.Uvarint(math.MaxUint64))
		s.incarnations[n] = r.Uvarint(math.MaxUint64)
	}
}

func (s *State) restoreTenant(name string, r *codec.Reader) {
	t := &Tenant{Name: name, first: ID(r.Uvarint(math.MaxUint64 - uint64(len(predeclared)))), Info: readInfo(r)}
	switch {
	case r.Err() != nil:
	case name == "" && t.first == 1: // there already
		s.tenants[name] = t
	case name == "" || checkName(name) != nil || s.tenants[name] != nil || t.first == 0:
		r.Fail("tenant %q with exchanges from %d", name, t.first)
	default:
		s.tenants[name] = t
	}
}

func (s *State) restoreExchange(id ID, r *codec.Reader) {
	x := &Exchange{ID: id, Tenant: readText(r), Name: readText(r), Type: readText(r)}
	x.Durable, x.AutoDelete, x.Internal = readFlags(r)
	x.Home, x.Arguments = readOwner(r), readTable(r)
	if r.Err() != nil {
		return
	}
	if err := x.interpret(); err != nil {
		r.Fail("exchange %d: %v", id, err)
		return
	}
	if s.exchanges[id] != nil {
		r.Fail("exchange %d twice", id)
		return
	}
	s.exchanges[id] = x
}

func (s *State) restorePolicy(k pageKey, r *codec.Reader) {
	key, ok := k.policyKey()
	p := &Policy{Operator: key.operator, Tenant: key.tenant, Name: key.name}
	p.read(r)
	if r.Err() != nil {
		return
	}
	if err := p.interpret(); err != nil || !ok {
		r.Fail("policy %q: %v", k.name, err)
		return
	}
	s.policies[key] = p
}

func (s *State) restoreBindings(k pageKey, r *codec.Reader) {
	for r.Len() > 0 {
		b := &Binding{
			Number: r.Uvarint(math.MaxUint64), Source: ID(r.Uvarint(math.MaxUint64)),
			Dest: Dest{record.TopicID(r.Uvarint(math.MaxUint64)), ID(r.Uvarint(math.MaxUint64))},
			Key:  r.String(MaxKeyLen), Arguments: readTable(r),
		}
		if r.Err() != nil {
			return
		}
		if bindingPage(b.Number) != k || s.bindings[b.Number] != nil {
			r.Fail("binding %d", b.Number)
			return
		}
		s.bindings[b.Number] = b
	}
}

// Restored ends a restore: it checks that the pages fit together and rebuilds
// what is derived.
func (s *State) Restored() error {
	fresh := New()
	fresh.lastExchange, fresh.lastBinding, fresh.incarnations = s.lastExchange, s.lastBinding, s.incarnations
	fresh.policies = s.policies
	fresh.obey("")
	for _, t := range s.Tenants() {
		if uint64(t.first)+uint64(len(predeclared)) > uint64(s.lastExchange)+1 {
			return fmt.Errorf("restoring routes: %w: tenant %q has exchanges from %d", codec.ErrMalformed, t.Name, t.first)
		}
		if t.Name == "" {
			fresh.tenants[""] = t
			continue
		}
		fresh.addTenant(t)
	}
	for _, id := range slices.Sorted(maps.Keys(s.exchanges)) {
		x := s.exchanges[id]
		if uint64(id) <= uint64(len(predeclared)) {
			continue
		}
		if fresh.tenants[x.Tenant] == nil || id > s.lastExchange || fresh.exchanges[id] != nil || fresh.snapshot.Exchange(x.Tenant, x.Name) != nil {
			return fmt.Errorf("restoring routes: %w: exchange %d, %q in tenant %q", codec.ErrMalformed, id, x.Name, x.Tenant)
		}
		fresh.addExchange(x)
	}
	for k := range s.policies {
		if fresh.tenants[k.tenant] == nil {
			return fmt.Errorf("restoring routes: %w: policy %q in tenant %q", codec.ErrMalformed, k.name, k.tenant)
		}
	}
	if err := fresh.restoreAll(slices.SortedFunc(maps.Values(s.bindings), func(a, b *Binding) int {
		return cmp.Compare(a.Number, b.Number)
	})); err != nil {
		return fmt.Errorf("restoring routes: %w", err)
	}
	fresh.snapshot.Version += s.snapshot.Version // readers know the old one's
	pages := s.pages
	*s = *fresh
	s.pages = pages
	return nil
}

// restoreAll adds bindings whose exchanges are there.
func (s *State) restoreAll(bindings []*Binding) error {
	for _, b := range bindings {
		x := s.exchanges[b.Source]
		switch {
		case x == nil || b.Number > s.lastBinding || s.byKey[b.key()] != nil:
			return fmt.Errorf("%w: binding %d from exchange %d", codec.ErrMalformed, b.Number, b.Source)
		case (b.Dest.Topic == 0) == (b.Dest.Exchange == 0), b.Dest.Exchange != 0 && s.exchanges[b.Dest.Exchange] == nil:
			return fmt.Errorf("%w: binding %d leads to %v", codec.ErrMalformed, b.Number, b.Dest)
		}
		if err := b.interpret(x.Kind); err != nil {
			return fmt.Errorf("%w: binding %d: %w", codec.ErrMalformed, b.Number, err)
		}
		s.addBinding(b)
	}
	return nil
}
