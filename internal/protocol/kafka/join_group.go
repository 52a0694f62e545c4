package kafka

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/group"
)

// JoinGroup, key 11, versions 0-9.
//
// Makes the sender a member of a group, or keeps it one through a rebalance,
// whose end the answer waits for. The leader is told all members and what they
// subscribe to; assigning is its business (SyncGroup). The rules are those of
// internal/state/group.
//
// From version 4 a new dynamic member is given its id with MEMBER_ID_REQUIRED and
// joins again (KIP-394); from version 5 there are static members (KIP-345); from
// version 9 a static leader that comes back is told to skip the assignment
// (KIP-814). Unlike in Kafka, a member that has not been told its id yet is gone
// with its connection, and does not hold up the others.
// Known gaps: groups of the types consumer (KIP-848), share and streams do not
// exist.

// maxInstanceID is the longest instance id, in bytes.
const maxInstanceID = 249

func joinGroup(c *call, req *kmsg.JoinGroupRequest) {
	switch {
	case !c.allows(access.Consume, access.Group, req.Group):
		c.reply(joinRefused(req, errGroupAuthorizationFailed))
		return
	case req.InstanceID != nil && !validInstanceID(*req.InstanceID):
		c.reply(joinRefused(req, errInvalidConfig))
		return
	}
	j := &group.Join{
		Group: req.Group, Member: req.MemberID, Instance: orEmpty(req.InstanceID),
		RequireID: req.Version >= 4, CanSkip: req.Version >= 9,
		ClientID: string(c.header.ClientID), ClientHost: c.client,
		SessionTimeout: req.SessionTimeoutMillis, RebalanceTimeout: req.RebalanceTimeoutMillis,
		ProtocolType: req.ProtocolType, Protocols: make([]group.Protocol, len(req.Protocols)),
	}
	if req.Version == 0 {
		j.RebalanceTimeout = j.SessionTimeout
	}
	for i, p := range req.Protocols {
		j.Protocols[i] = group.Protocol{Name: p.Name, Metadata: p.Metadata}
	}
	c.member = c.server.opts.Broker.JoinGroup(j, func(r group.JoinReply) { c.reply(joinAnswer(req, &r)) })
}

func joinAnswer(req *kmsg.JoinGroupRequest, r *group.JoinReply) *kmsg.JoinGroupResponse {
	if r.Err != nil {
		resp := joinRefused(req, coordinatorCode(r.Err))
		if errors.Is(r.Err, group.ErrMemberIDRequired) {
			resp.MemberID = r.Member
		}
		return resp
	}
	resp := kmsg.NewPtrJoinGroupResponse()
	resp.Generation, resp.ProtocolType, resp.Protocol = r.Generation, &r.ProtocolType, &r.Protocol
	resp.LeaderID, resp.MemberID, resp.SkipAssignment = r.Leader, r.Member, r.SkipAssignment
	resp.Members = make([]kmsg.JoinGroupResponseMember, len(r.Members))
	for i, m := range r.Members {
		resp.Members[i] = kmsg.NewJoinGroupResponseMember()
		resp.Members[i].MemberID, resp.Members[i].InstanceID = m.Member, orNull(m.Instance)
		resp.Members[i].ProtocolMetadata = m.Metadata
	}
	return resp
}

func joinRefused(req *kmsg.JoinGroupRequest, code int16) *kmsg.JoinGroupResponse {
	resp := kmsg.NewPtrJoinGroupResponse()
	resp.ErrorCode, resp.Generation, resp.MemberID = code, -1, req.MemberID
	return resp
}

// validInstanceID checks an instance id, which is spelled as a topic is.
func validInstanceID(id string) bool {
	if id == "" || id == "." || id == ".." || len(id) > maxInstanceID {
		return false
	}
	for i := range len(id) {
		switch b := id[i]; {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', b == '.', b == '_', b == '-':
		default:
			return false
		}
	}
	return true
}

// orEmpty returns a nullable string, "" for null.
func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// orNull returns a string, null for "".
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
