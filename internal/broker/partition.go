package broker

import (
	"errors"
	"sync/atomic"

	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/lease"
	"github.com/polylog-mq/polylog/internal/state/topic"
	"github.com/polylog-mq/polylog/internal/store"
)

// Partition is the handle of one partition. It stays valid for ever; when the
// partition has been deleted its operations answer ErrUnknownPartition. All
// methods may be called from any goroutine and, but for reads of the log, take
// no lock.
type Partition struct {
	id     record.PartitionID
	number int32
	shard  *shard

	// What the shard's loop has published.
	highWatermark atomic.Int64
	lastStable    atomic.Int64
	floor         atomic.Int64
	size          atomic.Int64
	epochBase     atomic.Int32
	epochs        atomic.Pointer[topic.Epochs]
	// settings is nil while the partition is not defined here, and once it is
	// dropped.
	settings atomic.Pointer[topic.Settings]
	dropped  atomic.Bool

	// topic is what the partition is a part of, nil before any protocol has seen
	// it.
	topic atomic.Pointer[Topic]
	// queue is the partition as a queue, nil if it is none.
	queue atomic.Pointer[Queue]
	// aborted are the transactions that readers of committed data leave out.
	aborted atomic.Pointer[[]topic.Aborted]

	waiters waitList
	writers writers

	// The rest belongs to the shard's loop.

	state *topic.Partition
	// lease is the partition's lease set, nil if it has none; desk what the
	// leader knows of it, nil elsewhere.
	lease *lease.Set
	desk  *desk
	// compacted says that the store was told how to compact it.
	compacted bool
	// newestEpoch is the last one of the published ladder.
	newestEpoch record.Epoch
	// chain links the appends of an entry under construction.
	chain struct{ first, last *appendProposal }
	// decided says that the entry has ended a transaction here.
	decided bool
	// fresh is how many bytes the entry that is being applied has added.
	fresh   int
	touched bool
}

// ID returns the id that the metadata group gave the partition.
func (p *Partition) ID() record.PartitionID { return p.id }

// Number returns its number within the topic, from 0.
func (p *Partition) Number() int32 { return p.number }

// Shard returns the Raft group that orders it.
func (p *Partition) Shard() record.ShardID { return p.shard.id }

// HighWatermark returns the offset after the last committed record.
func (p *Partition) HighWatermark() record.Offset { return record.Offset(p.highWatermark.Load()) }

// LastStable returns the first offset that an open transaction may yet decide,
// or the high watermark. Readers other than read_uncommitted stop here.
func (p *Partition) LastStable() record.Offset { return record.Offset(p.lastStable.Load()) }

// Aborted appends to dst the aborted transactions that have records in [from,
// limit), where limit is at most LastStable: who reads committed data leaves out
// the records of their producers from First to the producer's next marker.
func (p *Partition) Aborted(dst []topic.Aborted, from, limit record.Offset) []topic.Aborted {
	all := p.aborted.Load()
	if all == nil {
		return dst
	}
	return topic.AbortedIn(dst, *all, from, limit)
}

func (p *Partition) watermark(stable bool) record.Offset {
	if stable {
		return p.LastStable()
	}
	return p.HighWatermark()
}

// Floor returns the first offset that is still kept (the log start offset).
func (p *Partition) Floor() record.Offset { return record.Offset(p.floor.Load()) }

// Size returns the bytes of the batches that are kept.
func (p *Partition) Size() int64 { return p.size.Load() }

// Epoch returns the leader epoch of the present leader, -1 while this node does
// not know it: before it has heard of the partition's definition or of a term.
func (p *Partition) Epoch() record.Epoch {
	if p.settings.Load() == nil {
		return -1
	}
	return max(record.Epoch(p.epochBase.Load())+record.Epoch(p.shard.term.Load()), -1)
}

// Leader returns the node that leads, 0 if none is known.
func (p *Partition) Leader() record.NodeID { return record.NodeID(p.shard.leader.Load()) }

// Settings returns the settings that appends are held against, nil if the
// partition is not defined on this node. They never change; a later call may
// return others.
func (p *Partition) Settings() *topic.Settings { return p.settings.Load() }

// Result holds what Read found; see store.Result.
type Result = store.Result

// Read adds whole batches to dst, from the one that holds offset from, below
// limit (pass HighWatermark or LastStable), until maxBytes are gathered; with
// minOne the first batch is added even if it is larger. Base offsets and leader
// epochs are those of the log. The first batch may begin below from. It may
// read the disk: call it from a goroutine that may wait. dst.Release must be
// called when the buffers were written out. Errors: ErrOffsetOutOfRange if from
// lies outside [Floor, HighWatermark], ErrUnknownPartition, ErrDamaged,
// ErrStorage.
func (p *Partition) Read(dst *Result, from, limit record.Offset, maxBytes int, minOne bool) error {
	if p.settings.Load() == nil {
		return ErrUnknownPartition
	}
	// The watermark is read first: a floor never passes it.
	high := p.HighWatermark()
	switch {
	case from < p.Floor() && !fault.On(fault.BelowFloor) || from > high:
		return ErrOffsetOutOfRange
	case from >= min(limit, high):
		dst.Next = from
		return nil
	}
	err := p.shard.b.store.Read(dst, p.id, from, min(limit, high), maxBytes, minOne)
	return p.readError(err)
}

// readError translates what the store answers.
func (p *Partition) readError(err error) error {
	switch {
	case errors.Is(err, store.ErrOffsetOutOfRange):
		return ErrOffsetOutOfRange
	case errors.Is(err, store.ErrNoPartition):
		return ErrUnknownPartition
	case errors.Is(err, store.ErrClosed):
		return ErrClosed
	}
	return p.shard.b.explain(err)
}

