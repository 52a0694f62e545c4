package kafka

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/group"
	"github.com/polylog-mq/polylog/internal/state/txn"
)

// TxnOffsetCommit, key 28, versions 0-5.
//
// Commits offsets as part of a transaction: they count once that is committed.
// From version 3 the member and its generation are checked (KIP-447). Version 5
// is that of producers of KIP-890, whose commit makes the group part of the
// transaction; before, AddOffsetsToTxn does.

func txnOffsetCommit(c *call, req *kmsg.TxnOffsetCommitRequest) {
	o := &committingInTxn{call: c, req: req, resp: kmsg.NewPtrTxnOffsetCommitResponse()}
	o.commit = group.TxnCommit{Producer: req.ProducerID, Epoch: req.ProducerEpoch}
	o.commit.Commit = group.Commit{
		Group: req.Group, Member: req.MemberID, Instance: orEmpty(req.InstanceID), Generation: req.Generation, Retention: -1,
	}
	refused := errNone
	switch {
	case !c.allows(access.Produce, access.TransactionalID, req.TransactionalID):
		refused = errTransactionalIDAuthFailed
	case !c.allows(access.Consume, access.Group, req.Group):
		refused = errGroupAuthorizationFailed
	}
	for i := range req.Topics {
		o.topic(&req.Topics[i], refused)
	}
	if len(o.commit.Topics) == 0 {
		c.reply(o.resp)
		return
	}
	id := ""
	if req.Version >= 5 {
		id = req.TransactionalID
	}
	c.server.opts.Broker.CommitInTransaction(id, &o.commit, o.done)
}

// committingInTxn is one TxnOffsetCommit request while it is answered.
type committingInTxn struct {
	*call
	req    *kmsg.TxnOffsetCommitRequest
	resp   *kmsg.TxnOffsetCommitResponse
	commit group.TxnCommit
}

// topic adds a topic to the response and what can be committed of it to the
// command.
func (o *committingInTxn) topic(t *kmsg.TxnOffsetCommitRequestTopic, refused int16) {
	answer := kmsg.NewTxnOffsetCommitResponseTopic()
	answer.Topic = t.Topic
	commit := group.CommitTopic{}
	for j := range t.Partitions {
		p := &t.Partitions[j]
		code := refused
		if code == errNone {
			if known, why := o.find(access.Consume, t.Topic, p.Partition); why != errNone {
				code = why
			} else if len(orEmpty(p.Metadata)) > group.MaxOffsetMetadata {
				code = errOffsetMetadataTooLarge
			} else {
				commit.Topic, commit.Name = known.InTransaction().Topic, t.Topic
				commit.Partitions = append(commit.Partitions, group.CommitPartition{
					Partition: p.Partition, Offset: record.Offset(p.Offset), Epoch: record.Epoch(p.LeaderEpoch),
					Metadata: orEmpty(p.Metadata),
				})
			}
		}
		answer.Partitions = append(answer.Partitions, kmsg.TxnOffsetCommitResponseTopicPartition{
			Partition: p.Partition, ErrorCode: code,
		})
	}
	o.resp.Topics = append(o.resp.Topics, answer)
	if len(commit.Partitions) > 0 {
		o.commit.Topics = append(o.commit.Topics, commit)
	}
}

// done answers for what was in the command.
func (o *committingInTxn) done(err error) {
	code := coordinatorCode(err)
	switch {
	case errors.Is(err, txn.ErrFenced):
		code = errInvalidProducerEpoch
	case errors.Is(err, group.ErrUnknownGroup):
		code = errIllegalGeneration
	}
	for i := range o.resp.Topics {
		for j := range o.resp.Topics[i].Partitions {
			if p := &o.resp.Topics[i].Partitions[j]; p.ErrorCode == errNone {
				p.ErrorCode = code
			}
		}
	}
	o.reply(o.resp)
}
