package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/txn"
)

// InitProducerId, key 22, versions 0-5.
//
// Gives an idempotent producer a new id, never given before, with epoch 0; what
// id and epoch it had does not matter (KIP-360). A transactional id keeps its
// producer id and gets the next epoch, which fences whoever had the one before; a
// transaction under way is aborted, and the client is to ask again
// (CONCURRENT_TRANSACTIONS).

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
		c.initTransactions(req, resp)
		return
	}
	c.reply(resp)
}

func (c *call) initTransactions(req *kmsg.InitProducerIDRequest, resp *kmsg.InitProducerIDResponse) {
	init := &txn.Init{ID: *req.TransactionalID, Timeout: req.TransactionTimeoutMillis, Producer: -1, Epoch: -1}
	if req.Version >= 3 {
		init.Producer, init.Epoch = req.ProducerID, req.ProducerEpoch
	}
	if init.Producer < -1 || init.Epoch < -1 || (init.Producer < 0) != (init.Epoch < 0) {
		resp.ErrorCode = errInvalidRequest
		c.reply(resp)
		return
	}
	c.server.opts.Broker.InitTransactions(init, func(r txn.Reply, err error) {
		if resp.ErrorCode = transactionCode(err, req.Version < 4); err == nil {
			resp.ProducerID, resp.ProducerEpoch = r.Producer, r.Epoch
		}
		c.reply(resp)
	})
}
