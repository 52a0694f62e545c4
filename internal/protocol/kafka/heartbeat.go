package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/state/access"
)

// Heartbeat, key 12, versions 0-4.
//
// A member's sign of life; the answer tells it of a rebalance.

func heartbeat(c *call, req *kmsg.HeartbeatRequest) {
	resp := kmsg.NewPtrHeartbeatResponse()
	if !c.allows(access.Consume, access.Group, req.Group) {
		resp.ErrorCode = errGroupAuthorizationFailed
		c.reply(resp)
		return
	}
	c.server.opts.Broker.Heartbeat(req.Group, req.MemberID, orEmpty(req.InstanceID), req.Generation, func(err error) {
		resp.ErrorCode = coordinatorCode(err)
		c.reply(resp)
	})
}
