package topic

import (
	"github.com/polylog-mq/polylog/internal/record"
)

// ID is a topic's number, given by the catalog and never reused.
type ID uint64

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
	// Deleted marks a tombstone: the topic is gone, but shards may hold data
	// of it yet.
	Deleted bool
}

// Placement says where a partition lives.
type Placement struct {
	ID    record.PartitionID
	Shard record.ShardID
	// EpochBase is added to the shard's term to make the leader epoch. A move
	// to another shard raises it.
	EpochBase record.Epoch
}

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
type Catalog struct{}

// NewCatalog returns an empty catalog, to be given either Bootstrap or the
// pages of a checkpoint.
func NewCatalog() *Catalog { panic("unfilled") }

// Apply carries out a command, or changes nothing and returns one of the
// errors of this package.
func (c *Catalog) Apply(now record.LogTime, cmd CatalogCommand) (Result, error) { panic("unfilled") }

// Check returns what Apply would return as error, and changes nothing.
func (c *Catalog) Check(cmd CatalogCommand) error { panic("unfilled") }

// Revision returns the number of the last change, 0 for an empty catalog.
func (c *Catalog) Revision() Revision { panic("unfilled") }

// Shards returns the data shards, ascending. The result is shared: read only.
func (c *Catalog) Shards() []record.ShardID { panic("unfilled") }

// SlotShard returns the shard that owns a slot; the metadata shard if
// Bootstrap has not been applied.
func (c *Catalog) SlotShard(s Slot) record.ShardID { panic("unfilled") }

// SlotOf hashes a key (a group's or a transactional id) to its slot. The hash
// is part of where data lies and never changes.
func SlotOf(tenant, key string) Slot { panic("unfilled") }

// Lookup returns the topic of this name, nil if there is none.
func (c *Catalog) Lookup(tenant, name string) *Topic { panic("unfilled") }

// ByUUID returns the topic with this uuid, nil if there is none.
func (c *Catalog) ByUUID(u UUID) *Topic { panic("unfilled") }

// ByID returns the topic with this number, nil if there is none. A tombstone
// is returned until its shards have confirmed it.
func (c *Catalog) ByID(id ID) *Topic { panic("unfilled") }

// Topics returns all topics, without tombstones, sorted by tenant and name.
func (c *Catalog) Topics() []*Topic { panic("unfilled") }

// Pending returns the next Define command that shard s is owed, and false if
// it has confirmed everything. It is to be sent again until Confirm for it is
// applied; it is idempotent, and so is Confirm. Only one should be under way
// per shard.
func (c *Catalog) Pending(s record.ShardID) (*Define, bool) { panic("unfilled") }

// Settled reports whether every shard concerned has confirmed the last change
// of topic id; true for an unknown topic (a tombstone is forgotten then).
func (c *Catalog) Settled(id ID) bool { panic("unfilled") }

// Collides returns a topic whose name differs from name only in '.' and '_',
// nil if there is none: Kafka warns of such names, since metrics confuse them.
func (c *Catalog) Collides(tenant, name string) *Topic { panic("unfilled") }

// Freeze makes the present state the cut of a checkpoint.
func (c *Catalog) Freeze() { panic("unfilled") }

// EncodePages emits pages of the cut (a nil value: the page no longer exists)
// until more returns false or all are emitted, and reports whether all are.
func (c *Catalog) EncodePages(emit func(key, value []byte), more func() bool) bool {
	panic("unfilled")
}

// RestorePage takes one page of a checkpoint into an empty catalog, in any
// order. Key and value are not kept.
func (c *Catalog) RestorePage(key, value []byte) error { panic("unfilled") }

// Restored ends a restore: it checks that the pages fit together and rebuilds
// what is derived.
func (c *Catalog) Restored() error { panic("unfilled") }
