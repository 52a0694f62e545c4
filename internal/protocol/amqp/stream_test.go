package amqp

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
	"github.com/polylog-mq/polylog/internal/record"
)

// stream declares a stream.
func (p *peer) stream(channel uint16, name string, more func(wire.Table) wire.Table) {
	p.tb.Helper()
	args := wire.Table(nil).AppendString("x-queue-type", "stream")
	if more != nil {
		args = more(args)
	}
	p.queue(channel, wire.QueueDeclare{Queue: []byte(name), Durable: true, Arguments: args})
}

// read begins a consumer of a stream.
func (p *peer) read(channel uint16, name string, prefetch uint16, args wire.Table) {
	p.tb.Helper()
	p.send(channel, &wire.BasicQos{PrefetchCount: prefetch})
	expect[wire.BasicQosOk](p, channel)
	p.consume(channel, name, func(m *wire.BasicConsume) { m.Arguments = args })
}

// streamed reads a delivery and checks its tag, offset and body.
func (p *peer) streamed(channel uint16, tag uint64, offset int64, body string) wire.Properties {
	p.tb.Helper()
	m := expect[wire.BasicDeliver](p, channel)
	props, got := p.content(channel)
	v, _ := props.Headers.Get(argOffset)
	o, ok := v.Int()
	if m.DeliveryTag != tag || !ok || o != offset || got != body || m.Redelivered {
		p.tb.Fatalf("tag %d, offset %d, %q instead of %d, %d, %q", m.DeliveryTag, o, got, tag, offset, body)
	}
	return props
}

func from(o string) wire.Table { return wire.Table(nil).AppendString(argOffset, o) }

func numbered(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint("m", i)
	}
	return list
}

// TestStreamsAreReadWhole: more than fits the prefetch count, a reading or a turn
// comes in order, each time from where it is asked for, and what comes later too.
func TestStreamsAreReadWhole(t *testing.T) {
	s := server(t, openBroker(t), nil)
	p := open(t, s)
	p.channel(1)
	p.stream(1, "s", nil)
	const n = 3000
	p.put("s", numbered(n)...)
	for _, prefetch := range []uint16{1, 7, 1000, 65535} {
		p.channel(2)
		p.read(2, "s", prefetch, wire.Table(nil).AppendInt(argOffset, 500))
		for i := range n - 500 {
			tag := uint64(i + 1)
			p.streamed(2, tag, int64(i+500), fmt.Sprint("m", i+500))
			if int(prefetch) == 1 || i%int(prefetch) == int(prefetch)-1 {
				p.send(2, &wire.BasicAck{DeliveryTag: tag, Multiple: true})
			}
		}
		p.quiet()
		p.send(2, &wire.ChannelClose{})
		expect[wire.ChannelCloseOk](p, 2)
	}
	q := s.opts.Broker.Queue("", "s")
	if st := q.Stats(); st.Ready != n || st.Consumers != 0 || !q.IsStream() {
		t.Fatalf("afterwards: %+v", st)
	}
	p.channel(3)
	p.read(3, "s", 10, from("next"))
	open(t, s).put("s", "later")
	p.streamed(3, 1, n, "later")
}

// TestStreamsWaitForAcknowledgements: nothing comes beyond the prefetch count.
func TestStreamsWaitForAcknowledgements(t *testing.T) {
	p := open(t, server(t, openBroker(t), nil))
	p.channel(1)
	p.stream(1, "s", nil)
	p.put("s", numbered(5)...)
	p.read(1, "s", 2, from("first"))
	p.streamed(1, 1, 0, "m0")
	p.streamed(1, 2, 1, "m1")
	p.put("s", "m5") // takes longer than a delivery would
	p.quiet()
	p.send(1, &wire.BasicAck{DeliveryTag: 2})
	p.streamed(1, 3, 2, "m2")
	p.quiet()
	p.send(1, &wire.BasicCancel{ConsumerTag: []byte("s")})
	expect[wire.BasicCancelOk](p, 1)
	p.send(1, &wire.BasicAck{Multiple: true})
	p.sync(1)
	p.quiet()
}

