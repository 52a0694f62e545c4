package topic

import (
	"math"

	"github.com/polylog-mq/polylog/internal/due"
	"github.com/polylog-mq/polylog/internal/record"
)

// Partition is one partition of a shard. It stays the same object from its
// definition to its drop; see Dropped.
type Partition struct {
	id        record.PartitionID
	topic     *shardTopic
	epochBase record.Epoch // added to the shard's term: the leader epoch
	dropped   bool

	start, next record.Offset  // the log is [start, next)
	keep        record.Offset  // of a queue: retention removes nothing from here on,
	keepFor     int64          // and nothing below before it is as old as this, in ms; 0: it does nothing
	lastID      record.EntryID // of the last record ever appended
	epochs      Epochs
	txns        transactions

	bytes       int64 // of all segments
	active      segment
	sealed      []segment // oldest first
	firstSealed uint64    // number of sealed[0]; segments are numbered as they are sealed

	compaction Compaction

	due.Place // in Partitions.due, unless it is in no hurry

	due     record.LogTime // when retention or compaction looks next, if it is queued
	touched uint32         // the cut since which it is marked as changed

	wantSealed int // what a restore expects len(sealed) to become
}

// segment is a span of a partition that retention removes as a whole, as Kafka
// does. It is a notion only: no file has its shape.
type segment struct {
	base  record.Offset
	bytes int64
	// first is the timestamp of the first batch, from which segment.ms counts.
	first int64
	// stamp is the largest timestamp: retention.ms counts from it. Log time
	// stands in for batches without a timestamp.
	stamp int64
}

// Batch is what a verdict needs to know of a record batch.
type Batch struct {
	// Offsets is how many offsets the batch takes (LastOffsetDelta+1), at
	// least 1.
	Offsets int32
	// Size is the batch's length in bytes, at least 1.
	Size int32
	// MaxTimestamp is the batch's largest timestamp in ms, -1 if it has none;
	// log time where the leader stamped it.
	MaxTimestamp int64
}

// Verdict is what a batch gets.
type Verdict struct {
	Base    record.Offset
	Epoch   record.Epoch
	FirstID record.EntryID // the batch's records get consecutive sequences from it
}

// Append takes a batch into partition p, which must not be dropped, at the
// shard's term. It allocates nothing in the steady state and cannot fail: what
// can be refused is refused before (Settings.Check, dedup).
func (s *Partitions) Append(now record.LogTime, term record.Term, p *Partition, b Batch) Verdict {
	s.touch(p)
	ts := b.MaxTimestamp
	if ts < 0 {
		ts = int64(now)
	}
	set := p.topic.settings
	sealed := p.active.bytes > 0 && p.full(set, ts, b)
	if sealed {
		s.roll(p)
	}
	if p.active.bytes == 0 {
		p.active = segment{base: p.next, first: ts, stamp: ts}
	}
	p.active.bytes += int64(b.Size)
	p.active.stamp = max(p.active.stamp, ts)
	p.bytes += int64(b.Size)

	v := Verdict{Base: p.next, Epoch: p.Epoch(term), FirstID: nextID(p.lastID, now)}
	p.next += record.Offset(b.Offsets)
	p.lastID = record.EntryID{Time: v.FirstID.Time, Seq: v.FirstID.Seq + uint64(b.Offsets) - 1}
	p.epochs = p.epochs.begin(v.Epoch, v.Base)
	if first := p.bytes == int64(b.Size); first || !p.Queued() || sealed && set.Compact || p.oversize(set) {
		s.schedule(now, p)
	}
	return v
}

// nextID returns the id of a batch's first record: log time, or the last id
// plus one where log time stands still.
func nextID(last record.EntryID, now record.LogTime) record.EntryID {
	if now > last.Time {
		return record.EntryID{Time: now}
	}
	return record.EntryID{Time: last.Time, Seq: last.Seq + 1}
}

// full reports whether the active segment must close before batch b with
// timestamp ts: Kafka's rules for rolling (by size, by the timestamps' span,
// by the width of relative offsets).
func (p *Partition) full(set *Settings, ts int64, b Batch) bool {
	return p.active.bytes > int64(set.SegmentBytes)-int64(b.Size) ||
		ts-p.active.first > p.rollMs() ||
		p.next+record.Offset(b.Offsets)-1-p.active.base > math.MaxInt32
}

// rollMs is the span of time that a segment may cover: of a queue a quarter of
// what it keeps, so that retention follows it closely.
func (p *Partition) rollMs() int64 {
	if p.keepFor > 0 {
		return max(p.keepFor/4, 1)
	}
	return p.topic.settings.rollMs()
}

// ID returns the partition's id.
func (p *Partition) ID() record.PartitionID { return p.id }

// Topic returns the number of the topic it belongs to.
func (p *Partition) Topic() ID { return p.topic.id }

// Settings returns the settings that the shard has applied. What it points to
// never changes; a Define makes it point elsewhere.
func (p *Partition) Settings() *Settings { return p.topic.settings }

// Dropped reports whether the partition has been dropped. It is then no part
// of the state any more.
func (p *Partition) Dropped() bool { return p.dropped }

// LogStart returns the first offset that is kept.
func (p *Partition) LogStart() record.Offset { return p.start }

// HighWatermark returns the offset after the last record.
func (p *Partition) HighWatermark() record.Offset { return p.next }

// LastID returns the id of the last record ever appended, zero if there was
// none.
func (p *Partition) LastID() record.EntryID { return p.lastID }

// Bytes returns the size of the segments that are kept, as their batches were
// appended.
func (p *Partition) Bytes() int64 { return p.bytes }

// Segments returns the number of segments that are kept.
func (p *Partition) Segments() int {
	if p.active.bytes > 0 {
		return len(p.sealed) + 1
	}
	return len(p.sealed)
}

// Epoch returns the leader epoch that the shard's term stands for here.
func (p *Partition) Epoch(term record.Term) record.Epoch {
	return p.epochBase + record.Epoch(term)
}

// Epochs returns the leader epochs that wrote the records that are kept. The
// result never changes: a new epoch, or retention, makes a new one.
func (p *Partition) Epochs() Epochs { return p.epochs }
