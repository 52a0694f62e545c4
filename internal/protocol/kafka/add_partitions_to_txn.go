package kafka

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/txn"
)

// AddPartitionsToTxn, key 24, versions 0-5.
//
// Makes partitions part of a producer's transaction, which it begins if need be:
// all of them or none. Producers of KIP-890 do without; their first batch does
// it. From version 4 a request carries several transactions, each perhaps only to
// ask whether the partitions are part of it, as brokers do among each other.

func addPartitionsToTxn(c *call, req *kmsg.AddPartitionsToTxnRequest) {
	resp := kmsg.NewPtrAddPartitionsToTxnResponse()
	if req.Version < 4 {
		t := kmsg.NewAddPartitionsToTxnRequestTransaction()
		t.TransactionalID, t.ProducerID, t.ProducerEpoch = req.TransactionalID, req.ProducerID, req.ProducerEpoch
		for _, topic := range req.Topics {
			t.Topics = append(t.Topics, kmsg.AddPartitionsToTxnRequestTransactionTopic{Topic: topic.Topic, Partitions: topic.Partitions})
		}
		a := &adding{call: c, req: &t, old: req.Version < 2}
		a.begin(func() {
			for _, topic := range a.topics {
				old := kmsg.NewAddPartitionsToTxnResponseTopic()
				old.Topic = topic.Topic
				for _, p := range topic.Partitions {
					old.Partitions = append(old.Partitions, kmsg.AddPartitionsToTxnResponseTopicPartition{
						Partition: p.Partition, ErrorCode: p.ErrorCode,
					})
				}
				resp.Topics = append(resp.Topics, old)
			}
			c.reply(resp)
		})
		return
	}
	resp.Transactions = make([]kmsg.AddPartitionsToTxnResponseTransaction, len(req.Transactions))
	var left countdown
	left.begin(len(req.Transactions), func() { c.reply(resp) })
	for i := range req.Transactions {
		a := &adding{call: c, req: &req.Transactions[i]}
		a.begin(func() {
			answer := kmsg.NewAddPartitionsToTxnResponseTransaction()
			answer.TransactionalID, answer.Topics = a.req.TransactionalID, a.topics
			resp.Transactions[i] = answer
			left.down()
		})
	}
}

// adding is one transaction of a request while it is answered.
type adding struct {
	*call
	req    *kmsg.AddPartitionsToTxnRequestTransaction
	old    bool // the request is older than the code PRODUCER_FENCED
	topics []kmsg.AddPartitionsToTxnResponseTransactionTopic
	parts  []txn.Partition
	done   func()
}

func (a *adding) begin(done func()) {
	a.done = done
	if !a.allows(access.Produce, access.TransactionalID, a.req.TransactionalID) {
		a.parts = nil
		a.list(true)
		a.all(errTransactionalIDAuthFailed)
		return
	}
	if !a.list(false) { // one that cannot be added keeps out all
		a.rest(errOperationNotAttempted)
		return
	}
	if a.req.VerifyOnly {
		a.server.opts.Broker.DescribeTransaction(a.req.TransactionalID, a.verified)
		return
	}
	add := &txn.Add{
		ID: a.req.TransactionalID, Producer: a.req.ProducerID, Epoch: a.req.ProducerEpoch, Partitions: a.parts,
	}
	a.server.opts.Broker.AddToTransaction(add, func(each []error, err error) {
		if err != nil {
			a.all(transactionCode(err, a.old))
			return
		}
		n := 0
		for i := range a.topics {
			for j := range a.topics[i].Partitions {
				a.topics[i].Partitions[j].ErrorCode = coordinatorCode(each[n])
				n++
			}
		}
		a.done()
	})
}

// list fills in the answer, finds the partitions, and reports whether all of them
// can be added.
func (a *adding) list(unseen bool) (ok bool) {
	ok = true
	for i := range a.req.Topics {
		asked := &a.req.Topics[i]
		answer := kmsg.NewAddPartitionsToTxnResponseTransactionTopic()
		answer.Topic = asked.Topic
		for _, number := range asked.Partitions {
			p := kmsg.NewAddPartitionsToTxnResponseTransactionTopicPartition()
			p.Partition = number
			if !unseen {
				var part *broker.Partition
				if part, p.ErrorCode = a.find(access.Produce, asked.Topic, number); part != nil {
					a.parts = append(a.parts, part.InTransaction())
				}
				ok = ok && p.ErrorCode == errNone
			}
			answer.Partitions = append(answer.Partitions, p)
		}
		a.topics = append(a.topics, answer)
	}
	return ok
}

// verified answers whether the partitions are part of the transaction under way.
func (a *adding) verified(d txn.Description, err error) {
	switch {
	case err != nil:
		a.all(coordinatorCode(err))
	case d.Phase == txn.Dead || d.Producer != a.req.ProducerID:
		a.all(errInvalidProducerIDMapping)
	case d.Epoch != a.req.ProducerEpoch:
		a.all(errProducerFenced)
	default:
		n := 0
		for i := range a.topics {
			for j := range a.topics[i].Partitions {
				id := a.parts[n].ID
				if !slices.ContainsFunc(d.Partitions, func(p txn.Partition) bool { return p.ID == id }) {
					a.topics[i].Partitions[j].ErrorCode = errTransactionAbortable
				}
				n++
			}
		}
		a.done()
	}
}

// all answers with one code for every partition, rest for those without one.
func (a *adding) all(code int16) {
	for i := range a.topics {
		for j := range a.topics[i].Partitions {
			a.topics[i].Partitions[j].ErrorCode = code
		}
	}
	a.done()
}

func (a *adding) rest(code int16) {
	for i := range a.topics {
		for j := range a.topics[i].Partitions {
			if p := &a.topics[i].Partitions[j]; p.ErrorCode == errNone {
				p.ErrorCode = code
			}
		}
	}
	a.done()
}
