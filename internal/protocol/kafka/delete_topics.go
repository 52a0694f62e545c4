package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// DeleteTopics, key 20, versions 1-6.
//
// Deletes topics by name or, from version 6, by id, and answers when every
// shard concerned has dropped them.
// Known gaps: the request's timeout is not obeyed.

func deleteTopics(c *call, req *kmsg.DeleteTopicsRequest) {
	resp := kmsg.NewPtrDeleteTopicsResponse()
	var doomed []broker.TopicRef
	var open []int // indexes in resp.Topics of the answers that the broker completes
	for _, asked := range deletions(req) {
		answer := kmsg.NewDeleteTopicsResponseTopic()
		answer.Topic, answer.TopicID = asked.Topic, asked.TopicID
		ref, code, message := c.topicToDelete(&asked, doomed)
		if code == errNone {
			answer.Topic = &ref.Name
			open = append(open, len(resp.Topics))
			doomed = append(doomed, ref)
		} else {
			answer.ErrorCode, answer.ErrorMessage = code, &message
		}
		resp.Topics = append(resp.Topics, answer)
	}
	finish := func(results []broker.TopicResult) {
		for i := range results {
			answer := &resp.Topics[open[i]]
			answer.ErrorCode, answer.ErrorMessage = controllerCode(results[i].Err), messageOf(results[i].Err)
			answer.TopicID = results[i].UUID
		}
		c.reply(resp)
	}
	if len(doomed) == 0 {
		finish(nil)
		return
	}
	c.server.opts.Broker.DeleteTopics(doomed, finish)
}

// deletions returns what a request names, in the form of version 6.
func deletions(req *kmsg.DeleteTopicsRequest) []kmsg.DeleteTopicsRequestTopic {
	if req.Version >= 6 {
		return req.Topics
	}
	out := make([]kmsg.DeleteTopicsRequestTopic, 0, len(req.TopicNames))
	for i := range req.TopicNames {
		out = append(out, kmsg.DeleteTopicsRequestTopic{Topic: &req.TopicNames[i]})
	}
	return out
}

// topicToDelete finds a topic that is to be deleted, or refuses. An id whose
// topic the caller may not see is as unknown as one without a topic.
func (c *call) topicToDelete(asked *kmsg.DeleteTopicsRequestTopic, doomed []broker.TopicRef) (ref broker.TopicRef, code int16, message string) {
	b := c.server.opts.Broker
	var t *broker.Topic
	if asked.Topic != nil {
		if asked.TopicID != ([16]byte{}) {
			return ref, errInvalidRequest, "a topic is named by its name or by its id, not by both"
		}
		if !c.allows(access.Delete, access.Topic, *asked.Topic) {
			return ref, errTopicAuthorizationFailed, "not allowed to delete the topic"
		}
		if t = b.Topic(*asked.Topic); t == nil {
			return ref, errUnknownTopicOrPartition, broker.ErrUnknownTopic.Error()
		}
	} else {
		t = b.TopicByID(asked.TopicID)
		if t == nil || !c.allows(access.Delete, access.Topic, t.Name) {
			return ref, errUnknownTopicID, broker.ErrUnknownTopicID.Error()
		}
	}
	ref = broker.TopicRef{Name: t.Name, UUID: t.UUID}
	for _, d := range doomed {
		if d.UUID == ref.UUID {
			return ref, errInvalidRequest, "the request names the topic more than once"
		}
	}
	return ref, errNone, ""
}
