package brokertest

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/store"
)

func topicNames(n *Node) []string {
	var names []string
	for t := range n.Topics() {
		names = append(names, t.Name)
	}
	return names
}

func TestCreateShowsATopicThatWorks(t *testing.T) {
	n := Start(t, Options{})
	topic := n.Create("b", 6, broker.Config{Name: "retention.ms", Value: "5000"})
	if n.Topic("b") != topic || n.TopicByID(topic.UUID) != topic {
		t.Fatal("the topic is not visible where its creation was answered")
	}
	shards := map[any]int{}
	for i, p := range topic.Partitions {
		if int(p.Number()) != i || p.Settings() == nil || p.Leader() != 1 {
			t.Errorf("partition %d: number %d, settings %v, leader %d", i, p.Number(), p.Settings(), p.Leader())
		}
		if p.Settings().RetentionMs != 5000 {
			t.Errorf("retention is %d", p.Settings().RetentionMs)
		}
		shards[p.Shard()]++
		n.MustAppend(p, Batch("x"))
	}
	if len(shards) < 2 {
		t.Errorf("all partitions are in one shard: %v", shards)
	}
	n.Create("a", -1)
	if got := topicNames(n); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("topics: %v", got)
	}
}

func TestCreateRefusals(t *testing.T) {
	n := Start(t, Options{})
	n.Create("taken", 1)
	for _, c := range []struct {
		topic broker.NewTopic
		want  error
	}{
		{broker.NewTopic{Name: "taken", Partitions: 1, Replication: 1}, broker.ErrTopicExists},
		{broker.NewTopic{Name: "no/name", Partitions: 1, Replication: 1}, broker.ErrInvalidTopic},
		{broker.NewTopic{Name: "t", Partitions: 0, Replication: 1}, broker.ErrInvalidPartitions},
		{broker.NewTopic{Name: "t", Partitions: 1, Replication: 3}, broker.ErrInvalidReplication},
		{broker.NewTopic{Name: "t", Partitions: 1, Replication: -1, Config: []broker.Config{{Name: "no.such", Value: "1"}}}, broker.ErrInvalidConfig},
		{broker.NewTopic{Name: "t", Partitions: 1, Replication: -1, Config: []broker.Config{{Name: "retention.ms", Value: "soon"}}}, broker.ErrInvalidConfig},
		{broker.NewTopic{Name: "t", Partitions: 1, Replication: -1}, nil},
	} {
		var got []broker.TopicResult
		n.CreateTopics([]broker.NewTopic{c.topic}, true, func(r []broker.TopicResult) { got = r })
		n.Settle()
		if len(got) != 1 || !errors.Is(got[0].Err, c.want) || got[0].Topic != nil {
			t.Errorf("validating %+v: %+v, want %v", c.topic, got, c.want)
		}
		if n.Topic("t") != nil {
			t.Fatal("a validation has created the topic")
		}
		if c.want == nil {
			continue
		}
		n.CreateTopics([]broker.NewTopic{c.topic, {Name: "beside", Partitions: 1, Replication: -1}}, false, func(r []broker.TopicResult) { got = r })
		n.Settle()
		if len(got) != 2 || !errors.Is(got[0].Err, c.want) || got[1].Err != nil || got[1].Topic != n.Topic("beside") {
			t.Errorf("creating %+v and another: %+v, want %v", c.topic, got, c.want)
		}
		if err := n.Delete("beside"); err != nil {
			t.Fatal(err)
		}
	}
	answered := false
	n.CreateTopics(nil, false, func(r []broker.TopicResult) { answered = len(r) == 0 })
	if !answered {
		t.Error("a request about nothing was not answered")
	}
}

