package amqp

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/store"
)

// openBroker runs a broker on a store in memory until the test ends.
func openBroker(tb testing.TB) *broker.Broker {
	tb.Helper()
	return openBrokerWith(tb, 0)
}

// openBrokerWith is openBroker with so many bytes under way at most; 0 is the
// default.
func openBrokerWith(tb testing.TB, inFlight int64) *broker.Broker {
	tb.Helper()
	st, err := store.Open(store.Options{FS: vfs.NewMem(), Dir: "data", WALFileSize: 8 << 20})
	if err != nil {
		tb.Fatal(err)
	}
	host := replica.New(replica.Options{Node: 1, Store: st, Fatal: func(err error) { tb.Error(err) }})
	b, err := broker.Open(broker.Options{
		Store: st, Host: host, Shards: 3, AutoCreate: true, Policy: access.Policy{Insecure: true}, InFlight: inFlight,
	})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{}, 2)
	go func() { host.Run(ctx); stopped <- struct{}{} }()
	go func() { _ = st.Run(ctx); stopped <- struct{}{} }()
	tb.Cleanup(func() {
		drain, done := context.WithTimeout(context.Background(), 5*time.Second)
		defer done()
		if err := b.Close(drain); err != nil {
			tb.Error(err)
		}
		cancel()
		<-stopped
		<-stopped
		host.Close()
		if err := st.Close(); err != nil {
			tb.Error(err)
		}
	})
	select {
	case <-b.Ready():
	case <-time.After(20 * time.Second):
		tb.Fatal("the broker does not get ready")
	}
	return b
}

// server makes a server whose clients come from this machine.
func server(tb testing.TB, b *broker.Broker, a Authorizer) *Server {
	tb.Helper()
	if a == nil {
		a = b
	}
	return New(Options{Broker: b, Access: a, Logger: slog.New(slog.DiscardHandler), Software: "Polylog test"})
}

// peer is a client of a session without a socket: what it sends is fed to the
// session, what the session writes is read from its outbox.
type peer struct {
	tb  testing.TB
	s   *session
	in  []byte // written by the session, not yet read
	err error  // what ended the session

	breaths int // how often the session waited for the broker to have room
}

// connect returns a peer that has sent nothing.
func connect(tb testing.TB, s *Server) *peer {
	tb.Helper()
	p := &peer{tb: tb, s: newSession(s, "127.0.0.1:1", true)}
	p.s.blocking = func() bool { return false }
	p.s.poke = func() { signal(p.s.out.wake) }
	p.s.breathe = func() bool {
		p.breaths++
		runtime.Gosched()
		return true
	}
	tb.Cleanup(func() {
		if p.err == nil {
			p.s.end()
		}
	})
	return p
}

// open returns a peer whose connection is open.
func open(tb testing.TB, s *Server) *peer {
	tb.Helper()
	p := connect(tb, s)
	p.raw([]byte(wire.ProtocolHeader))
	expect[wire.ConnectionStart](p, 0)
	p.send(0, &wire.ConnectionStartOk{
		Mechanism: []byte("PLAIN"), Response: []byte("\x00guest\x00guest"), Locale: []byte("en_US"),
		ClientProperties: wire.Table(nil).AppendTable("capabilities", wire.Table(nil).
			AppendBool("authentication_failure_close", true).AppendBool("consumer_cancel_notify", true).
			AppendBool("connection.blocked", true)),
	})
	tune := expect[wire.ConnectionTune](p, 0)
	p.send(0, &wire.ConnectionTuneOk{ChannelMax: tune.ChannelMax, FrameMax: tune.FrameMax, Heartbeat: tune.Heartbeat})
	p.send(0, &wire.ConnectionOpen{VirtualHost: []byte("/")})
	expect[wire.ConnectionOpenOk](p, 0)
	return p
}

// channel opens a channel.
func (p *peer) channel(number uint16) {
	p.tb.Helper()
	p.send(number, &wire.ChannelOpen{})
	expect[wire.ChannelOpenOk](p, number)
}

// raw feeds bytes as one burst.
func (p *peer) raw(b []byte) {
	p.tb.Helper()
	if p.err != nil {
		p.tb.Fatalf("the session has ended: %v", p.err)
	}
	n, _, err := p.s.feed(b)
	p.s.endBurst()
	p.s.runPosted()
	if p.err = err; err == nil && n != len(b) {
		p.tb.Fatalf("%d of %d bytes were taken", n, len(b))
	}
}

func (p *peer) send(channel uint16, m wire.Method) {
	p.tb.Helper()
	p.raw(wire.AppendMethod(nil, channel, m))
}

