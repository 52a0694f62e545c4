package txn

import (
	"fmt"
	"math"
	"slices"

	"github.com/polylog-mq/polylog/internal/codec"
)

// Freeze makes the present state the cut of a checkpoint.
func (s *State) Freeze() { s.pages.Freeze() }

// EncodePages emits pages of the cut, one per transactional id, a nil value for
// one that is gone, until more returns false or all are emitted, and reports
// whether all are. The key is the id. The slices belong to the receiver.
func (s *State) EncodePages(emit func(key, value []byte), more func() bool) (done bool) {
	for more() {
		if !s.pages.Next(func(id string, value []byte) { emit([]byte(id), value) }) {
			return true
		}
	}
	return false
}

func (s *State) encodePage(dst []byte, id string) ([]byte, bool) {
	t := s.ids[id]
	if t == nil {
		return dst, false
	}
	dst = append(dst, pageVersion, byte(t.phase))
	dst = codec.AppendVarint(dst, t.timeout)
	dst = codec.AppendVarint(dst, t.producer)
	dst = codec.AppendVarint(dst, t.epoch)
	dst = codec.AppendVarint(dst, t.lastEpoch)
	dst = codec.AppendVarint(dst, t.previous)
	dst = codec.AppendVarint(dst, t.next)
	dst = codec.AppendBool(dst, t.bumps)
	dst = codec.AppendUvarint(dst, t.number)
	dst = codec.AppendVarint(dst, t.started)
	dst = codec.AppendVarint(dst, t.updated)
	return appendTargets(dst, t.partitions, t.groups), true
}

// RestorePage takes a page of a checkpoint, in any order, into a new State. It
// keeps no reference to the slices. Its error wraps codec.ErrMalformed.
func (s *State) RestorePage(key, value []byte) error {
	r := &reader{codec.NewReader(value)}
	if v := r.Byte(); v != pageVersion {
		r.Fail("version %d of a page, this program knows %d", v, pageVersion)
	}
	t := &txn{
		id: string(key), phase: Phase(r.Byte()), timeout: r.int32(), producer: r.producer(), epoch: r.epoch(),
		lastEpoch: r.epoch(), previous: r.producer(), next: r.producer(), bumps: r.Bool(),
		number: r.Uvarint(math.MaxUint64), started: r.time(), updated: r.time(),
	}
	t.partitions, t.groups = r.targets()
	switch {
	case t.phase >= Dead || s.ids[t.id] != nil || t.timeout <= 0 || t.timeout > MaxTimeout:
		r.Fail("phase %d, timeout %d, or the id twice", t.phase, t.timeout)
	case t.updated < 0 || t.updated > maxTime || t.started < 0 || t.started > maxTime:
		r.Fail("times %d and %d", t.started, t.updated)
	case !slices.IsSortedFunc(t.partitions, byPartition) || !slices.IsSorted(t.groups):
		r.Fail("targets out of order")
	}
	if err := r.Close(); err != nil {
		return fmt.Errorf("transactional id %q: %w", key, err)
	}
	s.ids[t.id] = t
	return nil
}

// maxTime is later than any log time, and safe to add to.
const maxTime = math.MaxInt64 / 2

// Restored ends the loading.
func (s *State) Restored() error {
	for _, t := range s.sorted() {
		s.schedule(t)
	}
	return nil
}
