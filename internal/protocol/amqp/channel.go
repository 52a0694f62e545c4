package amqp

import (
	"sync"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// channel is one channel of a connection. It belongs to the connection's
// reader, but for confirms, which guards itself, and what mu guards.
type channel struct {
	*session
	number  uint16
	closing bool // channel.close was sent: only the answer counts
	touched bool // see burst.go
	tally   *tally

	// lastQueue is what "" stands for as the name of a queue.
	lastQueue string

	content content
	packing packing
	// settling are the verdicts that the burst has gathered.
	settling settling
	confirms confirms
	// tx is the open transaction, nil if the channel has none.
	tx *transaction

	// leases is who the deliveries belong to, nil before the first consumer.
	leases *broker.Session
	// prefetch is what a consumer gets that starts later.
	prefetch int
	replier  *replier // the consumer of direct replies

	mu        sync.Mutex
	gone      bool // nothing is delivered any more
	unacked   unacked
	consumers map[string]*consumer
	// limit is how many deliveries may be unacknowledged on the channel, 0 any
	// number; counted is how many are that count against it.
	limit, counted int
	// held are deliveries that wait for that, in order.
	held    []heldDelivery
	deliver wire.BasicDeliver
	// deleting says that the channel deletes a queue. The news that consumers of
	// its own have ended with it wait in orphans for the answer to go first, as in
	// RabbitMQ: clients like py-amqp take such news for an error while they wait.
	deleting bool
	orphans  []*consumer
}

func newChannel(s *session, number uint16, t *tally) *channel {
	return &channel{session: s, number: number, tally: t, consumers: make(map[string]*consumer), confirms: confirms{tally: t}}
}

// reply sends a method on the channel.
func (ch *channel) reply(m wire.Method) { ch.out.method(ch.number, m) }

// method takes in a method frame.
func (ch *channel) method(payload []byte) (wire.ID, error) {
	id, args, ok := wire.SplitMethod(payload)
	if !ok {
		return 0, refuse(codeFrameError, "a method of %d bytes", len(payload))
	}
	if ch.content.expects != nothing {
		return wire.IDBasicPublish, ch.content.unexpected()
	}
	if id == wire.IDBasicPublish {
		return id, ch.basicPublish(args)
	}
	row := ch.server.table.lookup(id)
	switch {
	case row == nil:
		return id, refuse(codeFrameError, "%s is not for servers", id)
	case id == wire.IDChannelOpen:
		return id, refuse(codeChannelError, "second 'channel.open' seen")
	case row.channel == nil:
		return id, refuse(codeCommandInvalid, "unimplemented method")
	}
	return id, row.channel(ch, args)
}

// whileClosing takes in what comes after channel.close was sent.
func (ch *channel) whileClosing(f wire.Frame) error {
	if f.Type != wire.FrameMethod {
		return nil
	}
	switch id, _, _ := wire.SplitMethod(f.Payload); id {
	case wire.IDChannelCloseOk:
		ch.forget(ch)
	case wire.IDChannelClose:
		ch.reply(&wire.ChannelCloseOk{})
	}
	return nil
}

// flush hands over what the burst has gathered.
func (ch *channel) flush() {
	ch.countExchange()
	ch.flushBatches()
	ch.flushSettles()
}

// shut ends what the channel has with the broker: what is published goes on its
// way, consumers end, and what is not acknowledged goes back. It returns when
// others can have it.
func (ch *channel) shut() {
	if ch.closing {
		return
	}
	ch.flush()
	ch.closing = true
	ch.content = content{}
	ch.out.append(func(b []byte) []byte { return ch.confirms.end(b, ch.number) })
	if ch.replier != nil {
		ch.server.replies.remove(ch.replier)
		ch.replier = nil
	}
	ch.mu.Lock()
	ch.gone = true
	ch.unacked = unacked{}
	ch.held = nil
	consumers := ch.consumers
	ch.consumers = nil
	ch.mu.Unlock()
	if ch.leases != nil {
		ch.ask(ch.leases.Close)
		ch.leases = nil
	}
	for _, c := range consumers {
		if c.stream != nil {
			c.leave()
			continue
		}
		ch.deserted(c.queue)
	}
}

// lessor returns who the channel's deliveries belong to.
func (ch *channel) lessor() *broker.Session {
	if ch.leases == nil {
		ch.leases = ch.server.opts.Broker.OpenSession()
		ch.leases.OnTimeout(func(q *broker.Queue) {
			timeout := q.Settings().ConsumerTimeout
			ch.post(func() { ch.timedOut(timeout) })
		})
	}
	return ch.leases
}

// timedOut closes the channel because a delivery was not acknowledged for so many
// ms.
func (ch *channel) timedOut(timeout int64) {
	if ch.closing || ch.phase != running {
		return
	}
	_ = ch.fail(ch, 0, refuse(codePreconditionFailed, "delivery acknowledgement on channel %d timed out. "+
		"Timeout value used: %d ms. This timeout value can be configured, see consumers doc guide to learn more",
		ch.number, timeout), false) // it ends the channel only: there is nothing to pass on
}

// queueName returns the name that a method gives a queue: an empty one is that of
// the queue which was declared last on the channel.
func (ch *channel) queueName(name []byte) (string, error) {
	if len(name) > 0 {
		return cleanName(name), nil
	}
	if ch.lastQueue == "" {
		return "", refuse(codeNotFound, "no previously declared queue")
	}
	return ch.lastQueue, nil
}

// queues returns what a method names: a queue, if it exists and this connection
// may use it, or the partitions of a topic.
func (ch *channel) queues(name string) ([]*broker.Queue, error) {
	queues := ch.server.opts.Broker.QueuesOf(ch.tenant, name)
	if len(queues) == 0 {
		return nil, noQueue(name, ch.tenant)
	}
	if err := queues[0].CheckLock(ch.owner); err != nil {
		return nil, locked(name, ch.tenant)
	}
	return queues, nil
}

// cleanName drops line breaks from a name, as RabbitMQ does.
func cleanName(b []byte) string {
	for _, c := range b {
		if c == '\r' || c == '\n' {
			kept := make([]byte, 0, len(b))
			for _, c := range b {
				if c != '\r' && c != '\n' {
					kept = append(kept, c)
				}
			}
			return string(kept)
		}
	}
	return string(b)
}

func noQueue(name, vhost string) *fault {
	return refuse(codeNotFound, "no queue '%s' in vhost '%s'", name, vhost)
}

func noExchange(name, vhost string) *fault {
	return refuse(codeNotFound, "no exchange '%s' in vhost '%s'", name, vhost)
}

func locked(name, vhost string) *fault {
	return refuse(codeResourceLocked, "cannot obtain exclusive access to locked queue '%s' in vhost '%s'. "+
		"It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.",
		name, vhost)
}
