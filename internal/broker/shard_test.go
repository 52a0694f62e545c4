package broker

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/clock"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/state/topic"
	"github.com/polylog-mq/polylog/internal/store"
)

// notes is a store that writes down what a shard tells it.
type notes struct {
	runs   []store.Run
	floors map[record.PartitionID]record.Offset
	drops  []record.PartitionID
	health store.Health

	compactions map[record.PartitionID]compactionNote
}

type compactionNote struct {
	at  record.Index
	how *store.Compaction
}

func (n *notes) AddRuns(_ record.ShardID, _ record.Index, runs []store.Run) {
	n.runs = append(n.runs, runs...)
}

func (n *notes) SetFloor(_ record.ShardID, _ record.Index, p record.PartitionID, _ uint8, o record.Offset) {
	n.floors[p] = o
}

func (n *notes) SetCompaction(_ record.ShardID, i record.Index, p record.PartitionID, c *store.Compaction) {
	if n.compactions == nil {
		n.compactions = map[record.PartitionID]compactionNote{}
	}
	n.compactions[p] = compactionNote{i, c}
}

func (n *notes) SetSettled(record.ShardID, record.PartitionID, store.Settled) {}

func (n *notes) NoteSettled(int64) {}

func (n *notes) PagesBetween(record.ShardID, []byte, []byte, func(key, value []byte) error) error {
	return nil
}

func (n *notes) SetEnd(record.PartitionID, record.Offset) {}

func (n *notes) DropPartition(_ record.ShardID, _ record.Index, p record.PartitionID) {
	n.drops = append(n.drops, p)
}

func (n *notes) Read(*store.Result, record.PartitionID, record.Offset, record.Offset, int, bool) error {
	return store.ErrNoPartition
}

func (n *notes) FindTime(record.PartitionID, record.Offset, record.Offset, int64) (store.Found, bool, error) {
	return store.Found{}, false, nil
}

func (n *notes) FindMaxTime(record.PartitionID, record.Offset, record.Offset) (store.Found, bool, error) {
	return store.Found{}, false, nil
}

func (n *notes) Health() store.Health { return n.health }

// bench is a shard without a log: entries are encoded and applied by hand.
type bench struct {
	t     testing.TB
	s     *shard
	store *notes
	now   record.LogTime
	index record.Index
	// body is the last entry's.
	body []byte
}

// entryBase is where bodies begin in the entries of a bench.
const entryBase = 10

// newBench returns a shard with partitions 1 to 3 under the default settings.
func newBench(tb testing.TB, config ...topic.Config) *bench {
	tb.Helper()
	x := &bench{t: tb, store: &notes{floors: map[record.PartitionID]record.Offset{}}, now: 1_000_000}
	c := clock.NewVirtual(time.UnixMilli(int64(x.now)))
	b := &Broker{opts: Options{Clock: c, Node: 1}, store: x.store, view: newView()}
	b.health = newCheckup(c, x.store.Health)
	b.budget = newBudget(1<<30, c, func() float64 { return 0 })
	b.handles.byID = map[record.PartitionID]*Partition{}
	x.s = newShard(b, 1)
	settings, err := topic.NewSettings(config)
	if err != nil {
		tb.Fatal(err)
	}
	x.define(1, settings, 1, 2, 3)
	return x
}

func (x *bench) define(r topic.Revision, settings *topic.Settings, ids ...record.PartitionID) {
	x.t.Helper()
	d := topic.Definition{Topic: 1, Revision: r, Settings: settings, Dropped: settings == nil}
	for _, id := range ids {
		d.Partitions = append(d.Partitions, topic.PartitionDefinition{ID: id, FirstEpoch: 3})
	}
	cmd := topic.Define{After: r - 1, Revision: r, Topics: []topic.Definition{d}}
	x.command(kindTopic, cmd.AppendTo(nil), nil)
}

