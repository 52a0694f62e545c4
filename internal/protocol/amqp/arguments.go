package amqp

import (
	"fmt"
	"math"
	"slices"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
	"github.com/polylog-mq/polylog/internal/state/lease"
)

// argument is a row of the table of arguments of queue.declare.
type argument struct {
	name string
	// values says what may be given, means what comes of it, both for the
	// documentation that is generated from the table.
	values, means string
	// apply judges the value and puts it into the settings.
	apply func(d *declaration, v wire.Value) error
}

// declaration is what the arguments of a declaration add up to.
type declaration struct {
	broker.QueueSettings
	quorum bool
	keySet bool
	// tooLong says that the segments of a stream are to be longer than they can be.
	tooLong bool
}

// arguments is the table. An argument that is not in it is kept, compared with
// nothing and means nothing, as in RabbitMQ.
var arguments = []argument{
	{
		"x-message-ttl", "integer, 0 to 10 years in ms", "messages expire when they reach the head that old",
		integer(0, lease.MaxTime, func(d *declaration, n int64) { d.MessageTTL = n }),
	},
	{
		"x-expires", "integer, 1 to 10 years in ms", "the queue goes when it is idle for that long",
		integer(1, lease.MaxTime, func(d *declaration, n int64) { d.Expires = n }),
	},
	{
		"x-max-length", "integer, not negative", "limit of ready messages",
		integer(0, math.MaxInt64, func(d *declaration, n int64) { d.MaxLength = n }),
	},
	{
		"x-max-length-bytes", "integer, not negative", "limit of the bodies of ready messages together",
		integer(0, math.MaxInt64, func(d *declaration, n int64) { d.MaxBytes = n }),
	},
	{
		"x-overflow", "`drop-head`, `reject-publish`, `reject-publish-dlx`", "what happens beyond a limit",
		oneOf("", map[string]func(*declaration){
			"drop-head":          func(d *declaration) { d.Overflow = broker.DropHead },
			"reject-publish":     func(d *declaration) { d.Overflow = broker.RejectPublish },
			"reject-publish-dlx": func(d *declaration) { d.Overflow = broker.RejectPublishDeadLetter },
		}),
	},
	{
		"x-dead-letter-exchange", "string", "where messages go that die",
		text(func(d *declaration, s string) { d.DeadLetter, d.DeadLetterExchange = true, s }),
	},
	{
		"x-dead-letter-routing-key", "string, with an exchange", "the key that they go with, else their own",
		text(func(d *declaration, s string) { d.keySet, d.DeadLetterKey = true, s }),
	},
	{
		"x-dead-letter-strategy", "`at-most-once`, `at-least-once`", "dead letters are never lost, whatever is said",
		oneOf("dead letter strategy", map[string]func(*declaration){"at-most-once": nil, "at-least-once": nil}),
	},
	{
		"x-max-priority", "integer, 0 to 255", "number of priority levels above 0",
		integer(0, math.MaxUint8, func(d *declaration, n int64) { d.MaxPriority = uint8(n) }),
	},
	{
		"x-single-active-consumer", "boolean", "one consumer at a time is served",
		boolean(func(d *declaration, on bool) { d.SingleActive = on }),
	},
	{
		"x-delivery-limit", "integer", "after that many returns a message dies; negative: never",
		integer(math.MinInt64, math.MaxInt32, func(d *declaration, n int64) { d.DeliveryLimit = int32(max(n, -1)) }),
	},
	{
		"x-consumer-timeout", "integer, 0 to 10 years in ms", "how long a delivery may stay unacknowledged",
		integer(0, lease.MaxTime, func(d *declaration, n int64) { d.ConsumerTimeout = n }),
	},
	{
		"x-queue-type", "`classic`, `quorum`, `stream`", "`quorum`: the delivery limit is 20 unless given. `stream`: a log that is only read. All of them are replicated logs",
		oneOf("queue type", map[string]func(*declaration){"classic": nil, "quorum": func(d *declaration) { d.quorum = true }, typeStream: nil}),
	},
	{
		"x-max-age", "number and unit: `Y`, `M`, `D`, `h`, `m`, `s`", "of streams: how long messages are kept",
		func(_ *declaration, v wire.Value) error {
			s, ok := v.Str()
			if !ok {
				return fmt.Errorf("{unacceptable_type,%s}", typeName(v.Tag))
			}
			if _, ok = broker.ParseAge(string(s)); !ok {
				return errorText("invalid_max_age")
			}
			return nil
		},
	},
	{
		"x-stream-max-segment-size-bytes", "integer, 0 to 3,000,000,000", "of streams: retention removes whole segments; between 1 MiB and 2 GiB count",
		integer(0, math.MaxInt64, func(d *declaration, n int64) { d.tooLong = n > maxStreamSegment }),
	},
	{
		"x-stream-filter-size-bytes", "integer, 16 to 255", "nothing: filters are exact",
		integer(16, math.MaxUint8, nil),
	},
	{
		"x-initial-cluster-size", "integer, at least 1", "nothing: the number of replicas is the cluster's",
		integer(1, math.MaxInt64, nil),
	},
	{
		"x-queue-mode", "`default`, `lazy`", "nothing: messages are on the disk in any case",
		oneOf("queue mode", map[string]func(*declaration){"default": nil, "lazy": nil}),
	},
	{
		"x-queue-version", "1 or 2", "nothing: there is one way of storing",
		func(_ *declaration, v wire.Value) error {
			if n, ok := v.Int(); ok && n != 1 && n != 2 {
				return fmt.Errorf("\"unsupported queue version '%d'\"", n)
			}
			return nil
		},
	},
	{
		"x-queue-master-locator", "string", "nothing: placement is the cluster's business",
		text(nil),
	},
	{
		"x-queue-leader-locator", "`client-local`, `balanced` or one of their older names", "nothing, as above",
		func(_ *declaration, v wire.Value) error {
			if s, ok := v.Str(); ok && !slices.Contains(leaderLocators[:], string(s)) {
				return errorText("invalid_queue_locator_arg")
			}
			return text(nil)(nil, v)
		},
	},
	{
		"x-quorum-initial-group-size", "integer, at least 1", "nothing: the number of replicas is the cluster's",
		integer(1, math.MaxInt32, nil),
	},
}

