package amqp

import (
	"sync"

	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// confirms keeps which publishes of a channel are not confirmed yet. Publishes
// are numbered from 1 once the channel is in confirm mode; consecutive ones
// that share a fate are one span. What is told is told in order: one ack for
// all spans in a row that were committed, one nack for those that were refused,
// so that no ack ever covers a nack.
type confirms struct {
	mu    sync.Mutex
	next  uint64 // number of the next publish; 0: not in confirm mode
	first uint64 // number of spans[0], counting spans
	spans []span // those not told, oldest first
	head  int    // spans[:head] are told
	// telling says that the outbox knows of this channel.
	telling bool
	told    uint64 // number of the last publish that was told
	ended   bool   // the channel is closed: nothing more is told
	tally   *tally
	ack     wire.BasicAck
	nack    wire.BasicNack
}

type span struct {
	last uint64 // number of its last publish
	fate fate
}

type fate uint8

const (
	pending fate = iota
	committed
	refused
)

// on begins confirm mode.
func (c *confirms) on() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == 0 {
		c.next = 1
	}
}

// active reports whether the channel is in confirm mode. Only the reader
// changes that.
func (c *confirms) active() bool { return c.next != 0 }

// add numbers n publishes that share a fate, and returns the number of their
// span. It must be called in the order of the publishes.
func (c *confirms) add(n int) (spanNumber uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next += uint64(n)
	if c.head > len(c.spans)/2 {
		c.spans = append(c.spans[:0], c.spans[c.head:]...)
		c.head = 0
	}
	c.spans = append(c.spans, span{last: c.next - 1})
	return c.first + uint64(len(c.spans)-c.head) - 1
}

// settle says what became of spans. It reports whether the outbox should be told
// that there is something to confirm.
func (c *confirms) settle(numbers []uint64, f fate) (tell bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, number := range numbers {
		c.spans[c.head+int(number-c.first)].fate = f
	}
	if c.telling || c.head == len(c.spans) || c.spans[c.head].fate == pending {
		return false
	}
	c.telling = true
	return true
}

// appendTo appends what can be told. The writer calls it.
func (c *confirms) appendTo(b []byte, channel uint16) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.telling = false
	for !c.ended && c.head < len(c.spans) && c.spans[c.head].fate != pending {
		s := c.spans[c.head]
		first := c.told + 1
		for c.head < len(c.spans) && c.spans[c.head].fate == s.fate {
			s.last = c.spans[c.head].last
			c.head++
			c.first++
		}
		c.told = s.last
		if s.fate == committed {
			c.tally[confirmed].Add(int64(s.last - first + 1))
			c.ack = wire.BasicAck{DeliveryTag: s.last, Multiple: s.last != first}
			b = c.ack.Append(b, channel)
		} else {
			c.nack = wire.BasicNack{DeliveryTag: s.last, Multiple: true, Requeue: true} // the flags are RabbitMQ's
			b = c.nack.Append(b, channel)
		}
	}
	return b
}

// end appends what can be told, for the last time: what comes to be known later
// must not go out behind the channel's close, where its number may be another
// channel's.
func (c *confirms) end(b []byte, channel uint16) []byte {
	b = c.appendTo(b, channel)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	return b
}
