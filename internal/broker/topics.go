package broker

import (
	"fmt"
	"io"
	"iter"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/route"
	"github.com/polylog-mq/polylog/internal/state/topic"
)

// Topic is an immutable view of a topic: a change makes a new one. Its
// partitions' handles stay the same. It is visible from the moment that every
// shard concerned has applied its definition.
type Topic struct {
	// Tenant is DefaultTenant for the topics that Kafka's clients see.
	Tenant string
	Name   string
	// ID is the topic's number, never reused.
	ID record.TopicID
	// UUID is new for every creation, so a recreated topic has another.
	UUID [16]byte
	// Config holds the settings that differ from the defaults, sorted by name.
	Config []Config
	// Settings is Config over the defaults, typed.
	Settings *topic.Settings
	// Partitions is indexed by partition number.
	Partitions []*Partition
	// Queue is the topic as a queue, nil if it is none (a stream is none).
	// Attributes are those it was created with.
	Queue      *Queue
	Attributes []byte

	// definition is what a queue or a stream was declared as, nil for a topic that
	// is neither.
	definition *route.Queue
	// hidden says that Kafka's clients do not see it.
	hidden bool
}

// The vocabulary of settings is that of package topic, which also has the table
// of all settings and their defaults.
type (
	// Config is one setting of a topic, named as Kafka names it.
	Config = topic.Config
	// ConfigChange changes one setting.
	ConfigChange = topic.ConfigChange
	// ConfigOp says what a ConfigChange does.
	ConfigOp = topic.ConfigOp
)

// The operations of Kafka's IncrementalAlterConfigs, with its numbers.
const (
	ConfigSet      = topic.ConfigSet
	ConfigDelete   = topic.ConfigDelete   // back to the default
	ConfigAppend   = topic.ConfigAppend   // add to a list
	ConfigSubtract = topic.ConfigSubtract // take from a list
)

// Topic returns the topic of this name, nil if there is none. It takes no lock.
// Like TopicByID and Topics it shows what Kafka's clients see: topics of the
// default tenant, and those of its queues that are not exclusive and whose names
// Kafka can spell.
func (b *Broker) Topic(name string) *Topic {
	return visible(b.view.byName.get(fullName{name: name}))
}

// TopicByID returns the topic with this uuid, nil if there is none. It takes no
// lock.
func (b *Broker) TopicByID(id [16]byte) *Topic { return visible(b.view.byUUID.get(id)) }

func visible(t *Topic) *Topic {
	if t == nil || t.hidden {
		return nil
	}
	return t
}

// Topics iterates over all topics, sorted by name, as they are at the call.
func (b *Broker) Topics() iter.Seq[*Topic] {
	return func(yield func(*Topic) bool) {
		for t := range b.view.all() {
			if !t.hidden && !yield(t) {
				return
			}
		}
	}
}

// NewTopic describes a topic to create.
type NewTopic struct {
	Name string
	// Partitions is the count, -1 for the default.
	Partitions int32
	// Replication is the wanted number of replicas, -1 for the default.
	Replication int16
	Config      []Config
	// Queue, if not nil, makes the topic a queue, with Attributes that the
	// broker keeps and does not interpret. It has one partition.
	Queue      *QueueSettings
	Attributes []byte
}

// TopicRef names a topic by name or, if the name is empty, by uuid.
type TopicRef struct {
	Name string
	UUID [16]byte
}

// TopicResult answers for one topic of a request, in the request's order.
type TopicResult struct {
	TopicRef
	// Topic is its view after the change; nil after a deletion, an error or a
	// validation.
	Topic *Topic
	Err   error
}

// CreateTopics creates topics, each on its own: one can fail and the others
// succeed. It answers when the shards have applied them. With validateOnly
// nothing is created. ErrTopicExists, ErrInvalidTopic, ErrInvalidPartitions,
// ErrInvalidReplication, ErrInvalidConfig, ErrPolicy, ErrNotLeader, ErrBusy.
func (b *Broker) CreateTopics(topics []NewTopic, validateOnly bool, done func([]TopicResult)) {
	r := b.begin(len(topics), validateOnly, done)
	for i := range topics {
		t := &topics[i]
		r.results[i].Name = t.Name
		cmd, err := b.newTopic(t)
		if err != nil {
			r.results[i].Err = err
			r.count()
			continue
		}
		r.change(i, func(*topic.Catalog) (topic.CatalogCommand, error) { return cmd, nil })
	}
}

func (b *Broker) newTopic(t *NewTopic) (*topic.CreateTopic, error) {
	if n := len(b.opts.Nodes); int(t.Replication) > n || t.Replication == 0 || t.Replication < -1 {
		return nil, fmt.Errorf("%w: %d replicas on %d nodes", ErrInvalidReplication, t.Replication, n)
	}
	cmd := &topic.CreateTopic{Name: t.Name, Partitions: t.Partitions, Config: t.Config}
	if cmd.Partitions == -1 {
		cmd.Partitions = b.opts.DefaultPartitions
	}
	if t.Queue != nil {
		if err := t.Queue.Check(); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalidConfig, err)
		}
		cmd.Partitions, cmd.Lease, cmd.Attributes = 1, t.Queue.AppendTo(nil), t.Attributes
	}
	id, err := b.newUUID()
	cmd.UUID = id
	return cmd, err
}

