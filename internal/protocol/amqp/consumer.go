package amqp

import (
	"errors"
	"math"
	"slices"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// consumer is a consumer of a channel. What changes in it is guarded by the
// channel's mu.
type consumer struct {
	ch       *channel
	tag      []byte
	queue    *broker.Queue
	noAck    bool
	prefetch int // 0: any number
	broker   *broker.Consumer
	wide     *wide   // what it is a part of, if it consumes a topic
	stream   *stream // set instead of broker, if it reads a log

	unacked int // delivered, or held, and not acknowledged
	credit  int // what the broker may still deliver
	want    int // what it should have of that, if it is part of a wide one
	average int // of the sizes of its messages, in bytes
	thirsty bool
	ended   bool

	convert converter
	table   wire.Table

	exclusive bool
	arguments wire.Table
}

// window is how many deliveries may be on their way to the outbox.
func (c *consumer) window() int {
	if c.average == 0 {
		return minWindow
	}
	return min(max(windowBytes/c.average, minWindow), maxWindow)
}

// wantLocked returns how much credit the consumer should have.
func (c *consumer) wantLocked() int {
	return min(c.window(), c.freeLocked(c.unacked))
}

// freeLocked returns how many more deliveries its prefetch counts allow the
// consumer, which has not acknowledged so many.
func (c *consumer) freeLocked(unacked int) int {
	n := math.MaxInt
	if c.prefetch > 0 {
		n = c.prefetch - unacked
	}
	if c.ch.limit > 0 && !c.noAck {
		n = min(n, c.ch.limit-c.ch.counted)
	}
	return n
}

// thirstyLocked puts the consumer down for more credit, if it is worth it.
func (c *consumer) thirstyLocked() {
	c = c.lead()
	if c.thirsty || c.ended || c.wide == nil && c.credit > c.window()/2 {
		return
	}
	c.thirsty = true
	c.ch.session.thirst.add(c)
}

// replenish gives credit to the consumers that are short of it, unless the
// client does not read what it has.
func (s *session) replenish() {
	if s.out.congested() {
		return // the writer will call again
	}
	s.streamer.resume()
	for _, c := range s.thirst.take() {
		c.ch.mu.Lock()
		c.thirsty = false
		if c.stream != nil {
			c.ch.mu.Unlock()
			s.streamer.add(c)
			continue
		}
		if c.wide != nil && c.wide.planLocked() {
			c.lookAgainLocked()
		}
		c.each(func(p *consumer) {
			if n := p.lackLocked(); n != 0 {
				p.credit += n
				p.broker.Grant(int32(n))
			}
		})
		c.ch.mu.Unlock()
	}
}

// take takes deliveries from the broker, on a shard's loop.
func (c *consumer) take(ds []broker.Delivery) {
	ch := c.ch
	ch.mu.Lock()
	c.credit -= len(ds)
	if ch.gone {
		ch.mu.Unlock()
		return
	}
	for i := range ds {
		size := len(ds[i].Record.Value)
		c.average += (size+overheadGuess-c.average)/8 + 1
	}
	ch.out.append(func(b []byte) []byte {
		for i := range ds {
			b = c.appendLocked(b, &ds[i])
		}
		return b
	})
	c.thirstyLocked()
	ch.mu.Unlock()
}

// retractLocked takes back the credit that a new limit of the channel does not
// allow, so that the queue keeps what the client would not be sent. (The parts of
// a wide consumer are planned anew.)
func (c *consumer) retractLocked() {
	if c.wide != nil || c.broker == nil || c.ended || c.credit <= 0 {
		return
	}
	if n := max(c.wantLocked(), 0) - c.credit; n < 0 {
		c.credit += n
		c.broker.Grant(int32(n))
	}
}

// overheadGuess is what a message costs besides its body, in bytes.
const overheadGuess = 128

// appendLocked appends a delivery to what goes out, or holds it if the channel
// has its limit of unacknowledged ones.
func (c *consumer) appendLocked(b []byte, d *broker.Delivery) []byte {
	ch := c.ch
	m := c.convert.delivered(d, c.queue)
	if c.noAck {
		return c.sendLocked(b, &m, d.Redelivered, ch.unacked.add(delivery{}))
	}
	full := c.fullLocked()
	c.countLocked(1)
	if w := c.wide; full || w != nil && w.holding > 0 || ch.limit > 0 && (ch.counted >= ch.limit || len(ch.held) > 0) {
		if w != nil {
			w.holding++
		}
		ch.held = append(ch.held, heldDelivery{
			consumer: c, lease: d.Lease, redelivered: d.Redelivered, message: m.clone(),
		})
		return b
	}
	ch.counted++
	return c.sendLocked(b, &m, d.Redelivered, ch.unacked.add(delivery{lease: d.Lease, consumer: c, live: true}))
}

// sendLocked appends the frames of a delivery.
func (c *consumer) sendLocked(b []byte, m *message, again bool, tag uint64) []byte {
	ch := c.ch
	if c.noAck {
		ch.tally.count(deliveredAuto)
	} else {
		ch.tally.count(deliveredManual)
	}
	if again {
		ch.tally.count(redelivered)
	}
	ch.traceDelivery(c.queue, m, again)
	ch.deliver = wire.BasicDeliver{
		ConsumerTag: c.tag, DeliveryTag: tag, Redelivered: again, Exchange: m.exchange, RoutingKey: m.key,
	}
	b = ch.deliver.Append(b, ch.number)
	b = wire.AppendRawContentHeader(b, ch.number, uint64(len(m.body)), m.properties)
	return wire.AppendBody(b, ch.number, m.body, ch.frameMax)
}

// heldDelivery is a delivery that the channel's limit keeps from the client.
type heldDelivery struct {
	consumer    *consumer
	lease       broker.LeaseID
	redelivered bool
	message     message
}

// clone copies what the message aliases.
func (m *message) clone() message {
	return message{
		exchange: slices.Clone(m.exchange), key: slices.Clone(m.key),
		properties: slices.Clone(m.properties), body: slices.Clone(m.body),
	}
}

// releaseHeldLocked sends what the limit no longer keeps back.
func (ch *channel) releaseHeldLocked() {
	kept, i := ch.held[:0], 0
	for ; i < len(ch.held) && (ch.limit == 0 || ch.counted < ch.limit); i++ {
		h := ch.held[i]
		if h.consumer.fullLocked() {
			kept = append(kept, h)
			continue
		}
		if w := h.consumer.wide; w != nil {
			w.holding--
		}
		ch.counted++
		tag := ch.unacked.add(delivery{lease: h.lease, consumer: h.consumer, live: true})
		ch.out.append(func(b []byte) []byte { return h.consumer.sendLocked(b, &h.message, h.redelivered, tag) })
	}
	if len(kept) == 0 {
		ch.held = ch.held[i:]
		return
	}
	rest := append(kept, ch.held[i:]...)
	clear(ch.held[len(rest):])
	ch.held = rest
}

// cancelled takes the news that the consumer has come to an end: its queue is
// gone, or not led here any more.
func (c *consumer) cancelled(reason error) {
	if errors.Is(reason, broker.ErrConsumerTimeout) {
		return // the channel is closed for it
	}
	ch := c.ch
	ch.mu.Lock()
	tell := !ch.gone && ch.consumers[string(c.tag)] == c.lead()
	c.each(func(p *consumer) {
		if p != c && !p.ended && p.broker != nil {
			p.broker.Cancel(nil)
		}
		p.ended = true
	})
	if tell {
		delete(ch.consumers, string(c.tag))
	}
	if tell && ch.deleting {
		ch.orphans = append(ch.orphans, c)
		tell = false
	}
	ch.mu.Unlock()
	if tell {
		c.tellEnd()
	}
}

// tellEnd tells the client that the consumer has ended, if it wants to know.
func (c *consumer) tellEnd() {
	if c.ch.can.consumerCancelNotify {
		c.ch.reply(&wire.BasicCancel{ConsumerTag: c.tag, NoWait: true})
	}
}

// holdOrphans keeps the ends of consumers back until tellOrphans.
func (ch *channel) holdOrphans() {
	ch.mu.Lock()
	ch.deleting = true
	ch.mu.Unlock()
}

// tellOrphans tells what holdOrphans has kept back.
func (ch *channel) tellOrphans() {
	ch.mu.Lock()
	orphans := ch.orphans
	ch.deleting, ch.orphans = false, nil
	ch.mu.Unlock()
	for _, c := range orphans {
		c.tellEnd()
	}
}
