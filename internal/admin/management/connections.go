package management

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/polylog-mq/polylog/internal/protocol/amqp"
)

// connectionInfo is an open connection.
type connectionInfo struct {
	Name      string `json:"name"`
	Node      string `json:"node"`
	Vhost     string `json:"vhost"`
	User      string `json:"user"`
	Who       string `json:"user_who_performed_action"`
	Protocol  string `json:"protocol"`
	Mechanism string `json:"auth_mechanism"`
	Kind      string `json:"type"`
	State     string `json:"state"`
	PeerHost  string `json:"peer_host"`
	PeerPort  int    `json:"peer_port"`
	Host      string `json:"host"`
	Port      int    `json:"port"`
	tlsInfo
	Channels   int            `json:"channels"`
	ChannelMax uint16         `json:"channel_max"`
	FrameMax   uint32         `json:"frame_max"`
	Timeout    uint16         `json:"timeout"`
	Since      int64          `json:"connected_at"` // ms
	Properties map[string]any `json:"client_properties"`
	Given      any            `json:"user_provided_name,omitempty"`
	Received   int64          `json:"recv_oct"`
	ReceivedBy detail         `json:"recv_oct_details"`
	Reads      int64          `json:"recv_cnt"`
	Sent       int64          `json:"send_oct"`
	SentBy     detail         `json:"send_oct_details"`
	Writes     int64          `json:"send_cnt"`
	Pending    int64          `json:"send_pend"` // none: the kernel is asked for no more than it takes
}

// tlsInfo is how a connection is secured.
type tlsInfo struct {
	SSL      bool    `json:"ssl"`
	Version  *string `json:"ssl_protocol"`
	Cipher   *string `json:"ssl_cipher"`
	Subject  *string `json:"peer_cert_subject"`
	Issuer   *string `json:"peer_cert_issuer"`
	Validity *string `json:"peer_cert_validity"`
}

func (t *tlsInfo) secure(by *amqp.TLSInfo) {
	if by == nil {
		return
	}
	*t = tlsInfo{SSL: true, Version: &by.Version, Cipher: &by.Cipher}
	if by.Subject != "" {
		validity := by.From.UTC().Format(time.RFC3339) + " - " + by.Until.UTC().Format(time.RFC3339)
		t.Subject, t.Issuer, t.Validity = &by.Subject, &by.Issuer, &validity
	}
}

// peer is a connection as channels and consumers name it.
type peer struct {
	Name     string `json:"name"`
	PeerHost string `json:"peer_host"`
	PeerPort int    `json:"peer_port"`
}

func hostPort(address string) (string, int) {
	host, port, _ := net.SplitHostPort(address) // a socket's
	n, _ := strconv.Atoi(port)
	return host, n
}

func (a *api) describeConnection(q *request, c *amqp.ConnectionInfo) connectionInfo {
	info := connectionInfo{
		Name: c.Name, Node: amqp.NodeName(q.broker), Vhost: c.Vhost, User: c.User, Who: c.User, Protocol: "AMQP 0-9-1", Mechanism: c.Mechanism,
		Kind: "network", State: "running", Channels: len(c.Channels), ChannelMax: c.ChannelMax, FrameMax: c.FrameMax, Timeout: c.Heartbeat,
		Since: c.Since.UnixMilli(), Properties: object(c.Properties),
	}
	info.secure(c.TLS)
	past := a.rates.ofPeer(c.Name, trafficNumbers(c))
	info.Received, info.Reads, info.Sent, info.Writes = c.Traffic.Received, c.Traffic.Reads, c.Traffic.Sent, c.Traffic.Writes
	info.ReceivedBy, info.SentBy = past.detail(0, 0), past.detail(1, 0)
	if c.Blocked {
		info.State = "blocked"
	}
	info.PeerHost, info.PeerPort = hostPort(c.Client)
	info.Host, info.Port = hostPort(c.Server)
	if name, ok := info.Properties["connection_name"]; ok {
		info.Given = name
	}
	return info
}

// visible returns the connections that the user may see: all with a tag for it,
// else their own; those of the vhost or the user that the path names.
func (a *api) visible(q *request) []amqp.ConnectionInfo {
	u := q.broker.User(q.user)
	all := u != nil && slices.ContainsFunc(tags[needMonitoring], u.HasTag)
	vhost, user := q.r.PathValue("vhost"), q.r.PathValue("user")
	return slices.DeleteFunc(a.open(q.r), func(c amqp.ConnectionInfo) bool {
		return !all && c.User != q.user || vhost != "" && c.Vhost != vhost || user != "" && c.User != user
	})
}

func (a *api) connections(q *request) {
	all := []connectionInfo{}
	for _, c := range a.visible(q) {
		all = append(all, a.describeConnection(q, &c))
	}
	list(q, all, func(c *connectionInfo) string { return c.Name })
}

// theConnection returns the connection of the path; without one it has
// answered.
func (a *api) theConnection(q *request) *amqp.ConnectionInfo {
	for _, c := range a.visible(q) {
		if c.Name == q.r.PathValue("name") {
			return &c
		}
	}
	q.notFound()
	return nil
}

func (a *api) connection(q *request) {
	if c := a.theConnection(q); c != nil {
		q.answer(a.describeConnection(q, c))
	}
}

func (a *api) closeConnection(q *request) {
	c := a.theConnection(q)
	if c == nil {
		return
	}
	if !a.node.AMQP().CloseConnection(c.Name, q.reason()) {
		q.notFound()
		return
	}
	q.w.WriteHeader(http.StatusNoContent)
}

// reason is what the clients are told whose connections a request closes.
func (q *request) reason() string {
	if reason := q.r.Header.Get("X-Reason"); reason != "" {
		return reason
	}
	return "Closed via management plugin"
}

