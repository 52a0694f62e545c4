package kafka

import (
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/kafka/wire"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/topic"
)

// Fetch, key 1, versions 4-18.
//
// Returns whole record batches as they are stored, from the offsets asked for,
// once min_bytes are there, an error is, or max_wait has passed. The first
// batch comes even if it is larger than every limit. Sessions are those of
// KIP-227. The leader epoch is checked (KIP-320), and a client that says of
// which epoch its last record is learns where its log and this one part
// (KIP-595). read_committed stops at the last stable offset and is told which
// transactions within the records were aborted.
//
// The wait begins when all earlier requests of the connection are answered.
// Known gaps: there is no nearer replica to send a client to; followers do not
// fetch this way.

// fetchCall is one Fetch request while it is answered. It is pooled.
type fetchCall struct {
	*call
	req         wire.FetchRequest
	incremental *fetchSession // the session that the request goes on with
	code        int16         // of the request as a whole
	parts       []fetchPart
	deadline    time.Duration // of the wait, on the monotonic clock
	minBytes    int
	maxBytes    int
	charged     int // bytes that the server's budget counts for this call

	// The methods below, bound once.
	answerFn, resumeFn step
	releaseFn          func()
}

// fetchPart is one partition of a request.
type fetchPart struct {
	fetchKey
	fetchWish
	// refused is the code that the partition gets unread: it is unknown, or
	// not the caller's to read.
	refused   int16
	partition *broker.Partition
	found     fetchFound
	known     bool // out of the answer: the client knows it all
}

// fetchFound is what reading a partition gave.
type fetchFound struct {
	code          int16
	highWatermark int64
	lastStable    int64
	logStart      int64
	diverges      bool
	diverging     wire.EpochEnd
	result        broker.Result
	// aborted are the transactions that read_committed leaves out of it.
	aborted []topic.Aborted
}

func (s *Server) fetchCall() *fetchCall {
	if f, ok := s.fetchCalls.Get().(*fetchCall); ok {
		return f
	}
	f := &fetchCall{}
	f.answerFn, f.resumeFn, f.releaseFn = f.answer, f.resume, f.recycle
	return f
}

func fetch(c *call) {
	req, err := wire.ParseFetch(c.body, c.header.Version)
	if err != nil {
		c.fail(err)
		return
	}
	f := c.server.fetchCall()
	f.call, f.req, f.incremental, f.code = c, req, nil, errNone
	c.release = f.releaseFn
	f.maxBytes = min(max(int(req.MaxBytes), 0), maxFetchBytes)
	f.minBytes = min(int(req.MinBytes), f.maxBytes)
	wait := time.Duration(max(req.MaxWaitMillis, 0)) * time.Millisecond
	f.deadline = c.server.opts.Clock.Mono() + wait
	f.open()
	if f.code != errNone || f.read() || wait == 0 || c.pipe.stopped() {
		c.then(f.answerFn)
		return
	}
	c.write = f.resumeFn
	f.wait(wait)
}

// open finds out what is to be fetched: from the request or from its session.
func (f *fetchCall) open() {
	s := f.server.sessions
	if f.req.SessionEpoch == initialEpoch || f.req.SessionEpoch == finalEpoch {
		if f.req.SessionID != sessionless {
			s.close(f.req.SessionID)
		}
		for w := f.req.Topics(); w.NextTopic(); {
			name := f.name(w.Name)
			for w.NextPartition() {
				f.part(fetchKey{name, w.ID, w.Partition}, wishOf(&w))
			}
		}
		f.resolve()
		return
	}
	session := s.get(f.req.SessionID)
	if session == nil {
		f.code = errFetchSessionIDNotFound
		return
	}
	session.mu.Lock()
	defer session.mu.Unlock()
	if f.code = session.check(f.req.SessionEpoch, f.header.Version >= firstTopicIDVersion); f.code != errNone {
		return
	}
	session.update(&f.req)
	if session.order.Len() == 0 {
		s.close(session.id)
		return
	}
	if !s.touch(session, f.server.opts.Clock.Mono(), session.order.Len()) {
		f.code = errFetchSessionIDNotFound
		return
	}
	session.epoch = nextEpoch(session.epoch)
	f.incremental = session
	for e := session.order.Front(); e != nil; e = e.Next() {
		entry := e.Value.(*fetchEntry)
		f.part(entry.fetchKey, entry.fetchWish)
	}
	f.resolve()
}

func (f *fetchCall) part(key fetchKey, wish fetchWish) {
	if len(f.parts) < cap(f.parts) {
		f.parts = f.parts[:len(f.parts)+1]
	} else {
		f.parts = append(f.parts, fetchPart{})
	}
	p := &f.parts[len(f.parts)-1]
	p.fetchKey, p.fetchWish = key, wish
	p.refused, p.partition, p.known = errNone, nil, false
}

