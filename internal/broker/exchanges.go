package broker

import (
	"iter"
	"slices"

	"github.com/polylog-mq/polylog/internal/state/route"
)

// Table is the body of an AMQP field table: arguments and headers.
type Table = route.Table

// Exchange is an immutable view of an exchange. (Its Tenant is "" if that is the
// default one.)
type Exchange = route.Exchange

// ExchangeSpec describes an exchange to declare.
type ExchangeSpec struct {
	Tenant, Name string
	// Type is direct, fanout, topic, headers, x-delayed-message or
	// x-consistent-hash.
	Type                          string
	Durable, AutoDelete, Internal bool
	// Arguments are kept byte for byte. Routing reads alternate-exchange,
	// x-delayed-type and hash-header of them. Not to be changed any more.
	Arguments Table
}

// defaultExchange is that of every tenant: bound to every queue by its name.
var defaultExchange = &Exchange{Type: route.Direct.String(), Kind: route.Direct, Durable: true}

// DeclareExchange creates an exchange unless it exists; then it must be
// equivalent (a *NotEquivalentError otherwise, which wraps ErrNotEquivalent).
// ErrUnknownTenant, ErrUnknownExchangeType, ErrInvalidArgument, ErrReserved
// (names that begin with "amq.", and the default exchange), ErrPolicy.
func (b *Broker) DeclareExchange(s *ExchangeSpec, done func(created bool, err error)) {
	cmd := &route.DeclareExchange{
		Tenant: tenantKey(s.Tenant), Name: s.Name, Type: s.Type,
		Durable: s.Durable, AutoDelete: s.AutoDelete, Internal: s.Internal,
		Home: b.owner(nil), Arguments: s.Arguments,
	}
	b.metadata.define(cmd, func(r routed, err error) { done(r.Created, err) })
}

// DeleteExchange deletes an exchange and the bindings from and to it; one that
// does not exist is no error. ErrReserved, ErrInUse if ifUnused is set and it
// is the source of a binding.
func (b *Broker) DeleteExchange(tenant, name string, ifUnused bool, done func(err error)) {
	cmd := &route.DeleteExchange{Tenant: tenantKey(tenant), Name: name, IfUnused: ifUnused}
	b.metadata.define(cmd, func(_ routed, err error) { done(err) })
}

// Exchange returns the exchange of this name, nil if there is none. The default
// exchange is "". It takes no lock.
func (b *Broker) Exchange(tenant, name string) *Exchange {
	s := b.routing.snapshot.Load()
	if name == "" && s.Tenant(tenantKey(tenant)) {
		return defaultExchange
	}
	return s.Exchange(tenantKey(tenant), name)
}

// Exchanges iterates over a tenant's exchanges, the default one among them,
// sorted by name, as they are at the call.
func (b *Broker) Exchanges(tenant string) iter.Seq[*Exchange] {
	list := b.routing.snapshot.Load().Exchanges(tenantKey(tenant))
	if len(list) > 0 {
		list = slices.Insert(list, 0, defaultExchange)
	}
	return slices.Values(list)
}

// Binding says that messages of an exchange go to a queue or to another
// exchange. Two bindings are the same if all of their fields are.
type Binding struct {
	Tenant, Source, Destination string
	// ToExchange says that Destination is an exchange; else it is a queue, or a
	// topic, which takes messages as one.
	ToExchange bool
	Key        string
	// Arguments are kept byte for byte; a headers exchange matches them.
	Arguments Table
}

func (x *Binding) ends() route.Ends {
	return route.Ends{
		Tenant: tenantKey(x.Tenant), Source: x.Source, Destination: x.Destination,
		ToExchange: x.ToExchange, Key: x.Key, Arguments: x.Arguments,
	}
}

// Bind adds a binding; one that exists is no error. Source and destination must
// exist: ErrUnknownExchange, ErrUnknownQueue (a *NotFoundError tells which).
// ErrReserved for the default exchange, ErrInvalidArgument for what the
// exchange's type does not take. An exclusive queue is bound by its session
// alone (by may be nil): ErrLocked.
func (b *Broker) Bind(x *Binding, by *Session, done func(err error)) {
	b.metadata.bind(&route.Bind{Ends: x.ends()}, x, by, done)
}

// Unbind removes a binding; one that does not exist is no error. Errors as for
// Bind.
func (b *Broker) Unbind(x *Binding, by *Session, done func(err error)) {
	b.metadata.bind(&route.Unbind{Ends: x.ends()}, x, by, done)
}

// Bindings hands done the bindings of a tenant, in the order they were made. The
// implicit ones from the default exchange are not among them.
func (b *Broker) Bindings(tenant string, done func([]Binding)) {
	b.metadata.group.Post(func() { done(b.metadata.bindings(tenant)) })
}
