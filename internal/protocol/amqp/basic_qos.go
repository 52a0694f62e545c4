package amqp

import "github.com/polylog-mq/polylog/internal/protocol/amqp/wire"

// basic.qos. As in RabbitMQ, global=false is for each consumer that starts on
// the channel afterwards, global=true for all of the channel together, at once.
// Both hold beside each other. A limit in bytes is refused (540).
func basicQos(ch *channel, m *wire.BasicQos) error {
	if m.PrefetchSize != 0 {
		return refuse(codeNotImplemented, "prefetch_size!=0 (%d)", m.PrefetchSize)
	}
	if m.Global {
		ch.mu.Lock()
		ch.limit = int(m.PrefetchCount)
		ch.releaseHeldLocked()
		for _, c := range ch.consumers {
			c.retractLocked()
			c.thirstyLocked()
		}
		ch.mu.Unlock()
		ch.touch()
	} else {
		ch.prefetch = int(m.PrefetchCount)
	}
	ch.reply(&wire.BasicQosOk{})
	return nil
}
