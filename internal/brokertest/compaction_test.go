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

// keyed builds a batch of records of the present time: "k=v", or "k" for a
// tombstone.
func (n *Node) keyed(h record.Header, records ...string) []byte {
	var b record.Builder
	b.Reset(h)
	for _, kv := range records {
		k, v, ok := strings.Cut(kv, "=")
		r := record.Record{Timestamp: n.Clock.Now().UnixMilli(), Key: []byte(k)}
		if ok {
			r.Value = []byte(v)
		}
		b.Add(r)
	}
	batch, err := b.AppendTo(nil)
	if err != nil {
		n.tb.Fatal(err)
	}
	return batch
}

// put appends records; those put a second later are in another segment.
func (n *Node) put(p *broker.Partition, records ...string) {
	n.tb.Helper()
	n.MustAppend(p, n.keyed(record.Template(record.Zstd), records...))
}

// roll closes the active segment.
func (n *Node) roll(p *broker.Partition) {
	n.tb.Helper()
	n.Advance(2 * time.Second)
	n.put(p, "roll=")
}

// compact lets the next tick pass and compacts what is due.
func (n *Node) compact() {
	n.tb.Helper()
	n.Advance(11 * time.Second)
	for range 2 { // a checkpoint may bring more to do
		for {
			did, err := n.Store.Rewrite(1 << 20)
			if err != nil {
				n.tb.Fatal(err)
			}
			if !did {
				break
			}
		}
		n.Settle()
	}
}

// log shows the records of a partition, but those that roll segments.
func (n *Node) log(p *broker.Partition) string {
	n.tb.Helper()
	var out []string
	r := broker.Result{Whole: true}
	for next, end := p.Floor(), p.HighWatermark(); next < end; next = r.Next {
		r.Release()
		if err := p.Read(&r, next, end, 1<<20, true); err != nil {
			n.tb.Fatal(err)
		}
		if r.Next == next {
			break
		}
		for _, buf := range r.Buffers {
			if err := record.Walk(buf, func(batch []byte, h record.Header) error {
				return record.Records(batch, func(rec record.Record) error {
					switch {
					case h.Control():
						out = append(out, fmt.Sprintf("%d:marker", rec.Offset))
					case string(rec.Key) == "roll":
					case rec.Value == nil:
						out = append(out, fmt.Sprintf("%d:%s", rec.Offset, rec.Key))
					default:
						out = append(out, fmt.Sprintf("%d:%s=%s", rec.Offset, rec.Key, rec.Value))
					}
					return nil
				})
			}); err != nil {
				n.tb.Fatal(err)
			}
		}
	}
	r.Release()
	return strings.Join(out, " ")
}

func (n *Node) want(p *broker.Partition, when, want string) {
	n.tb.Helper()
	if got := n.log(p); got != want {
		n.tb.Fatalf("%s: %s; want %s", when, got, want)
	}
}

// compacted creates a compacted topic of one partition with short segments.
func (n *Node) compacted(config ...string) *broker.Partition {
	n.tb.Helper()
	all := []broker.Config{{Name: "cleanup.policy", Value: "compact"}, {Name: "segment.ms", Value: "1000"}, {Name: "min.cleanable.dirty.ratio", Value: "0.01"}}
	for _, c := range config {
		k, v, _ := strings.Cut(c, "=")
		all = slices.DeleteFunc(all, func(a broker.Config) bool { return a.Name == k })
		all = append(all, broker.Config{Name: k, Value: v})
	}
	return n.Create("t", 1, all...).Partitions[0]
}

func (n *Node) alter(key, value string) {
	n.tb.Helper()
	if _, err := n.Alter("t", broker.ConfigChange{Name: key, Value: value}); err != nil {
		n.tb.Fatal(err)
	}
}

