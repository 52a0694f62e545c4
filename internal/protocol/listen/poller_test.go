package listen

import (
	"bytes"
	"net"
	"sync"
	"testing"
	"time"
)

// watched is one end of a connection that a poller reads, with what take was
// given.
type watched struct {
	*Watch
	peer *net.TCPConn
	own  net.Conn

	mu     sync.Mutex
	got    []byte
	alone  bool // take was told so, the last time
	deny   bool // take wants the socket given back
	behind chan struct{}
}

func watch(t *testing.T, p *Poller) *watched {
	t.Helper()
	l := bind(t)
	peer := dial(t, l.Addr().String())
	own, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = own.Close() })
	s := NewSocket(own)
	if s == nil {
		t.Skip("sockets are read in another way here")
	}
	w := &watched{peer: peer.(*net.TCPConn), own: own, behind: make(chan struct{}, 1)}
	if w.Watch = p.Watch(s, w.takes); w.Watch == nil {
		t.Fatal("no watch")
	}
	t.Cleanup(w.Watch.Close)
	return w
}

func (w *watched) takes(b []byte, alone bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.alone = alone
	w.got = append(w.got, b...)
	select {
	case w.behind <- struct{}{}:
	default:
	}
	return !w.deny
}

func (w *watched) send(t *testing.T, b []byte) {
	t.Helper()
	if _, err := w.peer.Write(b); err != nil {
		t.Fatal(err)
	}
}

// wants waits until take was given exactly b since the last time.
func (w *watched) wants(t *testing.T, b []byte) {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		w.mu.Lock()
		got := bytes.Clone(w.got)
		if len(got) >= len(b) {
			w.got = nil
		}
		w.mu.Unlock()
		if len(got) >= len(b) {
			if !bytes.Equal(got, b) {
				t.Fatalf("%d bytes were read, which are not the %d sent", len(got), len(b))
			}
			return
		}
		select {
		case <-w.behind:
		case <-late:
			t.Fatalf("%d of %d bytes were read", len(got), len(b))
		}
	}
}

func (w *watched) isReturned(t *testing.T) {
	t.Helper()
	select {
	case <-w.Returned():
	case <-time.After(20 * time.Second):
		t.Fatal("the socket is not given back")
	}
}

// lend lends the socket to the poller.
func (w *watched) lend(t *testing.T) {
	t.Helper()
	if !w.Lend() {
		t.Fatal("the socket cannot be lent")
	}
}

func TestPollerReadsWhatComes(t *testing.T) {
	p := NewPoller(2)
	defer p.Close()
	large := bytes.Repeat([]byte("0123456789"), pollBuffer/3) // more than a buffer
	all := make([]*watched, 5)
	for i := range all {
		all[i] = watch(t, p)
		all[i].send(t, []byte("before"))
		all[i].lend(t)
	}
	for i, w := range all {
		w.wants(t, []byte("before"))
		w.send(t, []byte{byte(i)})
		w.wants(t, []byte{byte(i)})
	}
	for _, w := range all {
		sent := make(chan error, 1)
		go func() {
			_, err := w.peer.Write(large)
			sent <- err
		}()
		w.wants(t, large)
		if err := <-sent; err != nil {
			t.Error(err)
		}
	}
}

func TestPollerTellsWhoIsAlone(t *testing.T) {
	p := NewPoller(1)
	defer p.Close()
	w := watch(t, p)
	w.lend(t)
	for i := range manyLone + 1 {
		w.send(t, []byte{1})
		w.wants(t, []byte{1})
		w.mu.Lock()
		if w.alone != (i == manyLone) {
			t.Errorf("alone %v, the %dth time", w.alone, i+1)
		}
		w.mu.Unlock()
	}
}

func TestPollerGivesBack(t *testing.T) {
	p := NewPoller(1)
	defer p.Close()
	w := watch(t, p)
	w.deny = true
	w.lend(t)
	w.send(t, []byte("a"))
	w.isReturned(t)
	w.wants(t, []byte("a"))
	w.send(t, []byte("b"))
	w.deny = false
	w.lend(t) // what came meanwhile is told of
	w.wants(t, []byte("b"))
	w.Reclaim()
	w.send(t, []byte("c"))
	other := watch(t, p) // of the same goroutine: it has seen c's coming
	other.lend(t)
	other.send(t, []byte("x"))
	other.wants(t, []byte("x"))
	w.mu.Lock()
	if len(w.got) > 0 {
		t.Errorf("%q was read after Reclaim", w.got)
	}
	w.mu.Unlock()
	w.lend(t)
	w.wants(t, []byte("c"))
}

// TestPollerSeesTheEnd: also when it came together with the last bytes, so that
// nothing more will ever wake anybody.
func TestPollerSeesTheEnd(t *testing.T) {
	p := NewPoller(1)
	defer p.Close()
	for _, last := range []string{"", "last words"} {
		for _, early := range []bool{true, false} {
			w := watch(t, p)
			if !early {
				w.lend(t)
			}
			w.mu.Lock() // the poller, if it reads at once, waits in take
			w.send(t, []byte(last))
			if err := w.peer.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			w.mu.Unlock()
			if early {
				w.lend(t)
			}
			w.isReturned(t)
			w.wants(t, []byte(last))
		}
	}
	w := watch(t, p)
	w.lend(t)
	if err := w.peer.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = w.peer.Close() // a reset
	w.isReturned(t)
}

func TestPollerAfterClose(t *testing.T) {
	p := NewPoller(1)
	w := watch(t, p)
	p.Close()
	p.Close()
	if w.Lend() {
		t.Error("a closed poller is lent a socket")
	}
	if p.Watch(w.socket, w.takes) != nil {
		t.Error("a closed poller watches")
	}
	if NewPoller(1).Watch(nil, w.takes) != nil {
		t.Error("a poller watches nothing")
	}
}

// TestPollerForgets: a watch that was closed leaves nothing behind.
func TestPollerForgets(t *testing.T) {
	p := NewPoller(1)
	defer p.Close()
	for range 3 {
		w := watch(t, p)
		w.lend(t)
		w.Reclaim()
		_ = w.own.Close()
		w.Watch.Close()
	}
	if n := len(p.rings[0].watched); n != 0 {
		t.Errorf("%d watches are kept", n)
	}
}
