package amqp

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// queue declares a queue and returns its name.
func (p *peer) queue(channel uint16, m wire.QueueDeclare) string {
	p.tb.Helper()
	p.send(channel, &m)
	return string(expect[wire.QueueDeclareOk](p, channel).Queue)
}

// put publishes bodies to a queue and waits for the confirms.
func (p *peer) put(queue string, bodies ...string) {
	p.tb.Helper()
	p.channel(999)
	p.send(999, &wire.ConfirmSelect{})
	expect[wire.ConfirmSelectOk](p, 999)
	var b []byte
	for _, body := range bodies {
		b = append(b, message0(999, &wire.BasicPublish{RoutingKey: []byte(queue)}, wire.Properties{}, body)...)
	}
	p.raw(b)
	for done := uint64(0); done < uint64(len(bodies)); {
		done = expect[wire.BasicAck](p, 999).DeliveryTag
	}
	p.send(999, &wire.ChannelClose{})
	expect[wire.ChannelCloseOk](p, 999)
}

// delivered reads a delivery and checks its tag and body.
func (p *peer) delivered(channel uint16, tag uint64, body string) *wire.BasicDeliver {
	p.tb.Helper()
	m := expect[wire.BasicDeliver](p, channel)
	if _, got := p.content(channel); m.DeliveryTag != tag || got != body {
		p.tb.Fatalf("delivery %d %q instead of %d %q", m.DeliveryTag, got, tag, body)
	}
	return m
}

// get takes a message and checks its body; "" means that there must be none.
func (p *peer) get(channel uint16, queue, body string) *wire.BasicGetOk {
	p.tb.Helper()
	p.send(channel, &wire.BasicGet{Queue: []byte(queue)})
	if body == "" {
		expect[wire.BasicGetEmpty](p, channel)
		return nil
	}
	m := expect[wire.BasicGetOk](p, channel)
	if _, got := p.content(channel); got != body {
		p.tb.Fatalf("got %q instead of %q", got, body)
	}
	return m
}

// consume begins a consumer with the queue's name as tag.
func (p *peer) consume(channel uint16, queue string, change func(*wire.BasicConsume)) {
	p.tb.Helper()
	m := wire.BasicConsume{Queue: []byte(queue), ConsumerTag: []byte(queue)}
	if change != nil {
		change(&m)
	}
	p.send(channel, &m)
	if got := expect[wire.BasicConsumeOk](p, channel); !bytes.Equal(got.ConsumerTag, m.ConsumerTag) {
		p.tb.Fatalf("the consumer is called %q", got.ConsumerTag)
	}
}

// sync waits until all that the channel has been sent so far is carried out.
func (p *peer) sync(channel uint16) {
	p.tb.Helper()
	p.send(channel, &wire.BasicQos{PrefetchCount: uint16(p.s.channels[channel].prefetch)})
	expect[wire.BasicQosOk](p, channel)
}

func TestPublishAndGet(t *testing.T) {
	p := open(t, server(t, openBroker(t), nil))
	p.channel(1)
	q := p.queue(1, wire.QueueDeclare{})
	if !strings.HasPrefix(q, "amq.gen-") {
		t.Errorf("a queue without a name is called %q", q)
	}
	props := wire.Properties{
		Flags: wire.HasHeaders | wire.HasDeliveryMode, DeliveryMode: 2,
		Headers: wire.Table(nil).AppendValue("n", wire.Value{Tag: wire.TagInt64Old, Raw: make([]byte, 8)}),
	}
	long := strings.Repeat("x", 3*offerFrameMax)
	p.publish(1, &wire.BasicPublish{RoutingKey: []byte(q)}, props, "one")
	p.publish(1, &wire.BasicPublish{RoutingKey: []byte(q)}, wire.Properties{}, "")
	p.publish(1, &wire.BasicPublish{RoutingKey: []byte(q)}, wire.Properties{}, long)

	p.send(1, &wire.BasicGet{}) // the queue declared last
	m := expect[wire.BasicGetOk](p, 1)
	got, body := p.content(1)
	if m.DeliveryTag != 1 || m.MessageCount != 2 || m.Redelivered || string(m.RoutingKey) != q || body != "one" {
		t.Errorf("got %+v, %q", m, body)
	}
	if v, _ := got.Headers.Get("n"); v.Tag != wire.TagInt64 || got.DeliveryMode != 2 {
		t.Errorf("properties %+v", got)
	}
	p.send(1, &wire.BasicGet{NoAck: true})
	if m := expect[wire.BasicGetOk](p, 1); m.DeliveryTag != 2 {
		t.Errorf("the second has tag %d", m.DeliveryTag)
	}
	if _, body := p.content(1); body != "" {
		t.Errorf("an empty message has %q", body)
	}
	p.get(1, q, long)
	p.get(1, q, "")
	p.send(1, &wire.BasicNack{DeliveryTag: 3, Multiple: true, Requeue: true})
	if m := p.get(1, q, "one"); !m.Redelivered || m.DeliveryTag != 4 {
		t.Errorf("given back: %+v", m)
	}
	p.send(1, &wire.BasicAck{DeliveryTag: 2}) // was not to be acknowledged
	p.refused(1, codePreconditionFailed, "PRECONDITION_FAILED - unknown delivery tag 2")
	p.channel(1)
	p.get(1, q, "one") // back, with its channel gone
	p.send(1, &wire.BasicAck{DeliveryTag: 1})
	p.get(1, q, long)
}