// leaderLocators are the places that a leader can be asked to have.
var leaderLocators = [...]string{"client-local", "balanced", "random", "least-leaders"}

// The types of queues, in x-queue-type.
const (
	typeClassic = "classic"
	typeQuorum  = "quorum"
	typeStream  = "stream"
)

// notOf are the arguments that RabbitMQ refuses, by type of queue.
var notOf = map[string][]string{
	typeClassic: {"x-queue-leader-locator", "x-max-age", "x-stream-max-segment-size-bytes", "x-stream-filter-size-bytes", "x-initial-cluster-size"},
	typeQuorum: {
		"x-max-priority", "x-queue-mode", "x-queue-version", "x-queue-master-locator",
		"x-max-age", "x-stream-max-segment-size-bytes", "x-stream-filter-size-bytes", "x-initial-cluster-size",
	},
	typeStream: {
		"x-message-ttl", "x-expires", "x-max-length", "x-max-priority", "x-overflow", "x-dead-letter-exchange", "x-dead-letter-routing-key",
		"x-dead-letter-strategy", "x-single-active-consumer", "x-delivery-limit", "x-queue-mode", "x-queue-version", "x-queue-master-locator",
		"x-quorum-initial-group-size", "x-max-in-memory-length", "x-max-in-memory-bytes",
	},
}

// quorumDeliveryLimit is that of a quorum queue that does not say (RabbitMQ 4).
const quorumDeliveryLimit = 20

// settingsOf returns what a queue's arguments ask of the engine. where is the
// queue as errors call it, which are in RabbitMQ's words.
func settingsOf(args wire.Table, where string) (*broker.QueueSettings, error) {
	d := declaration{QueueSettings: broker.DefaultQueueSettings()}
	limit, kind := false, queueType(args)
	for name, v := range args.All() {
		if slices.Contains(notOf[kind], string(name)) {
			return nil, refuse(codePreconditionFailed, "invalid arg '%s' for %s of queue type rabbit_%s_queue", name, where, kind)
		}
		for i := range arguments {
			a := &arguments[i]
			if a.name != string(name) {
				continue
			}
			if err := a.apply(&d, v); err != nil {
				return nil, refuse(codePreconditionFailed, "invalid arg '%s' for %s: %v", name, where, err)
			}
			limit = limit || a.name == "x-delivery-limit"
		}
	}
	switch {
	case d.keySet && !d.DeadLetter:
		return nil, refuse(codePreconditionFailed,
			"invalid arg 'x-dead-letter-routing-key' for %s: routing_key_but_no_dlx_defined", where)
	case d.tooLong:
		return nil, refuse(codePreconditionFailed, "Exceeded max value for x-stream-max-segment-size-bytes")
	case d.quorum && !limit:
		d.DeliveryLimit = quorumDeliveryLimit
	}
	d.KeepKeys = d.DeadLetter && !d.keySet
	return &d.QueueSettings, nil
}

