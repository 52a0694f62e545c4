package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ProtocolHeader is what a client sends first, and what it is sent back when
// it sends anything else (AMQP 0-9-1 §4.2.2).
const ProtocolHeader = "AMQP\x00\x00\x09\x01"

// FrameType is the kind of a frame.
type FrameType uint8

// The frame types (AMQP 0-9-1 §4.2.3).
const (
	FrameMethod    FrameType = 1
	FrameHeader    FrameType = 2
	FrameBody      FrameType = 3
	FrameHeartbeat FrameType = 8
)

// A frame on the wire:
//
//	0      1         3             7          7+length
//	+------+---------+-------------+---------+-----------+
//	| type | channel |   length    | payload | end: 0xCE |
//	+------+---------+-------------+---------+-----------+
const (
	// HeadSize is the length of what comes before the payload, in bytes.
	HeadSize = 7
	// Overhead is the length of a frame without payload.
	Overhead = HeadSize + 1

	frameEnd  = 0xCE
	lengthPos = 3
)

// What can be wrong with bytes that should be frames, methods or content
// headers. All are RabbitMQ's FRAME_ERROR (501).
var (
	ErrFrameTooLarge = errors.New("frame too large")
	ErrFrameEnd      = errors.New("no end of frame where its length says")
	ErrMalformed     = errors.New("malformed fields")
)

// Frame is one frame as it was read.
type Frame struct {
	Type    FrameType
	Channel uint16
	Payload []byte
}

// ParseFrame takes the frame at the beginning of b, whose payload then aliases
// b, and returns the length of the whole frame. If b does not hold all of it,
// the length is still that of the whole frame, or 0 as long as not even that is
// known, and ok is false. A frame may be frameMax bytes long and a little more;
// 0 is no limit.
func ParseFrame(b []byte, frameMax uint32) (f Frame, n int, ok bool, err error) {
	if len(b) < HeadSize {
		return f, 0, false, nil
	}
	size := binary.BigEndian.Uint32(b[lengthPos:])
	if limit := int64(frameMax) - Overhead + frameSlack; frameMax != 0 && int64(size) > limit {
		return f, 0, false, fmt.Errorf("%w: type %d, size %d, max size %d", ErrFrameTooLarge, b[0], size, limit-frameSlack)
	}
	n = int(size) + Overhead
	if len(b) < n {
		return f, n, false, nil
	}
	if b[n-1] != frameEnd {
		return f, n, false, fmt.Errorf("%w: type %d, size %d, byte %#02x", ErrFrameEnd, b[0], size, b[n-1])
	}
	f = Frame{Type: FrameType(b[0]), Channel: binary.BigEndian.Uint16(b[1:]), Payload: b[HeadSize : n-1]}
	return f, n, true, nil
}

// beginFrame appends the head of a frame, endFrame its length and end.
func beginFrame(b []byte, t FrameType, channel uint16) []byte {
	return append(b, byte(t), byte(channel>>8), byte(channel), 0, 0, 0, 0)
}

func endFrame(b []byte, start int) []byte {
	binary.BigEndian.PutUint32(b[start+lengthPos:], uint32(len(b)-start-HeadSize))
	return append(b, frameEnd)
}

// AppendHeartbeat appends a heartbeat frame.
func AppendHeartbeat(b []byte) []byte {
	return endFrame(beginFrame(b, FrameHeartbeat, 0), len(b))
}

// AppendMethod appends a method frame.
func AppendMethod(b []byte, channel uint16, m Method) []byte {
	start := len(b)
	c := beginMethod(b, channel, m.ID())
	m.walk(&c)
	return endFrame(c.b, start)
}

// AppendContentHeader appends the header frame of a content of class basic.
func AppendContentHeader(b []byte, channel uint16, size uint64, p *Properties) []byte {
	start := len(b)
	c := coder{b: beginFrame(b, FrameHeader, channel), writing: true}
	c.b = append(c.b, 0, classBasic, 0, 0)
	c.b = binary.BigEndian.AppendUint64(c.b, size)
	p.walk(&c)
	return endFrame(c.b, start)
}

// AppendRawContentHeader is like AppendContentHeader for properties that are
// encoded already: their flags and fields as Properties.AppendTo writes them.
func AppendRawContentHeader(b []byte, channel uint16, size uint64, properties []byte) []byte {
	start := len(b)
	b = append(beginFrame(b, FrameHeader, channel), 0, classBasic, 0, 0)
	b = binary.BigEndian.AppendUint64(b, size)
	b = append(b, properties...)
	return endFrame(b, start)
}

// AppendBody appends the body frames of a content, none if it is empty, each
// at most frameMax bytes long with its overhead; 0 is no limit.
func AppendBody(b []byte, channel uint16, body []byte, frameMax uint32) []byte {
	for len(body) > 0 {
		part := body
		if most := int(frameMax) - Overhead; frameMax != 0 && len(part) > most {
			part = part[:most]
		}
		start := len(b)
		b = endFrame(append(beginFrame(b, FrameBody, channel), part...), start)
		body = body[len(part):]
	}
	return b
}
