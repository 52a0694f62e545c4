package brokertest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
)

func wantValues(t *testing.T, n *Node, p *broker.Partition, from record.Offset, want ...string) {
	t.Helper()
	if got := n.Values(p, from); !slices.Equal(got, want) {
		t.Errorf("partition %d holds %q, want %q", p.ID(), got, want)
	}
}

func TestProduceAndRead(t *testing.T) {
	n := Start(t, Options{})
	topic := n.Create("orders", 3)
	a, b := topic.Partitions[0], topic.Partitions[1]
	if base := n.MustAppend(a, Batch("a0", "a1")); base != 0 {
		t.Errorf("base %d", base)
	}
	if base := n.MustAppend(b, Batch("b0")); base != 0 {
		t.Errorf("base %d", base)
	}
	// What arrives together shares an entry.
	pending := []*Pending{Begin(a, Batch("a2")), Begin(b, Batch("b1", "b2")), Begin(a, Batch("a3", "a4"))}
	n.Settle()
	for i, want := range []record.Offset{2, 1, 3} {
		if p := pending[i]; !p.Answered || p.Err != nil || p.Base != want || p.LogAppendTime != -1 {
			t.Errorf("append %d: answered %v, base %d, want %d, %v", i, p.Answered, p.Base, want, p.Err)
		}
	}
	wantValues(t, n, a, 0, "a0", "a1", "a2", "a3", "a4")
	wantValues(t, n, a, 4, "a4")
	wantValues(t, n, b, 0, "b0", "b1", "b2")
	wantValues(t, n, topic.Partitions[2], 0)
	if a.HighWatermark() != 5 || a.LastStable() != 5 || a.Floor() != 0 {
		t.Errorf("high %d stable %d floor %d", a.HighWatermark(), a.LastStable(), a.Floor())
	}
	var r broker.Result
	for _, from := range []record.Offset{-1, 6} {
		if err := a.Read(&r, from, 100, 1000, true); !errors.Is(err, broker.ErrOffsetOutOfRange) {
			t.Errorf("reading from %d: %v", from, err)
		}
	}
}

func TestReadKeepsToItsLimits(t *testing.T) {
	n := Start(t, Options{})
	p := n.Create("t", 1).Partitions[0]
	batch := Batch("0123456789")
	for range 10 {
		n.MustAppend(p, batch)
	}
	for _, c := range []struct {
		from, limit record.Offset
		max         int
		minOne      bool
		size        int
		next        record.Offset
	}{
		{0, 10, 1 << 20, false, 10 * len(batch), 10},
		{3, 7, 1 << 20, false, 4 * len(batch), 7},
		{3, 100, 2 * len(batch), false, 2 * len(batch), 5},
		{3, 100, 2*len(batch) + 1, true, 2 * len(batch), 5},
		{3, 100, 1, true, len(batch), 4},
		{3, 100, 1, false, 0, 3},
		{10, 100, 1 << 20, true, 0, 10},
	} {
		var r broker.Result
		if err := p.Read(&r, c.from, c.limit, c.max, c.minOne); err != nil || r.Size != c.size || r.Next != c.next {
			t.Errorf("read %+v: size %d next %d %v", c, r.Size, r.Next, err)
		}
		r.Release()
	}
}

func TestIdempotentProducerAcrossCrash(t *testing.T) {
	n := Start(t, Options{})
	p := n.Create("t", 1).Partitions[0]
	first, second := Sequenced(9, 0, 0, "x", "y"), Sequenced(9, 0, 2, "z")
	// Sent twice before the first answer, as after a lost connection.
	a, b := Begin(p, first), Begin(p, first)
	n.Settle()
	if a.Err != nil || b.Err != nil || a.Base != 0 || b.Base != 0 {
		t.Fatalf("first %d %v, copy %d %v", a.Base, a.Err, b.Base, b.Err)
	}
	n.MustAppend(p, second)
	n = n.Crash(false)
	n.Settle()
	p = n.Topic("t").Partitions[0]
	for _, c := range []struct {
		batch []byte
		base  record.Offset
		err   error
	}{
		{first, 0, nil},
		{second, 2, nil},
		{Sequenced(9, 0, 7, "gap"), -1, broker.ErrOutOfOrderSequence},
		{Sequenced(9, 1, 0, "next epoch"), 3, nil},
		{Sequenced(9, 0, 3, "old epoch"), -1, broker.ErrProducerEpoch},
	} {
		if base, err := n.Append(p, c.batch); base != c.base || !errors.Is(err, c.err) {
			t.Errorf("base %d, want %d; %v, want %v", base, c.base, err, c.err)
		}
	}
	wantValues(t, n, p, 0, "x", "y", "z", "next epoch")
}

