package amqp

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"math"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// basic.consume. Arguments: x-priority; those of streams are in stream.go.
// no-local is accepted and, as in RabbitMQ, means nothing.
func basicConsume(ch *channel, m *wire.BasicConsume) error {
	name, err := ch.queueName(m.Queue)
	if err != nil {
		return err
	}
	tag := cleanName(m.ConsumerTag)
	if tag == "" {
		tag = serverName("amq.ctag-")
	}
	if ch.consumes(tag) {
		return refuse(codeNotAllowed, "attempt to reuse consumer tag '%s'", tag)
	}
	if name == replyQueue {
		return ch.consumeReplies(tag, m)
	}
	if err := ch.allows(access.Consume, access.Topic, name); err != nil {
		return err
	}
	where := fmt.Sprintf("queue '%s' in vhost '%s'", name, ch.tenant)
	ch.settled()
	queues, err := ch.queues(name)
	if err != nil {
		return err
	}
	if readsAsStream(queues[0], m.Arguments) {
		return ch.consumeStream(queues, m, tag, where)
	}
	priority, err := consumerPriority(m.Arguments, queueType(wire.Table(argumentsOf(queues[0]))), where)
	if err != nil {
		return err
	}
	q := queues[0]
	if len(ch.consumers) >= maxConsumers {
		return refuse(codeNotAllowed, "reached maximum (%d) of consumers per channel", maxConsumers)
	}
	if q.Definition() == nil {
		return ch.consumeTopic(queues, m, tag, priority)
	}
	if m.Exclusive && q.Settings().SingleActive {
		return refuse(codeAccessRefused, "queue '%s' in vhost '%s' in exclusive use", name, ch.tenant)
	}
	return ch.consume(q, m, tag, priority)
}

// consumes reports whether a consumer of the channel has this tag.
func (ch *channel) consumes(tag string) bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.consumers[tag] != nil || ch.replier != nil && ch.replier.tag == tag
}

// consume begins a consumer. It is answered before its first delivery.
func (ch *channel) consume(q *broker.Queue, m *wire.BasicConsume, tag string, priority int32) error {
	c := ch.newConsumer(q, m.NoAck, tag)
	c.asked(m)
	ch.mu.Lock()
	c.credit = max(c.wantLocked(), 0)
	ch.consumers[tag] = c
	ch.mu.Unlock()
	err := ch.join(c, m.Exclusive, priority, func() {
		if !m.NoWait {
			ch.reply(&wire.BasicConsumeOk{ConsumerTag: c.tag})
		}
	})
	if err != nil {
		ch.abandon(c)
	}
	return err
}

func (ch *channel) newConsumer(q *broker.Queue, noAck bool, tag string) *consumer {
	c := &consumer{ch: ch, tag: []byte(tag), queue: q, noAck: noAck}
	if !noAck {
		c.prefetch = ch.prefetch
	}
	return c
}

// asked keeps what the client said of the consumer, to be shown.
func (c *consumer) asked(m *wire.BasicConsume) {
	c.exclusive = m.Exclusive
	if len(m.Arguments) > 0 {
		c.arguments = bytes.Clone(m.Arguments)
	}
}

// join lets the broker serve a consumer with the credit that it has. joined, if
// not nil, is called before the first delivery.
func (ch *channel) join(c *consumer, exclusive bool, priority int32, joined func()) error {
	spec := &broker.ConsumerSpec{
		Session: ch.lessor(), Exclusive: exclusive, NoAck: c.noAck, Priority: priority, Credit: int32(c.credit),
		Deliver: c.take, Cancelled: c.cancelled,
	}
	var err error
	ch.ask(func(done func()) {
		c.queue.Consume(spec, func(b *broker.Consumer, e error) {
			if err = e; err == nil {
				ch.mu.Lock()
				c.broker = b
				c.thirstyLocked()
				ch.mu.Unlock()
				if joined != nil {
					joined()
				}
			}
			done()
		})
	})
	switch {
	case errors.Is(err, broker.ErrExclusive):
		return refuse(codeAccessRefused, "queue '%s' in vhost '%s' in exclusive use", c.queue.Name(), ch.tenant)
	case errors.Is(err, broker.ErrUnknownQueue):
		return noQueue(c.queue.Name(), ch.tenant)
	}
	return err
}

// argumentsOf returns what a queue was declared with.
func argumentsOf(q *broker.Queue) broker.Table {
	if d := q.Definition(); d != nil {
		return d.Arguments
	}
	return nil
}

// consumerPriority judges the arguments of a consumer of a queue of some type,
// and returns x-priority, 0 if there is none.
func consumerPriority(args wire.Table, kind, where string) (int32, error) {
	if _, ok := args.Get(argOffset); ok {
		return 0, refuse(codePreconditionFailed, "invalid arg '%s' for %s of queue type rabbit_%s_queue", argOffset, where, kind)
	}
	v, ok := args.Get("x-priority")
	if !ok {
		return 0, nil
	}
	n, ok := v.Int()
	if !ok {
		return 0, refuse(codePreconditionFailed, "invalid arg 'x-priority' for %s: \"expected integer, got %s\"", where, typeName(v.Tag))
	}
	n = min(max(n, math.MinInt32), math.MaxInt32)
	return int32(n), nil
}

// basic.cancel ends a consumer. What was delivered to it stays unacknowledged;
// a tag that is not known is no error.
func basicCancel(ch *channel, m *wire.BasicCancel) error {
	tag := cleanName(m.ConsumerTag)
	if r := ch.replier; r != nil && r.tag == tag {
		ch.server.replies.remove(r)
		ch.replier = nil
	}
	ch.mu.Lock()
	c := ch.consumers[tag]
	delete(ch.consumers, tag)
	if c != nil {
		c.each(func(p *consumer) { p.ended = true })
	}
	ch.mu.Unlock()
	if c != nil && c.stream != nil {
		c.leave()
	}
	if c != nil && c.broker != nil {
		ch.endBurst()
		ch.leave(c)
		ch.dropHeld(c)
		ch.deserted(c.queue)
	}
	if !m.NoWait {
		ch.reply(&wire.BasicCancelOk{ConsumerTag: []byte(tag)})
	}
	return nil
}

// deserted deletes a queue that goes with its last consumer, if that has gone. The
// broker does so too; the next method on the connection finds it done.
func (ch *channel) deserted(q *broker.Queue) {
	if d := q.Definition(); d == nil || !d.AutoDelete || q.Deleted() {
		return
	}
	ch.ask(func(done func()) {
		ch.server.opts.Broker.DeleteQueue(q, true, false, func(int64, error) { done() })
	})
}

// dropHeld gives back what a consumer that has ended was not sent.
func (ch *channel) dropHeld(c *consumer) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	kept := ch.held[:0]
	for _, h := range ch.held {
		if h.consumer.lead() == c {
			ch.settling.add(broker.Release, h.lease)
		} else {
			kept = append(kept, h)
		}
	}
	clear(ch.held[len(kept):])
	ch.held = kept
	ch.touch()
}

// basic.cancel-ok answers a cancel of the server's, which awaits no answer.
func basicCancelOk(*channel, *wire.BasicCancelOk) error { return nil }

// serverName makes a name that nobody has.
func serverName(prefix string) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return prefix + base64.RawURLEncoding.EncodeToString(b[:])
}
