package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/state/access"
)

// DescribeAcls, CreateAcls and DeleteAcls, keys 29, 30 and 31, versions 1-3.
//
// There are no access control lists of Kafka's kind. The answer is that of a
// Kafka broker without an authorizer, SECURITY_DISABLED, which tools expect and
// carry on after.

const noACLs = "this server keeps no access control lists of Kafka's kind"

// aclAnswer is what there is to say about lists to somebody who needs to be
// allowed a on the cluster.
func (c *call) aclAnswer(a access.Action) (code int16, message *string) {
	text := noACLs
	if !c.allows(a, access.Cluster, "") {
		return errClusterAuthorizationFailed, nil
	}
	return errSecurityDisabled, &text
}

func describeACLs(c *call, _ *kmsg.DescribeACLsRequest) {
	resp := kmsg.NewPtrDescribeACLsResponse()
	resp.ErrorCode, resp.ErrorMessage = c.aclAnswer(access.Describe)
	c.reply(resp)
}

func createACLs(c *call, req *kmsg.CreateACLsRequest) {
	resp := kmsg.NewPtrCreateACLsResponse()
	code, message := c.aclAnswer(access.Admin)
	for range req.Creations {
		r := kmsg.NewCreateACLsResponseResult()
		r.ErrorCode, r.ErrorMessage = code, message
		resp.Results = append(resp.Results, r)
	}
	c.reply(resp)
}

func deleteACLs(c *call, req *kmsg.DeleteACLsRequest) {
	resp := kmsg.NewPtrDeleteACLsResponse()
	code, message := c.aclAnswer(access.Admin)
	for range req.Filters {
		r := kmsg.NewDeleteACLsResponseResult()
		r.ErrorCode, r.ErrorMessage = code, message
		resp.Results = append(resp.Results, r)
	}
	c.reply(resp)
}
