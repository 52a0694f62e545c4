package kafka

import (
	"context"
	"log/slog"
	"net"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/clock"
	"github.com/polylog-mq/polylog/internal/protocol/listen"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// Authorizer is the choke point that every operation passes. It returns nil if
// who may do a to r.
type Authorizer interface {
	Authorize(who access.Principal, a access.Action, r access.Resource) error
}

// Options says what a server stands on.
type Options struct {
	Broker *broker.Broker
	Access Authorizer
	// DataDir is where the node keeps its data, as DescribeLogDirs tells.
	DataDir string
	// CompactionMemory is how many bytes the keys of a topic that is compacted may
	// take, as DescribeConfigs tells.
	CompactionMemory int64
	// Clock is the time that long polls and fetch sessions are measured by.
	Clock clock.Clock
	// Logger; default slog.Default().
	Logger *slog.Logger
}

// Server answers Kafka clients. All methods may be called from any goroutine.
type Server struct {
	opts  Options
	table *table
	log   *slog.Logger
	times timeouts

	sessions     *fetchSessions
	outbound     budget    // of record bytes read for answers and not yet written
	calls        sync.Pool // of *call
	produceCalls sync.Pool // of *produceCall
	fetchCalls   sync.Pool // of *fetchCall

	makingOffsets atomic.Bool // __consumer_offsets is being made

	readers   sync.Pool // of *bufio.Reader
	poller    *listen.Poller
	answerers *answerers
	gate      *listen.Gate[*conn]
}

// timeouts are those of limits.go; tests are less patient.
type timeouts struct{ idle, read, write time.Duration }

// New returns a server that does not listen yet.
func New(opts Options) *Server {
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Clock == nil {
		opts.Clock = clock.System()
	}
	s := &Server{
		opts:  opts,
		table: newTable(apis),
		times: timeouts{idle: idleTimeout, read: readTimeout, write: writeTimeout},
		log:   opts.Logger.With("protocol", protocolName),

		sessions:  newFetchSessions(uint64(opts.Clock.Now().UnixNano())),
		answerers: newAnswerers(runtime.GOMAXPROCS(0) / 2),
		poller:    listen.NewPoller(max(1, runtime.GOMAXPROCS(0)/2)),
	}
	s.gate = listen.New(listen.MaxConnections, s.log, s.newConn)
	return s
}

// Serve accepts connections from l until it is closed; see listen.Gate.
func (s *Server) Serve(l net.Listener) error { return s.gate.Serve(l) }

// Shutdown stops reading from all connections, lets the calls under way be
// answered until ctx is done, and closes the connections. The listeners are the
// caller's to close, before.
func (s *Server) Shutdown(ctx context.Context) {
	s.gate.Shutdown(ctx)
	s.poller.Close()
}

// authorize asks whether the caller may do a to a resource.
func (s *Server) authorize(c *call, a access.Action, t access.Type, name string) error {
	return s.opts.Access.Authorize(c.principal, a, access.Resource{Tenant: c.principal.Tenant, Type: t, Name: name})
}

// splitAddress splits host:port; an address without a port has port 0.
func splitAddress(a string) (host string, port int32) {
	h, p, err := net.SplitHostPort(a)
	if err != nil {
		return a, 0
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return h, 0
	}
	return h, int32(n)
}
