// Package dedup recognises idempotent producers: per partition and producer it
// remembers the epoch and the last five batches, so that a batch sent twice is
// appended once and answered twice (KIP-98; DESIGN §4 "Proposals of unknown
// fate"). It is pure state: (state, batch, log time) in, verdict out.
//
// Producers lie in pages of 64 slots. A new one takes the lowest free slot, and
// all of them hang in one list, the longest silent first; so every operation
// costs the same with one producer or a million, and two replicas that applied
// the same batches have the same pages.
//
// A Table belongs to the loop of its shard and is not safe for concurrent use.
package dedup

import (
	"errors"
	"fmt"
	"math"
	"math/bits"

	"github.com/polylog-mq/polylog/internal/page"
	"github.com/polylog-mq/polylog/internal/record"
)

var (
	// ErrOutOfOrder refuses a batch whose first sequence does not follow the
	// last one, or is not 0 in a new epoch.
	ErrOutOfOrder = errors.New("out of order sequence number")
	// ErrFenced refuses a batch of an epoch older than the producer's.
	ErrFenced = errors.New("producer epoch is fenced")
)

// Batch is what a verdict needs to know of a batch of an idempotent producer.
type Batch struct {
	Partition record.PartitionID
	Producer  int64 // 0 or more
	Epoch     int16 // 0 or more
	// First and Last are the sequences of the first and the last record, 0 to
	// MaxInt32; Last is below First when they wrap.
	First, Last int32
}

// Verdict is what a table says of a batch.
type Verdict struct {
	// Duplicate says that the very batch was appended before: it must not be
	// again, and is answered with Base and Time.
	Duplicate bool
	Base      record.Offset  // of the first copy
	Time      record.LogTime // at which the first copy was appended

	producer *producer // nil if it is unknown
}

// Table is the state of one shard's producers.
type Table struct {
	index  map[key]uint32 // slot by producer
	leaves []*leaf        // by slot / slotsPerPage; nil: empty
	// free is the lowest leaf that may have a free slot.
	free int
	// oldest and newest end the list of all producers by their last batch.
	oldest, newest uint32
	// later is when a tick that was told to hold wants to be asked again.
	later record.LogTime

	pages *page.Set[uint32] // by number of the leaf
	// cut counts the cuts, so that a leaf that was touched since the last one
	// is known without a look-up.
	cut uint32
}

type key struct {
	partition record.PartitionID
	producer  int64
}

// leaf is a page of producers. It holds no pointers, so the collector passes
// it by.
type leaf struct {
	used    uint64 // bit i: slots[i] is taken
	touched uint32 // the cut since which it is marked as changed
	slots   [slotsPerPage]producer
}

type producer struct {
	key
	slot       uint32
	prev, next uint32 // neighbours in the list, none at its ends
	epoch      int16
	count      uint8 // of last, at least 1
	head       uint8 // the newest of last
	last       [batches]batch
}

type batch struct {
	base        record.Offset
	time        record.LogTime
	first, last int32
}

// none is no slot.
const none = math.MaxUint32

// New returns an empty table.
func New() *Table {
	t := &Table{index: map[key]uint32{}, oldest: none, newest: none, cut: 1}
	t.pages = page.New(t.encodePage)
	return t
}

// Len returns the number of (partition, producer) pairs that are remembered.
func (t *Table) Len() int { return len(t.index) }

// Check judges a batch and changes nothing: a duplicate, a batch to append, or
// ErrOutOfOrder or ErrFenced. A producer that is unknown in the partition may
// begin with any sequence.
func (t *Table) Check(b *Batch) (Verdict, error) {
	slot, ok := t.index[key{b.Partition, b.Producer}]
	if !ok {
		return Verdict{}, nil
	}
	p := t.at(slot)
	switch {
	case b.Epoch < p.epoch:
		return Verdict{}, fmt.Errorf("%w: producer %d sent epoch %d after %d", ErrFenced, b.Producer, b.Epoch, p.epoch)
	case b.Epoch > p.epoch:
		if b.First != 0 {
			return Verdict{}, fmt.Errorf("%w: producer %d began epoch %d with %d", ErrOutOfOrder, b.Producer, b.Epoch, b.First)
		}
		return Verdict{producer: p}, nil
	}
	for i := range p.last[:p.count] {
		if l := &p.last[i]; l.first == b.First && l.last == b.Last {
			return Verdict{Duplicate: true, Base: l.base, Time: l.time, producer: p}, nil
		}
	}
	if last := p.last[p.head].last; !follows(last, b.First) {
		return Verdict{}, fmt.Errorf("%w: producer %d sent %d after %d", ErrOutOfOrder, b.Producer, b.First, last)
	}
	return Verdict{producer: p}, nil
}

// follows reports whether next comes right after last; MaxInt32 wraps to 0.
func follows(last, next int32) bool {
	if last == math.MaxInt32 {
		return next == 0
	}
	return next == last+1
}

