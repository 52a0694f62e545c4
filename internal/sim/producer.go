package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
)

// maxRecordSize bounds what one record takes of a batch.
const maxRecordSize = 1200

// stream is a producer and one partition that it writes to. With an id it sends
// again, in order, what was not acknowledged, as clients do; without one it
// sends everything once.
type stream struct {
	w       *world
	name    string
	topic   *topicPlan
	part    int32
	plain   bool
	id      int64 // -1 until a node has given it one
	seq     int32
	window  int
	under   []*batch // not acknowledged, in order
	records int
	batches int
	target  *node
	ending  bool
	resting bool // waits before it sends again
	// last is the offset of the record acknowledged last, and the life that did.
	last struct {
		order  int
		offset record.Offset
	}
}

// batch is what one request carries.
type batch struct {
	s      *stream
	number int    // within the stream
	first  uint64 // id of its first record
	n      int
	bytes  []byte
	// flying says that an answer is awaited, failed that it must go again.
	flying, failed bool
	tries          int
}

func (s *stream) begin() {
	s.last.offset = -1
	s.w.after(around(s.w.clients, s.w.o.Pace), s.tick)
}

func (s *stream) finish() {
	s.ending = true
	if s.plain {
		s.under = nil
	}
}

func (s *stream) busy() string {
	if len(s.under) > 0 {
		return fmt.Sprintf("%s waits for %d batches", s.name, len(s.under))
	}
	return ""
}

// tick sends something new, if the window is open.
func (s *stream) tick() {
	if s.ending {
		return
	}
	s.w.after(around(s.w.clients, s.w.o.Pace), s.tick)
	switch {
	case s.id < 0 && !s.plain:
		s.askID()
	case s.resting:
	case len(s.under) == 0, s.batches-s.under[0].number < s.window:
		// A node remembers the last five batches: the one waiting longest must
		// stay among them, whichever of the others are acknowledged.
		b := s.make()
		s.under = append(s.under, b)
		s.transmit(b)
	}
}

func (s *stream) askID() {
	s.w.ask(s.w.leader(record.MetadataShard), 0, func(b *broker.Broker, reply func(func())) {
		b.AllocateProducerID(func(id int64, err error) {
			reply(func() {
				if err == nil && s.id < 0 {
					s.w.note("%s is producer %d", s.name, id)
					s.w.takeID(id, s)
				} else if err != nil && !isTransient(err) {
					s.w.fail("%s gets no producer id: %v", s.name, err)
				}
			})
		})
	}, func() {})
}

// takeID gives a stream its producer id, which nobody else may have.
func (w *world) takeID(id int64, s *stream) {
	for _, a := range w.actors {
		if o, ok := a.(*stream); ok && o.id == id {
			w.fail("%s and %s have the same producer id %d", s.name, o.name, id)
		}
	}
	s.id = id
}

// make builds a batch of new records.
func (s *stream) make() *batch {
	w := s.w
	h := record.Template(record.None)
	if w.clients.IntN(8) == 0 {
		h = record.Template(record.LZ4)
	}
	if !s.plain {
		h.ProducerID, h.ProducerEpoch, h.BaseSequence = s.id, 0, s.seq
	}
	b := &batch{s: s, number: s.batches, n: 1 + w.clients.IntN(4), first: uint64(len(w.records))}
	if s.batches%16 == 4 {
		b.n = 40 // large enough to go into the log from where it lies
	}
	var builder record.Builder
	builder.Reset(h)
	now := w.clock.Now().UnixMilli()
	for range b.n {
		r := record.Record{Timestamp: now, Key: []byte(s.name), Value: make([]byte, 8+w.clients.IntN(maxRecordSize/2))}
		id := w.send(s)
		if s.topic.compacted {
			w.sendKeyed(id, &r)
		}
		mark(&r, id)
		builder.Add(r)
	}
	bytes, err := builder.AppendTo(nil)
	if err != nil {
		panic(err)
	}
	b.bytes = bytes
	s.batches++
	s.seq = record.AddSequence(s.seq, int32(b.n))
	return b
}