// TimeOffset is where a timestamp was found.
type TimeOffset struct {
	Offset    record.Offset // -1: no such record
	Timestamp int64         // ms since the Unix epoch, -1 if none
	Epoch     record.Epoch  // leader epoch of the record, -1 if none
}

// OffsetForTime returns the first record below limit whose timestamp is at
// least ts (ms). It may read the disk and look into a batch.
func (p *Partition) OffsetForTime(ts int64, limit record.Offset) (TimeOffset, error) {
	return p.find(limit, func(from, limit record.Offset) (store.Found, bool, error) {
		return p.shard.b.store.FindTime(p.id, from, limit, ts)
	})
}

// MaxTimestamp returns the record with the largest timestamp below limit
// (Kafka's ListOffsets -3). It may read the disk.
func (p *Partition) MaxTimestamp(limit record.Offset) (TimeOffset, error) {
	return p.find(limit, func(from, limit record.Offset) (store.Found, bool, error) {
		return p.shard.b.store.FindMaxTime(p.id, from, limit)
	})
}

func (p *Partition) find(limit record.Offset, in func(from, limit record.Offset) (store.Found, bool, error)) (TimeOffset, error) {
	none := TimeOffset{Offset: -1, Timestamp: -1, Epoch: -1}
	if p.settings.Load() == nil {
		return none, ErrUnknownPartition
	}
	limit = min(limit, p.HighWatermark())
	from := p.Floor()
	if from >= limit {
		return none, nil
	}
	f, ok, err := in(from, limit)
	if err != nil || !ok {
		return none, p.readError(err)
	}
	return TimeOffset{Offset: f.Offset, Timestamp: f.Timestamp, Epoch: f.Epoch}, nil
}

// EpochEnd returns the largest leader epoch not above e that wrote records, and
// the offset after its last one (Kafka's OffsetForLeaderEpoch); for the present
// epoch the high watermark; (-1, -1) if e is negative or newer than that. For an
// e older than what is remembered it returns e and the first offset known of a
// later epoch.
func (p *Partition) EpochEnd(e record.Epoch) (record.Epoch, record.Offset) {
	current, high := p.Epoch(), p.HighWatermark()
	if l := p.epochs.Load(); l != nil {
		return l.End(current, high, e)
	}
	return -1, -1
}

// EpochAt returns the leader epoch under which offset o was written, -1 if it
// is not kept or not remembered.
func (p *Partition) EpochAt(o record.Offset) record.Epoch {
	l := p.epochs.Load()
	if l == nil || o < p.Floor() || o >= p.HighWatermark() {
		return -1
	}
	return l.At(o)
}

// DeleteRecords raises the floor to before (-1: the high watermark) and answers
// the new floor. ErrOffsetOutOfRange if before is above the high watermark.
func (p *Partition) DeleteRecords(before record.Offset, done func(floor record.Offset, err error)) {
	c := topic.DeleteRecords{Partition: p.id, Before: before}
	p.shard.propose(kindTopic, c.AppendTo(nil), func(_ any, err error) {
		if err != nil {
			done(-1, err)
			return
		}
		done(p.Floor(), nil)
	})
}

// publish makes the partition's state visible after an entry or a restore. It
// is called on the shard's loop.
func (p *Partition) publish() {
	s := p.state
	p.publishAborted()
	p.floor.Store(int64(s.LogStart()))
	p.size.Store(s.Bytes())
	p.highWatermark.Store(int64(plantWatermark(s)))
	p.lastStable.Store(int64(plantStable(s)))
}

// plantWatermark is where the planted bugs are that get the high watermark wrong.
func plantWatermark(s *topic.Partition) record.Offset {
	switch high := s.HighWatermark(); {
	case fault.On(fault.LowWatermark) && high > s.LogStart():
		return high - 1
	case fault.On(fault.HighWatermark) && high > s.LogStart():
		return high + 1
	default:
		return high
	}
}

// plantStable is where the planted bug is that gets the last stable offset wrong.
func plantStable(s *topic.Partition) record.Offset {
	stable := s.LastStable()
	if fault.On(fault.StableAhead) && stable < s.HighWatermark() {
		stable++
	}
	return stable
}

// publishAborted does so for the aborted transactions, which are rare. A reader
// that sees the last stable offset beyond one also sees that it was aborted.
func (p *Partition) publishAborted() {
	now := p.state.Aborted()
	was := p.aborted.Load()
	if was == nil && len(now) == 0 || was != nil && len(*was) == len(now) && (len(now) == 0 || &now[0] == &(*was)[0]) {
		return
	}
	shown := now // only here, so that it escapes only here
	p.aborted.Store(&shown)
}

// publishEpochs does so for the ladder of leader epochs, which changes rarely.
func (p *Partition) publishEpochs() {
	l := p.state.Epochs()
	p.epochs.Store(&l)
	p.newestEpoch = -1
	if len(l) > 0 {
		p.newestEpoch = l[len(l)-1].Epoch
	}
}

// define makes the partition usable under its present settings.
func (p *Partition) define(s *topic.Partition) {
	p.state = s
	p.writers.restored(s.Transactions())
	p.epochBase.Store(int32(s.Epoch(0)))
	p.publish()
	p.publishEpochs()
	p.settings.Store(s.Settings())
}

// drop makes the partition unusable.
func (p *Partition) drop() {
	p.state = nil
	p.settings.Store(nil)
	p.dropped.Store(true)
	p.waiters.changed()
}
