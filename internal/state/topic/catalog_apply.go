package topic

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/polylog-mq/polylog/internal/record"
)

// Check returns what Apply would return as error, and changes nothing.
func (c *Catalog) Check(cmd CatalogCommand) error {
	switch cmd := cmd.(type) {
	case *Bootstrap:
		return c.checkBootstrap(cmd)
	case *CreateTopic:
		return c.checkCreate(cmd)
	case *DeleteTopic:
		_, err := c.existing(cmd.UUID)
		return err
	case *AlterConfigs:
		_, _, err := c.altered(cmd)
		return err
	case *AlterQueue:
		return c.checkAlterQueue(cmd)
	case *CreatePartitions:
		return c.checkCreatePartitions(cmd)
	case *AllocateProducerIDs:
		if cmd.Count < 1 || cmd.Count > MaxProducerIDBlock {
			return fmt.Errorf("%w: a block has 1 to %d producer ids", ErrTooMany, MaxProducerIDBlock)
		}
	case *Confirm:
		if c.shard(cmd.Shard) == nil || cmd.Revision > c.revision {
			return fmt.Errorf("%w: shard %d at revision %d of %d", ErrStale, cmd.Shard, cmd.Revision, c.revision)
		}
	}
	return nil
}

// Apply carries out a command, or changes nothing and returns one of the
// errors of this package.
func (c *Catalog) Apply(now record.LogTime, cmd CatalogCommand) (Result, error) {
	if err := c.Check(cmd); err != nil {
		return Result{}, err
	}
	var res Result
	switch cmd := cmd.(type) {
	case *Bootstrap:
		c.bootstrap(cmd)
	case *CreateTopic:
		res.Topic = c.create(now, cmd)
	case *DeleteTopic:
		res.Topic = c.delete(cmd)
	case *AlterConfigs:
		res.Topic = c.alter(cmd)
	case *AlterQueue:
		res.Topic = c.alterQueue(cmd)
	case *CreatePartitions:
		res.Topic = c.createPartitions(cmd)
	case *AllocateProducerIDs:
		c.pages.Touch(rootPage)
		res.FirstProducerID = c.nextProducer
		c.nextProducer += cmd.Count
	case *Confirm:
		res.Settled = c.confirm(cmd)
	}
	res.Revision = c.revision
	return res, nil
}

func (c *Catalog) checkBootstrap(cmd *Bootstrap) error {
	if len(c.shards) > 0 {
		return fmt.Errorf("%w: the cluster has its shards", ErrStale)
	}
	if len(cmd.Shards) == 0 || len(cmd.Shards) > MaxShards {
		return fmt.Errorf("%w: a cluster has 1 to %d shards", ErrTooMany, MaxShards)
	}
	last := record.MetadataShard
	for _, s := range cmd.Shards {
		if s <= last {
			return fmt.Errorf("%w: shards must ascend, and %d is none", ErrStale, record.MetadataShard)
		}
		last = s
	}
	return nil
}

func (c *Catalog) bootstrap(cmd *Bootstrap) {
	c.change()
	c.pages.Touch(slotsPage)
	for _, id := range cmd.Shards {
		c.shards = append(c.shards, shard{id: id})
	}
	for s := range c.slots {
		c.slots[s] = cmd.Shards[s%len(cmd.Shards)]
	}
}

// change begins a change of the catalog and returns its revision.
func (c *Catalog) change() Revision {
	c.pages.Touch(rootPage)
	c.revision++
	return c.revision
}

func (c *Catalog) existing(u UUID) (*Topic, error) {
	t := c.byUUID[u]
	if t == nil {
		return nil, fmt.Errorf("%w: uuid %x", ErrUnknownTopic, u)
	}
	return t, nil
}

func (c *Catalog) checkCreate(cmd *CreateTopic) error {
	if len(cmd.Tenant) > MaxTenantLen {
		return fmt.Errorf("%w: the tenant's name is longer than %d bytes", ErrInvalidName, MaxTenantLen)
	}
	if err := cmd.checkName(); err != nil {
		return err
	}
	if c.Lookup(cmd.Tenant, cmd.Name) != nil {
		return fmt.Errorf("%w: %q", ErrTopicExists, cmd.Name)
	}
	if c.uuidTaken(cmd.UUID) {
		return fmt.Errorf("%w: under uuid %x", ErrTopicExists, cmd.UUID)
	}
	if cmd.Partitions < 1 || cmd.Partitions > MaxPartitionsPerTopic {
		return fmt.Errorf("%w: %d, must be 1 to %d", ErrInvalidPartitions, cmd.Partitions, MaxPartitionsPerTopic)
	}
	if _, err := NewSettings(cmd.Config); err != nil {
		return err
	}
	if len(c.topics) >= MaxTopics {
		return fmt.Errorf("%w: a cluster has at most %d topics", ErrTooMany, MaxTopics)
	}
	return c.room(int(cmd.Partitions))
}