func TestConfirmsAndReturns(t *testing.T) {
	p := open(t, server(t, openBroker(t), nil))
	p.channel(1)
	p.queue(1, wire.QueueDeclare{Queue: []byte("q")})
	p.publish(1, &wire.BasicPublish{RoutingKey: []byte("q")}, wire.Properties{}, "not counted")
	p.send(1, &wire.ConfirmSelect{})
	expect[wire.ConfirmSelectOk](p, 1)
	p.publish(1, &wire.BasicPublish{RoutingKey: []byte("none"), Mandatory: true}, wire.Properties{Flags: wire.HasPriority, Priority: 3}, "lost")
	r := expect[wire.BasicReturn](p, 1)
	if props, body := p.content(1); r.ReplyCode != 312 || string(r.ReplyText) != "NO_ROUTE" || string(r.RoutingKey) != "none" || body != "lost" || props.Priority != 3 {
		t.Errorf("returned: %+v %q %+v", r, body, props)
	}
	if m := expect[wire.BasicAck](p, 1); m.DeliveryTag != 1 || m.Multiple {
		t.Errorf("%+v", m)
	}
	var b []byte
	for i := range 10 {
		b = append(b, message0(1, &wire.BasicPublish{RoutingKey: []byte("q")}, wire.Properties{}, fmt.Sprint(i))...)
	}
	b = append(b, message0(1, &wire.BasicPublish{RoutingKey: []byte("none")}, wire.Properties{}, "")...)
	p.raw(b)
	for done := uint64(1); done < 12; {
		m := expect[wire.BasicAck](p, 1)
		if m.DeliveryTag <= done || m.DeliveryTag > done+1 && !m.Multiple {
			t.Fatalf("%+v after %d", m, done)
		}
		done = m.DeliveryTag
	}
	p.quiet()
	p.publish(1, &wire.BasicPublish{Exchange: []byte("none")}, wire.Properties{}, "")
	p.refused(1, codeNotFound, "NOT_FOUND - no exchange 'none' in vhost '/'")
	p.channel(1)
	p.publish(1, &wire.BasicPublish{Immediate: true}, wire.Properties{}, "")
	p.dropped(codeNotImplemented, "NOT_IMPLEMENTED - immediate=true")
}

func TestRejectedPublishIsNacked(t *testing.T) {
	p := open(t, server(t, openBroker(t), nil))
	p.channel(1)
	args := wire.Table(nil).AppendInt("x-max-length", 1).AppendString("x-overflow", "reject-publish")
	p.queue(1, wire.QueueDeclare{Queue: []byte("q"), Arguments: args})
	p.send(1, &wire.ConfirmSelect{})
	expect[wire.ConfirmSelectOk](p, 1)
	p.publish(1, &wire.BasicPublish{RoutingKey: []byte("q")}, wire.Properties{}, "fits")
	expect[wire.BasicAck](p, 1)
	p.publish(1, &wire.BasicPublish{RoutingKey: []byte("q")}, wire.Properties{}, "does not")
	if m := expect[wire.BasicNack](p, 1); m.DeliveryTag != 2 {
		t.Errorf("%+v", m)
	}
	p.get(1, "q", "fits")
	p.get(1, "q", "")
}

