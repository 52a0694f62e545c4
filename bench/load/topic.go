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
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, int32(min(partitions, createAtOnce)), 1
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
	for n := createAtOnce; n < partitions; {
		n = min(partitions, n+createAtOnce)
		if err := c.grow(name, n); err != nil {
			return err
		}
	}
	return awaitLeaders(addr, name, partitions)
}

// createAtOnce is how many partitions one request makes; Kafka refuses many more.
const createAtOnce = 5000

// grow gives a topic partitions up to n.
func (c *conn) grow(name string, n int) error {
	t := kmsg.NewCreatePartitionsRequestTopic()
	t.Topic, t.Count = name, int32(n)
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.TimeoutMillis, req.Topics = 60_000, append(req.Topics, t)
	resp := kmsg.NewPtrCreatePartitionsResponse()
	if err := c.ask(req, 1, resp); err != nil {
		return fmt.Errorf("give topic %s %d partitions: %w", name, n, err)
	}
	for _, t := range resp.Topics {
		if t.ErrorCode != 0 {
			return fmt.Errorf("give topic %s %d partitions: error code %d", name, n, t.ErrorCode)
		}
	}
	return nil
}

// leadersAtOnce is how many partitions one request asks about.
const leadersAtOnce = 1000

// awaitLeaders returns when every partition answers: Kafka acknowledges a
// creation before its partitions have leaders.
func awaitLeaders(addr, topic string, partitions int) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	deadline := time.Now().Add(3 * time.Minute)
	for first := 0; first < partitions; first += leadersAtOnce {
		for {
			_, err := c.endOffsets(topic, int32(first), int32(min(leadersAtOnce, partitions-first)))
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("partitions of topic %s from %d on have no leader: %w", topic, first, err)
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
	ends, err := c.endOffsets(topic, partition, 1)
	if err != nil {
		return 0, err
	}
	return ends[0], nil
}

// endOffsets returns the high watermarks of n partitions.
func (c *conn) endOffsets(topic string, first, n int32) ([]int64, error) {
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	for i := range n {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = first+i, -1
		t.Partitions = append(t.Partitions, p)
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.Topics = append(req.Topics, t)
	resp := kmsg.NewPtrListOffsetsResponse()
	if err := c.ask(req, 4, resp); err != nil {
		return nil, fmt.Errorf("list offsets: %w", err)
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != int(n) {
		return nil, fmt.Errorf("list offsets: the answer does not name %s/%d to %d once", topic, first, first+n-1)
	}
	ends := make([]int64, n)
	for _, got := range resp.Topics[0].Partitions {
		if got.ErrorCode != 0 {
			return nil, fmt.Errorf("list offsets of %s/%d: error code %d", topic, got.Partition, got.ErrorCode)
		}
		ends[got.Partition-first] = got.Offset
	}
	return ends, nil
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
