package route

import (
	"encoding/hex"
	"fmt"
	"strconv"
)

// equivalent returns a *NotEquivalentError if an exchange is declared again, and
// differently: in type, durable, auto_delete, internal or alternate-exchange,
// which are all that RabbitMQ compares (rabbit_exchange:assert_equivalence).
func (x *Exchange) equivalent(again *Exchange) error {
	differs := func(field, received, current string) error {
		if received == current {
			return nil
		}
		return &NotEquivalentError{"exchange", x.Name, x.Tenant, field, received, current}
	}
	for _, f := range [...]struct{ field, received, current string }{
		{"type", quoted(again.Type), quoted(x.Type)},
		{"durable", quoted(again.Durable), quoted(x.Durable)},
		{"auto_delete", quoted(again.AutoDelete), quoted(x.AutoDelete)},
		{"internal", quoted(again.Internal), quoted(x.Internal)},
	} {
		if err := differs(f.field, f.received, f.current); err != nil {
			return err
		}
	}
	if received, current, ok := sameArgument(x.Arguments, again.Arguments, "alternate-exchange"); !ok {
		return differs("alternate-exchange", received, current)
	}
	return nil
}

func quoted(v any) string { return fmt.Sprintf("'%v'", v) }

// queueArguments are the arguments that are compared when a queue is declared
// again: RabbitMQ's, of all queue types, and our own. Others are kept and mean
// nothing.
var queueArguments = [...]string{
	"x-queue-type", "x-expires", "x-message-ttl", "x-dead-letter-exchange", "x-dead-letter-routing-key",
	"x-dead-letter-strategy", "x-max-length", "x-max-length-bytes", "x-max-in-memory-length", "x-max-in-memory-bytes",
	"x-overflow", "x-max-priority", "x-queue-mode", "x-queue-version", "x-queue-master-locator",
	"x-queue-leader-locator", "x-single-active-consumer", "x-delivery-limit", "x-quorum-initial-group-size",
	"x-quorum-target-group-size", "x-initial-cluster-size", "x-max-age", "x-stream-max-segment-size-bytes",
	"x-stream-filter-size-bytes", "x-consumer-timeout",
	"x-delayed-retry-type", "x-delayed-retry-min", "x-delayed-retry-max",
}

// Equivalent returns a *NotEquivalentError if a queue is declared again, and
// differently: in durable, auto_delete or an argument that means something to a
// queue. (Who may use it is asked before.) A missing x-queue-type is the default
// one, which the caller names.
func (q *Queue) Equivalent(again *Queue, tenant, name, defaultType string) error {
	differs := func(field, received, current string) error {
		return &NotEquivalentError{"queue", name, tenant, field, received, current}
	}
	if q.Durable != again.Durable {
		return differs("durable", quoted(again.Durable), quoted(q.Durable))
	}
	if q.AutoDelete != again.AutoDelete {
		return differs("auto_delete", quoted(again.AutoDelete), quoted(q.AutoDelete))
	}
	if defaultType == "" {
		defaultType = "classic"
	}
	for _, arg := range queueArguments {
		received, current, ok := sameArgument(q.Arguments, again.Arguments, arg)
		if !ok && arg == "x-queue-type" && typeOr(q.Arguments, defaultType) == typeOr(again.Arguments, defaultType) {
			continue
		}
		if !ok {
			return differs(arg, received, current)
		}
	}
	return nil
}

func typeOr(args Table, def string) string {
	if t := args.Text("x-queue-type"); t != "" {
		return t
	}
	return def
}

// sameArgument compares an argument of two declarations as RabbitMQ does
// (rabbit_misc:assert_args_equivalence): integers by value, whatever their
// widths, everything else by type and value. If they differ it returns the values
// in RabbitMQ's words: with their types, unless both are of one class.
func sameArgument(current, received Table, name string) (receivedText, currentText string, same bool) {
	a, okA := current.Lookup(name)
	b, okB := received.Lookup(name)
	switch {
	case !okA && !okB:
		return "", "", true
	case okA && okB && a.class() == b.class():
		if a.Equal(b) {
			return "", "", true
		}
		return "'" + b.text() + "'", "'" + a.text() + "'", false
	}
	return described(b, okB), described(a, okA), false
}

func described(v Value, ok bool) string {
	if !ok {
		return "none"
	}
	return fmt.Sprintf("the value '%s' of type '%s'", v.text(), v.typeName())
}

// typeNames are what RabbitMQ calls the types.
var typeNames = map[byte]string{
	TypeBool: "bool", TypeInt8: "byte", TypeUint8: "unsignedbyte", TypeInt16: "short", TypeUint16: "unsignedshort",
	TypeInt32: "signedint", TypeUint32: "unsignedint", TypeInt64: "long", TypeInt64Old: "long", TypeFloat: "float",
	TypeDouble: "double", TypeDecimal: "decimal", TypeText: "longstr", TypeArray: "array", TypeTimestamp: "timestamp",
	TypeTable: "table", TypeVoid: "void", TypeBytes: "binary",
}

func (v Value) typeName() string { return typeNames[v.Type] }

// class returns what types have in common that are compared by value.
func (v Value) class() string {
	if _, ok := v.Integer(); ok && v.Type != TypeTimestamp {
		return "int"
	}
	if _, ok := v.Float(); ok && v.Type != TypeTimestamp {
		return "float"
	}
	return v.typeName()
}

// text writes a value for people.
func (v Value) text() string {
	if s, ok := v.Text(); ok {
		return s
	}
	if n, ok := v.Integer(); ok {
		return strconv.FormatInt(n, 10)
	}
	if f, ok := v.Float(); ok {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	if b, ok := v.Bool(); ok {
		return strconv.FormatBool(b)
	}
	if v.Type == TypeVoid {
		return "undefined"
	}
	return hex.EncodeToString(v.Data)
}
