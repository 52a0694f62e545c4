package amqp

import (
	"fmt"
	"testing"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// topic makes a topic bound to amq.fanout, through which the routing key chooses
// the partition.
func (p *peer) topic(name string, partitions int32) {
	p.tb.Helper()
	done := make(chan error, 1)
	p.s.server.opts.Broker.CreateTopics([]broker.NewTopic{{Name: name, Partitions: partitions, Replication: -1}}, false,
		func(r []broker.TopicResult) { done <- r[0].Err })
	if err := <-done; err != nil {
		p.tb.Fatal(err)
	}
	p.send(1, &wire.QueueBind{Queue: []byte(name), Exchange: []byte("amq.fanout")})
	expect[wire.QueueBindOk](p, 1)
}

// spread publishes messages with keys from..to-1 and their number as body, on a
// connection of its own.
func (p *peer) spread(from, to int) {
	p.tb.Helper()
	p = open(p.tb, p.s.server)
	p.channel(998)
	p.send(998, &wire.ConfirmSelect{})
	expect[wire.ConfirmSelectOk](p, 998)
	for i := from; i < to; i++ {
		p.publish(998, &wire.BasicPublish{Exchange: []byte("amq.fanout"), RoutingKey: fmt.Append(nil, "key ", i)}, wire.Properties{}, fmt.Sprint(i))
		expect[wire.BasicAck](p, 998)
	}
	p.send(0, &wire.ConnectionClose{})
}

// take reads a delivery, and returns its tag and body.
func (p *peer) take(channel uint16) (uint64, string) {
	p.tb.Helper()
	m := expect[wire.BasicDeliver](p, channel)
	_, body := p.content(channel)
	return m.DeliveryTag, body
}

// TestTopicOfSeveralPartitions: to workers a topic is a queue, whatever their
// prefetch: each message comes once, and never more than they asked for.
func TestTopicOfSeveralPartitions(t *testing.T) {
	for _, prefetch := range []uint16{1, 2, 3, 7, 100, 0} {
		t.Run(fmt.Sprint("prefetch ", prefetch), func(t *testing.T) {
			p := open(t, server(t, openBroker(t), nil))
			p.channel(1)
			p.topic("events", 5)
			p.queue(1, wire.QueueDeclare{Queue: []byte("events"), Durable: true}) // as frameworks do
			const n = 200
			p.spread(0, n/2)
			p.send(1, &wire.BasicQos{PrefetchCount: prefetch})
			expect[wire.BasicQosOk](p, 1)
			p.consume(1, "events", nil)
			p.spread(n/2, n)
			seen := map[string]bool{}
			for len(seen) < n {
				most := max(int(prefetch), 1)
				if prefetch == 0 {
					most = n
				}
				var last uint64
				for range min(most, n-len(seen)) {
					tag, body := p.take(1)
					if last = tag; seen[body] {
						t.Fatalf("%s comes again", body)
					}
					seen[body] = true
				}
				if p.sync(1); len(seen) < n {
					p.quiet() // the prefetch count is used up
				}
				p.send(1, &wire.BasicAck{DeliveryTag: last, Multiple: true})
			}
			p.send(1, &wire.BasicCancel{ConsumerTag: []byte("events")})
			expect[wire.BasicCancelOk](p, 1)
			p.spread(n, n+1)
			p.quiet()
			p.get(1, "events", fmt.Sprint(n))
			p.get(1, "events", "")
		})
	}
}

// TestTopicIsShared: two workers with few credits both get their part, and what
// one gives back the other gets.
func TestTopicIsShared(t *testing.T) {
	srv := server(t, openBroker(t), nil)
	p := open(t, srv)
	p.channel(1)
	p.topic("events", 4)
	for _, channel := range []uint16{2, 3} {
		p.channel(channel)
		p.send(channel, &wire.BasicQos{PrefetchCount: 5})
		expect[wire.BasicQosOk](p, channel)
		p.consume(channel, "events", nil)
	}
	p.spread(0, 10)
	seen := map[string]int{}
	got := map[uint16]int{}
	for range 10 {
		f, _ := p.next(true)
		if f.Type != wire.FrameMethod {
			t.Fatal(describe(f))
		}
		_, body := p.content(f.Channel)
		seen[body]++
		got[f.Channel]++
	}
	if len(seen) != 10 || got[2] != 5 || got[3] != 5 {
		t.Fatalf("%v by channel, %v", got, seen)
	}
	p.send(2, &wire.ChannelClose{})
	expect[wire.ChannelCloseOk](p, 2)
	p.send(3, &wire.BasicAck{Multiple: true})
	for range 5 {
		m := expect[wire.BasicDeliver](p, 3)
		if _, body := p.content(3); !m.Redelivered {
			t.Errorf("%s is not marked as redelivered", body)
		}
	}
}

// TestTopicMethods: what else can be done with a topic.
func TestTopicMethods(t *testing.T) {
	p := open(t, server(t, openBroker(t), nil))
	p.channel(1)
	p.topic("events", 3)
	p.spread(0, 30)
	passive := func(messages, consumers uint32) {
		t.Helper()
		p.send(1, &wire.QueueDeclare{Queue: []byte("events"), Passive: true})
		if m := expect[wire.QueueDeclareOk](p, 1); m.MessageCount != messages || m.ConsumerCount != consumers {
			t.Errorf("%d messages, %d consumers; want %d, %d", m.MessageCount, m.ConsumerCount, messages, consumers)
		}
	}
	passive(30, 0)
	p.send(1, &wire.BasicGet{Queue: []byte("events"), NoAck: true})
	if m := expect[wire.BasicGetOk](p, 1); m.MessageCount != 29 {
		t.Errorf("%d are left", m.MessageCount)
	}
	p.content(1)
	p.send(1, &wire.QueuePurge{Queue: []byte("events")})
	if m := expect[wire.QueuePurgeOk](p, 1); m.MessageCount != 29 {
		t.Errorf("%d were purged", m.MessageCount)
	}
	p.consume(1, "events", func(m *wire.BasicConsume) { m.Exclusive = true })
	passive(0, 1)
	p.channel(2)
	p.send(2, &wire.BasicConsume{Queue: []byte("events")})
	p.refused(2, codeAccessRefused, "ACCESS_REFUSED - queue 'events' in vhost '/' in exclusive use")
	p.channel(2)
	p.send(2, &wire.QueueDelete{Queue: []byte("events")})
	p.refused(2, codePreconditionFailed, "PRECONDITION_FAILED - a topic, not a queue")
	p.channel(2)
	p.send(2, &wire.QueueDeclare{Queue: []byte("events"), Durable: true, Arguments: wire.Table(nil).AppendInt("x-max-length", 5)})
	expect[wire.ChannelClose](p, 2)
}

// TestTopicGrows: partitions that come later are consumed too; when the topic
// goes the consumer is told once.
func TestTopicGrows(t *testing.T) {
	p := open(t, server(t, openBroker(t), nil))
	p.channel(1)
	p.topic("events", 1)
	p.consume(1, "events", nil)
	b := p.s.server.opts.Broker
	done := make(chan error, 1)
	b.CreatePartitions([]broker.GrowTopic{{Name: "events", Partitions: 8}}, false, func(r []broker.TopicResult) { done <- r[0].Err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	p.s.widened -= widenEvery
	p.sync(1)
	p.spread(0, 40)
	seen := map[string]bool{}
	for range 40 {
		_, body := p.take(1)
		seen[body] = true
	}
	if len(seen) != 40 {
		t.Errorf("%d of 40 came", len(seen))
	}
	b.DeleteTopics([]broker.TopicRef{{Name: "events"}}, func(r []broker.TopicResult) { done <- r[0].Err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	expect[wire.BasicCancel](p, 1)
	p.quiet()
}