// newUUID draws a random uuid.
func (b *Broker) newUUID() ([16]byte, error) {
	b.randMu.Lock()
	defer b.randMu.Unlock()
	return newUUID(b.opts.Rand)
}

func newUUID(random io.Reader) ([16]byte, error) {
	id, err := uuid.NewRandomFromReader(random)
	if err != nil {
		return id, fmt.Errorf("drawing a uuid: %w", err)
	}
	return id, nil
}

// DeleteTopics deletes topics and their data. It answers when the shards have
// dropped them. ErrUnknownTopic, ErrUnknownTopicID.
func (b *Broker) DeleteTopics(topics []TopicRef, done func([]TopicResult)) {
	r := b.begin(len(topics), false, done)
	r.deletes = true
	for i, ref := range topics {
		r.results[i].TopicRef = ref
		r.change(i, func(c *topic.Catalog) (topic.CatalogCommand, error) {
			t, err := lookup(c, ref)
			if err != nil {
				return nil, err
			}
			r.results[i].TopicRef = TopicRef{Name: t.Name, UUID: t.UUID}
			return &topic.DeleteTopic{UUID: t.UUID}, nil
		})
	}
}

// lookup finds a topic in the catalog.
func lookup(c *topic.Catalog, ref TopicRef) (*topic.Topic, error) {
	if ref.Name == "" {
		if t := c.ByUUID(ref.UUID); t != nil && !t.Deleted {
			return t, nil
		}
		return nil, ErrUnknownTopicID
	}
	if t := c.Lookup("", ref.Name); t != nil {
		return t, nil
	}
	return nil, ErrUnknownTopic
}

// GrowTopic asks for more partitions.
type GrowTopic struct {
	Name string
	// Partitions is the wanted total.
	Partitions int32
}

// CreatePartitions adds partitions to topics. It answers when the shards have
// them. ErrUnknownTopic, ErrInvalidPartitions if the total is not larger than
// the present one, ErrPolicy.
func (b *Broker) CreatePartitions(topics []GrowTopic, validateOnly bool, done func([]TopicResult)) {
	r := b.begin(len(topics), validateOnly, done)
	for i, g := range topics {
		r.results[i].Name = g.Name
		r.change(i, func(c *topic.Catalog) (topic.CatalogCommand, error) {
			t, err := lookup(c, TopicRef{Name: g.Name})
			if err != nil {
				return nil, err
			}
			return &topic.CreatePartitions{UUID: t.UUID, Count: g.Partitions}, nil
		})
	}
}

// AlterTopic changes settings of a topic.
type AlterTopic struct {
	Name string
	// Replace drops every setting that Changes does not set (Kafka's old
	// AlterConfigs).
	Replace bool
	Changes []ConfigChange
}

// AlterTopics changes settings. It answers when the shards obey them.
// ErrUnknownTopic, ErrInvalidConfig.
func (b *Broker) AlterTopics(topics []AlterTopic, validateOnly bool, done func([]TopicResult)) {
	r := b.begin(len(topics), validateOnly, done)
	for i, a := range topics {
		r.results[i].Name = a.Name
		r.change(i, func(c *topic.Catalog) (topic.CatalogCommand, error) {
			t, err := lookup(c, TopicRef{Name: a.Name})
			if err == nil {
				err = alterable(t, &a)
			}
			if err != nil {
				return nil, err
			}
			return &topic.AlterConfigs{UUID: t.UUID, Replace: a.Replace, Changes: a.Changes}, nil
		})
	}
}

// request collects the answers for the topics of one call.
type request struct {
	b            *Broker
	results      []TopicResult
	left         atomic.Int64
	validateOnly bool
	deletes      bool
	done         func([]TopicResult)
}

// begin returns a request about n topics; about none, it has been answered.
func (b *Broker) begin(n int, validateOnly bool, done func([]TopicResult)) *request {
	r := &request{b: b, results: make([]TopicResult, n), validateOnly: validateOnly, done: done}
	r.left.Store(int64(n))
	if n == 0 {
		done(r.results)
	}
	return r
}

// change carries out, or checks, a change of topic i, which answers it. The
// command is made by the function where the catalog can be looked at.
func (r *request) change(i int, command func(*topic.Catalog) (topic.CatalogCommand, error)) {
	if err := r.b.admit(proposalOverhead); err != nil {
		r.results[i].Err = err
		r.count()
		return
	}
	r.b.metadata.change(r, i, command)
}

// answer gives the result of topic i, which change was called for.
func (r *request) answer(i int, t *Topic, err error) {
	r.results[i].Topic, r.results[i].Err = t, err
	if t != nil {
		r.results[i].TopicRef = TopicRef{Name: t.Name, UUID: t.UUID}
	}
	r.b.release(proposalOverhead)
	r.count()
}

// count ends the request with its last answer.
func (r *request) count() {
	if r.left.Add(-1) == 0 {
		r.done(r.results)
	}
}
