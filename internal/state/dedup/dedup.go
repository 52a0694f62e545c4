// Package dedup recognises idempotent producers: per partition and producer it
// remembers the epoch and the last five batches, so that a batch sent twice is
// appended once and answered twice (KIP-98; DESIGN §4 "Proposals of unknown
// fate"). It is pure state: (state, batch, log time) in, verdict out.
//
// Producers lie in leaves of 64 slots, which are the pages of the checkpoint. A
// new one takes the lowest free slot, and each leaf knows a time before which
// none of its producers expires. So a batch touches nothing but its producer,
// every operation costs the same with one producer or a million, and two
// replicas that applied the same batches have the same pages.
//
// A Table belongs to the loop of its shard and is not safe for concurrent use.
package dedup

import (
	"errors"
	"fmt"
	"math"
	"math/bits"

	"github.com/polylog-mq/polylog/internal/due"
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
	slot     uint32
}

// Table is the state of one shard's producers.
type Table struct {
	index  map[key]uint32   // slot by producer
	leaves []*leaf          // by slot / slotsPerLeaf; nil: empty
	due    due.Queue[*leaf] // the same leaves
	// free is the lowest leaf that may have a free slot.
	free int
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

// leaf is a page of producers.
type leaf struct {
	used    uint64 // bit i: slots[i] is taken
	number  uint32
	touched uint32         // the cut since which it is marked as changed
	due     record.LogTime // when to look for expired ones: a lower bound, since producers speak again

	due.Place // in Table.due

	slots [slotsPerLeaf]producer
}

// producer is laid out so that Check reads one cache line of it.
type producer struct {
	key
	epoch int16
	count uint8 // how many of the arrays' places are in use, at least 1
	head  uint8 // the place of the newest batch
	// What is remembered of the last batches.
	first, last [batches]int32
	coordinator int32 // of the last marker, -1 if there was none
	base        [batches]record.Offset
	time        [batches]record.LogTime
}

// New returns an empty table.
func New() *Table {
	t := &Table{index: map[key]uint32{}, cut: 1}
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
		return Verdict{producer: p, slot: slot}, nil
	}
	for i := range p.count {
		if p.first[i] == b.First && p.last[i] == b.Last {
			return Verdict{Duplicate: true, Base: p.base[i], Time: p.time[i], producer: p, slot: slot}, nil
		}
	}
	if last := p.last[p.head]; !follows(last, b.First) {
		return Verdict{}, fmt.Errorf("%w: producer %d sent %d after %d", ErrOutOfOrder, b.Producer, b.First, last)
	}
	return Verdict{producer: p, slot: slot}, nil
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
		p = t.add(now, key{b.Partition, b.Producer})
	} else {
		t.touch(t.leaves[v.slot/slotsPerLeaf])
	}
	if b.Epoch != p.epoch {
		p.epoch, p.count = b.Epoch, 0
	}
	p.record(b.First, b.Last, base, now)
}

// Fence shuts out the epochs of a producer below the given one: the marker of a
// transaction does so. A batch of this epoch then begins with sequence 0. If the
// producer is known under this epoch or a later one, only coordinator is taken
// in: the epoch, 0 or more, of the coordinator that wrote the marker.
func (t *Table) Fence(now record.LogTime, partition record.PartitionID, id int64, epoch int16, coordinator int32) {
	slot, ok := t.index[key{partition, id}]
	var p *producer
	if ok {
		if p = t.at(slot); p.epoch >= epoch && p.coordinator == coordinator {
			return
		}
		t.touch(t.leaves[slot/slotsPerLeaf])
	} else {
		p = t.add(now, key{partition, id})
		p.epoch = noEpoch
	}
	p.coordinator = coordinator
	if p.epoch >= epoch {
		return
	}
	p.epoch, p.count = epoch, 0
	p.record(beforeFirst, beforeFirst, 0, now)
}

// beforeFirst is the sequence that 0 follows: that of the batch which stands for
// a marker.
const beforeFirst = -1

// noEpoch is below every epoch.
const noEpoch = -1

// Epoch returns the epoch that a producer has in a partition, -1 if it is not
// known there.
func (t *Table) Epoch(partition record.PartitionID, id int64) int16 {
	slot, ok := t.index[key{partition, id}]
	if !ok {
		return -1
	}
	return t.at(slot).epoch
}

// record writes over the oldest batch, or takes the next free place.
func (p *producer) record(first, last int32, base record.Offset, now record.LogTime) {
	if p.count == 0 {
		p.head = batches - 1
	}
	p.head = (p.head + 1) % batches
	p.count = min(p.count+1, batches)
	p.first[p.head], p.last[p.head] = first, last
	p.base[p.head], p.time[p.head] = base, now
}

// at returns the producer in a slot that is taken.
func (t *Table) at(slot uint32) *producer {
	return &t.leaves[slot/slotsPerLeaf].slots[slot%slotsPerLeaf]
}

// add gives a new producer the lowest free slot.
func (t *Table) add(now record.LogTime, k key) *producer {
	if len(t.index) >= MaxProducers {
		t.forgetOldest()
	}
	for t.free < len(t.leaves) && t.leaves[t.free] != nil && t.leaves[t.free].used == math.MaxUint64 {
		t.free++
	}
	if t.free == len(t.leaves) {
		t.leaves = append(t.leaves, nil)
	}
	l := t.leaves[t.free]
	if l == nil {
		l = &leaf{number: uint32(t.free), due: look(now)}
		t.leaves[t.free] = l
		t.due.Set(l)
	}
	t.touch(l)
	i := bits.TrailingZeros64(^l.used)
	l.used |= 1 << i
	l.slots[i] = producer{key: k, coordinator: noEpoch}
	t.index[k] = l.number*slotsPerLeaf + uint32(i)
	return &l.slots[i]
}

// seen is when the producer's last batch was appended.
func (p *producer) seen() record.LogTime { return p.time[p.head] }

// touch must be called before every change of a leaf; it costs a look-up only
// the first time after a cut.
func (t *Table) touch(l *leaf) {
	if l.touched != t.cut {
		t.pages.Touch(l.number)
		l.touched = t.cut
	}
}