func TestDeleteAndRecreate(t *testing.T) {
	n := Start(t, Options{})
	old := n.Create("t", 2)
	n.MustAppend(old.Partitions[0], Batch("old"))
	if err := n.Delete("t"); err != nil {
		t.Fatal(err)
	}
	if n.Topic("t") != nil || n.TopicByID(old.UUID) != nil {
		t.Fatal("a deleted topic is visible")
	}
	if err := n.Delete("t"); !errors.Is(err, broker.ErrUnknownTopic) {
		t.Errorf("deleting twice: %v", err)
	}
	_, err := n.one(func(done func([]broker.TopicResult)) { n.DeleteTopics([]broker.TopicRef{{UUID: old.UUID}}, done) })
	if !errors.Is(err, broker.ErrUnknownTopicID) {
		t.Errorf("deleting twice by uuid: %v", err)
	}
	recreated := n.Create("t", 1)
	if recreated.UUID == old.UUID || recreated.ID == old.ID || recreated.Partitions[0].ID() == old.Partitions[0].ID() {
		t.Error("a recreated topic must share no id with the old one")
	}
	if _, err := n.Append(old.Partitions[0], Batch("lost")); !errors.Is(err, broker.ErrUnknownPartition) {
		t.Errorf("append through an old handle: %v", err)
	}
	n.MustAppend(recreated.Partitions[0], Batch("new"))
	wantValues(t, n, recreated.Partitions[0], 0, "new")
	for _, unsynced := range []bool{false, true} {
		n = n.Crash(unsynced)
		n.Settle()
		again := n.Topic("t")
		if again == nil || again.UUID != recreated.UUID || n.TopicByID(old.UUID) != nil {
			t.Fatal("the catalog has changed by a crash")
		}
		wantValues(t, n, again.Partitions[0], 0, "new")
	}
}

func TestGrowAndAlter(t *testing.T) {
	n := Start(t, Options{})
	before := n.Create("t", 1)
	grown, err := n.Grow("t", 3)
	if err != nil || len(grown.Partitions) != 3 || grown.Partitions[0] != before.Partitions[0] || len(before.Partitions) != 1 {
		t.Fatalf("grown to %v: %v", grown, err)
	}
	n.MustAppend(grown.Partitions[2], Batch("x"))
	if _, err := n.Grow("t", 3); !errors.Is(err, broker.ErrInvalidPartitions) {
		t.Errorf("growing to the same size: %v", err)
	}
	if _, err := n.Grow("none", 3); !errors.Is(err, broker.ErrUnknownTopic) {
		t.Errorf("growing nothing: %v", err)
	}
	altered, err := n.Alter("t", broker.ConfigChange{Op: broker.ConfigSet, Name: "retention.bytes", Value: "12345"})
	if err != nil || len(altered.Config) != 1 || altered.Settings.RetentionBytes != 12345 {
		t.Fatalf("altered: %+v %v", altered, err)
	}
	for _, p := range altered.Partitions {
		if p.Settings().RetentionBytes != 12345 {
			t.Errorf("partition %d does not obey", p.Number())
		}
	}
	if _, err := n.Alter("t", broker.ConfigChange{Op: broker.ConfigSet, Name: "retention.bytes", Value: "x"}); !errors.Is(err, broker.ErrInvalidConfig) {
		t.Errorf("altering to nonsense: %v", err)
	}
	n = n.Restart()
	if s := n.Topic("t").Partitions[1].Settings(); s == nil || s.RetentionBytes != 12345 {
		t.Errorf("after a restart: %+v", s)
	}
}

// TestDefinitionsReachTheShardsWhateverHappens cuts the power after every step
// between the request for a topic and its answer.
func TestDefinitionsReachTheShardsWhateverHappens(t *testing.T) {
	for steps := 0; ; steps++ {
		n := Start(t, Options{})
		n.Create("first", 3)
		answered := false
		n.CreateTopics([]broker.NewTopic{{Name: "t", Partitions: 3, Replication: -1}}, false, func([]broker.TopicResult) { answered = true })
		n.DeleteTopics([]broker.TopicRef{{Name: "first"}}, func([]broker.TopicResult) {})
		for range steps {
			n.Step()
		}
		done := answered
		n = n.Crash(false)
		n.Settle()
		topic := n.Topic("t")
		if done && topic == nil {
			t.Fatalf("after %d steps the creation was answered, and a crash undid it", steps)
		}
		for p := range partitions(topic, n.Topic("first")) {
			if p.Settings() == nil {
				t.Fatalf("after %d steps a visible partition is not defined in its shard", steps)
			}
			n.MustAppend(p, Batch("x"))
		}
		if topic == nil {
			n.Create("t", 3)
		}
		if done {
			return
		}
	}
}

