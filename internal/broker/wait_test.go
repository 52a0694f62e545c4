package broker

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/clock"
	"github.com/polylog-mq/polylog/internal/record"
)

// waiting is a waiter that counts how often it woke, on a virtual clock.
type waiting struct {
	*Waiter
	clock *clock.Virtual
	woken int
}

func newWaiting() *waiting {
	w := &waiting{clock: clock.NewVirtual(time.Unix(0, 0))}
	b := &Broker{opts: Options{Clock: w.clock}}
	w.Waiter = b.NewWaiter(func() { w.woken++ })
	return w
}

// grow appends to a partition as its shard would.
func grow(p *Partition, records, bytes int) {
	p.highWatermark.Add(int64(records))
	p.lastStable.Add(int64(records))
	p.waiters.added(bytes, bytes)
}

func TestWaiterWakesOnceAtEnoughBytes(t *testing.T) {
	w := newWaiting()
	a, b := &Partition{}, &Partition{}
	w.Wait([]Interest{{Partition: a}, {Partition: b}}, 100, time.Second)
	grow(a, 1, 60)
	if w.woken != 0 {
		t.Fatal("woke before there was enough")
	}
	grow(b, 1, 40)
	if w.woken != 1 {
		t.Fatalf("woke %d times at exactly enough", w.woken)
	}
	grow(a, 1, 1000)
	w.clock.Advance(time.Minute)
	if w.woken != 1 {
		t.Fatalf("woke %d times in one wait", w.woken)
	}
	if w.Cancel() {
		t.Fatal("there was nothing to cancel")
	}
	if a.waiters.n.Load() != 0 || b.waiters.n.Load() != 0 {
		t.Fatal("a waiter that was given up is still known to its partitions")
	}
}

func TestWaiterWakesAtItsDeadline(t *testing.T) {
	w := newWaiting()
	p := &Partition{}
	for round := 1; round <= 3; round++ {
		w.Wait([]Interest{{Partition: p}}, 1, time.Second)
		w.clock.Advance(time.Second - 1)
		if w.woken != round-1 {
			t.Fatalf("round %d: woke early", round)
		}
		w.clock.Advance(1)
		if w.woken != round {
			t.Fatalf("round %d: woke %d times", round, w.woken)
		}
	}
}

func TestWaiterWakesAtOnceWhenTheWatermarkHasMoved(t *testing.T) {
	w := newWaiting()
	p := &Partition{}
	grow(p, 5, 50)
	w.Wait([]Interest{{Partition: p, Seen: 4}}, 1000, time.Second)
	if w.woken != 1 {
		t.Fatal("an append between read and wait was missed")
	}
	w.Wait([]Interest{{Partition: p, Seen: 5}}, 1, 0)
	if w.woken != 2 {
		t.Fatal("a wait without time must end at once")
	}
}

func TestWaiterOfStableRecordsIgnoresUndecidedOnes(t *testing.T) {
	w := newWaiting()
	p := &Partition{}
	p.highWatermark.Store(10)
	p.lastStable.Store(4)
	w.Wait([]Interest{{Partition: p, Seen: 4, Stable: true}}, 1, time.Second)
	p.highWatermark.Store(11)
	p.waiters.added(100, 0)
	if w.woken != 0 {
		t.Fatal("woke for records that it may not read")
	}
	p.lastStable.Store(11)
	p.waiters.added(0, 100)
	if w.woken != 1 {
		t.Fatal("did not wake for stable records")
	}
}

func TestWaiterWakesWhenItsPartitionChanges(t *testing.T) {
	w := newWaiting()
	p := &Partition{}
	w.Wait([]Interest{{Partition: p}}, 1000, time.Second)
	p.waiters.changed()
	if w.woken != 1 {
		t.Fatal("did not wake")
	}
}

func TestCancelledWaiterStaysSilent(t *testing.T) {
	w := newWaiting()
	p := &Partition{}
	w.Wait([]Interest{{Partition: p, Seen: 0}}, 1, time.Second)
	if !w.Cancel() {
		t.Fatal("there was a wait to cancel")
	}
	grow(p, 1, 1)
	w.clock.Advance(time.Minute)
	if w.woken != 0 {
		t.Fatal("woke after it was cancelled")
	}
}

// TestWaitersRace hunts lost and doubled wakes: a producer appends while
// waiters come and go. Every wait must end, since its deadline is far away.
func TestWaitersRace(t *testing.T) {
	const waiters, rounds = 4, 500
	b := &Broker{opts: Options{Clock: clock.System()}}
	parts := []*Partition{{}, {}}
	var live atomic.Int32
	live.Store(waiters)
	var wg sync.WaitGroup
	for range waiters {
		wg.Go(func() {
			defer live.Add(-1)
			woken := make(chan struct{}, 2)
			w := b.NewWaiter(func() { woken <- struct{}{} })
			for range rounds {
				w.Wait([]Interest{
					{Partition: parts[0], Seen: parts[0].HighWatermark()},
					{Partition: parts[1], Seen: record.Offset(parts[1].highWatermark.Load())},
				}, 3, time.Hour)
				<-woken
			}
			w.Cancel()
			if len(woken) != 0 {
				t.Error("woken more often than waited")
			}
		})
	}
	for i := 0; live.Load() > 0; i++ {
		grow(parts[i%2], 1, 1)
	}
	wg.Wait()
	for _, p := range parts {
		if n := p.waiters.n.Load(); n != 0 || p.waiters.first != nil {
			t.Errorf("%d waiters are left over", n)
		}
	}
}

func BenchmarkWait(b *testing.B) {
	br := &Broker{opts: Options{Clock: clock.System()}}
	p := &Partition{}
	w := br.NewWaiter(func() {})
	parts := []Interest{{Partition: p}}
	b.ReportAllocs()
	for b.Loop() {
		parts[0].Seen = p.HighWatermark()
		w.Wait(parts, 1, time.Second)
		grow(p, 1, 100)
	}
}

func TestWaiterOfADroppedPartitionWakesAtOnce(t *testing.T) {
	p := &Partition{}
	p.drop()
	woken := 0
	b := &Broker{opts: Options{Clock: clock.System()}}
	w := b.NewWaiter(func() { woken++ })
	w.Wait([]Interest{{Partition: p}}, 1, time.Hour)
	if woken != 1 || w.Cancel() {
		t.Errorf("woken %d times, and still waiting", woken)
	}
}
