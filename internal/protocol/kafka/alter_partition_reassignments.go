package kafka

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/state/access"
)

// AlterPartitionReassignments, key 45, versions 0-1, and
// ListPartitionReassignments, key 46, version 0.
//
// Where partitions lie is the cluster's own affair, so none is ever on its way:
// the list is empty, to take back a reassignment is
// NO_REASSIGNMENT_IN_PROGRESS, and to assign a partition to the replicas that it
// has is done at once. Any other assignment is INVALID_REPLICA_ASSIGNMENT, or
// INVALID_REPLICATION_FACTOR where the request forbids another number of
// replicas (version 1).

func alterPartitionReassignments(c *call, req *kmsg.AlterPartitionAssignmentsRequest) {
	resp := kmsg.NewPtrAlterPartitionAssignmentsResponse()
	resp.AllowReplicationFactorChange = req.AllowReplicationFactorChange
	if !c.allows(access.Admin, access.Cluster, "") {
		resp.ErrorCode = errClusterAuthorizationFailed
		c.reply(resp)
		return
	}
	mayGrow := req.Version == 0 || req.AllowReplicationFactorChange
	for i := range req.Topics {
		asked := &req.Topics[i]
		answer := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		answer.Topic = asked.Topic
		for j := range asked.Partitions {
			p := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			p.Partition = asked.Partitions[j].Partition
			code, message := c.reassign(asked.Topic, &asked.Partitions[j], mayGrow)
			if p.ErrorCode = code; code != errNone {
				p.ErrorMessage = &message
			}
			answer.Partitions = append(answer.Partitions, p)
		}
		resp.Topics = append(resp.Topics, answer)
	}
	c.reply(resp)
}

// reassign judges the assignment of one partition.
func (c *call) reassign(topic string, asked *kmsg.AlterPartitionAssignmentsRequestTopicPartition, mayGrow bool) (code int16, message string) {
	t := c.server.opts.Broker.Topic(topic)
	if t == nil || asked.Partition < 0 || int(asked.Partition) >= len(t.Partitions) {
		return errUnknownTopicOrPartition, fmt.Sprintf("there is no partition %d", asked.Partition)
	}
	if asked.Replicas == nil {
		return errNoReassignmentInProgress, "no partition is ever being moved"
	}
	if err := c.checkReplicas(asked.Replicas); err != nil {
		return errInvalidReplicaAssignment, err.Error()
	}
	present := replicas(t.Partitions[asked.Partition])
	switch {
	case slices.Equal(present, asked.Replicas):
		return errNone, ""
	case len(present) != len(asked.Replicas) && !mayGrow:
		return errInvalidReplicationFactor, fmt.Sprintf("the partition has %d replicas", len(present))
	}
	return errInvalidReplicaAssignment, "the cluster places partitions itself"
}

func listPartitionReassignments(c *call, _ *kmsg.ListPartitionReassignmentsRequest) {
	resp := kmsg.NewPtrListPartitionReassignmentsResponse()
	if !c.allows(access.Describe, access.Cluster, "") {
		resp.ErrorCode = errClusterAuthorizationFailed
	}
	c.reply(resp)
}
