package amqp

import (
	"bytes"

	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// mechanism is a way to log in. It reads the client's response and returns who
// it says it is and with what password, or the challenge that comes next; ok is
// false for a response that is none.
type mechanism func(response []byte) (user, password string, ok bool)

// mechanismNames are what is offered, by preference of most clients; see
// mechanismOf.
const mechanismNames = "PLAIN AMQPLAIN"

// mechanismOf returns the mechanism of a name, nil for one that is not offered.
// EXTERNAL, which trusts a certificate, is not, since no listener has TLS.
func mechanismOf(name string) mechanism {
	switch name {
	case "PLAIN":
		return plain
	case "AMQPLAIN":
		return amqplain
	}
	return nil
}

// plain is RFC 4616: [authorization id] NUL user NUL password.
func plain(response []byte) (user, password string, ok bool) {
	_, rest, ok1 := bytes.Cut(response, []byte{0})
	u, p, ok2 := bytes.Cut(rest, []byte{0})
	return string(u), string(p), ok1 && ok2
}

// amqplain is RabbitMQ's own: a field table without its length.
func amqplain(response []byte) (user, password string, ok bool) {
	t := wire.Table(response)
	if !t.Valid() {
		return "", "", false
	}
	login, ok1 := t.Get("LOGIN")
	pass, ok2 := t.Get("PASSWORD")
	u, ok3 := login.Str()
	p, ok4 := pass.Str()
	return string(u), string(p), ok1 && ok2 && ok3 && ok4
}

// authenticate reports whether the password is the user's. RabbitMQ's default
// user, guest, is let in from this machine only.
func (s *session) authenticate(user, password string) bool {
	return s.server.opts.Broker.Authenticate(user, password, s.principal.Loopback)
}
