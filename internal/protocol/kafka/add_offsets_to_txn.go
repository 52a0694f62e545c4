package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/group"
	"github.com/polylog-mq/polylog/internal/state/txn"
)

// AddOffsetsToTxn, key 25, versions 0-4.
//
// Makes a consumer group part of a producer's transaction, so that offsets can be
// committed in it. Producers of KIP-890 do without: TxnOffsetCommit does it.

func addOffsetsToTxn(c *call, req *kmsg.AddOffsetsToTxnRequest) {
	resp := kmsg.NewPtrAddOffsetsToTxnResponse()
	switch {
	case !c.allows(access.Produce, access.TransactionalID, req.TransactionalID):
		resp.ErrorCode = errTransactionalIDAuthFailed
	case !c.allows(access.Consume, access.Group, req.Group):
		resp.ErrorCode = errGroupAuthorizationFailed
	case req.Group == "" || len(req.Group) > group.MaxName:
		resp.ErrorCode = errInvalidGroupID
	default:
		add := &txn.Add{
			ID: req.TransactionalID, Producer: req.ProducerID, Epoch: req.ProducerEpoch, Groups: []string{req.Group},
		}
		c.server.opts.Broker.AddToTransaction(add, func(each []error, err error) {
			if err == nil {
				err = each[0]
			}
			resp.ErrorCode = transactionCode(err, req.Version < 2)
			c.reply(resp)
		})
		return
	}
	c.reply(resp)
}