func (a *api) closeConnections(q *request) {
	for _, c := range a.visible(q) {
		a.node.AMQP().CloseConnection(c.Name, q.reason())
	}
	q.w.WriteHeader(http.StatusNoContent)
}

// channelInfo is an open channel.
type channelInfo struct {
	Name           string `json:"name"`
	Number         uint16 `json:"number"`
	Node           string `json:"node"`
	Vhost          string `json:"vhost"`
	User           string `json:"user"`
	State          string `json:"state"`
	Confirm        bool   `json:"confirm"`
	Transactional  bool   `json:"transactional"`
	Consumers      int    `json:"consumer_count"`
	Unacked        int    `json:"messages_unacknowledged"`
	Prefetch       int    `json:"prefetch_count"`
	GlobalPrefetch int    `json:"global_prefetch_count"`
	Connection     peer   `json:"connection_details"`

	Who             string         `json:"user_who_performed_action"`
	Unconfirmed     int            `json:"messages_unconfirmed"`
	Uncommitted     int            `json:"messages_uncommitted"`
	UncommittedAcks int            `json:"acks_uncommitted"`
	Stats           map[string]any `json:"message_stats"`
	*channelDetails
}

// channelDetails are told of one channel alone. To which exchanges and from which
// queues messages went is not counted.
type channelDetails struct {
	Consumers  []consumerInfo `json:"consumer_details"`
	Publishes  []any          `json:"publishes"`
	Deliveries []any          `json:"deliveries"`
}

func channelName(c *amqp.ConnectionInfo, number uint16) string {
	return fmt.Sprintf("%s (%d)", c.Name, number)
}

func (a *api) describeChannels(q *request, c *amqp.ConnectionInfo) []channelInfo {
	list := []channelInfo{}
	host, port := hostPort(c.Client)
	for _, ch := range c.Channels {
		name, now := channelName(c, ch.Number), messageNumbers(ch.Counts)
		list = append(list, channelInfo{
			Name: name, Number: ch.Number, Node: amqp.NodeName(q.broker), Vhost: c.Vhost, User: c.User, State: "running",
			Confirm: ch.Confirms, Transactional: ch.Tx, Consumers: len(ch.Consumers), Unacked: ch.Unacked, Prefetch: ch.PerConsumer, GlobalPrefetch: ch.Prefetch,
			Connection: peer{c.Name, host, port}, Who: c.User,
			Unconfirmed: ch.Unconfirmed, Uncommitted: ch.Uncommitted, UncommittedAcks: ch.UncommittedAcks,
			Stats: a.rates.ofPeer(name, now).stats(0, messageNames, now),
		})
	}
	return list
}

func (a *api) channels(q *request) {
	all := []channelInfo{}
	for _, c := range a.visible(q) {
		all = append(all, a.describeChannels(q, &c)...)
	}
	list(q, all, func(c *channelInfo) string { return c.Name })
}

func (a *api) connectionChannels(q *request) {
	if c := a.theConnection(q); c != nil {
		rows(q, a.describeChannels(q, c))
	}
}

func (a *api) channel(q *request) {
	for _, c := range a.visible(q) {
		for i, ch := range a.describeChannels(q, &c) {
			if ch.Name == q.r.PathValue("name") {
				ch.channelDetails = &channelDetails{describeConsumers(q, &c, &c.Channels[i]), []any{}, []any{}}
				q.answer(ch)
				return
			}
		}
	}
	q.notFound()
}

// consumerInfo is a consumer.
type consumerInfo struct {
	Tag       string         `json:"consumer_tag"`
	Exclusive bool           `json:"exclusive"`
	Ack       bool           `json:"ack_required"`
	Prefetch  int            `json:"prefetch_count"`
	Active    bool           `json:"active"`
	Status    string         `json:"activity_status"`
	Arguments map[string]any `json:"arguments"`
	Queue     struct {
		Name  string `json:"name"`
		Vhost string `json:"vhost"`
	} `json:"queue"`
	Channel struct {
		Connection string `json:"connection_name"`
		Channel    string `json:"name"`
		Number     uint16 `json:"number"`
		Node       string `json:"node"`
		PeerHost   string `json:"peer_host"`
		PeerPort   int    `json:"peer_port"`
		User       string `json:"user"`
	} `json:"channel_details"`
}

// allConsumers returns the consumers in vhosts.
func (a *api) allConsumers(q *request, vhosts []string) []consumerInfo {
	list := []consumerInfo{}
	for _, c := range a.open(q.r) {
		if !slices.Contains(vhosts, c.Vhost) {
			continue
		}
		for i := range c.Channels {
			list = append(list, describeConsumers(q, &c, &c.Channels[i])...)
		}
	}
	return list
}

func describeConsumers(q *request, c *amqp.ConnectionInfo, ch *amqp.ChannelInfo) []consumerInfo {
	list := []consumerInfo{}
	for _, one := range ch.Consumers {
		info := consumerInfo{
			Tag: one.Tag, Exclusive: one.Exclusive, Ack: !one.NoAck, Prefetch: one.Prefetch, Active: true, Status: "up", Arguments: object(one.Arguments),
		}
		info.Queue.Name, info.Queue.Vhost = one.Queue, c.Vhost
		info.Channel.Connection = c.Name
		info.Channel.PeerHost, info.Channel.PeerPort = hostPort(c.Client)
		info.Channel.Channel, info.Channel.Number = channelName(c, ch.Number), ch.Number
		info.Channel.Node, info.Channel.User = amqp.NodeName(q.broker), c.User
		list = append(list, info)
	}
	return list
}

func (a *api) consumers(q *request) {
	if vhosts, ok := q.tenants(); ok {
		rows(q, a.allConsumers(q, vhosts))
	}
}
