package kafka

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// CreateTopics, key 19, versions 2-7.
//
// Makes topics, or only checks that it could, and answers when every shard
// concerned knows them. Counts of -1 (version 4) stand for the defaults. A
// manual assignment of replicas must name nodes of the cluster; it then counts
// as the number of partitions and replicas, since placement is the cluster's
// own affair. The answer tells the topic's id (version 7) and all its settings
// (version 5).
// Known gaps: the request's timeout is not obeyed.

func createTopics(c *call, req *kmsg.CreateTopicsRequest) {
	resp := kmsg.NewPtrCreateTopicsResponse()
	var wanted []broker.NewTopic
	var open []int // indexes in resp.Topics of the answers that the broker completes
	for i := range req.Topics {
		asked := &req.Topics[i]
		answer := kmsg.NewCreateTopicsResponseTopic()
		answer.Topic = asked.Topic
		answer.NumPartitions, answer.ReplicationFactor = -1, -1
		topic, code, message := c.newTopic(req, asked)
		if code == errNone {
			open = append(open, len(resp.Topics))
			wanted = append(wanted, topic)
		} else {
			answer.ErrorCode, answer.ErrorMessage = code, &message
		}
		resp.Topics = append(resp.Topics, answer)
	}
	finish := func(results []broker.TopicResult) {
		for i := range results {
			c.createdTopic(&resp.Topics[open[i]], &wanted[i], &results[i])
		}
		c.reply(resp)
	}
	if len(wanted) == 0 {
		finish(nil)
		return
	}
	c.server.opts.Broker.CreateTopics(wanted, req.ValidateOnly, finish)
}

// newTopic turns the wish for a topic into the broker's terms, or refuses it.
func (c *call) newTopic(req *kmsg.CreateTopicsRequest, asked *kmsg.CreateTopicsRequestTopic) (t broker.NewTopic, code int16, message string) {
	same := func(o kmsg.CreateTopicsRequestTopic) bool { return o.Topic == asked.Topic }
	if i := slices.IndexFunc(req.Topics, same); slices.ContainsFunc(req.Topics[i+1:], same) {
		return t, errInvalidRequest, "the request names the topic more than once"
	}
	if !c.allows(access.Create, access.Topic, asked.Topic) {
		return t, errTopicAuthorizationFailed, "not allowed to create the topic"
	}
	t = broker.NewTopic{Name: asked.Topic, Partitions: asked.NumPartitions, Replication: asked.ReplicationFactor}
	if len(asked.ReplicaAssignment) > 0 {
		if asked.NumPartitions != -1 || asked.ReplicationFactor != -1 {
			return t, errInvalidRequest, "an assignment of replicas comes with neither a number of partitions nor a replication factor"
		}
		var err error
		if t.Partitions, t.Replication, err = c.assignment(asked.ReplicaAssignment); err != nil {
			return t, errInvalidReplicaAssignment, err.Error()
		}
	}
	for _, cfg := range asked.Configs {
		if cfg.Value == nil {
			return t, errInvalidConfig, fmt.Sprintf("the setting %s has no value", cfg.Name)
		}
		t.Config = append(t.Config, broker.Config{Name: cfg.Name, Value: *cfg.Value})
	}
	return t, errNone, ""
}

// assignment checks a manual assignment and returns what it amounts to.
func (c *call) assignment(assigned []kmsg.CreateTopicsRequestTopicReplicaAssignment) (partitions int32, replication int16, err error) {
	first := assigned[0].Replicas
	seen := make([]bool, len(assigned))
	for _, a := range assigned {
		if a.Partition < 0 || int(a.Partition) >= len(assigned) || seen[a.Partition] {
			return 0, 0, fmt.Errorf("partitions must be numbered from 0 to %d, each once", len(assigned)-1)
		}
		seen[a.Partition] = true
		if len(a.Replicas) == 0 || len(a.Replicas) != len(first) {
			return 0, 0, fmt.Errorf("partition %d has %d replicas; all must have as many, and one at least", a.Partition, len(a.Replicas))
		}
		if err := c.checkReplicas(a.Replicas); err != nil {
			return 0, 0, fmt.Errorf("partition %d: %w", a.Partition, err)
		}
	}
	return int32(len(assigned)), int16(len(first)), nil
}

// checkReplicas checks that the replicas are different nodes of the cluster.
func (c *call) checkReplicas(replicas []int32) error {
	nodes := c.server.opts.Broker.Nodes()
	for i, r := range replicas {
		if slices.Contains(replicas[:i], r) {
			return fmt.Errorf("node %d is named twice", r)
		}
		if !slices.ContainsFunc(nodes, func(n broker.Node) bool { return int32(n.ID) == r }) {
			return fmt.Errorf("there is no node %d", r)
		}
	}
	return nil
}

// createdTopic completes the answer for one topic.
func (c *call) createdTopic(answer *kmsg.CreateTopicsResponseTopic, wanted *broker.NewTopic, r *broker.TopicResult) {
	if r.Err != nil {
		answer.ErrorCode, answer.ErrorMessage = controllerCode(r.Err), messageOf(r.Err)
		return
	}
	config := wanted.Config
	answer.NumPartitions, answer.ReplicationFactor = wanted.Partitions, wanted.Replication
	if r.Topic != nil {
		config = r.Topic.Config
		answer.TopicID = r.Topic.UUID
		answer.NumPartitions = int32(len(r.Topic.Partitions))
	}
	if answer.NumPartitions < 0 {
		answer.NumPartitions = c.server.opts.Broker.DefaultPartitions()
	}
	answer.ReplicationFactor = max(answer.ReplicationFactor, 1)
	for _, s := range topicSettings(config) {
		cfg := kmsg.NewCreateTopicsResponseTopicConfig()
		cfg.Name, cfg.Value, cfg.Source = s.name, &s.value, int8(s.source)
		answer.Configs = append(answer.Configs, cfg)
	}
}
