package brokertest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
)

func TestRetentionByTime(t *testing.T) {
	n := Start(t, Options{})
	p := n.Create("t", 1,
		broker.Config{Name: "retention.ms", Value: "600000"},
		broker.Config{Name: "segment.ms", Value: "60000"}).Partitions[0]
	n.MustAppend(p, At(n.Clock.Now().UnixMilli(), "old"))
	n.Advance(2 * time.Minute)
	n.MustAppend(p, At(n.Clock.Now().UnixMilli(), "new"))
	n.Advance(9 * time.Minute)
	if p.Floor() != 1 || p.HighWatermark() != 2 {
		t.Fatalf("floor %d, high %d, want the old record gone", p.Floor(), p.HighWatermark())
	}
	wantValues(t, n, p, 1, "new")
	var r broker.Result
	if err := p.Read(&r, 0, 2, 100, true); !errors.Is(err, broker.ErrOffsetOutOfRange) {
		t.Errorf("reading what has expired: %v", err)
	}
	n = n.Crash(false)
	n.Settle()
	p = n.Topic("t").Partitions[0]
	if p.Floor() != 1 {
		t.Errorf("the floor is %d after a crash", p.Floor())
	}
	n.Advance(time.Hour)
	if p.Floor() != 2 || p.HighWatermark() != 2 {
		t.Errorf("floor %d, high %d, want everything gone", p.Floor(), p.HighWatermark())
	}
	if base := n.MustAppend(p, At(n.Clock.Now().UnixMilli(), "after")); base != 2 {
		t.Errorf("base %d after everything has expired", base)
	}
	wantValues(t, n, p, 2, "after")
}

func TestRetentionBySizeFreesFiles(t *testing.T) {
	n := Start(t, Options{})
	p := n.Create("t", 1,
		broker.Config{Name: "retention.bytes", Value: "3000000"},
		broker.Config{Name: "segment.bytes", Value: "1048576"}).Partitions[0]
	payload := string(make([]byte, 100_000))
	for range 100 {
		n.MustAppend(p, Batch(payload))
	}
	n.Advance(time.Minute)
	if size := p.Size(); size < 3_000_000 || size > 3_000_000+1<<20 {
		t.Errorf("%d bytes are kept", size)
	}
	if kept := p.HighWatermark() - p.Floor(); kept < 30 || kept > 41 {
		t.Errorf("%d records are kept", kept)
	}
	n.Values(p, p.Floor())
	n = n.Crash(false)
	n.Settle()
	p = n.Topic("t").Partitions[0]
	n.Values(p, p.Floor())
}

func TestDeleteRecords(t *testing.T) {
	n := Start(t, Options{})
	p := n.Create("t", 1).Partitions[0]
	for i := range 5 {
		n.MustAppend(p, Batch(fmt.Sprint(i)))
	}
	del := func(before record.Offset) (floor record.Offset, err error) {
		err = errNoAnswer
		p.DeleteRecords(before, func(f record.Offset, e error) { floor, err = f, e })
		n.Settle()
		return floor, err
	}
	if floor, err := del(3); floor != 3 || err != nil {
		t.Errorf("floor %d, %v", floor, err)
	}
	if floor, err := del(2); floor != 3 || err != nil {
		t.Errorf("a floor never falls: %d, %v", floor, err)
	}
	if _, err := del(6); !errors.Is(err, broker.ErrOffsetOutOfRange) {
		t.Errorf("beyond the high watermark: %v", err)
	}
	wantValues(t, n, p, 3, "3", "4")
	if floor, err := del(-1); floor != 5 || err != nil {
		t.Errorf("everything: floor %d, %v", floor, err)
	}
	n = n.Crash(false)
	n.Settle()
	if p := n.Topic("t").Partitions[0]; p.Floor() != 5 || p.HighWatermark() != 5 {
		t.Errorf("after a crash: floor %d, high %d", p.Floor(), p.HighWatermark())
	}
}

// TestLeapOfTheClockExpiresNothing sets the wall clock forward by a month while
// the node is down: log time steps, and retention waits.
func TestLeapOfTheClockExpiresNothing(t *testing.T) {
	n := Start(t, Options{})
	p := n.Create("t", 1, broker.Config{Name: "retention.ms", Value: "600000"},
		broker.Config{Name: "message.timestamp.type", Value: "LogAppendTime"}).Partitions[0]
	n.MustAppend(p, Batch("x"))
	n.Stop()
	n.Clock.Jump(30 * 24 * time.Hour)
	n = Start(t, n.opts)
	p = n.Topic("t").Partitions[0]
	n.MustAppend(p, Batch("y"))
	n.Advance(9 * time.Minute)
	if p.Floor() != 0 {
		t.Fatalf("the floor is %d right after the clock has leapt", p.Floor())
	}
	n.Advance(30 * time.Minute)
	if p.Floor() == 0 {
		t.Fatal("retention never comes back")
	}
}