// checkName judges the name, and what else distinguishes a queue.
func (cmd *CreateTopic) checkName() error {
	switch {
	case cmd.Lease == nil && cmd.Attributes == nil:
		return ValidateName(cmd.Name)
	case cmd.Partitions != 1:
		return fmt.Errorf("%w: a queue has one", ErrInvalidPartitions)
	case cmd.Lease == nil && len(cmd.Attributes) == 0:
		return fmt.Errorf("%w: the attributes of the stream are empty", ErrInvalidConfig)
	case cmd.Lease != nil && len(cmd.Lease) == 0 || len(cmd.Lease) > MaxLeaseLen || len(cmd.Attributes) > MaxAttributesLen:
		return fmt.Errorf("%w: the settings of the queue are empty or too large", ErrInvalidConfig)
	}
	return ValidateQueueName(cmd.Name)
}

// uuidTaken also refuses the zero uuid, which protocols read as "none".
func (c *Catalog) uuidTaken(u UUID) bool { return u == UUID{} || c.byUUID[u] != nil }

func (c *Catalog) create(now record.LogTime, cmd *CreateTopic) *Topic {
	config, _ := canonicalConfig(cmd.Config) // checked
	settings, _ := typed(config)
	settings = settings.withLease(cmd.Lease)
	revision := c.change()
	c.lastTopic++
	t := &Topic{
		ID: c.lastTopic, UUID: cmd.UUID, Tenant: cmd.Tenant, Name: cmd.Name, Created: now,
		Revision: revision, Config: config, Settings: settings,
		Lease: cmd.Lease, Attributes: cmd.Attributes,
	}
	c.touchTopic(t.ID, 0, int(cmd.Partitions))
	t.Partitions = c.place(int(cmd.Partitions))
	c.put(t)
	c.announce(t)
	return t
}

func (c *Catalog) checkAlterQueue(cmd *AlterQueue) error {
	t, err := c.existing(cmd.UUID)
	switch {
	case err != nil:
		return err
	case t.Lease == nil:
		return fmt.Errorf("%w: %q is no queue", ErrInvalidConfig, t.Name)
	case len(cmd.Lease) == 0 || len(cmd.Lease) > MaxLeaseLen:
		return fmt.Errorf("%w: the settings of the queue are empty or too large", ErrInvalidConfig)
	}
	return nil
}

func (c *Catalog) alterQueue(cmd *AlterQueue) *Topic {
	old := c.byUUID[cmd.UUID]
	if bytes.Equal(old.Lease, cmd.Lease) {
		return old
	}
	t := *old
	t.Lease, t.Settings, t.Revision = cmd.Lease, old.Settings.withLease(cmd.Lease), c.change()
	c.touchTopic(t.ID, 0, 0)
	c.put(&t)
	c.announce(&t)
	return &t
}

func (c *Catalog) delete(cmd *DeleteTopic) *Topic {
	old := c.byUUID[cmd.UUID]
	t := *old
	t.Deleted, t.Revision = true, c.change()
	c.touchTopic(t.ID, 0, 0)
	c.put(&t)
	c.announce(&t)
	return &t
}

// altered returns what AlterConfigs makes of a topic's settings.
func (c *Catalog) altered(cmd *AlterConfigs) ([]Config, *Settings, error) {
	t, err := c.existing(cmd.UUID)
	if err != nil {
		return nil, nil, err
	}
	config, err := alterConfig(t.Config, cmd.Replace, cmd.Changes)
	if err != nil {
		return nil, nil, err
	}
	settings, err := typed(config)
	if err != nil {
		return nil, nil, err
	}
	return config, settings.withLease(t.Lease), nil
}

func (c *Catalog) alter(cmd *AlterConfigs) *Topic {
	old := c.byUUID[cmd.UUID]
	config, settings, _ := c.altered(cmd) // checked
	if slices.Equal(config, old.Config) {
		return old
	}
	t := *old
	t.Config, t.Settings, t.Revision = config, settings, c.change()
	c.touchTopic(t.ID, 0, 0)
	c.put(&t)
	c.announce(&t)
	return &t
}

func (c *Catalog) checkCreatePartitions(cmd *CreatePartitions) error {
	t, err := c.existing(cmd.UUID)
	if err != nil {
		return err
	}
	have := len(t.Partitions)
	switch {
	case t.Lease != nil || t.Attributes != nil:
		return fmt.Errorf("%w: a queue has one", ErrInvalidPartitions)
	case int(cmd.Count) <= have:
		return fmt.Errorf("%w: %q has %d, and %d is not more", ErrInvalidPartitions, t.Name, have, cmd.Count)
	case cmd.Count > MaxPartitionsPerTopic:
		return fmt.Errorf("%w: %d, must be 1 to %d", ErrInvalidPartitions, cmd.Count, MaxPartitionsPerTopic)
	}
	return c.room(int(cmd.Count) - have)
}

func (c *Catalog) createPartitions(cmd *CreatePartitions) *Topic {
	old := c.byUUID[cmd.UUID]
	t := *old
	t.Revision = c.change()
	c.touchTopic(t.ID, len(old.Partitions), int(cmd.Count))
	t.Partitions = append(slices.Clip(old.Partitions), c.place(int(cmd.Count)-len(old.Partitions))...)
	c.put(&t)
	c.announce(&t)
	return &t
}

// touchTopic marks a topic's page and those of its partitions [from, to).
func (c *Catalog) touchTopic(id ID, from, to int) {
	c.pages.Touch(catalogPage{kind: pageTopic, topic: id})
	for chunk := from / partitionsPerPage; chunk*partitionsPerPage < to; chunk++ {
		c.pages.Touch(catalogPage{pagePlacements, id, uint32(chunk)})
	}
}
