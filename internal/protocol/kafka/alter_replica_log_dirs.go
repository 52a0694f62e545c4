package kafka

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/state/access"
)

// AlterReplicaLogDirs, key 34, versions 1-2.
//
// A node has one data folder, the one that DescribeLogDirs tells, and whatever
// is asked to move there is there already. Any other folder is
// LOG_DIR_NOT_FOUND.

func alterReplicaLogDirs(c *call, req *kmsg.AlterReplicaLogDirsRequest) {
	resp := kmsg.NewPtrAlterReplicaLogDirsResponse()
	allowed := c.allows(access.Admin, access.Cluster, "")
	for i := range req.Dirs {
		dir := &req.Dirs[i]
		for _, t := range dir.Topics {
			for _, number := range t.Partitions {
				p := kmsg.NewAlterReplicaLogDirsResponseTopicPartition()
				p.Partition, p.ErrorCode = number, errClusterAuthorizationFailed
				if allowed {
					p.ErrorCode = c.move(dir.Dir, t.Topic, number)
				}
				addMove(resp, t.Topic, p)
			}
		}
	}
	c.reply(resp)
}

// move judges whether a partition lies in a folder.
func (c *call) move(dir, topic string, number int32) (code int16) {
	t := c.server.opts.Broker.Topic(topic)
	switch {
	case dir != c.server.opts.DataDir:
		return errLogDirNotFound
	case t == nil || number < 0 || int(number) >= len(t.Partitions):
		return errUnknownTopicOrPartition
	}
	return errNone
}

// addMove puts the answer for a partition under its topic: the request is
// ordered by folder, the answer is not.
func addMove(resp *kmsg.AlterReplicaLogDirsResponse, topic string, p kmsg.AlterReplicaLogDirsResponseTopicPartition) {
	i := slices.IndexFunc(resp.Topics, func(t kmsg.AlterReplicaLogDirsResponseTopic) bool { return t.Topic == topic })
	if i < 0 {
		t := kmsg.NewAlterReplicaLogDirsResponseTopic()
		t.Topic = topic
		i = len(resp.Topics)
		resp.Topics = append(resp.Topics, t)
	}
	resp.Topics[i].Partitions = append(resp.Topics[i].Partitions, p)
}