// partitions iterates over those of several topics, nil ones left out.
func partitions(topics ...*broker.Topic) func(func(*broker.Partition) bool) {
	return func(yield func(*broker.Partition) bool) {
		for _, t := range topics {
			if t == nil {
				continue
			}
			for _, p := range t.Partitions {
				if !yield(p) {
					return
				}
			}
		}
	}
}

func TestManyTopicsAtOnce(t *testing.T) {
	n := Start(t, Options{})
	var topics []broker.NewTopic
	for i := range 500 {
		topics = append(topics, broker.NewTopic{Name: fmt.Sprintf("t%03d", i), Partitions: 2, Replication: -1})
	}
	answered := 0
	n.CreateTopics(topics, false, func(results []broker.TopicResult) {
		for i, r := range results {
			if r.Err != nil || r.Topic == nil || r.Topic.Name != topics[i].Name {
				t.Errorf("result %d: %+v", i, r)
			}
			answered++
		}
	})
	n.Settle()
	if answered != len(topics) || len(topicNames(n)) != len(topics) {
		t.Fatalf("%d answered, %d visible", answered, len(topicNames(n)))
	}
	n = n.Restart()
	if got := topicNames(n); len(got) != len(topics) || !slices.IsSorted(got) {
		t.Errorf("%d after a restart", len(got))
	}
}

func TestProducerIDsAreNeverGivenTwice(t *testing.T) {
	n := Start(t, Options{})
	seen := map[int64]bool{}
	take := func(count int) {
		t.Helper()
		for range count {
			n.AllocateProducerID(func(id int64, err error) {
				if err != nil || id < 0 || seen[id] {
					t.Errorf("producer id %d again: %v", id, err)
				}
				seen[id] = true
			})
		}
		n.Settle()
	}
	take(2500) // more than two blocks
	take(3)
	n = n.Crash(false)
	n.Settle()
	take(10)
	if len(seen) != 2513 {
		t.Errorf("%d ids", len(seen))
	}
}

func TestAFreshClusterKeepsItsIdentity(t *testing.T) {
	n := Start(t, Options{})
	id := n.ClusterID()
	if id == ([16]byte{}) || n.Controller() != 1 || len(n.Nodes()) != 1 {
		t.Fatalf("cluster %x, controller %d", id, n.Controller())
	}
	n = n.Crash(false)
	n.Settle()
	if n.ClusterID() != id {
		t.Errorf("the cluster has become another: %x, %x", id, n.ClusterID())
	}
	n.Halt()
	o := n.opts
	o.Broker = func(b *broker.Options) { b.Node = 7 }
	if _, err := Open(t, o); err == nil {
		t.Error("another node's directory was accepted")
	}
}

// TestDefinitionsAreSentAgain fills the queue of the only shard after one, two,
// ... steps of a topic's creation, until it is the definition that finds no
// room, as the log tells.
func TestDefinitionsAreSentAgain(t *testing.T) {
	var fill [][]byte
	for size := 1_000_000; size > 0; size /= 10 {
		fill = append(fill, Batch(string(make([]byte, size))))
	}
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for steps := 1; !strings.Contains(log.String(), "sent again"); steps++ {
		n := Start(t, Options{
			FS:     vfs.NewMem(), // nothing is cut here, and remembering what could be takes time
			Logger: logger,
			Store:  func(o *store.Options) { o.WALFileSize = 8 << 20 },
			Broker: func(o *broker.Options) { o.Shards, o.InFlight = 1, 1<<30 },
		})
		p := n.Create("big", 1).Partitions[0]
		answered := false
		n.CreateTopics([]broker.NewTopic{{Name: "t", Partitions: 1, Replication: -1}}, false, func([]broker.TopicResult) { answered = true })
		for range steps {
			n.Step()
		}
		if answered {
			t.Fatal("the definition always found room: the test shows nothing")
		}
		for _, batch := range fill { // more than a shard holds, to its last byte
			for range 40 {
				Begin(p, batch)
			}
		}
		n.Advance(time.Second)
		if !answered || n.Topic("t") == nil {
			t.Fatalf("filled up after %d steps, and the topic never came (%v)", steps, n.Failed)
		}
		n.Halt()
	}
}
