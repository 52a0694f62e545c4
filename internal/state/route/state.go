package route

import (
	"cmp"
	"maps"
	"slices"

	"github.com/polylog-mq/polylog/internal/page"
	"github.com/polylog-mq/polylog/internal/record"
)

// Topics finds topics by name: the catalog, as it is when a command is applied.
type Topics interface {
	// TopicID returns the topic of this name in a tenant, 0 if there is none.
	TopicID(tenant, name string) record.TopicID
}

// Tenant is a tenant. It never changes.
type Tenant struct {
	Name string // "" is the default one
	Info TenantInfo
	// first is the id of its first predeclared exchange.
	first ID
}

// State is the definitions of tenants, exchanges and bindings. It is not safe for
// concurrent use: it belongs to the loop of the metadata group. What Snapshot
// returns, and the exchanges and bindings themselves, never change and may be
// handed to any goroutine.
type State struct {
	lastExchange ID
	lastBinding  uint64
	tenants      map[string]*Tenant
	exchanges    map[ID]*Exchange
	bindings     map[uint64]*Binding
	policies     map[policyKey]*Policy
	// incarnations counts how often each node was started.
	incarnations map[record.NodeID]uint64
	pages        *page.Set[pageKey]

	// What follows is derived from the above.
	byKey map[bindingKey]*Binding
	// from and to list bindings by their ends, ascending.
	from map[ID][]*Binding
	to   map[Dest][]*Binding
	// pairs counts the bindings that a table holds once; see table.add.
	pairs map[pair]int
	// transient holds the exchanges that end with an incarnation.
	transient map[Owner][]ID

	snapshot *Snapshot
}

// pair is what bindings share of which a table holds one destination.
type pair struct {
	source ID
	dest   Dest
	key    string
}

// New returns the state of a new cluster: the default tenant, with its
// predeclared exchanges. The pages of a checkpoint may follow.
func New() *State {
	s := &State{
		tenants:      map[string]*Tenant{},
		exchanges:    map[ID]*Exchange{},
		bindings:     map[uint64]*Binding{},
		policies:     map[policyKey]*Policy{},
		incarnations: map[record.NodeID]uint64{},
		byKey:        map[bindingKey]*Binding{},
		from:         map[ID][]*Binding{},
		to:           map[Dest][]*Binding{},
		pairs:        map[pair]int{},
		transient:    map[Owner][]ID{},
		snapshot:     &Snapshot{},
	}
	s.pages = page.New(s.encodePage)
	s.lastExchange = ID(len(predeclared))
	s.addTenant(&Tenant{first: 1})
	return s
}

// Snapshot returns what routing reads, as of now.
func (s *State) Snapshot() *Snapshot { return s.snapshot }

// Tenants returns the tenants, sorted by name.
func (s *State) Tenants() []*Tenant {
	return slices.SortedFunc(maps.Values(s.tenants), func(a, b *Tenant) int { return cmp.Compare(a.Name, b.Name) })
}

// Tenant returns the tenant of this name, nil if there is none.
func (s *State) Tenant(name string) *Tenant { return s.tenants[name] }

// Bindings returns a tenant's bindings in the order in which they were made.
func (s *State) Bindings(tenant string) []*Binding {
	var list []*Binding
	for _, b := range s.bindings {
		if s.exchanges[b.Source].Tenant == tenant {
			list = append(list, b)
		}
	}
	slices.SortFunc(list, func(a, b *Binding) int { return cmp.Compare(a.Number, b.Number) })
	return list
}

// ExchangeByID returns the exchange with a number, nil if there is none.
func (s *State) ExchangeByID(id ID) *Exchange { return s.exchanges[id] }

// Incarnation returns the present incarnation of a node, 0 if it was never
// started.
func (s *State) Incarnation(n record.NodeID) uint64 { return s.incarnations[n] }

// show makes a snapshot the present one.
func (s *State) show(next *Snapshot) {
	next.Version = s.snapshot.Version + 1
	s.snapshot = next
}

// addTenant adds a tenant with its predeclared exchanges.
func (s *State) addTenant(t *Tenant) {
	s.tenants[t.Name] = t
	s.show(s.snapshot.withTenant(t.Name))
	for i := range predeclared {
		s.addExchange(predeclaredExchange(t.Name, t.first, i))
	}
}

func (s *State) addExchange(x *Exchange) {
	s.govern(x)
	s.exchanges[x.ID] = x
	if x.Home != (Owner{}) {
		s.transient[x.Home] = append(s.transient[x.Home], x.ID)
	}
	s.show(s.snapshot.with(&table{exchange: x}))
}

func (s *State) dropExchange(x *Exchange) {
	delete(s.exchanges, x.ID)
	if x.Home != (Owner{}) {
		left := without(s.transient[x.Home], x.ID)
		if s.transient[x.Home] = left; len(left) == 0 {
			delete(s.transient, x.Home)
		}
	}
	s.show(s.snapshot.without(x))
}

func (s *State) table(id ID) *table {
	t, _ := s.snapshot.byID.get(hashOfID(id), id)
	return t
}

func (s *State) pairOf(b *Binding) pair {
	p := pair{b.Source, b.Dest, b.Key}
	if s.exchanges[b.Source].Kind.anyKey() {
		p.key = ""
	}
	return p
}

func (s *State) addBinding(b *Binding) {
	s.bindings[b.Number] = b
	s.byKey[b.key()] = b
	s.from[b.Source] = append(s.from[b.Source], b)
	s.to[b.Dest] = append(s.to[b.Dest], b)
	p := s.pairOf(b)
	s.pairs[p]++
	s.show(s.snapshot.with(s.table(b.Source).add(b, s.pairs[p] == 1)))
}

func (s *State) dropBinding(b *Binding) {
	delete(s.bindings, b.Number)
	delete(s.byKey, b.key())
	dropFrom(s.from, b.Source, b)
	dropFrom(s.to, b.Dest, b)
	p := s.pairOf(b)
	s.pairs[p]--
	last := s.pairs[p] == 0
	if last {
		delete(s.pairs, p)
	}
	s.show(s.snapshot.with(s.table(b.Source).remove(b, last)))
}

// dropFrom takes a binding out of a list that is ordered by number.
func dropFrom[K comparable](lists map[K][]*Binding, k K, b *Binding) {
	list := lists[k]
	i, _ := slices.BinarySearchFunc(list, b.Number, func(o *Binding, n uint64) int { return cmp.Compare(o.Number, n) })
	if list = slices.Delete(list, i, i+1); len(list) == 0 {
		delete(lists, k)
		return
	}
	lists[k] = list
}
