package load

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Versions without tagged fields and topic ids, so that every answer's error
// code lies at a fixed place. Both servers speak them.
const (
	produceVersion = 8
	fetchVersion   = 11
)

// maxFrame bounds the answers that a generator accepts.
const maxFrame = 128 << 20

// conn is one Kafka connection of a generator.
type conn struct {
	net.Conn
	r   *bufio.Reader
	buf []byte
}

func dial(addr string) (*conn, error) {
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &conn{Conn: c, r: bufio.NewReaderSize(c, 256<<10)}, nil
}

// frame reads one answer; the bytes are valid until the next call.
func (c *conn) frame() ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(c.r, size[:]); err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	n := int(binary.BigEndian.Uint32(size[:]))
	if n < 4 || n > maxFrame {
		return nil, fmt.Errorf("read answer: length %d is not plausible", n)
	}
	if cap(c.buf) < n {
		c.buf = make([]byte, n)
	}
	b := c.buf[:n]
	if _, err := io.ReadFull(c.r, b); err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return b, nil
}

// encode returns the request as a frame; its correlation id is at byte 8.
func encode(req kmsg.Request, version int16) []byte {
	req.SetVersion(version)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("polylog-bench")).AppendRequest(nil, req, 0)
}

// ask sends one request and waits for its answer.
func (c *conn) ask(req kmsg.Request, version int16, into kmsg.Response) error {
	if _, err := c.Write(encode(req, version)); err != nil {
		return fmt.Errorf("send request %d: %w", req.Key(), err)
	}
	b, err := c.frame()
	if err != nil {
		return err
	}
	into.SetVersion(version)
	body := b[4:]
	if into.IsFlexible() {
		body = body[1:]
	}
	if err := into.ReadFrom(body); err != nil {
		return fmt.Errorf("decode answer to request %d: %w", req.Key(), err)
	}
	return nil
}
