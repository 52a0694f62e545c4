package topic

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"

	"github.com/polylog-mq/polylog/internal/page"
	"github.com/polylog-mq/polylog/internal/record"
)

// ID is a topic's number.
type ID = record.TopicID

// UUID is a topic's public identity. Whoever proposes its creation draws it.
type UUID [16]byte

// Revision counts the changes of a catalog: every change takes the next one.
// The first is 1.
type Revision uint64

// Slot is one of the 1,024 places that what has no home of its own hashes to.
type Slot uint16

// Topic is one topic, as of Revision. It never changes: a change makes a new
// one.
type Topic struct {
	ID     ID
	UUID   UUID
	Tenant string // "" is the default tenant
	Name   string
	// Created is the log time of the creation.
	Created record.LogTime
	// Revision is the last change of anything below.
	Revision Revision
	// Config holds the settings that differ from the defaults, sorted by name.
	Config []Config
	// Settings is Config over the defaults, typed.
	Settings *Settings
	// Partitions is indexed by partition number.
	Partitions []Placement
	// Lease is the settings of the topic's lease set, in the encoding of package
	// lease; nil if the topic is no queue. Settings carries it to the shard.
	Lease []byte
	// Attributes are what a protocol keeps beside a queue or a stream, opaque; nil
	// of a topic that is neither.
	Attributes []byte
	// Deleted marks a tombstone: the topic is gone, but shards may hold data
	// of it yet.
	Deleted bool
}

// Placement says where a partition lives.
type Placement struct {
	ID    record.PartitionID
	Shard record.ShardID
	// FirstEpoch is the leader epoch that the partition begins with in its
	// shard: 0, and after a move to another shard one above all before.
	FirstEpoch record.Epoch
}

func (t *Topic) key() name { return name{t.Tenant, t.Name} }

// Result is what a catalog command did.
type Result struct {
	// Topic is the topic after the change (a tombstone after DeleteTopic), nil
	// for commands that concern none.
	Topic *Topic
	// Revision is the catalog's revision after the command.
	Revision Revision
	// FirstProducerID is the first of the block that AllocateProducerIDs asked
	// for.
	FirstProducerID int64
	// Settled lists, for Confirm, the topics whose last change is now applied
	// by every shard concerned: who waits for it can be answered.
	Settled []*Topic
}

// Catalog is the state of the metadata group.
type Catalog struct {
	revision      Revision
	lastTopic     ID
	lastPartition record.PartitionID
	nextProducer  int64
	shards        []shard // ascending by id
	slots         [Slots]record.ShardID

	topics map[ID]*Topic // tombstones included
	pages  *page.Set[catalogPage]

	// What follows is derived from the above.
	byName     map[name]*Topic // without tombstones, as the next two
	byUUID     map[UUID]*Topic
	folded     map[name][]*Topic // names with '.' or '_' by what they fold to
	waiting    map[ID]int        // how many shards have not confirmed the last change
	partitions int               // of all topics, tombstones included

	restoring restoring // between RestorePage and Restored
}

// shard is what the catalog knows of a data shard.
type shard struct {
	id         record.ShardID
	confirmed  Revision // everything up to here is applied there
	partitions int      // derived
	queue      changes  // derived
}

// NewCatalog returns an empty catalog, to be given either Bootstrap or the
// pages of a checkpoint.
func NewCatalog() *Catalog {
	c := &Catalog{
		topics:    map[ID]*Topic{},
		byName:    map[name]*Topic{},
		byUUID:    map[UUID]*Topic{},
		folded:    map[name][]*Topic{},
		waiting:   map[ID]int{},
		restoring: newRestoring(),
	}
	c.pages = page.New(c.encodePage)
	return c
}

// Revision returns the number of the last change, 0 for an empty catalog.
func (c *Catalog) Revision() Revision { return c.revision }

// Shards returns the data shards, ascending.
func (c *Catalog) Shards() []record.ShardID {
	ids := make([]record.ShardID, len(c.shards))
	for i := range c.shards {
		ids[i] = c.shards[i].id
	}
	return ids
}

// SlotShard returns the shard that owns a slot; the metadata shard if
// Bootstrap has not been applied.
func (c *Catalog) SlotShard(s Slot) record.ShardID { return c.slots[s%Slots] }