func TestCompactionKeepsTheLastOfEachKey(t *testing.T) {
	n := Start(t, Options{})
	p := n.compacted()
	n.put(p, "a=1", "b=1", "a=2")
	n.put(p, "c=1")
	n.put(p, "a=3", "d=1")
	n.compact()
	n.want(p, "in the active segment", "0:a=1 1:b=1 2:a=2 3:c=1 4:a=3 5:d=1")
	n.roll(p)
	n.compact()
	n.want(p, "once it is closed", "1:b=1 3:c=1 4:a=3 5:d=1")
	n.put(p, "b=2")
	n.roll(p)
	n.compact()
	n.want(p, "with another value", "3:c=1 4:a=3 5:d=1 7:b=2")
	for _, c := range []struct{ ts, offset int64 }{{0, 3}, {n.Clock.Now().UnixMilli() + 1, -1}} {
		if f, err := p.OffsetForTime(c.ts, p.HighWatermark()); err != nil || int64(f.Offset) != c.offset {
			t.Errorf("the first record at %d is %+v, %v; want offset %d", c.ts, f, err, c.offset)
		}
	}
	if f, err := p.MaxTimestamp(p.HighWatermark()); err != nil || f.Offset != 8 {
		t.Errorf("the newest record is %+v, %v", f, err)
	}
	if e, o := p.EpochEnd(p.Epoch()); e != p.Epoch() || o != 9 {
		t.Errorf("epoch %d ends at %d", e, o)
	}
	for range 2 { // what no checkpoint covers comes back, but never less than the last
		n = n.Crash(true)
		n.Settle()
		p = n.Topic("t").Partitions[0]
		n.compact()
		n.want(p, "after a crash", "3:c=1 4:a=3 5:d=1 7:b=2")
	}
}

func TestCompactionLag(t *testing.T) {
	n := Start(t, Options{})
	p := n.compacted("min.compaction.lag.ms=60000")
	n.put(p, "a=1", "a=2")
	n.roll(p)
	n.compact()
	n.want(p, "before the lag is over", "0:a=1 1:a=2")
	n.Advance(time.Minute)
	n.compact()
	n.want(p, "after it", "1:a=2")
	// A change counts at once.
	n.put(p, "a=3")
	n.roll(p)
	n.compact()
	n.want(p, "before the lag is over again", "1:a=2 3:a=3")
	n.alter("min.compaction.lag.ms", "0")
	n.compact()
	n.want(p, "without lag", "3:a=3")
}

func TestCompactionByRatioAndAge(t *testing.T) {
	n := Start(t, Options{})
	p := n.compacted("min.cleanable.dirty.ratio=0.8")
	for i := range 50 {
		n.put(p, fmt.Sprintf("key%d=%0100d", i, i))
	}
	n.put(p, "a=1")
	n.roll(p)
	n.compact() // all of it is dirty
	n.put(p, "a=2")
	n.roll(p)
	n.compact()
	if !strings.Contains(n.log(p), "50:a=1 52:a=2") {
		t.Errorf("little was compacted: %s", n.log(p))
	}
	n.alter("max.compaction.lag.ms", "60000")
	n.Advance(time.Minute)
	n.compact()
	if strings.Contains(n.log(p), "a=1") || !strings.Contains(n.log(p), "52:a=2") {
		t.Errorf("what is overdue was not compacted: %s", n.log(p))
	}
}

func TestTombstonesGoInTheEnd(t *testing.T) {
	n := Start(t, Options{})
	p := n.compacted("delete.retention.ms=3600000")
	n.put(p, "a=1", "b=1")
	n.put(p, "a", "c=1")
	n.roll(p)
	n.Advance(2 * time.Hour) // counts from the first compaction only
	n.compact()
	n.want(p, "compacted once", "1:b=1 2:a 3:c=1")
	n.Advance(30 * time.Minute)
	n.put(p, "b=2")
	n.roll(p)
	n.compact()
	n.want(p, "before its time", "2:a 3:c=1 5:b=2")
	n.Advance(time.Hour)
	n.put(p, "b=3")
	n.roll(p)
	n.compact()
	n.want(p, "after it", "3:c=1 7:b=3")
}

func TestCompactionComesAndGoesWithThePolicy(t *testing.T) {
	n := Start(t, Options{})
	p := n.compacted("cleanup.policy=delete")
	n.put(p, "a=1", "a=2")
	n.roll(p)
	n.compact()
	n.want(p, "not compacted", "0:a=1 1:a=2")
	n.alter("cleanup.policy", "compact,delete")
	n.compact()
	n.want(p, "compacted", "1:a=2")
	n.alter("cleanup.policy", "delete")
	n.put(p, "a=3")
	n.roll(p)
	n.compact()
	n.want(p, "no more", "1:a=2 3:a=3")
	n.alter("cleanup.policy", "compact,delete")
	n.alter("retention.ms", "60000")
	n.compact()
	n.want(p, "again", "3:a=3")
	n.Advance(2 * time.Minute)
	n.want(p, "with retention", "")
	if p.Floor() != p.HighWatermark() {
		t.Errorf("floor %d of %d", p.Floor(), p.HighWatermark())
	}
}

