package amqp

import (
	"math"
	"slices"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
	"github.com/polylog-mq/polylog/internal/record"
)

// Streams: a queue that was declared with x-queue-type=stream is a log that
// consumers read, each from where it wants to, and take nothing from. So is a
// topic of another protocol for a consumer that says x-stream-offset.
//
// A consumer needs a prefetch count, and acknowledgements, which do nothing but
// make room for more. There is no basic.get, purge, nack or reject (540).

// Arguments of basic.consume, and headers, of streams.
const (
	argOffset     = "x-stream-offset"
	argFilter     = "x-stream-filter"
	argUnfiltered = "x-stream-match-unfiltered"
	// headerFilter is the header of a message that x-stream-filter chooses by.
	headerFilter = "x-stream-filter-value"
)

// notOfStreams refuses what can be done with queues alone.
func notOfStreams(what string, q *broker.Queue) *fault {
	return refuse(codeNotImplemented, "%s not supported by stream queues queue '%s' in vhost '%s'", what, q.Name(), q.Tenant())
}

// readsAsStream reports whether a consumer is to read a log and take nothing from
// it.
func readsAsStream(q *broker.Queue, args wire.Table) bool {
	if q.Definition() != nil {
		return q.IsStream()
	}
	_, ok := args.Get(argOffset)
	return ok
}

// consumeStream begins a consumer of a stream. It is answered before its first
// delivery.
func (ch *channel) consumeStream(queues []*broker.Queue, m *wire.BasicConsume, tag, where string) error {
	q := queues[0]
	_, priority := m.Arguments.Get("x-priority")
	ch.mu.Lock()
	limit, consumers := ch.limit, len(ch.consumers)
	ch.mu.Unlock()
	switch {
	case len(queues) > 1:
		return refuse(codePreconditionFailed, "invalid arg '%s' for %s: a topic of %d partitions has no one order", argOffset, where, len(queues))
	case priority:
		return refuse(codePreconditionFailed, "invalid arg 'x-priority' for %s of queue type rabbit_stream_queue", where)
	case ch.prefetch == 0:
		return refuse(codePreconditionFailed, "consumer prefetch count is not set for '%s'", where)
	case limit > 0:
		return refuse(codeNotImplemented, "%s does not support global qos", where)
	case m.NoAck:
		return notOfStreams("automatic acknowledgement", q)
	case consumers >= maxConsumers:
		return refuse(codeNotAllowed, "reached maximum (%d) of consumers per channel", maxConsumers)
	}
	s := &stream{}
	if err := s.choose(m.Arguments, where); err != nil {
		return err
	}
	from, err := streamStart(q, m.Arguments, where, ch.now())
	if err != nil {
		return err
	}
	c := &consumer{ch: ch, tag: []byte(tag), queue: q, prefetch: ch.prefetch, stream: s}
	c.asked(m)
	s.reader = q.Read(from)
	s.waiter = ch.server.opts.Broker.NewWaiter(func() { ch.streamer.add(c) })
	ch.mu.Lock()
	ch.consumers[tag] = c
	ch.mu.Unlock()
	if !m.NoWait {
		ch.reply(&wire.BasicConsumeOk{ConsumerTag: c.tag})
	}
	ch.streamer.begin(c)
	return nil
}

// streamStart returns where a consumer begins to read. now is in ms.
func streamStart(q *broker.Queue, args wire.Table, where string, now int64) (record.Offset, error) {
	p := q.Partition()
	v, ok := args.Get(argOffset)
	if !ok {
		return p.LastStable(), nil
	}
	if n, ok := v.Int(); ok {
		return record.Offset(max(n, 0)), nil
	}
	if sec, ok := v.Timestamp(); ok {
		return offsetAt(q, int64(min(sec, math.MaxInt64/1000))*1000)
	}
	s, ok := v.Str()
	switch string(s) {
	case "first":
		return p.Floor(), nil
	case "last":
		return q.Last() //nolint:wrapcheck // it says what was being done
	case "next":
		return p.LastStable(), nil
	}
	if age, isAge := broker.ParseAge(string(s)); ok && isAge {
		return offsetAt(q, now-age)
	}
	return 0, refuse(codePreconditionFailed, "invalid arg '%s' for %s: {invalid_stream_offset_arg,{%s,<<%q>>}}", argOffset, where, typeName(v.Tag), v.Raw)
}