func (x *bench) command(kind commandKind, body []byte, done func(any, error)) {
	x.t.Helper()
	if done == nil {
		done = func(_ any, err error) {
			if err != nil {
				x.t.Fatal(err)
			}
		}
	}
	x.entry(&command{b: x.s.b, kind: kind, body: body, done: done})
}

// entry puts proposals through one entry.
func (x *bench) entry(batch ...replica.Proposal) {
	x.t.Helper()
	x.index++
	x.body = x.s.Encode(nil, x.now, batch)
	x.s.Apply(x.raft(x.body), batch)
	for _, p := range batch {
		p.Done(nil)
	}
}

func (x *bench) raft(body []byte) replica.Entry {
	return replica.Entry{Index: x.index, Term: 3, Now: x.now, Data: body, Base: entryBase}
}

// batchOf builds a batch of n records; producer < 0 is none.
func batchOf(tb testing.TB, n int, producer int64, seq int32) []byte {
	tb.Helper()
	var b record.Builder
	h := record.Template(record.None)
	if producer >= 0 {
		h.ProducerID, h.ProducerEpoch, h.BaseSequence = producer, 0, seq
	}
	b.Reset(h)
	for i := range n {
		b.Add(record.Record{Timestamp: 500, Key: []byte{byte(i)}, Value: fmt.Appendf(nil, "p%d s%d", producer, seq+int32(i))})
	}
	batch, err := b.AppendTo(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return batch
}

// propose makes an append that writes its answer into the result.
func (x *bench) propose(id record.PartitionID, batch []byte) *Append {
	a := &Append{Batch: batch, Done: func(*Append) {}, Base: -1, LogAppendTime: -1, Floor: -1}
	p := x.s.parts[id]
	if p == nil {
		p = &Partition{id: id, shard: x.s}
	}
	a.proposal = appendProposal{owner: a, partition: p, batch: batch}
	return a
}

// all puts appends through one entry.
func (x *bench) all(appends ...*Append) {
	x.t.Helper()
	batch := make([]replica.Proposal, len(appends))
	for i, a := range appends {
		batch[i] = &a.proposal
	}
	x.entry(batch...)
}

// check holds what runs say against the bytes they point to.
func (x *bench) checkBytes(r store.Run, want ...[]byte) {
	x.t.Helper()
	got := x.body[r.Pos-entryBase:][:r.Len]
	if !slices.Equal(got, slices.Concat(want...)) {
		x.t.Errorf("run %+v does not point at its batches", r)
	}
}

func TestAppendsOfAPartitionBecomeOneRun(t *testing.T) {
	x := newBench(t)
	b := [][]byte{batchOf(t, 2, -1, 0), batchOf(t, 1, -1, 0), batchOf(t, 3, -1, 0), batchOf(t, 1, -1, 0)}
	appends := []*Append{x.propose(2, b[0]), x.propose(1, b[1]), x.propose(2, b[2]), x.propose(1, b[3])}
	x.all(appends...)
	if len(x.store.runs) != 2 {
		t.Fatalf("%d runs, want one per partition: %+v", len(x.store.runs), x.store.runs)
	}
	two, one := x.store.runs[0], x.store.runs[1]
	if two.Partition != 2 || two.Base != 0 || two.Last != 4 || two.Epoch != 3 || two.LogTime != x.now || two.MaxTimestamp != 500 {
		t.Errorf("run of partition 2: %+v", two)
	}
	if one.Partition != 1 || one.Base != 0 || one.Last != 1 {
		t.Errorf("run of partition 1: %+v", one)
	}
	x.checkBytes(two, b[0], b[2])
	x.checkBytes(one, b[1], b[3])
	for i, want := range []record.Offset{0, 0, 2, 1} {
		if a := appends[i]; a.Err != nil || a.Base != want || a.LogAppendTime != -1 || a.Floor != 0 {
			t.Errorf("append %d: base %d time %d err %v, want base %d", i, a.Base, a.LogAppendTime, a.Err, want)
		}
	}
	if p := x.s.parts[2]; p.HighWatermark() != 5 || p.LastStable() != 5 || p.Size() != int64(len(b[0])+len(b[2])) {
		t.Errorf("published: high %d stable %d size %d", p.HighWatermark(), p.LastStable(), p.Size())
	}
	x.all(x.propose(2, b[0]))
	if r := x.store.runs[2]; r.Base != 5 || r.FirstID.Compare(two.FirstID) <= 0 {
		t.Errorf("next run: %+v after %+v", r, two)
	}
}

func TestDuplicatesInsideAnEntry(t *testing.T) {
	x := newBench(t)
	first, second, third := batchOf(t, 2, 7, 0), batchOf(t, 2, 7, 2), batchOf(t, 1, 7, 4)
	other := batchOf(t, 1, -1, 0)
	appends := []*Append{
		x.propose(1, first), x.propose(1, first), x.propose(1, second), x.propose(1, other),
		x.propose(1, batchOf(t, 1, 7, 9)), x.propose(1, third), x.propose(1, first),
	}
	x.all(appends...)
	for i, want := range []record.Offset{0, 0, 2, 4, -1, 5, 0} {
		if a := appends[i]; a.Base != want {
			t.Errorf("append %d: base %d, want %d (%v)", i, a.Base, want, a.Err)
		}
	}
	if err := appends[4].Err; !errors.Is(err, ErrOutOfOrderSequence) {
		t.Errorf("a gap in the sequence: %v", err)
	}
	if n := len(x.store.runs); n != 3 {
		t.Fatalf("%d runs, want 3: around the duplicate and the gap", n)
	}
	x.checkBytes(x.store.runs[0], first)
	x.checkBytes(x.store.runs[1], second, other)
	x.checkBytes(x.store.runs[2], third)
	again := x.propose(1, second)
	x.all(again)
	if again.Base != 2 || again.Err != nil || len(x.store.runs) != 3 {
		t.Errorf("a duplicate in a later entry: base %d, %v, %d runs", again.Base, again.Err, len(x.store.runs))
	}
}

func TestLogAppendTimeIsStampedByTheLeader(t *testing.T) {
	x := newBench(t, topic.Config{Name: "message.timestamp.type", Value: "LogAppendTime"})
	batch := batchOf(t, 2, 7, 0)
	a := x.propose(1, batch)
	x.all(a)
	if a.LogAppendTime != int64(x.now) || x.store.runs[0].MaxTimestamp != int64(x.now) {
		t.Errorf("answered %d, run has %d, log time is %d", a.LogAppendTime, x.store.runs[0].MaxTimestamp, x.now)
	}
	r := x.store.runs[0]
	h, err := record.Validate(x.body[r.Pos-entryBase:][:r.Len], record.Checks{})
	if err != nil || !h.LogAppendTime() || h.MaxTimestamp != int64(x.now) {
		t.Errorf("stored: %v, %v", h, err)
	}
	if h, _ := record.ParseHeader(batch); h.LogAppendTime() {
		t.Error("the caller's bytes were written to")
	}
	stamped := a.LogAppendTime
	x.now += 5000
	again := x.propose(1, batch)
	x.all(again)
	if again.LogAppendTime != stamped || again.Base != 0 {
		t.Errorf("a duplicate must be answered as its first copy was: %d, %d", again.Base, again.LogAppendTime)
	}
}

func TestAppendToWhatIsNotThere(t *testing.T) {
	x := newBench(t)
	gone, here := x.propose(99, batchOf(t, 1, -1, 0)), x.propose(1, batchOf(t, 1, -1, 0))
	x.all(gone, here)
	if !errors.Is(gone.Err, ErrUnknownPartition) || gone.Base != -1 || here.Err != nil || here.Base != 0 {
		t.Errorf("gone: %v, here: %d %v", gone.Err, here.Base, here.Err)
	}
	if len(x.store.runs) != 1 || x.store.runs[0].Partition != 1 {
		t.Errorf("runs: %+v", x.store.runs)
	}
	p := x.s.parts[1]
	x.define(2, nil, 1, 2, 3)
	if !slices.Equal(x.store.drops, []record.PartitionID{1, 2, 3}) || p.Settings() != nil || len(x.s.parts) != 0 {
		t.Errorf("dropped %v, settings %v", x.store.drops, p.Settings())
	}
	for leads, want := range map[bool]error{false: ErrNotLeader, true: ErrUnknownPartition} {
		x.s.leads.Store(leads)
		refused := &Append{Batch: batchOf(t, 1, -1, 0), Done: func(*Append) {}}
		p.Append(refused)
		if !errors.Is(refused.Err, want) {
			t.Errorf("append to a dropped partition, leader %v: %v, want %v", leads, refused.Err, want)
		}
	}
}

func TestCommandsKeepTheirPlaceAmongAppends(t *testing.T) {
	x := newBench(t)
	before, after := x.propose(1, batchOf(t, 4, -1, 0)), x.propose(1, batchOf(t, 1, -1, 0))
	del := topic.DeleteRecords{Partition: 1, Before: -1}
	var deleted error
	cmd := &command{b: x.s.b, kind: kindTopic, body: del.AppendTo(nil), done: func(_ any, err error) { deleted = err }}
	x.entry(&before.proposal, cmd, &after.proposal)
	if deleted != nil || x.store.floors[1] != 4 || x.s.parts[1].Floor() != 4 || x.s.parts[1].HighWatermark() != 5 {
		t.Errorf("delete: %v, floor %d, high %d", deleted, x.store.floors[1], x.s.parts[1].HighWatermark())
	}
	if before.Base != 0 || after.Base != 4 {
		t.Errorf("bases %d and %d", before.Base, after.Base)
	}
}

func TestAppendBehindADropInTheSameEntry(t *testing.T) {
	x := newBench(t)
	before, after := x.propose(1, batchOf(t, 1, -1, 0)), x.propose(1, batchOf(t, 1, -1, 0))
	drop := topic.Define{After: 1, Revision: 2, Topics: []topic.Definition{{
		Topic: 1, Revision: 2, Dropped: true, Partitions: []topic.PartitionDefinition{{ID: 1}, {ID: 2}, {ID: 3}},
	}}}
	cmd := &command{b: x.s.b, kind: kindTopic, body: drop.AppendTo(nil), done: func(any, error) {}}
	x.entry(&before.proposal, cmd, &after.proposal)
	if before.Err != nil || !errors.Is(after.Err, ErrUnknownPartition) {
		t.Errorf("before the drop: %v, behind it: %v", before.Err, after.Err)
	}
	if len(x.store.runs) != 1 || len(x.store.drops) != 3 {
		t.Errorf("runs %+v, drops %v", x.store.runs, x.store.drops)
	}
}

func TestOneBodyManyTargets(t *testing.T) {
	x := newBench(t)
	x.all(x.propose(2, batchOf(t, 3, -1, 0)))
	batch := batchOf(t, 2, 7, 0)
	body := appendTargets(beginCommand([]byte{bodyVersion}, kindAppend), target{1, 0}, target{2, 4}, target{99, 0}, target{3, 0})
	body = append(body, batch...)
	endCommand(body, 1)
	x.index++
	x.body, x.store.runs = body, nil
	x.s.Apply(x.raft(body), nil)
	if len(x.store.runs) != 3 {
		t.Fatalf("runs: %+v", x.store.runs)
	}
	for i, want := range []struct {
		p     record.PartitionID
		level uint8
		base  record.Offset
	}{{1, 0, 0}, {2, 4, 3}, {3, 0, 0}} {
		r := x.store.runs[i]
		if r.Partition != want.p || r.Level != want.level || r.Base != want.base {
			t.Errorf("run %d: %+v", i, r)
		}
		x.checkBytes(r, batch)
	}
}

func TestKindsOfRecordsDoNotShareARun(t *testing.T) {
	x := newBench(t)
	plain, transactional := batchOf(t, 1, -1, 0), batchOf(t, 1, 5, 0)
	transactional[22] |= 1 << 4 // the attributes' low byte
	enlist := mark{producer: 5, number: 1, partitions: []record.PartitionID{1}}
	x.command(kindMark, enlist.appendTo(nil), nil)
	x.all(x.propose(1, plain), x.propose(1, transactional), x.propose(1, plain))
	if len(x.store.runs) != 3 {
		t.Fatalf("%d runs: %+v", len(x.store.runs), x.store.runs)
	}
	for i, want := range []store.RunFlags{0, store.Transactional, 0} {
		if x.store.runs[i].Flags != want || x.store.runs[i].Base != record.Offset(i) {
			t.Errorf("run %d: %+v", i, x.store.runs[i])
		}
	}
}

func TestReplayGivesTheSameRuns(t *testing.T) {
	x, y := newBench(t), newBench(t)
	for i := range 20 {
		var appends []*Append
		for j := range i % 5 {
			appends = append(appends, x.propose(record.PartitionID(1+(i+j)%3), batchOf(t, 1+j, int64(j%2)-1, int32(i))))
		}
		x.all(appends...)
		y.index, y.now = x.index, x.now
		y.s.Apply(x.raft(x.body), nil)
		x.now += 7
	}
	if !slices.Equal(x.store.runs, y.store.runs) || len(x.store.runs) == 0 {
		t.Fatal("an entry meant something else where it was not proposed")
	}
}

func TestMalformedEntryStopsTheShard(t *testing.T) {
	x := newBench(t)
	defer func() {
		if recover() == nil {
			t.Fatal("the shard went on")
		}
	}()
	x.s.Apply(x.raft([]byte{bodyVersion, 200, 0, 0, 0, 0}), nil)
}

func TestSteadyAppendsAllocateNothing(t *testing.T) {
	x := newBench(t)
	appends := make([]*Append, 64)
	batch := make([]replica.Proposal, len(appends))
	for i := range appends {
		appends[i] = x.propose(record.PartitionID(1+i%3), batchOf(t, 1, -1, 0))
		batch[i] = &appends[i].proposal
	}
	var body []byte
	round := func() {
		for _, a := range appends {
			a.proposal = appendProposal{owner: a, partition: a.proposal.partition, batch: a.Batch}
		}
		x.index++
		body = x.s.Encode(body[:0], x.now, batch)
		x.store.runs = x.store.runs[:0]
		x.s.Apply(x.raft(body), batch)
		for _, p := range batch {
			p.Done(nil)
		}
	}
	round()
	if n := testing.AllocsPerRun(100, round); n > 0 {
		t.Errorf("%v allocations per entry of 64 appends", n)
	}
}

// BenchmarkShard is the work of the loop for entries of 64 appends of 100 bytes
// to 12 partitions, without log and disk.
func BenchmarkShard(b *testing.B) {
	for _, idempotent := range []bool{false, true} {
		b.Run(fmt.Sprintf("idempotent=%v", idempotent), func(b *testing.B) {
			x := newBench(b)
			appends := make([]*Append, 64)
			batch := make([]replica.Proposal, len(appends))
			for i := range appends {
				producer := int64(-1)
				if idempotent {
					producer = int64(i)
				}
				appends[i] = x.propose(record.PartitionID(1+i%3), batchOf(b, 1, producer, 0))
				batch[i] = &appends[i].proposal
			}
			var body []byte
			b.ReportAllocs()
			for b.Loop() {
				x.index++
				body = x.s.Encode(body[:0], x.now, batch)
				x.store.runs = x.store.runs[:0]
				x.s.Apply(x.raft(body), batch)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/append")
		})
	}
}
