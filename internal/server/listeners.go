package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/polylog-mq/polylog/internal/config"
	"github.com/polylog-mq/polylog/internal/osfs"
	"github.com/polylog-mq/polylog/internal/protocol/listen"
)

// The protocols that are listened for, as their settings begin.
const (
	protocolKafka = "kafka"
	protocolAMQP  = "amqp"
	protocolHTTP  = "http"
)

// listener is an address that is bound.
type listener struct {
	net.Listener
	protocol string
	secured  *tls.Config // nil without TLS
}

// Listener is an address that is bound, as it is to be shown.
type Listener struct {
	Protocol string // kafka, amqp, http
	Address  string // host:port
	TLS      bool
	// Expires is when the certificate does, zero without TLS.
	Expires time.Time
}

// Listening returns the addresses that are bound.
func (s *Server) Listening() []Listener {
	var all []Listener
	for _, l := range s.listeners {
		all = append(all, Listener{l.protocol, l.Addr().String(), l.secured != nil, listen.Expires(l.secured)})
	}
	return all
}

// listen binds the addresses first: a client that connects while the folder
// is recovered waits instead of being refused.
func (s *Server) listen(ctx context.Context) error {
	c := &s.opts.Config
	for _, p := range []struct {
		protocol, address string
		tls               config.TLS
		require           bool // a client's certificate, where there is no other way to say who one is
		alpn              []string
	}{
		{protocolKafka, c.Kafka.Listen, c.Kafka.TLS, true, nil},
		{protocolAMQP, c.AMQP.Listen, c.AMQP.TLS, false, nil},
		{protocolHTTP, c.HTTP.Listen, c.HTTP.TLS, true, []string{"h2", "http/1.1"}},
	} {
		if err := s.bind(ctx, p.protocol, "listen", p.address, nil); err != nil {
			return err
		}
		if p.tls.Listen == "" {
			continue
		}
		secured, err := listen.TLS(osfs.New(), listen.Files{
			Cert: p.tls.Cert, Key: p.tls.Key, ClientCA: p.tls.ClientCA, Require: p.require, Protocols: p.alpn,
		}, s.log.With("protocol", p.protocol))
		if err != nil {
			return refuseTLS(p.protocol, err)
		}
		if err := s.bind(ctx, p.protocol, "tls-listen", p.tls.Listen, secured); err != nil {
			return err
		}
	}
	return nil
}

// bind listens on an address; an empty one is nobody's.
func (s *Server) bind(ctx context.Context, protocol, setting, address string, secured *tls.Config) error {
	if address == "" {
		return nil
	}
	ls, err := bound(ctx, address)
	if err != nil {
		return refuseListen(protocol+"."+setting, "--"+protocol+"-"+setting, address, err)
	}
	for _, l := range ls {
		s.listeners = append(s.listeners, listener{listen.Secure(l, secured), protocol, secured})
	}
	return nil
}

// bound listens on an address. That of localhost is 127.0.0.1 and, if the machine
// has it, ::1: clients do not agree on what the name means, and some try one only.
func bound(ctx context.Context, address string) ([]net.Listener, error) {
	var lc net.ListenConfig
	host, port, err := net.SplitHostPort(address)
	if err != nil || host != "localhost" {
		l, err := lc.Listen(ctx, "tcp", address)
		return []net.Listener{l}, err
	}
	for range freePortTries {
		four, err := lc.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			return nil, err
		}
		_, taken, _ := net.SplitHostPort(four.Addr().String())
		six, err := lc.Listen(ctx, "tcp6", net.JoinHostPort("::1", taken))
		switch {
		case err == nil:
			return []net.Listener{four, six}, nil
		case !errors.Is(err, syscall.EADDRINUSE):
			return []net.Listener{four}, nil // there is no IPv6
		}
		four.Close()
		if port != "0" {
			return nil, err
		}
	}
	return nil, fmt.Errorf("no port is free on both 127.0.0.1 and ::1: %w", syscall.EADDRINUSE)
}

// of returns the listeners of a protocol.
func (s *Server) of(protocol string) (all []listener) {
	for _, l := range s.listeners {
		if l.protocol == protocol {
			all = append(all, l)
		}
	}
	return all
}

// accept has serve accept connections of a protocol; an error takes down the
// server.
func (s *Server) accept(protocol string, serve func(net.Listener) error) {
	for _, l := range s.of(protocol) {
		s.running.Go(func() {
			if err := serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
				s.fail(fmt.Errorf("serving %s: %w", protocol, err))
			}
		})
	}
}

func (s *Server) serveHTTP() {
	if len(s.of(protocolHTTP)) == 0 || s.opts.HTTP == nil {
		return
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	s.http = &http.Server{
		Handler: s.opts.HTTP(s), Protocols: protocols, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelInfo),
		ReadHeaderTimeout: httpHeaderTime, IdleTimeout: httpIdleTime, MaxHeaderBytes: httpHeaderBytes,
	}
	s.accept(protocolHTTP, s.http.Serve)
}

// closeListeners stops accepting connections of the protocols, all or none of
// them HTTP.
func (s *Server) closeListeners(ofHTTP bool) {
	for _, l := range s.listeners {
		if (l.protocol == protocolHTTP) == ofHTTP {
			s.closing("a listener of "+l.protocol, l.Close())
		}
	}
}

// Address returns the address that a protocol (kafka, amqp, http) is bound to,
// with TLS or without; "" if it is switched off, the first if it has two.
func (s *Server) Address(protocol string, secure bool) string {
	for _, l := range s.of(protocol) {
		if (l.secured != nil) == secure {
			return l.Addr().String()
		}
	}
	return ""
}

// KafkaAddress, AMQPAddress and HTTPAddress return the addresses that are bound
// without TLS, "" for a protocol that is switched off.
func (s *Server) KafkaAddress() string { return s.Address(protocolKafka, false) }

// AMQPAddress is like KafkaAddress.
func (s *Server) AMQPAddress() string { return s.Address(protocolAMQP, false) }

// HTTPAddress is like KafkaAddress.
func (s *Server) HTTPAddress() string { return s.Address(protocolHTTP, false) }
