package amqp

import (
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// content is the message that a channel is in the middle of.
type content struct {
	expects expectation
	// exchange and key are those of basic.publish; they and the rest are kept
	// from message to message, for their memory.
	exchange, key []byte
	name          string // the exchange's, from message to message
	// in and out are what was counted of that exchange (exchange_counts.go) and is
	// not added up yet; count is where, nil if that was not looked up yet.
	in, out              int64
	count                *exchangeCount
	mandatory, immediate bool
	properties           []byte // encoded
	size                 uint64 // of the body
	body                 []byte // as far as it has come, if it comes in several frames
}

// expectation is what kind of frame must come next.
type expectation uint8

const (
	nothing expectation = iota // any method
	aHeader
	aBody
)

// unexpected is the fault of a frame of another kind than must come next.
func (c *content) unexpected() *fault {
	f := [...][2]string{
		{"method frame", "method"}, {"content header for class 60", "content header"}, {"content body", "content body"},
	}[c.expects]
	return refuse(codeUnexpectedFrame, "expected %s, got non %s frame instead", f[0], f[1])
}

// of returns the method whose content is awaited, 0 if none is.
func (c *content) of() wire.ID {
	if c.expects == nothing {
		return 0
	}
	return wire.IDBasicPublish
}

// basicPublish takes in basic.publish; the message's header and body follow.
func (ch *channel) basicPublish(args []byte) error {
	m := &ch.session.publish
	if err := m.Parse(args); err != nil {
		return err
	}
	c := &ch.content
	c.exchange = appendClean(c.exchange[:0], m.Exchange)
	c.key = append(c.key[:0], m.RoutingKey...)
	c.mandatory, c.immediate = m.Mandatory, m.Immediate
	c.expects = aHeader
	return nil
}

// contentHeader takes in a header frame.
func (ch *channel) contentHeader(payload []byte) error {
	c, h := &ch.content, &ch.session.header
	if c.expects != aHeader {
		return c.unexpected()
	}
	if err := h.Parse(payload); err != nil {
		return err
	}
	switch {
	case h.Class != wire.ClassBasic:
		return refuse(codeUnexpectedFrame, "expected content header for class %d, got one for class %d instead", wire.ClassBasic, h.Class)
	case h.Weight != 0:
		return refuse(codeFrameError, "a content header with weight %d", h.Weight)
	case h.Size > maxFrameBody:
		return refuse(codeFrameError, "body size %d is larger than %d", h.Size, int64(maxFrameBody))
	case h.Size > maxMessage:
		c.expects = nothing
		return refuse(codePreconditionFailed, "message size %d is larger than configured max size %d", h.Size, maxMessage)
	}
	c.properties = append(c.properties[:0], h.Properties...)
	c.size = h.Size
	c.body = c.body[:0]
	c.expects = aBody
	if c.size == 0 {
		return ch.message(nil)
	}
	return nil
}

// contentBody takes in a body frame.
func (ch *channel) contentBody(payload []byte) error {
	c := &ch.content
	if c.expects != aBody {
		return c.unexpected()
	}
	if uint64(len(c.body))+uint64(len(payload)) > c.size {
		return refuse(codeFrameError, "a body of more than the %d bytes announced", c.size)
	}
	if len(c.body) == 0 && uint64(len(payload)) == c.size {
		return ch.message(payload)
	}
	c.body = append(c.body, payload...)
	if uint64(len(c.body)) < c.size {
		return nil
	}
	err := ch.message(c.body)
	if cap(c.body) > maxKeptBatch {
		c.body = nil
	}
	return err
}

// message takes in a message that has come whole.
func (ch *channel) message(body []byte) error {
	ch.content.expects = nothing
	return ch.publishMessage(body)
}

// appendClean appends a name without its line breaks.
func appendClean(dst, name []byte) []byte {
	for _, c := range name {
		if c != '\r' && c != '\n' {
			dst = append(dst, c)
		}
	}
	return dst
}
