package topic

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/script"
)

// enlist lets producer=... write transaction number=... under epoch=... to p=...
func (w *world) enlist(c *script.Command) string {
	s, p := w.partition(c)
	err := s.Enlist(p, Transaction{
		Producer: c.Int("producer", 1), Epoch: int16(c.Int("epoch", 0)), Number: uint64(c.Int("number", 1)),
	})
	if err != nil {
		return "error: " + err.Error()
	}
	return ""
}

// write is append, in the transaction of producer=... unless plain=true.
func (w *world) write(c *script.Command) string {
	s, p := w.partition(c)
	plain := c.Str("plain", "") == "true"
	producer := c.Int("producer", 1)
	if err := p.MayWrite(producer, int16(c.Int("epoch", 0)), !plain); err != nil {
		return "error: " + err.Error()
	}
	base := p.HighWatermark()
	out := w.append(c)
	if !plain {
		s.Wrote(p, producer, base)
	}
	return out
}

// end ends transaction number=... of producer=..., with a marker if it has
// written, commit=true or not.
func (w *world) end(c *script.Command) string {
	s, p := w.partition(c)
	producer := c.Int("producer", 1)
	enlisted, wrote := p.Ends(producer, int16(c.Int("epoch", 9)), uint64(c.Int("number", 1)))
	if !enlisted {
		return "nothing"
	}
	marker := record.Offset(-1)
	if wrote {
		marker = s.Append(w.now, w.term, p, Batch{Offsets: 1, Size: 78, MaxTimestamp: int64(w.now)}).Base
	}
	s.End(w.now, p, producer, c.Str("commit", "") == "true", marker)
	return fmt.Sprintf("marker %d stable %d", marker, p.LastStable())
}

// abortedIn prints the transactions that a reader of [from, limit) leaves out.
func (w *world) abortedIn(c *script.Command) string {
	_, p := w.partition(c)
	limit := record.Offset(c.Int("limit", int64(p.LastStable())))
	out := ""
	for _, a := range AbortedIn(nil, p.Aborted(), record.Offset(c.Int("from", int64(p.LogStart()))), limit) {
		out += fmt.Sprintf("producer %d [%d, %d]\n", a.Producer, a.First, a.Last)
	}
	return out
}

// TestTransactionsAtRandom holds a partition against one that remembers
// everything, while checkpoints are written slowly.
func TestTransactionsAtRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	s := NewPartitions()
	var fx Effects
	define := &Define{Revision: 1, Topics: []Definition{{
		Topic: 1, Revision: 1, Settings: DefaultSettings(), Partitions: []PartitionDefinition{{ID: 1}},
	}}}
	if err := s.Apply(1, 1, define, &fx); err != nil {
		t.Fatal(err)
	}
	p, checkpoint := s.Lookup(1), cutOfShard(s)
	open := map[int64]record.Offset{} // -1: enlisted
	number := map[int64]uint64{}
	var aborted []Aborted
	for i := range 20_000 {
		producer := int64(rng.IntN(8))
		first, in := open[producer]
		switch op := rng.IntN(100); {
		case !in:
			number[producer]++
			if err := s.Enlist(p, Transaction{Producer: producer, Number: number[producer]}); err != nil {
				t.Fatal(err)
			}
			open[producer] = -1
		case op < 60:
			base := s.Append(1, 1, p, Batch{Offsets: 2, Size: 100, MaxTimestamp: 1}).Base
			s.Wrote(p, producer, base)
			if first < 0 {
				open[producer] = base
			}
		case op < 97:
			marker := record.Offset(-1)
			if first >= 0 {
				marker = s.Append(1, 1, p, Batch{Offsets: 1, Size: 80, MaxTimestamp: 1}).Base
			}
			commit := rng.IntN(3) == 0
			s.End(1, p, producer, commit, marker)
			delete(open, producer)
			if !commit && first >= 0 {
				aborted = append(aborted, Aborted{Producer: producer, First: first, Last: marker})
			}
		case rng.IntN(50) == 0:
			before := p.start + record.Offset(rng.Int64N(int64(p.next-p.start)+1))
			if err := s.Apply(1, 1, &DeleteRecords{Partition: 1, Before: before}, &fx); err != nil {
				t.Fatal(err)
			}
		}
		checkTransactions(t, rng, p, open, aborted)
		if checkpoint.begin(); i%3 == 0 {
			checkpoint.step(t, 1)
		}
		if i%500 == 0 {
			checkShardPages(t, s)
		}
		if t.Failed() {
			t.Fatalf("at step %d", i)
		}
	}
	if len(p.Aborted()) == 0 || p.txns.firstAborted < abortedPerPage {
		t.Errorf("%d aborted from number %d on: the test shows nothing", len(p.Aborted()), p.txns.firstAborted)
	}
}

func checkTransactions(t *testing.T, rng *rand.Rand, p *Partition, open map[int64]record.Offset, aborted []Aborted) {
	t.Helper()
	stable := p.next
	for _, first := range open {
		if first >= 0 {
			stable = min(stable, max(first, p.start))
		}
	}
	if p.LastStable() != stable {
		t.Errorf("last stable offset %d, want %d", p.LastStable(), stable)
	}
	if stable == p.start {
		return
	}
	from := p.start + record.Offset(rng.Int64N(int64(stable-p.start)))
	limit := from + 1 + record.Offset(rng.Int64N(min(int64(stable-from), 200)))
	var want []Aborted
	for _, a := range aborted {
		if a.Last >= from && a.First < limit {
			want = append(want, a)
		}
	}
	got := AbortedIn(nil, p.Aborted(), from, limit)
	if !slices.EqualFunc(got, want, func(a, b Aborted) bool { return a.Producer == b.Producer && a.First == b.First && a.Last == b.Last }) {
		t.Errorf("aborted in [%d, %d): %v, want %v", from, limit, got, want)
	}
}
