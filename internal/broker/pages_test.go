package broker

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/state/topic"
)

// cut takes the pages of a shard's present state into a map, one page at a
// time as a loop with little time would, while change alters the state.
func cut(s *shard, into map[string][]byte, change func()) {
	s.Freeze()
	for done := false; !done; {
		n := 0
		done = s.EncodePages(func(key, value []byte) {
			n++
			if value == nil {
				delete(into, string(key))
				return
			}
			into[string(key)] = value
		}, func() bool { return n == 0 })
		change()
	}
}

func source(pages map[string][]byte) replica.PageSource {
	return func(yield func(key, value []byte) error) error {
		for _, k := range slices.Sorted(maps.Keys(pages)) {
			if err := yield([]byte(k), pages[k]); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestCheckpointHoldsTheWholeState(t *testing.T) {
	x := newBench(t)
	first := batchOf(t, 2, 7, 0)
	x.all(x.propose(1, first), x.propose(2, batchOf(t, 3, -1, 0)))
	pages := map[string][]byte{}
	cut(x.s, pages, func() {
		x.all(x.propose(1, batchOf(t, 1, 7, 2))) // a duplicate from the second time on
	})

	y := newBench(t)
	stale := y.s.parts[1]
	x.define(2, x.s.parts[1].Settings(), 1, 2, 3, 4)
	cut(x.s, pages, func() {})
	if err := y.s.Restore(source(pages)); err != nil {
		t.Fatal(err)
	}
	if y.s.parts[1] != stale || len(y.s.parts) != 4 {
		t.Error("handles must survive a restore")
	}
	for id, p := range y.s.parts {
		q := x.s.parts[id]
		if p.HighWatermark() != q.HighWatermark() || p.Floor() != q.Floor() || p.Size() != q.Size() || p.Settings() == nil {
			t.Errorf("partition %d: high %d, want %d", id, p.HighWatermark(), q.HighWatermark())
		}
	}
	// Both go on in the same way.
	x.store.runs, y.store.runs = nil, nil
	again, next := x.propose(1, first), x.propose(1, batchOf(t, 1, 7, 3))
	x.all(again, next)
	y.index, y.now = x.index, x.now
	y.s.Apply(x.raft(x.body), nil)
	if again.Base != 0 || next.Err != nil || !slices.Equal(x.store.runs, y.store.runs) || len(y.store.runs) != 1 {
		t.Errorf("after a restore: %+v, want %+v", y.store.runs, x.store.runs)
	}
}

func TestRestoreDropsWhatIsGone(t *testing.T) {
	x, y := newBench(t), newBench(t)
	gone, woken := y.s.parts[3], 0
	w := y.s.b.NewWaiter(func() { woken++ })
	w.Wait([]Interest{{Partition: gone}}, 1, 1<<40)
	x.define(2, nil, 3)
	pages := map[string][]byte{}
	cut(x.s, pages, func() {})
	if err := y.s.Restore(source(pages)); err != nil {
		t.Fatal(err)
	}
	if gone.Settings() != nil || y.s.parts[3] != nil || woken != 1 {
		t.Errorf("settings %v, woken %d", gone.Settings(), woken)
	}
}

func TestRestoreRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, pages := range []map[string][]byte{{"": {1}}, {"\xc8x": {1}}, {string(rune(pageTopics)) + "?": {0xff}}} {
		if err := newBench(t).s.Restore(source(pages)); err == nil {
			t.Errorf("pages %q were taken", pages)
		}
	}
	broken := errors.New("broken")
	err := newBench(t).s.Restore(func(func(key, value []byte) error) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("an error of the source got lost: %v", err)
	}
}

func TestSnapshotRangesNameTheRecordsKept(t *testing.T) {
	x := newBench(t)
	x.all(x.propose(1, batchOf(t, 5, -1, 0)), x.propose(3, batchOf(t, 2, -1, 0)))
	del := topic.DeleteRecords{Partition: 1, Before: 2}
	x.command(kindTopic, del.AppendTo(nil), nil)
	pages := map[string][]byte{}
	cut(x.s, pages, func() {})
	x.all(x.propose(2, batchOf(t, 1, -1, 0))) // after the cut
	got, err := x.s.SnapshotRanges(source(pages))
	want := []replica.Range{{Partition: 1, From: 2, Next: 5}, {Partition: 3, From: 0, Next: 2}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("ranges %v, want %v (%v)", got, want, err)
	}
	if x.s.parts[2].HighWatermark() != record.Offset(1) {
		t.Error("the shard's own state has changed")
	}
}
