package route

import (
	"fmt"
	"slices"
	"strings"

	"github.com/polylog-mq/polylog/internal/record"
)

// ID is the number of an exchange, never reused. 0 is none.
type ID uint64

// Kind is what an exchange does. The numbers are logged.
type Kind uint8

// The kinds.
const (
	Direct  Kind = iota + 1 // to whom is bound by the routing key
	Fanout                  // to everybody
	Topic                   // to whom is bound by a pattern of the key
	Headers                 // to whom is bound by values of headers
	Hash                    // to one of all, by the hash of the key (x-consistent-hash)
	Random                  // to one of all, whichever (x-random, x-local-random)
	Modulus                 // to one of all, by the hash of the key over their number (x-modulus-hash)
)

// delayedType is the type of exchanges that hold messages back for as long as
// their x-delay header says; x-delayed-type says what else they are.
const delayedType = "x-delayed-message"

var kindNames = [...]string{"", "direct", "fanout", "topic", "headers", "x-consistent-hash", "x-random", "x-modulus-hash"}

// localRandomType is x-random for queues of the same node, of which every node has
// the bytes of all.
const localRandomType = "x-local-random"

// String returns the name of an exchange type.
func (k Kind) String() string {
	if k > 0 && int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// anyKey reports whether the keys of bindings mean nothing.
func (k Kind) anyKey() bool { return k == Fanout || k == Random || k == Modulus }

func parseKind(name string) (Kind, error) {
	if name == localRandomType {
		return Random, nil
	}
	for k := Direct; int(k) < len(kindNames); k++ {
		if kindNames[k] == name {
			return k, nil
		}
	}
	return 0, refuse(ErrUnknownType, "unknown exchange type '%s'", name)
}

// Exchange is an exchange. It never changes.
type Exchange struct {
	ID           ID
	Tenant, Name string // tenant "" is the default one
	// Type is the name of the type as it was declared.
	Type                          string
	Durable, AutoDelete, Internal bool
	// Home is the incarnation of the node that an exchange which is not durable
	// was declared at, and with which it ends.
	Home Owner
	// Arguments are those of the declaration, byte for byte. Read only.
	Arguments Table

	// What follows is what Type and Arguments mean.

	// Kind is how it routes.
	Kind Kind
	// Delays says that it is of type x-delayed-message.
	Delays bool
	// Alternate is the exchange that gets what has no destination here, if
	// HasAlternate is set.
	Alternate    string
	HasAlternate bool
	// hashHeader is the header, and hashProperty the property, that an exchange of
	// kind Hash looks at instead of the routing key, "" for the key.
	hashHeader, hashProperty string
}

// predeclared are the exchanges that every tenant has, in the order of their
// ids. (The default exchange has no number: it routes to the queue that the key
// names.)
var predeclared = [...]struct {
	name     string
	kind     Kind
	internal bool
}{
	{"amq.direct", Direct, false},
	{"amq.fanout", Fanout, false},
	{"amq.headers", Headers, false},
	{"amq.match", Headers, false},
	{"amq.rabbitmq.trace", Topic, true},
	{"amq.topic", Topic, false},
}

// predeclaredExchange returns predeclared exchange i of a tenant whose first one has
// this id.
func predeclaredExchange(tenant string, first ID, i int) *Exchange {
	p := &predeclared[i]
	return &Exchange{
		ID: first + ID(i), Tenant: tenant, Name: p.name, Type: p.kind.String(), Kind: p.kind,
		Durable: true, Internal: p.internal,
	}
}

// Reserved reports whether a name is one that clients may not declare or delete
// exchanges and queues by: the default exchange's, or one that begins with
// "amq.".
func Reserved(name string) bool { return name == "" || strings.HasPrefix(name, "amq.") }

// interpret fills in what type and arguments mean, or refuses them.
func (x *Exchange) interpret() error {
	if len(x.Arguments) > MaxTableLen {
		return fmt.Errorf("%w: the arguments are longer than %d bytes", ErrInvalidArgument, MaxTableLen)
	}
	if err := x.Arguments.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidArgument, err)
	}
	name := x.Type
	if name == delayedType {
		x.Delays = true
		if name = x.Arguments.Text("x-delayed-type"); name == delayedType || name == "" {
			return refuse(ErrInvalidArgument, "Invalid argument, 'x-delayed-type' must be an existing exchange type")
		}
	}
	var err error
	if x.Kind, err = parseKind(name); err != nil {
		if x.Delays {
			return refuse(ErrInvalidArgument, "Invalid argument, 'x-delayed-type' must be an existing exchange type")
		}
		return err
	}
	if v, ok := x.Arguments.Lookup("alternate-exchange"); ok {
		if x.Alternate, x.HasAlternate = v.Text(); !x.HasAlternate {
			return fmt.Errorf("%w: 'alternate-exchange' must be a text", ErrInvalidArgument)
		}
	}
	return x.interpretHash()
}

// hashProperties are the properties that can be hashed.
var hashProperties = [...]string{"correlation_id", "message_id", "timestamp"}

func (x *Exchange) interpretHash() error {
	if x.Kind != Hash {
		return nil
	}
	if v, ok := x.Arguments.Lookup("hash-header"); ok {
		if x.hashHeader, ok = v.Text(); !ok {
			return fmt.Errorf("%w: 'hash-header' must be a text", ErrInvalidArgument)
		}
	}
	if v, ok := x.Arguments.Lookup("hash-property"); ok {
		x.hashProperty, _ = v.Text()
		switch {
		case x.hashHeader != "":
			return refuse(ErrInvalidArgument, "hash-header and hash-property are mutually exclusive")
		case !slices.Contains(hashProperties[:], x.hashProperty):
			return refuse(ErrInvalidArgument, "Unsupported property: %s", v.text())
		}
	}
	return nil
}

// Owner is whose end is the end of an exchange or queue: an incarnation of a
// node (Number is 0) or a session of it. The zero value is nobody.
type Owner struct {
	Node        record.NodeID
	Incarnation uint64
	Number      uint64
}