// resolve finds the partitions and asks whether they may be read.
func (f *fetchCall) resolve() {
	var topic *broker.Topic
	var refused int16
	for i := range f.parts {
		p := &f.parts[i]
		if i == 0 || p.name != f.parts[i-1].name || p.id != f.parts[i-1].id {
			topic, refused = f.topic(p.fetchKey)
		}
		p.refused = refused
		if refused != errNone {
			continue
		}
		if p.number < 0 || int(p.number) >= len(topic.Partitions) {
			p.refused = errUnknownTopicOrPartition
			continue
		}
		p.partition = topic.Partitions[p.number]
	}
}

// topic finds a topic, or the code to refuse it with.
func (f *fetchCall) topic(key fetchKey) (t *broker.Topic, refused int16) {
	name := key.name
	if f.header.Version >= firstTopicIDVersion {
		if t = f.server.opts.Broker.TopicByID(key.id); t == nil {
			return nil, f.unknown()
		}
		name = t.Name
	}
	if !f.allows(access.Consume, access.Topic, name) {
		return nil, errTopicAuthorizationFailed
	}
	if t == nil {
		t = f.server.opts.Broker.Topic(name)
	}
	if t == nil {
		return nil, f.unknown()
	}
	return t, errNone
}

// firstTopicIDVersion is the first that names topics by their ids, in requests
// and answers.
const firstTopicIDVersion = 13

// unknown is the code for a topic that does not exist.
func (f *fetchCall) unknown() int16 {
	if f.header.Version >= firstTopicIDVersion {
		return errUnknownTopicID
	}
	return errUnknownTopicOrPartition
}

// read reads all partitions, and reports whether there is an answer to give:
// enough bytes, an error that only reading could show, or nothing to wait for.
func (f *fetchCall) read() (ready bool) {
	f.charge(0)
	maxBytes := f.server.outbound.grant(f.maxBytes)
	f.charged = maxBytes
	size, readable := 0, 0
	for i := range f.parts {
		p := &f.parts[i]
		p.found.result.Release()
		p.found = fetchFound{code: p.refused, highWatermark: -1, lastStable: -1, logStart: -1, result: p.found.result, aborted: p.found.aborted[:0]}
		if p.refused != errNone {
			continue
		}
		readable++
		f.readPart(p, maxBytes-size, size == 0)
		size += p.found.result.Size
		// Of what is there and was not taken the client need not wait for.
		ready = ready || p.found.code != errNone || p.found.diverges || p.found.result.More
	}
	f.charge(size)
	return ready || readable == 0 || size >= min(f.minBytes, maxBytes)
}

// charge makes the server's budget count n bytes for this call.
func (f *fetchCall) charge(n int) {
	f.server.outbound.add(n - f.charged)
	f.charged = n
}

// readPart reads one partition, at most left bytes of it, unless first says
// that the first batch is to come whatever its size.
func (f *fetchCall) readPart(p *fetchPart, left int, first bool) {
	a := &p.found
	if a.code = f.checkEpoch(p.partition, p.leaderEpoch); a.code != errNone {
		if a.code == errUnknownTopicOrPartition {
			a.code = f.unknown() // deleted while the call waited
		}
		return
	}
	// The floor first: it never rises above a high watermark read after it.
	floor, stable, high := p.partition.Floor(), p.partition.LastStable(), p.partition.HighWatermark()
	if p.lastEpoch >= 0 {
		if a.code = f.diverging(p); a.code != errNone {
			return
		}
	}
	from := record.Offset(p.offset)
	if from < floor || from > high && !a.diverges {
		a.code, a.diverges = errOffsetOutOfRange, false
		return
	}
	a.highWatermark, a.lastStable, a.logStart = int64(high), int64(stable), int64(floor)
	limit := high
	if f.committed() {
		limit = stable
	}
	budget := min(int(p.maxBytes), left)
	if a.diverges || from >= limit || budget <= 0 && !first {
		return
	}
	if err := p.partition.Read(&a.result, from, limit, budget, first); err != nil {
		a.code = codeOf(err)
		a.highWatermark, a.lastStable, a.logStart = -1, -1, -1
		return
	}
	if f.committed() && a.result.Size > 0 {
		a.aborted = p.partition.Aborted(a.aborted, from, a.result.Next)
	}
}

func (f *fetchCall) committed() bool { return f.req.Isolation == 1 }

// diverging finds out whether the client's log and this one have parted before
// the offset that it asks for.
func (f *fetchCall) diverging(p *fetchPart) (code int16) {
	epoch, end := p.partition.EpochEnd(record.Epoch(p.lastEpoch))
	if epoch < 0 || end < 0 {
		return errOffsetOutOfRange
	}
	if int32(epoch) < p.lastEpoch || int64(end) < p.offset {
		p.found.diverges = true
		p.found.diverging = wire.EpochEnd{Epoch: int32(epoch), EndOffset: int64(end)}
	}
	return errNone
}

