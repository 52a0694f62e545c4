package topic

import (
	"slices"
	"testing"

	"github.com/polylog-mq/polylog/internal/record"
)

func TestEpochsEnd(t *testing.T) {
	ladder := Epochs{{Epoch: 2, Start: 0}, {Epoch: 5, Start: 10}, {Epoch: 6, Start: 25}}
	for _, c := range []struct {
		ask, epoch record.Epoch
		end        record.Offset
	}{
		{-1, -1, -1},
		{1, 1, 0}, // before what is remembered
		{2, 2, 10},
		{4, 2, 10}, // wrote nothing
		{5, 5, 25},
		{6, 6, 30},
		{7, 6, 30}, // leaders that wrote nothing
		{8, 8, 30}, // the present one
		{9, -1, -1},
	} {
		if e, o := ladder.End(8, 30, c.ask); e != c.epoch || o != c.end {
			t.Errorf("End(%d) = (%d, %d), want (%d, %d)", c.ask, e, o, c.epoch, c.end)
		}
	}
	if e, o := (Epochs{}).End(3, 0, 1); e != 1 || o != 0 {
		t.Errorf("End(1) of an empty log = (%d, %d)", e, o)
	}
}

func TestEpochsAt(t *testing.T) {
	ladder := Epochs{{Epoch: 2, Start: 5}, {Epoch: 5, Start: 10}}
	for o, want := range map[record.Offset]record.Epoch{4: -1, 5: 2, 9: 2, 10: 5, 99: 5} {
		if e := ladder.At(o); e != want {
			t.Errorf("At(%d) = %d, want %d", o, e, want)
		}
	}
}

func TestEpochsAreBounded(t *testing.T) {
	var l Epochs
	for i := range 10 * maxEpochs {
		before := len(l)
		l = l.begin(record.Epoch(i), record.Offset(i*10))
		if again := l.begin(record.Epoch(i), record.Offset(i*10+5)); len(again) != len(l) || len(l) > maxEpochs {
			t.Fatalf("epoch %d: from %d to %d and %d rungs", i, before, len(l), len(again))
		}
	}
	if e := l.At(10*maxEpochs*10 + 5); e != 10*maxEpochs-1 {
		t.Errorf("the last epoch is %d", e)
	}
}

func TestEpochsFromLogStart(t *testing.T) {
	ladder := Epochs{{Epoch: 2, Start: 0}, {Epoch: 5, Start: 10}, {Epoch: 6, Start: 25}}
	for start, want := range map[record.Offset]Epochs{
		0:  {{2, 0}, {5, 10}, {6, 25}},
		9:  {{2, 9}, {5, 10}, {6, 25}},
		10: {{5, 10}, {6, 25}},
		99: {{6, 99}},
	} {
		if got := ladder.from(start); !slices.Equal(got, want) {
			t.Errorf("from %d: %v, want %v", start, got, want)
		}
	}
	if ladder[0].Start != 0 || ladder[2].Start != 25 {
		t.Errorf("a value changed: %v", ladder)
	}
}

// TestFirstEpoch: a partition's first leader epoch is 0 whatever the shard's
// term, a move's where that is higher, and the term in logs from before.
func TestFirstEpoch(t *testing.T) {
	const made, later = 7, 9
	s := NewPartitions()
	define := func(after Revision, old bool, term record.Term, parts ...PartitionDefinition) {
		t.Helper()
		d := Definition{Topic: 1, Revision: after + 1, Settings: DefaultSettings(), Partitions: parts}
		cmd := &Define{After: after, Revision: after + 1, Topics: []Definition{d}, TermIsEpoch: old}
		read, err := DecodeShardCommand(cmd.AppendTo(nil))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Apply(1, term, read, &Effects{}); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(when string, term record.Term, want ...record.Epoch) {
		t.Helper()
		for i, w := range want {
			if e := s.Lookup(record.PartitionID(i + 1)).Epoch(term); e != w {
				t.Errorf("%s: partition %d has epoch %d in term %d, want %d", when, i+1, e, term, w)
			}
		}
	}
	define(0, true, made, PartitionDefinition{ID: 1})
	define(1, false, made, PartitionDefinition{ID: 1}, PartitionDefinition{ID: 2}, PartitionDefinition{ID: 3, FirstEpoch: 5})
	expect("made", made, 7, 0, 5)
	expect("after elections", later, 9, 2, 7)
	define(2, false, later, PartitionDefinition{ID: 1}, PartitionDefinition{ID: 2, FirstEpoch: 4}, PartitionDefinition{ID: 3, FirstEpoch: 6})
	expect("defined again", later, 9, 4, 7)
	restored := restoreShard(t, dumpShard(s))
	if e := restored.Lookup(2).Epoch(later); e != 4 {
		t.Errorf("after a checkpoint: epoch %d", e)
	}
}
