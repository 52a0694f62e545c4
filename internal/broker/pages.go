package broker

import (
	"fmt"
	"maps"
	"slices"

	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/state/dedup"
	"github.com/polylog-mq/polylog/internal/state/topic"
	"github.com/polylog-mq/polylog/internal/store"
)

// pageKind is the first byte of a page's key: whose it is. The numbers are in
// checkpoints: they never change their meaning. A component's is its command
// kind.
type pageKind = commandKind

const (
	pageProducers = kindAppend
	pageTopics    = kindTopic
	pageCatalog   = kindCatalog
	pageSchedule  = kindLater
	pageRoutes    = kindRoute
	pageAccess    = kindAccess
	pageParameter = kindParameter
)

// pages makes the pages of several sections those of one state machine.
type pages struct {
	kinds    []pageKind
	sections []section
	// encoding is the section whose pages are being written out.
	encoding int
}

func (p *pages) add(k pageKind, s section) {
	p.kinds = append(p.kinds, k)
	p.sections = append(p.sections, s)
}

func (p *pages) freeze() {
	for _, s := range p.sections {
		s.Freeze()
	}
	p.encoding = 0
}

func (p *pages) encode(emit func(key, value []byte), more func() bool) bool {
	for ; p.encoding < len(p.sections); p.encoding++ {
		prefix := byte(p.kinds[p.encoding])
		if !p.sections[p.encoding].EncodePages(func(key, value []byte) {
			emit(slices.Concat([]byte{prefix}, key), value)
		}, more) {
			return false
		}
	}
	return true
}

func (p *pages) restore(source replica.PageSource) error {
	err := source(func(key, value []byte) error {
		if len(key) == 0 {
			return fmt.Errorf("a page without a key")
		}
		if fault.On(fault.ForgetDedup) && pageKind(key[0]) == pageProducers {
			return nil
		}
		i := slices.Index(p.kinds, pageKind(key[0]))
		if i < 0 {
			return fmt.Errorf("a page of unknown kind %d", key[0])
		}
		return p.sections[i].RestorePage(key[1:], value)
	})
	if err != nil {
		return err
	}
	for _, s := range p.sections {
		if err := s.Restored(); err != nil {
			return err
		}
	}
	return nil
}

// Freeze implements replica.StateMachine.
func (s *shard) Freeze() { s.pages.freeze() }

// EncodePages implements replica.StateMachine.
func (s *shard) EncodePages(emit func(key, value []byte), more func() bool) bool {
	return s.pages.encode(emit, more)
}

// Durable implements replica.Spiller.
func (s *shard) Durable() {
	s.queues.state.Durable()
	s.queues.schedule.Durable()
}

// source returns what reads the pages of one kind that the durable checkpoint of
// the shard has.
func (s *shard) source(k pageKind) func(from, to []byte, yield func(key, value []byte) error) error {
	prefix := []byte{byte(k)}
	return func(from, to []byte, yield func(key, value []byte) error) error {
		return s.b.store.PagesBetween(s.id, slices.Concat(prefix, from), slices.Concat(prefix, to), func(key, value []byte) error {
			return yield(key[1:], value)
		})
	}
}

// reset empties the state and lists its sections anew.
func (s *shard) reset() {
	s.topics, s.producers = topic.NewPartitions(), dedup.New()
	s.pages = pages{}
	s.pages.add(pageTopics, s.topics)
	s.pages.add(pageProducers, s.producers)
	for _, c := range s.components {
		c.reset()
		s.pages.add(c.kind(), c)
	}
	s.pages.add(pageSchedule, s.queues.schedule)
}

// Restore implements replica.StateMachine.
func (s *shard) Restore(source replica.PageSource) error {
	s.reset()
	if err := s.pages.restore(source); err != nil {
		return fmt.Errorf("restoring shard %d: %w", s.id, err)
	}
	gone := s.parts
	s.parts = make(map[record.PartitionID]*Partition, len(gone))
	for _, st := range s.topics.All() {
		id := st.ID()
		if p := gone[id]; p != nil {
			s.parts[id] = p
			delete(gone, id)
		}
		s.define(st)
		if st.HighWatermark() > st.LogStart() {
			s.b.store.SetEnd(id, st.HighWatermark())
		}
		s.compact(0, st)
	}
	for _, id := range slices.Sorted(maps.Keys(gone)) {
		s.b.forget(id)
		s.queues.drop(gone[id])
		gone[id].drop()
	}
	return nil
}

// SnapshotRanges implements replica.StateMachine.
func (s *shard) SnapshotRanges(source replica.PageSource) ([]replica.Range, error) {
	topics := topic.NewPartitions()
	err := source(func(key, value []byte) error {
		if len(key) == 0 || pageKind(key[0]) != pageTopics {
			return nil
		}
		return topics.RestorePage(key[1:], value)
	})
	if err == nil {
		err = topics.Restored()
	}
	if err != nil {
		return nil, fmt.Errorf("reading a snapshot of shard %d: %w", s.id, err)
	}
	var ranges []replica.Range
	for _, p := range topics.All() {
		if from, next := p.LogStart(), p.HighWatermark(); from < next {
			ranges = append(ranges, replica.Range{Partition: p.ID(), From: from, Next: next})
		}
	}
	return ranges, nil
}

// storePages makes what was encoded the pages of a cut.
func storePages(cut *store.GroupCut, p *pages) {
	p.freeze()
	p.encode(func(key, value []byte) {
		cut.Pages = append(cut.Pages, store.Page{Key: key, Value: value})
	}, func() bool { return true })
}
