package route

import (
	"fmt"
	"math"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
)

// Command is a command of the metadata group: *PutTenant, *DeleteTenant,
// *DeclareExchange, *DeleteExchange, *Bind, *Unbind, *StartNode, *EndSession,
// *PutPolicy or *DeletePolicy. Names are resolved where a command is applied, so that a client may declare
// and bind without waiting in between.
type Command interface {
	// AppendTo appends the logged form, to be read by DecodeCommand.
	AppendTo(dst []byte) []byte
	command()
}

// PutTenant creates a tenant, with its predeclared exchanges, or changes what is
// said of it. ErrInvalidName, ErrTooMany.
type PutTenant struct {
	Name string
	Info TenantInfo
}

// TenantInfo is what is said of a tenant, for people and tools alone.
type TenantInfo struct {
	Description string
	Tags        string // separated by commas
	// QueueType is the type of queues that do not say one: classic, quorum or
	// stream; "" is classic.
	QueueType string
}

// DeleteTenant deletes a tenant with its exchanges and bindings.
// ErrUnknownTenant, ErrDefaultTenant.
type DeleteTenant struct{ Name string }

// DeclareExchange creates an exchange, or checks that the one of this name is
// equivalent. ErrUnknownTenant, ErrInvalidName, ErrReserved, ErrUnknownType,
// ErrInvalidArgument, ErrNotEquivalent, ErrTooMany.
type DeclareExchange struct {
	Tenant, Name, Type            string
	Durable, AutoDelete, Internal bool
	// Home is where it was declared; see Exchange.
	Home      Owner
	Arguments Table
}

// DeleteExchange deletes an exchange and the bindings from and to it. One that
// does not exist is no error. ErrReserved, ErrInUse.
type DeleteExchange struct {
	Tenant, Name string
	// IfUnused refuses if it is the source of a binding.
	IfUnused bool
}

// Ends are the two ends of a binding, by name.
type Ends struct {
	Tenant, Source, Destination string
	// ToExchange says that the destination is an exchange; else it is a topic.
	ToExchange bool
	Key        string
	Arguments  Table
}

// Bind adds a binding; one that exists is no error. ErrUnknownExchange,
// ErrUnknownQueue, ErrReserved, ErrInvalidArgument, ErrTooMany.
type Bind struct{ Ends }

// Unbind removes a binding; one that does not exist is no error.
// ErrUnknownExchange, ErrUnknownQueue, ErrReserved.
type Unbind struct{ Ends }

// StartNode begins an incarnation of a node, which Result numbers, and deletes
// the exchanges that lived with earlier ones.
type StartNode struct{ Node record.NodeID }

// EndSession says that what belongs to a session is gone: queues, which the
// composer of the metadata group deletes.
type EndSession struct{ Session Owner }

// PutPolicy creates a policy, or replaces the one of its name. ErrUnknownTenant,
// ErrInvalidName, ErrInvalidArgument, ErrTooMany.
type PutPolicy struct{ Policy }

// DeletePolicy deletes a policy. ErrUnknownPolicy.
type DeletePolicy struct {
	Tenant, Name string
	Operator     bool
}

func (*PutTenant) command()       {}
func (*DeleteTenant) command()    {}
func (*DeclareExchange) command() {}
func (*DeleteExchange) command()  {}
func (*Bind) command()            {}
func (*Unbind) command()          {}
func (*StartNode) command()       {}
func (*EndSession) command()      {}
func (*PutPolicy) command()       {}
func (*DeletePolicy) command()    {}

// The first byte of a logged command. They are part of the log's format: never
// change one, and give a new form a new number.
const (
	kindPutTenant       = 1
	kindDeleteTenant    = 2
	kindDeclareExchange = 3
	kindDeleteExchange  = 4
	kindBind            = 5
	kindUnbind          = 6
	kindStartNode       = 7
	kindEndSession      = 8
	kindPutPolicy       = 9
	kindDeletePolicy    = 10
)

// The flags of an exchange.
const (
	flagDurable = 1 << iota
	flagAutoDelete
	flagInternal
	exchangeFlags = 1<<iota - 1
)

func flags(durable, autoDelete, internal bool) (f byte) {
	for i, on := range [...]bool{durable, autoDelete, internal} {
		if on {
			f |= 1 << i
		}
	}
	return f
}

// AppendTo implements Command.
func (c *PutTenant) AppendTo(dst []byte) []byte {
	return appendInfo(codec.AppendBytes(append(dst, kindPutTenant), c.Name), &c.Info)
}

// AppendTo implements Command.
func (c *DeleteTenant) AppendTo(dst []byte) []byte {
	return codec.AppendBytes(append(dst, kindDeleteTenant), c.Name)
}

// AppendTo implements Command.
func (c *DeclareExchange) AppendTo(dst []byte) []byte {
	dst = codec.AppendBytes(append(dst, kindDeclareExchange), c.Tenant)
	dst = codec.AppendBytes(dst, c.Name)
	dst = codec.AppendBytes(dst, c.Type)
	dst = append(dst, flags(c.Durable, c.AutoDelete, c.Internal))
	dst = appendOwner(dst, c.Home)
	return codec.AppendBytes(dst, c.Arguments)
}

// AppendTo implements Command.
func (c *DeleteExchange) AppendTo(dst []byte) []byte {
	dst = codec.AppendBytes(append(dst, kindDeleteExchange), c.Tenant)
	dst = codec.AppendBytes(dst, c.Name)
	return codec.AppendBool(dst, c.IfUnused)
}

// AppendTo implements Command.
func (c *Bind) AppendTo(dst []byte) []byte { return c.Ends.appendTo(append(dst, kindBind)) }

