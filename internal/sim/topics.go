package sim

import (
	"fmt"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
)

// topicPlan is a topic that the clients work on.
type topicPlan struct {
	name       string
	partitions int32
	retain     int64         // bytes that must be kept; 0: all
	age        time.Duration // how long records must be kept; 0: for ever
	config     []broker.Config
	// compacted says that of old records only the last one of each key is kept.
	compacted bool
	// passing says that the topic may be deleted.
	passing bool
}

// retainAge is how long the topic "aged" keeps its records.
const retainAge = 20 * time.Second

// The topic "latest" is compacted: records stay as they are for compactionLag, and
// tombstones for tombstoneAge.
const (
	compactionLag = 3 * time.Second
	tombstoneAge  = 5 * time.Second
)

func (w *world) topicPlans() []*topicPlan {
	plans := []*topicPlan{
		{name: "log", partitions: 1 + int32(w.o.Shards), config: []broker.Config{{Name: "retention.ms", Value: "-1"}}},
		{name: "short", partitions: 1, retain: 16 << 10, config: []broker.Config{
			{Name: "retention.ms", Value: "-1"}, {Name: "retention.bytes", Value: fmt.Sprint(16 << 10)},
			{Name: "segment.ms", Value: "5000"},
		}},
		{name: "aged", partitions: 1, age: retainAge, config: []broker.Config{
			{Name: "retention.ms", Value: fmt.Sprint(retainAge.Milliseconds())}, {Name: "segment.ms", Value: "3000"},
		}},
	}
	compacted := []broker.Config{
		{Name: "cleanup.policy", Value: "compact"}, {Name: "segment.ms", Value: "2000"},
		{Name: "min.cleanable.dirty.ratio", Value: "0.01"},
		{Name: "min.compaction.lag.ms", Value: fmt.Sprint(compactionLag.Milliseconds())},
		{Name: "delete.retention.ms", Value: fmt.Sprint(tombstoneAge.Milliseconds())},
	}
	if w.o.Keyed > 0 {
		plans = append(plans, &topicPlan{name: "latest", partitions: 1, compacted: true, config: compacted})
	}
	if w.o.Transactors > 0 {
		plans = append(plans,
			&topicPlan{name: "ledger", partitions: 3, config: []broker.Config{{Name: "retention.ms", Value: "-1"}}},
			&topicPlan{name: "balances", partitions: 2, compacted: true, config: compacted})
	}
	return plans
}

// founder creates the topics that everybody else works on.
type founder struct {
	w     *world
	todo  []*topicPlan
	ready bool
}

func (f *founder) begin() { f.next() }

func (f *founder) finish() {}

func (f *founder) busy() string {
	if !f.ready {
		return "the first topics are not there"
	}
	return ""
}

// next creates the first topic that is not there.
func (f *founder) next() {
	if len(f.todo) == 0 {
		f.ready = true
		for _, a := range f.w.actors {
			if a != actor(f) {
				a.begin()
			}
		}
		return
	}
	t := f.todo[0]
	again := func() { f.w.after(around(f.w.clients, 500*time.Millisecond), f.next) }
	n := f.w.leader(record.MetadataShard)
	f.w.ask(n, 10*time.Second, func(b *broker.Broker, reply func(func())) {
		b.CreateTopics([]broker.NewTopic{{Name: t.name, Partitions: t.partitions, Replication: -1, Config: t.config}}, false,
			func(r []broker.TopicResult) {
				reply(func() {
					switch err := r[0].Err; {
					case err == nil, is(err, broker.ErrTopicExists):
						f.todo = f.todo[1:]
						f.next()
					case isTransient(err):
						again()
					default:
						f.w.fail("creating %s: %v", t.name, err)
					}
				})
			})
	}, again)
}

// isTransient reports whether an error asks for another try: nothing happened,
// or nobody knows.
func isTransient(err error) bool {
	return is(err, broker.ErrNotLeader, broker.ErrUnknownFate, broker.ErrBusy, broker.ErrClosed, broker.ErrDiskFull, broker.ErrStorage)
}

// anyone returns a node at random, which may be down.
func (w *world) anyone() *node { return w.nodes[w.clients.IntN(len(w.nodes))] }

// whoLeads asks a node at random who leads a partition; nil if it does not
// know.
func (w *world) whoLeads(topic string, part int32) *node {
	n := w.anyone()
	if n.down || n.paused {
		return nil
	}
	if t := n.broker.Topic(topic); t != nil && int(part) < len(t.Partitions) {
		return w.node(t.Partitions[part].Leader())
	}
	return nil
}

// partitionAt returns a node's handle of a partition, nil if it knows none.
func partitionAt(b *broker.Broker, topic string, part int32) *broker.Partition {
	if t := b.Topic(topic); t != nil && int(part) < len(t.Partitions) {
		return t.Partitions[part]
	}
	return nil
}
