package amqp

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
	"github.com/polylog-mq/polylog/internal/record"
)

// A message as a record (docs/protocol/mapping.md): the body is the value, the
// key is null. The first three headers are for AMQP's own readers, who get back
// every byte of them; those after them are for everybody else.
const (
	headerExchange   = broker.HeaderExchange
	headerRoutingKey = broker.HeaderRoutingKey
	// headerProperties is the properties as on the wire, flags first.
	headerProperties = broker.HeaderProperties

	headerContentType     = "content-type"
	headerContentEncoding = "content-encoding"
	headerCorrelationID   = "correlation-id"
	headerReplyTo         = "reply-to"
	headerMessageID       = "message-id"
	headerType            = "type"
	headerUserID          = "user-id"
	headerAppID           = "app-id"
	headerPriority        = "priority"
	headerTimestamp       = "timestamp"

	// fieldKey is the entry of the headers table in which AMQP's readers find
	// the key of a record that another protocol wrote.
	fieldKey = "key"
)

// message is what AMQP's readers get of a record. Its bytes alias the record or
// the converter.
type message struct {
	exchange, key []byte
	properties    []byte // encoded
	body          []byte
	dead          bool // it was dead-lettered
}

// converter turns messages into records and back. Its memory is used again from
// one to the next; it is for one goroutine at a time.
type converter struct {
	headers record.Headers
	text    []byte
	table   wire.Table
	encoded []byte
}

// toRecord returns the record of a message. It aliases the converter and what it
// was given, and is valid until the next call.
func (c *converter) toRecord(exchange, key, encoded []byte, p *wire.Properties, body []byte, now int64) record.Record {
	h := &c.headers
	h.Reset()
	h.Add(headerExchange, notNil(exchange))
	h.Add(headerRoutingKey, notNil(key))
	h.Add(headerProperties, encoded)
	for _, f := range [...]struct {
		flag uint16
		name string
		text []byte
	}{
		{wire.HasContentType, headerContentType, p.ContentType},
		{wire.HasContentEncoding, headerContentEncoding, p.ContentEncoding},
		{wire.HasCorrelationID, headerCorrelationID, p.CorrelationID},
		{wire.HasReplyTo, headerReplyTo, p.ReplyTo},
		{wire.HasMessageID, headerMessageID, p.MessageID},
		{wire.HasType, headerType, p.Type},
		{wire.HasUserID, headerUserID, p.UserID},
		{wire.HasAppID, headerAppID, p.AppID},
	} {
		if p.Flags&f.flag != 0 {
			h.Add(f.name, notNil(f.text))
		}
	}
	if p.Flags&wire.HasPriority != 0 {
		c.text = strconv.AppendUint(c.text[:0], uint64(p.Priority), 10)
		h.Add(headerPriority, c.text)
	}
	if p.Flags&wire.HasTimestamp != 0 {
		c.text = strconv.AppendUint(c.text[:0], p.Timestamp, 10)
		h.Add(headerTimestamp, c.text)
	}
	for name, v := range p.Headers.All() {
		c.text = appendText(c.text[:0], v)
		if string(name) == "BCC" { // for the broker alone; those above do not have it
			name = []byte(broker.HeaderBlindCopies)
		}
		h.Add(string(name), c.text)
	}
	return record.Record{Timestamp: now, Value: notNil(body), Headers: *h}
}

// notNil keeps what is empty from becoming null.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// fromRecord returns the message of a record, which another protocol may have
// written to the topic of this name.
func (c *converter) fromRecord(r *record.Record, topic string) message {
	m := message{body: r.Value}
	mine := false
	for name, value := range r.Headers.All() {
		switch string(name) {
		case broker.HeaderDeaths:
			m.dead = true
		case headerExchange:
			m.exchange = value
		case headerRoutingKey:
			m.key = value
		case headerProperties:
			m.properties, mine = value, len(value) >= 2
		}
		if mine { // what else there is of ours comes before it
			return m
		}
	}
	m.exchange, m.key = nil, append(c.text[:0], topic...)
	c.text = m.key
	m.properties = c.foreign(r)
	return m
}

