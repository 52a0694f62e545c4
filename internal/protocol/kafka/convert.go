package kafka

import (
	"encoding/base64"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/kafka/wire"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// clusterID returns the cluster's uuid as Kafka writes one: 22 characters of
// URL-safe base64.
func clusterID(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// operations maps Kafka's ACL operations, by their number, to actions, for each
// type of resource.
var operations = map[access.Type][]struct {
	bit    uint
	action access.Action
}{
	access.Topic: {
		{3, access.Consume},
		{4, access.Produce},
		{5, access.Create},
		{6, access.Delete},
		{7, access.Alter},
		{8, access.Describe},
		{10, access.Describe},
		{11, access.Alter},
	},
	access.Group: {
		{3, access.Consume}, {6, access.Delete}, {8, access.Describe},
	},
	access.Cluster: {
		{5, access.Create},
		{7, access.Admin},
		{8, access.Describe},
		{9, access.Admin},
		{10, access.Describe},
		{11, access.Admin},
		{12, access.Produce},
	},
}

// authorizedOperations returns the bit field of Kafka's operations that the
// caller may do to a resource.
func (c *call) authorizedOperations(t access.Type, name string) int32 {
	var bits int32
	for _, op := range operations[t] {
		if c.server.authorize(c, op.action, t, name) == nil {
			bits |= 1 << op.bit
		}
	}
	return bits
}

// leaderOf returns the hint at a partition's leader that goes with a refusal.
func leaderOf(p *broker.Partition) wire.Leader {
	if p == nil || p.Leader() == 0 {
		return wire.NoLeader
	}
	return wire.Leader{Node: int32(p.Leader()), Epoch: int32(p.Epoch())}
}

// endpoints returns the nodes and where they can be reached.
func (s *session) endpoints() []wire.Endpoint {
	nodes := s.server.opts.Broker.Nodes()
	out := make([]wire.Endpoint, 0, len(nodes))
	for i := range nodes {
		host, port := s.address(&nodes[i])
		out = append(out, wire.Endpoint{Node: int32(nodes[i].ID), Host: host, Port: port, Rack: nodes[i].Rack})
	}
	return out
}

// checkEpoch holds a client's idea of the leader epoch (-1: none) against a
// partition, whose leader must be this node.
func (s *session) checkEpoch(p *broker.Partition, epoch int32) (code int16) {
	switch ours := int32(p.Epoch()); {
	case p.Settings() == nil: // deleted while the client held on to it
		return errUnknownTopicOrPartition
	case p.Leader() != s.server.opts.Broker.NodeID():
		return errNotLeaderOrFollower
	case epoch < 0 || epoch == ours:
		return errNone
	case epoch < ours:
		return errFencedLeaderEpoch
	default:
		return errUnknownLeaderEpoch
	}
}

// replicas returns the nodes that hold a partition, as clients see them: the
// leader alone, none without one.
func replicas(p *broker.Partition) []int32 {
	if p.Leader() == 0 {
		return nil
	}
	return []int32{nodeID(p.Leader())}
}

// find returns a partition by the name of its topic, or the code to refuse it
// with. Who may not do a to the topic does not learn whether it exists.
func (c *call) find(a access.Action, topic string, number int32) (p *broker.Partition, refused int16) {
	if !c.allows(a, access.Topic, topic) {
		return nil, errTopicAuthorizationFailed
	}
	t := c.server.opts.Broker.Topic(topic)
	if t == nil || number < 0 || int(number) >= len(t.Partitions) {
		return nil, errUnknownTopicOrPartition
	}
	return t.Partitions[number], errNone
}
