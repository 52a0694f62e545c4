package admin

import (
	"unicode/utf8"

	"github.com/polylog-mq/polylog/internal/adminapi"
	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp"
)

func describeQueue(q *broker.Queue) adminapi.Queue {
	s, p := q.Stats(), q.Partition()
	out := adminapi.Queue{
		Tenant: q.Tenant(), Name: q.Name(), Durable: true,
		Ready: s.Ready, Unacked: s.Unacked, Scheduled: s.Scheduled, Dying: s.Dying, Bytes: s.Bytes, Consumers: s.Consumers,
		Published: s.Published, Delivered: s.Delivered, Redelivered: s.Redelivered, Settled: s.Settled,
		FirstOffset: int64(p.Floor()), NextOffset: int64(p.HighWatermark()),
	}
	if d := q.Definition(); d != nil {
		out.Durable, out.AutoDelete, out.Exclusive, out.Arguments = d.Durable, d.AutoDelete, d.Exclusive, decode(d.Arguments)
	}
	return out
}

func (definitions) listQueues(c *call) (any, error) {
	list := []adminapi.Queue{}
	for q := range c.b.Queues(c.tenant) {
		list = append(list, describeQueue(q))
	}
	return list, nil
}

// target finds what takes messages under a name: a queue, or a topic.
func (c *call) target(name string) (*broker.Queue, error) {
	if queues := c.b.QueuesOf(c.tenant, name); len(queues) > 0 {
		return queues[0], nil
	}
	return nil, missing("queue", name, c.tenant)
}

// queue finds the queue that the path names.
func (c *call) queue(name string) (*broker.Queue, error) {
	if q := c.b.Queue(c.tenant, name); q != nil {
		return q, nil
	}
	return nil, missing("queue", name, c.tenant)
}

func (definitions) getQueue(c *call) (any, error) {
	q, err := c.queue(c.name())
	if err != nil {
		return nil, err
	}
	return describeQueue(q), nil
}

func (definitions) putQueue(c *call) (any, error) {
	n, err := decodeBody[adminapi.NewQueue](c)
	if err != nil {
		return nil, err
	}
	args, err := encode(n.Arguments)
	if err != nil {
		return nil, err
	}
	settings, err := amqp.QueueSettings(args, "queue '"+c.name()+"'")
	if err != nil {
		return nil, wrong("%v", err)
	}
	spec := &broker.QueueSpec{
		Tenant: c.tenant, Name: c.name(), Durable: n.Durable, AutoDelete: n.AutoDelete, Arguments: args, Settings: *settings,
	}
	q, err := await(c.Context(), func(done func(*broker.Queue, error)) {
		c.b.DeclareQueue(spec, func(q *broker.Queue, _ bool, err error) { done(q, err) })
	})
	if err != nil {
		return nil, err
	}
	return describeQueue(q), nil
}

func (definitions) deleteQueue(c *call) (any, error) {
	q, err := c.queue(c.name())
	if err != nil {
		return nil, err
	}
	ifUnused, err := c.flag("if-unused")
	if err != nil {
		return nil, err
	}
	ifEmpty, err := c.flag("if-empty")
	if err != nil {
		return nil, err
	}
	n, err := await(c.Context(), func(done func(int64, error)) { c.b.DeleteQueue(q, ifUnused, ifEmpty, done) })
	return adminapi.Count{Messages: n}, err
}

func (definitions) purgeQueue(c *call) (any, error) {
	q, err := c.queue(c.name())
	if err != nil {
		return nil, err
	}
	n, err := await(c.Context(), q.Purge)
	return adminapi.Count{Messages: n}, err
}

func (definitions) redriveQueue(c *call) (any, error) {
	r, err := decodeBody[adminapi.Redrive](c)
	if err != nil {
		return nil, err
	}
	from, err := c.queue(c.name())
	if err != nil {
		return nil, err
	}
	to, err := c.target(r.To)
	switch {
	case err != nil:
		return nil, err
	case to == from:
		return nil, wrong("a queue cannot be redriven to itself")
	case r.Max < 0:
		return nil, wrong("max is %d", r.Max)
	}
	n, err := await(c.Context(), func(done func(int64, error)) { c.b.Redrive(from, to, r.Max, done) })
	return adminapi.Count{Messages: n}, err
}

// peekQueue takes messages and gives them back, as RabbitMQ's console does: they
// keep their places, and are marked as redelivered.
func (definitions) peekQueue(c *call) (any, error) {
	q, err := c.queue(c.name())
	if err != nil {
		return nil, err
	}
	most, err := c.number("max", 10, 1, maxPeek)
	if err != nil {
		return nil, err
	}
	session := c.b.OpenSession()
	defer func() {
		closed := make(chan struct{})
		session.Close(func() { close(closed) })
		<-closed
	}()
	list, bytes := []adminapi.Message{}, 0
	for int64(len(list)) < most && bytes < maxPeekBytes {
		m, err := await(c.Context(), func(done func(*adminapi.Message, error)) {
			q.Get(session, false, func(d *broker.Delivery, _ int64, ok bool, err error) {
				if !ok || err != nil {
					done(nil, err)
					return
				}
				done(describeMessage(d), nil)
			})
		})
		if err != nil {
			return nil, err
		}
		if m == nil {
			break
		}
		list, bytes = append(list, *m), bytes+m.Value.Len()
	}
	return list, nil
}

func describeMessage(d *broker.Delivery) *adminapi.Message {
	m := &adminapi.Message{
		Offset: int64(d.Record.Offset), Timestamp: d.Record.Timestamp, Key: shown(d.Record.Key), Value: shown(d.Record.Value),
		Level: d.Level, Redelivered: d.Redelivered, Attempts: d.Attempts,
	}
	for key, value := range d.Record.Headers.All() {
		m.Headers = append(m.Headers, adminapi.Header{Key: string(key), Value: shown(value)})
	}
	return m
}

// shown copies bytes; nil stays nil.
func shown(b []byte) *adminapi.Bytes {
	switch {
	case b == nil:
		return nil
	case utf8.Valid(b):
		return &adminapi.Bytes{Text: string(b)}
	}
	return &adminapi.Bytes{Base64: append([]byte(nil), b...)}
}
