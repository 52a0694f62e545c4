package broker

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/state/topic"
)

// mark is what a transaction's coordinator tells the partitions of a shard: that
// a producer may write a transaction, or that one has ended. It is a command of
// its own since it concerns state/dedup as well as state/topic. Applied twice it
// does what it does once.
type mark struct {
	ends     bool
	commit   bool // if it ends
	producer int64
	epoch    int16
	number   uint64 // of the producer's transaction

	partitions []record.PartitionID
	// batch is the control batch that every partition which the transaction has
	// written to gets, if it ends. Decoded, it aliases the entry.
	batch []byte
	// coordinator is the coordinator's epoch, read from batch when applied.
	coordinator int32
}

// The bits of a mark's flag byte.
const (
	markEnds = 1 << iota
	markCommits
	markFlags = 1<<iota - 1
)

// appendTo appends the logged form, drawn in docs/format/entry.md.
func (m *mark) appendTo(dst []byte) []byte {
	var flags byte
	if m.ends {
		flags |= markEnds
	}
	if m.commit {
		flags |= markCommits
	}
	dst = codec.AppendVarint(append(dst, flags), m.producer)
	dst = codec.AppendVarint(dst, m.epoch)
	dst = codec.AppendUvarint(dst, m.number)
	dst = codec.AppendUvarint(dst, uint(len(m.partitions)))
	for _, id := range m.partitions {
		dst = codec.AppendUvarint(dst, id)
	}
	return append(dst, m.batch...)
}

func decodeMark(payload []byte) (*mark, error) {
	r := codec.NewReader(payload)
	flags := r.Byte()
	if flags&^markFlags != 0 {
		r.Fail("flags %#x of a mark", flags)
	}
	m := &mark{
		ends: flags&markEnds != 0, commit: flags&markCommits != 0,
		producer: r.Varint(0, math.MaxInt64), epoch: int16(r.Varint(0, math.MaxInt16)), number: r.Uvarint(math.MaxUint64),
	}
	m.partitions = make([]record.PartitionID, r.Count(maxMarked, 1))
	for i := range m.partitions {
		m.partitions[i] = record.PartitionID(r.Uvarint(math.MaxUint64))
	}
	if r.Err() != nil {
		return nil, fmt.Errorf("%w: a mark: %w", errBody, r.Err())
	}
	m.batch = payload[len(payload)-r.Len():]
	return m, nil
}

// controlBatch builds a transaction's marker: one control record, whose key is a
// version and the type, and whose value a version and the coordinator's epoch
// (Kafka's EndTxnMarker).
func controlBatch(m *mark, coordinator record.Term, now int64) ([]byte, error) {
	var key [4]byte
	if m.commit {
		key[3] = 1
	}
	var value [6]byte
	binary.BigEndian.PutUint32(value[2:], uint32(min(coordinator, math.MaxInt32)))
	var b record.Builder
	b.Reset(record.MarkerTemplate(m.producer, m.epoch))
	b.Add(record.Record{Timestamp: now, Key: key[:], Value: value[:]})
	return b.AppendTo(nil)
}

// coordinatorEpoch reads what controlBatch wrote into a marker's value; 0 where
// there is no such value.
func coordinatorEpoch(batch []byte) (epoch int32, err error) {
	err = record.Records(batch, func(r record.Record) error {
		if len(r.Value) == 6 {
			epoch = int32(binary.BigEndian.Uint32(r.Value[2:]) & math.MaxInt32)
		}
		return record.SkipRest
	})
	return epoch, err
}

// applyMark carries out a mark, whose payload ends at byte end of the entry's
// data. The result of a local one is an error for each partition.
func (s *shard) applyMark(e *replica.Entry, payload []byte, end int) error {
	m, err := decodeMark(payload)
	if err != nil {
		return err
	}
	var h record.Header
	if m.ends {
		if h, err = record.ParseHeader(m.batch); err != nil {
			return fmt.Errorf("%w: the batch of a marker: %w", errBody, err)
		}
		if m.coordinator, err = coordinatorEpoch(m.batch); err != nil {
			return fmt.Errorf("%w: the batch of a marker: %w", errBody, err)
		}
	}
	each := make([]error, len(m.partitions))
	for i, id := range m.partitions {
		p := s.parts[id]
		switch {
		case p == nil || p.state.Dropped():
			each[i] = ErrUnknownPartition
		case m.ends:
			each[i] = s.endTransaction(e, m, &h, p, uint32(e.Base+end-len(m.batch)))
		default:
			each[i] = s.enlist(m, p)
		}
	}
	if local := s.locals.command(); local != nil {
		local.result = each
	}
	return nil
}

// enlist lets a producer write to a partition, unless its epoch was shut out.
func (s *shard) enlist(m *mark, p *Partition) error {
	if known := s.producers.Epoch(p.id, m.producer); m.epoch < known {
		return fmt.Errorf("%w: producer %d enlists with epoch %d after %d", ErrProducerEpoch, m.producer, m.epoch, known)
	}
	err := s.topics.Enlist(p.state, topic.Transaction{Producer: m.producer, Epoch: m.epoch, Number: m.number})
	if err == nil {
		p.writers.enlisted(m.producer, m.epoch)
	}
	return err
}

// endTransaction closes a transaction in a partition: with the marker, whose
// batch lies at pos of the stored entry, if it has written there.
func (s *shard) endTransaction(e *replica.Entry, m *mark, h *record.Header, p *Partition, pos uint32) error {
	if known := s.producers.Epoch(p.id, m.producer); m.epoch < known {
		return fmt.Errorf("%w: producer %d, a marker of epoch %d after %d", ErrProducerEpoch, m.producer, m.epoch, known)
	}
	s.producers.Fence(e.Now, p.id, m.producer, m.epoch, m.coordinator)
	enlisted, wrote := p.state.Ends(m.producer, m.epoch, m.number)
	if !enlisted {
		return nil
	}
	p.writers.dismissed(m.producer)
	marker := record.Offset(-1)
	if wrote {
		a := appending{s: s, e: e, target: target{partition: p.id}, part: p, pos: pos}
		v := s.topics.Append(e.Now, e.Term, p.state, topic.Batch{Offsets: 1, Size: int32(len(m.batch)), MaxTimestamp: h.MaxTimestamp})
		marker = v.Base
		a.extend(h, len(m.batch), v)
		a.flush()
		p.decided = true
	}
	s.topics.End(e.Now, p.state, m.producer, m.commit, marker)
	return nil
}
