package group

import (
	"cmp"
	"slices"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
)

// Offsets that are committed as part of a transaction (KIP-98). A producer is
// enlisted with the group before it may commit any; they stay pending until the
// decision of the transaction's coordinator comes, which makes them the group's
// or drops them. What has been decided is remembered by its number, so that a
// command that comes late cannot open it again.

// Enlist lets a producer commit offsets of its transaction of this number.
// ErrStillOpen, ErrNotEnlisted (the transaction is decided), ErrTooManyGroups.
type Enlist struct {
	Group    string
	Producer int64
	Epoch    int16
	Number   uint64
}

// TxnCommit stores offsets as part of the transaction that the producer is
// enlisted with. Retention is not looked at. A member and generation are checked
// if there are any (KIP-447). ErrNotEnlisted, and what Commit answers.
type TxnCommit struct {
	Commit
	Producer int64
	Epoch    int16
}

// Resolve carries out the decision on a transaction.
type Resolve struct {
	Group    string
	Producer int64
	// Epoch shuts out older ones.
	Epoch  int16
	Number uint64
	Commit bool
}

// txn is what a group knows of a producer's present or last transaction.
type txn struct {
	producer int64
	epoch    int16
	number   uint64
	open     bool
	at       record.LogTime // when it was opened or closed
	offsets  []pendingOffset
}

// pendingOffset is an offset that takes effect when its transaction commits.
type pendingOffset struct {
	topic record.TopicID
	name  string
	CommitPartition
	at record.LogTime // of the commit
}

func (o *pendingOffset) compare(topic record.TopicID, partition int32) int {
	return cmp.Or(cmp.Compare(o.topic, topic), cmp.Compare(o.Partition, partition))
}

func (t *txn) find(topic record.TopicID, partition int32) (int, bool) {
	return slices.BinarySearchFunc(t.offsets, 0, func(o pendingOffset, _ int) int { return o.compare(topic, partition) })
}

func (s *State) enlist(now record.LogTime, c *Enlist) error {
	g := s.groups[c.Group]
	switch {
	case g != nil:
	case len(s.groups) >= MaxGroups:
		return ErrTooManyGroups
	default:
		g = s.create(c.Group, now)
		s.schedule(g)
	}
	if t := g.txns[c.Producer]; t != nil {
		switch {
		case t.number == c.Number && t.open:
			return nil
		case c.Epoch < t.epoch:
			return ErrProducerEpoch
		case c.Number <= t.number:
			return ErrNotEnlisted
		case t.open && len(t.offsets) > 0:
			return ErrStillOpen
		}
	}
	s.putTxn(g, &txn{producer: c.Producer, epoch: c.Epoch, number: c.Number, open: true, at: now})
	return nil
}

// putTxn replaces what is known of a producer. Beyond a limit those whose
// transactions ended longest ago are forgotten.
func (s *State) putTxn(g *group, t *txn) {
	s.touchTxn(g, t.producer)
	if g.txns == nil {
		g.txns = map[int64]*txn{}
	}
	g.txns[t.producer] = t
	if len(g.txns) <= maxProducers {
		return
	}
	var oldest *txn
	for _, o := range g.sortedTxns() {
		if !o.open && (oldest == nil || o.at < oldest.at) {
			oldest = o
		}
	}
	if oldest != nil {
		s.touchTxn(g, oldest.producer)
		delete(g.txns, oldest.producer)
	}
}

func (s *State) commitTxn(now record.LogTime, c *TxnCommit) error {
	g := s.groups[c.Group]
	if g == nil {
		return ErrNotEnlisted
	}
	t := g.txns[c.Producer]
	switch {
	case t != nil && c.Epoch < t.epoch:
		return ErrProducerEpoch
	case t == nil || !t.open || t.epoch != c.Epoch:
		return ErrNotEnlisted
	}
	if c.Generation >= 0 || c.Member != "" || c.Instance != "" {
		if err := g.check(c.Member, c.Instance); err != nil {
			return err
		}
		if c.Generation != g.generation {
			return ErrIllegalGeneration
		}
	}
	s.touchTxn(g, t.producer)
	for i := range c.Topics {
		topic := &c.Topics[i]
		for _, p := range topic.Partitions {
			o := pendingOffset{topic: topic.Topic, name: topic.Name, CommitPartition: p, at: now}
			at, ok := t.find(o.topic, o.Partition)
			switch {
			case ok:
				t.offsets[at] = o
			case len(t.offsets) >= maxPending:
				return ErrTooLarge
			default:
				t.offsets = slices.Insert(t.offsets, at, o)
			}
		}
	}
	return nil
}

