package amqp

import "github.com/polylog-mq/polylog/internal/protocol/amqp/wire"

// channel.close: what is not acknowledged goes back before it is answered, so
// that the next method, on whatever channel, finds it there.
func channelClose(ch *channel, _ *wire.ChannelClose) error {
	ch.settled()
	ch.shut()
	ch.forget(ch)
	ch.reply(&wire.ChannelCloseOk{})
	return nil
}

// channel.close-ok on a channel that was not closed means nothing.
func channelCloseOk(*channel, *wire.ChannelCloseOk) error { return nil }

// channel.flow: stopping the server's deliveries is refused, as RabbitMQ does;
// basic.qos is for that.
func channelFlow(ch *channel, m *wire.ChannelFlow) error {
	if !m.Active {
		return refuse(codeNotImplemented, "active=false")
	}
	ch.reply(&wire.ChannelFlowOk{Active: true})
	return nil
}

func channelFlowOk(*channel, *wire.ChannelFlowOk) error { return nil }

// access.request is from AMQP 0-8; tickets mean nothing.
func accessRequest(ch *channel, _ *wire.AccessRequest) error {
	ch.reply(&wire.AccessRequestOk{Ticket: 1})
	return nil
}
