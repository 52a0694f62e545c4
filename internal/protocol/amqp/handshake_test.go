package amqp

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

func TestProtocolHeader(t *testing.T) {
	s := server(t, openBroker(t), nil)
	for _, junk := range []string{"GET / HTTP/1.1\r\n", "AMQP\x00\x01\x00\x00", "AMQP\x01\x01\x09\x01", "\x16\x03\x01"} {
		p := connect(t, s)
		if p.raw([]byte(junk)); !errors.Is(p.err, errClosed) {
			t.Errorf("%q: %v", junk, p.err)
		}
		if got := string(p.s.out.take(nil)); got != wire.ProtocolHeader {
			t.Errorf("%q is answered by %q", junk, got)
		}
	}
	p := connect(t, s)
	if n, _, err := p.s.feed([]byte("AMQP\x00")); n != 0 || err != nil {
		t.Errorf("half a header: %d, %v", n, err)
	}
}

func TestServerProperties(t *testing.T) {
	p := connect(t, server(t, openBroker(t), nil))
	p.raw([]byte(wire.ProtocolHeader))
	m := expect[wire.ConnectionStart](p, 0)
	get := func(name string) string {
		v, _ := m.ServerProperties.Get(name)
		s, _ := v.Str()
		return string(s)
	}
	if get("product") != DefaultProduct || get("version") != DefaultVersion || get("platform") != "Polylog test" {
		t.Errorf("product %q, version %q, platform %q", get("product"), get("version"), get("platform"))
	}
	if string(m.Mechanisms) != "PLAIN AMQPLAIN" || string(m.Locales) != "en_US" {
		t.Errorf("mechanisms %q, locales %q", m.Mechanisms, m.Locales)
	}
	v, _ := m.ServerProperties.Get("capabilities")
	if b, _ := mustGet(t, wire.Table(v.Raw), "publisher_confirms").Bool(); !b {
		t.Error("no publisher_confirms")
	}
}

func mustGet(t *testing.T, tab wire.Table, name string) wire.Value {
	t.Helper()
	v, ok := tab.Get(name)
	if !ok {
		t.Fatalf("no field %s", name)
	}
	return v
}

func TestLogin(t *testing.T) {
	s := server(t, openBroker(t), nil)
	amqplain := string(wire.Table(nil).AppendString("LOGIN", "guest").AppendString("PASSWORD", "guest"))
	for _, c := range []struct {
		name, mechanism, response string
		remote, ok                bool
	}{
		{"plain", "PLAIN", "\x00guest\x00guest", false, true},
		{"plain with an authorization id", "PLAIN", "x\x00guest\x00guest", false, true},
		{"amqplain", "AMQPLAIN", amqplain, false, true},
		{"from another machine", "PLAIN", "\x00guest\x00guest", true, false},
		{"wrong password", "PLAIN", "\x00guest\x00Guest", false, false},
		{"wrong user", "PLAIN", "\x00root\x00guest", false, false},
		{"no password", "PLAIN", "\x00guest", false, false},
		{"no table", "AMQPLAIN", "guest", false, false},
		{"half a table", "AMQPLAIN", amqplain[:12], false, false},
		{"a certificate", "EXTERNAL", "", false, false},
	} {
		for _, told := range []bool{true, false} {
			p := connect(t, s)
			p.s.principal.Loopback = !c.remote
			p.raw([]byte(wire.ProtocolHeader))
			expect[wire.ConnectionStart](p, 0)
			p.send(0, &wire.ConnectionStartOk{
				Mechanism: []byte(c.mechanism), Response: []byte(c.response),
				ClientProperties: wire.Table(nil).AppendTable("capabilities", wire.Table(nil).AppendBool("authentication_failure_close", told)),
			})
			switch {
			case c.ok:
				expect[wire.ConnectionTune](p, 0)
			case told:
				m := expect[wire.ConnectionClose](p, 0)
				if m.ReplyCode != uint16(codeAccessRefused) || !strings.HasPrefix(string(m.ReplyText), "ACCESS_REFUSED - ") {
					t.Errorf("%s: %d %s", c.name, m.ReplyCode, m.ReplyText)
				}
			case !errors.Is(p.err, errSilent):
				t.Errorf("%s: %v", c.name, p.err)
			default:
				p.quiet()
			}
		}
	}
}

// subject is the certificate of a user, as its raw subject and parsed.
func subject(t *testing.T, name pkix.Name) *x509.Certificate {
	t.Helper()
	raw, err := asn1.Marshal(name.ToRDNSequence())
	if err != nil {
		t.Fatal(err)
	}
	return &x509.Certificate{RawSubject: raw, Subject: name}
}

