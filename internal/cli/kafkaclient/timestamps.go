package kafkaclient

import (
	"context"
	"errors"
	"maps"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/record"
)

// Timestamps returns, by partition, the timestamp (ms) of the first record at
// or behind an offset. A partition with nothing there, or nothing but markers of
// transactions as far as one fetch reaches, is left out.
func (c *Client) Timestamps(ctx context.Context, topic Topic, at map[int32]int64) (map[int32]int64, error) {
	found := make(map[int32]int64, len(at))
	open := maps.Clone(at)
	err := c.retry(ctx, retriable, func() error {
		for leader, numbers := range byLeader(topic.Partitions) {
			for left := within(numbers, open); len(left) > 0; left = within(left, open) {
				if err := c.timestampsOf(ctx, leader, topic, left, open, found); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return found, err
}

// within returns the numbers that are keys of m.
func within(numbers []int32, m map[int32]int64) (in []int32) {
	for _, n := range numbers {
		if _, ok := m[n]; ok {
			in = append(in, n)
		}
	}
	return in
}

// timestampsOf fetches once and takes what it finds from open into found, and
// at least the first partition: a server that answers it with nothing has
// nothing there, while the others may have found no room in the answer.
func (c *Client) timestampsOf(ctx context.Context, leader int32, topic Topic, numbers []int32, open, found map[int32]int64) error {
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes, req.SessionEpoch = timestampBytes*int32(len(numbers)), -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = topic.Name, topic.ID
	for _, n := range numbers {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = n, open[n], timestampBytes
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, c.node(leader))
	if err != nil {
		return err
	}
	if err := codeError(resp.ErrorCode, nil); err != nil {
		return err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := codeError(p.ErrorCode, nil); err != nil {
				return err
			}
			if ts, ok := firstTimestamp(p.RecordBatches, open[p.Partition]); ok {
				found[p.Partition] = ts
				delete(open, p.Partition)
			}
		}
	}
	delete(open, numbers[0])
	return nil
}

// firstTimestamp returns the timestamp of the first record in batches that has
// at least this offset.
func firstTimestamp(batches []byte, from int64) (ts int64, ok bool) {
	stop := errors.New("found")
	_ = record.Walk(batches, func(batch []byte, h record.Header) error { // a batch that is cut off ends it
		if h.Control() || int64(h.LastOffset()) < from {
			return nil
		}
		return record.Records(batch, func(r record.Record) error {
			if int64(r.Offset) < from {
				return nil
			}
			ts, ok = r.Timestamp, true
			return stop
		})
	})
	return ts, ok
}
