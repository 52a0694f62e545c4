package amqp

import (
	"strings"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

func TestGiveWay(t *testing.T) {
	c := &conn{gone: make(chan struct{})}
	asked := 0
	c.giveWay(func() bool { asked++; return asked < 3 })
	if asked != 3 {
		t.Errorf("it looked %d times at a queue that was behind twice", asked)
	}
	asked = 0
	c.giveWay(func() bool { asked++; return true })
	if asked != giveWaySteps {
		t.Errorf("it looked %d times at a queue that stays behind", asked)
	}
	asked = 0
	close(c.gone)
	c.giveWay(func() bool { asked++; return true })
	if asked >= giveWaySteps {
		t.Error("it does not end with the connection")
	}
}

// pair opens a connection that publishes, with a channel, and one that consumes
// the queue q.
func pair(t *testing.T, prefetch uint16, consume *wire.BasicConsume) (publisher, consumer *peer) {
	t.Helper()
	s := server(t, openBroker(t), nil)
	publisher, consumer = open(t, s), open(t, s)
	publisher.channel(1)
	consumer.channel(1)
	consumer.send(1, &wire.QueueDeclare{Queue: []byte("q"), Durable: true})
	expect[wire.QueueDeclareOk](consumer, 1)
	consumer.send(1, &wire.BasicQos{PrefetchCount: prefetch})
	expect[wire.BasicQosOk](consumer, 1)
	consumer.send(1, consume)
	expect[wire.BasicConsumeOk](consumer, 1)
	return publisher, consumer
}

// TestOutrun publishes to a queue with a consumer until the publisher is asked to
// give way. A connection that consumes is not asked.
func TestOutrun(t *testing.T) {
	publisher, consumer := pair(t, 1, &wire.BasicConsume{Queue: []byte("q"), ConsumerTag: []byte("c")})
	m := message0(1, &wire.BasicPublish{RoutingKey: []byte("q")}, wire.Properties{}, strings.Repeat("x", 100_000))
	for range 170 { // 17 MB
		publisher.raw(m)
		publisher.s.settled()
	}
	if publisher.s.phase != running {
		t.Fatal("the publisher was refused")
	}
	for asked, end := false, time.Now().Add(20*time.Second); !asked; {
		if time.Now().After(end) {
			t.Fatal("the publisher is not asked to give way")
		}
		tag := expect[wire.BasicDeliver](consumer, 1).DeliveryTag
		consumer.content(1)
		consumer.send(1, &wire.BasicAck{DeliveryTag: tag})
		publisher.raw(m)
		publisher.s.settled()
		queue := publisher.s.behind
		if q := publisher.s.outrun(); q != nil {
			asked = true
			consumer.s.behind = queue
		}
	}
	if consumer.s.outrun() != nil {
		t.Error("a connection that consumes is asked to give way")
	}
}

// TestMessagesAllocateNothing publishes bursts that a consumer takes: what a burst
// allocates must not grow with its messages.
func TestMessagesAllocateNothing(t *testing.T) {
	publisher, consumer := pair(t, 0, &wire.BasicConsume{Queue: []byte("q"), ConsumerTag: []byte("c"), NoAck: true})
	const messages = 1000
	var burst []byte
	for range messages {
		burst = append(burst, message0(1, &wire.BasicPublish{RoutingKey: []byte("q")}, wire.Properties{}, "twelve bytes")...)
	}
	delivered := &consumer.s.channels[1].tally[deliveredAuto]
	var spare []byte
	n := testing.AllocsPerRun(20, func() {
		before := delivered.Load()
		publisher.raw(burst)
		publisher.s.settled()
		for delivered.Load() < before+messages {
			<-consumer.s.out.wake
			consumer.s.replenish()
			spare = consumer.s.out.take(spare)
		}
	})
	if n > messages/2 {
		t.Errorf("%v allocations for %d messages", n, messages)
	}
}
