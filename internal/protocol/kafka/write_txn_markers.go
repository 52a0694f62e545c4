package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// WriteTxnMarkers, key 27, versions 1-2.
//
// Ends the transactions of producers in partitions by hand: an administrator's
// way to abort one whose coordinator does not (Admin.abortTransaction). Where the
// producer has no transaction open nothing is written; its older epochs are shut
// out all the same.

func writeTxnMarkers(c *call, req *kmsg.WriteTxnMarkersRequest) {
	resp := kmsg.NewPtrWriteTxnMarkersResponse()
	resp.Markers = make([]kmsg.WriteTxnMarkersResponseMarker, len(req.Markers))
	allowed := c.allows(access.Admin, access.Cluster, "")
	var left countdown
	left.begin(len(req.Markers), func() { c.reply(resp) })
	for i := range req.Markers {
		m := &marking{call: c, req: &req.Markers[i], answer: &resp.Markers[i]}
		m.list(allowed)
		if len(m.parts) == 0 {
			left.down()
			continue
		}
		c.server.opts.Broker.EndByHand(m.req.ProducerID, m.req.ProducerEpoch, m.req.Committed, m.parts, func(each []error) {
			m.settle(each)
			left.down()
		})
	}
}

// marking is one marker of a request while it is written.
type marking struct {
	*call
	req    *kmsg.WriteTxnMarkersRequestMarker
	answer *kmsg.WriteTxnMarkersResponseMarker
	parts  []*broker.Partition
	at     []place // of parts, in the answer
}

// list fills in the answer and finds the partitions.
func (m *marking) list(allowed bool) {
	*m.answer = kmsg.NewWriteTxnMarkersResponseMarker()
	m.answer.ProducerID = m.req.ProducerID
	for i := range m.req.Topics {
		asked := &m.req.Topics[i]
		topic := kmsg.NewWriteTxnMarkersResponseMarkerTopic()
		topic.Topic = asked.Topic
		t := m.server.opts.Broker.Topic(asked.Topic)
		for j, number := range asked.Partitions {
			p := kmsg.NewWriteTxnMarkersResponseMarkerTopicPartition()
			p.Partition = number
			switch {
			case !allowed:
				p.ErrorCode = errClusterAuthorizationFailed
			case m.req.ProducerID < 0 || m.req.ProducerEpoch < 0:
				p.ErrorCode = errInvalidRequest
			case t == nil || number < 0 || int(number) >= len(t.Partitions):
				p.ErrorCode = errUnknownTopicOrPartition
			default:
				m.parts = append(m.parts, t.Partitions[number])
				m.at = append(m.at, place{i, j})
			}
			topic.Partitions = append(topic.Partitions, p)
		}
		m.answer.Topics = append(m.answer.Topics, topic)
	}
}

func (m *marking) settle(each []error) {
	for i, err := range each {
		m.answer.Topics[m.at[i].topic].Partitions[m.at[i].partition].ErrorCode = codeOf(err)
	}
}
