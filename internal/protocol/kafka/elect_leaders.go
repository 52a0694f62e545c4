package kafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// ElectLeaders, key 43, versions 0-2.
//
// Leaders are Raft's to elect, and whoever leads a partition is the replica that
// is preferred: a partition with a leader answers ELECTION_NOT_NEEDED, one
// without PREFERRED_LEADER_NOT_AVAILABLE or, to an unclean election, which Raft
// does not know, ELIGIBLE_LEADERS_NOT_AVAILABLE. A request for all partitions is
// answered with those without a leader, as by Kafka.

// The types of elections.
const (
	electPreferred = 0
	electUnclean   = 1
)

func electLeaders(c *call, req *kmsg.ElectLeadersRequest) {
	resp := kmsg.NewPtrElectLeadersResponse()
	switch {
	case !c.allows(access.Admin, access.Cluster, ""):
		resp.ErrorCode = errClusterAuthorizationFailed
	case req.Version >= 1 && req.ElectionType != electPreferred && req.ElectionType != electUnclean:
		resp.ErrorCode = errInvalidRequest
	}
	b := c.server.opts.Broker
	if req.Topics == nil && resp.ErrorCode == errNone {
		for t := range b.Topics() {
			if led := leaderless(t, req.ElectionType); len(led.Partitions) > 0 {
				resp.Topics = append(resp.Topics, led)
			}
		}
	}
	for i := range req.Topics {
		asked := &req.Topics[i]
		answer := kmsg.NewElectLeadersResponseTopic()
		answer.Topic = asked.Topic
		t := b.Topic(asked.Topic)
		for _, number := range asked.Partitions {
			p := kmsg.NewElectLeadersResponseTopicPartition()
			p.Partition, p.ErrorCode = number, resp.ErrorCode
			if p.ErrorCode == errNone {
				p.ErrorCode, p.ErrorMessage = election(t, number, req.ElectionType)
			}
			answer.Partitions = append(answer.Partitions, p)
		}
		resp.Topics = append(resp.Topics, answer)
	}
	c.reply(resp)
}

// leaderless tells of a topic's partitions that no election can help.
func leaderless(t *broker.Topic, kind int8) kmsg.ElectLeadersResponseTopic {
	answer := kmsg.NewElectLeadersResponseTopic()
	answer.Topic = t.Name
	for _, at := range t.Partitions {
		p := kmsg.NewElectLeadersResponseTopicPartition()
		p.Partition = at.Number()
		if p.ErrorCode, p.ErrorMessage = election(t, p.Partition, kind); p.ErrorCode != errElectionNotNeeded {
			answer.Partitions = append(answer.Partitions, p)
		}
	}
	return answer
}

// election tells what comes of one in a partition of a topic, which is nil if
// there is none.
func election(t *broker.Topic, number int32, kind int8) (code int16, message *string) {
	code, text := errElectionNotNeeded, "the partition has a leader, which is the preferred one"
	switch {
	case t == nil || number < 0 || int(number) >= len(t.Partitions):
		code, text = errUnknownTopicOrPartition, fmt.Sprintf("there is no partition %d", number)
	case t.Partitions[number].Leader() != 0:
	case kind == electPreferred:
		code, text = errPreferredLeaderNotAvailable, "the partition's shard has no leader at the moment"
	default:
		code, text = errEligibleLeadersNotAvailable, "the partition's shard has no leader at the moment, and only Raft elects one"
	}
	return code, &text
}
