package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// echo is a connection that gives back what it gets, until it is drained.
type echo struct {
	nc    net.Conn
	stuck chan struct{} // closed by Abort; Drain does not end a stuck one
	deaf  bool
	once  sync.Once
}

func (e *echo) Serve() {
	_, _ = io.Copy(e.nc, e.nc)
	if e.deaf {
		<-e.stuck
	}
	_ = e.nc.Close()
}

func (e *echo) Drain() { _ = e.nc.SetReadDeadline(time.Unix(1, 0)) }

func (e *echo) Abort() { e.once.Do(func() { close(e.stuck) }) }

// gate serves echoes on an address until the test ends.
func gate(t *testing.T, limit int, deaf bool, config *tls.Config) (*Gate[*echo], string) {
	t.Helper()
	g := New(limit, slog.New(slog.DiscardHandler), func(nc net.Conn) *echo {
		return &echo{nc: nc, stuck: make(chan struct{}), deaf: deaf}
	})
	l := bind(t)
	served := make(chan error, 1)
	go func() { served <- g.Serve(Secure(l, config)) }()
	t.Cleanup(func() {
		_ = l.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		g.Shutdown(ended)
	})
	return g, l.Addr().String()
}

func bind(t *testing.T) net.Listener {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	var d net.Dialer
	nc, err := d.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return nc
}

// answers reports whether a connection is served.
func answers(t *testing.T, nc net.Conn) bool {
	t.Helper()
	b := []byte{7}
	_, err := nc.Write(b)
	if err == nil {
		_, err = io.ReadFull(nc, b)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("neither served nor closed")
	}
	return err == nil
}

func TestConnectionsAreLimited(t *testing.T) {
	g, address := gate(t, 2, false, nil)
	first, second := dial(t, address), dial(t, address)
	if !answers(t, first) || !answers(t, second) || len(g.Open()) != 2 {
		t.Fatal("a connection within the limit is refused")
	}
	if answers(t, dial(t, address)) {
		t.Fatal("a connection beyond the limit is served")
	}
	_ = first.Close()
	for !answers(t, dial(t, address)) { // until the place is free
		if t.Context().Err() != nil {
			t.Fatal("a place never gets free")
		}
	}
}

// scarce is a listener that runs out of sockets before it gives one.
type scarce struct {
	net.Listener
	failures int
}

func (l *scarce) Accept() (net.Conn, error) {
	if l.failures > 0 {
		l.failures--
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

func TestServeOutlivesAShortageOfSockets(t *testing.T) {
	g, _ := gate(t, 2, false, nil)
	l := bind(t)
	served := make(chan error, 1)
	go func() { served <- g.Serve(&scarce{l, 1}) }()
	if !answers(t, dial(t, l.Addr().String())) {
		t.Error("not served after a shortage")
	}
	_ = l.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestShutdownDrainsAndThenAborts(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		g, address := gate(t, 10, deaf, nil)
		nc := dial(t, address)
		if !answers(t, nc) {
			t.Fatal("not served")
		}
		patience := 20 * time.Second
		if deaf {
			patience = 20 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		g.Shutdown(ctx)
		if aborted := ctx.Err() != nil; aborted != deaf {
			t.Errorf("deaf %v: aborted %v", deaf, aborted)
		}
		cancel()
		if answers(t, nc) || answers(t, dial(t, address)) {
			t.Error("served after Shutdown")
		}
	}
}

// TestShutdownWhileHandshaking has a client that says nothing keep neither a
// place nor the server.
func TestShutdownWhileHandshaking(t *testing.T) {
	files := certificates(t, vfs.NewMem())
	g, address := gate(t, 10, false, files.config(t, false))
	nc := dial(t, address)
	for held := 0; held == 0; {
		g.mu.Lock()
		held = len(g.conns)
		g.mu.Unlock()
	}
	if n := len(g.Open()); n != 0 {
		t.Errorf("%d connections are open before the handshake", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	g.Shutdown(ctx)
	if ctx.Err() != nil {
		t.Fatal("a handshake kept the server from stopping")
	}
	if answers(t, nc) {
		t.Error("served after Shutdown")
	}
}
