package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// DescribeProducers, key 61, version 0.
//
// Tells which idempotent producers a partition remembers, and where their
// transactions begin.

func describeProducers(c *call, req *kmsg.DescribeProducersRequest) {
	resp := kmsg.NewPtrDescribeProducersResponse()
	resp.Topics = make([]kmsg.DescribeProducersResponseTopic, len(req.Topics))
	n := 0
	for i := range req.Topics {
		n += len(req.Topics[i].Partitions)
	}
	var left countdown
	left.begin(n, func() { c.reply(resp) })
	for i := range req.Topics {
		asked, topic := &req.Topics[i], &resp.Topics[i]
		*topic = kmsg.NewDescribeProducersResponseTopic()
		topic.Topic = asked.Topic
		topic.Partitions = make([]kmsg.DescribeProducersResponseTopicPartition, len(asked.Partitions))
		for j, number := range asked.Partitions {
			answer := &topic.Partitions[j]
			*answer = kmsg.NewDescribeProducersResponseTopicPartition()
			answer.Partition = number
			p, refused := c.find(access.Consume, asked.Topic, number)
			if refused != errNone {
				answer.ErrorCode = refused
				left.down()
				continue
			}
			p.Producers(func(found []broker.PartitionProducer, err error) {
				answer.ErrorCode, answer.ErrorMessage = codeOf(err), messageOf(err)
				for _, f := range found {
					answer.ActiveProducers = append(answer.ActiveProducers, activeProducer(f))
				}
				left.down()
			})
		}
	}
}

func activeProducer(f broker.PartitionProducer) kmsg.DescribeProducersResponseTopicPartitionActiveProducer {
	a := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
	a.ProducerID, a.ProducerEpoch, a.LastSequence, a.LastTimestamp = f.ID, int32(f.Epoch), f.Sequence, int64(f.Seen)
	a.CurrentTxnStartOffset = int64(f.First)
	a.CoordinatorEpoch = f.Coordinator
	return a
}
