package route

import (
	"slices"
	"strings"
)

func compareText(a, b string) int { return strings.Compare(a, b) }

// Found is what a lookup found. It is reused from lookup to lookup, and belongs
// to one goroutine.
type Found struct {
	// Dests are the topics that the message goes to, each once.
	Dests []Dest
	// ByName says that the message also goes to the queue which its routing key
	// names: the default exchange was an alternate.
	ByName bool
	// Delays says that an exchange of type x-delayed-message was passed.
	Delays bool
	// Varies says that another message of the same exchange and key may go
	// elsewhere: headers were looked at, or it was left to chance.
	Varies bool

	// Draw returns a random number, and Property a property of the message by
	// AMQP's name (message_id), nil if it is missing. Both are the caller's: without
	// Draw the first of several is chosen, without Property a message has none.
	Draw     func() uint64
	Property func(name string) []byte
	// Inside is the caller's, too: it publishes for the broker, which may publish
	// to internal exchanges.
	Inside bool
	// More are the message's further keys, the caller's as well (AMQP's CC and
	// BCC): each exchange is passed with all keys at once, so that its alternate is
	// for a message none of whose keys leads anywhere. Where one of several is
	// chosen the first key decides alone.
	More [][]byte

	tables []*table // passed or to be passed, in this order
	walk   walk
	lists  int
	seen   map[Dest]struct{}
}

func (f *Found) reset() {
	f.Dests, f.tables, f.lists = f.Dests[:0], f.tables[:0], 0
	f.ByName, f.Delays, f.Varies = false, false, false
}

// manyDests is from how many destinations on a table is quicker than a list.
const manyDests = 16

// add adds destinations that the exchange which is being passed leads to.
func (f *Found) add(s *Snapshot, dests []Dest) {
	for _, d := range dests {
		if d.Exchange != 0 {
			if t, ok := s.byID.get(hashOfID(d.Exchange), d.Exchange); ok {
				f.pass(t)
			}
			continue
		}
		if f.lists == 0 || f.fresh(d) {
			f.Dests = append(f.Dests, d)
		}
	}
	if len(dests) > 0 {
		f.lists++
	}
}

// fresh reports whether a destination was not found before. The first list has
// each of its own only once.
func (f *Found) fresh(d Dest) bool {
	if len(f.Dests) < manyDests {
		return !slices.Contains(f.Dests, d)
	}
	if f.seen == nil {
		f.seen = map[Dest]struct{}{}
	}
	if len(f.seen) != len(f.Dests) {
		clear(f.seen)
		for _, o := range f.Dests {
			f.seen[o] = struct{}{}
		}
	}
	if _, ok := f.seen[d]; ok {
		return false
	}
	f.seen[d] = struct{}{}
	return true
}

// pass makes sure that an exchange is passed once.
func (f *Found) pass(t *table) {
	if len(f.tables) < maxVisited && !slices.Contains(f.tables, t) {
		f.tables = append(f.tables, t)
	}
}

// Lookup finds where a message goes that is published to an exchange of a
// tenant: along the bindings from exchange to exchange, each of which is passed
// once, and from one that leads nowhere to its alternate. ErrUnknownExchange (as
// a *NotFoundError) if there is no such exchange, ErrInternal. It allocates
// nothing once f has grown. (The default exchange is the caller's.)
func (s *Snapshot) Lookup(f *Found, tenant string, exchange, key []byte, headers Table) error {
	f.reset()
	t := s.tenant(tenant)
	if t == nil {
		return &NotFoundError{"exchange", string(exchange), tenant}
	}
	first, ok := find(t.byName, exchange)
	switch {
	case !ok:
		return &NotFoundError{"exchange", string(exchange), tenant}
	case first.exchange.Internal && !f.Inside:
		return ErrInternal
	}
	f.pass(first)
	for i := 0; i < len(f.tables); i++ {
		s.through(f, t, f.tables[i], key, headers)
	}
	return nil
}

// through passes one exchange.
func (s *Snapshot) through(f *Found, tenant *tenantTables, t *table, key []byte, headers Table) {
	found := false
	take := func(dests []Dest) {
		found = found || len(dests) > 0
		f.add(s, dests)
	}
	f.Delays = f.Delays || t.exchange.Delays
	switch t.exchange.Kind {
	case Direct:
		dests, _ := find(t.keys, key)
		take(dests)
		for _, key := range f.More {
			dests, _ := find(t.keys, key)
			take(dests)
		}
	case Fanout:
		take(t.all)
	case Topic:
		if t.topics != nil {
			t.topics.match(&f.walk, key, take)
			for _, key := range f.More {
				t.topics.match(&f.walk, key, take)
			}
		}
	case Headers:
		f.Varies = true
		for _, b := range t.headers {
			if b.pattern.matches(headers) {
				found = true
				f.add(s, []Dest{b.Dest})
			}
		}
	case Hash:
		if t.exchange.hashHeader != "" {
			f.Varies = true
			key = hashed(headers, t.exchange.hashHeader)
		}
		if t.exchange.hashProperty != "" {
			f.Varies, key = true, nil
			if f.Property != nil {
				key = f.Property(t.exchange.hashProperty)
			}
		}
		if d, ok := t.ring.of(key); ok {
			found = true
			f.add(s, []Dest{d})
		}
	case Random:
		f.Varies = true
		take(f.draw(t.all))
	case Modulus:
		take(nth(t.all, spread(hashOf(key))))
	}
	if !found && t.exchange.HasAlternate {
		f.alternate(tenant, t.exchange.Alternate)
	}
}

// draw chooses one of several.
func (f *Found) draw(from []Dest) []Dest {
	if len(from) < 2 || f.Draw == nil {
		return nth(from, 0)
	}
	return nth(from, f.Draw())
}

// nth returns one of a list that is chosen by a number, none if it is empty.
func nth(from []Dest, n uint64) []Dest {
	if len(from) == 0 {
		return nil
	}
	i := n % uint64(len(from))
	return from[i : i+1]
}

// alternate goes on with the exchange of this name, if there is one.
func (f *Found) alternate(tenant *tenantTables, name string) {
	if name == "" {
		f.ByName = true
		return
	}
	if t, ok := tenant.byName.get(hashOf(name), name); ok {
		f.pass(t)
	}
}

// hashed returns the bytes of a header that are hashed, none if it is missing.
func hashed(headers Table, name string) []byte {
	v, _ := headers.Lookup(name)
	return v.Data
}
