package broker

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/state/lease"
)

// move takes dead letters of one queue to targets in one shard. If that is the
// queue's own, they are settled there by the same command. Each is known by its
// number, which the targets remember: told twice, it arrives once.
type move struct {
	source record.PartitionID
	// buries says that the letters are settled in the source, and count only
	// while they are dying there.
	buries  bool
	letters []letter
}

// letter is one dead letter.
type letter struct {
	number  uint64
	bytes   int64 // of the body, if the source still counts it
	targets []target
	body    int64 // its size
	batch   []byte
	// at is where batch lies within the payload it was decoded from.
	at int
}

// appendTo appends the logged form, drawn in docs/format/entry.md.
func (m *move) appendTo(dst []byte) []byte {
	dst = codec.AppendBool(codec.AppendUvarint(dst, m.source), m.buries)
	dst = codec.AppendUvarint(dst, uint(len(m.letters)))
	for i := range m.letters {
		l := &m.letters[i]
		dst = codec.AppendVarint(codec.AppendUvarint(dst, l.number), l.bytes)
		dst = codec.AppendUvarint(dst, uint(len(l.targets)))
		for _, t := range l.targets {
			dst = append(binary.LittleEndian.AppendUint64(dst, uint64(t.partition)), t.level)
		}
		dst = codec.AppendBytes(codec.AppendVarint(dst, l.body), l.batch)
	}
	return dst
}

func decodeMove(payload []byte) (*move, error) {
	r := codec.NewReader(payload)
	m := &move{source: record.PartitionID(r.Uvarint(math.MaxUint64)), buries: r.Bool()}
	m.letters = make([]letter, r.Count(maxLetters, 5))
	for i := range m.letters {
		l := &m.letters[i]
		l.number, l.bytes = r.Uvarint(math.MaxUint64), r.Varint(0, math.MaxInt64)
		l.targets = make([]target, r.Count(maxTargets, targetSize))
		for j := range l.targets {
			var id [8]byte
			for k := range id {
				id[k] = r.Byte()
			}
			l.targets[j] = target{record.PartitionID(binary.LittleEndian.Uint64(id[:])), r.Byte()}
		}
		l.body = r.Varint(0, math.MaxInt64)
		l.batch = r.Bytes(math.MaxInt32)
		l.at = len(payload) - r.Len() - len(l.batch)
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("%w: a move: %w", errBody, err)
	}
	return m, nil
}

// applyMove carries out a move, whose payload ends at byte end of the entry's
// data.
func (s *shard) applyMove(e *replica.Entry, payload []byte, end int) error {
	m, err := decodeMove(payload)
	if err != nil {
		return err
	}
	if local := s.locals.command(); local != nil {
		local.result = true
	}
	source := s.queues.state.Lookup(m.source)
	for i := range m.letters {
		l := &m.letters[i]
		var dead lease.Dead
		if m.buries {
			waits := false
			if source != nil {
				dead, waits = source.Dead(l.number)
			}
			if !waits {
				continue
			}
		}
		for _, t := range l.targets {
			if fault.On(fault.LoseLetter) && l.number%4 == 0 {
				continue
			}
			if err := s.deliver(e, m.source, l, t, uint32(e.Base+end-len(payload)+l.at)); err != nil {
				return err
			}
		}
		if m.buries {
			s.queues.state.Bury(source, l.number, l.bytes)
			s.queues.gone(m.source, dead.Offset)
		}
	}
	if m.buries && source != nil {
		s.queues.changed(e, source)
	}
	return nil
}

// deliver appends a dead letter, whose batch lies at pos of the stored entry, to
// one target, unless it has come before.
func (s *shard) deliver(e *replica.Entry, from record.PartitionID, l *letter, t target, pos uint32) error {
	p := s.parts[t.partition]
	if p == nil || p.state.Dropped() {
		return nil
	}
	if !s.queues.state.Arrived(t.partition, from, l.number) {
		return nil
	}
	a := appending{s: s, e: e, target: t, part: p, pos: pos, facts: facts{ttl: -1, bytes: l.body}}
	if fault.On(fault.RepeatLetter) && l.number%4 == 0 {
		again := a
		if err := again.all(l.batch); err != nil {
			return err
		}
	}
	return a.all(l.batch)
}
