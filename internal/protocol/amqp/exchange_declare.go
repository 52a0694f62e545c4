package amqp

import (
	"errors"
	"strings"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// exchange.declare. Types: direct, fanout, topic, headers, x-delayed-message,
// x-consistent-hash, x-random, x-local-random, x-modulus-hash. Arguments:
// alternate-exchange, x-delayed-type, hash-header, hash-property; others are kept
// and mean nothing, as in RabbitMQ.
func exchangeDeclare(ch *channel, m *wire.ExchangeDeclare) error {
	name := cleanName(m.Exchange)
	if err := ch.allows(access.Create, access.Exchange, name); err != nil {
		return err
	}
	if m.Passive {
		if err := notDefault(name); err != nil {
			return err
		}
		if ch.server.opts.Broker.Exchange(ch.tenant, name) == nil {
			return noExchange(name, ch.tenant)
		}
		return ch.declared(m.NoWait)
	}
	if err := notDefault(name); err != nil {
		return err
	}
	kind := string(m.Type)
	if ch.server.opts.Broker.Exchange(ch.tenant, name) == nil && strings.HasPrefix(name, reservedPrefix) {
		return refuse(codeAccessRefused, "exchange name '%s' contains reserved prefix 'amq.*'", name)
	}
	if err := ch.allowsAlternate(name, m.Arguments); err != nil {
		return err
	}
	spec := &broker.ExchangeSpec{
		Tenant: ch.tenant, Name: name, Type: kind,
		Durable: m.Durable, AutoDelete: m.AutoDelete, Internal: m.Internal,
		Arguments: append(broker.Table(nil), m.Arguments...),
	}
	var err error
	ch.ask(func(done func()) {
		ch.server.opts.Broker.DeclareExchange(spec, func(_ bool, e error) { err = e; done() })
	})
	switch {
	case errors.Is(err, broker.ErrUnknownExchangeType):
		return refuse(codePreconditionFailed, "unknown exchange type '%s'", kind)
	case err != nil:
		return err
	}
	return ch.declared(m.NoWait)
}

func (ch *channel) declared(noWait bool) error {
	if !noWait {
		ch.reply(&wire.ExchangeDeclareOk{})
	}
	return nil
}

// allowsAlternate asks for what an alternate exchange needs.
func (ch *channel) allowsAlternate(name string, args wire.Table) error {
	v, ok := args.Get("alternate-exchange")
	if !ok {
		return nil
	}
	alternate, ok := v.Str()
	if !ok {
		return refuse(codePreconditionFailed, "invalid type '%s' for arg 'alternate-exchange' in exchange '%s' in vhost '%s'",
			typeName(v.Tag), name, ch.tenant)
	}
	if err := ch.allows(access.Consume, access.Exchange, name); err != nil {
		return err
	}
	return ch.allows(access.Produce, access.Exchange, string(alternate))
}

// reservedPrefix begins the names that only the server gives.
const reservedPrefix = "amq."

// notDefault refuses the default exchange.
func notDefault(name string) error {
	if name == "" {
		return refuse(codeAccessRefused, "operation not permitted on the default exchange")
	}
	return nil
}
