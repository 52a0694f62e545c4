package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/group"
)

// SyncGroup, key 14, versions 0-5.
//
// Answers with the member's assignment, once the leader has brought it; the
// leader's request brings those of all members. From version 5 the protocol that
// the client believes in is checked.

func syncGroup(c *call, req *kmsg.SyncGroupRequest) {
	resp := kmsg.NewPtrSyncGroupResponse()
	switch {
	case !c.allows(access.Consume, access.Group, req.Group):
		resp.ErrorCode = errGroupAuthorizationFailed
		c.reply(resp)
		return
	case req.Version >= 5 && (req.ProtocolType == nil || req.Protocol == nil):
		resp.ErrorCode = errInconsistentGroupProtocol
		c.reply(resp)
		return
	}
	s := &group.Sync{
		Group: req.Group, Member: req.MemberID, Instance: orEmpty(req.InstanceID), Generation: req.Generation,
		ProtocolType: orEmpty(req.ProtocolType), Protocol: orEmpty(req.Protocol),
		Assignments: make([]group.Assignment, len(req.GroupAssignment)),
	}
	for i, a := range req.GroupAssignment {
		s.Assignments[i] = group.Assignment{Member: a.MemberID, Data: a.MemberAssignment}
	}
	c.member = c.server.opts.Broker.SyncGroup(s, func(r group.SyncReply) {
		if resp.ErrorCode = coordinatorCode(r.Err); r.Err == nil {
			resp.ProtocolType, resp.Protocol = &r.ProtocolType, &r.Protocol
			resp.MemberAssignment = r.Assignment
		}
		c.reply(resp)
	})
}
