package kafka

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/polylog-mq/polylog/internal/protocol/kafka/wire"
	"github.com/polylog-mq/polylog/internal/protocol/listen"
)

// newConn makes a connection of a socket.
func (s *Server) newConn(nc net.Conn) *conn {
	c := &conn{nc: nc, pipe: newPipeline()}
	c.in = s.reader(c)
	c.resume = func() {
		c.paused.Store(false)
		signal(c.pipe.room)
	}
	c.session = newSession(s, addrPort(nc.RemoteAddr()), addrPort(nc.LocalAddr()))
	_, c.session.secure = nc.(*tls.Conn)
	if c.socket = listen.NewSocket(nc); c.socket != nil {
		a := s.answerers.assign()
		c.pipe.prompt, c.pipe.here = func() { a.add(c) }, c.answerPromptly
		c.watch = s.poller.Watch(c.socket, c.take)
	}
	return c
}

// addrPort returns an address as numbers, the zero value if it has none.
func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort()
	}
	return netip.AddrPort{}
}

// conn is one connection: a socket with its two goroutines.
type conn struct {
	nc      net.Conn
	pipe    *pipeline
	session *session
	once    sync.Once // for Abort

	// The reader's, who is the poller while the socket is lent to it.
	in     *bufio.Reader // nil while it is lent
	left   []byte        // what the poller has read and not taken
	fault  error         // that it has found
	watch  *listen.Watch // nil: the socket cannot be lent
	quiet  *time.Timer   // while it is lent: time to see whether the client has said anything
	heard  atomic.Bool   // that it has
	last   int           // bytes of the last frame, up to trustedRead
	idle   time.Time     // the read deadline while nothing comes
	resume func()        // given to the broker when it asks for a pause
	paused atomic.Bool   // until then

	// The writer's, who has claimed the pipeline.
	out    wire.Output
	slow   time.Time      // the write deadline
	done   []*call        // answered in out, to be freed once that is written
	part   net.Buffers    // of out that is being written; here so as not to be allocated
	sent   int            // bytes of out that are written already
	socket *listen.Socket // nil: only nc can write
}

var (
	errDraining = errors.New("the server is stopping")
	errGone     = errors.New("the connection was given up")
	errIdle     = errors.New("idle for too long")
)

// Serve runs the connection to its end.
func (c *conn) Serve() {
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.note("writing", c.writeLoop())
		c.Abort()
	}()
	if err := c.readLoop(); !errors.Is(err, errDraining) {
		c.note("reading", err)
		c.Abort()
	}
	<-written
	if c.watch != nil {
		c.watch.Close()
	}
	c.session.close()
}

// note logs why a connection ended, unless that is how connections end.
func (c *conn) note(doing string, err error) {
	log := c.session.server.log
	switch {
	case err == nil, errors.Is(err, errGone), errors.Is(err, errIdle), errors.Is(err, net.ErrClosed),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
	case errors.Is(err, os.ErrDeadlineExceeded):
		log.Info("disconnecting a client that is too slow", "client", c.session.client, "while", doing)
	default:
		log.Info("closing a connection", "client", c.session.client, "while", doing, "error", err)
	}
}

// Abort ends the connection now. Any goroutine may call it.
func (c *conn) Abort() {
	c.once.Do(func() {
		_ = c.nc.Close()
		c.pipe.abandon()
	})
}

// Drain stops the reader; what is under way is still answered.
func (c *conn) Drain() {
	c.pipe.end()
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
}

// readLoop makes calls of what the client sends, until it ends or breaks.
func (c *conn) readLoop() error {
	for {
		if c.lendable() {
			if err := c.lend(); err != nil {
				return err
			}
		}
		f, err := c.readFrame()
		if err != nil {
			if c.pipe.stopped() {
				return errDraining
			}
			return err
		}
		atOnce, err := c.begin(f)
		if err != nil {
			return err
		}
		if atOnce && !c.accepting() {
			if err := c.pause(); err != nil {
				return err
			}
		}
	}
}

// lend lends the socket to the poller and returns when the reader has to go on
// itself. An error ends the connection.
func (c *conn) lend() error {
	s := c.session.server
	c.in.Reset(nil)
	s.readers.Put(c.in)
	c.in = nil
	c.heard.Store(true)
	if !c.watch.Lend() {
		c.watch.Close()
		c.watch = nil
		return c.goOn()
	}
	if c.quiet == nil {
		c.quiet = time.NewTimer(s.times.idle / 2)
	} else {
		c.quiet.Reset(s.times.idle / 2)
	}
	defer c.quiet.Stop()
	for {
		select {
		case <-c.watch.Returned():
			return c.goOn()
		case <-c.pipe.over:
			c.watch.Reclaim()
			return errDraining
		case <-c.quiet.C:
			if !c.heard.Swap(false) && c.pipe.idle() {
				c.watch.Reclaim()
				return errIdle
			}
			c.quiet.Reset(s.times.idle / 2)
		}
	}
}

// begin makes a call of a frame, and handles it if that is to be done at once.
func (c *conn) begin(f *wire.Frame) (atOnce bool, err error) {
	x, err := c.session.open(c.pipe, f)
	if err != nil {
		return false, err
	}
	c.pipe.drained = !c.session.hasty && c.in.Buffered() == 0 && len(c.left) == 0
	row := x.api // x belongs to the writer once it may work on it
	if !c.pipe.add(x, row.when == inTurn) {
		return false, errGone
	}
	if row.when == inTurn {
		return false, nil
	}
	row.handle(x)
	return true, nil
}

