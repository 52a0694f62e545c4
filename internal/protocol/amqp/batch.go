package amqp

import (
	"errors"
	"slices"
	"sync/atomic"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
)

// batch is messages of a channel on their way into the same queues.
type batch struct {
	broker.Publish

	ch      *channel
	builder record.Builder // whose memory Publish.Batch is
	spans   []uint64       // of the channel's confirms, none if it is not in confirm mode
	stage   atomic.Int32
	// then, if set, is told how it went instead of the channel's confirms.
	then func(error)
}

// newBatch returns an empty batch, perhaps one that was used before.
func (s *Server) newBatch() *batch {
	if b, ok := s.batches.Get().(*batch); ok {
		return b
	}
	b := new(batch)
	b.Done = func(*broker.Publish) { b.done() }
	return b
}

// begin prepares a batch for a destination.
func (ch *channel) begin(queues []*broker.Queue, f broker.Facts) *batch {
	b := ch.server.newBatch()
	b.ch, b.Targets, b.Facts, b.spans = ch, queues, f, b.spans[:0]
	b.Facts.Bytes = 0
	b.builder.Reset(record.Template(record.None))
	return b
}

// add appends the channel's message.
func (b *batch) add(ch *channel, body []byte) {
	c := &ch.content
	b.builder.Add(ch.convert.toRecord(c.exchange, c.key, c.properties, &ch.props, body, ch.now()))
	b.Facts.Bytes += int64(len(body))
}

// takes reports whether a message for these queues and with these facts can
// join the batch.
func (b *batch) takes(queues []*broker.Queue, f broker.Facts) bool {
	g := &b.Facts
	return f.Level == g.Level && f.Expires == g.Expires && f.TTL == g.TTL && f.Delay == g.Delay &&
		len(queues) == len(b.Targets) && (&queues[0] == &b.Targets[0] || slices.Equal(queues, b.Targets))
}

// packing is the batches of a channel that the burst is filling, so that
// publishes which go to several queues in turn still share batches. It belongs
// to the reader.
type packing struct {
	// open are the batches, in the order in which they were begun and are handed
	// over; latest is the one that the last message went into, run how many did
	// in a row.
	open   []*batch
	latest *batch
	run    int
	// last is the batch that each queue's last message went into, if there is
	// more than one batch: only what is the last for all of its queues may grow,
	// or messages would overtake others.
	last map[*broker.Queue]*batch
}

// enqueue puts the channel's message into a batch.
func (ch *channel) enqueue(queues []*broker.Queue, f broker.Facts, body []byte) {
	p := &ch.packing
	if p.latest == nil || !p.latest.takes(queues, f) {
		ch.endRun()
		if p.latest = p.find(queues, f); p.latest == nil {
			if len(p.open) == maxOpenBatches || len(p.open) > 0 && len(queues) > maxPackedTargets {
				ch.flushBatches()
			}
			p.latest = ch.begin(queues, f)
			p.add(p.latest)
			ch.touch()
		}
	}
	p.run++
	p.latest.add(ch, body)
	if b := &p.latest.builder; b.Count() >= maxBatchCount || b.Size() >= maxBatchBytes {
		ch.flushBatches()
	}
}

// find returns the batch that a message may join, nil if there is none.
func (p *packing) find(queues []*broker.Queue, f broker.Facts) *batch {
	b := p.last[queues[0]]
	if b == nil || !b.takes(queues, f) {
		return nil
	}
	for _, q := range queues[1:] {
		if p.last[q] != b {
			return nil
		}
	}
	return b
}

// add puts down a batch that has been begun.
func (p *packing) add(b *batch) {
	p.open = append(p.open, b)
	switch len(p.open) {
	case 1: // alone it needs no looking up
		return
	case 2:
		if p.last == nil {
			p.last = map[*broker.Queue]*batch{}
		}
		p.note(p.open[0])
	}
	p.note(b)
}

func (p *packing) note(b *batch) {
	for _, q := range b.Targets {
		p.last[q] = b
	}
}

// endRun numbers the publishes that went into the latest batch in a row.
func (ch *channel) endRun() {
	p := &ch.packing
	if p.run > 0 && ch.confirms.active() {
		p.latest.spans = append(p.latest.spans, ch.confirms.add(p.run))
	}
	p.run = 0
}

// flushBatches hands the channel's batches to the broker. While the disk is full
// it waits, having told the client.
func (ch *channel) flushBatches() {
	p := &ch.packing
	ch.endRun()
	open := p.open
	p.open, p.latest = nil, nil // send may come here again
	clear(p.last)
	for _, b := range open {
		ch.send(b)
	}
	clear(open)
	if p.open == nil {
		p.open = open[:0]
	}
}

// send hands a batch to the broker. One that the broker has no room for is handed
// over again when there is: nothing newer of the connection goes before it.
func (ch *channel) send(b *batch) {
	ch.awaitDisk()
	for _, q := range b.Targets {
		if q.Behind() {
			ch.behind = q
		}
	}
	ch.began(1)
	var err error
	if b.Batch, err = b.builder.Batch(); err != nil {
		b.Err = err
		b.finish()
		ch.server.giveBack(b)
		return
	}
	for {
		b.stage.Store(handing)
		if ch.quiet {
			ch.server.opts.Broker.PublishQuietly(&b.Publish)
		} else {
			ch.server.opts.Broker.Publish(&b.Publish)
		}
		switch {
		case b.stage.CompareAndSwap(handing, flying):
			return
		case b.stage.Load() == over:
			ch.server.giveBack(b)
			return
		}
		if ch.help(); !ch.breathe() {
			b.finish()
			ch.server.giveBack(b)
			return
		}
	}
}

// The stages of a batch that is handed to the broker: whose it is.
const (
	handing int32 = iota // send has not returned
	flying               // done has the last word
	busy                 // there was no room: send tries again
	over                 // answered before send returned, which has the last word
)

// done takes the broker's answer.
func (b *batch) done() {
	if errors.Is(b.Err, broker.ErrBusy) && b.stage.CompareAndSwap(handing, busy) {
		return
	}
	server := b.ch.server
	b.finish()
	if !b.stage.CompareAndSwap(handing, over) {
		server.giveBack(b)
	}
}

// finish does what the answer asks for.
func (b *batch) finish() {
	ch, err := b.ch, b.Err
	switch {
	case b.then != nil:
		b.then(err)
	case errors.Is(err, broker.ErrRejected):
		b.settle(refused)
	case errors.Is(err, broker.ErrUnknownQueue):
		// The queue was deleted meanwhile: nobody misses the message.
		b.settle(committed)
	case err != nil:
		// Neither ack nor nack: what became of the message is not known.
		ch.post(func() { ch.lose(err) })
	default:
		b.settle(committed)
	}
	b.ch, b.Targets, b.then, b.Err = nil, nil, nil, nil
	ch.ended(1)
}

// giveBack keeps a batch for the next one.
func (s *Server) giveBack(b *batch) {
	if cap(b.Batch) <= maxKeptBatch {
		s.batches.Put(b)
	}
}

func (b *batch) settle(f fate) {
	if len(b.spans) > 0 && b.ch.confirms.settle(b.spans, f) {
		b.ch.out.confirm(b.ch)
	}
}
