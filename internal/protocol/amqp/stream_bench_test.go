package amqp

import (
	"testing"

	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// BenchmarkStreamRead reads a stream from the beginning, with cumulative acks. Most
// of its time is the reading peer's.
func BenchmarkStreamRead(b *testing.B) {
	p := open(b, server(b, openBroker(b), nil))
	p.channel(1)
	p.stream(1, "s", nil)
	body := string(make([]byte, 100))
	const stored = 20_000
	for range stored / 1000 {
		var burst []byte
		for range 1000 {
			burst = append(burst, message0(1, &wire.BasicPublish{RoutingKey: []byte("s")}, wire.Properties{Flags: wire.HasDeliveryMode, DeliveryMode: 2}, body)...)
		}
		p.raw(burst)
	}
	p.sync(1)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	b.ResetTimer()
	for left := b.N; left > 0; left -= stored {
		p.channel(2)
		p.read(2, "s", 1000, from("first"))
		for i := range min(left, stored) {
			expect[wire.BasicDeliver](p, 2)
			p.content(2)
			if i%500 == 499 {
				p.send(2, &wire.BasicAck{DeliveryTag: uint64(i + 1), Multiple: true})
			}
		}
		b.StopTimer()
		p.s.channels[2].shut()
		p.s.forget(p.s.channels[2])
		for ok := true; ok; {
			_, ok = p.next(false)
		}
		b.StartTimer()
	}
}
