package kafka

import (
	"strings"
	"testing"

	"github.com/polylog-mq/polylog/internal/record"
)

func TestBudgetCutsDownButNeverRefuses(t *testing.T) {
	var b budget
	for _, c := range []struct{ used, want, got int }{
		{0, 100, 100},
		{0, maxFetchBytes, maxFetchBytes},
		{maxOutbound - 100_000, maxFetchBytes, 100_000},
		{maxOutbound - 10, maxFetchBytes, minOutbound},
		{maxOutbound + 10, maxFetchBytes, minOutbound},
		{maxOutbound, 10, 10},
		{0, 0, 0},
	} {
		b.used.Store(int64(c.used))
		if got := b.grant(c.want); got != c.got || b.used.Load() != int64(c.used+c.got) {
			t.Errorf("%+v: granted %d, used %d", c, got, b.used.Load())
		}
	}
}

func TestFetchGivesBackWhatItWasGranted(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	r.produce(9, "t", [16]byte{}, batchOf(t, record.Template(record.None), now(), strings.Repeat("x", 100_000)))
	r.write("t", "y")
	r.server.outbound.add(maxOutbound)
	got := r.fetch(fetchRequest(11, "t", [16]byte{}, 0))
	if n := len(values(t, got.RecordBatches)); n != 1 {
		t.Errorf("%d records came while everything was used up", n)
	}
	r.server.outbound.add(-maxOutbound)
	got = r.fetch(fetchRequest(11, "t", [16]byte{}, 0))
	if n := len(values(t, got.RecordBatches)); n != 2 {
		t.Errorf("%d records came", n)
	}
	wait := fetchRequest(11, "t", [16]byte{}, 2)
	wait.MaxWaitMillis = 20
	r.fetch(wait)
	r.ask(apiVersionsRequest(0)) // all before it is written by now
	if n := r.server.outbound.used.Load(); n != 0 {
		t.Errorf("%d bytes are still counted", n)
	}
}
