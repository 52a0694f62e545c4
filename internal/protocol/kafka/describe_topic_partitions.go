package kafka

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// DescribeTopicPartitions, key 75, version 0 (KIP-966).
//
// Tells the partitions of topics, all or those named, in the order of their
// names and a bounded number at a time: a cursor says where the next request is
// to go on. Nobody keeps eligible leader replicas: their lists are empty, and
// not null, which no client of Kafka expects.

func describeTopicPartitions(c *call, req *kmsg.DescribeTopicPartitionsRequest) {
	d := &topicPages{
		call: c, resp: kmsg.NewPtrDescribeTopicPartitionsResponse(), all: len(req.Topics) == 0,
		room: max(min(int(req.ResponsePartitionLimit), maxDescribedPartitions), 1),
	}
	if req.Cursor != nil {
		d.from, d.first = req.Cursor.Topic, req.Cursor.Partition
	}
	if d.first < 0 {
		c.replyInvalidCursor(req, d.resp)
		return
	}
	for _, name := range d.names(req) {
		if !d.add(name) {
			break
		}
	}
	d.resp.Topics = append(d.resp.Topics, d.refused...)
	c.reply(d.resp)
}

// replyInvalidCursor refuses a request: each of its topics, since the response
// has no place for an error of the whole.
func (c *call) replyInvalidCursor(req *kmsg.DescribeTopicPartitionsRequest, resp *kmsg.DescribeTopicPartitionsResponse) {
	for i := range req.Topics {
		resp.Topics = append(resp.Topics, refusedTopic(req.Topics[i].Topic, errInvalidRequest))
	}
	c.reply(resp)
}

// topicPages is one DescribeTopicPartitions request while it is answered.
type topicPages struct {
	*call
	resp *kmsg.DescribeTopicPartitionsResponse
	// refused are the topics that the caller may not see; they come last.
	refused []kmsg.DescribeTopicPartitionsResponseTopic
	all     bool
	room    int // for so many partitions more
	// from is the topic that the cursor is at, with its first partition to tell
	// of.
	from  string
	first int32
}

// names returns the topics that are left to tell of, in order.
func (d *topicPages) names(req *kmsg.DescribeTopicPartitionsRequest) []string {
	set := map[string]bool{}
	for i := range req.Topics {
		set[req.Topics[i].Topic] = true
	}
	if d.all {
		for t := range d.server.opts.Broker.Topics() {
			set[t.Name] = true
		}
	}
	maps.DeleteFunc(set, func(name string, _ bool) bool { return name < d.from })
	return slices.Sorted(maps.Keys(set))
}

// add tells of a topic, and reports whether there is room for another.
func (d *topicPages) add(name string) bool {
	if !d.allows(access.Describe, access.Topic, name) {
		if !d.all {
			d.refused = append(d.refused, refusedTopic(name, errTopicAuthorizationFailed))
		}
		return true
	}
	t := d.server.opts.Broker.Topic(name)
	if t == nil {
		if !d.all { // else it has just been deleted
			d.resp.Topics = append(d.resp.Topics, refusedTopic(name, errUnknownTopicOrPartition))
		}
		return true
	}
	first := 0
	if name == d.from {
		first = min(int(d.first), len(t.Partitions))
	}
	last := min(first+d.room, len(t.Partitions))
	if d.room -= last - first; last < len(t.Partitions) {
		next := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
		next.Topic, next.Partition = name, int32(last)
		d.resp.NextCursor = &next
	}
	if last > first {
		d.resp.Topics = append(d.resp.Topics, d.describe(t, t.Partitions[first:last]))
	}
	return d.resp.NextCursor == nil
}

func (d *topicPages) describe(t *broker.Topic, parts []*broker.Partition) kmsg.DescribeTopicPartitionsResponseTopic {
	answer := kmsg.NewDescribeTopicPartitionsResponseTopic()
	answer.Topic, answer.TopicID, answer.IsInternal = &t.Name, t.UUID, isInternal(t.Name)
	answer.AuthorizedOperations = d.authorizedOperations(access.Topic, t.Name)
	for _, p := range parts {
		one := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
		one.Partition, one.LeaderID, one.LeaderEpoch = p.Number(), nodeID(p.Leader()), int32(p.Epoch())
		if one.LeaderID < 0 {
			one.ErrorCode = errLeaderNotAvailable
		}
		one.Replicas, one.ISR = replicas(p), replicas(p)
		one.EligibleLeaderReplicas, one.LastKnownELR = []int32{}, []int32{}
		answer.Partitions = append(answer.Partitions, one)
	}
	return answer
}

func refusedTopic(name string, code int16) kmsg.DescribeTopicPartitionsResponseTopic {
	answer := kmsg.NewDescribeTopicPartitionsResponseTopic()
	answer.Topic, answer.ErrorCode = &name, code
	return answer
}
