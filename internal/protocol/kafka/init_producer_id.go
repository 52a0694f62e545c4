package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/state/access"
)

// InitProducerId, key 22, versions 0-5.
//
// Gives an idempotent producer a new id, never given before, with epoch 0; what
// id and epoch it had does not matter (KIP-360).
// Known gaps: a transactional id is refused with UNSUPPORTED_VERSION, which
// clients take as final, since there are no transactions yet.

func initProducerID(c *call, req *kmsg.InitProducerIDRequest) {
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	switch {
	case req.TransactionalID == nil && !c.allows(access.Produce, access.Cluster, ""):
		resp.ErrorCode = errClusterAuthorizationFailed
	case req.TransactionalID == nil:
		c.server.opts.Broker.AllocateProducerID(func(id int64, err error) {
			if resp.ErrorCode = coordinatorCode(err); err == nil {
				resp.ProducerID, resp.ProducerEpoch = id, 0
			}
			c.reply(resp)
		})
		return
	case *req.TransactionalID == "":
		resp.ErrorCode = errInvalidRequest
	case !c.allows(access.Produce, access.TransactionalID, *req.TransactionalID):
		resp.ErrorCode = errTransactionalIDAuthFailed
	default:
		resp.ErrorCode = errUnsupportedVersion
	}
	c.reply(resp)
}