func TestPropertiesThatAreJudged(t *testing.T) {
	p := open(t, server(t, openBroker(t), nil))
	to := &wire.BasicPublish{RoutingKey: []byte("q")}
	header := func(name string, v wire.Value) wire.Properties {
		return wire.Properties{Flags: wire.HasHeaders, Headers: wire.Table(nil).AppendValue(name, v)}
	}
	for _, c := range []struct {
		props wire.Properties
		text  string
	}{
		{wire.Properties{Flags: wire.HasExpiration, Expiration: []byte("")}, "invalid expiration '': no_integer"},
		{wire.Properties{Flags: wire.HasExpiration, Expiration: []byte("5s")}, `invalid expiration '5s': {leftover_string,"s"}`},
		{wire.Properties{Flags: wire.HasExpiration, Expiration: []byte("-1")}, "invalid expiration '-1': {value_negative,-1}"},
		{wire.Properties{Flags: wire.HasUserID, UserID: []byte("root")}, "user_id property set to 'root' but authenticated user was 'guest'"},
		{wire.Properties{Flags: wire.HasReplyTo, ReplyTo: []byte(replyQueue)}, "fast reply consumer does not exist"},
		{header("CC", wire.Value{Tag: wire.TagString, Raw: []byte("q")}), `invalid message: {unacceptable_type_in_header,"CC",longstr}`},
		{header("BCC", wire.Value{Tag: wire.TagArray, Raw: wire.Array(nil).Append(wire.Value{Tag: wire.TagVoid})}), `invalid message: {unacceptable_type_in_header,"BCC",void}`},
	} {
		p.channel(1)
		p.publish(1, to, c.props, "x")
		p.refused(1, codePreconditionFailed, "PRECONDITION_FAILED - "+c.text)
	}
	p.channel(1)
	p.publish(1, to, wire.Properties{Flags: wire.HasUserID | wire.HasExpiration, UserID: []byte("guest"), Expiration: []byte("1000")}, "x")
	p.sync(1)
	p.raw(append(wire.AppendMethod(nil, 1, to), wire.AppendContentHeader(nil, 1, maxMessage+1, &wire.Properties{})...))
	p.refused(1, codePreconditionFailed, "PRECONDITION_FAILED - message size 16777217 is larger than configured max size 16777216")
	p.channel(1)
	p.raw(append(wire.AppendMethod(nil, 1, to), wire.AppendContentHeader(nil, 1, maxFrameBody+1, &wire.Properties{})...))
	p.dropped(codeFrameError, "FRAME_ERROR - body size 536870913 is larger than 536870912")
}

func TestCopies(t *testing.T) {
	p := open(t, server(t, openBroker(t), nil))
	p.channel(1)
	for _, q := range []string{"to", "cc", "bcc"} {
		p.queue(1, wire.QueueDeclare{Queue: []byte(q)})
	}
	list := func(s string) wire.Array {
		return wire.Array(nil).Append(wire.Value{Tag: wire.TagString, Raw: []byte(s)}).Append(wire.Value{Tag: wire.TagString, Raw: []byte("to")})
	}
	h := wire.Table(nil).AppendArray("CC", list("cc")).AppendArray("BCC", list("bcc")).AppendString("k", "v")
	p.publish(1, &wire.BasicPublish{RoutingKey: []byte("to")}, wire.Properties{Flags: wire.HasHeaders, Headers: h}, "x")
	for _, q := range []string{"to", "cc", "bcc"} {
		p.send(1, &wire.BasicGet{Queue: []byte(q), NoAck: true})
		m := expect[wire.BasicGetOk](p, 1)
		props, _ := p.content(1)
		_, bcc := props.Headers.Get("BCC")
		_, cc := props.Headers.Get("CC")
		_, k := props.Headers.Get("k")
		if m.MessageCount != 0 || bcc || !cc || !k || string(m.RoutingKey) != "to" {
			t.Errorf("%s: %+v, BCC %v, CC %v, k %v", q, m, bcc, cc, k)
		}
	}
}

