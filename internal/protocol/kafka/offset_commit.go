package kafka

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/group"
)

// OffsetCommit, key 8, versions 2-10.
//
// Stores how far a group has come: for members of the present generation, and
// for clients without membership (generation -1) while the group is empty. The
// text beside an offset has at most 4,096 bytes. Versions 2 to 4 can ask for a
// retention of their own. Version 10 names topics by id.
//
// A topic that is unknown, or that the caller may not read, refuses its own
// partitions only; all others are committed together or not at all.

func offsetCommit(c *call, req *kmsg.OffsetCommitRequest) {
	o := &committing{call: c, req: req, resp: kmsg.NewPtrOffsetCommitResponse()}
	o.commit = group.Commit{
		Group: req.Group, Member: req.MemberID, Instance: orEmpty(req.InstanceID), Generation: req.Generation,
		Retention: req.RetentionTimeMillis,
	}
	if !c.allows(access.Consume, access.Group, req.Group) {
		o.refuse(errGroupAuthorizationFailed)
		return
	}
	for i := range req.Topics {
		o.topic(&req.Topics[i])
	}
	if len(o.commit.Topics) == 0 {
		c.reply(o.resp)
		return
	}
	c.server.opts.Broker.CommitOffsets(&o.commit, o.done)
}

// committing is one OffsetCommit request while it is answered.
type committing struct {
	*call
	req    *kmsg.OffsetCommitRequest
	resp   *kmsg.OffsetCommitResponse
	commit group.Commit
}

// refuse answers with one code for everything.
func (o *committing) refuse(code int16) {
	for i := range o.req.Topics {
		t := &o.req.Topics[i]
		answer := o.answer(t)
		for j := range t.Partitions {
			answer.Partitions[j].ErrorCode = code
		}
	}
	o.reply(o.resp)
}

// answer adds a topic to the response.
func (o *committing) answer(t *kmsg.OffsetCommitRequestTopic) *kmsg.OffsetCommitResponseTopic {
	answer := kmsg.NewOffsetCommitResponseTopic()
	answer.Topic, answer.TopicID = t.Topic, t.TopicID
	for j := range t.Partitions {
		p := kmsg.NewOffsetCommitResponseTopicPartition()
		p.Partition = t.Partitions[j].Partition
		answer.Partitions = append(answer.Partitions, p)
	}
	o.resp.Topics = append(o.resp.Topics, answer)
	return &o.resp.Topics[len(o.resp.Topics)-1]
}

// topic adds a topic to the response and what can be committed of it to the
// command.
func (o *committing) topic(t *kmsg.OffsetCommitRequestTopic) {
	answer := o.answer(t)
	known, refused := o.resolve(access.Consume, t.Topic, t.TopicID, o.req.Version >= 10)
	commit := group.CommitTopic{}
	for j := range t.Partitions {
		p := &t.Partitions[j]
		code := refused
		switch {
		case code != errNone:
		case p.Partition < 0 || int(p.Partition) >= len(known.Partitions):
			code = errUnknownTopicOrPartition
		case len(orEmpty(p.Metadata)) > group.MaxOffsetMetadata:
			code = errOffsetMetadataTooLarge
		default:
			commit.Topic, commit.Name = known.ID, known.Name
			commit.Partitions = append(commit.Partitions, group.CommitPartition{
				Partition: p.Partition, Offset: record.Offset(p.Offset), Epoch: record.Epoch(p.LeaderEpoch),
				Metadata: orEmpty(p.Metadata),
			})
		}
		answer.Partitions[j].ErrorCode = code
	}
	if len(commit.Partitions) > 0 {
		o.commit.Topics = append(o.commit.Topics, commit)
	}
}

// resolve finds a topic by name, or by id, or returns the code to refuse it
// with. An id that is unknown and one that may not be used look the same.
func (c *call) resolve(a access.Action, name string, id [16]byte, byID bool) (t *broker.Topic, refused int16) {
	if byID {
		t = c.server.opts.Broker.TopicByID(id)
		if t == nil || !c.allows(a, access.Topic, t.Name) {
			return nil, errUnknownTopicID
		}
		return t, errNone
	}
	if !c.allows(a, access.Topic, name) {
		return nil, errTopicAuthorizationFailed
	}
	if t = c.server.opts.Broker.Topic(name); t == nil {
		return nil, errUnknownTopicOrPartition
	}
	return t, errNone
}

// done answers for what was in the command.
func (o *committing) done(err error) {
	code := coordinatorCode(err)
	if errors.Is(err, group.ErrUnknownGroup) && o.req.Version < 9 {
		code = errIllegalGeneration // the code below came with version 9
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