func TestRecordsDeletedFromACompactedTopic(t *testing.T) {
	n := Start(t, Options{})
	p := n.compacted("cleanup.policy=compact,delete")
	n.put(p, "a=1", "b=1")
	n.put(p, "a=2", "c=1")
	n.roll(p)
	n.compact()
	err := errNoAnswer
	p.DeleteRecords(2, func(_ record.Offset, e error) { err = e })
	n.Settle()
	if err != nil {
		t.Fatal(err)
	}
	n.want(p, "from offset 2 on", "2:a=2 3:c=1")
	n.put(p, "a=3")
	n.roll(p)
	n.compact()
	n.want(p, "compacted again", "3:c=1 5:a=3")
}

func TestCompactedTopicsWantKeys(t *testing.T) {
	n := Start(t, Options{})
	p := n.compacted()
	var b record.Builder
	b.Add(record.Record{Value: []byte("v")})
	batch, err := b.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Append(p, batch); !errors.Is(err, broker.ErrInvalidRecord) {
		t.Errorf("a record without a key: %v", err)
	}
}

func TestCompactionAndTransactions(t *testing.T) {
	n := Start(t, Options{})
	p := n.compacted("delete.retention.ms=3600000")
	x, y := n.transactor("x"), n.transactor("y")
	write := func(x *transactor, seq int32, records ...string) {
		t.Helper()
		h := record.Template(record.None)
		h.Attributes |= 1 << 4
		h.ProducerID, h.ProducerEpoch, h.BaseSequence = x.producer, x.epoch, seq
		r := &Pending{}
		r.Append = broker.Append{Batch: n.keyed(h, records...), Done: func(*broker.Append) { r.Answered = true }}
		p.AppendIn(&r.Append, x.id)
		n.must(r)
	}
	end := func(x *transactor, commit bool) {
		t.Helper()
		e := n.end(x, commit)
		n.Settle()
		if !e.answered || e.err != nil {
			t.Fatalf("ending a transaction: %v %v", e.answered, e.err)
		}
		x.epoch = e.reply.Epoch
	}
	n.put(p, "a=1", "b=1")
	write(x, 0, "a=2")
	n.put(p, "b=2")
	n.roll(p)
	n.compact()
	n.want(p, "below an open transaction only", "0:a=1 1:b=1 2:a=2 3:b=2")
	end(x, false)
	n.roll(p)
	n.compact()
	n.want(p, "aborted", "0:a=1 3:b=2 5:marker")
	if got := strings.Join(n.stable(p), " "); strings.TrimSpace(got) != "1 2" {
		t.Errorf("a reader of committed data sees %q", got)
	}
	write(y, 0, "a=3")
	end(y, true)
	n.put(p, "a=4")
	n.roll(p)
	n.compact()
	n.want(p, "a commit replaced", "3:b=2 5:marker 8:marker 9:a=4")
	// The next compaction finds a marker without a transaction, the one after its
	// time removes it. That of the abort stays.
	for range 2 {
		n.put(p, "b=2")
		n.roll(p)
		n.compact()
		n.Advance(2 * time.Hour)
	}
	n.want(p, "in the end", "5:marker 9:a=4 13:b=2")
	// The same producers go on.
	write(x, 0, "c=1")
	end(x, true)
	n.roll(p)
	n.compact()
	n.want(p, "afterwards", "5:marker 9:a=4 13:b=2 15:c=1 16:marker")
	if got := strings.Fields(strings.Join(n.stable(p), " ")); !slices.Equal(got, []string{"4", "2", "1"}) {
		t.Errorf("a reader of committed data sees %q", got)
	}
}

// A compacted topic that is consumed as a queue delivers what is left, and keeps
// the rest until it is settled.
func TestACompactedTopicAsQueue(t *testing.T) {
	n := Start(t, Options{})
	p := n.compacted()
	n.put(p, "a=1", "b=1", "a=2")
	n.roll(p)
	n.compact()
	n.want(p, "before", "1:b=1 2:a=2")
	q := n.QueuesOf("", "t")[0]
	w := work(t, n, q, nil)
	want(t, "delivered", w.take(), "1 2 ")
	n.put(p, "a=3", "a=4")
	n.roll(p)
	n.compact()
	n.want(p, "afterwards", "1:b=1 2:a=2 4:a=3 5:a=4")
	want(t, "delivered", w.take(), "3 4 ")
	n = n.Restart()
	p = n.Topic("t").Partitions[0]
	n.roll(p)
	n.compact()
	n.want(p, "after a restart", "1:b=1 2:a=2 4:a=3 5:a=4")
}
