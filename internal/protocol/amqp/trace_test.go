package amqp

import (
	"slices"
	"testing"

	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// traced returns a server whose vhost is traced into queue t, and a client.
func traced(t *testing.T) (*Server, *peer) {
	s := server(t, openBroker(t), nil)
	s.Trace("/", true)
	p := open(t, s)
	p.channel(1)
	for _, q := range []string{"q", "t"} {
		p.queue(1, wire.QueueDeclare{Queue: []byte(q)})
	}
	p.send(1, &wire.QueueBind{Queue: []byte("t"), Exchange: []byte(traceExchange), RoutingKey: []byte("#")})
	expect[wire.QueueBindOk](p, 1)
	return s, p
}

// trace takes a copy out of queue t and returns its key and headers.
func (p *peer) trace() (key string, headers wire.Table, body string) {
	p.send(1, &wire.BasicGet{Queue: []byte("t"), NoAck: true})
	key = string(expect[wire.BasicGetOk](p, 1).RoutingKey)
	props, body := p.content(1)
	return key, slices.Clone(props.Headers), body
}

// TestTrace: a copy tells of a publish and one of the delivery, with the same
// body; a traced copy is not traced, and nothing is once it has ended.
func TestTrace(t *testing.T) {
	s, p := traced(t)
	for _, again := range []bool{false, true} {
		if !again {
			p.publish(1, &wire.BasicPublish{RoutingKey: []byte("q")}, wire.Properties{Flags: wire.HasPriority, Priority: 3}, "m")
			key, h, body := p.trace()
			routed, _ := h.Get("routed_queues")
			queues := 0
			for range routed.Elements() {
				queues++
			}
			if key != "publish." || body != "m" || queues != 1 {
				t.Errorf("published: %s %q, to %d queues", key, body, queues)
			}
			properties, _ := h.Get("properties")
			if n, ok := wire.Table(properties.Raw).Get("priority"); !ok || n.Raw[3] != 3 {
				t.Errorf("properties: %q", properties.Raw)
			}
		}
		p.send(1, &wire.BasicGet{Queue: []byte("q")})
		tag := expect[wire.BasicGetOk](p, 1).DeliveryTag
		p.content(1)
		key, h, body := p.trace()
		v, _ := h.Get("redelivered")
		if n, _ := v.Int(); key != "deliver.q" || body != "m" || (n == 1) != again {
			t.Errorf("delivered: %s %q, redelivered %d", key, body, n)
		}
		p.send(1, &wire.BasicNack{DeliveryTag: tag, Requeue: true})
	}
	s.Trace("/", false)
	p.publish(1, &wire.BasicPublish{RoutingKey: []byte("q")}, wire.Properties{}, "m")
	p.send(1, &wire.BasicGet{Queue: []byte("t"), NoAck: true})
	expect[wire.BasicGetEmpty](p, 1)
}

// TestTraceOfOneVhost: the flags of vhosts do not touch each other.
func TestTraceOfOneVhost(t *testing.T) {
	s := server(t, openBroker(t), nil)
	for _, step := range []struct {
		vhost string
		on    bool
		want  []string
	}{
		{"a", true, []string{"a"}},
		{"b", true, []string{"a", "b"}},
		{"b", true, []string{"a", "b"}},
		{"a", false, []string{"b"}},
		{"c", false, []string{"b"}},
		{"b", false, nil},
	} {
		s.Trace(step.vhost, step.on)
		var have []string
		for _, v := range []string{"a", "b", "c"} {
			if s.Traced(v) {
				have = append(have, v)
			}
		}
		if !slices.Equal(have, step.want) {
			t.Errorf("after %s %t: %v, want %v", step.vhost, step.on, have, step.want)
		}
	}
	if s.tracing.vhosts.Load() != nil {
		t.Error("without a traced vhost, messages still look for theirs")
	}
}

// TestExchangeCounts: what is published to an exchange is counted by it, and by
// its vhost; an exchange that is declared anew begins at nothing.
func TestExchangeCounts(t *testing.T) {
	s := server(t, openBroker(t), nil)
	p := open(t, s)
	p.channel(1)
	declare := func() {
		t.Helper()
		p.send(1, &wire.ExchangeDeclare{Exchange: []byte("x"), Type: []byte("fanout")})
		expect[wire.ExchangeDeclareOk](p, 1)
	}
	declare()
	for _, q := range []string{"q1", "q2"} {
		p.queue(1, wire.QueueDeclare{Queue: []byte(q)})
		p.send(1, &wire.QueueBind{Queue: []byte(q), Exchange: []byte("x")})
		expect[wire.QueueBindOk](p, 1)
	}
	p.send(1, &wire.ConfirmSelect{})
	expect[wire.ConfirmSelectOk](p, 1)
	for _, m := range []wire.BasicPublish{
		{Exchange: []byte("x")}, {RoutingKey: []byte("q1")}, {Exchange: []byte("x")}, {RoutingKey: []byte("nobody's")},
	} {
		p.publish(1, &m, wire.Properties{}, "m")
		expect[wire.BasicAck](p, 1)
	}
	for name, want := range map[string]ExchangeCounts{"x": {2, 4}, "": {2, 1}, "amq.fanout": {}, "missing": {}} {
		if c := s.ExchangeCounts("/", name); c != want {
			t.Errorf("exchange %q: %+v, want %+v", name, c, want)
		}
	}
	if c := s.CountsByVhost()["/"]; c.Received != 4 || c.Routed != 5 {
		t.Errorf("vhost: %+v", c)
	}
	p.send(1, &wire.ExchangeDelete{Exchange: []byte("x")})
	expect[wire.ExchangeDeleteOk](p, 1)
	declare()
	if c := s.ExchangeCounts("/", "x"); c != (ExchangeCounts{}) {
		t.Errorf("declared anew: %+v", c)
	}
	s.exchanges.mu.Lock()
	defer s.exchanges.mu.Unlock()
	if s.forgetExchangesLocked(); len(s.exchanges.counts) != 1 || s.exchanges.kept != 1 {
		t.Errorf("kept: %v", s.exchanges.counts)
	}
}
