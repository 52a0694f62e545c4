package kafkaclient

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// AlterTopic changes settings of a topic and puts those that reset names back
// to their defaults; the rest stays. With dryRun the server only says whether
// it would.
func (c *Client) AlterTopic(ctx context.Context, name string, set []Setting, reset []string, dryRun bool) error {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.ValidateOnly = dryRun
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, name
	change := func(name string, value *string, op kmsg.IncrementalAlterConfigOp) {
		f := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		f.Name, f.Value, f.Op = name, value, op
		r.Configs = append(r.Configs, f)
	}
	for _, s := range set {
		change(s.Name, &s.Value, kmsg.IncrementalAlterConfigOpSet)
	}
	for _, name := range reset {
		change(name, nil, kmsg.IncrementalAlterConfigOpDelete)
	}
	req.Resources = append(req.Resources, r)
	return c.onController(ctx, func(controller kmsg.Requestor) error {
		resp, err := req.RequestWith(ctx, controller)
		if err != nil {
			return err
		}
		for _, r := range resp.Resources {
			if err := codeError(r.ErrorCode, r.ErrorMessage); err != nil {
				return err
			}
		}
		return nil
	})
}

// GrowTopic raises the number of a topic's partitions to total.
func (c *Client) GrowTopic(ctx context.Context, name string, total int32, dryRun bool) error {
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.TimeoutMillis = int32(c.opts.Timeout / time.Millisecond)
	req.ValidateOnly = dryRun
	t := kmsg.NewCreatePartitionsRequestTopic()
	t.Topic, t.Count = name, total
	req.Topics = append(req.Topics, t)
	return c.onController(ctx, func(controller kmsg.Requestor) error {
		resp, err := req.RequestWith(ctx, controller)
		if err != nil {
			return err
		}
		for _, t := range resp.Topics {
			if err := codeError(t.ErrorCode, t.ErrorMessage); err != nil {
				return err
			}
		}
		return nil
	})
}

// DeleteRecords deletes what lies before an offset in each of these partitions
// and returns the first offsets that are kept then.
func (c *Client) DeleteRecords(ctx context.Context, topic Topic, before map[int32]int64) (map[int32]int64, error) {
	kept := make(map[int32]int64, len(before))
	err := c.retry(ctx, retriable, func() error {
		for leader, numbers := range byLeader(topic.Partitions) {
			if err := c.deleteRecordsAt(ctx, leader, topic.Name, numbers, before, kept); err != nil {
				if fresh, err := c.Topic(ctx, topic.Name, false); err == nil {
					topic = fresh
				}
				return err
			}
		}
		return nil
	})
	return kept, err
}

func (c *Client) deleteRecordsAt(ctx context.Context, leader int32, topic string, numbers []int32, before, kept map[int32]int64) error {
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = int32(c.opts.Timeout / time.Millisecond)
	t := kmsg.NewDeleteRecordsRequestTopic()
	t.Topic = topic
	for _, n := range numbers {
		if offset, ok := before[n]; ok {
			p := kmsg.NewDeleteRecordsRequestTopicPartition()
			p.Partition, p.Offset = n, offset
			t.Partitions = append(t.Partitions, p)
		}
	}
	if len(t.Partitions) == 0 {
		return nil
	}
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, c.node(leader))
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := codeError(p.ErrorCode, nil); err != nil {
				return fmt.Errorf("partition %d at offset %d: %w", p.Partition, before[p.Partition], err)
			}
			kept[p.Partition] = p.LowWatermark
		}
	}
	return nil
}