// publish sends a message.
func (p *peer) publish(channel uint16, m *wire.BasicPublish, props wire.Properties, body string) {
	p.tb.Helper()
	p.raw(message0(channel, m, props, body))
}

func message0(channel uint16, m *wire.BasicPublish, props wire.Properties, body string) []byte {
	b := wire.AppendMethod(nil, channel, m)
	b = wire.AppendContentHeader(b, channel, uint64(len(body)), &props)
	return wire.AppendBody(b, channel, []byte(body), offerFrameMax)
}

// next returns the next frame that the session has written, waiting for it if
// wait is set.
func (p *peer) next(wait bool) (f wire.Frame, ok bool) {
	p.tb.Helper()
	for timeout := time.After(10 * time.Second); ; {
		f, n, ok, err := wire.ParseFrame(p.in, 0)
		if err != nil {
			p.tb.Fatal(err)
		}
		if ok {
			p.in = p.in[n:]
			return f, true
		}
		if b := p.s.out.take(nil); len(b) > 0 {
			p.in = append(p.in, b...)
			continue
		}
		p.s.runPosted()
		p.s.replenish()
		if !wait {
			return f, false
		}
		select {
		case <-p.s.out.wake:
		case <-timeout:
			p.tb.Fatal("nothing comes")
		}
	}
}

// quiet fails if the session has written anything more.
func (p *peer) quiet() {
	p.tb.Helper()
	if f, ok := p.next(false); ok {
		p.tb.Fatalf("a frame too many: %s", describe(f))
	}
}

func describe(f wire.Frame) string {
	if id, args, ok := wire.SplitMethod(f.Payload); ok && f.Type == wire.FrameMethod {
		m := wire.New(id)
		if m != nil && wire.Parse(m, args) == nil {
			if c, ok := m.(*wire.ChannelClose); ok {
				return "channel.close: " + string(c.ReplyText)
			}
			if c, ok := m.(*wire.ConnectionClose); ok {
				return "connection.close: " + string(c.ReplyText)
			}
		}
		return id.String()
	}
	return "frame " + string(rune('0'+f.Type))
}

// expect reads a method of a type.
func expect[T any, M interface {
	*T
	wire.Method
}](p *peer, channel uint16) M {
	p.tb.Helper()
	m := M(new(T))
	f, _ := p.next(true)
	id, args, ok := wire.SplitMethod(f.Payload)
	if f.Type != wire.FrameMethod || !ok || id != m.ID() || f.Channel != channel {
		p.tb.Fatalf("%s on channel %d instead of %s on %d", describe(f), f.Channel, reflect.TypeOf(m).Elem().Name(), channel)
	}
	if err := wire.Parse(m, args); err != nil {
		p.tb.Fatal(err)
	}
	return m
}

// content reads the header and the body of a message.
func (p *peer) content(channel uint16) (props wire.Properties, body string) {
	p.tb.Helper()
	f, _ := p.next(true)
	var h wire.ContentHeader
	if f.Type != wire.FrameHeader || f.Channel != channel || h.Parse(f.Payload) != nil || props.Parse(h.Properties) != nil {
		p.tb.Fatalf("%s instead of a content header", describe(f))
	}
	for uint64(len(body)) < h.Size {
		f, _ := p.next(true)
		if f.Type != wire.FrameBody || f.Channel != channel {
			p.tb.Fatalf("%s instead of a body", describe(f))
		}
		body += string(f.Payload)
	}
	return props, body
}

// refused reads the channel's end, answers it, and checks its code and text.
func (p *peer) refused(channel uint16, c code, text string) {
	p.tb.Helper()
	m := expect[wire.ChannelClose](p, channel)
	if m.ReplyCode != uint16(c) || string(m.ReplyText) != text {
		p.tb.Fatalf("%d %q instead of %d %q", m.ReplyCode, m.ReplyText, c, text)
	}
	p.send(channel, &wire.ChannelCloseOk{})
}

// dropped reads the connection's end, answers it, and checks its code and text.
func (p *peer) dropped(c code, text string) {
	p.tb.Helper()
	m := expect[wire.ConnectionClose](p, 0)
	if m.ReplyCode != uint16(c) || string(m.ReplyText) != text {
		p.tb.Fatalf("%d %q instead of %d %q", m.ReplyCode, m.ReplyText, c, text)
	}
	p.send(0, &wire.ConnectionCloseOk{})
	if !errors.Is(p.err, errClosed) {
		p.tb.Fatalf("the connection goes on after close-ok: %v", p.err)
	}
	p.s.end()
}