func TestWaiterSeesAppends(t *testing.T) {
	n := Start(t, Options{})
	topic := n.Create("t", 2)
	a, b := topic.Partitions[0], topic.Partitions[1]
	woken := 0
	w := n.NewWaiter(func() { woken++ })
	interest := func() []broker.Interest {
		return []broker.Interest{{Partition: a, Seen: a.HighWatermark()}, {Partition: b, Seen: b.HighWatermark(), Stable: true}}
	}
	w.Wait(interest(), 1, time.Second)
	n.MustAppend(b, Batch("x"))
	if woken != 1 {
		t.Fatalf("woken %d times by an append", woken)
	}
	w.Wait(interest(), 1, time.Second)
	n.Advance(999 * time.Millisecond)
	if woken != 1 {
		t.Fatal("woken by nothing")
	}
	n.Advance(time.Millisecond)
	if woken != 2 {
		t.Fatal("not woken at the deadline")
	}
	w.Wait(interest(), 1<<20, time.Hour)
	if err := n.Delete("t"); err != nil || woken != 3 {
		t.Fatalf("woken %d times after the topic was deleted (%v)", woken, err)
	}
	w.Cancel()
}

func TestSettingsGuardAppends(t *testing.T) {
	n := Start(t, Options{})
	topic := n.Create("t", 1,
		broker.Config{Name: "max.message.bytes", Value: "200"},
		broker.Config{Name: "message.timestamp.after.max.ms", Value: "1000"},
		broker.Config{Name: "cleanup.policy", Value: "compact"})
	p := topic.Partitions[0]
	now := n.Clock.Now().UnixMilli()
	n.MustAppend(p, At(now+1000, "in time"))
	if _, err := n.Append(p, At(now+1001, "too late")); !errors.Is(err, broker.ErrInvalidTimestamp) {
		t.Errorf("timestamp: %v", err)
	}
	if _, err := n.Append(p, Batch(string(make([]byte, 200)))); !errors.Is(err, broker.ErrTooLarge) {
		t.Errorf("size: %v", err)
	}
	var b record.Builder
	b.Reset(record.Template(record.None))
	b.Add(record.Record{Value: []byte("no key")})
	keyless, err := b.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Append(p, keyless); !errors.Is(err, broker.ErrInvalidRecord) {
		t.Errorf("no key on a compacted topic: %v", err)
	}
	if _, err := n.Alter("t", broker.ConfigChange{Op: broker.ConfigSet, Name: "max.message.bytes", Value: "1000"},
		broker.ConfigChange{Op: broker.ConfigDelete, Name: "cleanup.policy"}); err != nil {
		t.Fatal(err)
	}
	n.MustAppend(p, Batch(string(make([]byte, 200))))
	n.MustAppend(p, keyless)
}

func TestCompressionAndTimestampTypeOfTheTopic(t *testing.T) {
	n := Start(t, Options{})
	p := n.Create("t", 1,
		broker.Config{Name: "compression.type", Value: "zstd"},
		broker.Config{Name: "message.timestamp.type", Value: "LogAppendTime"}).Partitions[0]
	now := n.Clock.Now().UnixMilli()
	r := Begin(p, Batch("x", "y"))
	n.Settle()
	if r.Err != nil || r.LogAppendTime < now || r.LogAppendTime > now+1000 {
		t.Errorf("stamped %d at %d: %v", r.LogAppendTime, now, r.Err)
	}
	wantValues(t, n, p, 0, "x", "y")
	got := broker.Result{Whole: true}
	if err := p.Read(&got, 0, 2, 1<<20, true); err != nil {
		t.Fatal(err)
	}
	h, err := record.ParseHeader(got.Buffers[0])
	if err != nil || h.Codec() != record.Zstd || !h.LogAppendTime() || h.MaxTimestamp != r.LogAppendTime {
		t.Errorf("stored %v (%v)", h, err)
	}
}

