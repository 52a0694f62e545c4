package amqp

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
)

func lent(offset int) delivery {
	return delivery{lease: broker.LeaseID{Offset: record.Offset(offset)}, live: true}
}

func TestUnacked(t *testing.T) {
	var u unacked
	for i := 1; i <= 6; i++ {
		d := lent(i)
		d.live = i != 3 // no acknowledgement needed
		if tag := u.add(d); tag != uint64(i) {
			t.Fatalf("delivery %d has tag %d", i, tag)
		}
	}
	for _, c := range []struct {
		tag      uint64
		multiple bool
		want     string // tags taken, or "no"
	}{
		{0, false, "no"},
		{7, false, "no"},
		{7, true, "no"},
		{3, false, "no"},
		{3, true, "no"},
		{2, false, "[2]"},
		{2, false, "no"},
		{2, true, "no"},
		{4, true, "[1 4]"},
		{1, true, "no"},
		{6, false, "[6]"},
		{0, true, "[5]"},
		{0, true, "[]"},
		{5, true, "no"},
	} {
		taken := []uint64{}
		ok := u.take(c.tag, c.multiple, func(tag uint64, d delivery) {
			if int(d.lease.Offset) != int(tag) {
				t.Errorf("tag %d is delivery %d", tag, d.lease.Offset)
			}
			taken = append(taken, tag)
		})
		got := fmt.Sprint(taken)
		if !ok {
			got = "no"
		}
		if got != c.want {
			t.Errorf("%d %v takes %s, want %s", c.tag, c.multiple, got, c.want)
		}
	}
	if tag := u.add(lent(7)); tag != 7 {
		t.Errorf("the next tag is %d", tag)
	}
}

// TestUnackedForgetsWhatIsSettled: memory follows what is outstanding.
func TestUnackedForgetsWhatIsSettled(t *testing.T) {
	var u unacked
	for i := range 100_000 {
		u.add(lent(i))
		if i >= 10 {
			u.take(uint64(i-9), false, func(uint64, delivery) {})
		}
	}
	if cap(u.ring) > 100 {
		t.Errorf("room for %d deliveries with %d outstanding", cap(u.ring), u.live)
	}
}

func TestUnackedRestores(t *testing.T) {
	var u unacked
	u.keep = true
	for i := 1; i <= 5; i++ {
		u.add(lent(i))
	}
	back := map[uint64]delivery{}
	u.take(3, true, func(tag uint64, d delivery) { back[tag] = d })
	if u.take(2, false, nil) {
		t.Error("taken twice")
	}
	for tag, d := range back {
		u.restore(tag, d)
	}
	u.keep = false
	var all []uint64
	u.take(0, true, func(tag uint64, _ delivery) { all = append(all, tag) })
	if !slices.Equal(all, []uint64{1, 2, 3, 4, 5}) {
		t.Errorf("left are %v", all)
	}
}

// TestUnackedAgainstAMap compares with the obvious way of doing it.
func TestUnackedAgainstAMap(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var u unacked
	model, last := map[uint64]bool{}, uint64(0)
	for range 20_000 {
		if r.IntN(2) == 0 {
			last = u.add(delivery{live: true})
			model[last] = true
			continue
		}
		tag, multiple := uint64(r.IntN(int(last)+2)), r.IntN(8) == 0
		want := model[tag] && tag != 0 || tag == 0 && multiple
		taken := map[uint64]bool{}
		if ok := u.take(tag, multiple, func(tag uint64, _ delivery) { taken[tag] = true }); ok != want {
			t.Fatalf("%d %v: %v, want %v", tag, multiple, ok, want)
		}
		for x := range model {
			if hit := want && (x == tag || multiple && (x <= tag || tag == 0)); hit != taken[x] {
				t.Fatalf("%d %v: %d taken is %v", tag, multiple, x, taken[x])
			} else if hit {
				delete(model, x)
			}
		}
		if u.live != len(model) {
			t.Fatalf("%d outstanding, want %d", u.live, len(model))
		}
	}
}
