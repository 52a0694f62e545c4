package brokertest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/group"
	"github.com/polylog-mq/polylog/internal/state/topic"
	"github.com/polylog-mq/polylog/internal/state/txn"
)

// transactor is a transactional producer of KIP-890.
type transactor struct {
	id       string
	producer int64
	epoch    int16
}

func (n *Node) transactor(id string) *transactor {
	n.tb.Helper()
	x := &transactor{id: id}
	if err := n.init(x); err != nil {
		n.tb.Fatalf("beginning as %s: %v", id, err)
	}
	return x
}

// init begins an incarnation.
func (n *Node) init(x *transactor) error {
	err := errNoAnswer
	n.InitTransactions(&txn.Init{ID: x.id, Timeout: 60_000, Producer: -1, Epoch: -1}, func(r txn.Reply, e error) {
		x.producer, x.epoch, err = r.Producer, r.Epoch, e
	})
	n.Settle()
	return err
}

// write begins to append values in the transaction.
func (x *transactor) write(p *broker.Partition, seq int32, values ...string) *Pending {
	h := record.Template(record.None)
	h.Attributes |= 1 << 4 // transactional
	h.ProducerID, h.ProducerEpoch, h.BaseSequence = x.producer, x.epoch, seq
	r := &Pending{}
	r.Append = broker.Append{Batch: build(h, values), Done: func(*broker.Append) { r.Answered = true }}
	p.AppendIn(&r.Append, x.id)
	return r
}

// ending is an EndTransaction under way.
type ending struct {
	answered bool
	reply    txn.Reply
	err      error
}

func (n *Node) end(x *transactor, commit bool) *ending {
	e := &ending{}
	c := &txn.End{ID: x.id, Producer: x.producer, Epoch: x.epoch, Commit: commit, Bumps: true}
	n.EndTransaction(c, func(r txn.Reply, err error) { e.answered, e.reply, e.err = true, r, err })
	return e
}

func (n *Node) commitInTxn(x *transactor, id string, topicID record.TopicID, at record.Offset) error {
	err := errNoAnswer
	c := &group.TxnCommit{Producer: x.producer, Epoch: x.epoch}
	c.Commit = group.Commit{Group: id, Generation: -1, Topics: []group.CommitTopic{
		{Topic: topicID, Name: "t", Partitions: []group.CommitPartition{{Offset: at, Epoch: -1}}},
	}}
	n.CommitInTransaction(x.id, c, func(e error) { err = e })
	n.Settle()
	return err
}

func (n *Node) offset(id string, topicID record.TopicID) group.Offset {
	n.tb.Helper()
	var found []group.Offset
	n.FetchOffsets(id, []broker.GroupPartition{{Topic: topicID}}, func(o []group.Offset, err error) {
		if err != nil {
			n.tb.Fatalf("offsets of %s: %v", id, err)
		}
		found = o
	})
	n.Settle()
	return found[0]
}

// stable reads what a reader of committed data sees of a partition.
func (n *Node) stable(p *broker.Partition) (values []string) {
	n.tb.Helper()
	limit := p.LastStable()
	if limit == 0 {
		return nil
	}
	var r broker.Result
	defer r.Release()
	if err := p.Read(&r, 0, limit, 1<<20, true); err != nil {
		n.tb.Fatal(err)
	}
	pending := slices.Clone(p.Aborted(nil, 0, r.Next))
	slices.SortFunc(pending, func(a, b topic.Aborted) int { return int(a.First - b.First) })
	out := map[int64]bool{} // producers whose records are left out
	for _, buf := range r.Buffers {
		err := record.Walk(buf, func(batch []byte, h record.Header) error {
			for len(pending) > 0 && pending[0].First <= h.LastOffset() {
				out[pending[0].Producer] = true
				pending = pending[1:]
			}
			if h.Control() {
				delete(out, h.ProducerID)
				return nil
			}
			if h.Transactional() && out[h.ProducerID] {
				return nil
			}
			return record.Records(batch, func(rec record.Record) error {
				values = append(values, string(rec.Value))
				return nil
			})
		})
		if err != nil {
			n.tb.Fatal(err)
		}
	}
	return values
}

// must settles and fails unless all were appended.
func (n *Node) must(all ...*Pending) {
	n.tb.Helper()
	n.Settle()
	for _, p := range all {
		if !p.Answered || p.Err != nil {
			n.tb.Fatalf("an append of a transaction: answered %v, %v", p.Answered, p.Err)
		}
	}
}

