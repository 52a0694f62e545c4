package amqp

import (
	"runtime"
	"slices"
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
		{Queue: "a", Reason: "expired", Count: 1, Time: 2000, Exchange: "x", Keys: []string{"k1", "copy"}, Rekeyed: true},
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

// TestDeadLettersAreRoutedAsRabbitMQDoes: the exchange sees the headers, and a
// message without a new key keeps its copies, the blind ones too.
func TestDeadLettersAreRoutedAsRabbitMQDoes(t *testing.T) {
	p := open(t, server(t, openBroker(t), nil))
	p.channel(1)
	for _, q := range []string{"own", "cc", "bcc", "new", "red"} {
		p.queue(1, wire.QueueDeclare{Queue: []byte(q)})
		p.send(1, &wire.QueueBind{Queue: []byte(q), Exchange: []byte("amq.direct"), RoutingKey: []byte(q)})
		expect[wire.QueueBindOk](p, 1)
	}
	p.send(1, &wire.QueueBind{Queue: []byte("red"), Exchange: []byte("amq.headers"), Arguments: wire.Table(nil).AppendString("colour", "red")})
	expect[wire.QueueBindOk](p, 1)
	dlx := func(exchange string) wire.Table {
		return wire.Table(nil).AppendString("x-dead-letter-exchange", exchange)
	}
	p.queue(1, wire.QueueDeclare{Queue: []byte("keeps"), Arguments: dlx("amq.direct")})
	p.queue(1, wire.QueueDeclare{Queue: []byte("rekeys"), Arguments: dlx("amq.direct").AppendString("x-dead-letter-routing-key", "new")})
	p.queue(1, wire.QueueDeclare{Queue: []byte("looks"), Arguments: dlx("amq.headers")})
	p.send(1, &wire.ExchangeDeclare{Exchange: []byte("in"), Type: []byte("fanout")})
	expect[wire.ExchangeDeclareOk](p, 1)

	list := func(key string) wire.Array {
		return wire.Array(nil).Append(wire.Value{Tag: wire.TagString, Raw: []byte(key)})
	}
	for _, c := range []struct {
		queue, colour string
		arrives       []string
	}{
		{"keeps", "", []string{"own", "cc", "bcc"}},
		{"rekeys", "", []string{"new"}},
		{"looks", "red", []string{"red"}},
		{"looks", "blue", nil},
	} {
		p.send(1, &wire.QueueBind{Queue: []byte(c.queue), Exchange: []byte("in")})
		expect[wire.QueueBindOk](p, 1)
		h := wire.Table(nil).AppendArray("CC", list("cc")).AppendArray("BCC", list("bcc")).AppendString("colour", c.colour)
		p.publish(1, &wire.BasicPublish{Exchange: []byte("in"), RoutingKey: []byte("own")}, wire.Properties{Flags: wire.HasHeaders, Headers: h}, c.queue)
		p.send(1, &wire.BasicGet{Queue: []byte(c.queue)})
		tag := expect[wire.BasicGetOk](p, 1).DeliveryTag
		p.content(1)
		p.send(1, &wire.BasicReject{DeliveryTag: tag})
		p.send(1, &wire.QueueUnbind{Queue: []byte(c.queue), Exchange: []byte("in")})
		expect[wire.QueueUnbindOk](p, 1)
		if q := p.s.server.opts.Broker.Queue("/", c.queue); q != nil { // its dead letters are on their way
			for q.Stats().Dying+q.Stats().Unacked > 0 {
				runtime.Gosched()
			}
		}
		for _, q := range []string{"own", "cc", "bcc", "new", "red"} {
			if !slices.Contains(c.arrives, q) {
				p.send(1, &wire.BasicGet{Queue: []byte(q), NoAck: true})
				expect[wire.BasicGetEmpty](p, 1)
				continue
			}
			p.send(1, &wire.BasicGet{Queue: []byte(q), NoAck: true})
			expect[wire.BasicGetOk](p, 1)
			props, _ := p.content(1)
			_, cc := props.Headers.Get("CC")
			if _, bcc := props.Headers.Get("BCC"); bcc || cc != (q != "new") {
				t.Errorf("%s: BCC %v, CC %v", q, bcc, cc)
			}
		}
	}
}