// accepting reports whether the broker takes more; if not, paused stays set until
// it does.
func (c *conn) accepting() bool {
	c.paused.Store(true)
	if !c.session.server.opts.Broker.Accepting(c.resume) {
		return false
	}
	c.paused.Store(false)
	return true
}

// pause waits while the broker has too much under way.
func (c *conn) pause() error {
	for c.paused.Load() {
		if c.pipe.stopped() {
			return errDraining
		}
		<-c.pipe.room
	}
	return nil
}

// readFrame reads the next request whole.
func (c *conn) readFrame() (*wire.Frame, error) {
	head, err := c.awaitFrame()
	if err != nil {
		return nil, err
	}
	limit := c.session.server.table.maxFrameOf(head[wire.LengthSize:])
	n, err := wire.FrameLength([wire.LengthSize]byte(head), limit)
	if err != nil {
		return nil, err
	}
	if _, err := c.in.Discard(wire.LengthSize); err != nil {
		return nil, err
	}
	if n > c.in.Buffered() {
		c.idle = time.Time{}
	}
	if n > maxLent {
		c.session.patience = mostPatience
	}
	f := wire.NewFrame(min(n, max(firstRead, c.last)))
	c.last = min(n, trustedRead)
	for have := 0; ; {
		if c.idle.IsZero() {
			if err := c.nc.SetReadDeadline(time.Now().Add(c.session.server.times.read)); err != nil {
				return nil, err
			}
		}
		if _, err := io.ReadFull(c.in, f.B[have:]); err != nil {
			return nil, fmt.Errorf("reading a request of %d bytes: %w", n, err)
		}
		if have = len(f.B); have == n {
			return f, nil
		}
		f = f.Grow(min(n, readGrowth*have))
	}
}

// awaitFrame waits for the first bytes of a frame and returns them unread.
func (c *conn) awaitFrame() ([]byte, error) {
	const enough = wire.LengthSize + wire.PeekSize
	for {
		if c.in.Buffered() < enough {
			if now, idle := time.Now(), c.session.server.times.idle; c.idle.Sub(now) < idle/2 {
				c.idle = now.Add(idle)
				if err := c.nc.SetReadDeadline(c.idle); err != nil {
					return nil, err
				}
			}
			if c.pipe.stopped() {
				return nil, errDraining
			}
		}
		b, err := c.in.Peek(enough)
		switch {
		case err == nil:
			return b, nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return nil, err
		case c.pipe.idle():
			return nil, errIdle
		}
	}
}

// writeLoop answers the calls in their order, until the connection ends or
// breaks, but for those that are answered promptly.
func (c *conn) writeLoop() error {
	for {
		if !c.pipe.claim() {
			if !c.pipe.wait() {
				return nil
			}
			continue
		}
		err := c.work(false)
		for err == nil && !c.pipe.yield(false, false) {
			err = c.work(false)
		}
		if err != nil {
			c.pipe.yield(false, true)
			return err
		}
	}
}

// work answers the calls that are ready, with promptOnly those that are prompt,
// and writes the answers. The caller has the claim.
func (c *conn) work(promptOnly bool) error {
	for {
		x := c.pipe.take(promptOnly)
		if x == nil {
			return c.flush(promptOnly)
		}
		done, err := x.advance(&c.out)
		if err != nil {
			return errors.Join(err, c.flush(promptOnly))
		}
		if !done {
			continue
		}
		c.pipe.pop()
		c.done = append(c.done, x)
		if c.out.Size() >= maxGathered {
			if err := c.flush(promptOnly); err != nil || c.out.Size() > 0 {
				return err
			}
		}
	}
}

// flush writes the answers gathered and frees their calls. With promptOnly it
// does not wait: what the socket does not take stays in out.
func (c *conn) flush(promptOnly bool) error {
	if promptOnly {
		n, err := c.socket.Write(c.out.B[c.sent:])
		if c.sent += n; err == nil && c.sent < len(c.out.B) {
			return nil
		}
		c.flushed()
		return err
	}
	var err error
	rest := c.out.Buffers()
	if c.sent > 0 {
		cut(&rest, c.sent)
	}
	for len(rest) > 0 && err == nil {
		c.part = cut(&rest, maxWrite)
		if err = c.mayWrite(); err == nil {
			_, err = c.part.WriteTo(c.nc)
		}
	}
	c.flushed()
	return err
}

// flushed forgets what was written and frees its calls.
func (c *conn) flushed() {
	for _, x := range c.done {
		x.free()
	}
	clear(c.done)
	c.done = c.done[:0]
	c.out.Reset()
	c.sent = 0
}

// mayWrite sees to it that there is at least the whole of the write timeout for
// the next bytes, and at most twice that: to set a deadline costs more than to
// look at the clock.
func (c *conn) mayWrite() error {
	now, limit := time.Now(), c.session.server.times.write
	if c.slow.Sub(now) >= limit {
		return nil
	}
	c.slow = now.Add(2 * limit)
	return c.nc.SetWriteDeadline(c.slow)
}

// cut takes the first n bytes, or all there are, off the front of b.
func cut(b *net.Buffers, n int) net.Buffers {
	for i, s := range *b {
		if len(s) < n {
			n -= len(s)
			continue
		}
		part := append(net.Buffers(nil), (*b)[:i]...)
		part = append(part, s[:n])
		if n == len(s) {
			i++
		} else {
			(*b)[i] = s[n:]
		}
		*b = (*b)[i:]
		return part
	}
	part := *b
	*b = nil
	return part
}
