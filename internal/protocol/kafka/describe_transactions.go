package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/txn"
)

// DescribeTransactions, key 65, version 0.
//
// Tells the state of transactional ids, with the partitions of their transactions
// as far as the caller may see them.

func describeTransactions(c *call, req *kmsg.DescribeTransactionsRequest) {
	resp := kmsg.NewPtrDescribeTransactionsResponse()
	resp.TransactionStates = make([]kmsg.DescribeTransactionsResponseTransactionState, len(req.TransactionalIDs))
	var left countdown
	left.begin(len(req.TransactionalIDs), func() { c.reply(resp) })
	for i, id := range req.TransactionalIDs {
		answer := &resp.TransactionStates[i]
		*answer = kmsg.NewDescribeTransactionsResponseTransactionState()
		answer.TransactionalID = id
		if !c.allows(access.Describe, access.TransactionalID, id) {
			answer.ErrorCode = errTransactionalIDAuthFailed
			left.down()
			continue
		}
		c.server.opts.Broker.DescribeTransaction(id, func(d txn.Description, err error) {
			switch {
			case err != nil:
				answer.ErrorCode = coordinatorCode(err)
			case d.Phase == txn.Dead:
				answer.ErrorCode = errTransactionalIDNotFound
			default:
				c.describeTransaction(&d, answer)
			}
			left.down()
		})
	}
}

func (c *call) describeTransaction(d *txn.Description, answer *kmsg.DescribeTransactionsResponseTransactionState) {
	answer.State, answer.TimeoutMillis, answer.StartTimestamp = d.Phase.String(), d.Timeout, int64(d.Started)
	answer.ProducerID, answer.ProducerEpoch = d.Producer, d.Epoch
	at := map[string]int{}
	for i := range d.Partitions {
		p := &d.Partitions[i]
		n, ok := at[p.Name]
		if !ok {
			n = -1
			if c.allows(access.Describe, access.Topic, p.Name) {
				n = len(answer.Topics)
				t := kmsg.NewDescribeTransactionsResponseTransactionStateTopic()
				t.Topic = p.Name
				answer.Topics = append(answer.Topics, t)
			}
			at[p.Name] = n
		}
		if n >= 0 {
			answer.Topics[n].Partitions = append(answer.Topics[n].Partitions, p.Number)
		}
	}
}
