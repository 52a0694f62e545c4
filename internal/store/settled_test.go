package store

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"github.com/polylog-mq/polylog/internal/record"
)

// queueOp does something to a queue: it appends to it, and perhaps the same body
// to the other one, settles records, or raises the floor as far as all are
// settled.
func (w *keyed) queueOp(e *keyedEntry, id record.PartitionID, now record.LogTime) {
	taken := func(id record.PartitionID) bool {
		return slices.ContainsFunc(e.ops, func(o keyedOp) bool { return o.p == id })
	}
	if taken(id) {
		return
	}
	p := w.end.part(id)
	op := keyedOp{p: id, producer: -1}
	switch n := w.rng.IntN(10); {
	case n < 4:
		op.pos, op.level = len(e.data), uint8(w.rng.IntN(3)/2)
		for range 1 + w.rng.IntN(3) {
			e.data = append(e.data, w.batch(-1, now)...)
		}
		op.end = len(e.data)
		if other := 15 - id; !taken(other) && w.rng.IntN(3) == 0 {
			e.ops = append(e.ops, op)
			op.p = other
		}
	case n < 5:
		for op.floor = p.floor; p.settled[op.floor]; {
			op.floor++
		}
	case p.next > p.floor:
		first := p.floor + record.Offset(w.rng.Int64N(int64(p.next-p.floor)))
		if w.rng.IntN(2) == 0 {
			op.settled = []stretch{{first, min(first+record.Offset(w.rng.IntN(60)), p.next-1)}}
			break
		}
		for o := first; o < p.next; o += 1 + record.Offset(w.rng.IntN(4)) {
			op.settled = append(op.settled, stretch{o, o})
		}
	}
	if op.end > 0 || op.floor > 0 || len(op.settled) > 0 {
		e.ops = append(e.ops, op)
	}
}

// keyedPages reads the pages of the model's queues.
type keyedPages struct{}

// pageOffsets is how many offsets a page tells of.
const pageOffsets = 32

// PageAt implements Settled.
func (keyedPages) PageAt(p record.PartitionID, o record.Offset) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte("q"), uint64(p)), uint64(o/pageOffsets))
}

// ReadPage implements Settled.
func (keyedPages) ReadPage(key, value []byte, yield func(p record.PartitionID, first, last record.Offset)) error {
	if len(key) != 17 || key[0] != 'q' || len(value) != pageOffsets {
		return errors.New("no page of a queue")
	}
	at := record.Offset(binary.BigEndian.Uint64(key[9:])) * pageOffsets
	for i, settled := range value {
		if settled != 0 {
			yield(record.PartitionID(binary.BigEndian.Uint64(key[1:])), at+record.Offset(i), at+record.Offset(i))
		}
	}
	return nil
}

// pages returns what a checkpoint has of the queues: nothing below the floors.
func (st *keyedState) pages() (pages []Page) {
	for _, id := range slices.Sorted(maps.Keys(st.parts)) {
		p := st.parts[id]
		for at := record.Offset(0); queued(id) && at < p.next; at += pageOffsets {
			value, some := make([]byte, pageOffsets), false
			for i := range value {
				if o := at + record.Offset(i); o >= p.floor && p.settled[o] {
					value[i], some = 1, true
				}
			}
			if !some {
				value = nil
			}
			pages = append(pages, Page{Key: keyedPages{}.PageAt(id, at), Value: value})
		}
	}
	return pages
}
