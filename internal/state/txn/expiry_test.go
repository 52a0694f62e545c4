package txn

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/polylog-mq/polylog/internal/record"
)

// TestDeadlinesComeInOrder: of many open transactions with deadlines of their
// own, some of which end before, each is aborted at its time, those due at once
// in the order of their ids, and no tick does anything before.
func TestDeadlinesComeInOrder(t *testing.T) {
	type open struct {
		id  string
		due record.LogTime
	}
	rng := rand.New(rand.NewPCG(1, 2))
	s, now := New(), record.LogTime(1_000_000)
	var fx Effects
	var want []open
	for i := range int64(200) {
		id, timeout := fmt.Sprintf("id-%03d", rng.Perm(1000)[0]*1000+int(i)), int32(1000*(1+rng.IntN(40)))
		if r := s.Apply(now, &Init{ID: id, Timeout: timeout, Producer: -1, Epoch: -1, Spare: i}, &fx); r.Err != nil {
			t.Fatal(r.Err)
		}
		add := &Add{ID: id, Producer: i, Partitions: []Partition{{Topic: 1, Name: "t", ID: 100}}}
		if r := s.Apply(now, add, &fx); r.Err != nil {
			t.Fatal(r.Err)
		}
		if i%3 == 0 {
			if r := s.Apply(now, &End{ID: id, Producer: i, Commit: true, Spare: -1}, &fx); r.Err != nil {
				t.Fatal(r.Err)
			}
			continue
		}
		want = append(want, open{id, now + record.LogTime(timeout)})
		now += record.LogTime(rng.IntN(3) * 500)
	}
	slices.SortFunc(want, func(a, b open) int { return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.id, b.id)) })
	var got []open
	for ; len(got) < len(want); fx.Reset() {
		at, ok := s.NextDeadline()
		if !ok || at != want[len(got)].due && at > now {
			t.Fatalf("the next deadline is %d, %t, after %d of %d", at, ok, len(got), len(want))
		}
		fx.Reset()
		if at > now {
			if s.Tick(at-1, false, &fx); len(fx.Decided) > 0 {
				t.Fatalf("decided before the time: %v", fx.Decided)
			}
			now = at
		}
		s.Tick(now, false, &fx)
		for _, id := range fx.Decided {
			got = append(got, open{id, want[len(got)].due})
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("ended in the order %v, want %v", got, want)
	}
}
