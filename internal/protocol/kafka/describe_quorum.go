package kafka

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// DescribeQuorum, key 55, versions 0-2.
//
// Tells where the Raft group of the metadata stands, under the name that Kafka
// has for its log: who leads it since which term, how far it is applied, who
// votes. Only this node's own end of the log is known (-1 for the others), and
// there are no directory ids. There are no controllers apart from the nodes, so
// the addresses of the voters (version 2) are those of the nodes. Partitions of
// any other name are UNKNOWN_TOPIC_OR_PARTITION, as in Kafka.

const (
	metadataLog      = "__cluster_metadata"
	unknownLogEnd    = -1
	noTopicPartition = "this is not a partition of the cluster's metadata"
)

func describeQuorum(c *call, req *kmsg.DescribeQuorumRequest) {
	resp := kmsg.NewPtrDescribeQuorumResponse()
	if !c.allows(access.Describe, access.Cluster, "") {
		resp.ErrorCode = errClusterAuthorizationFailed
		c.reply(resp)
		return
	}
	for i := range req.Topics {
		asked := &req.Topics[i]
		answer := kmsg.NewDescribeQuorumResponseTopic()
		answer.Topic = asked.Topic
		for _, p := range asked.Partitions {
			if asked.Topic == metadataLog && p.Partition == 0 {
				answer.Partitions = append(answer.Partitions, c.quorum())
				resp.Nodes = c.voterNodes()
				continue
			}
			unknown := kmsg.NewDescribeQuorumResponseTopicPartition()
			text := noTopicPartition
			unknown.Partition, unknown.ErrorCode, unknown.ErrorMessage = p.Partition, errUnknownTopicOrPartition, &text
			answer.Partitions = append(answer.Partitions, unknown)
		}
		resp.Topics = append(resp.Topics, answer)
	}
	c.reply(resp)
}

// quorum tells where the metadata's group stands.
func (c *call) quorum() kmsg.DescribeQuorumResponseTopicPartition {
	q := c.server.opts.Broker.Quorum()
	answer := kmsg.NewDescribeQuorumResponseTopicPartition()
	answer.LeaderID, answer.LeaderEpoch, answer.HighWatermark = nodeID(q.Leader), int32(q.Term), int64(q.Applied)
	answer.CurrentVoters = c.replicaStates(q.Voters, q.Applied)
	answer.Observers = c.replicaStates(q.Learners, q.Applied)
	return answer
}

// replicaStates tells how far members are.
func (c *call) replicaStates(members []record.NodeID, applied record.Index) (out []kmsg.DescribeQuorumResponseTopicPartitionReplicaState) {
	for _, id := range members {
		s := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
		s.ReplicaID, s.LogEndOffset = nodeID(id), unknownLogEnd
		if id == c.server.opts.Broker.NodeID() {
			now := c.server.opts.Clock.Now().UnixMilli()
			s.LogEndOffset, s.LastFetchTimestamp, s.LastCaughtUpTimestamp = int64(applied), now, now
		}
		out = append(out, s)
	}
	return out
}

// voterNodes tells where those who vote can be reached.
func (c *call) voterNodes() (out []kmsg.DescribeQuorumResponseNode) {
	q := c.server.opts.Broker.Quorum()
	for _, e := range c.endpoints() {
		if !slices.Contains(q.Voters, record.NodeID(e.Node)) {
			continue
		}
		at := kmsg.NewDescribeQuorumResponseNodeListener()
		at.Name, at.Host, at.Port = c.securityProtocol(), e.Host, uint16(e.Port)
		n := kmsg.NewDescribeQuorumResponseNode()
		n.NodeID = e.Node
		n.Listeners = append(n.Listeners, at)
		out = append(out, n)
	}
	return out
}
