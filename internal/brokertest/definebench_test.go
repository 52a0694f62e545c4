package brokertest

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/broker"
)

// BenchmarkDeclare declares queues and binds them, a thousand at a time, in a node
// that has so many already.
func BenchmarkDeclare(b *testing.B) {
	for _, have := range []int{0, 10_000} {
		b.Run(fmt.Sprint(have), func(b *testing.B) {
			n := Start(b, Options{FS: vfs.NewMem(), Broker: func(o *broker.Options) { o.InFlight = 1 << 30 }})
			next := 0
			declare := func(count int) {
				for range count {
					name := fmt.Sprintf("q%d", next)
					next++
					n.DeclareQueue(&broker.QueueSpec{Name: name, Durable: true, Settings: broker.DefaultQueueSettings()},
						func(_ *broker.Queue, _ bool, err error) {
							if err != nil {
								b.Fatal(err)
							}
						})
					n.Bind(&broker.Binding{Source: "amq.topic", Destination: name, Key: name + ".#"}, nil, func(err error) {
						if err != nil {
							b.Fatal(err)
						}
					})
				}
				n.Settle()
			}
			for next < have {
				declare(1000)
			}
			b.ReportAllocs()
			for b.Loop() {
				declare(1000)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "us/queue")
		})
	}
}