// TestStreamIsDeletedUnderItsConsumers: they are told, whether they wait for
// messages or for room; who deletes it itself after the answer.
func TestStreamIsDeletedUnderItsConsumers(t *testing.T) {
	s := server(t, openBroker(t), nil)
	p, other := open(t, s), open(t, s)
	p.channel(1)
	p.stream(1, "s", nil)
	p.put("s", numbered(2)...)
	p.channel(2)
	p.read(2, "s", 1, from("first"))
	p.streamed(2, 1, 0, "m0")
	other.channel(1)
	other.read(1, "s", 10, from("next"))
	q := s.opts.Broker.Queue("", "s")
	if got := q.Stats().Consumers; got != 2 {
		t.Errorf("%d consumers are counted", got)
	}
	p.send(1, &wire.QueueDelete{Queue: []byte("s"), IfUnused: true})
	p.refused(1, codePreconditionFailed, "PRECONDITION_FAILED - queue 's' in vhost '/' in use")
	p.channel(1)
	p.send(1, &wire.QueueDelete{Queue: []byte("s")})
	if ok := expect[wire.QueueDeleteOk](p, 1); ok.MessageCount != 2 {
		t.Errorf("%d messages were deleted", ok.MessageCount)
	}
	for _, x := range []*peer{p, other} {
		f, ok := x.next(false)
		for deadline := time.Now().Add(10 * time.Second); !ok; f, ok = x.next(false) {
			if time.Now().After(deadline) {
				t.Fatal("nobody is told")
			}
			<-time.After(time.Millisecond)
			x.s.runPosted()
		}
		if id, _, _ := wire.SplitMethod(f.Payload); id != wire.IDBasicCancel {
			t.Errorf("%s instead of basic.cancel", describe(f))
		}
	}
	if got := q.Stats().Consumers; got != 0 {
		t.Errorf("%d consumers are left", got)
	}
}

// TestStreamFilters: each consumer gets the messages whose value it has chosen,
// and those without one if it says so.
func TestStreamFilters(t *testing.T) {
	p := open(t, server(t, openBroker(t), nil))
	p.channel(1)
	p.stream(1, "s", nil)
	for _, v := range []string{"a", "b", "", "c", "a"} {
		props := wire.Properties{}
		if v != "" {
			props = wire.Properties{Flags: wire.HasHeaders, Headers: wire.Table(nil).AppendString(headerFilter, v)}
		}
		p.publish(1, &wire.BasicPublish{RoutingKey: []byte("s")}, props, "is "+v)
	}
	text := func(s string) wire.Value { return wire.Value{Tag: wire.TagString, Raw: []byte(s)} }
	for i, c := range []struct {
		args wire.Table
		want []string
	}{
		{from("first").AppendString(argFilter, "a"), []string{"0 is a", "4 is a"}},
		{from("first").AppendArray(argFilter, wire.Array(nil).Append(text("b")).Append(text("c"))), []string{"1 is b", "3 is c"}},
		{from("first").AppendString(argFilter, "c").AppendBool(argUnfiltered, true), []string{"2 is ", "3 is c"}},
		{from("first").AppendBool(argUnfiltered, false), []string{"0 is a", "1 is b", "2 is ", "3 is c", "4 is a"}},
	} {
		channel := uint16(2 + i)
		p.channel(channel)
		p.read(channel, "s", 100, c.args)
		for _, want := range c.want {
			expect[wire.BasicDeliver](p, channel)
			props, body := p.content(channel)
			v, _ := props.Headers.Get(argOffset)
			o, _ := v.Int()
			if got := fmt.Sprintf("%d %s", o, body); got != want {
				t.Errorf("%q instead of %q", got, want)
			}
		}
		p.quiet()
	}
	for _, args := range []wire.Table{
		wire.Table(nil).AppendInt(argFilter, 1), wire.Table(nil).AppendArray(argFilter, nil),
		wire.Table(nil).AppendInt(argUnfiltered, 1), wire.Table(nil).AppendArray(argFilter, wire.Array(nil).Append(wire.Value{Tag: wire.TagVoid})),
	} {
		p.channel(20)
		p.send(20, &wire.BasicQos{PrefetchCount: 1})
		expect[wire.BasicQosOk](p, 20)
		p.send(20, &wire.BasicConsume{Queue: []byte("s"), Arguments: args})
		if m := expect[wire.ChannelClose](p, 20); m.ReplyCode != uint16(codePreconditionFailed) {
			t.Errorf("%d %s", m.ReplyCode, m.ReplyText)
		}
		p.send(20, &wire.ChannelCloseOk{})
	}
}