func TestConsume(t *testing.T) {
	p := open(t, server(t, openBroker(t), nil))
	p.channel(1)
	p.queue(1, wire.QueueDeclare{Queue: []byte("q")})
	p.put("q", "1", "2", "3", "4")
	p.send(1, &wire.BasicQos{PrefetchCount: 2})
	expect[wire.BasicQosOk](p, 1)
	p.consume(1, "q", nil)
	p.delivered(1, 1, "1")
	p.delivered(1, 2, "2")
	p.sync(1)
	p.quiet()
	p.send(1, &wire.BasicAck{DeliveryTag: 2})
	p.delivered(1, 3, "3")
	p.send(1, &wire.BasicReject{DeliveryTag: 1, Requeue: true})
	if m := p.delivered(1, 4, "1"); !m.Redelivered || string(m.ConsumerTag) != "q" {
		t.Errorf("given back: %+v", m)
	}
	p.send(1, &wire.BasicConsume{Queue: []byte("q"), ConsumerTag: []byte("q")})
	p.dropped(codeNotAllowed, "NOT_ALLOWED - attempt to reuse consumer tag 'q'")
}

func TestCancel(t *testing.T) {
	p := open(t, server(t, openBroker(t), nil))
	p.channel(1)
	p.queue(1, wire.QueueDeclare{Queue: []byte("q")})
	p.put("q", "1")
	p.consume(1, "q", nil)
	p.delivered(1, 1, "1")
	p.send(1, &wire.BasicCancel{ConsumerTag: []byte("q")})
	if m := expect[wire.BasicCancelOk](p, 1); string(m.ConsumerTag) != "q" {
		t.Errorf("%+v", m)
	}
	p.get(1, "q", "") // a cancel gives nothing back
	p.send(1, &wire.BasicAck{DeliveryTag: 1})
	p.send(1, &wire.BasicCancel{ConsumerTag: []byte("unknown")})
	expect[wire.BasicCancelOk](p, 1)

	p.consume(1, "q", nil)
	p.send(1, &wire.QueueDelete{Queue: []byte("q")})
	expect[wire.QueueDeleteOk](p, 1) // the answer first
	if m := expect[wire.BasicCancel](p, 1); string(m.ConsumerTag) != "q" || !m.NoWait {
		t.Errorf("%+v", m)
	}
}

// TestConsumerTimeout: who holds a message too long loses the channel, whether it
// was delivered or got.
func TestConsumerTimeout(t *testing.T) {
	p := open(t, server(t, openBroker(t), nil))
	for i, consumes := range []bool{true, false} {
		channel := uint16(i + 1)
		p.channel(channel)
		q := p.queue(channel, wire.QueueDeclare{Arguments: wire.Table(nil).AppendInt("x-consumer-timeout", 40)})
		p.put(q, "m")
		if consumes {
			p.consume(channel, q, nil)
			p.delivered(channel, 1, "m")
		} else {
			p.get(channel, q, "m")
		}
		for deadline := time.After(10 * time.Second); !p.s.runPosted(); {
			select {
			case <-deadline:
				t.Fatal("the session is not told")
			case <-time.After(time.Millisecond):
			}
		}
		p.refused(channel, codePreconditionFailed, fmt.Sprintf("PRECONDITION_FAILED - delivery acknowledgement on channel %d timed out. "+
			"Timeout value used: 40 ms. This timeout value can be configured, see consumers doc guide to learn more", channel))
		p.channel(channel)
		m := p.get(channel, q, "m")
		if !m.Redelivered {
			t.Error("it comes again as if for the first time")
		}
		p.send(channel, &wire.BasicAck{DeliveryTag: m.DeliveryTag})
	}
}

