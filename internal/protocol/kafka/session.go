package kafka

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/kafka/wire"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// session is what a connection has come to be: who speaks, from where to where.
// Only the goroutine that handles a call touches what changes in it; the reader
// and the writer each have their own part.
type session struct {
	server *Server
	// principal is who the connection speaks for.
	principal access.Principal
	// client is the peer's address, as groups show it ("/10.0.0.7").
	client string
	// local is the address that the client connected to, which is the one it
	// is told to connect to unless the server was given another.
	local netip.AddrPort
	// secure says that it came in by TLS.
	secure bool

	// software is what the client said it is (ApiVersions v3), "" if nothing.
	softwareName, softwareVersion string

	// names are topic names that were seen in requests; nameMu lets the reader
	// and the writer share them.
	nameMu sync.Mutex
	names  map[string]string

	// The reader's: hasty says that it has no time, since it reads for others too,
	// and slow are the batches, in their order, that it has not appended for that.
	// patience is how many more small batches the connection's own goroutine would
	// read without helping with one, before the socket is lent.
	hasty    bool
	slow     []*producePart
	patience int

	// The writer's: what its long polls use, one at a time.
	waiter    *broker.Waiter
	interests []broker.Interest
	// member is the latest JoinGroup or SyncGroup, which may be waiting.
	member *broker.GroupWait
}

func newSession(s *Server, remote, local netip.AddrPort) *session {
	return &session{
		server:    s,
		principal: access.Principal{Loopback: remote.Addr().Unmap().IsLoopback()},
		client:    "/" + remote.Addr().Unmap().String(),
		local:     netip.AddrPortFrom(local.Addr().Unmap(), local.Port()),
	}
}

// open makes a call of a frame. An error ends the connection, which is Kafka's
// own answer to a request that it does not know.
func (s *session) open(p *pipeline, f *wire.Frame) (*call, error) {
	key, version, _ := wire.Peek(f.B)
	row := s.server.table.lookup(key)
	if row == nil {
		return nil, fmt.Errorf("request with unknown key %d version %d", key, version)
	}
	c := s.server.newCall()
	c.session, c.pipe, c.api, c.frame = s, p, row, f
	var err error
	switch {
	case row.served.has(version):
		c.header, c.body, err = wire.ParseHeader(f.B, wire.Flexible(key, version))
	case key == keyAPIVersions:
		// A newer client learns from the answer which version to ask for.
		c.api = &s.server.table.fallback
		c.header, err = wire.ParseFallbackHeader(f.B)
	default:
		err = fmt.Errorf("%s request with version %d, which is not between %d and %d",
			row.name, version, row.served.min, row.served.max)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// name returns b as a string, without allocating for a name that was seen
// before.
func (s *session) name(b []byte) string {
	s.nameMu.Lock()
	defer s.nameMu.Unlock()
	if n, ok := s.names[string(b)]; ok {
		return n
	}
	if s.names == nil || len(s.names) >= maxNames {
		s.names = make(map[string]string)
	}
	n := string(b)
	s.names[n] = n
	return n
}

// close gives up what the session has with the broker, once neither goroutine
// of its connection runs any more.
func (s *session) close() {
	if s.waiter != nil {
		s.waiter.Cancel()
	}
	if s.member != nil {
		s.member.Cancel()
	}
}

// address returns the host and port at which the client should connect to node.
func (s *session) address(n *broker.Node) (host string, port int32) {
	protocol := protocolName
	if s.secure {
		protocol += "+tls"
	}
	if a := n.Addresses[protocol]; a != "" {
		return splitAddress(a)
	}
	if ip := s.local.Addr().Unmap(); !ip.IsLoopback() || ip.Is4() {
		return ip.String(), int32(s.local.Port())
	}
	// Clients that put host and port together with a colon cannot read ::1.
	return "localhost", int32(s.local.Port())
}

// securityProtocol returns Kafka's name for how the client came in.
func (s *session) securityProtocol() string {
	if s.secure {
		return "SSL"
	}
	return "PLAINTEXT"
}

// protocolName is the key of this protocol in broker.Node.Addresses; with "+tls"
// behind it, that of the listener with TLS.
const protocolName = "kafka"
