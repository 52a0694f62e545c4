package amqp

import (
	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// The broker keeps why a message died in a header of its own
// (broker.HeaderDeaths). AMQP's clients read it in the headers table, where
// RabbitMQ writes it: x-death, an array with the latest death first, and
// x-first-death-* and x-last-death-*. Whatever the client sent under these names
// is replaced.

const (
	fieldDeaths        = "x-death"
	fieldFirst         = "x-first-death-"
	fieldLast          = "x-last-death-"
	fieldDeliveryCount = "x-delivery-count"
	fieldCC            = "CC"
)

// ownFields is the fields of a message's headers table that the server writes.
var ownFields = [...]string{
	fieldDeaths, fieldFirst + "reason", fieldFirst + "queue", fieldFirst + "exchange",
	fieldLast + "reason", fieldLast + "queue", fieldLast + "exchange", fieldDeliveryCount,
}

// annotate writes a message's deaths and how often it was returned into its
// properties. A message that cannot be read stays as it is.
func (c *converter) annotate(m *message, history []broker.Death, returned int32) {
	var p wire.Properties
	if p.Parse(m.properties) != nil {
		return
	}
	t := append(wire.Table(nil), p.Headers...)
	for _, name := range ownFields {
		if _, ok := t.Get(name); ok {
			t = t.Without(nil, name)
		}
	}
	if len(history) > 0 {
		t = appendDeaths(t, &p, history)
		p.Flags &^= wire.HasExpiration // its time was over, or is of no more account
	}
	if returned > 0 {
		t = t.AppendInt(fieldDeliveryCount, int64(returned))
	}
	p.Headers = t
	p.Flags |= wire.HasHeaders
	c.encoded = p.AppendTo(c.encoded[:0])
	m.properties = c.encoded
}

// appendDeaths appends the history to a headers table. The copies (CC) are among
// the keys of the first death, and go when the message has got another key.
func appendDeaths(t wire.Table, p *wire.Properties, history []broker.Death) wire.Table {
	first, rekeyed := len(history)-1, false
	for i := range history {
		if history[i].Time < history[first].Time {
			first = i
		}
		rekeyed = rekeyed || history[i].Rekeyed
	}
	var deaths wire.Array
	for i := range history {
		d := &history[i]
		var keys wire.Array
		for _, k := range d.Keys {
			keys = keys.Append(wire.Value{Tag: wire.TagString, Raw: []byte(k)})
		}
		entry := wire.Table(nil).AppendInt("count", d.Count).AppendString("reason", d.Reason).AppendString("queue", d.Queue).
			AppendTimestamp("time", d.Time/1000).AppendString("exchange", d.Exchange).AppendArray("routing-keys", keys)
		if i == first && p.Flags&wire.HasExpiration != 0 {
			entry = entry.AppendString("original-expiration", string(p.Expiration))
		}
		deaths = deaths.Append(wire.Value{Tag: wire.TagTable, Raw: entry})
	}
	if rekeyed {
		t = t.Without(nil, fieldCC)
	}
	t = t.AppendArray(fieldDeaths, deaths)
	for _, at := range []struct {
		prefix string
		death  *broker.Death
	}{{fieldFirst, &history[first]}, {fieldLast, &history[0]}} {
		t = t.AppendString(at.prefix+"exchange", at.death.Exchange).AppendString(at.prefix+"queue", at.death.Queue).
			AppendString(at.prefix+"reason", at.death.Reason)
	}
	return t
}
