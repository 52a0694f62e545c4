package topic

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
)

// catalogPage names a page of the catalog. Its key is the kind, then the topic
// (8 bytes, big endian), then the chunk of partitions (4 bytes), as far as the
// kind has them.
type catalogPage struct {
	kind  byte
	topic ID
	chunk uint32
}

// The kinds of pages, which are part of the checkpoint's format.
const (
	pageRoot       = 'r' // revision, counters, shards with what they confirmed
	pageSlots      = 's' // slot → shard
	pageTopic      = 't' // a topic without its partitions
	pagePlacements = 'p' // up to partitionsPerPage partitions of a topic
)

var (
	rootPage  = catalogPage{kind: pageRoot}
	slotsPage = catalogPage{kind: pageSlots}
)

func (k catalogPage) appendKey(dst []byte) []byte {
	dst = append(dst, k.kind)
	if k.kind == pageTopic || k.kind == pagePlacements {
		dst = binary.BigEndian.AppendUint64(dst, uint64(k.topic))
	}
	if k.kind == pagePlacements {
		dst = binary.BigEndian.AppendUint32(dst, k.chunk)
	}
	return dst
}

// Freeze makes the present state the cut of a checkpoint.
func (c *Catalog) Freeze() { c.pages.Freeze() }

// EncodePages emits pages of the cut (a nil value: the page no longer exists)
// until more returns false or all are emitted, and reports whether all are.
func (c *Catalog) EncodePages(emit func(key, value []byte), more func() bool) bool {
	for more() {
		if !c.pages.Next(func(k catalogPage, value []byte) { emit(k.appendKey(nil), value) }) {
			return true
		}
	}
	return false
}

func (c *Catalog) encodePage(dst []byte, k catalogPage) ([]byte, bool) {
	dst = append(dst, pageVersion)
	if k.kind == pageRoot {
		return c.encodeRoot(dst), true
	}
	if k.kind == pageSlots {
		for _, s := range c.slots {
			dst = codec.AppendUvarint(dst, s)
		}
		return dst, true
	}
	t := c.topics[k.topic]
	if t == nil {
		return dst, false
	}
	if k.kind == pageTopic {
		return encodeTopic(dst, t), true
	}
	from := int(k.chunk) * partitionsPerPage
	for _, p := range t.Partitions[from:min(from+partitionsPerPage, len(t.Partitions))] {
		dst = codec.AppendUvarint(dst, p.ID)
		dst = codec.AppendUvarint(dst, p.Shard)
		dst = codec.AppendVarint(dst, p.FirstEpoch)
	}
	return dst, true
}

func (c *Catalog) encodeRoot(dst []byte) []byte {
	dst = codec.AppendUvarint(dst, c.revision)
	dst = codec.AppendUvarint(dst, c.lastTopic)
	dst = codec.AppendUvarint(dst, c.lastPartition)
	dst = codec.AppendVarint(dst, c.nextProducer)
	dst = codec.AppendUvarint(dst, uint(len(c.shards)))
	for i := range c.shards {
		dst = codec.AppendUvarint(dst, c.shards[i].id)
		dst = codec.AppendUvarint(dst, c.shards[i].confirmed)
	}
	return dst
}

func encodeTopic(dst []byte, t *Topic) []byte {
	dst = append(dst, t.UUID[:]...)
	dst = codec.AppendBytes(dst, t.Tenant)
	dst = codec.AppendBytes(dst, t.Name)
	dst = codec.AppendVarint(dst, t.Created)
	dst = codec.AppendUvarint(dst, t.Revision)
	dst = codec.AppendBool(dst, t.Deleted)
	dst = codec.AppendUvarint(dst, uint(len(t.Partitions)))
	dst = appendConfig(dst, t.Config)
	if t.Lease != nil || t.Attributes != nil {
		dst = codec.AppendBytes(codec.AppendBytes(dst, t.Lease), t.Attributes)
	}
	return dst
}

// restoring is what waits for the last page of a checkpoint.
type restoring struct {
	partitions map[ID]int // how many each topic has
	placements map[catalogPage][]Placement
}

func newRestoring() restoring {
	return restoring{partitions: map[ID]int{}, placements: map[catalogPage][]Placement{}}
}

// RestorePage takes one page of a checkpoint into an empty catalog, in any
// order. Key and value are not kept.
func (c *Catalog) RestorePage(key, value []byte) error {
	k, err := parseCatalogPage(key)
	if err != nil {
		return err
	}
	r := openPage(value)
	switch k.kind {
	case pageRoot:
		c.restoreRoot(&r)
	case pageSlots:
		for s := range c.slots {
			c.slots[s] = record.ShardID(r.Uvarint(math.MaxUint32))
		}
	case pageTopic:
		c.restoreTopic(k.topic, &r)
	case pagePlacements:
		c.restorePlacements(k, &r)
	}
	if err := r.Close(); err != nil {
		return fmt.Errorf("page %q of the catalog: %w", key, err)
	}
	return nil
}

// openPage reads the version that every page begins with.
func openPage(value []byte) codec.Reader {
	r := codec.NewReader(value)
	if v := r.Byte(); v != pageVersion {
		r.Fail("a page of version %d", v)
	}
	return r
}

