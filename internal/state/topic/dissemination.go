package topic

import "github.com/polylog-mq/polylog/internal/record"

// Dissemination. Every change of a topic is owed to each shard that holds some
// of its partitions. What a shard is owed is told in the order of revisions,
// each topic once and in its present state, by Define commands that begin
// exactly where the shard stands; so a shard needs to remember one revision to
// be safe from repeated, overtaken and late ones.

// changes is the order in which a shard is owed topics. An entry is stale when
// its topic has changed again since: the topic then has a later entry.
type changes struct {
	entries []change
	// sweepAt is the length at which stale entries are swept out.
	sweepAt int
}

type change struct {
	revision Revision
	topic    ID
}

// announce owes the latest change of t to its shards.
func (c *Catalog) announce(t *Topic) {
	n := 0
	for i := range c.shards {
		c.shards[i].queue.sweep(c)
	}
	for _, s := range c.shardsOf(t) {
		s.queue.entries = append(s.queue.entries, change{t.Revision, t.ID})
		n++
	}
	c.waiting[t.ID] = n
}

// shardsOf returns the shards that hold partitions of t, ascending.
func (c *Catalog) shardsOf(t *Topic) []*shard {
	holds := make(map[record.ShardID]bool, len(c.shards))
	for _, p := range t.Partitions {
		holds[p.Shard] = true
	}
	list := make([]*shard, 0, len(holds))
	for i := range c.shards {
		if holds[c.shards[i].id] {
			list = append(list, &c.shards[i])
		}
	}
	return list
}

// sweep drops stale entries once the queue has doubled since the last time, so
// that a topic altered again and again while a shard is away costs little.
func (q *changes) sweep(c *Catalog) {
	if len(q.entries) < max(q.sweepAt, 64) {
		return
	}
	kept := q.entries[:0]
	for _, e := range q.entries {
		if c.live(e) {
			kept = append(kept, e)
		}
	}
	q.entries = kept
	q.sweepAt = 2 * len(kept)
}

// live reports whether the entry stands for the topic's last change.
func (c *Catalog) live(e change) bool {
	t := c.topics[e.topic]
	return t != nil && t.Revision == e.revision
}

// Pending returns the next Define command that shard s is owed, and false if
// it has confirmed everything. It is to be sent again until Confirm for it is
// applied; it is idempotent, and so is Confirm. Only one should be under way
// per shard.
func (c *Catalog) Pending(s record.ShardID) (*Define, bool) {
	sh := c.shard(s)
	if sh == nil {
		return nil, false
	}
	cmd := &Define{After: sh.confirmed}
	partitions := 0
	for _, e := range sh.queue.entries {
		if !c.live(e) {
			continue
		}
		d := definition(c.topics[e.topic], s)
		partitions += len(d.Partitions)
		if n := len(cmd.Topics); n == definesPerCommand || n > 0 && partitions > partitionsPerCommand {
			break
		}
		cmd.Topics = append(cmd.Topics, d)
		cmd.Revision = e.revision
	}
	return cmd, len(cmd.Topics) > 0
}

// definition is topic t as shard s needs it.
func definition(t *Topic, s record.ShardID) Definition {
	d := Definition{Topic: t.ID, Revision: t.Revision, Dropped: t.Deleted}
	if !t.Deleted {
		d.Settings = t.Settings
	}
	for _, p := range t.Partitions {
		if p.Shard == s {
			d.Partitions = append(d.Partitions, PartitionDefinition{p.ID, p.FirstEpoch})
		}
	}
	return d
}

// Settled reports whether every shard concerned has confirmed the last change
// of topic id; true for an unknown topic (a tombstone is forgotten then).
func (c *Catalog) Settled(id ID) bool { return c.waiting[id] == 0 }

// confirm takes a shard's word that it stands at a revision.
func (c *Catalog) confirm(cmd *Confirm) (settled []*Topic) {
	sh := c.shard(cmd.Shard)
	if cmd.Revision <= sh.confirmed {
		return nil
	}
	c.pages.Touch(rootPage)
	sh.confirmed = cmd.Revision
	done := 0
	for _, e := range sh.queue.entries {
		if e.revision > cmd.Revision {
			break
		}
		done++
		if !c.live(e) {
			continue
		}
		if c.waiting[e.topic]--; c.waiting[e.topic] > 0 {
			continue
		}
		t := c.topics[e.topic]
		delete(c.waiting, e.topic)
		settled = append(settled, t)
		if t.Deleted {
			c.forget(t)
		}
	}
	sh.queue.entries = sh.queue.entries[done:]
	return settled
}

// forget removes a tombstone that every shard has confirmed.
func (c *Catalog) forget(t *Topic) {
	c.touchTopic(t.ID, 0, len(t.Partitions))
	delete(c.topics, t.ID)
	c.partitions -= len(t.Partitions)
	for _, p := range t.Partitions {
		c.shard(p.Shard).partitions--
	}
}