// AppendTo implements Command.
func (c *Unbind) AppendTo(dst []byte) []byte { return c.Ends.appendTo(append(dst, kindUnbind)) }

func (e *Ends) appendTo(dst []byte) []byte {
	dst = codec.AppendBytes(dst, e.Tenant)
	dst = codec.AppendBytes(dst, e.Source)
	dst = codec.AppendBool(dst, e.ToExchange)
	dst = codec.AppendBytes(dst, e.Destination)
	dst = codec.AppendBytes(dst, e.Key)
	return codec.AppendBytes(dst, e.Arguments)
}

// AppendTo implements Command.
func (c *StartNode) AppendTo(dst []byte) []byte {
	return codec.AppendUvarint(append(dst, kindStartNode), c.Node)
}

// AppendTo implements Command.
func (c *EndSession) AppendTo(dst []byte) []byte {
	return appendOwner(append(dst, kindEndSession), c.Session)
}

// AppendTo implements Command.
func (c *PutPolicy) AppendTo(dst []byte) []byte {
	dst = codec.AppendBytes(codec.AppendBool(append(dst, kindPutPolicy), c.Operator), c.Tenant)
	return c.Policy.appendTo(codec.AppendBytes(dst, c.Name))
}

// appendTo appends what a policy is beside its key.
func (p *Policy) appendTo(dst []byte) []byte {
	dst = codec.AppendBytes(dst, p.Pattern)
	dst = codec.AppendBytes(dst, p.ApplyTo)
	dst = codec.AppendVarint(dst, p.Priority)
	return codec.AppendBytes(dst, p.Definition)
}

// AppendTo implements Command.
func (c *DeletePolicy) AppendTo(dst []byte) []byte {
	dst = codec.AppendBytes(codec.AppendBool(append(dst, kindDeletePolicy), c.Operator), c.Tenant)
	return codec.AppendBytes(dst, c.Name)
}

func appendOwner(dst []byte, o Owner) []byte {
	dst = codec.AppendUvarint(dst, o.Node)
	dst = codec.AppendUvarint(dst, o.Incarnation)
	return codec.AppendUvarint(dst, o.Number)
}

func appendInfo(dst []byte, i *TenantInfo) []byte {
	dst = codec.AppendBytes(dst, i.Description)
	dst = codec.AppendBytes(dst, i.Tags)
	return codec.AppendBytes(dst, i.QueueType)
}

// DecodeCommand reads what AppendTo of a command wrote, whatever its fields
// hold: a client's nonsense is refused by Apply, on every replica alike, and
// must not look like damage to the log. It keeps nothing of b.
func DecodeCommand(b []byte) (Command, error) {
	r := codec.NewReader(b)
	var cmd Command
	switch kind := r.Byte(); kind {
	case kindPutTenant:
		cmd = &PutTenant{readText(&r), readInfo(&r)}
	case kindDeleteTenant:
		cmd = &DeleteTenant{readText(&r)}
	case kindDeclareExchange:
		c := &DeclareExchange{Tenant: readText(&r), Name: readText(&r), Type: readText(&r)}
		c.Durable, c.AutoDelete, c.Internal = readFlags(&r)
		c.Home, c.Arguments = readOwner(&r), readTable(&r)
		cmd = c
	case kindDeleteExchange:
		cmd = &DeleteExchange{readText(&r), readText(&r), r.Bool()}
	case kindBind:
		cmd = &Bind{readEnds(&r)}
	case kindUnbind:
		cmd = &Unbind{readEnds(&r)}
	case kindStartNode:
		cmd = &StartNode{record.NodeID(r.Uvarint(math.MaxUint64))}
	case kindEndSession:
		cmd = &EndSession{readOwner(&r)}
	case kindPutPolicy:
		p := Policy{Operator: r.Bool(), Tenant: readText(&r), Name: readText(&r)}
		p.read(&r)
		cmd = &PutPolicy{p}
	case kindDeletePolicy:
		c := &DeletePolicy{Operator: r.Bool()}
		c.Tenant, c.Name = readText(&r), readText(&r)
		cmd = c
	default:
		r.Fail("command kind %d", kind)
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("decoding a command about routes: %w", err)
	}
	return cmd, nil
}

// read reads what appendTo wrote.
func (p *Policy) read(r *codec.Reader) {
	p.Pattern, p.ApplyTo = readText(r), readText(r)
	p.Priority = int32(r.Varint(math.MinInt32, math.MaxInt32))
	p.Definition = readTable(r)
}

// readText reads a string of any length that the input holds.
func readText(r *codec.Reader) string { return r.String(math.MaxInt32) }

// readTable reads a table, copied; an empty one is nil.
func readTable(r *codec.Reader) Table { return append(Table(nil), r.Bytes(math.MaxInt32)...) }

func readInfo(r *codec.Reader) TenantInfo {
	return TenantInfo{readText(r), readText(r), readText(r)}
}

func readOwner(r *codec.Reader) Owner {
	return Owner{
		Node: record.NodeID(r.Uvarint(math.MaxUint64)), Incarnation: r.Uvarint(math.MaxUint64), Number: r.Uvarint(math.MaxUint64),
	}
}

func readFlags(r *codec.Reader) (durable, autoDelete, internal bool) {
	f := r.Byte()
	if f > exchangeFlags {
		r.Fail("an exchange with flags %#x", f)
	}
	return f&flagDurable != 0, f&flagAutoDelete != 0, f&flagInternal != 0
}

func readEnds(r *codec.Reader) Ends {
	e := Ends{Tenant: readText(r), Source: readText(r), ToExchange: r.Bool()}
	e.Destination, e.Key, e.Arguments = readText(r), readText(r), readTable(r)
	return e
}
