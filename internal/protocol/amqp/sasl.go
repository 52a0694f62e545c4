package amqp

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"

	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// LoginFrom says which part of a client's certificate is the user's name when it
// logs in with EXTERNAL; the words are RabbitMQ's (ssl_cert_login_from).
type LoginFrom string

// The parts. EXTERNAL is offered only if it is wanted, as in RabbitMQ, which has
// a plugin for it: py-amqp takes it whenever it is offered and it has a
// certificate, and would no longer log in with its name and password.
const (
	FromNothing           LoginFrom = "none"
	FromDistinguishedName LoginFrom = "distinguished_name" // all of the subject, as in RFC 4514
	FromCommonName        LoginFrom = "common_name"
)

// mechanism is a way to log in. It reads the client's response and returns who
// that proves it to be; ok is false if it proves nothing.
type mechanism func(s *session, response []byte) (user string, ok bool)

// mechanisms are the names of what is offered, by preference of most clients.
func (s *session) mechanisms() string {
	if s.offersExternal() {
		return "PLAIN AMQPLAIN EXTERNAL"
	}
	return "PLAIN AMQPLAIN"
}

// mechanismOf returns the mechanism of a name, nil for one that is not offered.
func (s *session) mechanismOf(name string) mechanism {
	switch {
	case name == "PLAIN":
		return plain
	case name == "AMQPLAIN":
		return amqplain
	case name == "EXTERNAL" && s.offersExternal():
		return external
	}
	return nil
}

// offersExternal reports whether the client may log in by the certificate that it
// has shown and that can be trusted.
func (s *session) offersExternal() bool {
	return s.certificate != nil && s.server.opts.LoginFrom != FromNothing
}

// plain is RFC 4616: [authorization id] NUL user NUL password.
func plain(s *session, response []byte) (user string, ok bool) {
	_, rest, ok1 := bytes.Cut(response, []byte{0})
	u, p, ok2 := bytes.Cut(rest, []byte{0})
	return string(u), ok1 && ok2 && s.authenticate(string(u), string(p))
}

// amqplain is RabbitMQ's own: a field table without its length.
func amqplain(s *session, response []byte) (user string, ok bool) {
	t := wire.Table(response)
	if !t.Valid() {
		return "", false
	}
	login, ok1 := t.Get("LOGIN")
	pass, ok2 := t.Get("PASSWORD")
	u, ok3 := login.Str()
	p, ok4 := pass.Str()
	return string(u), ok1 && ok2 && ok3 && ok4 && s.authenticate(string(u), string(p))
}

// external is RFC 4422, appendix A: the certificate says who it is. As in
// RabbitMQ, what the client says does not matter.
func external(s *session, _ []byte) (user string, ok bool) {
	switch s.server.opts.LoginFrom {
	case FromCommonName:
		user = s.certificate.Subject.CommonName
	default:
		name, err := distinguishedName(s.certificate.RawSubject)
		if err != nil {
			return "", false
		}
		user = name
	}
	known := s.server.opts.Broker.User(user) != nil
	return user, known && (user != access.GuestName || s.principal.Loopback)
}

// distinguishedName spells a subject as RFC 4514 has it: the last part first.
func distinguishedName(subject []byte) (string, error) {
	var names pkix.RDNSequence
	if rest, err := asn1.Unmarshal(subject, &names); err != nil || len(rest) > 0 {
		return "", fmt.Errorf("reading a subject: %w", err)
	}
	return names.String(), nil
}

// authenticate reports whether the password is the user's. RabbitMQ's default
// user, guest, is let in from this machine only.
func (s *session) authenticate(user, password string) bool {
	return s.server.opts.Broker.Authenticate(user, password, s.principal.Loopback)
}