func TestLoginByCertificate(t *testing.T) {
	b := openBroker(t)
	for _, name := range []string{"bob", "CN=bob,O=a\\,b,C=DE"} {
		created := make(chan error, 1)
		b.PutUser(&broker.UserSpec{Name: name, Password: "x"}, func(_ bool, err error) { created <- err })
		if err := <-created; err != nil {
			t.Fatal(err)
		}
	}
	bob := pkix.Name{CommonName: "bob", Organization: []string{"a,b"}, Country: []string{"DE"}}
	for _, c := range []struct {
		name   string
		from   LoginFrom
		cert   pkix.Name
		remote bool
		user   string // "": refused
	}{
		{"common name", FromCommonName, bob, true, "bob"},
		{"distinguished name", FromDistinguishedName, bob, true, `CN=bob,O=a\,b,C=DE`},
		{"nobody's name", FromDistinguishedName, pkix.Name{CommonName: "bob"}, false, ""},
		{"guest", FromCommonName, pkix.Name{CommonName: "guest"}, false, "guest"},
		{"guest from another machine", FromCommonName, pkix.Name{CommonName: "guest"}, true, ""},
		{"no common name", FromCommonName, pkix.Name{Country: []string{"DE"}}, false, ""},
		{"not offered", FromNothing, bob, false, ""},
	} {
		s := server(t, b, nil)
		s.opts.LoginFrom = c.from
		p := connect(t, s)
		p.s.principal.Loopback, p.s.certificate = !c.remote, subject(t, c.cert)
		p.raw([]byte(wire.ProtocolHeader))
		offer := "PLAIN AMQPLAIN EXTERNAL"
		if c.from == FromNothing {
			offer = "PLAIN AMQPLAIN"
		}
		if m := expect[wire.ConnectionStart](p, 0); string(m.Mechanisms) != offer {
			t.Errorf("%s: offered %q", c.name, m.Mechanisms)
		}
		p.send(0, &wire.ConnectionStartOk{Mechanism: []byte("EXTERNAL"), Response: []byte("guest")})
		if c.user == "" {
			if !errors.Is(p.err, errSilent) {
				t.Errorf("%s: %v", c.name, p.err)
			}
			continue
		}
		expect[wire.ConnectionTune](p, 0)
		if p.s.principal.Name != c.user {
			t.Errorf("%s: logged in as %q", c.name, p.s.principal.Name)
		}
	}
}

func TestTune(t *testing.T) {
	s := server(t, openBroker(t), nil)
	for _, c := range []struct {
		m    wire.ConnectionTuneOk
		text string
	}{
		{wire.ConnectionTuneOk{ChannelMax: 2047, FrameMax: 131072, Heartbeat: 60}, ""},
		{wire.ConnectionTuneOk{ChannelMax: 1, FrameMax: 4096}, ""},
		{wire.ConnectionTuneOk{ChannelMax: 2047, FrameMax: 4095}, "NOT_ALLOWED - negotiated frame_max = 4095 is lower than the minimum allowed value (4096)"},
		{wire.ConnectionTuneOk{ChannelMax: 2047, FrameMax: 131073}, "NOT_ALLOWED - negotiated frame_max = 131073 is higher than the maximum allowed value (131072)"},
		{wire.ConnectionTuneOk{ChannelMax: 2047, FrameMax: 0}, "NOT_ALLOWED - negotiated frame_max = 0 (no limit) is higher than the maximum allowed value (131072)"},
		{wire.ConnectionTuneOk{ChannelMax: 2048, FrameMax: 131072}, "NOT_ALLOWED - negotiated channel_max = 2048 is higher than the maximum allowed value (2047)"},
		{wire.ConnectionTuneOk{ChannelMax: 0, FrameMax: 131072}, "NOT_ALLOWED - negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)"},
	} {
		p := connect(t, s)
		p.raw([]byte(wire.ProtocolHeader))
		expect[wire.ConnectionStart](p, 0)
		p.send(0, &wire.ConnectionStartOk{Mechanism: []byte("PLAIN"), Response: []byte("\x00guest\x00guest")})
		expect[wire.ConnectionTune](p, 0)
		p.send(0, &c.m)
		if c.text != "" {
			p.dropped(codeNotAllowed, c.text)
			continue
		}
		p.send(0, &wire.ConnectionOpen{VirtualHost: []byte("nowhere")})
		p.dropped(codeNotAllowed, "NOT_ALLOWED - vhost nowhere not found")
	}
}