func TestPrefetchOfTheChannel(t *testing.T) {
	p := open(t, server(t, openBroker(t), nil))
	p.channel(1)
	for _, q := range []string{"a", "b"} {
		p.queue(1, wire.QueueDeclare{Queue: []byte(q)})
		p.put(q, "1", "2", "3")
	}
	p.send(1, &wire.BasicQos{PrefetchCount: 2, Global: true})
	expect[wire.BasicQosOk](p, 1)
	p.consume(1, "a", nil)
	p.delivered(1, 1, "1")
	p.delivered(1, 2, "2")
	p.consume(1, "b", nil)
	p.sync(1)
	p.quiet()
	p.send(1, &wire.BasicAck{DeliveryTag: 1})
	m := expect[wire.BasicDeliver](p, 1)
	p.content(1)
	if m.DeliveryTag != 3 {
		t.Errorf("%+v", m)
	}
	p.sync(1)
	p.quiet()
	p.send(1, &wire.BasicQos{Global: true}) // no limit any more
	expect[wire.BasicQosOk](p, 1)
	for range 3 {
		expect[wire.BasicDeliver](p, 1)
		p.content(1)
	}
}

func TestRecover(t *testing.T) {
	p := open(t, server(t, openBroker(t), nil))
	p.channel(1)
	p.queue(1, wire.QueueDeclare{Queue: []byte("q")})
	p.put("q", "1", "2")
	p.get(1, "q", "1")
	p.get(1, "q", "2")
	p.send(1, &wire.BasicRecover{Requeue: true})
	expect[wire.BasicRecoverOk](p, 1)
	if m := p.get(1, "q", "1"); !m.Redelivered {
		t.Errorf("%+v", m)
	}
	p.send(1, &wire.BasicAck{Multiple: true}) // all there are
	p.send(1, &wire.BasicAck{Multiple: true}) // none
	p.send(1, &wire.BasicRecover{})
	p.dropped(codeNotImplemented, "NOT_IMPLEMENTED - requeue=false")
}

func TestTransactions(t *testing.T) {
	p := open(t, server(t, openBroker(t), nil))
	p.channel(1)
	p.channel(2)
	p.queue(1, wire.QueueDeclare{Queue: []byte("q")})
	p.put("q", "old")
	p.send(1, &wire.TxSelect{})
	expect[wire.TxSelectOk](p, 1)
	p.get(1, "q", "old")
	p.publish(1, &wire.BasicPublish{RoutingKey: []byte("q")}, wire.Properties{}, "undone")
	p.send(1, &wire.BasicAck{DeliveryTag: 1})
	p.send(1, &wire.TxRollback{})
	expect[wire.TxRollbackOk](p, 1)
	p.get(2, "q", "")

	p.send(1, &wire.BasicAck{DeliveryTag: 1}) // outstanding again
	p.publish(1, &wire.BasicPublish{RoutingKey: []byte("q")}, wire.Properties{}, "new")
	p.publish(1, &wire.BasicPublish{RoutingKey: []byte("none"), Mandatory: true}, wire.Properties{}, "lost")
	p.quiet()
	p.send(1, &wire.TxCommit{})
	expect[wire.BasicReturn](p, 1)
	p.content(1)
	expect[wire.TxCommitOk](p, 1)
	p.get(2, "q", "new")
	p.get(2, "q", "")
	p.send(1, &wire.ConfirmSelect{})
	p.refused(1, codePreconditionFailed, "PRECONDITION_FAILED - cannot switch from tx to confirm mode")
	p.send(2, &wire.TxCommit{})
	p.refused(2, codePreconditionFailed, "PRECONDITION_FAILED - channel is not transactional")
}

