package broker

import (
	"iter"

	"github.com/polylog-mq/polylog/internal/state/route"
)

// Table is the body of an AMQP field table: arguments and headers.
type Table = route.Table

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

// Exchange is an immutable view of an exchange.
type Exchange struct {
	ExchangeSpec
	// ID is never reused.
	ID uint64
}

// DeclareExchange creates an exchange unless it exists; then it must be
// equivalent (a NotEquivalentError otherwise, which wraps ErrNotEquivalent).
// ErrUnknownTenant, ErrUnknownExchangeType, ErrInvalidArgument, ErrReserved
// (names that begin with "amq.", and the default exchange).
func (b *Broker) DeclareExchange(s *ExchangeSpec, done func(created bool, err error)) {
	panic("not yet")
}

// DeleteExchange deletes an exchange and the bindings from and to it; one that
// does not exist is no error. ErrReserved, ErrInUse if ifUnused is set and it
// is the source of a binding.
func (b *Broker) DeleteExchange(tenant, name string, ifUnused bool, done func(err error)) {
	panic("not yet")
}

// Exchange returns the exchange of this name, nil if there is none. The default
// exchange is "". It takes no lock.
func (b *Broker) Exchange(tenant, name string) *Exchange { panic("not yet") }

// Exchanges iterates over a tenant's exchanges, sorted by name, as they are at
// the call.
func (b *Broker) Exchanges(tenant string) iter.Seq[*Exchange] { panic("not yet") }

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

// Bind adds a binding; one that exists is no error. Source and destination must
// exist: ErrUnknownExchange, ErrUnknownQueue (a *NotFoundError tells which).
// ErrReserved for the default exchange, ErrInvalidArgument for what the
// exchange's type does not take. An exclusive queue is bound by its session
// alone (by may be nil): ErrLocked.
func (b *Broker) Bind(x *Binding, by *Session, done func(err error)) { panic("not yet") }

// Unbind removes a binding; one that does not exist is no error.
func (b *Broker) Unbind(x *Binding, by *Session, done func(err error)) { panic("not yet") }

// Bindings hands done the bindings of a tenant, in the order they were made. The
// implicit ones from the default exchange are not among them.
func (b *Broker) Bindings(tenant string, done func([]Binding)) { panic("not yet") }
