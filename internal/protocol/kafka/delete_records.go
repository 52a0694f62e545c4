package kafka

import (
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// DeleteRecords, key 21, versions 0-2.
//
// Raises the first kept offset of partitions; -1 stands for the high
// watermark. An offset above that is OFFSET_OUT_OF_RANGE; one below the first
// kept changes nothing.
// Known gaps: the request's timeout is not obeyed.

func deleteRecords(c *call, req *kmsg.DeleteRecordsRequest) {
	resp := kmsg.NewPtrDeleteRecordsResponse()
	resp.Topics = make([]kmsg.DeleteRecordsResponseTopic, len(req.Topics))
	var pending atomic.Int32
	pending.Store(1)
	settled := func() {
		if pending.Add(-1) == 0 {
			c.reply(resp)
		}
	}
	for i := range req.Topics {
		asked, topic := &req.Topics[i], &resp.Topics[i]
		topic.Topic = asked.Topic
		topic.Partitions = make([]kmsg.DeleteRecordsResponseTopicPartition, len(asked.Partitions))
		for j, p := range asked.Partitions {
			answer := &topic.Partitions[j]
			answer.Partition, answer.LowWatermark = p.Partition, -1
			part, code := c.find(access.Delete, asked.Topic, p.Partition)
			if answer.ErrorCode = code; code != errNone {
				continue
			}
			pending.Add(1)
			part.DeleteRecords(record.Offset(p.Offset), func(floor record.Offset, err error) {
				if answer.ErrorCode = codeOf(err); err == nil {
					answer.LowWatermark = int64(floor)
				}
				settled()
			})
		}
	}
	settled()
}
