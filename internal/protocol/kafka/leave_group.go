package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/group"
)

// LeaveGroup, key 13, versions 0-5.
//
// Takes a member out of its group, from version 3 several, which an
// administrator names by their instance ids (KIP-345). The reason that version 5
// brings is not kept.

func leaveGroup(c *call, req *kmsg.LeaveGroupRequest) {
	resp := kmsg.NewPtrLeaveGroupResponse()
	if !c.allows(access.Consume, access.Group, req.Group) {
		resp.ErrorCode = errGroupAuthorizationFailed
		c.reply(resp)
		return
	}
	l := &group.Leave{Group: req.Group}
	if req.Version < 3 {
		l.Members = []group.Leaver{{Member: req.MemberID}}
	}
	for _, m := range req.Members {
		l.Members = append(l.Members, group.Leaver{Member: m.MemberID, Instance: orEmpty(m.InstanceID)})
	}
	c.server.opts.Broker.LeaveGroup(l, func(each []error, err error) {
		switch {
		case err != nil:
			resp.ErrorCode = coordinatorCode(err)
		case req.Version < 3:
			resp.ErrorCode = coordinatorCode(each[0])
		default:
			for i, m := range req.Members {
				left := kmsg.NewLeaveGroupResponseMember()
				left.MemberID, left.InstanceID, left.ErrorCode = m.MemberID, m.InstanceID, coordinatorCode(each[i])
				resp.Members = append(resp.Members, left)
			}
		}
		c.reply(resp)
	})
}
