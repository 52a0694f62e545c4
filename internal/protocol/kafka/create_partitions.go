package kafka

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// CreatePartitions, key 37, versions 0-3.
//
// Raises the number of partitions of topics, or only checks that it could. A
// manual assignment must have one entry for each new partition and name nodes
// of the cluster; placement is the cluster's own affair otherwise.
// Known gaps: the request's timeout is not obeyed.

func createPartitions(c *call, req *kmsg.CreatePartitionsRequest) {
	resp := kmsg.NewPtrCreatePartitionsResponse()
	var wanted []broker.GrowTopic
	var open []int // indexes in resp.Topics of the answers that the broker completes
	for i := range req.Topics {
		asked := &req.Topics[i]
		answer := kmsg.NewCreatePartitionsResponseTopic()
		answer.Topic = asked.Topic
		if code, message := c.checkGrowth(req, asked); code != errNone {
			answer.ErrorCode, answer.ErrorMessage = code, &message
		} else {
			open = append(open, len(resp.Topics))
			wanted = append(wanted, broker.GrowTopic{Name: asked.Topic, Partitions: asked.Count})
		}
		resp.Topics = append(resp.Topics, answer)
	}
	finish := func(results []broker.TopicResult) {
		for i := range results {
			answer := &resp.Topics[open[i]]
			answer.ErrorCode, answer.ErrorMessage = controllerCode(results[i].Err), messageOf(results[i].Err)
		}
		c.reply(resp)
	}
	if len(wanted) == 0 {
		finish(nil)
		return
	}
	c.server.opts.Broker.CreatePartitions(wanted, req.ValidateOnly, finish)
}

// checkGrowth refuses what the broker need not see.
func (c *call) checkGrowth(req *kmsg.CreatePartitionsRequest, asked *kmsg.CreatePartitionsRequestTopic) (code int16, message string) {
	same := func(o kmsg.CreatePartitionsRequestTopic) bool { return o.Topic == asked.Topic }
	if i := slices.IndexFunc(req.Topics, same); slices.ContainsFunc(req.Topics[i+1:], same) {
		return errInvalidRequest, "the request names the topic more than once"
	}
	if !c.allows(access.Alter, access.Topic, asked.Topic) {
		return errTopicAuthorizationFailed, "not allowed to alter the topic"
	}
	t := c.server.opts.Broker.Topic(asked.Topic)
	if t == nil {
		return errUnknownTopicOrPartition, broker.ErrUnknownTopic.Error()
	}
	if len(asked.Assignment) == 0 {
		return errNone, ""
	}
	if added := int(asked.Count) - len(t.Partitions); added != len(asked.Assignment) {
		return errInvalidReplicaAssignment, fmt.Sprintf("%d partitions are added and %d assigned", added, len(asked.Assignment))
	}
	for _, assigned := range asked.Assignment {
		if err := c.checkReplicas(assigned.Replicas); err != nil {
			return errInvalidReplicaAssignment, err.Error()
		}
	}
	return errNone, ""
}
