package amqp

import (
	"testing"

	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// TestCounts sends messages all ways there are and looks at what was counted.
func TestCounts(t *testing.T) {
	s := server(t, openBroker(t), nil)
	p := open(t, s)
	p.channel(1)
	for _, name := range []string{"q", "r"} {
		p.send(1, &wire.QueueDeclare{Queue: []byte(name)})
		expect[wire.QueueDeclareOk](p, 1)
		p.send(1, &wire.QueueBind{Queue: []byte(name), Exchange: []byte("amq.fanout")})
		expect[wire.QueueBindOk](p, 1)
	}
	none := wire.Properties{}
	p.publish(1, &wire.BasicPublish{RoutingKey: []byte("nowhere")}, none, "dropped")
	p.send(1, &wire.ConfirmSelect{})
	expect[wire.ConfirmSelectOk](p, 1)
	p.publish(1, &wire.BasicPublish{Exchange: []byte("amq.fanout")}, none, "to both")
	expect[wire.BasicAck](p, 1)

	get := func(queue string, noAck bool) uint64 {
		p.send(1, &wire.BasicGet{Queue: []byte(queue), NoAck: noAck})
		m := expect[wire.BasicGetOk](p, 1)
		p.next(true)
		p.next(true)
		return m.DeliveryTag
	}
	get("r", true)
	p.send(1, &wire.BasicGet{Queue: []byte("r")})
	expect[wire.BasicGetEmpty](p, 1)
	p.send(1, &wire.BasicReject{DeliveryTag: get("q", false), Requeue: true})
	p.send(1, &wire.BasicAck{DeliveryTag: get("q", false)})
	p.send(1, &wire.ChannelClose{})
	expect[wire.ChannelCloseOk](p, 1)
	p.channel(2)

	want := Counts{
		Received: 2, ReceivedConfirm: 1, Routed: 2, Confirmed: 1, Dropped: 1, GotManual: 2, GotAuto: 1, GotNothing: 1,
		Redelivered: 1, Acknowledged: 1, Declared: 2,
		Connections: 1, ConnectionsOpened: 1, Channels: 1, ChannelsOpened: 2, ChannelsClosed: 1,
	}
	if got := s.Counts(); got != want {
		t.Errorf("counted\n%+v, want\n%+v", got, want)
	}
}
