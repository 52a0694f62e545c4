package lease

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/polylog-mq/polylog/internal/record"
)

// model is a lease set as a table with a row for every record.
type model struct {
	settled, held map[record.Offset]bool
	attempts      map[record.Offset]int32
	ttl           map[record.Offset]int64
	floor, next   record.Offset
	limit         int32
}

// TestSetAgainstModel holds sets against a table, and each against what comes out
// of its pages, written out while it changes.
func TestSetAgainstModel(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runModel(t, seed) })
	}
}

type modelRun struct {
	t    *testing.T
	rng  *rand.Rand
	s    *State
	set  *Set
	m    *model
	disk map[string][]byte
	fx   Effects
}

func runModel(t *testing.T, seed uint64) {
	r := &modelRun{t: t, rng: rand.New(rand.NewPCG(seed, 1)), s: New(nil), disk: map[string][]byte{}} //nolint:gosec // to be repeated
	settings := DefaultSettings()
	settings.DeadLetter = seed%2 == 0
	settings.DeliveryLimit = int32(seed%4) - 1
	settings.MessageTTL = int64(seed%3) - 1
	r.set = r.s.Define(7, 0, &settings)
	r.m = &model{
		settled: map[record.Offset]bool{}, held: map[record.Offset]bool{}, attempts: map[record.Offset]int32{},
		ttl: map[record.Offset]int64{}, limit: settings.DeliveryLimit,
	}
	for range 150 {
		r.step()
		r.compare(r.s, r.set)
	}
	r.checkpoint(func() {})
	again := r.reload()
	r.compare(again, again.Lookup(7))
	r.s.Drop(7)
	r.checkpoint(func() {})
	if len(r.disk) != 0 {
		t.Errorf("%d pages of a set that is gone", len(r.disk))
	}
}

// someRange returns a range that may reach far.
func (r *modelRun) someRange() Range {
	if r.m.next == 0 {
		return Range{0, 0}
	}
	first := record.Offset(r.rng.Int64N(int64(r.m.next)))
	if r.rng.IntN(3) == 0 {
		first = r.set.floor
	}
	return Range{first, first + record.Offset(r.rng.IntN(1<<r.rng.IntN(15)))}
}

func (r *modelRun) step() {
	switch r.rng.IntN(8) {
	case 0, 1:
		r.append()
	case 2, 3, 4:
		x := r.someRange()
		r.report(Change{Settled: []Range{x}})
		r.m.settle(x)
	case 5:
		r.giveBack()
	case 6:
		r.die()
	case 7:
		if r.rng.IntN(4) > 0 {
			return
		}
		r.checkpoint(func() { // what changes while it is written must not show
			x := r.someRange()
			r.report(Change{Settled: []Range{x}})
			r.m.settle(x)
		})
	}
}

func (r *modelRun) append() {
	n := record.Offset(1 + r.rng.IntN(800))
	b := Batch{Range: Range{r.m.next, r.m.next + n - 1}, TTL: int64(r.rng.IntN(3)) - 1}
	r.s.Append(r.set, b)
	ttl := b.TTL
	if q := r.set.settings.MessageTTL; q >= 0 && (ttl < 0 || q < ttl) {
		ttl = q
	}
	for o := b.First; o <= b.Last; o++ {
		r.m.ttl[o] = ttl
	}
	r.m.next += n
}

func (r *modelRun) report(c Change) {
	c.Partition = 7
	decoded, err := Decode((&Report{Changes: []Change{c}}).AppendTo(nil))
	if err != nil {
		r.t.Fatal(err)
	}
	r.fx.Reset()
	r.s.Apply(1000, false, decoded.(*Report), &r.fx)
}

func (m *model) settle(x Range) {
	for o := x.First; o <= min(x.Last, m.next-1); o++ {
		m.settled[o] = true
		delete(m.held, o)
		delete(m.attempts, o)
	}
}

