package topic

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/polylog-mq/polylog/internal/due"
	"github.com/polylog-mq/polylog/internal/page"
	"github.com/polylog-mq/polylog/internal/record"
)

// Partitions is the state of a data shard's partitions.
type Partitions struct {
	revision   Revision
	topics     map[ID]*shardTopic
	partitions map[record.PartitionID]*Partition
	due        due.Queue[*Partition] // partitions with something that can expire

	pages *page.Set[shardPage]
	// cut counts the cuts, so that a partition that was touched since the last
	// one is known without a look-up.
	cut uint32

	// Between RestorePage and Restored.
	restoring        map[shardPage]restoredSegments
	restoringOpen    map[record.PartitionID]restoredOpen
	restoringAborted map[shardPage]restoredAborted
}

// shardTopic is what the partitions of a topic have in common in one shard.
type shardTopic struct {
	id         ID
	revision   Revision
	settings   *Settings
	partitions int
}

// NewPartitions returns the state of a shard without partitions.
func NewPartitions() *Partitions {
	s := &Partitions{
		topics:     map[ID]*shardTopic{},
		partitions: map[record.PartitionID]*Partition{},
		restoring:  map[shardPage]restoredSegments{},

		restoringOpen:    map[record.PartitionID]restoredOpen{},
		restoringAborted: map[shardPage]restoredAborted{},
		cut:              1,
	}
	s.pages = page.New(s.encodePage)
	return s
}

// Floor says that a partition begins at Offset now: what lies below is no
// longer wanted.
type Floor struct {
	Partition record.PartitionID
	Offset    record.Offset
}

// Effects collects what the outside must do after commands and ticks. The
// caller reuses it.
type Effects struct {
	Defined []*Partition         // new, or under new settings
	Dropped []record.PartitionID // gone with their data
	Floors  []Floor              // raised log starts
	// Compactions are the partitions that may be compacted further.
	Compactions []*Partition
}

// Reset empties e and keeps its memory.
func (e *Effects) Reset() {
	clear(e.Defined)
	clear(e.Compactions)
	e.Defined, e.Dropped, e.Floors, e.Compactions = e.Defined[:0], e.Dropped[:0], e.Floors[:0], e.Compactions[:0]
}

// Revision returns up to which revision of the catalog this shard is defined:
// what Confirm is to carry.
func (s *Partitions) Revision() Revision { return s.revision }

// Lookup returns the partition with this id, nil if it is not defined here.
func (s *Partitions) Lookup(id record.PartitionID) *Partition { return s.partitions[id] }

// All returns the partitions in ascending order of their ids.
func (s *Partitions) All() []*Partition {
	return slices.SortedFunc(maps.Values(s.partitions), func(a, b *Partition) int { return cmp.Compare(a.id, b.id) })
}

// Apply carries out a command at the shard's term, or changes nothing and
// returns an error: ErrStale (Define), ErrUnknownPartition, ErrOffsetOutOfRange
// and ErrPolicy (DeleteRecords). What follows from it is appended to fx.
func (s *Partitions) Apply(now record.LogTime, term record.Term, cmd ShardCommand, fx *Effects) error {
	switch cmd := cmd.(type) {
	case *Define:
		return s.define(now, term, cmd, fx)
	case *DeleteRecords:
		return s.deleteRecords(now, cmd, fx)
	}
	return nil
}

func (s *Partitions) define(now record.LogTime, term record.Term, cmd *Define, fx *Effects) error {
	if cmd.After != s.revision || cmd.Revision <= s.revision {
		return fmt.Errorf("%w: definitions of revisions %d to %d, the shard stands at %d",
			ErrStale, cmd.After, cmd.Revision, s.revision)
	}
	s.pages.Touch(shardPage{kind: pageShard})
	s.revision = cmd.Revision
	base := -record.Epoch(term)
	if cmd.TermIsEpoch {
		base = 0
	}
	for i := range cmd.Topics {
		if d := &cmd.Topics[i]; d.Dropped {
			s.drop(d, fx)
		} else {
			s.defineTopic(now, base, d, fx)
		}
	}
	return nil
}

