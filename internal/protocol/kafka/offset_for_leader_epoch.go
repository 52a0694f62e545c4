package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// OffsetForLeaderEpoch, key 23, versions 2-4.
//
// Tells at which offset an epoch ended, so that a client can find out whether
// its position still lies on this log (KIP-320): the largest epoch not above
// the one asked for that wrote records, and the offset after its last. Epoch
// and offset are -1 when there is none.

func offsetForLeaderEpoch(c *call, req *kmsg.OffsetForLeaderEpochRequest) {
	resp := kmsg.NewPtrOffsetForLeaderEpochResponse()
	for i := range req.Topics {
		asked := &req.Topics[i]
		topic := kmsg.NewOffsetForLeaderEpochResponseTopic()
		topic.Topic = asked.Topic
		for _, p := range asked.Partitions {
			answer := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			answer.Partition = p.Partition
			answer.LeaderEpoch, answer.EndOffset = -1, -1
			part, code := c.find(access.Describe, topic.Topic, p.Partition)
			if code == errNone {
				code = c.checkEpoch(part, p.CurrentLeaderEpoch)
			}
			if answer.ErrorCode = code; code == errNone {
				epoch, end := part.EpochEnd(record.Epoch(p.LeaderEpoch))
				answer.LeaderEpoch, answer.EndOffset = int32(epoch), int64(end)
			}
			topic.Partitions = append(topic.Partitions, answer)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	c.reply(resp)
}
