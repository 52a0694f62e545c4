package amqp

import (
	"strconv"
	"testing"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
	"github.com/polylog-mq/polylog/internal/state/parameter"
)

// limited sets a limit.
func limited(t *testing.T, b *broker.Broker, component, whose, name string, n int) {
	t.Helper()
	p := &broker.Parameter{Key: broker.ParameterKey{Component: component, Tenant: whose, Name: name}, Value: []byte(strconv.Itoa(n))}
	done := make(chan error, 1)
	b.PutParameter(p, func(_ bool, err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// knock connects and opens the vhost "/", whatever comes of it.
func knock(t *testing.T, s *Server) *peer {
	t.Helper()
	p := connect(t, s)
	p.raw([]byte(wire.ProtocolHeader))
	expect[wire.ConnectionStart](p, 0)
	p.send(0, &wire.ConnectionStartOk{Mechanism: []byte("PLAIN"), Response: []byte("\x00guest\x00guest")})
	expect[wire.ConnectionTune](p, 0)
	p.send(0, &wire.ConnectionTuneOk{ChannelMax: 10, FrameMax: 4096})
	p.send(0, &wire.ConnectionOpen{VirtualHost: []byte("/")})
	return p
}

func TestLimitsOfConnections(t *testing.T) {
	for _, c := range []struct{ component, whose, text string }{
		{parameter.TenantLimits, "/", "NOT_ALLOWED - access to vhost '/' refused for user 'guest': connection limit (2) is reached"},
		{parameter.UserLimits, "guest", "NOT_ALLOWED - Connection refused for user 'guest': user connection limit (2) is reached"},
	} {
		b := openBroker(t)
		s := server(t, b, nil)
		limited(t, b, c.component, c.whose, parameter.MaxConnections, 2)
		first := open(t, s)
		open(t, s)
		third := knock(t, s)
		third.dropped(codeNotAllowed, c.text)
		third.s.end() // a refused connection has no place to give back
		knock(t, s).dropped(codeNotAllowed, c.text)
		first.s.end()
		first.err = errClosed
		expect[wire.ConnectionOpenOk](knock(t, s), 0)

		limited(t, b, c.component, c.whose, parameter.MaxConnections, -1)
		expect[wire.ConnectionOpenOk](knock(t, s), 0)
	}
}

func TestLimitOfChannels(t *testing.T) {
	b := openBroker(t)
	s := server(t, b, nil)
	limited(t, b, parameter.UserLimits, "guest", parameter.MaxChannels, 2)
	p, other := open(t, s), open(t, s)
	p.channel(1)
	other.channel(1)
	p.send(1, &wire.ChannelClose{})
	expect[wire.ChannelCloseOk](p, 1)
	p.channel(2)
	p.send(3, &wire.ChannelOpen{})
	p.dropped(codeNotAllowed, "NOT_ALLOWED - number of channels opened for user 'guest' has reached the maximum allowed user limit of (2)")
}

func TestLimitOfQueues(t *testing.T) {
	b := openBroker(t)
	p := open(t, server(t, b, nil))
	p.channel(1)
	limited(t, b, parameter.TenantLimits, "", parameter.MaxQueues, 1)
	declare := func(name string) { p.send(1, &wire.QueueDeclare{Queue: []byte(name)}) }
	declare("a")
	expect[wire.QueueDeclareOk](p, 1)
	declare("a")
	expect[wire.QueueDeclareOk](p, 1)
	declare("b")
	if m := expect[wire.ChannelClose](p, 1); string(m.ReplyText) != "PRECONDITION_FAILED - cannot declare queue 'b': queue limit in vhost '/' (1) is reached" {
		t.Errorf("%d %s", m.ReplyCode, m.ReplyText)
	}
	p.send(1, &wire.ChannelCloseOk{})
	p.channel(1)
	p.send(1, &wire.QueueDelete{Queue: []byte("a")})
	expect[wire.QueueDeleteOk](p, 1)
	declare("b")
	expect[wire.QueueDeclareOk](p, 1)
}
