package amqp

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
	"github.com/polylog-mq/polylog/internal/record"
)

// stored is a record as it comes back from a batch.
func stored(t *testing.T, r record.Record) record.Record {
	t.Helper()
	var b record.Builder
	b.Add(r)
	batch, err := b.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	var out record.Record
	if err := record.Records(batch, func(r record.Record) error { out = r; return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

func headersOf(r record.Record) string {
	var out []string
	for name, value := range r.Headers.All() {
		if string(name) == headerProperties {
			value = []byte("-")
		}
		out = append(out, fmt.Sprintf("%s=%s", name, value))
	}
	return strings.Join(out, "|")
}

func TestMessagesComeBackByteForByte(t *testing.T) {
	nested := wire.Table(nil).AppendInt("n", -1).AppendBool("b", true)
	headers := wire.Table(nil).AppendString("s", "text").AppendInt("i", 42).AppendBool("t", false).
		AppendValue("f", wire.Value{Tag: wire.TagDouble, Raw: []byte{0x3f, 0xf8, 0, 0, 0, 0, 0, 0}}).
		AppendValue("d", wire.Value{Tag: wire.TagDecimal, Raw: []byte{2, 0, 0, 1, 1}}).
		AppendValue("x", wire.Value{Tag: wire.TagBytes, Raw: []byte{0xff}}).
		AppendValue("v", wire.Value{Tag: wire.TagVoid}).
		AppendTimestamp("when", 5).AppendTable("table", nested).
		AppendArray("array", wire.Array(nil).Append(wire.Value{Tag: wire.TagString, Raw: []byte(`"`)}).Append(wire.Value{Tag: wire.TagTable, Raw: nested}).Append(wire.Value{Tag: wire.TagBytes, Raw: []byte{1}}))
	p := wire.Properties{
		Flags:       wire.HasContentType | wire.HasHeaders | wire.HasDeliveryMode | wire.HasPriority | wire.HasCorrelationID | wire.HasTimestamp,
		ContentType: []byte("text/plain"), Headers: headers, DeliveryMode: 2, Priority: 7, CorrelationID: []byte("c"), Timestamp: 99,
	}
	encoded := p.AppendTo(nil)
	var c converter
	r := stored(t, c.toRecord([]byte("x"), []byte("a.b"), encoded, &p, []byte("body"), 1234))
	if r.Key != nil || string(r.Value) != "body" || r.Timestamp != 1234 {
		t.Errorf("record %+v", r)
	}
	want := "amqp.exchange=x|amqp.routing-key=a.b|amqp.properties=-|content-type=text/plain|correlation-id=c|priority=7|timestamp=99|" +
		"s=text|i=42|t=false|f=1.5|d=257e-2|x=\xff|v=|when=5|table={\"n\":-1,\"b\":true}|array=[\"\\\"\",{\"n\":-1,\"b\":true},\"AQ==\"]"
	if got := headersOf(r); got != want {
		t.Errorf("headers\n%s, want\n%s", got, want)
	}
	m := c.fromRecord(&r, "topic")
	if string(m.exchange) != "x" || string(m.key) != "a.b" || string(m.body) != "body" || !bytes.Equal(m.properties, encoded) {
		t.Errorf("came back as %q %q %q % x", m.exchange, m.key, m.body, m.properties)
	}
	plain := wire.Properties{}
	r = stored(t, c.toRecord(nil, nil, plain.AppendTo(nil), &plain, nil, 1))
	if m := c.fromRecord(&r, "topic"); len(m.exchange)+len(m.key)+len(m.body) != 0 || !bytes.Equal(m.properties, []byte{0, 0}) || r.Value == nil {
		t.Errorf("an empty message came back as %+v", m)
	}
}

func TestForeignRecords(t *testing.T) {
	var h record.Headers
	h.Add("content-type", []byte("application/json"))
	h.Add("trace", []byte("abc"))
	h.Add("binary", []byte{0xff, 0})
	h.Add("null", nil)
	h.Add(strings.Repeat("n", 300), []byte("too long a name"))
	r := stored(t, record.Record{Timestamp: 5999, Key: []byte("user-1"), Value: []byte("v"), Headers: h})
	var c converter
	m := c.fromRecord(&r, "orders")
	var p wire.Properties
	if err := p.Parse(m.properties); err != nil {
		t.Fatal(err)
	}
	if string(m.exchange) != "" || string(m.key) != "orders" || string(m.body) != "v" ||
		string(p.ContentType) != "application/json" || p.Timestamp != 5 || p.DeliveryMode != 2 {
		t.Errorf("message %q %q %q, properties %+v", m.exchange, m.key, m.body, p)
	}
	var got []string
	for name, v := range p.Headers.All() {
		got = append(got, fmt.Sprintf("%s:%c=%s", name, v.Tag, v.Raw))
	}
	if want := "key:S=user-1|trace:S=abc|binary:x=\xff\x00|null:V="; strings.Join(got, "|") != want {
		t.Errorf("headers %q, want %q", got, want)
	}
	bare := stored(t, record.Record{Timestamp: record.NoTimestamp, Value: nil})
	m = c.fromRecord(&bare, "t")
	if err := p.Parse(m.properties); err != nil || p.Flags != wire.HasDeliveryMode || len(m.body) != 0 {
		t.Errorf("a bare record has %+v, err %v", p, err)
	}
}

func TestConversionAllocatesNothing(t *testing.T) {
	p := wire.Properties{Flags: wire.HasDeliveryMode | wire.HasHeaders, DeliveryMode: 2, Headers: wire.Table(nil).AppendString("k", "v")}
	encoded, body := p.AppendTo(nil), make([]byte, 100)
	exchange, key := []byte("x"), []byte("k")
	var c converter
	r := stored(t, c.toRecord(exchange, key, encoded, &p, body, 1))
	n := testing.AllocsPerRun(100, func() {
		c.toRecord(exchange, key, encoded, &p, body, 1)
		c.fromRecord(&r, "q")
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
