package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/group"
)

// OffsetFetch, key 9, versions 1-10.
//
// Tells what groups have committed: for the partitions asked for, or (version 2
// and later) for all; from version 8 for several groups at once, from version 10
// with topics by id. Where nothing is committed the offset is -1. What was
// acknowledged before is always seen, whichever node is asked.
//
// A topic that was deleted takes its offsets with it: one of the same name that
// was made later has none. Member id and epoch (version 9) are those of groups
// of the new kind and are not looked at. With RequireStable (version 7) an offset
// that a transaction may yet replace is refused with UNSTABLE_OFFSET_COMMIT.

func offsetFetch(c *call, req *kmsg.OffsetFetchRequest) {
	f := &fetchingOffsets{call: c, req: req}
	if req.Version < 8 {
		one := kmsg.NewOffsetFetchRequestGroup()
		one.Group = req.Group
		if req.Topics != nil {
			one.Topics = make([]kmsg.OffsetFetchRequestGroupTopic, len(req.Topics))
		}
		for i := range req.Topics {
			one.Topics[i].Topic, one.Topics[i].Partitions = req.Topics[i].Topic, req.Topics[i].Partitions
		}
		req.Groups = []kmsg.OffsetFetchRequestGroup{one}
	}
	f.groups = make([]kmsg.OffsetFetchResponseGroup, len(req.Groups))
	f.left.begin(len(req.Groups), f.done)
	for i := range req.Groups {
		f.group(&req.Groups[i], &f.groups[i])
	}
}

// fetchingOffsets is one OffsetFetch request while it is answered.
type fetchingOffsets struct {
	*call
	req    *kmsg.OffsetFetchRequest
	groups []kmsg.OffsetFetchResponseGroup
	left   countdown
}

// group answers for one group.
func (f *fetchingOffsets) group(asked *kmsg.OffsetFetchRequestGroup, answer *kmsg.OffsetFetchResponseGroup) {
	*answer = kmsg.NewOffsetFetchResponseGroup()
	answer.Group = asked.Group
	b := f.server.opts.Broker
	switch {
	case !f.allows(access.Describe, access.Group, asked.Group):
		f.failed(asked, answer, errGroupAuthorizationFailed)
	case asked.Topics == nil:
		b.FetchOffsets(asked.Group, nil, func(found []group.Offset, err error) {
			if err != nil {
				f.failed(asked, answer, coordinatorCode(err))
				return
			}
			f.all(found, answer)
			f.left.down()
		})
	default:
		parts, at := f.wanted(asked, answer)
		b.FetchOffsets(asked.Group, parts, func(found []group.Offset, err error) {
			if err != nil {
				answer.Topics = nil
				f.failed(asked, answer, coordinatorCode(err))
				return
			}
			for i := range found {
				f.fill(&answer.Topics[at[i].topic].Partitions[at[i].partition], &found[i])
			}
			f.left.down()
		})
	}
}

// failed answers for a group that cannot be asked. Version 1 has no room for
// that but in the partitions.
func (f *fetchingOffsets) failed(asked *kmsg.OffsetFetchRequestGroup, answer *kmsg.OffsetFetchResponseGroup, code int16) {
	answer.ErrorCode = code
	for i := range asked.Topics {
		if f.req.Version > 1 {
			break
		}
		t := f.topic(&asked.Topics[i], answer)
		for _, number := range asked.Topics[i].Partitions {
			t.Partitions = append(t.Partitions, nothingCommitted(number, code))
		}
	}
	f.left.down()
}

// place is where in an answer a partition is.
type place struct{ topic, partition int }

// wanted lists the partitions of a group that are to be looked up, with their
// places in the answer, which says of all others why not.
func (f *fetchingOffsets) wanted(asked *kmsg.OffsetFetchRequestGroup, answer *kmsg.OffsetFetchResponseGroup) (parts []broker.GroupPartition, at []place) {
	parts = []broker.GroupPartition{}
	for i := range asked.Topics {
		t := f.topic(&asked.Topics[i], answer)
		known, refused := f.resolve(access.Describe, t.Topic, t.TopicID, f.req.Version >= 10)
		if refused == errUnknownTopicOrPartition {
			refused = errNone // there is nothing committed, and that is no error
		}
		for j, number := range asked.Topics[i].Partitions {
			t.Partitions = append(t.Partitions, nothingCommitted(number, refused))
			if known != nil {
				parts = append(parts, broker.GroupPartition{Topic: known.ID, Partition: number})
				at = append(at, place{i, j})
			}
		}
	}
	return parts, at
}

// topic adds a topic to an answer.
func (f *fetchingOffsets) topic(asked *kmsg.OffsetFetchRequestGroupTopic, answer *kmsg.OffsetFetchResponseGroup) *kmsg.OffsetFetchResponseGroupTopic {
	t := kmsg.NewOffsetFetchResponseGroupTopic()
	t.Topic, t.TopicID = asked.Topic, asked.TopicID
	answer.Topics = append(answer.Topics, t)
	return &answer.Topics[len(answer.Topics)-1]
}

// all answers with everything that a group has committed, which is ordered by
// topic, for topics that exist and that the caller may see.
func (f *fetchingOffsets) all(found []group.Offset, answer *kmsg.OffsetFetchResponseGroup) {
	for i := range found {
		o := &found[i]
		if i == 0 || o.Topic != found[i-1].Topic {
			t := f.server.opts.Broker.Topic(o.Name)
			if t == nil || t.ID != o.Topic || !f.allows(access.Describe, access.Topic, o.Name) {
				found[i].Name = ""
				continue
			}
			f.topic(&kmsg.OffsetFetchRequestGroupTopic{Topic: t.Name, TopicID: t.UUID}, answer)
		} else if found[i-1].Name == "" {
			found[i].Name = "" // of the same topic
			continue
		}
		t := &answer.Topics[len(answer.Topics)-1]
		t.Partitions = append(t.Partitions, nothingCommitted(o.Partition, errNone))
		f.fill(&t.Partitions[len(t.Partitions)-1], o)
	}
}

func nothingCommitted(number int32, code int16) kmsg.OffsetFetchResponseGroupTopicPartition {
	p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode = number, -1, -1, new(string), code
	return p
}

func (f *fetchingOffsets) fill(p *kmsg.OffsetFetchResponseGroupTopicPartition, o *group.Offset) {
	if o.Unstable && f.req.RequireStable {
		p.ErrorCode = errUnstableOffsetCommit
		return
	}
	p.Offset, p.LeaderEpoch, p.Metadata = int64(o.Offset), int32(o.Epoch), &o.Metadata
}

// done replies, in the shape of the request's version.
func (f *fetchingOffsets) done() {
	resp := kmsg.NewPtrOffsetFetchResponse()
	if f.req.Version >= 8 {
		resp.Groups = f.groups
		f.reply(resp)
		return
	}
	resp.ErrorCode = f.groups[0].ErrorCode
	for i := range f.groups[0].Topics {
		from := &f.groups[0].Topics[i]
		t := kmsg.NewOffsetFetchResponseTopic()
		t.Topic = from.Topic
		for _, p := range from.Partitions {
			t.Partitions = append(t.Partitions, kmsg.OffsetFetchResponseTopicPartition{
				Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: p.Metadata, ErrorCode: p.ErrorCode,
			})
		}
		resp.Topics = append(resp.Topics, t)
	}
	f.reply(resp)
}
