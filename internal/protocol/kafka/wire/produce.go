package wire

import "fmt"

// ProduceRequest walks a Produce request, versions 3 and later, where it lies:
// its byte slices alias the body, and nothing is allocated.
type ProduceRequest struct {
	// TransactionalID is nil if the producer has none.
	TransactionalID []byte
	Acks            int16
	TimeoutMillis   int32

	version int16
	topics  reader
}

const (
	produceFlexible = 9
	produceTopicIDs = 13
)

// ParseProduce checks that body is a whole Produce request, so that walking it
// cannot fail half-way.
func ParseProduce(body []byte, version int16) (ProduceRequest, error) {
	r := reader{b: body}
	flexible := version >= produceFlexible
	p := ProduceRequest{version: version}
	p.TransactionalID = r.bytes(flexible, true)
	p.Acks, p.TimeoutMillis = r.int16(), r.int32()
	p.topics = r

	w := p.Topics()
	for w.NextTopic() {
		for w.NextPartition() {
		}
	}
	r = w.r
	if flexible {
		r.tags()
	}
	if r.bad {
		return p, fmt.Errorf("%w: the body of a Produce request, version %d, %d bytes", ErrMalformed, version, len(body))
	}
	return p, nil
}

// Count returns how many topics the request has.
func (p *ProduceRequest) Count() int { return p.Topics().topics }

// Topics begins a walk.
func (p *ProduceRequest) Topics() ProduceWalk {
	w := ProduceWalk{version: p.version, r: p.topics}
	w.topics = w.r.count(w.flexible())
	return w
}

// ProduceWalk goes through the topics of a request, and through the partitions
// of each:
//
//	for w := req.Topics(); w.NextTopic(); {
//		for w.NextPartition() {
//		}
//	}
type ProduceWalk struct {
	// Name and ID are those of the topic; before version 13 there is no id,
	// from then on no name.
	Name []byte
	ID   [16]byte
	// Partitions is how many partitions of the topic are still to come.
	Partitions int
	// Partition and Records are those of the partition. Records are not
	// looked at; nil is null.
	Partition int32
	Records   []byte

	version int16
	r       reader
	topics  int
	inTopic bool
}

func (w *ProduceWalk) flexible() bool { return w.version >= produceFlexible }

// NextTopic moves to the next topic, whose partitions must then be gone
// through. It returns false at the end.
func (w *ProduceWalk) NextTopic() bool {
	if w.topics == 0 || w.r.bad {
		return false
	}
	w.topics--
	if w.version >= produceTopicIDs {
		w.ID = w.r.uuid()
	} else {
		w.Name = w.r.str(w.flexible())
	}
	w.Partitions = w.r.count(w.flexible())
	w.inTopic = !w.r.bad
	return w.inTopic
}

// NextPartition moves to the topic's next partition. It returns false at the
// end.
func (w *ProduceWalk) NextPartition() bool {
	if w.Partitions == 0 || w.r.bad {
		if w.inTopic && w.flexible() {
			w.r.tags()
		}
		w.inTopic = false
		return false
	}
	w.Partitions--
	w.Partition = w.r.int32()
	w.Records = w.r.bytes(w.flexible(), false)
	if w.flexible() {
		w.r.tags()
	}
	return !w.r.bad
}

// ProduceResponse appends a Produce response, versions 3 and later, part by
// part: Begin, for each topic Topic, its Partitions and EndTopic, then End.
type ProduceResponse struct{ Version int16 }

func (p ProduceResponse) flexible() bool { return p.Version >= produceFlexible }

// Begin appends what comes before the topics.
func (p ProduceResponse) Begin(dst []byte, topics int) []byte {
	return appendCount(dst, topics, p.flexible())
}

// Topic begins the topic that the walk is at.
func (p ProduceResponse) Topic(dst []byte, w *ProduceWalk) []byte {
	if p.Version >= produceTopicIDs {
		dst = append(dst, w.ID[:]...)
	} else {
		dst = appendString(dst, w.Name, p.flexible())
	}
	return appendCount(dst, w.Partitions, p.flexible())
}

// Leader is a hint at who leads a partition. Node -1: no hint.
type Leader struct{ Node, Epoch int32 }

// NoLeader is the absence of a hint.
var NoLeader = Leader{Node: -1, Epoch: -1}

// ProducedPartition is the answer for one partition.
type ProducedPartition struct {
	Partition     int32
	Code          int16
	BaseOffset    int64
	LogAppendTime int64
	LogStart      int64
	// BadRecords are the records that are the reason for an error (version 8).
	BadRecords []BadRecord
	// Message explains an error (version 8); empty is null.
	Message string
	// Leader is the hint that goes with NOT_LEADER_OR_FOLLOWER (version 10).
	Leader Leader
}

// BadRecord names a record of a batch, by its place in it, and says what is
// wrong with it.
type BadRecord struct {
	Index   int32
	Message string
}

// Partition appends the answer for one partition.
func (p ProduceResponse) Partition(dst []byte, a *ProducedPartition) []byte {
	dst = appendInt32(dst, a.Partition)
	dst = appendInt16(dst, a.Code)
	dst = appendInt64(dst, a.BaseOffset)
	dst = appendInt64(dst, a.LogAppendTime)
	if p.Version >= 5 {
		dst = appendInt64(dst, a.LogStart)
	}
	if p.Version >= 8 {
		dst = appendCount(dst, len(a.BadRecords), p.flexible())
		for _, r := range a.BadRecords {
			dst = appendInt32(dst, r.Index)
			dst = appendNullable(dst, r.Message, p.flexible())
			dst = p.noTags(dst)
		}
		dst = appendNullable(dst, a.Message, p.flexible())
	}
	if p.Version >= 10 && a.Leader.Node >= 0 {
		return appendLeader(append(dst, 1), 0, a.Leader)
	}
	return p.noTags(dst)
}

// EndTopic ends a topic.
func (p ProduceResponse) EndTopic(dst []byte) []byte { return p.noTags(dst) }

// End appends what comes after the topics. The nodes are those that the hints
// name (version 10).
func (p ProduceResponse) End(dst []byte, throttleMillis int32, nodes []Endpoint) []byte {
	dst = appendInt32(dst, throttleMillis)
	if p.Version >= 10 && len(nodes) > 0 {
		return appendEndpoints(append(dst, 1), 0, nodes)
	}
	return p.noTags(dst)
}

func (p ProduceResponse) noTags(dst []byte) []byte {
	if p.flexible() {
		return append(dst, 0)
	}
	return dst
}

// Endpoint is where a node can be reached.
type Endpoint struct {
	Node int32
	Host string
	Port int32
	Rack string // empty is null
}

// appendLeader appends a hint as the tagged field of number tag.
func appendLeader(dst []byte, tag uint32, l Leader) []byte {
	dst = appendUvarint(dst, tag)
	dst = appendUvarint(dst, 4+4+1)
	dst = appendInt32(dst, l.Node)
	dst = appendInt32(dst, l.Epoch)
	return append(dst, 0)
}

// appendEndpoints appends nodes as the tagged field of number tag.
func appendEndpoints(dst []byte, tag uint32, nodes []Endpoint) []byte {
	body := appendCount(nil, len(nodes), true)
	for _, n := range nodes {
		body = appendInt32(body, n.Node)
		body = appendString(body, n.Host, true)
		body = appendInt32(body, n.Port)
		body = appendNullable(body, n.Rack, true)
		body = append(body, 0)
	}
	dst = appendUvarint(dst, tag)
	dst = appendUvarint(dst, uint32(len(body)))
	return append(dst, body...)
}
