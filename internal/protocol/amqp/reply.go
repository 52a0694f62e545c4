package amqp

import (
	"strings"
	"sync"

	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// Direct replies: a channel that consumes replyQueue without acknowledgements
// has an address of its own, which its publishes carry as reply-to when they
// say replyQueue there. What is published to that address through the default
// exchange goes straight to the channel, and nowhere if it is gone. Nothing of
// it is stored.

// replyQueue is the name that stands for it.
const replyQueue = "amq.rabbitmq.reply-to"

// replier is a channel's consumer of replies.
type replier struct {
	address string
	tag     string
	to      *consumer
}

// replyDirectory knows the repliers of all connections by address.
type replyDirectory struct {
	mu   sync.RWMutex
	byAt map[string]*replier
}

func (d *replyDirectory) add(r *replier) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byAt == nil {
		d.byAt = make(map[string]*replier)
	}
	d.byAt[r.address] = r
}

func (d *replyDirectory) remove(r *replier) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.byAt, r.address)
}

func (d *replyDirectory) find(address []byte) *replier {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.byAt[string(address)]
}

// consumeReplies is basic.consume of replyQueue.
func (ch *channel) consumeReplies(tag string, m *wire.BasicConsume) error {
	switch {
	case !m.NoAck:
		return refuse(codePreconditionFailed, "reply consumer cannot acknowledge")
	case ch.replier != nil:
		return refuse(codePreconditionFailed, "reply consumer already set")
	}
	ch.replier = &replier{
		address: serverName(replyQueue + "."), tag: tag, to: &consumer{ch: ch, tag: []byte(tag), noAck: true},
	}
	ch.server.replies.add(ch.replier)
	if !m.NoWait {
		ch.reply(&wire.BasicConsumeOk{ConsumerTag: []byte(tag)})
	}
	return nil
}

// declareReplies is queue.declare of replyQueue, or of somebody's address, which
// asks whether that is still there.
func (ch *channel) declareReplies(name string, noWait bool) error {
	if name != replyQueue && ch.server.replies.find([]byte(name)) == nil {
		return noQueue(name, ch.tenant)
	}
	if !noWait {
		ch.reply(&wire.QueueDeclareOk{Queue: []byte(name), ConsumerCount: 1})
	}
	return nil
}

// isReplyAddress reports whether a routing key of the default exchange, or the
// name of a queue, is the address of a replier.
func isReplyAddress(name string) bool { return strings.HasPrefix(name, replyQueue+".") }

// replyTarget returns whom the channel's message is a reply to; ok is false if
// it is none. A nil replier is one that has gone.
func (ch *channel) replyTarget() (r *replier, ok bool) {
	c := &ch.content
	if len(c.exchange) > 0 || len(c.key) <= len(replyQueue) || !isReplyAddress(string(c.key)) {
		return nil, false
	}
	return ch.server.replies.find(c.key), true
}

// direct hands the channel's message to a replier.
func (ch *channel) direct(r *replier, body []byte) {
	if r == nil {
		ch.unroutable(body)
		return
	}
	c := &ch.content
	m := message{exchange: c.exchange, key: c.key, properties: c.properties, body: body}
	to := r.to.ch
	to.mu.Lock()
	if !to.gone {
		to.out.append(func(b []byte) []byte { return r.to.sendLocked(b, &m, false, to.unacked.add(delivery{})) })
	}
	to.mu.Unlock()
	if ch.tx == nil {
		ch.confirmAtOnce()
	}
}
