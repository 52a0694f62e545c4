package amqp

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// BenchmarkPublishInTurn publishes to queues in turn, with confirms, in bursts as
// large as the read buffer. cpu-ns/msg is the processor time of everything: the
// session, the broker, the store in memory.
func BenchmarkPublishInTurn(b *testing.B) {
	for _, queues := range []int{1, 10, 1000} {
		b.Run(fmt.Sprint(queues, " queues"), func(b *testing.B) {
			p := open(b, server(b, openBroker(b), nil))
			p.channel(1)
			for i := range queues {
				p.send(1, &wire.QueueDeclare{Queue: fmt.Append(nil, "q", i), Durable: true})
				expect[wire.QueueDeclareOk](p, 1)
			}
			p.send(1, &wire.ConfirmSelect{})
			expect[wire.ConfirmSelectOk](p, 1)
			var burst []byte
			n := 0
			for i := 0; len(burst) < maxReadBuffer-256; i++ {
				m := &wire.BasicPublish{RoutingKey: fmt.Append(nil, "q", i%queues)}
				burst = append(burst, message0(1, m, wire.Properties{}, "twelve bytes")...)
				n++
			}
			var before, after syscall.Rusage
			if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			published := 0
			for ; published < b.N; published += n {
				p.raw(burst)
				for p.s.crowded() {
					p.s.settled()
				}
				p.s.out.take(nil)
			}
			p.s.settled()
			b.StopTimer()
			if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
				b.Fatal(err)
			}
			cpu := after.Utime.Nano() - before.Utime.Nano() + after.Stime.Nano() - before.Stime.Nano()
			b.ReportMetric(float64(cpu)/float64(published), "cpu-ns/msg")
			b.ReportMetric(0, "ns/op")
		})
	}
}
