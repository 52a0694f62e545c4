package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/state/access"
)

// DeleteGroups, key 42, versions 0-2.
//
// Deletes groups without members, with their offsets.

func deleteGroups(c *call, req *kmsg.DeleteGroupsRequest) {
	resp := kmsg.NewPtrDeleteGroupsResponse()
	resp.Groups = make([]kmsg.DeleteGroupsResponseGroup, len(req.Groups))
	var left countdown
	left.begin(len(req.Groups), func() { c.reply(resp) })
	for i, id := range req.Groups {
		answer := &resp.Groups[i]
		*answer = kmsg.NewDeleteGroupsResponseGroup()
		answer.Group = id
		if !c.allows(access.Delete, access.Group, id) {
			answer.ErrorCode = errGroupAuthorizationFailed
			left.down()
			continue
		}
		c.server.opts.Broker.DeleteGroup(id, func(err error) {
			answer.ErrorCode = coordinatorCode(err)
			left.down()
		})
	}
}
