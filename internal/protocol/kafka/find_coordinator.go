package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/state/access"
)

// FindCoordinator, key 10, versions 0-6.
//
// Tells which node leads the shard that a consumer group or a transactional id
// lives in; from version 4 for several at once. The first look for a group makes
// the topic that tools expect to see; see internal_topics.go. While there is no leader:
// COORDINATOR_NOT_AVAILABLE, and the client asks again.
// Known gaps: the keys of share groups (version 6) are refused with
// INVALID_REQUEST, as Kafka does when share groups are off.

// The types of keys.
const (
	coordinatorOfGroup       = 0
	coordinatorOfTransaction = 1
)

func findCoordinator(c *call, req *kmsg.FindCoordinatorRequest) {
	resp := kmsg.NewPtrFindCoordinatorResponse()
	if req.Version < 4 {
		found := c.coordinator(req.CoordinatorType, req.CoordinatorKey)
		resp.ErrorCode, resp.ErrorMessage = found.ErrorCode, found.ErrorMessage
		resp.NodeID, resp.Host, resp.Port = found.NodeID, found.Host, found.Port
		c.reply(resp)
		return
	}
	for _, key := range req.CoordinatorKeys {
		resp.Coordinators = append(resp.Coordinators, c.coordinator(req.CoordinatorType, key))
	}
	c.reply(resp)
}

// coordinator answers for one key.
func (c *call) coordinator(kind int8, key string) kmsg.FindCoordinatorResponseCoordinator {
	found := kmsg.NewFindCoordinatorResponseCoordinator()
	found.Key, found.NodeID, found.Port = key, -1, -1
	switch {
	case kind != coordinatorOfGroup && kind != coordinatorOfTransaction:
		found.ErrorCode = errInvalidRequest
	case kind == coordinatorOfGroup && !c.allows(access.Describe, access.Group, key):
		found.ErrorCode = errGroupAuthorizationFailed
	case kind == coordinatorOfTransaction && !c.allows(access.Describe, access.TransactionalID, key):
		found.ErrorCode = errTransactionalIDAuthFailed
	default:
		if kind == coordinatorOfGroup {
			c.server.makeOffsetsTopic()
		}
		node, err := c.server.opts.Broker.Coordinator(key)
		if err != nil {
			found.ErrorCode, found.ErrorMessage = errCoordinatorNotAvailable, messageOf(err)
			break
		}
		found.NodeID = nodeID(node.ID)
		found.Host, found.Port = c.address(&node)
	}
	return found
}
