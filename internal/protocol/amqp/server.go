package amqp

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/clock"
	"github.com/polylog-mq/polylog/internal/protocol/listen"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// Authorizer is the choke point that every method passes. It returns nil if who
// may do a to r.
type Authorizer interface {
	Authorize(who access.Principal, a access.Action, r access.Resource) error
}

// Options says what a server stands on.
type Options struct {
	Broker *broker.Broker
	Access Authorizer
	// Clock tells the time that is written into messages.
	Clock clock.Clock
	// Logger; default slog.Default().
	Logger *slog.Logger
	// Product and Version are what clients are told that the server is. Several
	// choose their behaviour by it, so by default it is RabbitMQ and the version
	// whose behaviour this is.
	Product, Version string
	// LoginFrom says who a client's certificate makes it; default FromNothing.
	LoginFrom LoginFrom
	// Software is what the server really is, its version included.
	Software string
}

// DefaultProduct and DefaultVersion are what clients are told unless Options say
// otherwise.
const (
	DefaultProduct = "RabbitMQ"
	DefaultVersion = "3.13.7"
)

// Server answers AMQP clients. All methods may be called from any goroutine.
type Server struct {
	opts    Options
	table   *table
	log     *slog.Logger
	times   timeouts
	replies replyDirectory
	batches sync.Pool // of *batch

	gate    *listen.Gate[*conn]
	tracing tracing
	// exchanges is what is counted of exchanges.
	exchanges exchangeTally
	census    *census
}

// timeouts are those of limits.go; tests are less patient.
type timeouts struct{ handshake, refusal, close, write, full time.Duration }

// New returns a server that does not listen yet.
func New(opts Options) *Server {
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Clock == nil {
		opts.Clock = clock.System()
	}
	if opts.Product == "" {
		opts.Product = DefaultProduct
	}
	if opts.Version == "" {
		opts.Version = DefaultVersion
	}
	if opts.LoginFrom == "" {
		opts.LoginFrom = FromNothing
	}
	s := &Server{
		opts:  opts,
		table: newTable(methods),
		times: timeouts{
			handshake: handshakeTime, refusal: refusalDelay, close: closeTime, write: writeTimeout, full: fullPoll,
		},
		log: opts.Logger.With("protocol", protocolName),
	}
	s.census = newCensus(opts.Broker)
	s.gate = listen.New(listen.MaxConnections, s.log, s.newConn)
	return s
}

// protocolName is the name of this protocol in logs.
const protocolName = "amqp"

// Serve accepts connections from l until it is closed; see listen.Gate.
func (s *Server) Serve(l net.Listener) error { return s.gate.Serve(l) }

// ServeConn serves one connection, on goroutines of its own. One that does not
// come from the network (net.Pipe) comes from this machine.
func (s *Server) ServeConn(nc net.Conn) { s.gate.Admit(nc) }

// Shutdown closes all connections with CONNECTION_FORCED, gives the clients
// until ctx is done to agree, and drops those that have not. The listeners are
// the caller's to close, before.
func (s *Server) Shutdown(ctx context.Context) { s.gate.Shutdown(ctx) }

// isLoopback reports whether an address is one of this machine's own.
func isLoopback(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return ok && t.AddrPort().Addr().Unmap().IsLoopback() || !ok && a.Network() == "pipe"
}
