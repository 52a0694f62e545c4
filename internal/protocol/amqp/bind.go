package amqp

import (
	"errors"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// exchange.bind, exchange.unbind, queue.bind, queue.unbind. A binding that
// exists, and one that is to go and does not exist, are no errors.

func exchangeBind(ch *channel, m *wire.ExchangeBind) error {
	x, err := ch.exchangeBinding(cleanName(m.Destination), cleanName(m.Source), m.RoutingKey, m.Arguments)
	if err == nil {
		err = ch.bind(x)
	}
	if err == nil && !m.NoWait {
		ch.reply(&wire.ExchangeBindOk{})
	}
	return err
}

func exchangeUnbind(ch *channel, m *wire.ExchangeUnbind) error {
	x, err := ch.exchangeBinding(cleanName(m.Destination), cleanName(m.Source), m.RoutingKey, m.Arguments)
	if err == nil {
		err = ch.unbind(x)
	}
	if err == nil && !m.NoWait {
		ch.reply(&wire.ExchangeUnbindOk{})
	}
	return err
}

func (ch *channel) exchangeBinding(destination, source string, key []byte, args wire.Table) (*broker.Binding, error) {
	if err := ch.allows(access.Produce, access.Exchange, destination); err != nil {
		return nil, err
	}
	if err := ch.allows(access.Consume, access.Exchange, source); err != nil {
		return nil, err
	}
	if err := errors.Join(notDefault(destination), notDefault(source), ch.allowsKey(access.Consume, source, string(key))); err != nil {
		return nil, err
	}
	return &broker.Binding{
		Tenant: ch.tenant, Source: source, Destination: destination, ToExchange: true, Key: string(key),
		Arguments: append(broker.Table(nil), args...),
	}, nil
}

func queueBind(ch *channel, m *wire.QueueBind) error {
	x, err := ch.queueBinding(m.Queue, cleanName(m.Exchange), m.RoutingKey, m.Arguments)
	if err == nil {
		err = ch.bind(x)
	}
	if err == nil && !m.NoWait {
		ch.reply(&wire.QueueBindOk{})
	}
	return err
}

func queueUnbind(ch *channel, m *wire.QueueUnbind) error {
	x, err := ch.queueBinding(m.Queue, cleanName(m.Exchange), m.RoutingKey, m.Arguments)
	if err == nil {
		err = ch.unbind(x)
	}
	if err == nil {
		ch.reply(&wire.QueueUnbindOk{})
	}
	return err
}

func (ch *channel) queueBinding(queue []byte, exchange string, key []byte, args wire.Table) (*broker.Binding, error) {
	name, err := ch.queueName(queue)
	if err != nil {
		return nil, err
	}
	if len(queue) == 0 && len(key) == 0 {
		key = []byte(name) // AMQP 0-9-1, queue.bind: both left out
	}
	if err := ch.allows(access.Produce, access.Topic, name); err != nil {
		return nil, err
	}
	if err := ch.allows(access.Consume, access.Exchange, exchange); err != nil {
		return nil, err
	}
	if err := errors.Join(notDefault(exchange), ch.allowsKey(access.Consume, exchange, string(key))); err != nil {
		return nil, err
	}
	return &broker.Binding{
		Tenant: ch.tenant, Source: exchange, Destination: name, Key: string(key),
		Arguments: append(broker.Table(nil), args...),
	}, nil
}

// bind adds a binding.
func (ch *channel) bind(x *broker.Binding) error {
	var err error
	ch.ask(func(done func()) {
		ch.server.opts.Broker.Bind(x, ch.owner, func(e error) { err = e; done() })
	})
	return ch.bindingError(x, err)
}

// unbind takes a binding away.
func (ch *channel) unbind(x *broker.Binding) error {
	ch.settled()
	var err error
	ch.ask(func(done func()) {
		ch.server.opts.Broker.Unbind(x, ch.owner, func(e error) { err = e; done() })
	})
	if errors.Is(err, broker.ErrUnknownExchange) || errors.Is(err, broker.ErrUnknownQueue) {
		return nil // nothing of it is bound
	}
	return ch.bindingError(x, err)
}

func (ch *channel) bindingError(x *broker.Binding, err error) error {
	if errors.Is(err, broker.ErrLocked) {
		return locked(x.Destination, ch.tenant)
	}
	return err
}