func (r *modelRun) giveBack() {
	o := r.set.NextReady(r.someRange().First)
	if o >= r.m.next {
		return
	}
	r.report(Change{Returned: []Return{{o, 0}}})
	r.m.attempts[o]++
	if n := r.m.attempts[o]; r.m.limit >= 0 && n > r.m.limit {
		r.m.kill(r.set, o)
		if len(r.fx.Back) > 0 {
			r.t.Fatalf("record %d came back after %d returns", o, n)
		}
	} else if len(r.fx.Back) != 1 || r.fx.Back[0] != (Returned{r.set, o, 0, n}) {
		r.t.Fatalf("record %d: %v came back", o, r.fx.Back)
	}
}

func (m *model) kill(set *Set, o record.Offset) {
	if set.settings.DeadLetter {
		m.held[o] = true
		return
	}
	m.settle(Range{o, o})
}

func (r *modelRun) die() {
	o := r.set.NextReady(r.someRange().First)
	if o >= r.m.next {
		return
	}
	r.report(Change{Died: []Death{{Range: Range{o, o}, Reason: Rejected}}})
	r.m.kill(r.set, o)
	if deaths := r.set.Deaths(0, 10); len(deaths) > 3 && r.rng.IntN(2) == 0 {
		d := deaths[r.rng.IntN(len(deaths))]
		r.s.Bury(r.set, d.Number, 0)
		r.m.settle(Range{d.Offset, d.Offset})
	}
}

// compare holds a set against the table.
func (r *modelRun) compare(s *State, set *Set) {
	r.t.Helper()
	for r.m.floor < r.m.next && r.m.settled[r.m.floor] {
		r.m.floor++
	}
	unsettled, floor := int64(r.m.next)-int64(len(r.m.settled)), r.m.floor
	if set.Unsettled() != unsettled || set.Floor() != floor || set.Held() != int64(len(r.m.held)) || set.Next() != r.m.next {
		r.t.Fatalf("%d unsettled from %d, %d held, to %d; want %d from %d, %d, to %d",
			set.Unsettled(), set.Floor(), set.Held(), set.Next(), unsettled, floor, len(r.m.held), r.m.next)
	}
	for range 50 {
		if r.m.next == 0 {
			return
		}
		o := record.Offset(r.rng.Int64N(int64(r.m.next)))
		ready := o
		for ready < r.m.next && (r.m.settled[ready] || r.m.held[ready]) {
			ready++
		}
		if set.Settled(o) != r.m.settled[o] || set.NextReady(o) != ready || set.Attempts(o) != r.m.attempts[o] {
			r.t.Fatalf("record %d: settled %v, next ready %d, %d attempts; want %v, %d, %d", o, set.Settled(o),
				set.NextReady(o), set.Attempts(o), r.m.settled[o], ready, r.m.attempts[o])
		}
		if ttl, err := s.TTL(set, o); err != nil || o >= floor && ttl != r.m.ttl[o] {
			r.t.Fatalf("record %d may wait %d, want %d; %v", o, ttl, r.m.ttl[o], err)
		}
	}
}

// checkpoint writes the pages that have changed, and changes more meanwhile.
func (r *modelRun) checkpoint(meanwhile func()) {
	cut := r.describe(r.set)
	r.s.Freeze()
	meanwhile()
	steps := 0
	r.s.EncodePages(func(key, value []byte) {
		if value == nil {
			delete(r.disk, string(key))
			return
		}
		r.disk[string(key)] = bytes.Clone(value)
	}, func() bool { steps++; return true })
	if r.s.Lookup(7) == nil {
		return
	}
	if got := r.describe(r.reload().Lookup(7)); got != cut {
		r.t.Fatalf("the pages say %s, the cut was %s", got, cut)
	}
}