func parseCatalogPage(key []byte) (k catalogPage, err error) {
	length := map[byte]int{pageRoot: 1, pageSlots: 1, pageTopic: 9, pagePlacements: 13}
	if len(key) == 0 || len(key) != length[key[0]] {
		return k, fmt.Errorf("%w: %q is no page of the catalog", codec.ErrMalformed, key)
	}
	k.kind = key[0]
	if len(key) > 1 {
		k.topic = ID(binary.BigEndian.Uint64(key[1:]))
	}
	if len(key) > 9 {
		k.chunk = binary.BigEndian.Uint32(key[9:])
	}
	return k, nil
}

func (c *Catalog) restoreRoot(r *codec.Reader) {
	c.revision = Revision(r.Uvarint(math.MaxUint64))
	c.lastTopic = ID(r.Uvarint(math.MaxUint64))
	c.lastPartition = record.PartitionID(r.Uvarint(math.MaxUint64))
	c.nextProducer = r.Varint(0, math.MaxInt64)
	c.shards = make([]shard, r.Count(MaxShards, 2))
	for i := range c.shards {
		c.shards[i] = shard{
			id: record.ShardID(r.Uvarint(math.MaxUint32)), confirmed: Revision(r.Uvarint(uint64(c.revision))),
		}
		if i > 0 && c.shards[i].id <= c.shards[i-1].id {
			r.Fail("shards out of order")
		}
	}
}

func (c *Catalog) restoreTopic(id ID, r *codec.Reader) {
	t := &Topic{
		ID: id, UUID: readUUID(r), Tenant: r.String(MaxTenantLen), Name: r.String(MaxQueueNameLen),
		Created:  record.LogTime(r.Varint(math.MinInt64, math.MaxInt64)),
		Revision: Revision(r.Uvarint(math.MaxUint64)), Deleted: r.Bool(),
	}
	n := int(r.Uvarint(MaxPartitionsPerTopic))
	config := readConfig(r)
	if r.Len() > 0 {
		if t.Lease, t.Attributes = readBlob(r), readBlob(r); len(t.Lease) == 0 {
			t.Lease = nil // a stream
		}
	}
	if r.Err() != nil {
		return
	}
	var err error
	if t.Config, err = canonicalConfig(config); err == nil {
		t.Settings, err = typed(t.Config)
	}
	if err != nil {
		r.Fail("topic %d: %v", id, err)
		return
	}
	t.Settings = t.Settings.withLease(t.Lease)
	c.restoring.partitions[id] = n
	c.topics[id] = t
}

func (c *Catalog) restorePlacements(k catalogPage, r *codec.Reader) {
	var list []Placement
	for r.Len() > 0 && len(list) < partitionsPerPage {
		list = append(list, Placement{
			ID: record.PartitionID(r.Uvarint(math.MaxUint64)), Shard: record.ShardID(r.Uvarint(math.MaxUint32)),
			FirstEpoch: record.Epoch(r.Varint(0, math.MaxInt32)),
		})
	}
	c.restoring.placements[k] = list
}

// Restored ends a restore: it checks that the pages fit together and rebuilds
// what is derived.
func (c *Catalog) Restored() error {
	ids := slices.Sorted(maps.Keys(c.topics))
	for _, id := range ids {
		if err := c.assemble(c.topics[id]); err != nil {
			return fmt.Errorf("restoring the catalog: %w", err)
		}
	}
	if n := len(c.restoring.placements); n > 0 {
		return fmt.Errorf("restoring the catalog: %w: %d pages of partitions without a topic", codec.ErrMalformed, n)
	}
	c.restoring = newRestoring()
	slices.SortFunc(ids, func(a, b ID) int { return cmp.Compare(c.topics[a].Revision, c.topics[b].Revision) })
	for _, id := range ids {
		c.owe(c.topics[id])
	}
	return nil
}

// assemble joins a topic with its pages of partitions and indexes it.
func (c *Catalog) assemble(t *Topic) error {
	want := c.restoring.partitions[t.ID]
	for chunk := 0; chunk*partitionsPerPage < want; chunk++ {
		k := catalogPage{pagePlacements, t.ID, uint32(chunk)}
		t.Partitions = append(t.Partitions, c.restoring.placements[k]...)
		delete(c.restoring.placements, k)
	}
	if len(t.Partitions) != want || t.ID > c.lastTopic || t.Revision > c.revision {
		return fmt.Errorf("%w: topic %d at revision %d has %d of %d partitions", codec.ErrMalformed, t.ID, t.Revision, len(t.Partitions), want)
	}
	for _, p := range t.Partitions {
		sh := c.shard(p.Shard)
		if sh == nil || p.ID > c.lastPartition {
			return fmt.Errorf("%w: partition %d in shard %d", codec.ErrMalformed, p.ID, p.Shard)
		}
		sh.partitions++
	}
	c.partitions += want
	if !t.Deleted {
		c.put(t)
	}
	return nil
}

// owe is announce for a restored topic: to the shards that have not confirmed
// its last change.
func (c *Catalog) owe(t *Topic) {
	n := 0
	for _, s := range c.shardsOf(t) {
		if s.confirmed < t.Revision {
			s.queue.entries = append(s.queue.entries, change{t.Revision, t.ID})
			n++
		}
	}
	if n > 0 {
		c.waiting[t.ID] = n
	}
}