func (s *State) resolve(now record.LogTime, c *Resolve) {
	g := s.groups[c.Group]
	if g == nil {
		return
	}
	t := g.txns[c.Producer]
	if t != nil && (t.number > c.Number || !t.open && t.number == c.Number) {
		return
	}
	s.putTxn(g, &txn{producer: c.Producer, epoch: c.Epoch, number: c.Number, at: now})
	if t == nil || !t.open || t.number != c.Number || !c.Commit {
		return
	}
	s.touch(g)
	for i := range t.offsets {
		p := &t.offsets[i]
		if topic := g.topics[p.topic]; topic != nil && topic.parts[p.Partition] != nil && topic.parts[p.Partition].at > p.at {
			continue // committed outside of the transaction since
		}
		s.store(g, &CommitTopic{Topic: p.topic, Name: p.name}, p.CommitPartition, now, never)
	}
	g.review = true
	s.schedule(g)
}

// busy reports whether a transaction may yet commit offsets of the group.
func (g *group) busy() bool {
	for _, t := range g.txns {
		if t.open {
			return true
		}
	}
	return false
}

// Unstable reports whether a transaction under way has committed an offset for a
// partition, so that the one that Offset returns may be replaced by it.
func (s *State) Unstable(group string, topic record.TopicID, partition int32) bool {
	g := s.groups[group]
	if g == nil {
		return false
	}
	for _, t := range g.txns {
		if _, ok := t.find(topic, partition); ok {
			return true
		}
	}
	return false
}

func (g *group) sortedTxns() []*txn {
	all := make([]*txn, 0, len(g.txns))
	for _, t := range g.txns {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *txn) int { return cmp.Compare(a.producer, b.producer) })
	return all
}

// touchTxn must be called before a change of what is known of a producer.
func (s *State) touchTxn(g *group, producer int64) {
	s.pages.Touch(pageKey{kind: pageTxn, group: g.id, number: uint64(producer)})
}

// AppendTo implements Command.
func (c *Enlist) AppendTo(dst []byte) []byte {
	dst = codec.AppendBytes(append(dst, kindEnlist), c.Group)
	dst = codec.AppendVarint(dst, c.Producer)
	dst = codec.AppendVarint(dst, c.Epoch)
	return codec.AppendUvarint(dst, c.Number)
}

// AppendTo implements Command.
func (c *TxnCommit) AppendTo(dst []byte) []byte {
	dst = codec.AppendVarint(append(dst, kindTxnCommit), c.Producer)
	dst = codec.AppendVarint(dst, c.Epoch)
	return c.appendBody(dst)
}

// AppendTo implements Command.
func (c *Resolve) AppendTo(dst []byte) []byte {
	dst = codec.AppendBytes(append(dst, kindResolve), c.Group)
	dst = codec.AppendVarint(dst, c.Producer)
	dst = codec.AppendVarint(dst, c.Epoch)
	dst = codec.AppendUvarint(dst, c.Number)
	return codec.AppendBool(dst, c.Commit)
}

func (t *txn) append(dst []byte) []byte {
	dst = codec.AppendVarint(dst, t.epoch)
	dst = codec.AppendUvarint(dst, t.number)
	dst = codec.AppendBool(dst, t.open)
	dst = codec.AppendVarint(dst, t.at)
	dst = codec.AppendUvarint(dst, uint(len(t.offsets)))
	for i := range t.offsets {
		o := &t.offsets[i]
		dst = codec.AppendUvarint(dst, o.topic)
		dst = codec.AppendBytes(dst, o.name)
		dst = codec.AppendVarint(dst, o.Partition)
		dst = codec.AppendVarint(dst, o.Offset)
		dst = codec.AppendVarint(dst, o.Epoch)
		dst = codec.AppendBytes(dst, o.Metadata)
		dst = codec.AppendVarint(dst, o.at)
	}
	return dst
}

func (g *group) loadTxn(producer uint64, r *reader) {
	t := &txn{producer: int64(producer), epoch: r.epoch(), number: r.uint64(), open: r.Bool(), at: r.time()}
	if n := r.count(7); n > 0 {
		t.offsets = make([]pendingOffset, n)
	}
	for i := range t.offsets {
		o := &t.offsets[i]
		o.topic, o.name = r.topic(), r.name()
		o.CommitPartition = CommitPartition{
			Partition: r.int32(), Offset: record.Offset(r.int64()), Epoch: record.Epoch(r.int32()), Metadata: r.String(MaxOffsetMetadata),
		}
		o.at = r.time()
		if i > 0 && t.offsets[i-1].compare(o.topic, o.Partition) >= 0 {
			r.Fail("pending offsets out of order")
		}
	}
	if g.txns == nil {
		g.txns = map[int64]*txn{}
	}
	g.txns[t.producer] = t
}
