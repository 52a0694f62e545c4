package group

import (
	"cmp"
	"slices"

	"github.com/polylog-mq/polylog/internal/record"
)

// topicOffsets are a group's offsets for one topic.
type topicOffsets struct {
	id    record.TopicID
	name  string
	parts map[int32]*offset
}

// offset is a committed offset.
type offset struct {
	topic     *topicOffsets
	partition int32
	offset    record.Offset
	epoch     record.Epoch
	metadata  string
	at        record.LogTime // of the commit
	expires   record.LogTime // what the commit asked for, never: by the settings

	page *offsetPage
	slot int // in page.entries
}

// offsetPage is a piece of a group's offsets that is checkpointed as a whole.
// Which page holds an offset follows from the contents of the pages alone.
type offsetPage struct {
	number  uint64
	entries []*offset
	bytes   int
}

// cost is about what an offset takes in its page.
func (o *offset) cost() int { return 32 + len(o.metadata) }

func (p *offsetPage) hasRoom() bool { return len(p.entries) < pageEntries && p.bytes < pageBytes }

// place puts an offset into the first page that has room.
func (s *State) place(g *group, o *offset) {
	for g.room < len(g.pages) && !g.pages[g.room].hasRoom() {
		g.room++
	}
	if g.room == len(g.pages) {
		g.pages = append(g.pages, &offsetPage{number: uint64(g.room)})
	}
	p := g.pages[g.room]
	s.touchOffsets(g, p)
	p.put(o)
}

func (p *offsetPage) put(o *offset) {
	o.page, o.slot = p, len(p.entries)
	p.entries = append(p.entries, o)
	p.bytes += o.cost()
}

// displace takes an offset out of its page.
func (s *State) displace(g *group, o *offset) {
	p := o.page
	s.touchOffsets(g, p)
	last := p.entries[len(p.entries)-1]
	p.entries[o.slot], last.slot = last, o.slot
	p.entries[len(p.entries)-1] = nil
	p.entries = p.entries[:len(p.entries)-1]
	p.bytes -= o.cost()
	g.room = min(g.room, int(p.number))
}

func (s *State) commit(now record.LogTime, c *Commit) error {
	g := s.groups[c.Group]
	switch {
	case g != nil:
		if err := g.mayCommit(c); err != nil {
			return err
		}
	case c.Generation >= 0:
		return ErrUnknownGroup
	case !c.hasOffsets():
		return nil
	case len(s.groups) >= MaxGroups:
		return ErrTooManyGroups
	default:
		g = s.create(c.Group, now)
	}
	expires := never
	if c.Retention >= 0 {
		expires = now + record.LogTime(min(c.Retention, maxRetention))
	}
	rule, nearest := g.expiryRule(s.settings.Retention), never
	for i := range c.Topics {
		t := &c.Topics[i]
		for _, p := range t.Partitions {
			o := s.store(g, t, p, now, expires)
			if rule != nil {
				nearest = min(nearest, rule(o))
			}
		}
	}
	if nearest < g.expires {
		s.touch(g)
		g.expires = nearest
	}
	s.schedule(g)
	return nil
}

func (c *Commit) hasOffsets() bool {
	return slices.ContainsFunc(c.Topics, func(t CommitTopic) bool { return len(t.Partitions) > 0 })
}

// mayCommit judges a commit. A member of the present generation may commit
// while the others are joining (what it gives up in a cooperative rebalance is
// committed then), but not while it waits for its assignment.
func (g *group) mayCommit(c *Commit) error {
	switch {
	case c.Generation < 0 && g.phase == Empty:
		return nil
	case c.Generation >= 0 || c.Member != "" || c.Instance != "":
		if err := g.check(c.Member, c.Instance); err != nil {
			return err
		}
		if c.Generation != g.generation {
			return ErrIllegalGeneration
		}
	case g.phase != Empty:
		return ErrUnknownMember
	}
	if g.phase == CompletingRebalance {
		return ErrRebalanceInProgress
	}
	return nil
}