// foreign makes properties of the headers of a record that another protocol
// wrote.
func (c *converter) foreign(r *record.Record) []byte {
	p := wire.Properties{Flags: wire.HasDeliveryMode, DeliveryMode: persistent}
	t := c.table[:0]
	if r.Key != nil {
		t = t.AppendValue(fieldKey, textValue(r.Key))
	}
	for name, value := range r.Headers.All() {
		switch {
		case string(name) == broker.HeaderDeaths:
		case string(name) == headerContentType && len(value) <= maxName:
			p.Flags |= wire.HasContentType
			p.ContentType = value
		case len(name) > maxName:
		case value == nil:
			t = t.AppendValue(string(name), wire.Value{Tag: wire.TagVoid})
		default:
			t = t.AppendValue(string(name), textValue(value))
		}
	}
	if c.table = t; len(t) > 0 {
		p.Flags |= wire.HasHeaders
		p.Headers = t
	}
	if r.Timestamp >= 0 {
		p.Flags |= wire.HasTimestamp
		p.Timestamp = uint64(r.Timestamp / 1000)
	}
	c.encoded = p.AppendTo(c.encoded[:0])
	return c.encoded
}

// persistent is the delivery mode of messages that outlive a restart.
const persistent = 2

// textValue returns b as a string, or as bytes if it is none.
func textValue(b []byte) wire.Value {
	if utf8.Valid(b) && bytes.IndexByte(b, 0) < 0 {
		return wire.Value{Tag: wire.TagString, Raw: b}
	}
	return wire.Value{Tag: wire.TagBytes, Raw: b}
}

// appendText appends a value for people to read: strings and bytes as they are,
// numbers in decimal, tables and arrays as JSON.
func appendText(dst []byte, v wire.Value) []byte {
	switch v.Tag {
	case wire.TagString, wire.TagBytes:
		return append(dst, v.Raw...)
	case wire.TagVoid:
		return dst
	}
	return appendJSON(dst, v)
}

func appendJSON(dst []byte, v wire.Value) []byte {
	if n, ok := v.Int(); ok {
		return strconv.AppendInt(dst, n, 10)
	}
	if sec, ok := v.Timestamp(); ok {
		return strconv.AppendUint(dst, sec, 10)
	}
	if f, ok := v.Float(); ok {
		return strconv.AppendFloat(dst, f, 'g', -1, 64)
	}
	if b, ok := v.Bool(); ok {
		return strconv.AppendBool(dst, b)
	}
	switch v.Tag {
	case wire.TagString:
		return appendQuoted(dst, v.Raw)
	case wire.TagBytes:
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), v.Raw), '"')
	case wire.TagDecimal:
		return appendDecimal(dst, v.Raw)
	case wire.TagArray:
		dst = append(dst, '[')
		first := true
		for e := range v.Elements() {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = appendJSON(dst, e)
		}
		return append(dst, ']')
	case wire.TagTable:
		dst = append(dst, '{')
		first := true
		for name, e := range wire.Table(v.Raw).All() {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = append(appendQuoted(dst, name), ':')
			dst = appendJSON(dst, e)
		}
		return append(dst, '}')
	}
	return append(dst, "null"...)
}

func appendQuoted(dst, s []byte) []byte {
	q, err := json.Marshal(string(s))
	if err != nil { // no string has one
		return append(dst, `""`...)
	}
	return append(dst, q...)
}

// appendDecimal appends a decimal: scale, then an unscaled integer of 32 bits.
func appendDecimal(dst, raw []byte) []byte {
	n := int32(uint32(raw[1])<<24 | uint32(raw[2])<<16 | uint32(raw[3])<<8 | uint32(raw[4]))
	dst = strconv.AppendInt(dst, int64(n), 10)
	if raw[0] > 0 {
		dst = append(dst, "e-"...)
		dst = strconv.AppendUint(dst, uint64(raw[0]), 10)
	}
	return dst
}

// delivered returns the message of a delivery.
func (c *converter) delivered(d *broker.Delivery, q *broker.Queue) message {
	m := c.fromRecord(&d.Record, q.Name())
	returned := d.Attempts
	if q.Settings().DeliveryLimit < 0 {
		returned = 0 // nobody counts
	}
	if !m.dead && returned == 0 {
		return m
	}
	var history []broker.Death
	if m.dead {
		history, _ = broker.Deaths(&d.Record) // what cannot be read is somebody else's
	}
	c.annotate(&m, history, returned)
	return m
}
