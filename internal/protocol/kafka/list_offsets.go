package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// ListOffsets, key 2, versions 1-11.
//
// Finds an offset by time: the first record whose timestamp is at least the one
// asked for, looked up inside its batch; or a special one: -1 the end (the last
// stable offset for read_committed), -2 the first kept, -3 (version 7) the
// record with the largest timestamp, -4 (version 8) the first on local disk,
// which is the first kept, -5 (version 9) and -6 (version 11) about tiered
// storage, of which there is none: offset -1.

// The special timestamps, and the version that each came with.
const (
	latestTimestamp        = -1
	earliestTimestamp      = -2
	maxTimestamp           = -3
	earliestLocalTimestamp = -4
	latestTieredTimestamp  = -5
	earliestPendingUpload  = -6
)

var specialSince = map[int64]int16{
	latestTimestamp: 1, earliestTimestamp: 1, maxTimestamp: 7,
	earliestLocalTimestamp: 8, latestTieredTimestamp: 9, earliestPendingUpload: 11,
}

func listOffsets(c *call, req *kmsg.ListOffsetsRequest) {
	resp := kmsg.NewPtrListOffsetsResponse()
	seen := make(map[fetchKey]int)
	for _, topic := range req.Topics {
		for _, p := range topic.Partitions {
			seen[fetchKey{name: topic.Topic, number: p.Partition}]++
		}
	}
	for i := range req.Topics {
		asked := &req.Topics[i]
		topic := kmsg.NewListOffsetsResponseTopic()
		topic.Topic = asked.Topic
		for j := range asked.Partitions {
			p := &asked.Partitions[j]
			answer := kmsg.NewListOffsetsResponseTopicPartition()
			answer.Partition = p.Partition
			answer.Offset, answer.Timestamp, answer.LeaderEpoch = -1, -1, -1
			if seen[fetchKey{name: topic.Topic, number: p.Partition}] > 1 {
				answer.ErrorCode = errInvalidRequest
			} else if part, code := c.find(access.Describe, topic.Topic, p.Partition); code != errNone {
				answer.ErrorCode = code
			} else {
				c.listOffset(part, req, p, &answer)
			}
			topic.Partitions = append(topic.Partitions, answer)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	c.reply(resp)
}

// listOffset answers for one partition.
func (c *call) listOffset(p *broker.Partition, req *kmsg.ListOffsetsRequest,
	asked *kmsg.ListOffsetsRequestTopicPartition, answer *kmsg.ListOffsetsResponseTopicPartition,
) {
	if since, special := specialSince[asked.Timestamp]; asked.Timestamp < 0 && (!special || req.Version < since) {
		answer.ErrorCode = errUnsupportedVersion
		return
	}
	if answer.ErrorCode = c.checkEpoch(p, asked.CurrentLeaderEpoch); answer.ErrorCode != errNone {
		return
	}
	limit := p.HighWatermark()
	if req.IsolationLevel == 1 {
		limit = p.LastStable()
	}
	found, err := lookUp(p, asked.Timestamp, limit)
	if err != nil {
		answer.ErrorCode = codeOf(err)
		return
	}
	answer.Offset, answer.Timestamp, answer.LeaderEpoch = int64(found.Offset), found.Timestamp, int32(found.Epoch)
}

// lookUp finds the offset that a timestamp stands for, below limit.
func lookUp(p *broker.Partition, timestamp int64, limit record.Offset) (broker.TimeOffset, error) {
	nothing := broker.TimeOffset{Offset: -1, Timestamp: -1, Epoch: -1}
	switch timestamp {
	case latestTimestamp:
		return broker.TimeOffset{Offset: limit, Timestamp: -1, Epoch: p.Epoch()}, nil
	case earliestTimestamp, earliestLocalTimestamp:
		floor := p.Floor()
		return broker.TimeOffset{Offset: floor, Timestamp: -1, Epoch: p.EpochAt(floor)}, nil
	case maxTimestamp:
		return p.MaxTimestamp(limit)
	case latestTieredTimestamp, earliestPendingUpload:
		return nothing, nil
	default:
		return p.OffsetForTime(timestamp, limit)
	}
}
