package amqp

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
	"github.com/polylog-mq/polylog/internal/protocol/listen"
)

// newConn makes a connection of a socket.
func (s *Server) newConn(nc net.Conn) *conn {
	c := &conn{nc: nc, server: s, since: s.opts.Clock.Now(), room: make(chan struct{}, 1), gone: make(chan struct{})}
	c.session = newSession(s, nc.RemoteAddr().String(), isLoopback(nc.RemoteAddr()))
	c.session.certificate = listen.Certificate(nc)
	c.session.blocking, c.session.poke, c.session.named = c.waitForRoom, c.poke, c.name
	if c.socket = listen.NewSocket(nc); c.socket != nil {
		c.session.here = c.answer
	}
	c.session.breathe = func() bool { return c.pause() == nil && c.session.phase == running }
	c.resume = func() { signal(c.room) }
	return c
}

// conn is one connection: a socket with its two goroutines.
type conn struct {
	nc      net.Conn
	server  *Server
	session *session
	since   time.Time
	once    sync.Once // for Abort
	gone    chan struct{}
	ending  atomic.Bool // the reader is done: the writer empties the outbox and ends

	// The reader's.
	buf        []byte
	start, end int    // of what is not parsed yet
	idle       int    // reads in a row that needed little of the buffer
	resume     func() // given to the broker when it asks for a pause
	room       chan struct{}

	// What went over the socket: the reader's numbers, and the writer's.
	received, reads int64
	sent, writes    atomic.Int64
	armed           time.Time // the read deadline that is set, if hasArmed
	hasArmed        bool

	// The writer's.
	beat  *time.Timer
	every time.Duration // between heartbeats; 0 none
	wrote atomic.Bool   // since the last one

	socket  *listen.Socket // nil: only nc can write
	writing sync.Mutex     // guards the following, and the order of what is written
	spare   []byte
	rest    []byte    // what answer was to write and did not
	slow    time.Time // the write deadline
	over    bool      // the writer has ended
}

var errGone = errors.New("the connection was given up")

// Serve runs the connection to its end.
func (c *conn) Serve() {
	written := make(chan struct{})
	go func() {
		defer close(written)
		err := c.writeLoop()
		c.writing.Lock()
		c.over = true
		c.writing.Unlock()
		if err != nil {
			c.note("writing", err)
			c.Abort()
		}
	}()
	c.note("reading", c.readLoop())
	c.ending.Store(true)
	signal(c.session.out.wake)
	<-written
	c.session.end() // first: what the client had must not wait for its farewell
	c.linger()
	c.Abort()
}

// linger lets the client read the last that was written: to close a socket with
// something unread in it can take that back.
func (c *conn) linger() {
	t, ok := c.nc.(interface{ CloseWrite() error }) // TCP, or TLS over it
	if !ok || t.CloseWrite() != nil || c.nc.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	_, _ = io.Copy(io.Discard, c.nc)
}

// note logs why a connection ended, unless that is how connections end.
func (c *conn) note(doing string, err error) {
	var f *fault
	switch {
	case err == nil, errors.Is(err, errGone), errors.Is(err, errClosed), errors.Is(err, net.ErrClosed),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
	case errors.Is(err, os.ErrDeadlineExceeded) && doing == "reading":
		c.server.log.Info("closing a connection that has gone silent", "client", c.session.client)
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.server.log.Info("disconnecting a client that is too slow", "client", c.session.client)
	case errors.As(err, &f):
		c.server.log.Info("refusing a client", "client", c.session.client, "error", err)
	default:
		c.server.log.Info("closing a connection", "client", c.session.client, "while", doing, "error", err)
	}
}

// Abort ends the connection now. Any goroutine may call it.
func (c *conn) Abort() {
	c.once.Do(func() {
		_ = c.nc.Close()
		c.session.out.close()
		close(c.gone)
		signal(c.session.out.wake)
		signal(c.room)
	})
}

// Drain has the reader tell the client that the connection is over.
func (c *conn) Drain() {
	c.session.post(func() { c.session.force("broker forced connection closure with reason 'shutdown'") })
}

// poke ends a read that is under way, or the next one.
func (c *conn) poke() {
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
	signal(c.room)
}

// readLoop takes in what the client sends, until the connection ends or breaks.
func (c *conn) readLoop() error {
	deadline := time.Now().Add(c.server.times.handshake)
	for was := c.session.phase; ; {
		n, need, err := c.session.feed(c.buf[c.start:c.end])
		c.start += n
		c.session.endBurst()
		switch {
		case errors.Is(err, errSilent):
			return c.refuse(err)
		case err != nil:
			return err
		}
		c.session.runPosted()
		if err := c.pause(); err != nil {
			return err
		}
		if q := c.session.outrun(); q != nil {
			c.giveWay(q.Behind)
		}
		switch p := c.session.phase; {
		case p == running:
			deadline = time.Time{}
			if t := c.session.heartbeat; t > 0 {
				deadline = time.Now().Add(time.Duration(2*t)*time.Second + time.Duration(t)*time.Second/2)
			}
		case p != was && p == closing:
			deadline = time.Now().Add(c.server.times.close)
		}
		if was = c.session.phase; c.session.over {
			return errGone
		}
		if err := c.read(need, deadline); err != nil {
			return err
		}
	}
}

