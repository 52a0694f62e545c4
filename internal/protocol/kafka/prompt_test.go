package kafka

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/record"
)

// narrow is a listener whose connections have little room for what the client
// does not read yet.
type narrow struct{ net.Listener }

func (l narrow) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err == nil {
		err = nc.(*net.TCPConn).SetWriteBuffer(narrowBuffer)
	}
	return nc, err
}

// narrowBuffer is how much, in bytes.
const narrowBuffer = 16 << 10

// TestAnswersToWhoReadsLate: what a socket does not take at once the
// connection's own writer sends, whole and in order.
func TestAnswersToWhoReadsLate(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	nc := r.narrowed()
	const requests = 3000
	batch := batchOf(t, record.Template(record.None), now(), "x")
	var all []byte
	for i := range requests {
		all = append(all, frameOf(produceRequest(9, "t", [16]byte{}, batch), int32(i))...)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := nc.Write(all)
		sent <- err
	}()
	select {
	case err := <-sent:
		t.Fatalf("everything was sent with no answer read (%v): nothing was held up", err)
	case <-time.After(200 * time.Millisecond):
	}
	if err := nc.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 8)
	for i := range requests {
		if _, err := io.ReadFull(nc, head); err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if got := binary.BigEndian.Uint32(head[4:]); got != uint32(i) {
			t.Fatalf("answer %d is to request %d", i, got)
		}
		if _, err := io.CopyN(io.Discard, nc, int64(binary.BigEndian.Uint32(head))-4); err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// narrowed returns a connection to the server that has room for little in both
// directions.
func (r *rig) narrowed() net.Conn {
	r.t.Helper()
	lc := net.ListenConfig{Control: smallWindow}
	l, err := lc.Listen(r.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.server.Serve(narrow{l}) }()
	d := net.Dialer{Control: smallWindow}
	nc, err := d.DialContext(r.t.Context(), "tcp", l.Addr().String())
	if err == nil {
		err = nc.(*net.TCPConn).SetWriteBuffer(narrowBuffer)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = nc.Close()
		_ = l.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		r.server.Shutdown(ctx)
		if err := <-served; err != nil {
			r.t.Error(err)
		}
	})
	return nc
}

// smallWindow makes the receive buffer small before there is a connection.
func smallWindow(_, _ string, raw syscall.RawConn) error {
	var inner error
	err := raw.Control(func(fd uintptr) {
		inner = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, narrowBuffer)
	})
	if err != nil {
		return err
	}
	return inner
}
