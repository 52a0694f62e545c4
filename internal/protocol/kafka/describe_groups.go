package kafka

import (
	"fmt"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/group"
)

// DescribeGroups, key 15, versions 0-6.
//
// Shows groups with their members; subscriptions and assignments only while the
// group is stable. A group that does not exist is Dead, from version 6 with
// GROUP_ID_NOT_FOUND.

func describeGroups(c *call, req *kmsg.DescribeGroupsRequest) {
	resp := kmsg.NewPtrDescribeGroupsResponse()
	resp.Groups = make([]kmsg.DescribeGroupsResponseGroup, len(req.Groups))
	var left countdown
	left.begin(len(req.Groups), func() { c.reply(resp) })
	for i, id := range req.Groups {
		answer := &resp.Groups[i]
		*answer = kmsg.NewDescribeGroupsResponseGroup()
		answer.Group = id
		if !c.allows(access.Describe, access.Group, id) {
			answer.ErrorCode = errGroupAuthorizationFailed
			left.down()
			continue
		}
		if req.IncludeAuthorizedOperations {
			answer.AuthorizedOperations = c.authorizedOperations(access.Group, id)
		}
		c.server.opts.Broker.DescribeGroup(id, func(d group.Description, err error) {
			if answer.ErrorCode = coordinatorCode(err); err == nil {
				describeGroup(answer, &d, req.Version)
			}
			left.down()
		})
	}
}

func describeGroup(answer *kmsg.DescribeGroupsResponseGroup, d *group.Description, version int16) {
	answer.State = d.Phase.String()
	if d.Phase == group.Dead && version >= 6 {
		message := fmt.Sprintf("Group %s not found.", answer.Group)
		answer.ErrorCode, answer.ErrorMessage = errGroupIDNotFound, &message
	}
	answer.ProtocolType, answer.Protocol = d.ProtocolType, d.Protocol
	for _, m := range d.Members {
		member := kmsg.NewDescribeGroupsResponseGroupMember()
		member.MemberID, member.InstanceID = m.Member, orNull(m.Instance)
		member.ClientID, member.ClientHost = m.ClientID, m.ClientHost
		member.ProtocolMetadata, member.MemberAssignment = m.Metadata, m.Assignment
		answer.Members = append(answer.Members, member)
	}
}

// countdown calls a function when so many others have been answered, from any
// goroutines.
type countdown struct {
	left atomic.Int64
	done func()
}

// begin counts from n; of nothing, all has been answered.
func (d *countdown) begin(n int, done func()) {
	d.left.Store(int64(n))
	d.done = done
	if n == 0 {
		done()
	}
}

func (d *countdown) down() {
	if d.left.Add(-1) == 0 {
		d.done()
	}
}