// lastHeader returns the header of a partition's last batch.
func lastHeader(t *testing.T, p *broker.Partition) record.Header {
	t.Helper()
	got := broker.Result{Whole: true}
	if err := p.Read(&got, p.HighWatermark()-1, p.HighWatermark(), 1<<20, true); err != nil {
		t.Fatal(err)
	}
	h, err := record.ParseHeader(got.Buffers[0])
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestSettingsHoldLive: a change of settings counts from the next batch on.
func TestSettingsHoldLive(t *testing.T) {
	n := Start(t, Options{})
	p := n.Create("t", 1).Partitions[0]
	set := func(pairs ...string) {
		t.Helper()
		var changes []broker.ConfigChange
		for i := 0; i < len(pairs); i += 2 {
			changes = append(changes, broker.ConfigChange{Op: broker.ConfigSet, Name: pairs[i], Value: pairs[i+1]})
		}
		if _, err := n.Alter("t", changes...); err != nil {
			t.Fatal(err)
		}
	}
	stored := func() record.Header { return lastHeader(t, p) }
	var words strings.Builder // text that repeats itself at a distance
	for i := range 4000 {
		fmt.Fprintf(&words, "word%d ", i*i%211)
	}
	long := words.String()
	sizes := map[string]int32{}
	for _, c := range []struct {
		codec record.Codec
		level string
	}{{record.Gzip, "1"}, {record.Gzip, "9"}, {record.LZ4, "9"}, {record.LZ4, "17"}, {record.Zstd, "1"}, {record.Zstd, "22"}, {record.Snappy, ""}} {
		set("compression.type", c.codec.String())
		if c.level != "" {
			set("compression."+c.codec.String()+".level", c.level)
		}
		n.MustAppend(p, Batch(long))
		h := stored()
		if h.Codec() != c.codec {
			t.Errorf("compression.type %s: stored as %s", c.codec, h.Codec())
		}
		sizes[c.codec.String()+c.level] = h.Length
	}
	if sizes["gzip9"] >= sizes["gzip1"] {
		t.Errorf("the level makes no difference: %v", sizes)
	}
	set("compression.type", "uncompressed", "max.message.bytes", "1000")
	squeezed, err := record.Recompress(nil, Batch(long), record.Zstd, 3)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Append(p, squeezed); !errors.Is(err, broker.ErrTooLarge) {
		t.Errorf("a batch that grows too large when it is stored: %v", err)
	}
	now := n.Clock.Now().UnixMilli()
	set("message.timestamp.before.max.ms", "1000", "message.timestamp.after.max.ms", "2000")
	for at, want := range map[int64]error{now - 1001: broker.ErrInvalidTimestamp, now - 500: nil, now + 2001: broker.ErrInvalidTimestamp, now + 1500: nil} {
		if _, err := n.Append(p, At(at, "x")); !errors.Is(err, want) {
			t.Errorf("a timestamp %d ms from now: %v", at-now, err)
		}
	}
	set("message.timestamp.type", "LogAppendTime")
	n.MustAppend(p, At(5, "x"))
	if h := stored(); !h.LogAppendTime() || h.MaxTimestamp < now {
		t.Errorf("stored %+v", h)
	}
	set("message.timestamp.type", "CreateTime")
	n.MustAppend(p, At(now, "x"))
	if h := stored(); h.LogAppendTime() || h.MaxTimestamp != now {
		t.Errorf("stored %+v", h)
	}
}

func TestOffsetsByTimeAndEpoch(t *testing.T) {
	n := Start(t, Options{})
	p := n.Create("t", 1).Partitions[0]
	for i := range 5 {
		n.MustAppend(p, At(int64(1000+100*i), fmt.Sprint(i), fmt.Sprint(i)))
	}
	for _, c := range []struct {
		ts   int64
		want record.Offset
	}{{0, 0}, {1000, 0}, {1001, 2}, {1400, 8}, {1401, -1}} {
		if got, err := p.OffsetForTime(c.ts, p.HighWatermark()); err != nil || got.Offset != c.want {
			t.Errorf("time %d: %+v %v, want %d", c.ts, got, err, c.want)
		}
	}
	if got, err := p.MaxTimestamp(p.HighWatermark()); err != nil || got.Offset != 8 || got.Timestamp != 1400 {
		t.Errorf("largest: %+v %v", got, err)
	}
	first := p.Epoch()
	n = n.Restart()
	p = n.Topic("t").Partitions[0]
	second := p.Epoch()
	if second <= first || p.Leader() != n.NodeID() {
		t.Fatalf("epoch %d after %d, leader %d", second, first, p.Leader())
	}
	n.MustAppend(p, Batch("new epoch"))
	for _, c := range []struct {
		ask, epoch record.Epoch
		end        record.Offset
	}{{first, first, 10}, {second, second, 11}, {second + 1, -1, -1}} {
		if e, o := p.EpochEnd(c.ask); e != c.epoch || o != c.end {
			t.Errorf("end of epoch %d: (%d, %d), want (%d, %d)", c.ask, e, o, c.epoch, c.end)
		}
	}
	if p.EpochAt(9) != first || p.EpochAt(10) != second || p.EpochAt(11) != -1 {
		t.Errorf("epochs at 9, 10, 11: %d %d %d", p.EpochAt(9), p.EpochAt(10), p.EpochAt(11))
	}
	deleted := errNoAnswer
	p.DeleteRecords(10, func(_ record.Offset, err error) { deleted = err })
	n.Settle()
	if e, o := p.EpochEnd(first); deleted != nil || e != first || o != 10 {
		t.Errorf("end of an epoch whose records are gone: (%d, %d), %v", e, o, deleted)
	}
	if e := p.EpochAt(9); e != -1 {
		t.Errorf("a record that is gone has epoch %d", e)
	}
}

func TestBusyIsRefusedAndPasses(t *testing.T) {
	n := Start(t, Options{Broker: func(o *broker.Options) { o.InFlight = 4096 }})
	p := n.Create("t", 1).Partitions[0]
	batch := Batch(string(make([]byte, 1000)))
	var pending []*Pending
	for range 8 {
		pending = append(pending, Begin(p, batch))
	}
	resumed := 0
	if n.Accepting(func() { resumed++ }) {
		t.Error("accepting although more than half of the room is taken")
	}
	n.Settle()
	busy := 0
	for i, r := range pending {
		switch {
		case !r.Answered:
			t.Errorf("append %d is not answered", i)
		case errors.Is(r.Err, broker.ErrBusy):
			busy++
		case r.Err != nil || busy > 0:
			t.Errorf("append %d: base %d, %v", i, r.Base, r.Err)
		}
	}
	if busy != 5 || resumed != 1 {
		t.Errorf("%d were refused, %d resumed", busy, resumed)
	}
	n.MustAppend(p, batch)
}

func TestStopAnswersWhatIsUnderWay(t *testing.T) {
	n := Start(t, Options{})
	p := n.Create("t", 1).Partitions[0]
	under := Begin(p, Batch("before"))
	drained := n.Drain()
	late := Begin(p, Batch("after"))
	n.Settle()
	select {
	case <-drained:
	default:
		t.Fatal("not drained")
	}
	if under.Err != nil || under.Base != 0 {
		t.Errorf("what was under way: %d %v", under.Base, under.Err)
	}
	if !errors.Is(late.Err, broker.ErrClosed) {
		t.Errorf("what came late: %v", late.Err)
	}
	if _, err := n.TryCreate("u", 1); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("a topic that came late: %v", err)
	}
	n = n.Restart()
	wantValues(t, n, n.Topic("t").Partitions[0], 0, "before")
}
