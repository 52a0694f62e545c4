package amqp

import (
	"fmt"
	"slices"
	"strings"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// The beginning of a connection: protocol header, connection.start, tune, open.

// greet takes in the protocol header.
func (s *session) greet(b []byte) (n int, err error) {
	const size = len(wire.ProtocolHeader)
	got := b[:min(len(b), size)]
	if !strings.HasPrefix(wire.ProtocolHeader, string(got)) {
		s.out.append(func(b []byte) []byte { return append(b, wire.ProtocolHeader...) })
		return 0, fmt.Errorf("%w: %q is no header of AMQP 0-9-1", errClosed, got)
	}
	if len(got) < size {
		return 0, nil
	}
	s.phase = starting
	s.out.method(0, &wire.ConnectionStart{
		VersionMajor: 0, VersionMinor: 9, ServerProperties: s.serverProperties(),
		Mechanisms: []byte(s.mechanisms()), Locales: []byte("en_US"),
	})
	return size, nil
}

// serverProperties says who this is and what it can do.
func (s *session) serverProperties() wire.Table {
	o := &s.server.opts
	var can wire.Table
	for _, c := range [...]string{
		"publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify",
		"connection.blocked", "consumer_priorities", "authentication_failure_close", "per_consumer_qos", "direct_reply_to",
	} {
		can = can.AppendBool(c, true)
	}
	t := wire.Table(nil).AppendTable("capabilities", can)
	t = t.AppendString("cluster_name", o.Broker.ClusterName())
	t = t.AppendString("product", o.Product).AppendString("version", o.Version)
	t = t.AppendString("platform", o.Software)
	return t.AppendString("information", "A server that speaks AMQP 0-9-1 over one durable log")
}

// connectionStartOk takes in who the client is.
func connectionStartOk(s *session, m *wire.ConnectionStartOk) error {
	if v, ok := m.ClientProperties.Get("capabilities"); ok && v.Tag == wire.TagTable {
		s.can = capabilitiesOf(wire.Table(v.Raw))
	}
	s.properties = slices.Clone(m.ClientProperties)
	login := s.mechanismOf(string(m.Mechanism))
	if login == nil {
		return refuse(codeAccessRefused, "no acceptable mechanism: '%s' is not one of %s", m.Mechanism, s.mechanisms())
	}
	user, ok := login(s, m.Response)
	if !ok {
		return refuse(codeAccessRefused, "Login was refused using authentication mechanism %s. "+
			"For details see the broker logfile.", m.Mechanism)
	}
	s.principal.Name, s.mechanism = user, string(m.Mechanism)
	s.phase = tuning
	s.out.method(0, &wire.ConnectionTune{ChannelMax: offerChannelMax, FrameMax: offerFrameMax, Heartbeat: offerHeartbeat})
	return nil
}

func capabilitiesOf(t wire.Table) clientCapabilities {
	has := func(name string) bool {
		v, _ := t.Get(name)
		b, _ := v.Bool()
		return b
	}
	return clientCapabilities{
		authenticationFailureClose: has("authentication_failure_close"),
		consumerCancelNotify:       has("consumer_cancel_notify"),
		connectionBlocked:          has("connection.blocked"),
	}
}

// connectionTuneOk takes in the limits that the client wants: lower ones than
// were offered, 0 for none where none was offered.
func connectionTuneOk(s *session, m *wire.ConnectionTuneOk) error {
	frame, channels := m.FrameMax, m.ChannelMax
	switch {
	case frame == 0 || frame > offerFrameMax:
		return refuse(codeNotAllowed, "negotiated frame_max = %d%s is higher than the maximum allowed value (%d)", frame, noLimit(frame == 0), offerFrameMax)
	case frame < wire.MinFrameMax:
		return refuse(codeNotAllowed, "negotiated frame_max = %d is lower than the minimum allowed value (%d)", frame, wire.MinFrameMax)
	case channels == 0 || channels > offerChannelMax:
		return refuse(codeNotAllowed, "negotiated channel_max = %d%s is higher than the maximum allowed value (%d)", channels, noLimit(channels == 0), offerChannelMax)
	}
	s.frameMax, s.channelMax, s.heartbeat = frame, channels, m.Heartbeat
	s.beats.Store(uint32(m.Heartbeat))
	signal(s.out.wake)
	s.phase = opening
	return nil
}

func noLimit(unlimited bool) string {
	if unlimited {
		return " (no limit)"
	}
	return ""
}

// connectionOpen takes in the virtual host, which is a tenant.
func connectionOpen(s *session, m *wire.ConnectionOpen) error {
	vhost := string(m.VirtualHost)
	if !s.server.opts.Broker.Tenant(vhost) {
		return refuse(codeNotAllowed, "vhost %s not found", vhost)
	}
	if !s.server.opts.Broker.MayEnter(s.principal.Name, vhost) {
		return refuse(codeNotAllowed, "access to vhost '%s' refused for user '%s'", vhost, s.principal.Name)
	}
	if err := s.server.census.connect(s.principal.Name, vhost); err != nil {
		return err
	}
	if vhost != broker.DefaultTenant {
		s.principal.Tenant = vhost
	}
	s.tenant, s.counted = vhost, true
	s.phase = running
	s.out.method(0, &wire.ConnectionOpenOk{})
	return nil
}

// connectionClose answers connection.close once everything that the connection
// held is given back.
func connectionClose(s *session, _ *wire.ConnectionClose) error {
	s.settled()
	s.shutChannels()
	s.endOwner()
	s.out.method(0, &wire.ConnectionCloseOk{})
	return errClosed
}

// connectionUpdateSecret takes in a new secret. Passwords do not expire, so it
// changes nothing, whatever it is; RabbitMQ does the same with its own users.
func connectionUpdateSecret(s *session, _ *wire.ConnectionUpdateSecret) error {
	s.out.method(0, &wire.ConnectionUpdateSecretOk{})
	return nil
}

// connection.close-ok to a connection that was not closed means nothing.
func connectionCloseOk(*session, *wire.ConnectionCloseOk) error { return nil }
