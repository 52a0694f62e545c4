package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/topic"
)

// reader reads a partition from its beginning, now and then again from
// elsewhere, mostly from the leader, and checks all it gets.
type reader struct {
	w      *world
	name   string
	topic  *topicPlan
	part   int32
	pos    record.Offset
	ending bool
}

func (r *reader) begin()       { r.w.after(around(r.w.clients, time.Second), r.tick) }
func (r *reader) finish()      { r.ending = true }
func (r *reader) busy() string { return "" }

// answer to a read.
type fetched struct {
	from, floor, high record.Offset
	batches           [][]byte
	next              record.Offset
	aborted           []topic.Aborted // for readers of committed data
	err               error
}

const readBytes = 16 << 10

func (r *reader) tick() {
	if r.ending {
		return
	}
	n := r.w.anyone()
	if r.w.clients.IntN(4) > 0 {
		n = r.w.whoLeads(r.topic.name, r.part)
	}
	again := func() { r.w.after(around(r.w.clients, 2*r.w.o.Pace), r.tick) }
	r.w.ask(n, 0, func(b *broker.Broker, reply func(func())) {
		p := partitionAt(b, r.topic.name, r.part)
		if p == nil {
			reply(again)
			return
		}
		l := r.w.log(p.ID(), r.topic, r.part)
		f := r.w.fetch(n, p, l, r.pos)
		reply(func() {
			r.take(l, n, f)
			again()
		})
	}, again)
}

// fetch reads from a node, in the node's own time, and checks what the node
// says of itself.
func (w *world) fetch(n *node, p *broker.Partition, l *partitionLog, from record.Offset) fetched {
	return w.fetchUpTo(n, p, l, from, p.HighWatermark())
}

func (w *world) fetchUpTo(n *node, p *broker.Partition, l *partitionLog, from, limit record.Offset) fetched {
	f := fetched{from: from, floor: p.Floor(), high: p.HighWatermark()}
	if limit < f.floor || limit > f.high {
		w.fail("node %d: readers of %s stop at %d, floor %d, high watermark %d", n.id, l.name, limit, f.floor, f.high)
	}
	if p.Leader() == n.id {
		w.leaderHigh(l, n, p.Epoch(), f.high)
	}
	w.floor(l, n, f.floor, f.high)
	res := broker.Result{Whole: true}
	f.err = p.Read(&res, from, limit, readBytes, true)
	f.next = res.Next
	for _, b := range res.Batches {
		f.batches = append(f.batches, slices.Clone(b))
	}
	res.Release()
	switch {
	case f.err == nil:
		if from < f.floor {
			w.fail("node %d delivers offset %d of %s below its floor %d", n.id, from, l.name, f.floor)
		}
		if from < limit && len(f.batches) == 0 && !l.topic.compacted {
			w.fail("node %d has nothing at offset %d of %s, floor %d, high watermark %d", n.id, from, l.name, f.floor, f.high)
		}
	case is(f.err, broker.ErrOffsetOutOfRange):
		if from >= f.floor && from <= f.high {
			w.fail("node %d says that %d is out of the range %d to %d of %s", n.id, from, f.floor, f.high, l.name)
		}
	case is(f.err, broker.ErrUnknownPartition):
	case n.damaged || n.excused:
	default:
		w.fail("node %d cannot read %s at %d: %v", n.id, l.name, from, f.err)
	}
	return f
}

// take checks what was read and goes on behind it.
func (r *reader) take(l *partitionLog, n *node, f fetched) {
	switch {
	case is(f.err, broker.ErrOffsetOutOfRange):
		if r.pos < f.floor {
			r.pos = f.floor
		}
		return
	case f.err != nil:
		return
	}
	next, count := r.w.check(l, n, r.pos, f.batches)
	next = max(next, f.next) // behind what compaction has left
	r.w.note("%s: %d records of %s from %d at node %d", r.name, count, l.name, r.pos, n.id)
	r.pos = next
	switch r.w.clients.IntN(20) {
	case 0:
		r.pos = f.floor + record.Offset(r.w.clients.Int64N(int64(f.high-f.floor)+1))
	case 1:
		r.pos = max(0, f.floor-1)
	}
}

// behind reports whether a node may lack what is below an offset, although its
// floor has not passed that yet: it was sent a snapshot's data by a member that
// does not hold it any more, since its own floor has passed it. Until the node has
// applied as much, and so at the latest before it leads, it has a gap that nobody
// needs.
func (w *world) behind(l *partitionLog, n *node, first record.Offset) bool {
	if p := partitionAt(n.broker, l.topic.name, l.number); p == nil || p.Leader() == n.id {
		return false
	}
	for _, o := range w.nodes {
		if o == n || o.down {
			continue
		}
		if start, _, err := o.store.Bounds(l.id); err == nil && start >= first {
			return true
		}
	}
	return false
}

// check holds batches against what is known and returns the offset behind them
// and the number of records from the given one on.
func (w *world) check(l *partitionLog, n *node, from record.Offset, batches [][]byte) (next record.Offset, count int) {
	next = from
	for i, b := range batches {
		h, err := record.Validate(b, record.Checks{})
		if err != nil {
			w.fail("node %d delivers a bad batch of %s at %d: %v", n.id, l.name, next, err)
			return next, count
		}
		if l.topic.compacted {
			w.missing(l, n, next, h.BaseOffset)
		} else if gap := h.BaseOffset > next || i > 0 && h.BaseOffset != next; gap && (i > 0 || !w.behind(l, n, h.BaseOffset)) {
			w.fail("node %d delivers offset %d of %s where %d is next: a gap", n.id, h.BaseOffset, l.name, next)
			return next, count
		}
		o := h.BaseOffset
		if h.Control() {
			w.ends(l, o, fmt.Sprintf("read from node %d", n.id))
			l.batchSize(o, len(b))
			next = o + 1
			continue
		}
		err = record.Records(b, func(r record.Record) error {
			id, ok := marked(&r)
			if !ok {
				return fmt.Errorf("a value of %d bytes", len(r.Value))
			}
			if l.topic.compacted {
				w.missing(l, n, o, r.Offset)
				o = r.Offset
			}
			w.at(l, o, id, fmt.Sprintf("read from node %d", n.id))
			o++
			count++
			return nil
		})
		if l.topic.compacted {
			w.missing(l, n, o, h.LastOffset()+1)
			o = h.LastOffset() + 1
		}
		if err != nil || o != h.LastOffset()+1 {
			w.fail("node %d: batch at %d of %s ends at %d instead of %d: %v", n.id, h.BaseOffset, l.name, o, h.LastOffset()+1, err)
			return next, count
		}
		l.batchSize(h.BaseOffset, len(b))
		next = o
	}
	w.cover.Read += count
	return next, count
}
