package amqp

import (
	"testing"

	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// FuzzSession feeds a connection whatever bytes a client may send, whole and cut
// in two: it must neither panic nor take more than there is, and what it had with
// the broker must end with it.
func FuzzSession(f *testing.F) {
	srv := server(f, openBroker(f), nil)
	login := []byte(wire.ProtocolHeader)
	for _, m := range []wire.Method{
		&wire.ConnectionStartOk{Mechanism: []byte("PLAIN"), Response: []byte("\x00guest\x00guest"), Locale: []byte("en_US")},
		&wire.ConnectionTuneOk{ChannelMax: offerChannelMax, FrameMax: offerFrameMax, Heartbeat: offerHeartbeat},
		&wire.ConnectionOpen{VirtualHost: []byte("/")},
	} {
		login = wire.AppendMethod(login, 0, m)
	}
	work := wire.AppendMethod(nil, 1, &wire.ChannelOpen{})
	for _, m := range []wire.Method{
		&wire.QueueDeclare{Queue: []byte("q"), Exclusive: true, Arguments: wire.Table(nil).AppendInt("x-max-priority", 5)},
		&wire.ExchangeDeclare{Exchange: []byte("x"), Type: []byte("topic")},
		&wire.QueueBind{Queue: []byte("q"), Exchange: []byte("x"), RoutingKey: []byte("a.#")},
		&wire.ConfirmSelect{},
		&wire.BasicQos{PrefetchCount: 10},
		&wire.BasicConsume{Queue: []byte("q"), ConsumerTag: []byte("c")},
	} {
		work = wire.AppendMethod(work, 1, m)
	}
	props := wire.Properties{Flags: wire.HasHeaders | wire.HasPriority, Priority: 3, Headers: wire.Table(nil).AppendString("k", "v")}
	work = append(work, message0(1, &wire.BasicPublish{Exchange: []byte("x"), RoutingKey: []byte("a.b"), Mandatory: true}, props, "body")...)
	for _, m := range []wire.Method{
		&wire.BasicAck{DeliveryTag: 1}, &wire.BasicNack{Multiple: true}, &wire.BasicGet{Queue: []byte("q")}, &wire.QueuePurge{Queue: []byte("q")},
		&wire.BasicCancel{ConsumerTag: []byte("c")}, &wire.QueueDelete{Queue: []byte("q")}, &wire.ChannelClose{},
	} {
		work = wire.AppendMethod(work, 1, m)
	}
	f.Add(work, uint16(40))
	f.Add(wire.AppendHeartbeat(work[:len(work)/2]), uint16(7))
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		s := newSession(srv, "127.0.0.1:1", true)
		s.blocking, s.breathe = func() bool { return false }, func() bool { return true }
		defer s.end()
		if n, _, err := s.feed(login); err != nil || n != len(login) {
			t.Fatal("the login is refused", n, err)
		}
		taken := 0
		for _, end := range []int{min(int(cut), len(b)), len(b)} {
			n, _, err := s.feed(b[taken:end])
			s.endBurst()
			s.runPosted()
			if n > end-taken {
				t.Fatalf("%d of %d bytes were taken", n, end-taken)
			}
			if taken += n; err != nil {
				return
			}
			s.out.take(nil)
		}
	})
}