var slotTable = crc32.MakeTable(crc32.Castagnoli)

// SlotOf hashes a key (a group's or a transactional id) to its slot. The hash
// is part of where data lies and never changes.
func SlotOf(tenant, key string) Slot {
	h := crc32.Update(0, slotTable, []byte(tenant))
	h = crc32.Update(h, slotTable, []byte{0})
	return Slot(crc32.Update(h, slotTable, []byte(key)) % Slots)
}

// Lookup returns the topic of this name, nil if there is none.
func (c *Catalog) Lookup(tenant, topic string) *Topic { return c.byName[name{tenant, topic}] }

// ByUUID returns the topic with this uuid, nil if there is none.
func (c *Catalog) ByUUID(u UUID) *Topic { return c.byUUID[u] }

// ByID returns the topic with this number, nil if there is none. A tombstone
// is returned until its shards have confirmed it.
func (c *Catalog) ByID(id ID) *Topic { return c.topics[id] }

// Gone reports whether a topic had this id and was deleted.
func (c *Catalog) Gone(id record.TopicID) bool {
	t := c.topics[id]
	return id <= c.lastTopic && (t == nil || t.Deleted)
}

// Topics returns all topics, without tombstones, sorted by tenant and name.
func (c *Catalog) Topics() []*Topic {
	return slices.SortedFunc(maps.Values(c.byName), func(a, b *Topic) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Name, b.Name))
	})
}

// Collides returns a topic whose name differs from topic only in '.' and '_',
// nil if there is none: Kafka warns of such names, since metrics confuse them.
func (c *Catalog) Collides(tenant, topic string) *Topic {
	folded, ok := name{tenant, topic}.fold()
	if !ok {
		return nil
	}
	for _, t := range c.folded[folded] {
		if t.Name != topic {
			return t
		}
	}
	return nil
}

// put makes t the present state of its topic and keeps the indexes in step.
func (c *Catalog) put(t *Topic) {
	old := c.topics[t.ID]
	c.topics[t.ID] = t
	if t.Deleted {
		c.unindex(old)
		return
	}
	c.byName[t.key()] = t
	c.byUUID[t.UUID] = t
	if folded, ok := t.key().fold(); ok {
		same := c.folded[folded]
		if i := slices.Index(same, old); old != nil && i >= 0 {
			same[i] = t
			return
		}
		c.folded[folded] = append(same, t)
	}
}

// unindex makes a topic invisible: it has become a tombstone.
func (c *Catalog) unindex(t *Topic) {
	if t == nil {
		return
	}
	delete(c.byName, t.key())
	delete(c.byUUID, t.UUID)
	folded, ok := t.key().fold()
	if !ok {
		return
	}
	same := slices.DeleteFunc(c.folded[folded], func(o *Topic) bool { return o.ID == t.ID })
	if len(same) == 0 {
		delete(c.folded, folded)
		return
	}
	c.folded[folded] = same
}

// shard returns the data shard of this id, nil if there is none.
func (c *Catalog) shard(id record.ShardID) *shard {
	i, ok := slices.BinarySearchFunc(c.shards, id, func(s shard, id record.ShardID) int {
		return cmp.Compare(s.id, id)
	})
	if !ok {
		return nil
	}
	return &c.shards[i]
}

// place chooses shards for n more partitions: always the one with the fewest,
// the lowest id among equals, so that an empty cluster is filled in turn.
func (c *Catalog) place(n int) []Placement {
	out := make([]Placement, n)
	for i := range out {
		least := &c.shards[0]
		for j := range c.shards {
			if c.shards[j].partitions < least.partitions {
				least = &c.shards[j]
			}
		}
		least.partitions++
		c.lastPartition++
		out[i] = Placement{ID: c.lastPartition, Shard: least.id}
	}
	c.partitions += n
	return out
}

// room refuses n more partitions if they pass a limit.
func (c *Catalog) room(n int) error {
	if len(c.shards) == 0 {
		return ErrNotReady
	}
	if c.partitions+n > MaxPartitions {
		return fmt.Errorf("%w: a cluster has at most %d partitions", ErrTooMany, MaxPartitions)
	}
	return nil
}
