package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// DescribeLogDirs, key 35, versions 1-5.
//
// Tells of the node's one data folder how large the file system is and what is
// free in it (version 4, KIP-827), and how many bytes of batches each partition
// keeps. Partitions share files, so the sizes do not add up to what the folder
// takes.

func describeLogDirs(c *call, req *kmsg.DescribeLogDirsRequest) {
	resp := kmsg.NewPtrDescribeLogDirsResponse()
	if !c.allows(access.Describe, access.Cluster, "") {
		resp.ErrorCode = errClusterAuthorizationFailed
		c.reply(resp)
		return
	}
	b := c.server.opts.Broker
	health := b.Health()
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir = c.server.opts.DataDir
	if health.Total > 0 {
		dir.TotalBytes, dir.UsableBytes = int64(health.Total), int64(health.Free)
	}
	if health.Err != nil {
		dir.ErrorCode = errKafkaStorageError
	}
	if req.Topics == nil {
		for t := range b.Topics() {
			dir.Topics = append(dir.Topics, sizesOf(t, nil))
		}
	}
	for i := range req.Topics {
		if t := b.Topic(req.Topics[i].Topic); t != nil {
			dir.Topics = append(dir.Topics, sizesOf(t, req.Topics[i].Partitions))
		}
	}
	resp.Dirs = append(resp.Dirs, dir)
	c.reply(resp)
}

// sizesOf tells how large partitions of a topic are, all if numbers is nil; one
// that does not exist is left out, as by Kafka.
func sizesOf(t *broker.Topic, numbers []int32) kmsg.DescribeLogDirsResponseDirTopic {
	answer := kmsg.NewDescribeLogDirsResponseDirTopic()
	answer.Topic = t.Name
	add := func(p *broker.Partition) {
		size := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		size.Partition, size.Size = p.Number(), p.Size()
		answer.Partitions = append(answer.Partitions, size)
	}
	if numbers == nil {
		for _, p := range t.Partitions {
			add(p)
		}
	}
	for _, n := range numbers {
		if n >= 0 && int(n) < len(t.Partitions) {
			add(t.Partitions[n])
		}
	}
	return answer
}
