package broker

import (
	"fmt"
	"slices"
	"testing"
)

func names(v *view) []string {
	var out []string
	for t := range v.all() {
		out = append(out, t.Name)
	}
	return out
}

func TestViewShowsAndHides(t *testing.T) {
	v := newView()
	a1 := &Topic{Name: "a", UUID: [16]byte{1}}
	b := &Topic{Name: "b", UUID: [16]byte{2}}
	v.show(b)
	v.show(a1)
	if got := names(v); !slices.Equal(got, []string{"a", "b"}) {
		t.Fatalf("topics are %v", got)
	}
	a2 := &Topic{Name: "a", UUID: [16]byte{3}} // recreated
	v.show(a2)
	if v.byName.get(fullName{name: "a"}) != a2 || v.byUUID.get(a1.UUID) != nil || v.byUUID.get(a2.UUID) != a2 {
		t.Fatal("the recreated topic must take the place of the old one")
	}
	v.hide(a1.UUID) // the old one's end comes late
	if got := names(v); !slices.Equal(got, []string{"a", "b"}) || v.count.Load() != 2 {
		t.Fatalf("topics are %v, count %d", got, v.count.Load())
	}
	v.hide(b.UUID)
	if got := names(v); !slices.Equal(got, []string{"a"}) || v.byName.get(fullName{name: "b"}) != nil {
		t.Fatalf("topics are %v", got)
	}
}

func TestViewListFollowsEveryChange(t *testing.T) {
	v := newView()
	for i := range 300 {
		v.show(&Topic{Name: fmt.Sprintf("t%03d", i), UUID: [16]byte{byte(i), byte(i >> 8)}})
		if got := names(v); len(got) != i+1 || !slices.IsSorted(got) {
			t.Fatalf("after %d topics the list is %v", i+1, got)
		}
	}
}

func BenchmarkViewLookup(b *testing.B) {
	v := newView()
	for i := range 10_000 {
		v.show(&Topic{Name: fmt.Sprintf("topic-%d", i), UUID: [16]byte{byte(i), byte(i >> 8)}})
	}
	b.ReportAllocs()
	for b.Loop() {
		if v.byName.get(fullName{name: "topic-77"}) == nil || v.byUUID.get([16]byte{77}) == nil {
			b.Fatal("not found")
		}
	}
}
