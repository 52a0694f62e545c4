package broker

import (
	"iter"
)

// Topic is an immutable view of a topic: a change makes a new one. Its
// partitions' handles stay the same. It is visible from the moment that every
// shard concerned has applied its definition.
type Topic struct {
	Name string
	// UUID is new for every creation, so a recreated topic has another.
	UUID [16]byte
	// Config holds the settings that differ from the defaults, sorted by name.
	Config []Config
	// Partitions is indexed by partition number.
	Partitions []*Partition
}

// Config is one setting of a topic, named as Kafka names it.
type Config struct{ Name, Value string }

// Topic returns the topic of this name, nil if there is none. It takes no lock.
func (b *Broker) Topic(name string) *Topic { panic("unfilled") }

// TopicByID returns the topic with this uuid, nil if there is none. It takes no
// lock.
func (b *Broker) TopicByID(id [16]byte) *Topic { panic("unfilled") }

// Topics iterates over all topics, sorted by name, as they are at the call.
func (b *Broker) Topics() iter.Seq[*Topic] { panic("unfilled") }

// NewTopic describes a topic to create.
type NewTopic struct {
	Name string
	// Partitions is the count, -1 for the default.
	Partitions int32
	// Replication is the wanted number of replicas, -1 for the default.
	Replication int16
	Config      []Config
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
	panic("unfilled")
}

// DeleteTopics deletes topics and their data. It answers when the shards have
// dropped them. ErrUnknownTopic, ErrUnknownTopicID.
func (b *Broker) DeleteTopics(topics []TopicRef, done func([]TopicResult)) { panic("unfilled") }

// GrowTopic asks for more partitions.
type GrowTopic struct {
	Name string
	// Partitions is the wanted total.
	Partitions int32
}

// CreatePartitions adds partitions to topics. ErrInvalidPartitions if the total
// is not larger than the present one.
func (b *Broker) CreatePartitions(topics []GrowTopic, validateOnly bool, done func([]TopicResult)) {
	panic("unfilled")
}

// ConfigOp says what a ConfigChange does.
type ConfigOp uint8

// The operations of Kafka's IncrementalAlterConfigs.
const (
	ConfigSet      ConfigOp = iota
	ConfigDelete            // back to the default
	ConfigAppend            // add to a list
	ConfigSubtract          // take from a list
)

// ConfigChange changes one setting.
type ConfigChange struct {
	Op          ConfigOp
	Name, Value string
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
func (b *Broker) AlterTopics(topics []AlterTopic, validateOnly bool, done func([]TopicResult)) {
	panic("unfilled")
}
