package kafka

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/kafka/wire"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/topic"
	"github.com/polylog-mq/polylog/internal/state/txn"
)

// Produce, key 0, versions 3-13.
//
// Appends one record batch to each partition named, and answers for each when
// it is committed: synced here and by a majority. acks=1 is answered like
// acks=all, since offset and sequence verdict are known only then; acks=0 is
// not answered, and an error then ends the connection, which is how Kafka tells
// such a producer to look around. Requests of one connection are under way
// together and are appended in their order.
//
// A batch is checked by its header alone; what is inside is looked at only
// where a rule of the topic needs it (docs/adr, "decompression").
//
// Versions 0-2, which carry message formats from before Kafka 0.11, end the
// connection. They are advertised all the same: librdkafka before 2.11 takes
// their absence for a broker that cannot compress (KAFKA-18659).
//
// A batch of a transaction is taken if its partition is part of that; from version
// 12 (KIP-890) the first batch makes it so.
// Known gaps: the request's timeout is not obeyed: an answer comes when the
// outcome is known, which without a majority may be never.

// produceCall is one Produce request while it is under way. It is pooled, with
// all that hangs on it: the steady path allocates nothing here.
type produceCall struct {
	*call
	req   wire.ProduceRequest
	parts []*producePart // in the request's order
	used  int            // how many of parts
	// pending counts the batches without a verdict, and one for the handler.
	pending atomic.Int32
	quiet   bool        // the broker is to be helped
	kept    atomic.Bool // the request's bytes may be written after its answer

	// The methods below, bound once.
	answerFn  step
	releaseFn func()
}

// producePart is the part of a request that is about one partition.
type producePart struct {
	broker.Append
	owner     *produceCall
	partition *broker.Partition // nil if it is not known
	number    int32
	joins     bool // the partition becomes part of the transaction by it
	code      int16
	message   string
}

func (s *Server) produceCall() *produceCall {
	if p, ok := s.produceCalls.Get().(*produceCall); ok {
		return p
	}
	p := &produceCall{}
	p.answerFn, p.releaseFn = p.answer, p.recycle
	return p
}

const (
	acksNone = 0
	acksOne  = 1
	acksAll  = -1
)

// firstZstdVersion is the first that may carry zstd (KIP-110).
const firstZstdVersion = 7

func produce(c *call) {
	req, err := wire.ParseProduce(c.body, c.header.Version)
	if err != nil {
		c.fail(err)
		return
	}
	p := c.server.produceCall()
	p.call, p.req, p.used = c, req, 0
	c.release, c.prompt = p.releaseFn, true
	p.pending.Store(1)
	for w := req.Topics(); w.NextTopic(); {
		topic, refusal := p.topic(&w)
		for w.NextPartition() {
			part := p.part()
			part.number = w.Partition
			if refusal != errNone {
				part.refuse(refusal, nil)
				continue
			}
			p.begin(part, topic, w.Records)
		}
	}
	p.help()
	if p.pending.Add(-1) == 0 {
		p.write = p.answerFn
		p.pipe.readyHere(p.call)
	}
}

// helps reports whether the reader may as well write the log itself: it has
// nothing else to do, since the client sends one request at a time.
func (p *produceCall) helps() bool {
	return !p.hasty && p.req.Count() == 1 && len(p.frame.B) <= mostHelped && p.pipe.only()
}

// help helps the broker if that was promised. A client for which that has not
// been the thing to do for a while is better read together with others.
func (p *produceCall) help() {
	quiet := p.quiet
	p.quiet = false
	switch s := p.session; {
	case quiet && s.server.opts.Broker.Help():
		s.patience = mostPatience
	case s.patience > 0:
		s.patience--
	}
}

// topic finds the topic that the walk is at, or the code to refuse it with.
func (p *produceCall) topic(w *wire.ProduceWalk) (t *broker.Topic, refusal int16) {
	var name string
	if p.header.Version >= 13 {
		if t = p.server.opts.Broker.TopicByID(w.ID); t == nil {
			return nil, errUnknownTopicID
		}
		name = t.Name
	} else {
		name = p.name(w.Name)
	}
	switch {
	case !p.allows(access.Produce, access.Topic, name):
		return nil, errTopicAuthorizationFailed
	case isInternal(name):
		return nil, errInvalidTopic
	case p.req.Acks != acksNone && p.req.Acks != acksOne && p.req.Acks != acksAll:
		return nil, errInvalidRequiredAcks
	case t != nil:
		return t, errNone
	}
	if t = p.server.opts.Broker.Topic(name); t == nil {
		return nil, errUnknownTopicOrPartition
	}
	return t, errNone
}

// part returns the next free part.
func (p *produceCall) part() *producePart {
	if p.used == len(p.parts) {
		part := &producePart{owner: p}
		part.Done, part.Lent = part.done, true
		p.parts = append(p.parts, part)
	}
	part := p.parts[p.used]
	p.used++
	part.partition, part.code, part.message = nil, errNone, ""
	return part
}

