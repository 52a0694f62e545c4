package kafka

import (
	"bufio"
	"bytes"
	"io"
	"time"

	"github.com/polylog-mq/polylog/internal/protocol/kafka/wire"
)

// A connection's socket is lent to the server's poller while its requests are
// small: that reads many sockets with one goroutine, and begins the calls. What
// it does not do the connection's own goroutine does, from where the poller has
// stopped: to wait (for the rest of a frame, for room in the pipeline, for the
// broker), to read what is large, to look inside of batches, and to end.

// lendable reports whether the poller may go on with what comes next.
func (c *conn) lendable() bool {
	return c.watch != nil && c.in.Buffered() == 0 && len(c.left) == 0 && c.session.patience == 0
}

// goOn makes the connection's goroutine the reader, from where the poller has
// stopped.
func (c *conn) goOn() error {
	c.in, c.idle = c.session.server.reader(c), time.Time{}
	for i, part := range c.session.slow {
		c.session.slow[i] = nil
		part.append()
	}
	c.session.slow = c.session.slow[:0]
	if c.fault != nil {
		return c.fault
	}
	return c.pause()
}

// Read implements io.Reader, for in.
func (c *conn) Read(b []byte) (int, error) {
	if len(c.left) == 0 {
		return c.nc.Read(b)
	}
	n := copy(b, c.left)
	if c.left = c.left[n:]; len(c.left) == 0 {
		c.left = nil
	}
	return n, nil
}

// reader returns a buffer for what src reads.
func (s *Server) reader(src io.Reader) *bufio.Reader {
	if r, ok := s.readers.Get().(*bufio.Reader); ok {
		r.Reset(src)
		return r
	}
	return bufio.NewReaderSize(src, readBuffer)
}

// take makes calls of what the poller has read. It returns false for the
// connection's goroutine to go on. If there are few clients, and this one sends
// one batch at a time, that has the time to write the log itself.
func (c *conn) take(b []byte, alone bool) bool {
	c.heard.Store(true)
	on := true
	if alone && c.pipe.idle() && c.produces(b) {
		c.session.patience, on = mostPatience, false
	}
	c.session.hasty = true
	for on && len(b) > 0 {
		f := c.cut(b)
		if f == nil {
			on = false
			break
		}
		b = b[wire.LengthSize+len(f.B):]
		atOnce, err := c.begin(f)
		c.fault = err
		on = err == nil && len(c.session.slow) == 0 && (!atOnce || c.accepting())
	}
	c.session.hasty = false
	if !on {
		c.left = bytes.Clone(b)
	}
	return on
}

// produces reports whether a frame that is handled at once begins b.
func (c *conn) produces(b []byte) bool {
	key, _, ok := wire.Peek(b[min(len(b), wire.LengthSize):])
	row := c.session.server.table.lookup(key)
	return ok && row != nil && row.when == atOnce
}

// cut returns the frame that b begins with, nil if that is not for the poller to
// take.
func (c *conn) cut(b []byte) *wire.Frame {
	if len(b) < wire.LengthSize+wire.PeekSize {
		return nil
	}
	head, b := [wire.LengthSize]byte(b), b[wire.LengthSize:]
	n, err := wire.FrameLength(head, min(maxLent, c.session.server.table.maxFrameOf(b)))
	if err != nil || n > len(b) || !c.pipe.fits(n) {
		return nil // or the reader finds the same
	}
	f := wire.NewFrame(n)
	copy(f.B, b)
	return f
}
