package route

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/polylog-mq/polylog/internal/record"
)

// bound is a binding as the model has it.
type bound struct {
	source, dest string
	to           bool // an exchange
	key, args    string
}

// model is what exchanges and bindings mean, said as simply as can be.
type model struct {
	kinds     map[string]string // exchanges
	alternate map[string]string
	bindings  map[bound]bool
}

// matchWords says by recursion what a pattern of a topic exchange matches.
func matchWords(pattern, key []string) bool {
	switch {
	case len(pattern) == 0:
		return len(key) == 0
	case pattern[0] == "#":
		return matchWords(pattern[1:], key) || len(key) > 0 && matchWords(pattern, key[1:])
	case len(key) == 0:
		return false
	}
	return (pattern[0] == "*" || pattern[0] == key[0]) && matchWords(pattern[1:], key[1:])
}

func (m *model) route(exchange, key string, seen, found map[string]bool) {
	if seen[exchange] {
		return
	}
	seen[exchange] = true
	hit := false
	for b := range m.bindings {
		if b.source != exchange {
			continue
		}
		switch m.kinds[exchange] {
		case "direct":
			if b.key != key {
				continue
			}
		case "topic":
			if !matchWords(words(b.key), words(key)) {
				continue
			}
		}
		hit = true
		if b.to {
			m.route(b.dest, key, seen, found)
		} else {
			found[b.dest] = true
		}
	}
	if alt := m.alternate[exchange]; !hit && m.kinds[alt] != "" {
		m.route(alt, key, seen, found)
	}
}

func (m *model) drop(exchange string) {
	delete(m.kinds, exchange)
	delete(m.alternate, exchange)
	maps.DeleteFunc(m.bindings, func(b bound, _ bool) bool { return b.source == exchange || b.to && b.dest == exchange })
}

// TestAgainstModel changes a state at random, restarts it, and asks it and the
// model where messages go. Old snapshots must go on answering as they did.
func TestAgainstModel(t *testing.T) {
	exchanges, queues := []string{"x1", "x2", "x3", "x4"}, []string{"q1", "q2", "q3"}
	keys := []string{"", "a", "b", "a.b", "a.b.a", "b.b", "a.", "."}
	patterns := append([]string{"#", "*", "a.#", "*.b", "#.b.#", "a.*.#", "#.#", "*.#.a"}, keys...)
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		for _, q := range queues {
			w.last++
			w.topics["/"+q] = w.last
		}
		m := &model{kinds: map[string]string{}, alternate: map[string]string{}, bindings: map[bound]bool{}}
		type old struct {
			s             *Snapshot
			exchange, key string
			dests         []Dest
			refused       bool
		}
		var olds []old
		pick := func(from []string, what string) string { return rapid.SampledFrom(from).Draw(rt, what) }
		draw := func() bound {
			b := bound{source: pick(exchanges, "source"), key: pick(patterns, "key"), to: rapid.Bool().Draw(rt, "to")}
			if rapid.IntRange(0, 5).Draw(rt, "args") == 0 {
				b.args = string(AppendInteger(nil, "n", 1))
			}
			if b.dest = pick(queues, "queue"); b.to {
				b.dest = pick(exchanges, "exchange")
			}
			return b
		}
		steps := map[string]func(*rapid.T){
			"declare": func(*rapid.T) {
				name, alt := pick(exchanges, "name"), pick(append([]string{"none"}, exchanges...), "alternate")
				if m.kinds[name] != "" {
					return
				}
				m.kinds[name], m.alternate[name] = pick([]string{"direct", "fanout", "topic"}, "type"), alt
				if out := w.apply(&DeclareExchange{Name: name, Type: m.kinds[name], Durable: true, Arguments: AppendText(nil, "alternate-exchange", alt)}); out != "created" {
					rt.Fatal(out)
				}
			},
			"delete": func(*rapid.T) {
				name := pick(exchanges, "name")
				w.apply(&DeleteExchange{Name: name})
				m.drop(name)
			},
			"bind": func(*rapid.T) {
				b := draw()
				out := w.apply(&Bind{Ends{Source: b.source, Destination: b.dest, ToExchange: b.to, Key: b.key, Arguments: Table(b.args)}})
				want := "created"
				if m.kinds[b.source] == "" || b.to && m.kinds[b.dest] == "" {
					want = "refused"
				} else if m.bindings[b] {
					want = "ok"
				}
				if !strings.HasPrefix(out, want) {
					rt.Fatalf("bind %+v: %s, want %s", b, out, want)
				}
				if want == "created" {
					m.bindings[b] = true
				}
			},
			"unbind": func(*rapid.T) {
				b := draw()
				if len(m.bindings) > 0 && rapid.Bool().Draw(rt, "existing") {
					list := slices.SortedFunc(maps.Keys(m.bindings), func(a, b bound) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
					b = rapid.SampledFrom(list).Draw(rt, "binding")
				}
				w.apply(&Unbind{Ends{Source: b.source, Destination: b.dest, ToExchange: b.to, Key: b.key, Arguments: Table(b.args)}})
				delete(m.bindings, b)
			},
			"recreate queue": func(*rapid.T) {
				q := pick(queues, "queue")
				w.s.TopicGone(w.topics["/"+q])
				w.last++
				w.topics["/"+q] = w.last
				maps.DeleteFunc(m.bindings, func(b bound, _ bool) bool { return !b.to && b.dest == q })
			},
			"restart": func(*rapid.T) { w.restart() },
			"cut":     func(*rapid.T) { w.cutNow() },
			"": func(*rapid.T) {
				exchange, key := pick(exchanges, "at"), pick(keys, "with")
				var f Found
				err := w.s.Snapshot().Lookup(&f, "", []byte(exchange), []byte(key), nil)
				if (err == nil) != (m.kinds[exchange] != "") {
					rt.Fatalf("%s: %v", exchange, err)
				}
				if len(f.tables) > len(m.kinds) {
					rt.Fatalf("%d of %d exchanges are passed", len(f.tables), len(m.kinds))
				}
				if err == nil {
					found := map[string]bool{}
					m.route(exchange, key, map[string]bool{}, found)
					want := strings.Join(slices.Sorted(maps.Keys(found)), " ")
					if got := w.targets("", exchange, key, nil); got != want {
						rt.Fatalf("%s/%q leads to %q, want %q", exchange, key, got, want)
					}
				}
				olds = append(olds, old{s: w.s.Snapshot(), exchange: exchange, key: key, dests: slices.Clone(f.Dests), refused: err != nil})
				for _, o := range olds {
					var again Found
					err := o.s.Lookup(&again, "", []byte(o.exchange), []byte(o.key), nil)
					if (err != nil) != o.refused || !slices.Equal(again.Dests, o.dests) {
						rt.Fatalf("an old snapshot has changed: %v, was %v", again.Dests, o.dests)
					}
				}
			},
		}
		rt.Repeat(steps)
	})
}

