package amqp

import (
	"encoding/binary"
	"math"
	"sync/atomic"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
	"github.com/polylog-mq/polylog/internal/store"
)

// Tracing of a vhost (RabbitMQ's firehose): a copy of what its clients publish
// goes to the exchange amq.rabbitmq.trace with the key publish.EXCHANGE, and of
// what they are sent with deliver.QUEUE. The copy has the same body; its headers
// say what the message was. As in RabbitMQ, tracing is of the node's own
// connections, and ends with the node.

// traceExchange gets the copies. Every vhost has it.
const traceExchange = "amq.rabbitmq.trace"

// tracing is the vhosts that are traced, nil if none is: that is all that a
// message costs while nothing is.
type tracing struct {
	vhosts atomic.Pointer[map[string]struct{}]
}

// Trace begins or ends the tracing of a vhost. It lasts no longer than the
// server.
func (s *Server) Trace(vhost string, on bool) {
	for {
		was := s.tracing.vhosts.Load()
		next := map[string]struct{}{}
		if was != nil {
			for v := range *was {
				next[v] = struct{}{}
			}
		}
		if delete(next, vhost); on {
			next[vhost] = struct{}{}
		}
		now := &next
		if len(next) == 0 {
			now = nil
		}
		if s.tracing.vhosts.CompareAndSwap(was, now) {
			return
		}
	}
}

// Traced reports whether a vhost is traced.
func (s *Server) Traced(vhost string) bool {
	vhosts := s.tracing.vhosts.Load()
	if vhosts == nil {
		return false
	}
	_, ok := (*vhosts)[vhost]
	return ok
}

// tracePublish traces the channel's message, which goes to these queues.
func (ch *channel) tracePublish(queues []*broker.Queue, body []byte) {
	c := &ch.content
	if !ch.server.Traced(ch.tenant) || string(c.exchange) == traceExchange {
		return
	}
	var routed wire.Array
	for _, q := range queues {
		routed = routed.Append(wire.Value{Tag: wire.TagString, Raw: []byte(q.Name())})
	}
	p := ch.props
	t := describeTraced(c.exchange, c.key, &p, ch.server.opts.Broker)
	ch.trace("publish."+string(c.exchange), ch.traceWho(t).AppendArray("routed_queues", routed), body)
}

// traceDelivery traces a message that the client is sent. Any goroutine may call
// it; the reader does the rest.
func (ch *channel) traceDelivery(q *broker.Queue, m *message, again bool) {
	if !ch.server.Traced(ch.tenant) || q == nil || string(m.exchange) == traceExchange {
		return
	}
	var p wire.Properties
	if p.Parse(m.properties) != nil {
		p = wire.Properties{} // of another origin
	}
	t := describeTraced(m.exchange, m.key, &p, ch.server.opts.Broker)
	redelivered := 0
	if again {
		redelivered = 1
	}
	t = appendTracedInt(t, "redelivered", uint64(redelivered))
	name, body := q.Name(), append([]byte(nil), m.body...)
	ch.post(func() { ch.trace("deliver."+name, ch.traceWho(t), body) })
}

// traceWho appends whose message it is. It belongs to the reader.
func (ch *channel) traceWho(t wire.Table) wire.Table {
	t = t.AppendString("vhost", ch.tenant).AppendString("connection", ch.named()).AppendString("user", ch.principal.Name)
	return appendTracedInt(t, "channel", uint64(ch.number))
}

// trace publishes a copy. Whoever is bound gets it, and nobody is told whether it
// came to be on the disk.
func (ch *channel) trace(key string, headers wire.Table, body []byte) {
	key = key[:min(len(key), maxName)]
	if ch.tracer == nil {
		ch.tracer = ch.server.opts.Broker.NewRouter(ch.tenant)
		ch.tracer.Inside()
	}
	to, err := ch.tracer.Route([]byte(traceExchange), []byte(key), nil)
	if err != nil || len(to.Queues) == 0 || ch.server.opts.Broker.Health().State == store.DiskFull {
		return // the vhost is going, nobody listens, or messages have to wait: acknowledgements must not
	}
	p := wire.Properties{Flags: wire.HasHeaders, Headers: headers}
	var c converter
	r := c.toRecord([]byte(traceExchange), []byte(key), p.AppendTo(nil), &p, body, ch.now())
	b := ch.begin(to.Queues, broker.Facts{})
	b.then = func(error) {}
	b.builder.Add(r)
	b.Facts.Bytes = int64(len(body))
	ch.send(b)
}

// describeTraced returns what a copy's headers say of the message. It takes BCC,
// which nobody is shown, out of p.
func describeTraced(exchange, key []byte, p *wire.Properties, b *broker.Broker) wire.Table {
	keys := wire.Array(nil).Append(wire.Value{Tag: wire.TagString, Raw: key})
	for _, name := range [...]string{"CC", "BCC"} {
		v, _ := p.Headers.Get(name)
		for e := range v.Elements() {
			keys = keys.Append(e)
		}
	}
	p.Headers = p.Headers.Without(nil, "BCC")
	t := wire.Table(nil).AppendString("exchange_name", string(exchange)).AppendArray("routing_keys", keys)
	return t.AppendTable("properties", tracedProperties(p)).AppendString("node", NodeName(b))
}

// tracedProperties returns properties as a table, by RabbitMQ's names.
func tracedProperties(p *wire.Properties) (t wire.Table) {
	for _, f := range [...]struct {
		flag uint16
		name string
		text []byte
	}{
		{wire.HasContentType, "content_type", p.ContentType},
		{wire.HasContentEncoding, "content_encoding", p.ContentEncoding},
		{wire.HasCorrelationID, "correlation_id", p.CorrelationID},
		{wire.HasReplyTo, "reply_to", p.ReplyTo},
		{wire.HasExpiration, "expiration", p.Expiration},
		{wire.HasMessageID, "message_id", p.MessageID},
		{wire.HasType, "type", p.Type},
		{wire.HasUserID, "user_id", p.UserID},
		{wire.HasAppID, "app_id", p.AppID},
		{wire.HasClusterID, "cluster_id", p.ClusterID},
	} {
		if p.Flags&f.flag != 0 {
			t = t.AppendString(f.name, string(f.text))
		}
	}
	if p.Flags&wire.HasHeaders != 0 {
		t = t.AppendTable("headers", p.Headers)
	}
	for _, f := range [...]struct {
		flag uint16
		name string
		n    uint64
	}{
		{wire.HasDeliveryMode, "delivery_mode", uint64(p.DeliveryMode)},
		{wire.HasPriority, "priority", uint64(p.Priority)},
		{wire.HasTimestamp, "timestamp", p.Timestamp},
	} {
		if p.Flags&f.flag != 0 {
			t = appendTracedInt(t, f.name, f.n)
		}
	}
	return t
}

// appendTracedInt appends a number, of 32 bits if it fits.
func appendTracedInt(t wire.Table, name string, n uint64) wire.Table {
	if n > math.MaxInt32 {
		return t.AppendInt(name, int64(n))
	}
	return t.AppendValue(name, wire.Value{Tag: wire.TagInt32, Raw: binary.BigEndian.AppendUint32(nil, uint32(n))})
}
