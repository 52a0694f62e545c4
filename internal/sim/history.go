package sim

import (
	"fmt"
	"time"

	"github.com/polylog-mq/polylog/internal/record"
)

// history is what the clients know: every record that was ever sent, and where
// it was seen. What cannot be is found at the moment it is seen; what is
// missing, by judge.
type history struct {
	w       *world
	records []sent // by id
	txns    []*transaction
	logs    map[record.PartitionID]*partitionLog
	order   []record.PartitionID
	linear  linear
	groups  groupHistory
}

// outcome is what a client knows of a record it has sent.
type outcome uint8

const (
	pending outcome = iota // on its way, or nobody knows
	acked
	refused // it was said that nothing happened
)

// sent is a record as its sender knows it.
type sent struct {
	stream *stream
	order  int // within the stream
	state  outcome
	part   record.PartitionID
	txn    *transaction  // nil if it is of none
	at     time.Duration // when it was sent, its timestamp
	key    string        // in a compacted topic
	delete bool          // a tombstone
	offset record.Offset // -1 until it was acknowledged or seen
}

// partitionLog is what has been seen of a partition, by offset.
type partitionLog struct {
	id     record.PartitionID
	topic  *topicPlan
	number int32 // among the topic's partitions
	name   string
	cells  []cell
	// high is the highest watermark that a leader has shown, or that an
	// acknowledgement implies, and the leader epoch of that leader.
	high  record.Offset
	epoch record.Epoch
	// deleted is how far clients have asked to delete records.
	deleted record.Offset
	// aged is how far it was looked at what was removed for its age.
	aged record.Offset
	// gone says that somebody may have deleted the topic.
	gone bool
}

// cell is an offset: the record there, as id+1, or marker, and on the first record
// of a batch the batch's size.
type cell struct {
	id   uint64
	size int32
}

// marker stands where a transaction was ended.
const marker = ^uint64(0)

func (h *history) init(w *world) {
	h.w, h.logs = w, map[record.PartitionID]*partitionLog{}
	h.linear.w, h.groups.w = w, w
	h.groups.init()
}

// log returns what is known of a partition.
func (h *history) log(id record.PartitionID, t *topicPlan, number int32) *partitionLog {
	l := h.logs[id]
	if l == nil {
		l = &partitionLog{id: id, topic: t, number: number, name: fmt.Sprintf("%s/%d", t.name, number)}
		h.logs[id] = l
		h.order = append(h.order, id)
	}
	return l
}

// send notes a record on its way and returns its id.
func (h *history) send(s *stream) uint64 {
	h.records = append(h.records, sent{stream: s, order: s.records, at: h.w.clock.Mono(), offset: -1})
	s.records++
	return uint64(len(h.records) - 1)
}

// ends notes that a marker is at an offset.
func (h *history) ends(l *partitionLog, o record.Offset, how string) {
	l.grow(o)
	if c := &l.cells[o]; c.id != 0 && c.id != marker {
		h.w.fail("%s: offset %d of %s holds record %d and the end of a transaction", how, o, l.name, c.id-1)
	} else {
		c.id = marker
	}
}

func (l *partitionLog) grow(o record.Offset) {
	for int(o) >= len(l.cells) {
		l.cells = append(l.cells, cell{})
	}
}

// at notes that a record is at an offset, as how says.
func (h *history) at(l *partitionLog, o record.Offset, id uint64, how string) {
	if id >= uint64(len(h.records)) {
		h.w.fail("%s: record %d at offset %d of %s was never sent", how, id, o, l.name)
		return
	}
	r := &h.records[id]
	l.grow(o)
	c := &l.cells[o]
	switch {
	case c.id != 0 && c.id != id+1:
		h.w.fail("%s: offset %d of %s holds record %d and record %d: inconsistent offsets", how, o, l.name, c.id-1, id)
	case r.state == refused:
		h.w.fail("%s: offset %d of %s holds record %d, which was refused: an aborted read", how, o, l.name, id)
	case r.offset >= 0 && (r.offset != o || r.part != l.id):
		h.w.fail("%s: record %d is at offset %d and at offset %d of %s: a duplicate", how, id, r.offset, o, l.name)
	}
	c.id = id + 1
	r.part, r.offset = l.id, o
}

// batchSize notes how large the batch at an offset is.
func (l *partitionLog) batchSize(o record.Offset, size int) {
	if int(o) < len(l.cells) {
		l.cells[o].size = int32(size)
	}
}

// leaderHigh notes the watermark that a leader has: it may not lie below what
// leaders of earlier epochs had, nor go back.
func (h *history) leaderHigh(l *partitionLog, n *node, epoch record.Epoch, high record.Offset) {
	if epoch >= l.epoch && high < l.high {
		h.w.fail("node %d leads %s in epoch %d with high watermark %d, after epoch %d had %d", n.id, l.name, epoch, high, l.epoch, l.high)
		return
	}
	if high > l.high {
		l.high = high
	}
	l.epoch = max(l.epoch, epoch)
}

// floor holds the floor that a node shows against what retention allows.
func (h *history) floor(l *partitionLog, n *node, floor, high record.Offset) {
	if floor <= l.deleted || l.gone {
		return
	}
	t := l.topic
	if t.retain == 0 && t.age == 0 {
		h.w.fail("node %d: the floor of %s is %d, and nothing was to be removed", n.id, l.name, floor)
		return
	}
	if t.age > 0 {
		h.aged(l, n, floor)
		return
	}
	kept, unknown := int64(0), int64(0)
	for o := floor; o < high && int(o) < len(l.cells); o++ {
		if c := l.cells[o]; c.id == 0 {
			unknown++
		} else {
			kept += int64(c.size)
		}
	}
	unknown += max(0, int64(high)-max(int64(floor), int64(len(l.cells))))
	if kept+unknown*maxRecordSize < t.retain {
		h.w.fail("node %d: retention of %s has gone too far: %d bytes from floor %d to %d are left of at least %d",
			n.id, l.name, kept, floor, high, t.retain)
	}
}

// aged holds what was removed for its age against how old it can be: the clocks of
// leaders decide that, which may be ahead.
func (h *history) aged(l *partitionLog, n *node, floor record.Offset) {
	now := h.w.clock.Mono() + h.w.fastest
	for ; l.aged < floor && int(l.aged) < len(l.cells); l.aged++ {
		c := l.cells[l.aged]
		if c.id == 0 || c.id == marker {
			continue
		}
		h.w.cover.Aged++
		if r := &h.w.records[c.id-1]; r.at+l.topic.age > now {
			h.w.fail("node %d: retention of %s has removed offset %d, sent at %v, at %v by the fastest clock", n.id, l.name, l.aged, r.at, now)
			return
		}
	}
}
