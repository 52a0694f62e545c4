package broker

import (
	"cmp"
	"hash/maphash"
	"iter"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/polylog-mq/polylog/internal/record"
)

// viewBuckets is how many pieces an index is copied in.
const viewBuckets = 256

// index maps names or uuids to topics. Reading takes no lock; writing, by one
// goroutine at a time, copies one bucket.
type index[K comparable] struct {
	seed    maphash.Seed
	buckets [viewBuckets]atomic.Pointer[map[K]*Topic]
}

func (x *index[K]) bucket(k K) *atomic.Pointer[map[K]*Topic] {
	return &x.buckets[maphash.Comparable(x.seed, k)%viewBuckets]
}

func (x *index[K]) get(k K) *Topic {
	if m := x.bucket(k).Load(); m != nil {
		return (*m)[k]
	}
	return nil
}

// put sets the topic of a key; nil takes the key out.
func (x *index[K]) put(k K, t *Topic) {
	b := x.bucket(k)
	next := map[K]*Topic{}
	if m := b.Load(); m != nil {
		next = maps.Clone(*m)
	}
	if t == nil {
		delete(next, k)
	} else {
		next[k] = t
	}
	b.Store(&next)
}

// fullName is what names a topic within the cluster; tenant "" is the default.
type fullName struct{ tenant, name string }

func (t *Topic) fullName() fullName { return fullName{tenantKey(t.Tenant), t.Name} }

// view is what protocols see of the topics. Writing belongs to the loop of the
// metadata group; reading is free.
type view struct {
	byName index[fullName]
	byUUID index[[16]byte]
	byID   index[record.TopicID]
	// changes counts the changes; sorted is made when it is asked for, and holds
	// as long as its count is the present one.
	changes atomic.Uint64
	sorted  atomic.Pointer[sortedTopics]
	count   atomic.Int64
}

// sortedTopics is all topics by tenant and name, after so many changes.
type sortedTopics struct {
	changes uint64
	topics  []*Topic
}

func newView() *view {
	v := &view{}
	v.byName.seed, v.byUUID.seed, v.byID.seed = maphash.MakeSeed(), maphash.MakeSeed(), maphash.MakeSeed()
	return v
}

// show makes t visible, in place of an older view of the same topic.
func (v *view) show(t *Topic) {
	if old := v.byName.get(t.fullName()); old == nil {
		v.count.Add(1)
	} else if old.UUID != t.UUID {
		v.byUUID.put(old.UUID, nil)
		v.byID.put(old.ID, nil)
	}
	v.byUUID.put(t.UUID, t)
	v.byID.put(t.ID, t)
	v.byName.put(t.fullName(), t)
	v.changes.Add(1)
}

// hide makes the topic with this uuid invisible.
func (v *view) hide(uuid [16]byte) {
	t := v.byUUID.get(uuid)
	if t == nil {
		return
	}
	v.byUUID.put(uuid, nil)
	v.byID.put(t.ID, nil)
	if v.byName.get(t.fullName()) == t {
		v.byName.put(t.fullName(), nil)
	}
	v.count.Add(-1)
	v.changes.Add(1)
}

// all iterates over the topics of all tenants, by tenant and name.
func (v *view) all() iter.Seq[*Topic] {
	changes := v.changes.Load()
	if s := v.sorted.Load(); s != nil && s.changes == changes {
		return slices.Values(s.topics)
	}
	topics := make([]*Topic, 0, v.count.Load())
	for i := range v.byName.buckets {
		if m := v.byName.buckets[i].Load(); m != nil {
			topics = slices.AppendSeq(topics, maps.Values(*m))
		}
	}
	slices.SortFunc(topics, func(a, b *Topic) int { return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Name, b.Name)) })
	v.sorted.Store(&sortedTopics{changes, topics})
	return slices.Values(topics)
}