// defineTopic takes over what a topic is. Its partitions' leader epochs are
// base plus the shard's term, or more.
func (s *Partitions) defineTopic(now record.LogTime, base record.Epoch, d *Definition, fx *Effects) {
	t := s.topics[d.Topic]
	if t != nil && d.Revision <= t.revision {
		return
	}
	s.pages.Touch(shardPage{kind: pageShardTopic, id: uint64(d.Topic)})
	if t == nil {
		t = &shardTopic{id: d.Topic}
		s.topics[d.Topic] = t
	}
	t.revision, t.settings = d.Revision, d.Settings
	for _, pd := range d.Partitions {
		p := s.partitions[pd.ID]
		if p == nil {
			p = &Partition{id: pd.ID, topic: t, epochBase: base}
			s.touch(p)
			s.partitions[pd.ID] = p
			t.partitions++
		}
		if first := base + pd.FirstEpoch; first > p.epochBase {
			s.touch(p)
			p.epochBase = first
		}
		s.schedule(now, p)
		fx.Defined = append(fx.Defined, p)
	}
}

func (s *Partitions) drop(d *Definition, fx *Effects) {
	for _, pd := range d.Partitions {
		p := s.partitions[pd.ID]
		if p == nil {
			continue
		}
		s.touch(p)
		s.touchSegments(p, p.firstSealed, p.firstSealed+uint64(len(p.sealed)))
		s.touchOpen(p)
		s.touchAborted(p, p.txns.firstAborted, p.txns.firstAborted+uint64(len(p.txns.aborted)))
		s.unschedule(p)
		delete(s.partitions, p.id)
		p.dropped = true
		fx.Dropped = append(fx.Dropped, p.id)
		if p.topic.partitions--; p.topic.partitions == 0 {
			s.pages.Touch(shardPage{kind: pageShardTopic, id: uint64(p.topic.id)})
			delete(s.topics, p.topic.id)
		}
	}
}

func (s *Partitions) deleteRecords(now record.LogTime, cmd *DeleteRecords, fx *Effects) error {
	p := s.partitions[cmd.Partition]
	if p == nil {
		return fmt.Errorf("%w: %d", ErrUnknownPartition, cmd.Partition)
	}
	if set := p.Settings(); set.Compact && !set.Delete {
		return fmt.Errorf("%w: the topic is only compacted", ErrPolicy)
	}
	before := cmd.Before
	if before == -1 {
		before = p.next
	}
	if before < 0 || before > p.next {
		return fmt.Errorf("%w: deleting below %d, the high watermark is %d", ErrOffsetOutOfRange, cmd.Before, p.next)
	}
	if before <= p.start {
		return nil
	}
	s.touch(p)
	s.removeBelow(p, before)
	s.raise(p, before, fx)
	s.schedule(now, p)
	return nil
}

// Trim raises the log start of a partition to o, of which a lease set says that
// nothing below it is wanted.
func (s *Partitions) Trim(now record.LogTime, p *Partition, o record.Offset, fx *Effects) {
	if o <= p.start || o > p.next {
		return
	}
	s.touch(p)
	s.removeBelow(p, o)
	s.raise(p, o, fx)
	s.schedule(now, p)
}

// raise moves the log start up to o.
func (s *Partitions) raise(p *Partition, o record.Offset, fx *Effects) {
	p.start = o
	p.epochs = p.epochs.from(o)
	s.trimAborted(p)
	fx.Floors = append(fx.Floors, Floor{p.id, o})
}

// touch must be called before every change of p; it costs a look-up only the
// first time after a cut.
func (s *Partitions) touch(p *Partition) {
	if p.touched != s.cut {
		s.pages.Touch(shardPage{kind: pagePartition, id: uint64(p.id)})
		p.touched = s.cut
	}
}