// TestTopicIsReadAsStream: a topic of Kafka's, compressed, is read from where the
// consumer says, and nothing is taken from it.
func TestTopicIsReadAsStream(t *testing.T) {
	b := openBroker(t)
	created := make(chan []broker.TopicResult, 1)
	b.CreateTopics([]broker.NewTopic{{Name: "events", Partitions: 1, Replication: -1}}, false, func(r []broker.TopicResult) { created <- r })
	if r := <-created; r[0].Err != nil {
		t.Fatal(r[0].Err)
	}
	appended := make(chan error, 1)
	at := time.Now().UnixMilli()
	for i, codec := range []record.Codec{record.Zstd, record.None, record.Gzip} {
		var x record.Builder
		x.Reset(record.Template(codec))
		for j := range 100 {
			x.Add(record.Record{Timestamp: at - int64(3-i)*3_600_000, Key: []byte("k"), Value: fmt.Appendf(nil, "m%d", 100*i+j)})
		}
		batch, err := x.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		b.Topic("events").Partitions[0].Append(&broker.Append{Batch: batch, Done: func(a *broker.Append) { appended <- a.Err }})
		if err := <-appended; err != nil {
			t.Fatal(err)
		}
	}
	p := open(t, server(t, b, nil))
	p.channel(1)
	p.stream(1, "events", nil) // frameworks declare what they read
	read := func(channel uint16, args wire.Table, first int) {
		t.Helper()
		p.channel(channel)
		p.read(channel, "events", 1000, args)
		for i := first; i < 300; i++ {
			props := p.streamed(channel, uint64(i-first+1), int64(i), fmt.Sprint("m", i))
			if k, _ := props.Headers.Get(fieldKey); !bytes.Equal(k.Raw, []byte("k")) {
				t.Fatalf("the key is %q", k.Raw)
			}
		}
		p.quiet()
	}
	read(2, from("first"), 0)
	read(3, from("90m"), 200)
	read(4, from("150m"), 100)
	read(5, wire.Table(nil).AppendTimestamp(argOffset, at/1000-9000), 100)
	read(6, from("last"), 299)
	read(7, wire.Table(nil).AppendInt(argOffset, 42), 42)
}

// TestStampKeepsWhatIsThere: a message's headers come back with the offset, which
// takes the place of one that the publisher had sent.
func TestStampKeepsWhatIsThere(t *testing.T) {
	x := &stream{}
	for _, c := range []struct {
		props wire.Properties
		want  []string
	}{
		{wire.Properties{}, []string{argOffset}},
		{wire.Properties{Flags: wire.HasContentType | wire.HasPriority, ContentType: []byte("t"), Priority: 4}, []string{argOffset}},
		{wire.Properties{Flags: wire.HasHeaders, Headers: wire.Table(nil).AppendInt("a", 1).AppendInt(argOffset, 5).AppendInt("b", 2)}, []string{"a", "b", argOffset}},
	} {
		m := message{properties: c.props.AppendTo(nil)}
		x.stamp(&m, 77)
		var p wire.Properties
		if err := p.Parse(m.properties); err != nil {
			t.Fatal(err)
		}
		var names []string
		for name, v := range p.Headers.All() {
			names = append(names, string(name))
			if n, _ := v.Int(); string(name) == argOffset && n != 77 {
				t.Errorf("the offset is %d", n)
			}
		}
		if !slices.Equal(names, c.want) || p.Priority != c.props.Priority || !bytes.Equal(p.ContentType, c.props.ContentType) {
			t.Errorf("%q %+v", names, p)
		}
	}
	m := message{properties: []byte{0xff}}
	if x.stamp(&m, 1); new(wire.Properties).Parse(m.properties) != nil {
		t.Error("what cannot be read is passed on")
	}
}
