package kafkaclient

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Timestamps with a special meaning to Offsets.
const (
	AtEnd   int64 = -1 // the offset after the last record
	AtStart int64 = -2 // the first offset that is kept
)

// Offsets asks, for each partition of a topic, for the offset of the first
// record whose timestamp (ms) is at least ts, or for AtStart or AtEnd. A
// partition without such a record answers -1. The result is by partition
// number.
func (c *Client) Offsets(ctx context.Context, topic Topic, ts int64) (map[int32]int64, error) {
	found := make(map[int32]int64, len(topic.Partitions))
	err := c.retry(ctx, retriable, func() error {
		for leader, numbers := range byLeader(topic.Partitions) {
			if err := c.offsetsOf(ctx, leader, topic.Name, numbers, ts, found); err != nil {
				if fresh, err := c.Topic(ctx, topic.Name, false); err == nil {
					topic = fresh
				}
				return err
			}
		}
		return nil
	})
	return found, err
}

func (c *Client) offsetsOf(ctx context.Context, leader int32, topic string, numbers []int32, ts int64, found map[int32]int64) error {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	for _, n := range numbers {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp, p.CurrentLeaderEpoch = n, ts, -1
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, c.node(leader))
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := codeError(p.ErrorCode, nil); err != nil {
				return err
			}
			found[p.Partition] = p.Offset
			if p.Offset == -1 && len(p.OldStyleOffsets) > 0 {
				found[p.Partition] = p.OldStyleOffsets[0]
			}
		}
	}
	return nil
}

// byLeader groups partition numbers by the server that leads them.
func byLeader(parts []Partition) map[int32][]int32 {
	m := map[int32][]int32{}
	for _, p := range parts {
		m[p.Leader] = append(m[p.Leader], p.Number)
	}
	for _, numbers := range m {
		slices.Sort(numbers)
	}
	return m
}
