package wire

import (
	"encoding/binary"
	"fmt"
)

// The methods that come or go with every message have calls of their own, which
// allocate nothing: the coder of a call through the interface Method escapes.

// Parse is Parse without an allocation.
func (m *BasicPublish) Parse(args []byte) error {
	c := coder{b: args}
	m.walk(&c)
	return c.end(IDBasicPublish)
}

// Parse is Parse without an allocation.
func (m *BasicAck) Parse(args []byte) error {
	c := coder{b: args}
	m.walk(&c)
	return c.end(IDBasicAck)
}

// Append is AppendMethod without an allocation.
func (m *BasicAck) Append(b []byte, channel uint16) []byte {
	c := beginMethod(b, channel, IDBasicAck)
	m.walk(&c)
	return endFrame(c.b, len(b))
}

// Append is AppendMethod without an allocation.
func (m *BasicNack) Append(b []byte, channel uint16) []byte {
	c := beginMethod(b, channel, IDBasicNack)
	m.walk(&c)
	return endFrame(c.b, len(b))
}

// Append is AppendMethod without an allocation.
func (m *BasicDeliver) Append(b []byte, channel uint16) []byte {
	c := beginMethod(b, channel, IDBasicDeliver)
	m.walk(&c)
	return endFrame(c.b, len(b))
}

// beginMethod appends the head of a method frame.
func beginMethod(b []byte, channel uint16, id ID) coder {
	b = beginFrame(b, FrameMethod, channel)
	return coder{b: binary.BigEndian.AppendUint32(b, uint32(id)), writing: true}
}

// end says whether the fields were read, and nothing is left of them.
func (c *coder) end(id ID) error {
	if c.bad || len(c.b) > 0 {
		return fmt.Errorf("%w: %s", ErrMalformed, id)
	}
	return nil
}
