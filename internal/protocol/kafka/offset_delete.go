package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/group"
)

// OffsetDelete, key 47, version 0.
//
// Deletes committed offsets, of topics that no member of the group is subscribed
// to. A group with members of another type than consumer is refused as a whole,
// since nobody knows what they subscribe to.

func offsetDelete(c *call, req *kmsg.OffsetDeleteRequest) {
	resp := kmsg.NewPtrOffsetDeleteResponse()
	if !c.allows(access.Delete, access.Group, req.Group) {
		resp.ErrorCode = errGroupAuthorizationFailed
		c.reply(resp)
		return
	}
	d := &group.DeleteOffsets{Group: req.Group}
	var at []int // where in the response the command's topics are
	for i := range req.Topics {
		asked := &req.Topics[i]
		answer := kmsg.NewOffsetDeleteResponseTopic()
		answer.Topic = asked.Topic
		known, refused := c.resolve(access.Consume, asked.Topic, [16]byte{}, false)
		topic := group.DeleteTopic{}
		for j := range asked.Partitions {
			p := kmsg.NewOffsetDeleteResponseTopicPartition()
			p.Partition, p.ErrorCode = asked.Partitions[j].Partition, refused
			if refused == errNone {
				topic.Topic, topic.Name = known.ID, known.Name
				topic.Partitions = append(topic.Partitions, p.Partition)
			}
			answer.Partitions = append(answer.Partitions, p)
		}
		resp.Topics = append(resp.Topics, answer)
		if len(topic.Partitions) > 0 {
			d.Topics, at = append(d.Topics, topic), append(at, i)
		}
	}
	if len(req.Topics) > 0 && len(d.Topics) == 0 {
		c.reply(resp)
		return
	}
	c.server.opts.Broker.DeleteOffsets(d, func(each []error, err error) {
		if err != nil {
			resp.ErrorCode, resp.Topics = coordinatorCode(err), nil
		}
		for i, err := range each {
			for j := range resp.Topics[at[i]].Partitions {
				resp.Topics[at[i]].Partitions[j].ErrorCode = coordinatorCode(err)
			}
		}
		c.reply(resp)
	})
}