// offsetAt returns the first offset that is not older than a time in ms.
func offsetAt(q *broker.Queue, ms int64) (record.Offset, error) {
	p := q.Partition()
	end := p.LastStable()
	found, err := p.OffsetForTime(ms, end)
	if err != nil || found.Offset < 0 {
		return end, err //nolint:wrapcheck // it says what was being done
	}
	return found.Offset, nil
}

// stream is how a consumer reads a log. It belongs to the streamer's goroutine
// once the consumer has begun.
type stream struct {
	reader *broker.Reader
	waiter *broker.Waiter
	// filters are the values of headerFilter that are wanted, all if there are
	// none; unfiltered says that messages without are wanted too.
	filters    []string
	unfiltered bool
	table      wire.Table // see stamp
	stamped    []byte

	queued bool // guarded by the streamer's mu
}

// choose reads which messages a consumer wants.
func (s *stream) choose(args wire.Table, where string) error {
	if v, ok := args.Get(argUnfiltered); ok {
		if s.unfiltered, ok = v.Bool(); !ok {
			return refuse(codePreconditionFailed, "invalid arg '%s' for %s: {unacceptable_type,%s}", argUnfiltered, where, typeName(v.Tag))
		}
	}
	v, ok := args.Get(argFilter)
	if !ok {
		return nil
	}
	if text, ok := v.Str(); ok {
		s.filters = []string{string(text)}
		return nil
	}
	for e := range v.Elements() {
		text, ok := e.Str()
		if !ok || len(s.filters) == maxFilters {
			s.filters = nil
			break
		}
		s.filters = append(s.filters, string(text))
	}
	if len(s.filters) == 0 {
		return refuse(codePreconditionFailed, "invalid arg '%s' for %s: a string, or an array of 1 to %d strings", argFilter, where, maxFilters)
	}
	return nil
}

// wants reports whether the consumer is to get a record.
func (s *stream) wants(r *record.Record) bool {
	if len(s.filters) == 0 {
		return true
	}
	value, ok := r.Headers.Get(headerFilter)
	if !ok {
		return s.unfiltered
	}
	return slices.Contains(s.filters, string(value))
}

// appendStreamed appends a delivery to what goes out; the channel's mu is held.
func (c *consumer) appendStreamed(b []byte, r *record.Record) []byte {
	ch := c.ch
	m := c.convert.fromRecord(r, c.queue.Name())
	if m.dead {
		history, _ := broker.Deaths(r) // what cannot be read is somebody else's
		c.convert.annotate(&m, history, 0)
	}
	c.stream.stamp(&m, r.Offset)
	c.unacked++
	ch.counted++
	return c.sendLocked(b, &m, false, ch.unacked.add(delivery{consumer: c, live: true}))
}

// stamp writes a message's offset into its headers.
func (s *stream) stamp(m *message, o record.Offset) {
	var p wire.Properties
	if p.Parse(m.properties) != nil {
		p = wire.Properties{} // of another origin
	}
	s.table = p.Headers.Without(s.table[:0], argOffset).AppendInt(argOffset, int64(o))
	p.Flags |= wire.HasHeaders
	p.Headers = s.table
	s.stamped = p.AppendTo(s.stamped[:0])
	m.properties = s.stamped
}

// leave ends a consumer that its channel knows no more.
func (c *consumer) leave() {
	c.stream.reader.Leave()
	c.ch.streamer.add(c)
}
