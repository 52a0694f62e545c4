package kafka

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// Metadata, key 3, versions 0-13.
//
// Tells the nodes of the cluster and, for the topics asked for by name, by id
// (version 10) or all, their partitions and who leads them. A topic that does
// not exist is made when the server and the request allow it; unlike Kafka,
// which answers UNKNOWN_TOPIC_OR_PARTITION and has the client ask again, the answer
// waits until the topic exists. One that was deleted within the last half second
// is not made but unknown, as it is in Kafka's first answer. A node advertises
// the address that the client connected to, unless it was given one.
//
// Authorized operations (versions 8 and later) are those that the caller is
// allowed; see authorizedOperations.
// Known gaps: replicas are the leader alone until clusters exist.

func metadata(c *call, req *kmsg.MetadataRequest) {
	m := &metadataCall{call: c, req: req, resp: kmsg.NewPtrMetadataResponse()}
	m.cluster()
	if missing := m.topics(); len(missing) > 0 {
		c.server.opts.Broker.CreateTopics(missing, false, m.created)
		return
	}
	c.reply(m.resp)
}

// metadataCall is one Metadata request while it is answered.
type metadataCall struct {
	*call
	req  *kmsg.MetadataRequest
	resp *kmsg.MetadataResponse
	// creating are the indexes in resp.Topics of the topics being made.
	creating []int
}

// cluster fills in the nodes.
func (m *metadataCall) cluster() {
	b := m.server.opts.Broker
	nodes := b.Nodes()
	for i := range nodes {
		n := kmsg.NewMetadataResponseBroker()
		n.NodeID = int32(nodes[i].ID)
		n.Host, n.Port = m.address(&nodes[i])
		if rack := nodes[i].Rack; rack != "" {
			n.Rack = &rack
		}
		m.resp.Brokers = append(m.resp.Brokers, n)
	}
	id := clusterID(b.ClusterID())
	m.resp.ClusterID = &id
	m.resp.ControllerID = nodeID(b.Controller())
	if m.req.IncludeClusterAuthorizedOperations {
		m.resp.AuthorizedOperations = m.authorizedOperations(access.Cluster, "")
	}
}

// topics fills in the topics asked for and returns those to be made.
func (m *metadataCall) topics() (missing []broker.NewTopic) {
	b := m.server.opts.Broker
	// Null means all, and in version 0, which has no null, so does empty.
	if m.req.Topics == nil || m.req.Version == 0 && len(m.req.Topics) == 0 {
		for t := range b.Topics() {
			if m.allows(access.Describe, access.Topic, t.Name) {
				m.add(m.describe(t))
			}
		}
		return nil
	}
	for i := range m.req.Topics {
		asked := &m.req.Topics[i]
		if asked.Topic == nil {
			m.add(m.byID(asked.TopicID))
			continue
		}
		t, create := m.byName(*asked.Topic)
		if create {
			m.creating = append(m.creating, len(m.resp.Topics))
			missing = append(missing, implicitTopic(*asked.Topic))
		}
		m.add(t)
	}
	return missing
}

func (m *metadataCall) add(t kmsg.MetadataResponseTopic) {
	m.resp.Topics = append(m.resp.Topics, t)
}

// byName answers for a topic by its name; create says that it does not exist
// and is to be made.
func (m *metadataCall) byName(name string) (answer kmsg.MetadataResponseTopic, create bool) {
	answer = kmsg.NewMetadataResponseTopic()
	answer.Topic = &name
	if !m.allows(access.Describe, access.Topic, name) {
		answer.ErrorCode = errTopicAuthorizationFailed
		return answer, false
	}
	if t := m.server.opts.Broker.Topic(name); t != nil {
		return m.describe(t), false
	}
	answer.ErrorCode = errUnknownTopicOrPartition
	// Before version 4 a request could not say no.
	wanted := m.req.Version < 4 || m.req.AllowAutoTopicCreation
	b := m.server.opts.Broker
	if !wanted || !b.AutoCreateTopics() || b.JustDeleted(name) {
		return answer, false
	}
	if !m.allows(access.Create, access.Topic, name) {
		answer.ErrorCode = errTopicAuthorizationFailed
		return answer, false
	}
	return answer, true
}

// byID answers for a topic by its id. An id that is unknown and one that may
// not be seen look the same.
func (m *metadataCall) byID(id [16]byte) kmsg.MetadataResponseTopic {
	t := m.server.opts.Broker.TopicByID(id)
	if t == nil || !m.allows(access.Describe, access.Topic, t.Name) {
		answer := kmsg.NewMetadataResponseTopic()
		answer.TopicID, answer.ErrorCode = id, errUnknownTopicID
		return answer
	}
	return m.describe(t)
}

// created completes the answer once the missing topics were made, or not.
func (m *metadataCall) created(results []broker.TopicResult) {
	for i := range results {
		at := &m.resp.Topics[m.creating[i]]
		switch err := results[i].Err; {
		case err == nil && results[i].Topic != nil:
			*at = m.describe(results[i].Topic)
		case errors.Is(err, broker.ErrTopicExists): // somebody else was faster
			if t := m.server.opts.Broker.Topic(*at.Topic); t != nil {
				*at = m.describe(t)
			} else {
				at.ErrorCode = errLeaderNotAvailable
			}
		case errors.Is(err, broker.ErrBusy), errors.Is(err, broker.ErrNotLeader), errors.Is(err, broker.ErrUnknownFate):
			at.ErrorCode = errLeaderNotAvailable
		default:
			at.ErrorCode = codeOf(err)
		}
	}
	m.reply(m.resp)
}

// describe answers for a topic that exists.
func (m *metadataCall) describe(t *broker.Topic) kmsg.MetadataResponseTopic {
	answer := kmsg.NewMetadataResponseTopic()
	answer.Topic, answer.TopicID, answer.IsInternal = &t.Name, t.UUID, isInternal(t.Name)
	answer.Partitions = make([]kmsg.MetadataResponseTopicPartition, 0, len(t.Partitions))
	for _, p := range t.Partitions {
		answer.Partitions = append(answer.Partitions, describePartition(p))
	}
	if m.req.IncludeTopicAuthorizedOperations {
		answer.AuthorizedOperations = m.authorizedOperations(access.Topic, t.Name)
	}
	return answer
}

func describePartition(p *broker.Partition) kmsg.MetadataResponseTopicPartition {
	answer := kmsg.NewMetadataResponseTopicPartition()
	answer.Partition = p.Number()
	answer.Leader, answer.LeaderEpoch = nodeID(p.Leader()), int32(p.Epoch())
	if answer.Leader < 0 {
		answer.ErrorCode = errLeaderNotAvailable
		return answer
	}
	answer.Replicas, answer.ISR = replicas(p), replicas(p)
	return answer
}

// nodeID returns a node's id as clients see it, -1 for none.
func nodeID(n record.NodeID) int32 {
	if n == 0 {
		return -1
	}
	return int32(n)
}