// begin checks a batch and hands it to its partition.
func (p *produceCall) begin(part *producePart, t *broker.Topic, records []byte) {
	if part.number < 0 || int(part.number) >= len(t.Partitions) {
		part.refuse(errUnknownTopicOrPartition, nil)
		return
	}
	h, err := record.Validate(records, record.Checks{MaxSize: int(t.Settings.MaxMessageBytes), Produced: true})
	switch {
	case err != nil:
		part.refuse(codeOf(err), err)
	case h.Codec() == record.Zstd && p.header.Version < firstZstdVersion:
		part.refuse(errUnsupportedCompression, errOldZstd)
	case h.Transactional() && !p.mayTransact():
		part.refuse(errTransactionalIDAuthFailed, nil)
	default:
		p.pending.Add(1)
		part.partition = t.Partitions[part.number]
		part.Batch = records
		part.joins = h.Transactional() && p.header.Version >= implicitVersion
		if p.hasty && (len(p.slow) > 0 || looksInside(t.Settings, h)) {
			p.slow = append(p.slow, part)
			return
		}
		if p.quiet = !part.joins && p.helps(); p.quiet {
			part.partition.AppendQuietly(&part.Append)
			return
		}
		part.append()
	}
}

// append hands the batch to its partition.
func (part *producePart) append() {
	if part.joins {
		part.partition.AppendIn(&part.Append, part.owner.name(part.owner.req.TransactionalID))
		return
	}
	part.partition.Append(&part.Append)
}

// looksInside reports whether the batch will be decompressed, or compressed, on
// its way in: a small one may be large inside.
func looksInside(s *topic.Settings, h record.Header) bool {
	return s.Compact && h.Codec() != record.None || s.Recompress && h.Codec() != s.Codec
}

// implicitVersion is the first by which a batch makes its partition part of the
// transaction (KIP-890).
const implicitVersion = 12

// mayTransact reports whether the request names a transactional id that the caller
// may use.
func (p *produceCall) mayTransact() bool {
	return p.req.TransactionalID != nil && p.allows(access.Produce, access.TransactionalID, p.name(p.req.TransactionalID))
}

var errOldZstd = fmt.Errorf("zstd needs version %d of the Produce request", firstZstdVersion)

// refuse settles a part that never got to its partition.
func (part *producePart) refuse(code int16, err error) {
	part.code = code
	part.Base, part.LogAppendTime, part.Floor = -1, -1, -1
	if err != nil {
		part.message = err.Error()
	}
}

// done takes the partition's verdict, on the shard's loop.
func (part *producePart) done(a *broker.Append) {
	if a.Err != nil {
		part.refuse(producedCode(a.Err), a.Err)
		if errors.Is(a.Err, broker.ErrUnknownFate) {
			part.owner.kept.Store(true)
		}
	}
	a.Batch = nil
	part.owner.settled()
}

// producedCode is codeOf for batches: a producer that its coordinator has fenced
// hears so in the words of the log.
func producedCode(err error) int16 {
	if errors.Is(err, txn.ErrFenced) {
		return errInvalidProducerEpoch
	}
	return codeOf(err)
}

// settled counts one verdict; the last one makes the call ready.
func (p *produceCall) settled() {
	if p.pending.Add(-1) == 0 {
		p.then(p.answerFn)
	}
}

// answer writes the response.
func (p *produceCall) answer(c *call, out *wire.Output) bool {
	if p.kept.Load() {
		c.frame.Abandon()
	}
	if p.req.Acks == acksNone {
		c.failure = p.unheard()
		return true
	}
	enc := wire.ProduceResponse{Version: c.header.Version}
	m := c.beginResponse(out)
	b := enc.Begin(out.B, p.req.Count())
	next, astray := 0, false
	for w := p.req.Topics(); w.NextTopic(); {
		b = enc.Topic(b, &w)
		for w.NextPartition() {
			a := p.parts[next].answer()
			if a.Code == errInvalidRecord {
				a.BadRecords = p.parts[next].keyless(w.Records)
			}
			astray = astray || a.Leader.Node >= 0
			b = enc.Partition(b, &a)
			next++
		}
		b = enc.EndTopic(b)
	}
	var nodes []wire.Endpoint
	if astray {
		nodes = c.endpoints()
	}
	out.B = enc.End(b, 0, nodes)
	out.End(m)
	return true
}

// unheard returns an error if anything went wrong with a request that wants no
// answer.
func (p *produceCall) unheard() error {
	for _, part := range p.parts[:p.used] {
		if part.code != errNone {
			return fmt.Errorf("produce without acks failed with code %d: %s", part.code, part.message)
		}
	}
	return nil
}

// answer returns what the response says of one partition.
func (part *producePart) answer() wire.ProducedPartition {
	a := wire.ProducedPartition{
		Partition:     part.number,
		Code:          part.code,
		BaseOffset:    int64(part.Base),
		LogAppendTime: part.LogAppendTime,
		LogStart:      int64(part.Floor),
		Message:       part.message,
		Leader:        wire.NoLeader,
	}
	if part.code == errNotLeaderOrFollower {
		a.Leader = leaderOf(part.partition)
	}
	return a
}

// keyless names the records of a refused batch that lack the key that a
// compacted topic needs.
func (part *producePart) keyless(batch []byte) (bad []wire.BadRecord) {
	if part.partition == nil {
		return nil
	}
	if s := part.partition.Settings(); s == nil || !s.Compact {
		return nil
	}
	index := int32(0)
	err := record.Records(batch, func(r record.Record) error {
		if r.Key == nil {
			bad = append(bad, wire.BadRecord{Index: index, Message: "a record of a compacted topic needs a key"})
		}
		if index++; len(bad) == maxBadRecords {
			return record.SkipRest
		}
		return nil
	})
	if err != nil {
		return nil
	}
	return bad
}

// recycle puts the call's parts back in the pool. All verdicts are in.
func (p *produceCall) recycle() {
	for _, part := range p.parts[:p.used] {
		part.partition, part.Err, part.message = nil, nil, ""
	}
	pool := &p.server.produceCalls
	p.kept.Store(false)
	p.call = nil
	pool.Put(p)
}