func (r *modelRun) describe(set *Set) string {
	chunks := ""
	for _, k := range slices.Sorted(maps.Keys(set.chunks)) {
		c := set.chunks[k]
		chunks += fmt.Sprintf("%d %x ", k, c.encode(nil))
	}
	ttls := fmt.Sprint(set.ttls.latest)
	for _, p := range set.ttls.pages {
		ttls += fmt.Sprint(" ", p.number, p.first, p.from, p.changes)
	}
	return fmt.Sprint(set.floor, set.next, set.settled, set.held, set.bytes, set.marks, ttls, set.dying.list, set.dying.next, chunks)
}

func (r *modelRun) reload() *State {
	s := New(nil)
	for _, key := range slices.Sorted(maps.Keys(r.disk)) {
		if err := s.RestorePage([]byte(key), r.disk[key]); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := s.Restored(); err != nil {
		r.t.Fatal(err)
	}
	set := s.Lookup(7)
	if !reflect.DeepEqual(set.settings, r.set.settings) {
		r.t.Fatal("other settings")
	}
	return s
}

// TestSpans holds spans against a map.
func TestSpans(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // to be repeated
	var s spans
	m := map[uint16]bool{}
	for range 3000 {
		lo := uint16(rng.IntN(200))
		hi := lo + uint16(rng.IntN(20))
		adds := rng.IntN(2) == 0
		want := int64(0)
		for o := lo; o <= hi; o++ {
			if m[o] != adds {
				want++
			}
			if adds {
				m[o] = true
			} else {
				delete(m, o)
			}
		}
		got := int64(0)
		if adds {
			got = s.add(lo, hi)
		} else {
			got = s.remove(lo, hi)
		}
		if got != want || s.size() != int64(len(m)) {
			t.Fatalf("%v: [%d %d] changed %d offsets, want %d; %d in all, want %d", adds, lo, hi, got, want, s.size(), len(m))
		}
		for i, x := range s {
			if x.lo > x.hi || i > 0 && x.lo <= s[i-1].hi+1 {
				t.Fatalf("%v", s)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	settings := DefaultSettings()
	f.Add((&Open{Partition: 3, Settings: &settings}).AppendTo(nil))
	f.Add((&Report{Changes: []Change{{
		Partition: 1, Bytes: 5, Settled: []Range{{1, 4}, {9, 9}}, Returned: []Return{{3, 1}},
		Died: []Death{{Range{5, 6}, Expired, 77}}, Marks: []Mark{{0, 1024}},
	}}}).AppendTo(nil))
	f.Add((&Report{Changes: []Change{{
		Partition: 1, Term: 3, Loans: []LoanChange{
			{What: Lend, Offset: 7, New: 5, Owner: "o", For: 30_000, Level: 1, Group: 9, Size: 3},
			{What: Settle, Offset: 9, Term: 2, Counter: 8, Verdict: Reject}, {What: Extend, Offset: 2, Term: 2, Counter: 8, For: 5},
			{What: Claim, Offset: 3, Term: 1, Counter: 1, New: 6, Owner: "p", For: -1, Idle: 4, Attempts: CountKeep},
			{What: Forget, Offset: 1, Term: 1, Counter: 2},
		},
	}}}).AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(c.AppendTo(nil))
		if err != nil || !reflect.DeepEqual(c, again) {
			t.Fatalf("%v is read back as %v, %v", c, again, err)
		}
	})
}

func FuzzPages(f *testing.F) {
	s := New(nil)
	settings := DefaultSettings()
	set := s.Define(7, 0, &settings)
	s.Append(set, Batch{Range: Range{0, 99}, TTL: 5})
	s.settle(set, 3, 9)
	s.putLoan(set, Loan{ID: ID{Offset: 12, Term: 1, Counter: 4}, Owner: "o", Until: 9})
	s.hold(set, 12)
	s.Freeze()
	s.EncodePages(func(k, v []byte) { f.Add(k, v) }, func() bool { return true })
	f.Fuzz(func(t *testing.T, key, value []byte) {
		s := New(nil)
		if s.RestorePage(key, value) != nil || s.Restored() != nil {
			return
		}
		for _, set := range s.All() {
			set.NextReady(0)
		}
	})
}