// queueType returns the type of queue that the arguments ask for.
func queueType(args wire.Table) string {
	v, _ := args.Get("x-queue-type")
	switch t := string(v.Raw); {
	case v.Tag == wire.TagString && (t == typeQuorum || t == typeStream):
		return t
	}
	return typeClassic
}

// errorText is an error in RabbitMQ's words.
type errorText string

// Error returns the text.
func (e errorText) Error() string { return string(e) }

// integer makes an apply of an integer in a range.
func integer(low, high int64, set func(*declaration, int64)) func(*declaration, wire.Value) error {
	return func(d *declaration, v wire.Value) error {
		n, ok := v.Int()
		switch {
		case !ok:
			return fmt.Errorf("\"expected integer, got %s\"", typeName(v.Tag))
		case n < low && n < 0:
			return fmt.Errorf("{value_negative,%d}", n)
		case n < low:
			return fmt.Errorf("{value_zero,%d}", n)
		case n > high && high == lease.MaxTime:
			return fmt.Errorf("{value_too_large,%d}", n)
		case n > high:
			return fmt.Errorf("{max_value_exceeded,%d}", n)
		}
		if set != nil {
			set(d, n)
		}
		return nil
	}
}

// text makes an apply of a string.
func text(set func(*declaration, string)) func(*declaration, wire.Value) error {
	return func(d *declaration, v wire.Value) error {
		s, ok := v.Str()
		switch {
		case !ok:
			return fmt.Errorf("{unacceptable_type,%s}", typeName(v.Tag))
		case len(s) > maxName:
			return fmt.Errorf("{too_long,%d}", len(s))
		}
		if set != nil {
			set(d, string(s))
		}
		return nil
	}
}

// oneOf makes an apply of a string out of a few; what says in errors what it is
// (nothing for an overflow, which RabbitMQ's tells otherwise).
func oneOf(what string, values map[string]func(*declaration)) func(*declaration, wire.Value) error {
	return func(d *declaration, v wire.Value) error {
		s, ok := v.Str()
		if !ok {
			return fmt.Errorf("{unacceptable_type,%s}", typeName(v.Tag))
		}
		set, ok := values[string(s)]
		switch {
		case !ok && what == "":
			return errorText("invalid_overflow")
		case !ok:
			return fmt.Errorf("\"unsupported %s '%s'\"", what, s)
		}
		if set != nil {
			set(d)
		}
		return nil
	}
}

// boolean makes an apply of a boolean.
func boolean(set func(*declaration, bool)) func(*declaration, wire.Value) error {
	return func(d *declaration, v wire.Value) error {
		b, ok := v.Bool()
		if !ok {
			return fmt.Errorf("{unacceptable_type,%s}", typeName(v.Tag))
		}
		set(d, b)
		return nil
	}
}

// typeName is RabbitMQ's name of a tag.
func typeName(tag byte) string {
	switch tag {
	case wire.TagBool:
		return "bool"
	case wire.TagInt8:
		return "byte"
	case wire.TagUint8:
		return "unsignedbyte"
	case wire.TagInt16:
		return "short"
	case wire.TagUint16:
		return "unsignedshort"
	case wire.TagInt32:
		return "signedint"
	case wire.TagUint32:
		return "unsignedint"
	case wire.TagInt64, wire.TagInt64Old:
		return "long"
	case wire.TagFloat:
		return "float"
	case wire.TagDouble:
		return "double"
	case wire.TagDecimal:
		return "decimal"
	case wire.TagString:
		return "longstr"
	case wire.TagBytes:
		return "binary"
	case wire.TagArray:
		return "array"
	case wire.TagTimestamp:
		return "timestamp"
	case wire.TagTable:
		return "table"
	}
	return "void"
}

// QueueSettings returns what the arguments of a queue's declaration ask of the
// engine, for those who declare by other ways than AMQP. where is the queue as
// the error calls it, which names the argument and what is wrong with it.
func QueueSettings(args broker.Table, where string) (*broker.QueueSettings, error) {
	s, err := settingsOf(wire.Table(args), where)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", broker.ErrInvalidArgument, faultOf(err).text)
	}
	return s, nil
}