func TestDirectReplies(t *testing.T) {
	s := server(t, openBroker(t), nil)
	client, worker := open(t, s), open(t, s)
	client.channel(1)
	worker.channel(1)
	client.consume(1, replyQueue, func(m *wire.BasicConsume) { m.NoAck = true })
	client.queue(1, wire.QueueDeclare{Queue: []byte("rpc")})
	client.publish(1, &wire.BasicPublish{RoutingKey: []byte("rpc")}, wire.Properties{Flags: wire.HasReplyTo, ReplyTo: []byte(replyQueue)}, "question")
	client.queue(1, wire.QueueDeclare{Queue: []byte("rpc"), Passive: true}) // waits for what was published
	worker.send(1, &wire.BasicGet{Queue: []byte("rpc"), NoAck: true})
	expect[wire.BasicGetOk](worker, 1)
	props, _ := worker.content(1)
	if !isReplyAddress(string(props.ReplyTo)) {
		t.Fatalf("reply to %q", props.ReplyTo)
	}
	worker.send(1, &wire.QueueDeclare{Queue: props.ReplyTo, Passive: true})
	expect[wire.QueueDeclareOk](worker, 1)
	worker.publish(1, &wire.BasicPublish{RoutingKey: props.ReplyTo, Mandatory: true}, wire.Properties{Flags: wire.HasCorrelationID, CorrelationID: []byte("7")}, "answer")
	m := expect[wire.BasicDeliver](client, 1)
	if got, body := client.content(1); body != "answer" || string(got.CorrelationID) != "7" || !bytes.Equal(m.RoutingKey, props.ReplyTo) {
		t.Errorf("%q %+v %+v", body, got, m)
	}
	client.send(1, &wire.ChannelClose{})
	expect[wire.ChannelCloseOk](client, 1)
	worker.publish(1, &wire.BasicPublish{RoutingKey: props.ReplyTo, Mandatory: true}, wire.Properties{}, "too late")
	expect[wire.BasicReturn](worker, 1)
	worker.content(1)
	worker.send(1, &wire.BasicConsume{Queue: []byte(replyQueue)})
	worker.refused(1, codePreconditionFailed, "PRECONDITION_FAILED - reply consumer cannot acknowledge")
}

// TestBusyBroker: a publish that the broker has no room for waits, and keeps its
// place in the order.
func TestBusyBroker(t *testing.T) {
	p := open(t, server(t, openBrokerWith(t, 16<<10), nil))
	p.channel(1)
	p.queue(1, wire.QueueDeclare{Queue: []byte("a")})
	p.queue(1, wire.QueueDeclare{Queue: []byte("b")})
	p.send(1, &wire.ConfirmSelect{})
	expect[wire.ConfirmSelectOk](p, 1)
	pad := strings.Repeat("x", 10<<10)
	var burst []byte
	const n = 40
	for i := range n {
		queue := "ab"[i%2 : i%2+1]
		props := wire.Properties{Flags: wire.HasExpiration, Expiration: fmt.Append(nil, 900_000+i)} // a batch of its own
		burst = append(burst, message0(1, &wire.BasicPublish{RoutingKey: []byte(queue)}, props, fmt.Sprint(i, pad))...)
	}
	p.raw(burst)
	for done := uint64(0); done < n; {
		done = expect[wire.BasicAck](p, 1).DeliveryTag
	}
	for i := range n {
		p.get(1, "ab"[i%2:i%2+1], fmt.Sprint(i, pad))
	}
	if p.breaths == 0 {
		t.Error("the broker was never busy: the test shows nothing")
	}
}

// TestTopicPermissions: a user can be limited to some routing keys.
func TestTopicPermissions(t *testing.T) {
	b := openBroker(t)
	done := make(chan error, 1)
	b.SetTopicPermission("guest", "/", "amq.topic", "^mine[.]", "^mine[.]", func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	p := open(t, server(t, b, nil))
	p.channel(1)
	p.queue(1, wire.QueueDeclare{Queue: []byte("q")})
	p.send(1, &wire.QueueBind{Queue: []byte("q"), Exchange: []byte("amq.topic"), RoutingKey: []byte("mine.*")})
	expect[wire.QueueBindOk](p, 1)
	p.publish(1, &wire.BasicPublish{Exchange: []byte("amq.topic"), RoutingKey: []byte("mine.x")}, wire.Properties{}, "x")
	p.publish(1, &wire.BasicPublish{Exchange: []byte("amq.direct"), RoutingKey: []byte("yours.x")}, wire.Properties{}, "x")
	p.get(1, "q", "x")
	p.send(1, &wire.QueueBind{Queue: []byte("q"), Exchange: []byte("amq.topic"), RoutingKey: []byte("yours.*")})
	p.refused(1, codeAccessRefused, "ACCESS_REFUSED - access to topic 'yours.*' in exchange 'amq.topic' in vhost '/' refused for user 'guest'")
	p.channel(1)
	p.publish(1, &wire.BasicPublish{Exchange: []byte("amq.topic"), RoutingKey: []byte("yours.x")}, wire.Properties{}, "x")
	p.refused(1, codeAccessRefused, "ACCESS_REFUSED - access to topic 'yours.x' in exchange 'amq.topic' in vhost '/' refused for user 'guest'")
}
