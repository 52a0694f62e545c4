package topic

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/polylog-mq/polylog/internal/record"
)

// courier is a catalog and its shards, with a careless messenger between them.
type courier struct {
	catalog, restarted *Catalog
	shards             map[record.ShardID]*Partitions
	defines            []sent // ever built; any may arrive, at any time
	confirms           []*Confirm
	life               int64
	revisions          map[ID]Revision // the last change of each topic answered as settled
	cut                *cut
}

type sent struct {
	shard record.ShardID
	cmd   *Define
}

func newCourier(t *testing.T) *courier {
	w := &courier{
		catalog: NewCatalog(), restarted: NewCatalog(), revisions: map[ID]Revision{},
		shards: map[record.ShardID]*Partitions{1: NewPartitions(), 2: NewPartitions(), 5: NewPartitions()},
	}
	for _, c := range []*Catalog{w.catalog, w.restarted} {
		if _, err := c.Apply(1, &Bootstrap{Shards: []record.ShardID{1, 2, 5}}); err != nil {
			t.Fatal(err)
		}
	}
	w.cut = cutOfCatalog(w.catalog)
	return w
}

func (w *courier) apply(t *rapid.T, cmd CatalogCommand) {
	a, errA := w.catalog.Apply(7, cmd)
	b, errB := w.restarted.Apply(7, cmd)
	if fmt.Sprint(errA) != fmt.Sprint(errB) || a.Revision != b.Revision || len(a.Settled) != len(b.Settled) {
		t.Fatalf("%+v: %+v %v, on a replica that restarted %+v %v", cmd, a, errA, b, errB)
	}
	for _, topic := range a.Settled {
		w.checkSettled(t, topic)
	}
}

// checkSettled looks whether the shards really stand where the catalog says.
func (w *courier) checkSettled(t *rapid.T, topic *Topic) {
	for _, p := range topic.Partitions {
		have := w.shards[p.Shard].Lookup(p.ID)
		if topic.Deleted != (have == nil) {
			t.Fatalf("%s is settled, but partition %d is %v", topicLine(topic), p.ID, have)
		}
		if have != nil && (*have.Settings() != *topic.Settings || have.topic.revision != topic.Revision) {
			t.Fatalf("%s is settled, but shard %d has revision %d", topicLine(topic), p.Shard, have.topic.revision)
		}
	}
}

func (w *courier) pick(t *rapid.T) UUID {
	topics := w.catalog.Topics()
	if len(topics) == 0 {
		return UUID{}
	}
	return topics[rapid.IntRange(0, len(topics)-1).Draw(t, "topic")].UUID
}

func (w *courier) send(t *rapid.T) {
	s := rapid.SampledFrom([]record.ShardID{1, 2, 5}).Draw(t, "shard")
	if cmd, ok := w.catalog.Pending(s); ok {
		w.defines = append(w.defines, sent{s, cmd})
	}
}

func (w *courier) arrive(t *rapid.T) {
	if len(w.defines) == 0 {
		return
	}
	m := w.defines[rapid.IntRange(max(0, len(w.defines)-8), len(w.defines)-1).Draw(t, "define")]
	var fx Effects
	if err := w.shards[m.shard].Apply(7, 1, m.cmd, &fx); err == nil {
		w.confirms = append(w.confirms, &Confirm{m.shard, w.shards[m.shard].Revision()})
	}
}

func (w *courier) confirm(t *rapid.T) {
	if len(w.confirms) > 0 {
		w.apply(t, w.confirms[rapid.IntRange(max(0, len(w.confirms)-8), len(w.confirms)-1).Draw(t, "confirm")])
	}
}

func (w *courier) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"create": func(t *rapid.T) {
			w.life++
			w.apply(t, &CreateTopic{
				UUID: uuid("t", w.life), Name: rapid.SampledFrom([]string{"a", "b.c", "b_c", "d"}).Draw(t, "name"),
				Partitions: int32(rapid.IntRange(1, 5).Draw(t, "partitions")),
			})
		},
		"delete": func(t *rapid.T) { w.apply(t, &DeleteTopic{UUID: w.pick(t)}) },
		"alter": func(t *rapid.T) {
			v := strconv.Itoa(rapid.IntRange(1, 9).Draw(t, "value"))
			w.apply(t, &AlterConfigs{UUID: w.pick(t), Changes: []ConfigChange{{ConfigSet, "retention.ms", v}}})
		},
		"grow": func(t *rapid.T) {
			w.apply(t, &CreatePartitions{UUID: w.pick(t), Count: int32(rapid.IntRange(1, 9).Draw(t, "count"))})
		},
		"send":    w.send,
		"arrive":  w.arrive,
		"confirm": w.confirm,
		"cut":     func(*rapid.T) { w.cut.begin() },
		"write":   func(t *rapid.T) { w.cut.step(t, rapid.IntRange(0, 4).Draw(t, "pages")) },
	}
}

func TestCatalogAgainstCarelessMessenger(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newCourier(t)
		actions := w.actions()
		actions["restart"] = func(t *rapid.T) { w.restarted = restoreCatalog(t, dumpCatalog(w.restarted)) }
		actions[""] = func(rt *rapid.T) {
			if a, b := dumpCatalog(w.catalog), dumpCatalog(w.restarted); !maps.Equal(a, b) {
				rt.Fatal("a replica that restarted has other pages")
			}
			checkCatalogPages(rt, w.catalog)
		}
		rt.Repeat(actions)
		w.finish(rt)
	})
}

