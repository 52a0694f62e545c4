package broker

import (
	"encoding/binary"
	"encoding/json"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/lease"
	"github.com/polylog-mq/polylog/internal/state/route"
)

// Where a dead letter goes, by RabbitMQ's rules: the dead-letter exchange is
// given the message's headers, and the queue's dead-letter key or, if it has
// none, the keys that the message was published with, those in its CC and BCC
// headers too.

// headerCC is the field of the headers table that names further routing keys.
const headerCC = "CC"

// address is what a dead letter is routed by.
type address struct {
	// key comes first; copies are its further keys, blind those that nobody is
	// shown.
	key     []byte
	copies  []string
	blind   []string
	headers Table
}

// addressOf returns what a record was routed by when it came to a queue.
func addressOf(r *record.Record, history []Death, queue string) address {
	a := address{headers: headersOf(r)}
	var ok bool
	if a.key, ok = r.Headers.Get(HeaderRoutingKey); !ok {
		a.key = []byte(queue)
	}
	for i := range history {
		if history[i].Rekeyed {
			return a
		}
	}
	if _, ok := r.Headers.Get(HeaderProperties); !ok {
		return a // a field of that name is another protocol's
	}
	if cc, ok := a.headers.Lookup(headerCC); ok {
		for e := range cc.Elements() {
			if key, ok := e.Text(); ok {
				a.copies = append(a.copies, key)
			}
		}
	}
	if value, ok := r.Headers.Get(HeaderBlindCopies); ok && json.Unmarshal(value, &a.blind) != nil {
		a.blind = nil // somebody else's header
	}
	return a
}

// headersOf returns the headers table of a record: what AMQP's publisher gave it,
// or what AMQP's readers would see of another protocol's headers.
func headersOf(r *record.Record) Table {
	if properties, ok := r.Headers.Get(HeaderProperties); ok {
		return tableIn(properties)
	}
	var t Table
	for name, value := range r.Headers.All() {
		if string(name) != HeaderDeaths && len(name) <= maxFieldName {
			t = route.AppendText(t, string(name), string(value))
		}
	}
	return t
}

// tableIn returns the headers table within AMQP's encoded properties, nil if
// there is none.
func tableIn(properties []byte) Table {
	t, _, _ := splitProperties(properties)
	return t
}

// splitProperties returns the headers table within AMQP's encoded properties, nil
// if there is none, their flags and what follows the table: two bytes of flags,
// then content type and content encoding, if their flags are set, each behind a
// byte of length, then the table behind four. What is not of this form has no
// flags.
func splitProperties(properties []byte) (t Table, flags uint16, rest []byte) {
	if len(properties) < 2 {
		return nil, 0, nil
	}
	flags, b := binary.BigEndian.Uint16(properties), properties[2:]
	for _, flag := range [...]uint16{1 << 15, 1 << 14} {
		if flags&flag == 0 {
			continue
		}
		if len(b) == 0 || len(b) <= int(b[0]) {
			return nil, 0, nil
		}
		b = b[1+int(b[0]):]
	}
	if flags&(1<<13) == 0 {
		return nil, flags, b
	}
	if len(b) < 4 || uint64(len(b)-4) < uint64(binary.BigEndian.Uint32(b)) {
		return nil, 0, nil
	}
	n := 4 + binary.BigEndian.Uint32(b)
	if t = Table(b[4:n]); t.Check() != nil {
		return nil, 0, nil
	}
	return t, flags, b[n:]
}

// levelOf returns the priority that a record goes on with which had this level in
// its queue: that of the message, of which a queue without priorities, or with
// fewer, knows nothing.
func levelOf(r *record.Record, level uint8) uint8 {
	properties, _ := r.Headers.Get(HeaderProperties)
	_, flags, rest := splitProperties(properties)
	if flags&(1<<12) != 0 && len(rest) > 0 { // the delivery mode
		rest = rest[1:]
	}
	if flags&(1<<11) == 0 || len(rest) == 0 {
		return level
	}
	return rest[0]
}

// route returns where a letter goes, and the exchange and key that it says it
// went by.
func (d *desk) route(a *address, s *lease.Settings) (Routes, error) {
	exchange := []byte(s.DeadLetterExchange)
	keys := [][]byte{a.key}
	for _, further := range [...][]string{a.copies, a.blind} {
		for _, key := range further {
			keys = append(keys, []byte(key))
		}
	}
	return d.router().RouteAll(exchange, keys, a.headers)
}
