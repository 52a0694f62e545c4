package topic

import (
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
