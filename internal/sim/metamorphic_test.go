package sim

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/group"
	"github.com/polylog-mq/polylog/internal/store"
)

// TestWhatMakesNoDifference runs one script of operations on nodes that keep
// their data differently, and reads back the same from all of them.
func TestWhatMakesNoDifference(t *testing.T) {
	never := store.Rewriting{MinFiles: 1 << 20, MaxFiles: 1 << 20, ShortRun: 1, MaxDebt: 1 << 40}
	atOnce := store.Rewriting{MinFiles: 1, MaxFiles: 8, ShortRun: 1 << 30, OwnFile: 4 << 10, MaxDebt: 1 << 40}
	variants := []struct {
		name string
		set  func(o *Options, v *variant)
	}{
		{"plain", func(*Options, *variant) {}},
		{"a real disk", func(_ *Options, v *variant) { v.folder = t.TempDir() }},
		{"past the page cache", func(_ *Options, v *variant) { v.direct = true }},
		{"past the page cache, a crash at every 40th sync", func(_ *Options, v *variant) { v.direct, v.cutEvery = true, 40 }},
		{"3 nodes", func(o *Options, _ *variant) { o.Nodes = 3 }},
		{"checkpoints all the time", func(o *Options, _ *variant) { o.Checkpoint = 4 << 10 }},
		{"never a checkpoint", func(o *Options, _ *variant) { o.Checkpoint = 1 << 40 }},
		{"rewriting at once", func(o *Options, v *variant) { o.Checkpoint, o.Tail, v.rewriting = 16<<10, 1, atOnce }},
		{"never rewriting", func(o *Options, v *variant) { o.Checkpoint, o.Tail, v.rewriting = 16<<10, 1, never }},
		{"a crash at every 40th sync", func(_ *Options, v *variant) { v.cutEvery = 40 }},
		{"a crash at every 90th sync, checkpoints", func(o *Options, v *variant) { o.Checkpoint, v.cutEvery = 8<<10, 90 }},
		{"3 nodes, a crash at every 70th sync", func(o *Options, v *variant) { o.Nodes, v.cutEvery = 3, 70 }},
	}
	for seed := range uint64(3) {
		want := ""
		for _, v := range variants {
			o := Derive(seed+1, 1)
			o.Mute, o.Loss, o.Survival, o.Shards = true, 0, 0.5, 2
			o.Safety, o.Liveness = 90*time.Second, 2*time.Minute
			w := newWorld(o)
			v.set(&w.o, &w.variant)
			got, err := w.script(seed)
			switch {
			case err != nil:
				t.Fatalf("seed %d, %s: %v", seed, v.name, err)
			case want == "":
				want = got
			case got != want:
				t.Errorf("seed %d, %s:\n%s\nwant\n%s", seed, v.name, got, want)
			}
		}
	}
}

// script runs the operations that a seed decides and returns what is read back.
func (w *world) script(seed uint64) (string, error) {
	s := &scripted{w: w, rng: rand.New(rand.NewPCG(seed, 5)), left: 250, floor: map[string]record.Offset{}, seq: map[string]int32{}}
	w.variant.cast = func() {
		w.actors = append(w.actors, s)
		s.next()
	}
	defer func() {
		for _, n := range w.nodes {
			n.close()
		}
	}()
	if err := w.guarded(); err != nil {
		return "", err
	}
	return s.readBack(), nil
}

// scripted does one operation after the other, each until it has succeeded.
type scripted struct {
	w     *world
	rng   *rand.Rand
	left  int
	made  int
	floor map[string]record.Offset
	seq   map[string]int32
	moved record.Offset
}

func (s *scripted) begin()  {}
func (s *scripted) finish() {}

func (s *scripted) busy() string {
	if s.left > 0 {
		return fmt.Sprintf("%d operations are left", s.left)
	}
	return ""
}

// keepAll keeps records however old their timestamps are.
var keepAll = []broker.Config{{Name: "retention.ms", Value: "-1"}}

const scriptTopics, scriptPartitions = 3, 2

// next chooses an operation and carries it out.
func (s *scripted) next() {
	if s.left == 0 {
		return
	}
	if s.made < scriptTopics {
		name := fmt.Sprintf("t%d", s.made)
		s.try(record.MetadataShard, func(b *broker.Broker, done func(error)) {
			b.CreateTopics([]broker.NewTopic{{Name: name, Partitions: scriptPartitions, Replication: -1, Config: keepAll}}, false, func(r []broker.TopicResult) {
				if is(r[0].Err, broker.ErrTopicExists) {
					r[0].Err = nil
				}
				done(r[0].Err)
			})
		}, func() { s.made++ })
		return
	}
	topic, part := fmt.Sprintf("t%d", s.rng.IntN(scriptTopics)), s.rng.Int32N(scriptPartitions)
	shard := record.ShardID(1)
	for _, n := range s.w.nodes {
		if !n.down {
			if p := partitionAt(n.broker, topic, part); p != nil {
				shard = p.Shard()
			}
		}
	}
	switch s.rng.IntN(10) {
	case 0:
		s.commit(topic, part)
	case 1:
		s.trim(topic, part, shard)
	default:
		s.append(topic, part, shard)
	}
}