// transmit sends a batch to whom the producer takes for the leader.
func (s *stream) transmit(b *batch) {
	if s.target == nil {
		s.target = s.w.whoLeads(s.topic.name, s.part)
	}
	b.flying, b.failed = true, false
	if b.tries++; b.tries > 1 {
		s.w.cover.Resent++
	}
	n := s.target
	s.w.ask(n, 0, func(br *broker.Broker, reply func(func())) {
		p := partitionAt(br, s.topic.name, s.part)
		if p == nil {
			reply(func() { s.answer(b, nil, -1, broker.ErrNotLeader) })
			return
		}
		l := s.w.log(p.ID(), s.topic, s.part)
		if p.Leader() == n.id {
			s.w.leaderHigh(l, n, p.Epoch(), p.HighWatermark())
		}
		p.Append(&broker.Append{Batch: slices.Clone(b.bytes), Lent: true, Done: func(a *broker.Append) {
			if !is(a.Err, broker.ErrUnknownFate) {
				clear(a.Batch) // its memory is used again
			}
			base, err, high, epoch := a.Base, a.Err, p.HighWatermark(), p.Epoch()
			if err == nil && high < base+record.Offset(b.n) && !n.process.over() {
				s.w.fail("node %d acknowledges offsets up to %d of %s with high watermark %d", n.id, base+record.Offset(b.n), l.name, high)
			}
			reply(func() {
				if err == nil && base+record.Offset(b.n) > l.high {
					l.high, l.epoch = base+record.Offset(b.n), max(l.epoch, epoch)
				}
				s.answer(b, l, base, err)
			})
		}})
	}, func() { s.answer(b, nil, -1, broker.ErrUnknownFate) })
}

// answer takes the outcome of a batch.
func (s *stream) answer(b *batch, l *partitionLog, base record.Offset, err error) {
	b.flying = false
	at := slices.Index(s.under, b)
	if at < 0 {
		return
	}
	s.w.note("%s: batch of record %d: offset %d, %v", s.name, b.first, base, err)
	switch {
	case err == nil:
		s.under = slices.Delete(s.under, at, at+1)
		s.acked(b, l, base)
	case s.plain:
		s.under = slices.Delete(s.under, at, at+1)
		s.given(b, err)
	case isTransient(err) || is(err, broker.ErrOutOfOrderSequence) && at > 0:
		b.failed = true
	default:
		s.w.fail("%s: the batch of record %d, sent %d times, is refused: %v", s.name, b.first, b.tries, err)
	}
	if b.failed {
		s.target = nil
	}
	s.resend()
}

// resend sends everything that failed again, in order, once nothing is under
// way any more.
func (s *stream) resend() {
	failed := slices.ContainsFunc(s.under, func(b *batch) bool { return b.failed })
	flying := slices.ContainsFunc(s.under, func(b *batch) bool { return b.flying })
	if !failed || flying || s.resting {
		return
	}
	s.resting = true
	s.w.after(around(s.w.clients, 300*time.Millisecond), func() {
		s.resting = false
		for _, b := range slices.Clone(s.under) {
			s.transmit(b)
		}
	})
}

// acked notes that a batch is in the log.
func (s *stream) acked(b *batch, l *partitionLog, base record.Offset) {
	w := s.w
	if base < 0 {
		w.fail("%s: the batch of record %d is acknowledged at offset %d", s.name, b.first, base)
		return
	}
	for i := range b.n {
		id, o := b.first+uint64(i), base+record.Offset(i)
		w.at(l, o, id, "acknowledged to "+s.name)
		w.records[id].state = acked
	}
	l.batchSize(base, len(b.bytes))
	w.cover.Acked += b.n
	if order := w.records[b.first].order; order > s.last.order && base < s.last.offset {
		w.fail("%s: record %d is at %d, an earlier one at %d: sends out of order", s.name, b.first, base, s.last.offset)
	} else if order >= s.last.order {
		s.last.order, s.last.offset = order, base
	}
}

// given takes the answer to a batch that is not sent again.
func (s *stream) given(b *batch, err error) {
	s.target = nil
	switch {
	case is(err, broker.ErrUnknownFate):
		s.w.cover.Unknown += b.n
		return
	case !isTransient(err):
		s.w.fail("%s: the batch of record %d is refused: %v", s.name, b.first, err)
		return
	case is(err, broker.ErrStorage):
		return // the disk failed under way: nobody knows
	}
	s.w.cover.Refused += b.n
	for i := range b.n {
		id := b.first + uint64(i)
		if r := &s.w.records[id]; r.offset >= 0 {
			s.w.fail("%s: record %d is refused (%v) and at offset %d", s.name, id, err, r.offset)
		} else {
			r.state = refused
		}
	}
}
