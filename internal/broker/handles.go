package broker

import (
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/route"
	"github.com/polylog-mq/polylog/internal/state/topic"
)

// handle returns the handle of a partition, making it if need be. Its shard and
// the metadata group both ask for it, whichever comes first.
func (b *Broker) handle(id record.PartitionID, s *shard) *Partition {
	b.handles.Lock()
	defer b.handles.Unlock()
	p := b.handles.byID[id]
	if p == nil {
		p = &Partition{id: id, shard: s, number: -1}
		b.handles.byID[id] = p
	}
	return p
}

// shardOf returns the shard of a partition, nil if there is no handle of it.
func (b *Broker) shardOf(id record.PartitionID) *shard {
	b.handles.Lock()
	defer b.handles.Unlock()
	if p := b.handles.byID[id]; p != nil {
		return p.shard
	}
	return nil
}

// forget lets go of a handle whose partition is gone.
func (b *Broker) forget(id record.PartitionID) {
	b.handles.Lock()
	defer b.handles.Unlock()
	delete(b.handles.byID, id)
}

// show makes a topic, or its new state, visible. Like all that writes the view
// it is called on the loop of the metadata group.
func (b *Broker) show(t *topic.Topic) {
	view := &Topic{
		Tenant: route.TenantName(t.Tenant), Name: t.Name, ID: t.ID, UUID: t.UUID,
		Config: t.Config, Settings: t.Settings, Partitions: make([]*Partition, len(t.Partitions)),
	}
	for i, at := range t.Partitions {
		p := b.handle(at.ID, b.shards[at.Shard])
		if p.number < 0 { // no protocol has seen it yet
			p.number = int32(i)
		}
		view.Partitions[i] = p
	}
	for _, p := range view.Partitions {
		if p.topic.Swap(view) == nil && p.shard.leads.Load() {
			p.shard.group.Post(p.defined)
		}
	}
	view.hidden = t.Tenant != ""
	if t.Lease != nil {
		view.Queue, view.Attributes = view.Partitions[0].asQueue(), t.Attributes
		view.definition = definitionOf(t)
		view.hidden = view.hidden || view.definition.Exclusive || topic.ValidateName(t.Name) != nil
		view.Queue.view.Store(view)
		b.watch(view.Queue, t)
	} else if t.Attributes != nil {
		view.Attributes, view.definition = t.Attributes, definitionOf(t)
		view.hidden = view.hidden || topic.ValidateName(t.Name) != nil
	}
	b.view.show(view)
	b.routing.version.Add(1)
}

// hide makes a deleted topic invisible.
func (b *Broker) hide(t *topic.Topic) {
	b.view.hide(t.UUID)
	b.deleted.note(t, b.opts.Clock.Mono())
	b.routing.version.Add(1)
	b.topicDeleted(t.ID)
	for _, at := range t.Partitions {
		b.forget(at.ID)
	}
}

// showAll makes these topics, and no others, visible.
func (b *Broker) showAll(topics []*topic.Topic) {
	keep := make(map[[16]byte]bool, len(topics))
	for _, t := range topics {
		keep[t.UUID] = true
	}
	for t := range b.view.all() {
		if !keep[t.UUID] {
			b.view.hide(t.UUID)
		}
	}
	for _, t := range topics {
		b.show(t)
	}
}

// addShards makes the state machines of shards that are not known yet.
func (b *Broker) addShards(ids []record.ShardID) {
	for _, id := range ids {
		if b.shards[id] == nil {
			b.shards[id] = newShard(b, id)
		}
	}
}

// publishSlots makes the catalog's slots readable from any goroutine.
func (b *Broker) publishSlots(c *topic.Catalog) {
	var slots [topic.Slots]record.ShardID
	for i := range slots {
		slots[i] = c.SlotShard(topic.Slot(i))
	}
	b.slots.Store(&slots)
}

// home returns the shard that a key without a home of its own (a group's or a
// transactional id) belongs to.
func (b *Broker) home(key string) *shard {
	return b.shards[b.slots.Load()[topic.SlotOf("", key)]]
}
