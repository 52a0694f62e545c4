package kafka

import (
	"github.com/polylog-mq/polylog/internal/broker"
)

// Kafka keeps committed offsets and transactions in topics of its own. Here they
// are state of the shards (state/group, state/txn) and no log, yet dashboards,
// consumers by pattern and scripts that wait for a cluster look for the first of
// the topics. So it exists, made when a client first looks for a group's
// coordinator, as in Kafka: an internal topic, with one partition that is always
// empty. Who reads it sees nothing rather than an error that ends a tool, and a
// produce to it is INVALID_TOPIC_EXCEPTION.
const (
	offsetsTopic     = "__consumer_offsets"
	transactionTopic = "__transaction_state"
)

// isInternal reports whether clients are told that a topic is the cluster's own.
func isInternal(name string) bool { return name == offsetsTopic || name == transactionTopic }

// implicitTopic is what is made when a topic is first asked for.
func implicitTopic(name string) broker.NewTopic {
	t := broker.NewTopic{Name: name, Partitions: -1, Replication: -1}
	if isInternal(name) {
		t.Partitions, t.Config = 1, []broker.Config{{Name: "cleanup.policy", Value: "compact"}}
	}
	return t
}

// makeOffsetsTopic begins to make the topic unless it exists or is being made.
// That it fails concerns nobody: the next look for a coordinator tries again.
func (s *Server) makeOffsetsTopic() {
	b := s.opts.Broker
	if b.Topic(offsetsTopic) != nil || !s.makingOffsets.CompareAndSwap(false, true) {
		return
	}
	b.CreateTopics([]broker.NewTopic{implicitTopic(offsetsTopic)}, false, func([]broker.TopicResult) {
		s.makingOffsets.Store(false)
	})
}
