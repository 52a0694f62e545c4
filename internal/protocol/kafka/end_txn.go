package kafka

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/txn"
)

// EndTxn, key 26, versions 0-5.
//
// Commits or aborts a producer's transaction. It is answered once every partition
// and group has its marker, so that what was committed can be read, or after five
// seconds, when the decision stands all the same. From version 5 (KIP-890) the
// answer has a new epoch for the producer, or a new id when the epochs are used
// up; the same request sent again gets the same answer.

func endTxn(c *call, req *kmsg.EndTxnRequest) {
	resp := kmsg.NewPtrEndTxnResponse()
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if !c.allows(access.Produce, access.TransactionalID, req.TransactionalID) {
		resp.ErrorCode = errTransactionalIDAuthFailed
		c.reply(resp)
		return
	}
	end := &txn.End{
		ID: req.TransactionalID, Producer: req.ProducerID, Epoch: req.ProducerEpoch, Commit: req.Commit,
		Bumps: req.Version >= 5,
	}
	c.server.opts.Broker.EndTransaction(end, func(r txn.Reply, err error) {
		if resp.ErrorCode = transactionCode(err, req.Version < 2); err == nil {
			resp.ProducerID, resp.ProducerEpoch = r.Producer, r.Epoch
		}
		c.reply(resp)
	})
}

// transactionCode is coordinatorCode for what a transaction's coordinator
// answers. Requests of old versions do not know PRODUCER_FENCED.
func transactionCode(err error, old bool) int16 {
	if old && errors.Is(err, txn.ErrFenced) {
		return errInvalidProducerEpoch
	}
	return coordinatorCode(err)
}
