package amqp

import (
	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// basic.ack, basic.nack, basic.reject, basic.recover. Tag 0 with multiple is
// everything; any other tag that is not outstanding is refused (406). What is
// requeued goes to its old place in the order, with the redelivered flag.

func basicAck(ch *channel, args []byte) error {
	m := &ch.session.ack
	if err := m.Parse(args); err != nil {
		return err
	}
	return ch.settle(m.DeliveryTag, m.Multiple, broker.Accept)
}

func basicNack(ch *channel, m *wire.BasicNack) error {
	return ch.settle(m.DeliveryTag, m.Multiple, verdictOf(m.Requeue))
}

func basicReject(ch *channel, m *wire.BasicReject) error {
	return ch.settle(m.DeliveryTag, false, verdictOf(m.Requeue))
}

// verdictOf is what a nack means: an attempt that counts, or the end.
func verdictOf(requeue bool) broker.Verdict {
	if requeue {
		return broker.ReleaseCounted
	}
	return broker.Reject
}

func basicRecoverAsync(ch *channel, m *wire.BasicRecoverAsync) error {
	return ch.recover(m.Requeue, func() {})
}

func basicRecover(ch *channel, m *wire.BasicRecover) error {
	return ch.recover(m.Requeue, func() { ch.reply(&wire.BasicRecoverOk{}) })
}

// recover gives back everything that is not acknowledged. It is answered before
// that comes again, as in RabbitMQ.
func (ch *channel) recover(requeue bool, answer func()) error {
	if !requeue {
		return refuse(codeNotImplemented, "requeue=false")
	}
	if err := ch.settle(0, true, broker.Release); err != nil {
		return err
	}
	answer()
	ch.settled()
	return nil
}
