package amqp

import (
	"errors"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// basic.get takes one message. It is not counted against any prefetch.
func basicGet(ch *channel, m *wire.BasicGet) error {
	name, err := ch.queueName(m.Queue)
	if err != nil {
		return err
	}
	if err := ch.allows(access.Consume, access.Topic, name); err != nil {
		return err
	}
	ch.settled()
	queues, err := ch.queues(name)
	if err != nil {
		return err
	}
	if queues[0].IsStream() {
		return notOfStreams("basic.get", queues[0])
	}
	err = ch.getFrom(queues, m.NoAck)
	if errors.Is(err, broker.ErrUnknownQueue) {
		return noQueue(name, ch.tenant)
	}
	return err
}

// got answers basic.get, on a shard's loop.
func (ch *channel) got(q *broker.Queue, d *broker.Delivery, remaining int64, noAck bool) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if noAck {
		ch.tally.count(gotAuto)
	} else {
		ch.tally.count(gotManual)
	}
	if d.Redelivered {
		ch.tally.count(redelivered)
	}
	tag := ch.unacked.add(delivery{lease: d.Lease, live: !noAck})
	var convert converter
	msg := convert.delivered(d, q)
	ch.traceDelivery(q, &msg, d.Redelivered)
	m := wire.BasicGetOk{
		DeliveryTag: tag, Redelivered: d.Redelivered, Exchange: msg.exchange, RoutingKey: msg.key,
		MessageCount: uint32(remaining),
	}
	ch.out.append(func(b []byte) []byte {
		b = wire.AppendMethod(b, ch.number, &m)
		b = wire.AppendRawContentHeader(b, ch.number, uint64(len(msg.body)), msg.properties)
		return wire.AppendBody(b, ch.number, msg.body, ch.frameMax)
	})
}
