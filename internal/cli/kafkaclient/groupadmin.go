package kafkaclient

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// SeekGroup commits offsets in the name of a group that has no members: topic,
// partition, offset.
func (c *Client) SeekGroup(ctx context.Context, group string, to map[string]map[int32]int64) error {
	return c.onCoordinator(ctx, group, func(coordinator int32) error {
		return c.commit(ctx, coordinator, group, "", -1, to)
	})
}

// commit commits offsets as a member, or, with generation -1, from outside.
func (c *Client) commit(ctx context.Context, coordinator int32, group, member string, generation int32, to map[string]map[int32]int64) error {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version = 9 // topics by name
	req.Group, req.MemberID, req.Generation = group, member, generation
	for topic, offsets := range to {
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic = topic
		for n, offset := range offsets {
			p := kmsg.NewOffsetCommitRequestTopicPartition()
			p.Partition, p.Offset, p.LeaderEpoch = n, offset, -1
			t.Partitions = append(t.Partitions, p)
		}
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, c.node(coordinator))
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := codeError(p.ErrorCode, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// DeleteGroup deletes a group that has no members, with what it committed.
func (c *Client) DeleteGroup(ctx context.Context, group string) error {
	return c.onCoordinator(ctx, group, func(coordinator int32) error {
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.Groups = []string{group}
		resp, err := req.RequestWith(ctx, c.node(coordinator))
		if err != nil {
			return err
		}
		for _, g := range resp.Groups {
			if err := codeError(g.ErrorCode, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// DeleteOffsets deletes what a group has committed for a topic that none of its
// members reads.
func (c *Client) DeleteOffsets(ctx context.Context, group string, topic Topic) error {
	return c.onCoordinator(ctx, group, func(coordinator int32) error {
		req := kmsg.NewPtrOffsetDeleteRequest()
		req.Group = group
		t := kmsg.NewOffsetDeleteRequestTopic()
		t.Topic = topic.Name
		for _, p := range topic.Partitions {
			d := kmsg.NewOffsetDeleteRequestTopicPartition()
			d.Partition = p.Number
			t.Partitions = append(t.Partitions, d)
		}
		req.Topics = append(req.Topics, t)
		resp, err := req.RequestWith(ctx, c.node(coordinator))
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
			}
		}
		return nil
	})
}