func TestMethodsOutOfTurn(t *testing.T) {
	s := server(t, openBroker(t), nil)
	p := open(t, s)
	p.send(0, &wire.ConnectionTuneOk{})
	p.dropped(codeChannelError, "CHANNEL_ERROR - unexpected method in connection state running")

	p = open(t, s)
	p.send(0, &wire.BasicQos{})
	p.dropped(codeChannelError, "CHANNEL_ERROR - unexpected method in connection state running")

	p = open(t, s)
	p.send(1, &wire.BasicQos{})
	p.dropped(codeChannelError, "CHANNEL_ERROR - expected 'channel.open'")

	p = open(t, s)
	p.channel(1)
	p.send(1, &wire.ChannelOpen{})
	p.dropped(codeChannelError, "CHANNEL_ERROR - second 'channel.open' seen")

	p = open(t, s)
	p.channel(1)
	p.send(1, &wire.ConnectionOpen{})
	p.dropped(codeCommandInvalid, "COMMAND_INVALID - unimplemented method")

	p = open(t, s)
	p.channel(1)
	p.send(1, &wire.BasicDeliver{})
	p.dropped(codeFrameError, "FRAME_ERROR - basic.deliver is not for servers")

	p = connect(t, s)
	p.raw([]byte(wire.ProtocolHeader))
	if p.send(1, &wire.ChannelOpen{}); !errors.Is(p.err, errSilent) {
		t.Errorf("a channel before the login: %v", p.err)
	}
}

func TestChannelNumbers(t *testing.T) {
	s := server(t, openBroker(t), nil)
	p := open(t, s)
	p.channel(2047)
	p.send(2047, &wire.ChannelClose{})
	expect[wire.ChannelCloseOk](p, 2047)
	p.channel(2047) // free again
	for n := range uint16(offerChannelMax - 1) {
		p.channel(n + 1)
	}
	p.send(2048, &wire.ChannelOpen{})
	p.dropped(codeNotAllowed, "NOT_ALLOWED - number of channels opened (2047) has reached the negotiated channel_max (2047)")
}

// TestClosingChannelDiscards: after channel.close was sent everything is passed
// over until the answer, and the number is free with it.
func TestClosingChannelDiscards(t *testing.T) {
	p := open(t, server(t, openBroker(t), nil))
	p.channel(1)
	p.send(1, &wire.BasicAck{DeliveryTag: 1})
	m := expect[wire.ChannelClose](p, 1)
	if m.FailedClass != 60 || m.FailedMethod != 80 {
		t.Errorf("the fault was of method %d of class %d", m.FailedMethod, m.FailedClass)
	}
	p.send(1, &wire.BasicAck{DeliveryTag: 1})
	p.publish(1, &wire.BasicPublish{}, wire.Properties{}, "x")
	p.send(1, &wire.ChannelOpen{})
	p.quiet()
	p.send(1, &wire.ChannelClose{}) // both at once
	expect[wire.ChannelCloseOk](p, 1)
	p.send(1, &wire.ChannelCloseOk{})
	p.channel(1)
}

func TestConnectionClose(t *testing.T) {
	s := server(t, openBroker(t), nil)
	p := open(t, s)
	p.channel(1)
	p.send(0, &wire.ConnectionClose{ReplyCode: 200})
	expect[wire.ConnectionCloseOk](p, 0)
	if !errors.Is(p.err, errClosed) {
		t.Errorf("the connection goes on: %v", p.err)
	}
	p = open(t, s)
	p.channel(1)
	p.s.force("test")
	p.send(1, &wire.BasicQos{}) // passed over
	p.raw(wire.AppendHeartbeat(nil))
	p.dropped(codeConnectionForced, "CONNECTION_FORCED - test")

	p = open(t, s)
	p.send(0, &wire.ConnectionUpdateSecret{NewSecret: []byte("guest")})
	expect[wire.ConnectionUpdateSecretOk](p, 0)
}

// Who is told that its connection is closed can have its exclusive queues back
// through the next one.
func TestExclusiveQueuesEndBeforeTheErrorIsTold(t *testing.T) {
	s := server(t, openBroker(t), nil)
	p := open(t, s)
	p.channel(1)
	p.queue(1, wire.QueueDeclare{Queue: []byte("mine"), Exclusive: true})
	p.publish(1, &wire.BasicPublish{RoutingKey: []byte("mine"), Immediate: true}, wire.Properties{}, "1")
	expect[wire.ConnectionClose](p, 0)

	next := open(t, s)
	next.channel(1)
	next.queue(1, wire.QueueDeclare{Queue: []byte("mine"), Exclusive: true})
}

// TestFramesLost: behind a frame that is too large nobody finds the next. The
// client is told once, and what it goes on to send is dropped.
func TestFramesLost(t *testing.T) {
	p := open(t, server(t, openBroker(t), nil))
	p.raw([]byte{byte(wire.FrameMethod), 0, 0, 0x7f, 0xff, 0xff, 0xff, 1, 2, 3})
	if m := expect[wire.ConnectionClose](p, 0); m.ReplyCode != uint16(codeFrameError) {
		t.Errorf("closed with %d %s", m.ReplyCode, m.ReplyText)
	}
	for range 3 {
		p.raw(make([]byte, maxReadBuffer))
	}
	if f, ok := p.next(false); ok {
		t.Errorf("it says more: %v", f)
	}
}
