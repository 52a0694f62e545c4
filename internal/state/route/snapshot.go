package route

import "slices"

// Snapshot is what routing reads: the exchanges and their bindings at one
// moment. It never changes and may be used from any goroutine.
type Snapshot struct {
	// Version is another one for every snapshot.
	Version uint64

	tenants pmap[string, *tenantTables]
	// byID holds the tables of all exchanges.
	byID pmap[ID, *table]
}

// tenantTables is a tenant's exchanges by name.
type tenantTables struct {
	name   string
	byName pmap[string, *table]
}

// table is one exchange with the bindings that it is the source of, in the form
// that its kind looks them up in. It never changes.
type table struct {
	exchange *Exchange
	bindings int // how many

	keys    pmap[string, []Dest] // of kind Direct
	all     []Dest               // if any key will do, each once
	topics  *trie                // of kind Topic
	headers []*Binding           // of kind Headers
	ring    ring                 // of kind Hash
}

// add returns the table with a binding more. first says that no other binding
// of it has the same destination under the same key, which is any key of a
// fanout.
func (t *table) add(b *Binding, first bool) *table {
	next := *t
	next.bindings++
	switch t.exchange.Kind {
	case Headers:
		next.headers = append(t.headers, b)
	case Hash:
		next.ring = t.ring.add(b)
	case Direct:
		if first {
			h := hashOf(b.Key)
			dests, _ := t.keys.get(h, b.Key)
			next.keys = t.keys.put(h, b.Key, append(dests, b.Dest))
		}
	case Fanout, Random, Modulus:
		if first {
			next.all = append(t.all, b.Dest)
		}
	case Topic:
		if first {
			next.topics = t.topics.bind(words(b.Key), b.Dest)
		}
	}
	return &next
}

// remove returns the table without a binding. last is what first is to add.
func (t *table) remove(b *Binding, last bool) *table {
	next := *t
	next.bindings--
	switch t.exchange.Kind {
	case Headers:
		next.headers = without(t.headers, b)
	case Hash:
		next.ring = t.ring.remove(b)
	case Direct:
		if last {
			h := hashOf(b.Key)
			dests, _ := t.keys.get(h, b.Key)
			if dests = without(dests, b.Dest); len(dests) == 0 {
				next.keys = t.keys.del(h, b.Key)
			} else {
				next.keys = t.keys.put(h, b.Key, dests)
			}
		}
	case Fanout, Random, Modulus:
		if last {
			next.all = without(t.all, b.Dest)
		}
	case Topic:
		if last {
			next.topics = t.topics.unbind(words(b.Key), b.Dest)
		}
	}
	return &next
}

// without returns a new list without an element that is in it once.
func without[T comparable](list []T, e T) []T {
	i := slices.Index(list, e)
	if i < 0 {
		return list
	}
	return slices.Concat(list[:i], list[i+1:])
}

func (s *Snapshot) tenant(name string) *tenantTables {
	t, _ := s.tenants.get(hashOf(name), name)
	return t
}

// with returns the snapshot with another table of an exchange.
func (s *Snapshot) with(t *table) *Snapshot {
	next := *s
	next.byID = s.byID.put(hashOfID(t.exchange.ID), t.exchange.ID, t)
	return next.withName(t.exchange, func(names pmap[string, *table]) pmap[string, *table] {
		return names.put(hashOf(t.exchange.Name), t.exchange.Name, t)
	})
}

// without returns the snapshot without an exchange.
func (s *Snapshot) without(x *Exchange) *Snapshot {
	next := *s
	next.byID = s.byID.del(hashOfID(x.ID), x.ID)
	return next.withName(x, func(names pmap[string, *table]) pmap[string, *table] {
		return names.del(hashOf(x.Name), x.Name)
	})
}

func (s *Snapshot) withName(x *Exchange, change func(pmap[string, *table]) pmap[string, *table]) *Snapshot {
	old := s.tenant(x.Tenant)
	s.tenants = s.tenants.put(hashOf(x.Tenant), x.Tenant, &tenantTables{x.Tenant, change(old.byName)})
	return s
}

func (s *Snapshot) withTenant(name string) *Snapshot {
	next := *s
	next.tenants = s.tenants.put(hashOf(name), name, &tenantTables{name: name})
	return &next
}

func (s *Snapshot) withoutTenant(name string) *Snapshot {
	next := *s
	next.tenants = s.tenants.del(hashOf(name), name)
	return &next
}

// Tenant reports whether a tenant exists.
func (s *Snapshot) Tenant(name string) bool { return s.tenant(name) != nil }

// Tenants returns the names of the tenants, sorted.
func (s *Snapshot) Tenants() []string {
	var names []string
	for name := range s.tenants.all() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Exchange returns the exchange of a name, nil if there is none. (The default
// exchange is not among them.)
func (s *Snapshot) Exchange(tenant, name string) *Exchange {
	if t := s.tenant(tenant); t != nil {
		if x, ok := t.byName.get(hashOf(name), name); ok {
			return x.exchange
		}
	}
	return nil
}

// Exchanges returns a tenant's exchanges, sorted by name.
func (s *Snapshot) Exchanges(tenant string) []*Exchange {
	t := s.tenant(tenant)
	if t == nil {
		return nil
	}
	list := make([]*Exchange, 0, t.byName.size)
	for _, x := range t.byName.all() {
		list = append(list, x.exchange)
	}
	slices.SortFunc(list, func(a, b *Exchange) int { return compareText(a.Name, b.Name) })
	return list
}
