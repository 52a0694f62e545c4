package route

import (
	"fmt"
	"testing"

	"github.com/polylog-mq/polylog/internal/record"
)

// filled returns a state with n queues, each bound once to each kind.
func filled(tb testing.TB, n int) *world {
	w := &world{s: New(), topics: map[string]record.TopicID{}}
	for i := range n {
		name := fmt.Sprintf("q%d", i)
		w.topics["/"+name] = record.TopicID(i + 1)
		for _, e := range []Ends{
			{Source: "amq.direct", Key: name}, {Source: "amq.topic", Key: "orders." + name + ".#"},
		} {
			e.Destination = name
			if _, err := w.s.Apply(&Bind{e}, w); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return w
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		s := filled(b, n).s.Snapshot()
		for _, c := range []struct{ exchange, key string }{{"amq.direct", "q7"}, {"amq.topic", "orders.q7.eu.paid"}} {
			b.Run(fmt.Sprintf("%s/%d", c.exchange, n), func(b *testing.B) {
				var f Found
				exchange, key := []byte(c.exchange), []byte(c.key)
				b.ReportAllocs()
				for b.Loop() {
					if err := s.Lookup(&f, "", exchange, key, nil); err != nil || len(f.Dests) != 1 {
						b.Fatal(err, f.Dests)
					}
				}
			})
		}
	}
}

// BenchmarkBind binds one more queue to an exchange that has so many, and
// unbinds it.
func BenchmarkBind(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		w := filled(b, n)
		w.topics["/more"] = record.TopicID(n + 1)
		for _, source := range []string{"amq.direct", "amq.topic"} {
			b.Run(fmt.Sprintf("%s/%d", source, n), func(b *testing.B) {
				ends := Ends{Source: source, Destination: "more", Key: "more.and.more"}
				b.ReportAllocs()
				for b.Loop() {
					if _, err := w.s.Apply(&Bind{ends}, w); err != nil {
						b.Fatal(err)
					}
					if _, err := w.s.Apply(&Unbind{ends}, w); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