func (s *State) store(g *group, t *CommitTopic, p CommitPartition, now, expires record.LogTime) *offset {
	topic := g.topics[t.Topic]
	if topic == nil {
		topic = &topicOffsets{id: t.Topic, name: t.Name, parts: map[int32]*offset{}}
		g.topics[t.Topic] = topic
		s.topics[t.Topic]++
	}
	o := topic.parts[p.Partition]
	fresh := offset{
		topic: topic, partition: p.Partition, offset: p.Offset, epoch: p.Epoch, metadata: p.Metadata,
		at: now, expires: expires,
	}
	switch {
	case o == nil:
		o = &fresh
		topic.parts[p.Partition] = o
		s.place(g, o)
	case o.page.bytes-o.cost()+fresh.cost() > pageBytes && len(o.page.entries) > 1:
		// Its text has outgrown the page.
		s.displace(g, o)
		*o = fresh
		s.place(g, o)
	default:
		s.touchOffsets(g, o.page)
		fresh.page, fresh.slot = o.page, o.slot
		o.page.bytes += fresh.cost() - o.cost()
		*o = fresh
		if o.page.hasRoom() {
			g.room = min(g.room, int(o.page.number))
		}
	}
	return o
}

// erase removes a committed offset.
func (s *State) erase(g *group, o *offset) {
	s.displace(g, o)
	delete(o.topic.parts, o.partition)
	if len(o.topic.parts) == 0 {
		delete(g.topics, o.topic.id)
		s.release(o.topic.id)
	}
}

// release notes that a group has no offsets of a topic any more.
func (s *State) release(t record.TopicID) {
	if s.topics[t]--; s.topics[t] == 0 {
		delete(s.topics, t)
	}
}

func (s *State) deleteOffsets(c *DeleteOffsets) Reply {
	g := s.groups[c.Group]
	switch {
	case g == nil:
		return Reply{Err: ErrUnknownGroup}
	case g.phase != Empty && g.protocolType != consumerType:
		return Reply{Err: ErrNotEmpty}
	}
	s.touch(g)
	r := Reply{Each: make([]error, len(c.Topics))}
	subscribed := g.subscription()
	for i, t := range c.Topics {
		if subscribed.has(t.Name) {
			r.Each[i] = ErrSubscribed
			continue
		}
		topic := g.topics[t.Topic]
		for _, p := range t.Partitions {
			if topic != nil && topic.parts[p] != nil {
				s.erase(g, topic.parts[p])
			}
		}
	}
	g.review = true
	s.schedule(g)
	return r
}

func (s *State) forget(c *Forget) {
	if !slices.ContainsFunc(c.Topics, func(t record.TopicID) bool { return s.topics[t] > 0 }) {
		return
	}
	for _, g := range s.sorted() {
		for _, id := range c.Topics {
			t := g.topics[id]
			if t == nil {
				continue
			}
			s.touch(g)
			for _, o := range t.sorted() {
				s.erase(g, o)
			}
			g.review = true
			s.schedule(g)
		}
	}
}

// sorted returns the topic's offsets ordered by partition.
func (t *topicOffsets) sorted() []*offset {
	os := make([]*offset, 0, len(t.parts))
	for _, o := range t.parts {
		os = append(os, o)
	}
	slices.SortFunc(os, compareOffsets)
	return os
}

func compareOffsets(a, b *offset) int {
	return cmp.Or(cmp.Compare(a.topic.id, b.topic.id), cmp.Compare(a.partition, b.partition))
}

// sortedOffsets returns all offsets ordered by topic id and partition.
func (g *group) sortedOffsets() []*offset {
	var os []*offset
	for _, t := range g.topics {
		for _, o := range t.parts {
			os = append(os, o)
		}
	}
	slices.SortFunc(os, compareOffsets)
	return os
}
