package sim

import (
	"bytes"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
)

// judge reads everything from every node and says what is missing.
func (w *world) judge() {
	for _, id := range w.order {
		if l := w.logs[id]; !l.gone {
			w.judgePartition(l)
		}
		if w.failure != nil {
			return
		}
	}
	w.judgeTransactions()
	w.judgeQueues()
	w.linear.judge()
}

// judgePartition reads a partition from every node: they must agree, and hold
// all that was acknowledged.
func (w *world) judgePartition(l *partitionLog) {
	var want []byte
	var first *node
	var floor, high record.Offset
	w.alive(func(n *node) {
		if w.failure != nil {
			return
		}
		var p *broker.Partition
		for t := range n.broker.Topics() {
			for _, q := range t.Partitions {
				if q.ID() == l.id {
					p = q
				}
			}
		}
		switch {
		case p == nil && l.topic.passing:
			return
		case p == nil:
			w.fail("node %d does not know %s", n.id, l.name)
			return
		}
		have, ok := w.readAll(n, p, l)
		if !ok {
			return
		}
		w.readCommitted(n, p, l)
		if l.topic.compacted && !n.damaged {
			w.judgeCompacted(n, l, p.Floor(), p.HighWatermark(), have)
		}
		if first == nil {
			first, want, floor, high = n, have, p.Floor(), p.HighWatermark()
			return
		}
		if p.Floor() != floor || p.HighWatermark() != high {
			w.fail("%s is %d to %d on node %d and %d to %d on node %d", l.name, floor, high, first.id, p.Floor(), p.HighWatermark(), n.id)
		} else if !bytes.Equal(want, have) && !l.topic.compacted && !n.damaged && !first.damaged {
			w.fail("the records of %s differ on nodes %d and %d", l.name, first.id, n.id)
		}
	})
	if first == nil || w.failure != nil {
		return
	}
	if l.high > high {
		w.fail("%s ends at %d; it was seen to reach %d", l.name, high, l.high)
	}
	for id := range w.records {
		if r := &w.records[id]; r.state == acked && r.part == l.id && (r.offset >= high || r.offset >= floor && l.cells[r.offset].id != uint64(id)+1) {
			w.fail("record %d was acknowledged at offset %d of %s and is lost", id, r.offset, l.name)
		}
	}
	w.note("%s: %d to %d, hash %x", l.name, floor, high, hashOf(string(want)))
}

// readAll reads all of a partition from a node.
func (w *world) readAll(n *node, p *broker.Partition, l *partitionLog) (all []byte, ok bool) {
	for at := p.Floor(); at < p.HighWatermark() && w.failure == nil; {
		f := w.fetch(n, p, l, at)
		if f.err != nil {
			if !n.damaged {
				w.fail("node %d cannot read %s at %d: %v", n.id, l.name, at, f.err)
			}
			return nil, false
		}
		next, _ := w.check(l, n, at, f.batches)
		next = max(next, f.next)
		if next <= at {
			w.fail("node %d does not get beyond %d of %s", n.id, at, l.name)
			return nil, false
		}
		all = append(all, bytes.Join(f.batches, nil)...)
		at = next
	}
	return all, w.failure == nil
}

// readCommitted reads what is committed of a partition from a node. No transaction
// may be open any more.
func (w *world) readCommitted(n *node, p *broker.Partition, l *partitionLog) {
	if s := p.LastStable(); s != p.HighWatermark() {
		w.fail("node %d: a transaction is open in %s from %d on, and nobody is there to end it", n.id, l.name, s)
	}
	for at := p.Floor(); at < p.HighWatermark() && w.failure == nil; {
		f := w.fetchCommitted(n, p, l, at)
		if f.err != nil {
			return // readAll has judged that
		}
		w.takeCommitted(l, n, f)
		at = f.next
	}
}