// TestMapWithPoorHashes puts keys with few different hashes into the map.
func TestMapWithPoorHashes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		hash := func(k int) uint64 { return uint64(k%5) | uint64(k%3)<<62 }
		var m pmap[int, int]
		want := map[int]int{}
		versions := map[int]pmap[int, int]{}
		for i := range rapid.IntRange(1, 80).Draw(rt, "steps") {
			k := rapid.IntRange(0, 40).Draw(rt, "key")
			if rapid.IntRange(0, 2).Draw(rt, "delete") == 0 {
				m = m.del(hash(k), k)
				delete(want, k)
			} else {
				m = m.put(hash(k), k, i)
				want[k] = i
			}
			versions[m.size] = m
		}
		got := maps.Collect(m.all())
		if !maps.Equal(got, want) || m.size != len(want) {
			rt.Fatalf("%v (%d), want %v", got, m.size, want)
		}
		for k := range 41 {
			v, ok := m.get(hash(k), k)
			if w, has := want[k]; ok != has || v != w {
				rt.Fatalf("key %d is %d %v, want %d", k, v, ok, w)
			}
		}
		for size, old := range versions {
			if n := len(maps.Collect(old.all())); n != size {
				rt.Fatalf("an old map of %d has %d", size, n)
			}
		}
	})
}

// TestLongPatterns is about time: what would take for ever by recursion.
func TestLongPatterns(t *testing.T) {
	w := newWorld(t)
	w.topics["/q"] = 1
	for i := range 200 {
		key := fmt.Sprintf("#.a.#.a.#.a.#.a.#.a.#.a.#.a.#.%d", i)
		if out := w.apply(&Bind{Ends{Source: "amq.topic", Destination: "q", Key: key}}); out != "created" {
			t.Fatal(out)
		}
	}
	if got := w.targets("", "amq.topic", strings.Repeat("a.", 120)+"199", nil); got != "q" {
		t.Errorf("it leads to %q", got)
	}
	if got := w.targets("", "amq.topic", strings.Repeat("a.", 120)+"200", nil); got != "" {
		t.Errorf("it leads to %q", got)
	}
}

// TestHashMovesLittle binds one more queue to a consistent hash: only what now is
// its own has moved.
func TestHashMovesLittle(t *testing.T) {
	w := newWorld(t)
	w.apply(&DeclareExchange{Name: "h", Type: "x-consistent-hash", Durable: true})
	bind := func(i int) {
		w.topics[fmt.Sprintf("/q%d", i)] = record.TopicID(i)
		w.apply(&Bind{Ends{Source: "h", Destination: fmt.Sprintf("q%d", i), Key: "10"}})
	}
	for i := 1; i <= 9; i++ {
		bind(i)
	}
	const keys = 20_000
	before := make([]string, keys)
	for k := range before {
		before[k] = w.targets("", "h", fmt.Sprintf("key-%d", k), nil)
	}
	bind(10)
	share := 0
	for k, was := range before {
		switch now := w.targets("", "h", fmt.Sprintf("key-%d", k), nil); {
		case now == "q10":
			share++
		case now != was:
			t.Fatalf("key %d has moved from %s to %s", k, was, now)
		}
	}
	if share < keys/10*7/10 || share > keys/10*13/10 {
		t.Errorf("one of ten equal queues has %d of %d keys", share, keys)
	}
}