// try asks the leader of a shard until the operation succeeds.
func (s *scripted) try(g record.ShardID, do func(*broker.Broker, func(error)), then func()) {
	again := func() { s.w.after(100*time.Millisecond, func() { s.try(g, do, then) }) }
	s.w.ask(s.w.leader(g), 2*time.Second, func(b *broker.Broker, reply func(func())) {
		do(b, func(err error) {
			reply(func() {
				if err != nil {
					again()
					return
				}
				s.left--
				then()
				s.w.after(100*time.Millisecond, s.next)
			})
		})
	}, again)
}

func (s *scripted) append(topic string, part int32, shard record.ShardID) {
	key := fmt.Sprintf("%s/%d", topic, part)
	h := record.Template(record.None)
	h.ProducerID, h.ProducerEpoch, h.BaseSequence = 77, 0, s.seq[key]
	var builder record.Builder
	builder.Reset(h)
	count := 1 + s.rng.Int32N(5)
	for i := range count {
		value := binary.BigEndian.AppendUint32(make([]byte, s.rng.IntN(3000)), uint32(s.seq[key]+i))
		builder.Add(record.Record{Timestamp: 1000, Value: value})
	}
	batch, err := builder.AppendTo(nil)
	if err != nil {
		panic(err)
	}
	s.try(shard, func(b *broker.Broker, done func(error)) {
		p := partitionAt(b, topic, part)
		if p == nil {
			done(broker.ErrNotLeader)
			return
		}
		p.Append(&broker.Append{Batch: append([]byte(nil), batch...), Done: func(a *broker.Append) { done(a.Err) }})
	}, func() { s.seq[key] += count })
}

// trim deletes some records that are there for sure.
func (s *scripted) trim(topic string, part int32, shard record.ShardID) {
	key := fmt.Sprintf("%s/%d", topic, part)
	before := s.floor[key] + record.Offset(s.rng.Int64N(int64(record.Offset(s.seq[key])-s.floor[key])/8+1))
	s.try(shard, func(b *broker.Broker, done func(error)) {
		p := partitionAt(b, topic, part)
		if p == nil {
			done(broker.ErrNotLeader)
			return
		}
		p.DeleteRecords(before, func(_ record.Offset, err error) { done(err) })
	}, func() {
		s.w.note("%s trimmed to %d", key, before)
		s.floor[key] = before
	})
}

func (s *scripted) commit(topic string, part int32) {
	s.moved++
	o := s.moved
	c := &group.Commit{Group: "g", Generation: -1, Retention: -1}
	home := record.ShardID(1)
	for _, n := range s.w.nodes {
		if !n.down {
			if t := n.broker.Topic(topic); t != nil {
				c.Topics = []group.CommitTopic{{Topic: t.ID, Name: topic, Partitions: []group.CommitPartition{{Partition: part, Offset: o, Epoch: -1}}}}
			}
		}
	}
	for g := range record.ShardID(s.w.o.Shards) {
		if n := s.w.leader(g + 1); n != nil {
			if c, err := n.broker.Coordinator("g"); err == nil && c.ID == n.id {
				home = g + 1
			}
		}
	}
	s.try(home, func(b *broker.Broker, done func(error)) { b.CommitOffsets(c, done) }, func() {})
}

// readBack reads everything from every node.
func (s *scripted) readBack() string {
	w, first := s.w, ""
	for _, n := range w.nodes {
		var text strings.Builder
		for t := range n.broker.Topics() {
			for i, p := range t.Partitions {
				l := w.log(p.ID(), &topicPlan{name: t.Name}, int32(i))
				l.deleted = p.Floor()
				fmt.Fprintf(&text, "%s/%d from %d to %d: %x\n", t.Name, i, p.Floor(), p.HighWatermark(), hashOf(s.values(n, p, l)))
			}
		}
		if first == "" {
			first = text.String()
		} else if text.String() != first {
			return fmt.Sprintf("node %d has\n%s, node 1\n%s", n.id, text.String(), first)
		}
	}
	return first
}

// values joins the values of all records of a partition.
func (s *scripted) values(n *node, p *broker.Partition, l *partitionLog) string {
	var all strings.Builder
	for at := p.Floor(); at < p.HighWatermark(); {
		f := s.w.fetch(n, p, l, at)
		if f.err != nil || f.next <= at {
			return fmt.Sprintf("stuck at %d: %v", at, f.err)
		}
		for _, b := range f.batches {
			h, err := record.Validate(b, record.Checks{})
			if err != nil {
				return err.Error()
			}
			o := h.BaseOffset
			err = record.Records(b, func(r record.Record) error {
				if o >= at {
					fmt.Fprintf(&all, "%d:%x;", o, r.Value)
				}
				o++
				return nil
			})
			if err != nil {
				return err.Error()
			}
		}
		at = f.next
	}
	return all.String()
}
