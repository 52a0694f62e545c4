package amqp

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// ConnectionInfo is an open connection, as it is to be shown.
type ConnectionInfo struct {
	// Name is "client -> server", as RabbitMQ names connections.
	Name   string
	Client string // host:port
	Server string
	User   string
	Vhost  string
	Since  time.Time
	// Mechanism is how the client has logged in.
	Mechanism string
	// TLS is nil on a connection without.
	TLS *TLSInfo
	// Properties are what the client said of itself.
	Properties wire.Table
	FrameMax   uint32
	ChannelMax uint16
	Heartbeat  uint16 // seconds
	// Traffic is what went over the socket.
	Traffic  Traffic
	Blocked  bool
	Channels []ChannelInfo
}

// Traffic counts bytes, and the reads and writes of the socket that moved them.
type Traffic struct{ Received, Reads, Sent, Writes int64 }

// TLSInfo is how a connection is secured.
type TLSInfo struct {
	Version, Cipher string
	// Of the certificate that the client has shown; "" without one.
	Subject, Issuer string
	// Validity of that certificate.
	From, Until time.Time
}

// ChannelInfo is an open channel.
type ChannelInfo struct {
	Number   uint16
	Confirms bool
	Tx       bool
	Prefetch int // of the channel as a whole; 0: no limit
	// PerConsumer is the prefetch count of consumers that start from now on; 0: no
	// limit.
	PerConsumer int
	Unacked     int
	// Unconfirmed publishes have not been told of. Uncommitted messages and
	// UncommittedAcks wait for tx.commit.
	Unconfirmed, Uncommitted, UncommittedAcks int
	Counts                                    Counts
	Consumers                                 []ConsumerInfo
}

// ConsumerInfo is a consumer of a channel.
type ConsumerInfo struct {
	Tag       string
	Queue     string
	NoAck     bool
	Exclusive bool
	Prefetch  int // 0: no limit
	Arguments wire.Table
}

// Connections asks every open connection what it is, sorted by name. One that
// does not answer before ctx is done is left out.
func (s *Server) Connections(ctx context.Context) []ConnectionInfo {
	asked := s.gate.Open()
	answers := make(chan ConnectionInfo, len(asked))
	for _, c := range asked {
		c.session.post(func() {
			if c.session.phase == running {
				answers <- c.describe()
			} else {
				answers <- ConnectionInfo{}
			}
		})
	}
	var all []ConnectionInfo
	for range asked {
		select {
		case info := <-answers:
			if info.Name != "" {
				all = append(all, info)
			}
		case <-ctx.Done():
			return sorted(all)
		}
	}
	return sorted(all)
}

func sorted(all []ConnectionInfo) []ConnectionInfo {
	slices.SortFunc(all, func(a, b ConnectionInfo) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// NodeName returns the name of the broker's node, as RabbitMQ names nodes.
func NodeName(b *broker.Broker) string { return fmt.Sprintf("polylog@node-%d", b.NodeID()) }

// CloseConnection closes the connection of this name with CONNECTION_FORCED. It
// reports whether there is one.
func (s *Server) CloseConnection(name, reason string) bool {
	for _, c := range s.gate.Open() {
		if c.name() == name {
			c.session.post(func() { c.session.force(reason) })
			return true
		}
	}
	return false
}

// CloseVhost closes the connections to a vhost with CONNECTION_FORCED.
func (s *Server) CloseVhost(vhost, reason string) {
	for _, c := range s.gate.Open() {
		c.session.post(func() {
			if c.session.tenant == vhost {
				c.session.force(reason)
			}
		})
	}
}

func (c *conn) name() string { return c.session.client + " -> " + c.nc.LocalAddr().String() }

// tls says how the connection is secured.
func (c *conn) tls() *TLSInfo {
	t, ok := c.nc.(*tls.Conn)
	if !ok {
		return nil
	}
	state := t.ConnectionState()
	info := &TLSInfo{Version: tls.VersionName(state.Version), Cipher: tls.CipherSuiteName(state.CipherSuite)}
	if x := c.session.certificate; x != nil {
		info.Subject, info.Issuer, info.From, info.Until = x.Subject.String(), x.Issuer.String(), x.NotBefore, x.NotAfter
	}
	return info
}

// describe runs on the reader.
func (c *conn) describe() ConnectionInfo {
	s := c.session
	info := ConnectionInfo{
		Name: c.name(), Client: s.client, Server: c.nc.LocalAddr().String(), User: s.principal.Name, Vhost: s.tenant,
		Since: c.since, Mechanism: s.mechanism, TLS: c.tls(), Properties: s.properties, FrameMax: s.frameMax, ChannelMax: s.channelMax, Heartbeat: s.heartbeat, Blocked: s.told,
		Traffic: Traffic{c.received, c.reads, c.sent.Load(), c.writes.Load()},
	}
	for _, ch := range s.channels {
		if !ch.closing {
			info.Channels = append(info.Channels, ch.describe())
		}
	}
	slices.SortFunc(info.Channels, func(a, b ChannelInfo) int { return int(a.Number) - int(b.Number) })
	return info
}

// state reports whether the channel is in confirm mode, and how many publishes
// have not been told of.
func (c *confirms) state() (on bool, unconfirmed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == 0 {
		return false, 0
	}
	return true, int(c.next - 1 - c.told)
}

func (ch *channel) describe() ChannelInfo {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	info := ChannelInfo{Number: ch.number, Prefetch: ch.limit, PerConsumer: ch.prefetch, Unacked: ch.unacked.live, Tx: ch.tx != nil}
	info.Confirms, info.Unconfirmed = ch.confirms.state()
	info.Counts.add(ch.tally)
	if ch.tx != nil {
		info.UncommittedAcks, info.Uncommitted = len(ch.tx.settles), ch.tx.count-len(ch.tx.settles)
	}
	for tag, c := range ch.consumers {
		queue := ""
		if c.queue != nil {
			queue = c.queue.Name()
		}
		info.Consumers = append(info.Consumers, ConsumerInfo{Tag: tag, Queue: queue, NoAck: c.noAck, Exclusive: c.exclusive, Prefetch: c.prefetch, Arguments: c.arguments})
	}
	slices.SortFunc(info.Consumers, func(a, b ConsumerInfo) int { return strings.Compare(a.Tag, b.Tag) })
	return info
}
