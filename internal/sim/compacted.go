package sim

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/polylog-mq/polylog/internal/record"
)

// keys is how many there are in a compacted topic. Only a few of them are written
// at a time, so that the last record of a key gets old.
const (
	keys       = 40
	keysAtOnce = 5
	keysChange = 5 * time.Second
)

// idHeader is where a record that has no value has its id.
const idHeader = "id"

// mark puts its id into a record.
func mark(r *record.Record, id uint64) {
	if len(r.Value) >= 8 {
		binary.BigEndian.PutUint64(r.Value, id)
		return
	}
	r.Headers.Add(idHeader, binary.BigEndian.AppendUint64(nil, id))
}

// marked returns the id of a record.
func marked(r *record.Record) (uint64, bool) {
	b := r.Value
	if len(b) < 8 {
		b, _ = r.Headers.Get(idHeader)
	}
	if len(b) < 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}

// sendKeyed gives a record one of the keys, and now and then makes it a tombstone.
func (w *world) sendKeyed(id uint64, r *record.Record) {
	s := &w.records[id]
	s.key, s.delete = fmt.Sprint("key-", (int(w.clock.Mono()/keysChange)+w.clients.IntN(keysAtOnce))%keys), w.clients.IntN(5) == 0
	r.Key = []byte(s.key)
	if s.delete {
		r.Value = nil
	}
}

// missing looks at offsets that compaction is to have removed: what is known of
// them must have been old enough.
func (w *world) missing(l *partitionLog, n *node, from, to record.Offset) {
	for o := from; o < to && int(o) < len(l.cells) && w.failure == nil; o++ {
		c := l.cells[o]
		if c.id == 0 || c.id == marker {
			continue
		}
		w.cover.Compacted++
		if r := &w.records[c.id-1]; r.at+compactionLag > w.clock.Mono()+w.fastest {
			w.fail("node %d: record %d at %d of %s is gone at %v; it was sent at %v and was to be left alone for %v",
				n.id, c.id-1, o, l.name, w.clock.Mono(), r.at, compactionLag)
		}
	}
}

// fate is how a record's transaction has ended; one of none counts as committed.
func (s *sent) fate() fate {
	if s.txn == nil {
		return committed
	}
	return s.txn.fate
}

// judgeCompacted looks at what a node has kept of a compacted partition: of every
// key the last record, unless that is an old tombstone, and then nothing of the
// key.
func (w *world) judgeCompacted(n *node, l *partitionLog, floor, high record.Offset, all []byte) {
	have, last := map[record.Offset]bool{}, map[string]record.Offset{}
	err := record.Walk(all, func(b []byte, _ record.Header) error {
		return record.Records(b, func(r record.Record) error {
			have[r.Offset] = true
			return nil
		})
	})
	if err != nil {
		w.fail("node %d: what was read of %s: %v", n.id, l.name, err)
	}
	known := func(o record.Offset) *sent {
		if int(o) >= len(l.cells) || l.cells[o].id == 0 || l.cells[o].id == marker {
			return nil
		}
		return &w.records[l.cells[o].id-1]
	}
	for o := floor; o < high; o++ {
		if r := known(o); r != nil && r.fate() == committed {
			last[r.key] = o
		}
	}
	for o := floor; o < high && w.failure == nil; o++ {
		r := known(o)
		switch {
		case r == nil, r.fate() != committed:
		case have[o] && last[r.key] > o && !have[last[r.key]]:
			w.fail("node %d: %s has %s at %d; the tombstone at %d, which ended it, is gone", n.id, l.name, r.key, o, last[r.key])
		case have[o], last[r.key] > o:
		case w.mayBeReplaced(l, o, high, r.key):
		case !r.delete:
			w.fail("node %d: the last record of %s, at %d of %s, is gone", n.id, r.key, o, l.name)
		case r.at+tombstoneAge > w.clock.Mono()+w.fastest:
			w.fail("node %d: the tombstone of %s, at %d of %s, is gone; it was sent at %v, and it is %v", n.id, r.key, o, l.name, r.at, w.clock.Mono())
		}
	}
}

// mayBeReplaced reports whether a later record of a key is part of a transaction
// whose fate nobody has seen.
func (w *world) mayBeReplaced(l *partitionLog, o, high record.Offset, key string) bool {
	for o++; o < high && int(o) < len(l.cells); o++ {
		if c := l.cells[o]; c.id != 0 && c.id != marker && w.records[c.id-1].key == key && w.records[c.id-1].fate() == undecided {
			return true
		}
	}
	return false
}
