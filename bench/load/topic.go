package load

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// CreateTopic makes a topic with the given configuration and returns when all
// its partitions can be written.
func CreateTopic(addr, name string, partitions int, configs map[string]string) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, int32(partitions), 1
	for k, v := range configs {
		cfg := kmsg.NewCreateTopicsRequestTopicConfig()
		cfg.Name, cfg.Value = k, kmsg.StringPtr(v)
		t.Configs = append(t.Configs, cfg)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis, req.Topics = 60_000, append(req.Topics, t)
	resp := kmsg.NewPtrCreateTopicsResponse()
	if err := c.ask(req, 5, resp); err != nil {
		return fmt.Errorf("create topic %s: %w", name, err)
	}
	for _, t := range resp.Topics {
		if t.ErrorCode != 0 {
			return fmt.Errorf("create topic %s: error code %d", name, t.ErrorCode)
		}
	}
	return awaitLeaders(addr, name, partitions)
}

// awaitLeaders returns when every partition answers: Kafka acknowledges a
// creation before its partitions have leaders.
func awaitLeaders(addr, topic string, partitions int) error {
	deadline := time.Now().Add(time.Minute)
	for p := range int32(partitions) {
		for {
			_, err := EndOffset(addr, topic, p)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("partition %d of topic %s has no leader: %w", p, topic, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}

// EndOffset returns the partition's high watermark.
func EndOffset(addr, topic string, partition int32) (int64, error) {
	c, err := dial(addr)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp = partition, -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, p)
	req := kmsg.NewPtrListOffsetsRequest()
	req.Topics = append(req.Topics, t)
	resp := kmsg.NewPtrListOffsetsResponse()
	if err := c.ask(req, 4, resp); err != nil {
		return 0, fmt.Errorf("list offsets: %w", err)
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, fmt.Errorf("list offsets: the answer does not name %s/%d once", topic, partition)
	}
	if got := resp.Topics[0].Partitions[0]; got.ErrorCode != 0 {
		return 0, fmt.Errorf("list offsets: error code %d", got.ErrorCode)
	}
	return resp.Topics[0].Partitions[0].Offset, nil
}

// DeleteTopic removes a topic, so that what one line wrote does not burden the
// next.
func DeleteTopic(addr, name string) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis, req.TopicNames = 60_000, []string{name}
	resp := kmsg.NewPtrDeleteTopicsResponse()
	if err := c.ask(req, 4, resp); err != nil {
		return fmt.Errorf("delete topic %s: %w", name, err)
	}
	for _, t := range resp.Topics {
		if t.ErrorCode != 0 {
			return fmt.Errorf("delete topic %s: error code %d", name, t.ErrorCode)
		}
	}
	return nil
}
