package amqp

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// TestPackingKeepsOrder: whatever queues the messages of a burst go to, alone or
// together, each queue has its own in the order of the publishes, and all are
// confirmed, in order.
func TestPackingKeepsOrder(t *testing.T) {
	p := open(t, server(t, openBroker(t), nil))
	p.channel(1)
	keys := [][]int{{0}, {1}, {2}, {0, 1}, {1, 2}, {0, 1, 2}} // which queues each key leads to
	for q := range 3 {
		p.send(1, &wire.QueueDeclare{Queue: fmt.Append(nil, "q", q)})
		expect[wire.QueueDeclareOk](p, 1)
	}
	for k, queues := range keys {
		for _, q := range queues {
			p.send(1, &wire.QueueBind{Queue: fmt.Append(nil, "q", q), Exchange: []byte("amq.direct"), RoutingKey: fmt.Append(nil, k)})
			expect[wire.QueueBindOk](p, 1)
		}
	}
	p.send(1, &wire.ConfirmSelect{})
	expect[wire.ConfirmSelectOk](p, 1)
	r := rand.New(rand.NewPCG(3, 4))
	want := make([][]int, 3)
	for n := 0; n < 3000; {
		var burst []byte
		for range 1 + r.IntN(200) {
			k := r.IntN(len(keys) + 1) // the last leads nowhere
			props := wire.Properties{}
			if r.IntN(5) == 0 { // what lives for another time is another batch
				props.Flags, props.Expiration = wire.HasExpiration, []byte("900000")
			}
			m := &wire.BasicPublish{Exchange: []byte("amq.direct"), RoutingKey: fmt.Append(nil, k)}
			burst = append(burst, message0(1, m, props, strconv.Itoa(n))...)
			for q := 0; k < len(keys) && q < len(keys[k]); q++ {
				want[keys[k][q]] = append(want[keys[k][q]], n)
			}
			n++
		}
		p.raw(burst)
		for told := uint64(0); told < uint64(n); {
			m := expect[wire.BasicAck](p, 1)
			if m.DeliveryTag <= told {
				t.Fatalf("%d is confirmed after %d", m.DeliveryTag, told)
			}
			told = m.DeliveryTag
		}
	}
	for q := range want {
		for _, n := range want[q] {
			p.send(1, &wire.BasicGet{Queue: fmt.Append(nil, "q", q), NoAck: true})
			expect[wire.BasicGetOk](p, 1)
			if _, body := p.content(1); body != strconv.Itoa(n) {
				t.Fatalf("queue %d has %s instead of %d", q, body, n)
			}
		}
	}
}