func TestTransactions(t *testing.T) {
	n := Start(t, Options{})
	p := n.Create("t", 1).Partitions[0]
	x, y := n.transactor("x"), n.transactor("y")
	n.MustAppend(p, Batch("plain"))
	// Two of one producer before it is enlisted: they keep their order.
	n.must(x.write(p, 0, "x0"), x.write(p, 1, "x1"), y.write(p, 0, "y0"))
	n.MustAppend(p, Batch("after"))
	if p.LastStable() != 1 || p.HighWatermark() != 5 {
		t.Fatalf("last stable offset %d of %d, want 1 of 5", p.LastStable(), p.HighWatermark())
	}
	e := n.end(y, false)
	n.Settle()
	if !e.answered || e.err != nil || e.reply.Epoch != 1 || p.LastStable() != 1 {
		t.Fatalf("aborting y: %+v, last stable offset %d", e, p.LastStable())
	}
	e = n.end(x, true)
	n.Settle()
	if !e.answered || e.err != nil || p.LastStable() != 7 || p.HighWatermark() != 7 {
		t.Fatalf("committing x: %+v, last stable offset %d", e, p.LastStable())
	}
	if again := n.end(x, true); true {
		n.Settle()
		if !again.answered || again.err != nil || again.reply != e.reply && again.reply.Epoch != 1 {
			t.Errorf("committing x again: %+v", again)
		}
	}
	want := []string{"plain", "x0", "x1", "after"}
	if got := n.stable(p); !slices.Equal(got, want) {
		t.Errorf("committed %q, want %q", got, want)
	}
	n = n.Restart()
	p = n.Topic("t").Partitions[0]
	if got := n.stable(p); !slices.Equal(got, want) {
		t.Errorf("committed after a restart %q, want %q", got, want)
	}
	late := x.write(p, 2, "late")
	n.Settle()
	if !late.Answered || !errors.Is(late.Err, txn.ErrFenced) {
		t.Errorf("a batch of the old epoch: %v, %v", late.Answered, late.Err)
	}
}

// TestWritesOutsideOfTransactions: what could hang a reader for ever is refused.
func TestWritesOutsideOfTransactions(t *testing.T) {
	n := Start(t, Options{})
	p := n.Create("t", 1).Partitions[0]
	x := n.transactor("x")
	direct := func(transactional bool, epoch int16, seq int32) error {
		h := record.Template(record.None)
		h.ProducerID, h.ProducerEpoch, h.BaseSequence = x.producer, epoch, seq
		if transactional {
			h.Attributes |= 1 << 4
		}
		_, err := n.Append(p, build(h, []string{"v"}))
		return err
	}
	if err := direct(true, 0, 0); !errors.Is(err, broker.ErrNotEnlisted) {
		t.Errorf("without having been added: %v", err)
	}
	n.must(x.write(p, 0, "a"))
	if err := direct(false, 0, 1); !errors.Is(err, broker.ErrNotEnlisted) {
		t.Errorf("outside of its transaction: %v", err)
	}
	if err := direct(true, 1, 0); !errors.Is(err, broker.ErrNotEnlisted) {
		t.Errorf("with an epoch to come: %v", err)
	}
	if err := direct(true, 0, 1); err != nil {
		t.Errorf("within: %v", err)
	}
	n.end(x, true)
	n.Settle()
	if err := direct(true, 0, 2); !errors.Is(err, broker.ErrProducerEpoch) {
		t.Errorf("after the end: %v", err)
	}
	if err := direct(true, 1, 0); !errors.Is(err, broker.ErrNotEnlisted) {
		t.Errorf("with the next epoch, unannounced: %v", err)
	}
	if p.LastStable() != p.HighWatermark() {
		t.Errorf("last stable offset %d of %d", p.LastStable(), p.HighWatermark())
	}
}

func TestATransactionTimesOut(t *testing.T) {
	n := Start(t, Options{})
	p := n.Create("t", 1).Partitions[0]
	x := n.transactor("x")
	n.must(x.write(p, 0, "a"))
	n.Advance(61 * time.Second)
	if p.LastStable() != 2 || len(n.stable(p)) != 0 {
		t.Errorf("last stable offset %d, committed %q", p.LastStable(), n.stable(p))
	}
	e := n.end(x, true)
	n.Settle()
	if !errors.Is(e.err, txn.ErrFenced) {
		t.Errorf("committing after that: %+v", e)
	}
}