// finish delivers everything, after which nobody owes anything and shards and
// catalog agree.
func (w *courier) finish(t *rapid.T) {
	for _, s := range []record.ShardID{1, 2, 5} {
		for range 100 {
			cmd, ok := w.catalog.Pending(s)
			if !ok {
				break
			}
			var fx Effects
			_ = w.shards[s].Apply(7, 1, cmd, &fx)
			w.apply(t, &Confirm{s, w.shards[s].Revision()})
		}
	}
	want := map[record.PartitionID]bool{}
	for _, topic := range w.catalog.Topics() {
		if !w.catalog.Settled(topic.ID) {
			t.Fatalf("%s is not settled in the end", topic.Name)
		}
		w.checkSettled(t, topic)
		for _, p := range topic.Partitions {
			want[p.ID] = true
		}
	}
	if len(w.catalog.topics) != len(w.catalog.Topics()) || len(w.catalog.waiting) > 0 {
		t.Fatal("tombstones are left")
	}
	for _, s := range w.shards {
		for _, p := range s.All() {
			if !want[p.ID()] {
				t.Fatalf("partition %d is left in a shard", p.ID())
			}
		}
	}
}

func TestLargeTopicTravelsInPieces(t *testing.T) {
	c := NewCatalog()
	apply := func(cmd CatalogCommand) {
		if _, err := c.Apply(1, cmd); err != nil {
			t.Fatal(err)
		}
	}
	apply(&Bootstrap{Shards: []record.ShardID{1}})
	for i := range int64(3) {
		apply(&CreateTopic{UUID: uuid("t", i+1), Name: fmt.Sprint("t", i), Partitions: partitionsPerCommand/2 + 1})
	}
	for i := range 40 {
		apply(&CreateTopic{UUID: uuid("u", int64(i)), Name: fmt.Sprint("u", i), Partitions: 100})
	}
	checkCatalogPages(t, c)
	s := NewPartitions()
	rounds := 0
	for ; rounds < 99; rounds++ {
		cmd, ok := c.Pending(1)
		if !ok {
			break
		}
		n := 0
		for _, d := range cmd.Topics {
			n += len(d.Partitions)
		}
		if n > partitionsPerCommand {
			t.Errorf("one command defines %d partitions", n)
		}
		decoded, err := DecodeShardCommand(cmd.AppendTo(nil))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Apply(1, 1, decoded, &Effects{}); err != nil {
			t.Fatal(err)
		}
		apply(&Confirm{1, s.Revision()})
	}
	if want := 3*(partitionsPerCommand/2+1) + 4000; rounds < 3 || len(s.All()) != want {
		t.Fatalf("%d partitions in %d rounds, want %d", len(s.All()), rounds, want)
	}
}

func TestGrowingTopicCheckpoints(t *testing.T) {
	c := NewCatalog()
	cut := cutOfCatalog(c)
	for _, cmd := range []CatalogCommand{
		&Bootstrap{Shards: []record.ShardID{1, 2}},
		&CreateTopic{UUID: uuid("t", 1), Name: "t", Partitions: partitionsPerPage - 5},
		&CreatePartitions{UUID: uuid("t", 1), Count: partitionsPerPage + 5},
		&CreatePartitions{UUID: uuid("t", 1), Count: 3*partitionsPerPage + 5},
		&DeleteTopic{UUID: uuid("t", 1)},
		&Confirm{1, 5},
		&Confirm{2, 5},
	} {
		if _, err := c.Apply(1, cmd); err != nil {
			t.Fatal(err)
		}
		cut.whole(t)
		checkCatalogPages(t, c)
	}
	if n := len(cut.disk); n != 2 {
		t.Errorf("%d pages are left of a forgotten topic", n)
	}
}

func TestAlteringWhileAShardIsAwayCostsLittle(t *testing.T) {
	c := NewCatalog()
	for _, cmd := range []CatalogCommand{
		&Bootstrap{Shards: []record.ShardID{1}},
		&CreateTopic{UUID: uuid("t", 1), Name: "t", Partitions: 1},
	} {
		if _, err := c.Apply(1, cmd); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10_000 {
		cmd := &AlterConfigs{UUID: uuid("t", 1), Changes: []ConfigChange{{ConfigSet, "retention.ms", strconv.Itoa(i)}}}
		if _, err := c.Apply(1, cmd); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.shard(1).queue.entries); n > 64 {
		t.Errorf("%d entries are queued for one topic", n)
	}
	if cmd, _ := c.Pending(1); len(cmd.Topics) != 1 || cmd.Topics[0].Settings.RetentionMs != 9999 {
		t.Errorf("pending is %+v", cmd)
	}
}

func TestLimits(t *testing.T) {
	c := NewCatalog()
	if _, err := c.Apply(1, &Bootstrap{Shards: []record.ShardID{1, 2}}); err != nil {
		t.Fatal(err)
	}
	created := 0
	for i := range MaxPartitions/MaxPartitionsPerTopic + 1 {
		_, err := c.Apply(1, &CreateTopic{UUID: uuid("t", int64(i)), Name: fmt.Sprint("t", i), Partitions: MaxPartitionsPerTopic})
		if err == nil {
			created++
		}
	}
	if created != MaxPartitions/MaxPartitionsPerTopic {
		t.Errorf("%d topics of %d partitions were created", created, MaxPartitionsPerTopic)
	}
	if !slices.Equal(c.Shards(), []record.ShardID{1, 2}) {
		t.Errorf("shards are %v", c.Shards())
	}
}
