package amqp

import (
	"fmt"
	"testing"

	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// TestExchangesThatChoose: of two queues each message reaches one; which of them
// is left to chance, or depends on what the exchange hashes and on nothing else.
func TestExchangesThatChoose(t *testing.T) {
	for _, c := range []struct {
		kind   string
		args   wire.Table
		props  func(i int) wire.Properties
		chance bool // the same message may go elsewhere
	}{
		{"x-random", nil, nil, true},
		{"x-local-random", nil, nil, true},
		{"x-modulus-hash", nil, nil, false},
		{"x-consistent-hash", nil, nil, false},
		{"x-consistent-hash", wire.Table(nil).AppendString("hash-property", "message_id"), func(i int) wire.Properties {
			return wire.Properties{Flags: wire.HasMessageID, MessageID: fmt.Append(nil, i)}
		}, false},
		{"x-consistent-hash", wire.Table(nil).AppendString("hash-property", "correlation_id"), func(i int) wire.Properties {
			return wire.Properties{Flags: wire.HasCorrelationID, CorrelationID: fmt.Append(nil, i)}
		}, false},
		{"x-consistent-hash", wire.Table(nil).AppendString("hash-property", "timestamp"), func(i int) wire.Properties {
			return wire.Properties{Flags: wire.HasTimestamp, Timestamp: uint64(i)}
		}, false},
		{"x-consistent-hash", wire.Table(nil).AppendString("hash-header", "h"), func(i int) wire.Properties {
			return wire.Properties{Flags: wire.HasHeaders, Headers: wire.Table(nil).AppendInt("h", int64(i))}
		}, false},
	} {
		s := server(t, openBroker(t), nil)
		p := open(t, s)
		p.channel(1)
		p.send(1, &wire.ExchangeDeclare{Exchange: []byte("x"), Type: []byte(c.kind), Arguments: c.args})
		expect[wire.ExchangeDeclareOk](p, 1)
		for _, q := range []string{"q1", "q2"} {
			p.queue(1, wire.QueueDeclare{Queue: []byte(q)})
			p.send(1, &wire.QueueBind{Queue: []byte(q), Exchange: []byte("x"), RoutingKey: []byte("1")})
			expect[wire.QueueBindOk](p, 1)
		}
		const n = 64
		publish := func() (counts [2]int64) {
			for i := range n {
				m := &wire.BasicPublish{Exchange: []byte("x"), RoutingKey: fmt.Append(nil, i)}
				props := wire.Properties{}
				if c.props != nil {
					m.RoutingKey, props = []byte("k"), c.props(i)
				}
				p.publish(1, m, props, "")
			}
			for i, q := range []string{"q1", "q2"} {
				p.send(1, &wire.QueuePurge{Queue: []byte(q)})
				counts[i] = int64(expect[wire.QueuePurgeOk](p, 1).MessageCount)
			}
			return counts
		}
		first, second := publish(), publish()
		if first[0] < 8 || first[1] < 8 || first[0]+first[1] != n || second[0]+second[1] != n {
			t.Errorf("%s %q: %v, then %v", c.kind, c.args, first, second)
		}
		if !c.chance && first != second {
			t.Errorf("%s %q: %v, and %v the second time", c.kind, c.args, first, second)
		}
	}
}