// Record remembers that a batch was appended at base. The verdict must be what
// Check said of it, with nothing recorded in between. It allocates nothing for
// a producer that is known.
func (t *Table) Record(now record.LogTime, b *Batch, v Verdict, base record.Offset) {
	p := v.producer
	if p == nil {
		p = t.add(key{b.Partition, b.Producer})
	} else {
		t.touch(p.slot)
		t.unlink(p)
	}
	if b.Epoch != p.epoch {
		p.epoch, p.count = b.Epoch, 0
	}
	p.record(batch{base: base, time: now, first: b.First, last: b.Last})
	t.link(p)
}

// record writes over the oldest batch, or takes the next free place.
func (p *producer) record(b batch) {
	if p.count == 0 {
		p.head = batches - 1
	}
	p.head = (p.head + 1) % batches
	p.last[p.head] = b
	p.count = min(p.count+1, batches)
}

// at returns the producer in a slot that is taken.
func (t *Table) at(slot uint32) *producer {
	return &t.leaves[slot/slotsPerPage].slots[slot%slotsPerPage]
}

// add gives a new producer the lowest free slot. The caller links it.
func (t *Table) add(k key) *producer {
	if len(t.index) >= MaxProducers {
		t.forgetOldest()
	}
	for t.free < len(t.leaves) && t.leaves[t.free] != nil && t.leaves[t.free].used == math.MaxUint64 {
		t.free++
	}
	if t.free == len(t.leaves) {
		t.leaves = append(t.leaves, nil)
	}
	if t.leaves[t.free] == nil {
		t.leaves[t.free] = &leaf{}
	}
	l := t.leaves[t.free]
	i := uint32(bits.TrailingZeros64(^l.used))
	slot := uint32(t.free)*slotsPerPage + i
	t.touch(slot)
	l.used |= 1 << i
	l.slots[i] = producer{key: k, slot: slot, prev: none, next: none}
	t.index[k] = slot
	return &l.slots[i]
}

// remove frees a producer's slot.
func (t *Table) remove(p *producer) {
	t.touch(p.slot)
	t.unlink(p)
	delete(t.index, p.key)
	n := p.slot / slotsPerPage
	l := t.leaves[n]
	l.used &^= 1 << (p.slot % slotsPerPage)
	t.free = min(t.free, int(n))
	if l.used > 0 {
		return
	}
	t.leaves[n] = nil
	for len(t.leaves) > 0 && t.leaves[len(t.leaves)-1] == nil {
		t.leaves = t.leaves[:len(t.leaves)-1]
	}
	t.free = min(t.free, len(t.leaves))
}

// link hangs p at the newest end of the list.
func (t *Table) link(p *producer) {
	p.prev, p.next = t.newest, none
	if t.newest == none {
		t.oldest = p.slot
	} else {
		t.at(t.newest).next = p.slot
	}
	t.newest = p.slot
}

// unlink takes p out of the list.
func (t *Table) unlink(p *producer) {
	if p.prev == none {
		t.oldest = p.next
	} else {
		t.at(p.prev).next = p.next
	}
	if p.next == none {
		t.newest = p.prev
	} else {
		t.at(p.next).prev = p.prev
	}
}

// seen is when the producer's last batch was appended.
func (p *producer) seen() record.LogTime { return p.last[p.head].time }

// NextDeadline returns the log time at which Tick has work to do, and false if
// the table is empty.
func (t *Table) NextDeadline() (record.LogTime, bool) {
	if t.oldest == none {
		return 0, false
	}
	at := t.at(t.oldest).seen() + expiryMs
	return max(t.later, (at/lookMs+1)*lookMs), true
}

// Tick forgets producers that have been silent for 24 hours, about a thousand
// at a time (NextDeadline stays in the past while there are more). With hold
// it forgets nothing.
func (t *Table) Tick(now record.LogTime, hold bool) {
	if hold {
		t.later = now + lookMs
		return
	}
	for n := 0; n < perTick && t.oldest != none && t.at(t.oldest).seen()+expiryMs < now; {
		n += t.forgetOldest()
	}
}

// forgetOldest forgets those that have been silent longest: all of the same
// millisecond, because a replica that restarted no longer knows their order
// among themselves. It returns how many they were.
func (t *Table) forgetOldest() (n int) {
	for at := t.at(t.oldest).seen(); t.oldest != none && t.at(t.oldest).seen() == at; n++ {
		t.remove(t.at(t.oldest))
	}
	return n
}

// touch must be called before every change of a slot; it costs a look-up only
// the first time after a cut.
func (t *Table) touch(slot uint32) {
	n := slot / slotsPerPage
	if l := t.leaves[n]; l.touched != t.cut {
		t.pages.Touch(n)
		l.touched = t.cut
	}
}
