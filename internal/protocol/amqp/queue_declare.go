package amqp

import (
	"errors"
	"fmt"
	"strings"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// queue.declare. What the arguments mean is in arguments.go.
func queueDeclare(ch *channel, m *wire.QueueDeclare) error {
	name := cleanName(m.Queue)
	if name == replyQueue || isReplyAddress(name) {
		return ch.declareReplies(name, m.NoWait)
	}
	if m.Passive {
		return ch.declarePassively(name, m.NoWait)
	}
	if name == "" {
		name = serverName("amq.gen-")
	} else if strings.HasPrefix(name, reservedPrefix) && len(ch.server.opts.Broker.QueuesOf(ch.tenant, name)) == 0 {
		return refuse(codeAccessRefused, "queue name '%s' contains reserved prefix 'amq.*'", name)
	}
	where := fmt.Sprintf("queue '%s' in vhost '%s'", name, ch.tenant)
	settings, refusal := queueSettings(m, where)
	kind := queueType(m.Arguments)
	switch dlx, _ := m.Arguments.Get("x-dead-letter-exchange"); {
	case len(m.Queue) == 0 && kind != typeClassic:
		return refuse(codePreconditionFailed, "Cannot declare a server-named queue for type rabbit_%s_queue", kind)
	case kind != typeStream && dlx.Tag != 0 && dlx.Tag != wire.TagString:
		return refuse(codePreconditionFailed, "invalid type '%s' for arg 'x-dead-letter-exchange' in %s", typeName(dlx.Tag), where)
	}
	if err := ch.allowsDeclare(name, settings); err != nil {
		return err
	}
	spec := &broker.QueueSpec{
		Tenant: ch.tenant, Name: name, Durable: m.Durable && !m.Exclusive, AutoDelete: m.AutoDelete,
		Arguments: append(broker.Table(nil), m.Arguments...), Settings: *settings, Refusal: refusal,
	}
	if m.Exclusive {
		spec.Exclusive = ch.exclusive()
	}
	ch.settled()
	var q *broker.Queue
	var err error
	ch.ask(func(done func()) {
		ch.server.opts.Broker.DeclareQueue(spec, func(x *broker.Queue, _ bool, e error) { q, err = x, e; done() })
	})
	switch {
	case errors.Is(err, broker.ErrLocked):
		return locked(name, ch.tenant)
	case err != nil:
		return err
	}
	ch.queueDeclared(q.Name(), m.NoWait)
	return nil
}

// queueSettings returns what a declaration asks of the engine, and why there can be
// no such queue, if so: a queue that is there is compared all the same.
func queueSettings(m *wire.QueueDeclare, where string) (*broker.QueueSettings, error) {
	settings, err := settingsOf(m.Arguments, where)
	kind := queueType(m.Arguments)
	switch {
	case err != nil:
		none := broker.DefaultQueueSettings()
		return &none, err
	case kind == typeStream && m.AutoDelete:
		return settings, refuse(codePreconditionFailed, "invalid property 'auto-delete' for %s", where)
	case kind != typeClassic && m.Exclusive:
		return settings, refuse(codePreconditionFailed, "invalid property 'exclusive-owner' for %s", where)
	case kind != typeClassic && !m.Durable:
		return settings, refuse(codePreconditionFailed, "invalid property 'non-durable' for %s", where)
	}
	return settings, nil
}

// declarePassively asks whether a queue exists.
func (ch *channel) declarePassively(name string, noWait bool) error {
	if err := ch.allows(access.Describe, access.Topic, name); err != nil {
		return err
	}
	ch.settled()
	if _, err := ch.queues(name); err != nil {
		return err
	}
	ch.queueDeclared(name, noWait)
	return nil
}

// queueDeclared answers queue.declare.
func (ch *channel) queueDeclared(name string, noWait bool) {
	ch.lastQueue = name
	ch.tally.count(declared)
	if noWait {
		return
	}
	// A consumer of a topic consumes every partition of it.
	queues := ch.server.opts.Broker.QueuesOf(ch.tenant, name)
	consumers := int64(0)
	for _, q := range queues {
		consumers = max(consumers, q.Stats().Consumers)
	}
	ch.reply(&wire.QueueDeclareOk{Queue: []byte(name), MessageCount: uint32(readyIn(queues...)), ConsumerCount: uint32(consumers)})
}

// allowsDeclare asks for what declaring a queue needs.
func (ch *channel) allowsDeclare(name string, s *broker.QueueSettings) error {
	if err := ch.allows(access.Create, access.Topic, name); err != nil {
		return err
	}
	if !s.DeadLetter {
		return nil
	}
	if err := ch.allows(access.Consume, access.Topic, name); err != nil {
		return err
	}
	return ch.allows(access.Produce, access.Exchange, s.DeadLetterExchange)
}
