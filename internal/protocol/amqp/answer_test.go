package amqp

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// TestAnswersKeepTheirOrder has a client that does not read for a while be written
// to by others than the connection's writer: nothing is lost, doubled, or out of
// turn.
func TestAnswersKeepTheirOrder(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	_ = client.SetDeadline(time.Now().Add(30 * time.Second))
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := server(t, openBroker(t), nil).newConn(nc)
	if c.socket == nil {
		t.Skip("sockets are only written by their writers here")
	}
	var sent []byte
	add := func(n int) {
		c.session.out.append(func(b []byte) []byte {
			for range n {
				sent = binary.BigEndian.AppendUint64(sent, uint64(len(sent)))
				b = append(b, sent[len(sent)-8:]...)
			}
			return b
		})
		c.answer()
	}
	for i := 0; len(c.rest) == 0; i++ { // until the socket is full
		if i > 1e6 {
			t.Fatal("the socket takes everything")
		}
		add(1000)
	}
	for i := range 20 {
		add(100 * i) // more than is written here, at times
	}
	var written sync.WaitGroup
	written.Go(func() {
		if err := c.writeLoop(); err != nil {
			t.Error(err)
		}
	})
	got := make([]byte, len(sent)/2)
	if _, err := io.ReadFull(client, got); err != nil {
		t.Fatal(err)
	}
	half := len(sent)
	for range 1000 {
		add(100)
	}
	c.ending.Store(true)
	signal(c.session.out.wake)
	got = append(got, make([]byte, len(sent)-len(got))...)
	if _, err := io.ReadFull(client, got[half/2:]); err != nil {
		t.Fatal(err)
	}
	written.Wait()
	if !bytes.Equal(got, sent) {
		t.Fatalf("what came is not what was sent")
	}
	c.Abort()
	c.session.end()
}

// TestOneAtATimeOverASocket publishes as a client does that waits for each
// confirmation, beside others that do: whoever writes the log, each is answered.
func TestOneAtATimeOverASocket(t *testing.T) {
	s := server(t, openBroker(t), nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() { _ = s.Serve(l) }()
	for _, n := range []int{1, 8} {
		var clients sync.WaitGroup
		for range n {
			clients.Go(func() { oneAtATime(t, l.Addr().String(), 200) })
		}
		clients.Wait()
	}
}

// oneAtATime publishes n messages and waits for each to be confirmed.
func oneAtATime(t *testing.T, addr string, n uint64) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	start := &wire.ConnectionStartOk{Mechanism: []byte("PLAIN"), Response: []byte("\x00guest\x00guest"), Locale: []byte("en_US")}
	b := []byte(wire.ProtocolHeader)
	b = wire.AppendMethod(b, 0, start)
	b = wire.AppendMethod(b, 0, &wire.ConnectionTuneOk{ChannelMax: 10, FrameMax: 4096})
	b = wire.AppendMethod(b, 0, &wire.ConnectionOpen{VirtualHost: []byte("/")})
	b = wire.AppendMethod(b, 1, &wire.ChannelOpen{})
	b = wire.AppendMethod(b, 1, &wire.QueueDeclare{Queue: []byte("alone"), Durable: true})
	b = wire.AppendMethod(b, 1, &wire.ConfirmSelect{})
	confirmed, in := uint64(0), make([]byte, 0, 64<<10)
	for confirmed < n {
		if _, err := c.Write(b); err != nil {
			t.Error(err)
			return
		}
		for waits := true; waits; {
			got, err := c.Read(in[len(in):cap(in)])
			if err != nil {
				t.Errorf("after %d confirmations: %v", confirmed, err)
				return
			}
			in = in[:len(in)+got]
			for {
				f, size, ok, err := wire.ParseFrame(in, 0)
				if err != nil || !ok {
					break
				}
				switch id, args, _ := wire.SplitMethod(f.Payload); id {
				case wire.IDConfirmSelectOk:
					waits = false
				case wire.IDBasicAck:
					if tag := binary.BigEndian.Uint64(args); tag != confirmed+1 {
						t.Errorf("%d is confirmed after %d", tag, confirmed)
						return
					}
					confirmed, waits = confirmed+1, false
				}
				in = in[:copy(in, in[size:])]
			}
		}
		b = wire.AppendMethod(b[:0], 1, &wire.BasicPublish{RoutingKey: []byte("alone")})
		b = wire.AppendRawContentHeader(b, 1, 2, []byte{0, 0})
		b = wire.AppendBody(b, 1, []byte("hi"), 4096)
	}
}