// TestOffsetsInTransactions: they count when their transaction commits.
func TestOffsetsInTransactions(t *testing.T) {
	n := Start(t, Options{})
	id := n.Create("t", 1).ID
	x := n.transactor("x")
	for i, commit := range []bool{true, false, true} {
		before := n.offset("g", id).Offset
		if err := n.commitInTxn(x, "g", id, record.Offset(i)); err != nil {
			t.Fatal(err)
		}
		if o := n.offset("g", id); o.Offset != before || !o.Unstable {
			t.Errorf("pending: %+v, before %d", o, before)
		}
		n = n.Restart()
		e := n.end(x, commit)
		n.Settle()
		if !e.answered || e.err != nil {
			t.Fatalf("ending: %+v", e)
		}
		x.epoch = e.reply.Epoch
		want := before
		if commit {
			want = record.Offset(i)
		}
		if o := n.offset("g", id); o.Offset != want || o.Unstable {
			t.Errorf("after the end: %+v, want %d", o, want)
		}
	}
}

// TestADeletedTopicEndsNoTransaction: the rest of it is committed.
func TestADeletedTopicEndsNoTransaction(t *testing.T) {
	n := Start(t, Options{})
	n.Create("gone", 3)
	p := n.Create("t", 1).Partitions[0]
	x := n.transactor("x")
	n.must(x.write(p, 0, "a"), x.write(n.Topic("gone").Partitions[1], 0, "b"))
	if err := n.Delete("gone"); err != nil {
		t.Fatal(err)
	}
	e := n.end(x, true)
	n.Advance(time.Second)
	if !e.answered || e.err != nil || len(n.stable(p)) != 1 {
		t.Errorf("ending: %+v, committed %q", e, n.stable(p))
	}
}

// TestPowerCutsInTransactions cuts the power after every step of the end of a
// transaction over all shards, and once more while it is made good. Afterwards all
// partitions and the group agree, and what was answered holds.
func TestPowerCutsInTransactions(t *testing.T) {
	for _, commit := range []bool{true, false} {
		for steps := 0; ; steps++ {
			if !cutInTransaction(t, commit, steps) {
				if steps < 8 {
					t.Errorf("the end of a transaction takes %d steps: the test shows nothing", steps)
				}
				break
			}
		}
	}
}

// cutInTransaction reports whether the power was cut before the node was at rest.
func cutInTransaction(t *testing.T, commit bool, steps int) (more bool) {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(steps), 3))
	n := Start(t, Options{Seed: uint64(steps) + 1})
	id := n.Create("t", 6).ID
	x := n.transactor("x")
	var writes []*Pending
	for i, p := range n.Topic("t").Partitions {
		writes = append(writes, x.write(p, 0, fmt.Sprint(i)))
	}
	n.must(writes...)
	if err := n.commitInTxn(x, "g", id, 7); err != nil {
		t.Fatal(err)
	}
	e := n.end(x, commit)
	more = true
	for range steps {
		more = n.Step() && more
	}
	n = n.Crash(true)
	for range rng.IntN(2 * (steps + 1)) {
		n.Step()
	}
	n = n.Crash(true)
	n.Settle()
	n.Advance(2 * time.Minute) // a decision that was lost: the transaction times out
	outcome := len(n.stable(n.Topic("t").Partitions[0])) > 0
	if e.answered && (e.err != nil || outcome != commit) {
		t.Errorf("after %d steps: answered %v, wanted %v, outcome %v", steps, e.err, commit, outcome)
	}
	if outcome && !commit {
		t.Errorf("after %d steps: committed, which nobody asked for", steps)
	}
	for i, p := range n.Topic("t").Partitions {
		got := n.stable(p)
		if (len(got) == 1) != outcome || p.LastStable() != p.HighWatermark() || p.HighWatermark() != 2 {
			t.Errorf("after %d steps: partition %d has %q, last stable offset %d of %d, outcome %v",
				steps, i, got, p.LastStable(), p.HighWatermark(), outcome)
		}
	}
	want := record.Offset(-1)
	if outcome {
		want = 7
	}
	if o := n.offset("g", id); o.Offset != want || o.Unstable {
		t.Errorf("after %d steps: the group has %+v, outcome %v", steps, o, outcome)
	}
	if err := n.init(x); err != nil {
		t.Errorf("after %d steps: the next incarnation: %v", steps, err)
	}
	return more
}
