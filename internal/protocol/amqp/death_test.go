package amqp

import (
	"testing"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

func TestDeathsInTheHeadersTable(t *testing.T) {
	copies := wire.Array(nil).Append(wire.Value{Tag: wire.TagString, Raw: []byte("copy")})
	p := wire.Properties{
		Flags: wire.HasHeaders | wire.HasExpiration, Expiration: []byte("50"),
		Headers: wire.Table(nil).AppendString("mine", "x").AppendString("x-death", "not mine").AppendArray("CC", copies),
	}
	history := []broker.Death{
		{Queue: "b", Reason: "rejected", Count: 2, Time: 3000, Exchange: "y", Keys: []string{"k2"}},
		{Queue: "a", Reason: "expired", Count: 1, Time: 2000, Exchange: "x", Keys: []string{"k1"}},
	}
	var c converter
	m := message{key: []byte("other"), properties: p.AppendTo(nil)}
	c.annotate(&m, history, 0)
	var got wire.Properties
	if err := got.Parse(m.properties); err != nil {
		t.Fatal(err)
	}
	want := `{"mine":"x","x-death":[` +
		`{"count":2,"reason":"rejected","queue":"b","time":3,"exchange":"y","routing-keys":["k2"]},` +
		`{"count":1,"reason":"expired","queue":"a","time":2,"exchange":"x","routing-keys":["k1","copy"],"original-expiration":"50"}],` +
		`"x-first-death-exchange":"x","x-first-death-queue":"a","x-first-death-reason":"expired",` +
		`"x-last-death-exchange":"y","x-last-death-queue":"b","x-last-death-reason":"rejected"}`
	if text := string(appendJSON(nil, wire.Value{Tag: wire.TagTable, Raw: got.Headers})); text != want {
		t.Errorf("headers\n%s, want\n%s", text, want)
	}
	if got.Flags&wire.HasExpiration != 0 {
		t.Error("the expiration is still there")
	}
	plain := wire.Properties{Flags: wire.HasExpiration, Expiration: []byte("9")}
	m = message{key: []byte("k"), properties: plain.AppendTo(nil)}
	c.annotate(&m, nil, 3)
	if err := got.Parse(m.properties); err != nil || string(got.Expiration) != "9" {
		t.Fatalf("%+v, %v", got, err)
	}
	if n, _ := mustGet(t, got.Headers, "x-delivery-count").Int(); n != 3 {
		t.Errorf("delivered %d times", n)
	}
}

func TestDeadLetters(t *testing.T) {
	p := open(t, server(t, openBroker(t), nil))
	p.channel(1)
	p.queue(1, wire.QueueDeclare{Queue: []byte("grave")})
	p.queue(1, wire.QueueDeclare{Queue: []byte("q"), Arguments: wire.Table(nil).
		AppendString("x-dead-letter-exchange", "").AppendString("x-dead-letter-routing-key", "grave")})
	p.put("q", "x")
	p.consume(1, "grave", nil)
	p.get(1, "q", "x")
	p.send(1, &wire.BasicReject{DeliveryTag: 1})
	m := expect[wire.BasicDeliver](p, 1)
	props, body := p.content(1)
	if string(m.RoutingKey) != "grave" || string(m.Exchange) != "" || m.Redelivered || body != "x" {
		t.Errorf("%+v %q", m, body)
	}
	deaths := mustGet(t, props.Headers, "x-death")
	for e := range deaths.Elements() {
		reason, _ := mustGet(t, wire.Table(e.Raw), "reason").Str()
		queue, _ := mustGet(t, wire.Table(e.Raw), "queue").Str()
		if string(reason) != "rejected" || string(queue) != "q" {
			t.Errorf("died in %s, %s", queue, reason)
		}
	}
}
