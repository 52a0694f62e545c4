package lease

import (
	"testing"

	"github.com/polylog-mq/polylog/internal/record"
)

// Leave is asked for as far ahead as is given in a while, within bounds.
func TestPace(t *testing.T) {
	s := New(nil)
	settings := DefaultSettings()
	set := s.Define(1, 0, &settings)
	d := NewDesk(set, 1)
	if err := d.Add(&Consumer{Holder: &Holder{}}, -1); err != nil {
		t.Fatal(err)
	}
	s.Append(set, Batch{Range: Range{0, 99_999}})
	d.Appended(0, 99_999)
	commit := func() {
		c := d.Take(1 << 20)
		s.Apply(0, false, &Report{Changes: []Change{c}}, &Effects{})
		d.Applied(&c)
	}
	for _, x := range []struct{ pace, ahead int64 }{{0, markAhead}, {3000, 3000}, {1 << 40, maxAhead}, {-5, markAhead}} {
		d.Pace(x.pace)
		last := record.Offset(-1)
		for asked := set.Marked(0); set.Marked(0) == asked; {
			w, ok := d.Next()
			if !ok {
				t.Fatal("nothing is left")
			}
			if _, ok := d.Give(w, Found{Offset: w.From}, nil); ok {
				last = w.From
			}
			if len(d.out.Marks) > 0 {
				last = w.From
				commit()
			}
		}
		if ahead := int64(set.Marked(0) - last); ahead != x.ahead {
			t.Fatalf("at a pace of %d leave is asked for %d ahead, not %d", x.pace, ahead, x.ahead)
		}
	}
}