// read waits for more bytes. need is how long the next frame is, 0 if that is
// not known yet.
func (c *conn) read(need int, deadline time.Time) error {
	c.makeRoom(need)
	if err := c.arm(deadline); err != nil {
		return err
	}
	if c.session.runPosted() {
		return nil // the deadline may have taken the place of the one that poke set
	}
	n, err := c.nc.Read(c.buf[c.end:])
	c.end += n
	c.received += int64(n)
	c.reads++
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// It was poke's, or one of before.
		c.hasArmed = false
		if c.session.runPosted() || deadline.IsZero() || time.Now().Before(deadline) {
			return nil
		}
	}
	if n > 0 {
		return nil
	}
	return err
}

// arm sees to it that reading ends at the deadline, or before that, to be gone on
// with: to set a deadline for every read costs more than to look at the clock.
func (c *conn) arm(deadline time.Time) error {
	if c.hasArmed && (deadline.IsZero() || !c.armed.IsZero() && !c.armed.After(deadline)) {
		return nil
	}
	c.hasArmed, c.armed = true, deadline
	return c.nc.SetReadDeadline(deadline)
}

// makeRoom sees to it that there is room behind what is not parsed yet: for the
// next frame whole, for as much as comes at a time, and, on a connection that
// says little, for little.
func (c *conn) makeRoom(need int) {
	have := c.end - c.start
	size := len(c.buf)
	switch {
	case size == 0:
		size = minReadBuffer
	case need > size:
		size = need
	case c.end == size && size < maxReadBuffer:
		size, c.idle = 4*size, 0 // the last read filled it
	case c.end < size/8:
		if c.idle++; c.idle > 64 && size > minReadBuffer && have == 0 {
			size, c.idle = minReadBuffer, 0
		}
	default:
		c.idle = 0
	}
	if size != len(c.buf) {
		b := make([]byte, size)
		copy(b, c.buf[c.start:c.end])
		c.buf = b
	} else {
		copy(c.buf, c.buf[c.start:c.end])
	}
	c.start, c.end = 0, have
}

// refuse keeps a client that failed to log in waiting before the connection
// ends, so that guessing is slow.
func (c *conn) refuse(err error) error {
	t := time.NewTimer(c.server.times.refusal)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.gone:
	}
	return err
}

// pause waits while the broker, or this connection, has too much under way.
func (c *conn) pause() error {
	for c.session.crowded() || !c.server.opts.Broker.Accepting(c.resume) {
		if c.session.crowded() {
			c.session.whenRoom(c.resume)
		}
		select {
		case <-c.room:
		case <-c.gone:
			return errGone
		}
		c.session.runPosted()
		if c.session.phase == closing {
			return nil
		}
	}
	return nil
}

// giveWay waits a moment for consumers that are behind.
func (c *conn) giveWay(behind func() bool) {
	t := time.NewTimer(giveWayStep)
	defer t.Stop()
	for range giveWaySteps {
		select {
		case <-t.C:
		case <-c.gone:
			return
		}
		if !behind() {
			return
		}
		t.Reset(giveWayStep)
	}
}

// waitForRoom waits a moment for the disk to have room again. It returns false
// when the connection is to end.
func (c *conn) waitForRoom() bool {
	t := time.NewTimer(c.server.times.full)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.gone:
	}
	select {
	case <-c.gone:
		return false
	default:
		c.session.runPosted()
		return c.session.phase == running
	}
}

// writeLoop writes the outbox, until the reader has ended and it is empty.
func (c *conn) writeLoop() error {
	c.beat = time.NewTimer(time.Hour)
	defer c.beat.Stop()
	out := c.session.out
	for {
		last := c.ending.Load()
		some, err := c.writeAll(out)
		if err != nil {
			return err
		}
		c.session.replenish()
		switch {
		case some:
		case last:
			return nil
		default:
			c.await()
		}
		select {
		case <-c.gone:
			return errGone
		default:
		}
	}
}

// writeAll writes what there is, and reports whether there was anything.
func (c *conn) writeAll(out *outbox) (some bool, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if some = len(c.rest) > 0; some {
		if err := c.write(c.rest); err != nil {
			return true, err
		}
		c.rest = c.rest[:0]
	}
	b := out.take(c.spare)
	if c.spare = b; cap(b) > maxKeptOutput {
		c.spare = nil
	}
	if len(b) == 0 {
		return some, nil
	}
	return true, c.write(b)
}

// await waits until there is something to write, or time for a heartbeat.
func (c *conn) await() {
	if t := time.Duration(c.session.beats.Load()) * time.Second / 2; t != c.every {
		c.every = t
		c.beat.Reset(max(t, 1))
	}
	select {
	case <-c.session.out.wake:
	case <-c.beat.C:
		if c.every > 0 {
			c.beat.Reset(c.every)
			if !c.wrote.Swap(false) {
				c.session.out.append(wire.AppendHeartbeat)
			}
		}
	}
}

// write writes b in parts.
func (c *conn) write(b []byte) error {
	for len(b) > 0 {
		part := b[:min(len(b), maxWrite)]
		if err := c.mayWrite(); err != nil {
			return err
		}
		if _, err := c.nc.Write(part); err != nil {
			return err
		}
		c.written(len(part))
		b = b[len(part):]
	}
	return nil
}

// written counts a write of n bytes.
func (c *conn) written(n int) {
	c.wrote.Store(true)
	c.sent.Add(int64(n))
	c.writes.Add(1)
}

// mayWrite sees to it that there is at least the whole of the write timeout for the
// next bytes, and at most twice that.
func (c *conn) mayWrite() error {
	now, limit := time.Now(), c.server.times.write
	if c.slow.Sub(now) >= limit {
		return nil
	}
	c.slow = now.Add(2 * limit)
	return c.nc.SetWriteDeadline(c.slow)
}