// wait lets the call sleep until there is more, or the time is over.
func (f *fetchCall) wait(timeout time.Duration) {
	s := f.session
	if s.waiter == nil {
		s.waiter = f.server.opts.Broker.NewWaiter(f.pipe.wake)
	}
	size := 0
	interests := s.interests[:0]
	for i := range f.parts {
		p := &f.parts[i]
		size += p.found.result.Size
		if p.refused != errNone {
			continue
		}
		seen := p.found.highWatermark
		if f.committed() {
			seen = p.found.lastStable
		}
		interests = append(interests, broker.Interest{
			Partition: p.partition, Seen: record.Offset(seen), Stable: f.committed(),
		})
	}
	s.interests = interests
	f.pipe.poll(f.call)
	s.waiter.Wait(interests, max(f.minBytes-size, 1), timeout)
}

// resume goes on after a wait. A server that stops does not wait longer.
func (f *fetchCall) resume(c *call, out *wire.Output) bool {
	left := f.deadline - f.server.opts.Clock.Mono()
	if !f.read() && left > 0 && !f.pipe.stopped() {
		f.wait(left)
		return false
	}
	return f.answer(c, out)
}

// answer writes the response.
func (f *fetchCall) answer(c *call, out *wire.Output) bool {
	id := f.settleSession()
	topics := 0
	f.topics(func([]fetchPart) { topics++ })
	enc := wire.FetchResponse{Version: c.header.Version}
	m := c.beginResponse(out)
	enc.Begin(out, 0, f.code, id, topics)
	astray := false
	f.topics(func(parts []fetchPart) {
		n := 0
		for i := range parts {
			if !parts[i].known {
				n++
			}
		}
		enc.Topic(out, parts[0].name, parts[0].id, n)
		for i := range parts {
			if !parts[i].known {
				a := f.fetched(&parts[i])
				astray = astray || a.Leader.Node >= 0
				enc.Partition(out, &a)
			}
		}
		enc.EndTopic(out)
	})
	var nodes []wire.Endpoint
	if astray {
		nodes = c.endpoints()
	}
	enc.End(out, nodes)
	out.End(m)
	return true
}

// topics calls fn for each stretch of parts that belong to one topic and of
// which at least one is in the answer.
func (f *fetchCall) topics(fn func(parts []fetchPart)) {
	for rest := f.parts; len(rest) > 0; {
		n, in := 0, false
		for n < len(rest) && rest[n].name == rest[0].name && rest[n].id == rest[0].id {
			in = in || !rest[n].known
			n++
		}
		if in {
			fn(rest[:n])
		}
		rest = rest[n:]
	}
}

// settleSession begins a session if the request asks for one, or notes in the
// one there is what its client is told. It returns the id for the answer.
func (f *fetchCall) settleSession() (id int32) {
	switch {
	case f.code != errNone:
		return sessionless
	case f.incremental != nil:
		f.incremental.mu.Lock()
		defer f.incremental.mu.Unlock()
		for i := range f.parts {
			p := &f.parts[i]
			p.known = !f.incremental.told(p.fetchKey, &p.found)
		}
		return f.incremental.id
	case f.req.SessionEpoch != initialEpoch:
		return sessionless
	}
	s := f.server.sessions.create(f.server.opts.Clock.Mono(), len(f.parts), f.header.Version >= firstTopicIDVersion)
	if s == nil {
		return sessionless
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range f.parts {
		p := &f.parts[i]
		s.put([]byte(p.name), p.id, p.number, p.fetchWish)
		s.told(p.fetchKey, &p.found)
	}
	return s.id
}

// fetched returns what the response says of one partition.
func (f *fetchCall) fetched(p *fetchPart) wire.FetchedPartition {
	a := wire.FetchedPartition{
		Partition:     p.number,
		Code:          p.found.code,
		HighWatermark: p.found.highWatermark,
		LastStable:    p.found.lastStable,
		LogStart:      p.found.logStart,
		Leader:        wire.NoLeader,
		Records:       p.found.result.Buffers,
		Size:          p.found.result.Size,
	}
	if f.committed() {
		a.Aborted = noneAborted
		for _, t := range p.found.aborted {
			a.Aborted = append(a.Aborted, wire.AbortedTransaction{ProducerID: t.Producer, FirstOffset: int64(t.First)})
		}
	}
	if p.found.diverges {
		a.Diverging = &p.found.diverging
	}
	if f.header.Version >= 16 && (a.Code == errNotLeaderOrFollower || a.Code == errFencedLeaderEpoch) {
		a.Leader = leaderOf(p.partition)
	}
	return a
}

// noneAborted is what read_committed gets: a list that is empty, not null.
var noneAborted = []wire.AbortedTransaction{}

// recycle gives back the record bytes, and the call to the pool.
func (f *fetchCall) recycle() {
	for i := range f.parts {
		f.parts[i].found.result.Release()
		f.parts[i].partition = nil
	}
	f.charge(0)
	pool := &f.server.fetchCalls
	f.call, f.incremental = nil, nil
	if cap(f.parts) <= maxPooledParts {
		f.parts = f.parts[:0]
		pool.Put(f)
	}
}
