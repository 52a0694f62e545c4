package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"
)

// Conn is a connection of a protocol.
type Conn interface {
	// Serve serves the connection to its end, and closes the socket.
	Serve()
	// Drain has Serve return soon, once what is under way is answered. Any
	// goroutine may call it, even before Serve.
	Drain()
	// Abort has Serve return at once. Any goroutine may call it.
	Abort()
}

// Gate admits the connections of a protocol. All methods may be called from any
// goroutine.
type Gate[C Conn] struct {
	open  func(net.Conn) C
	limit int
	log   *slog.Logger

	mu      sync.Mutex
	conns   map[net.Conn]*served[C]
	closing bool
	running sync.WaitGroup
}

// served is an admitted connection: a socket, and the Conn once it is secured.
type served[C Conn] struct {
	conn C
	is   bool
}

// New returns a gate that lets in limit connections at a time. It makes each,
// once it is admitted and secured, with open.
func New[C Conn](limit int, log *slog.Logger, open func(net.Conn) C) *Gate[C] {
	return &Gate[C]{open: open, limit: limit, log: log, conns: make(map[net.Conn]*served[C])}
}

// Serve accepts connections from l until it is closed. It returns nil when that
// is because of Shutdown, or of Close of l. When the process or the machine has
// no more sockets to give it waits until there are some again.
func (g *Gate[C]) Serve(l net.Listener) error {
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			g.Admit(nc)
		case g.stopping() || errors.Is(err, net.ErrClosed):
			return nil
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOBUFS),
			errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.ECONNABORTED):
			g.log.Warn("no connection can be accepted for now", "error", err)
			time.Sleep(acceptPause)
		default:
			return fmt.Errorf("accepting connections on %s: %w", l.Addr(), err)
		}
	}
}

// Admit serves a connection on a goroutine of its own, or closes it when the
// gate is full or shut.
func (g *Gate[C]) Admit(nc net.Conn) {
	g.mu.Lock()
	admitted := !g.closing && len(g.conns) < g.limit
	if admitted {
		g.conns[nc] = new(served[C])
		g.running.Add(1)
	}
	g.mu.Unlock()
	if !admitted {
		_ = nc.Close()
		return
	}
	go g.serve(nc)
}

func (g *Gate[C]) serve(nc net.Conn) {
	defer g.running.Done()
	defer g.dismiss(nc)
	if err := secure(nc); err != nil {
		if !g.stopping() && !errors.Is(err, io.EOF) { // a probe of the port says nothing
			g.log.Info("refusing a client: no TLS", "client", nc.RemoteAddr().String(), "error", err)
		}
		_ = nc.Close()
		return
	}
	if c, ok := g.enter(nc); ok {
		c.Serve()
		return
	}
	_ = nc.Close()
}

// secure shakes hands on a connection with TLS.
func secure(nc net.Conn) error {
	t, ok := nc.(*tls.Conn)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTime)
	defer cancel()
	return t.HandshakeContext(ctx)
}

// enter makes the connection of an admitted socket, unless the gate has been
// shut meanwhile.
func (g *Gate[C]) enter(nc net.Conn) (c C, ok bool) {
	c = g.open(nc)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing {
		return c, false
	}
	*g.conns[nc] = served[C]{c, true}
	return c, true
}

func (g *Gate[C]) dismiss(nc net.Conn) {
	g.mu.Lock()
	delete(g.conns, nc)
	g.mu.Unlock()
}

// stopping reports whether Shutdown was called.
func (g *Gate[C]) stopping() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closing
}

// Open returns the connections that are served, in no order.
func (g *Gate[C]) Open() []C {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]C, 0, len(g.conns))
	for _, s := range g.conns {
		if s.is {
			all = append(all, s.conn)
		}
	}
	return all
}

// Shutdown drains all connections, aborts those that have not ended when ctx is
// done, and returns once there are none. The listeners are the caller's to
// close, before.
func (g *Gate[C]) Shutdown(ctx context.Context) {
	g.mu.Lock()
	g.closing = true
	for nc, s := range g.conns {
		if s.is {
			s.conn.Drain()
		} else {
			_ = nc.Close()
		}
	}
	g.mu.Unlock()
	done := make(chan struct{})
	go func() {
		g.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return
	case <-ctx.Done():
	}
	for _, c := range g.Open() {
		c.Abort()
	}
	<-done
}
