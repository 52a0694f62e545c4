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

// modelTest is a state and the model that it is held against.
type modelTest struct {
	*world
	m    *model
	rt   *rapid.T
	olds []oldAnswer
}

// oldAnswer is what a snapshot answered once.
type oldAnswer struct {
	s             *Snapshot
	exchange, key string
	dests         []Dest
	refused       bool
}

var (
	someExchanges = []string{"x1", "x2", "x3", "x4"}
	someQueues    = []string{"q1", "q2", "q3"}
	someKeys      = []string{"", "a", "b", "a.b", "a.b.a", "b.b", "a.", "."}
	somePatterns  = append([]string{"#", "*", "a.#", "*.b", "#.b.#", "a.*.#", "#.#", "*.#.a"}, someKeys...)
)

func (w *modelTest) pick(from []string, what string) string {
	return rapid.SampledFrom(from).Draw(w.rt, what)
}

func (w *modelTest) draw() bound {
	b := bound{source: w.pick(someExchanges, "source"), key: w.pick(somePatterns, "key"), to: rapid.Bool().Draw(w.rt, "to")}
	if rapid.IntRange(0, 5).Draw(w.rt, "args") == 0 {
		b.args = string(AppendInteger(nil, "n", 1))
	}
	if b.dest = w.pick(someQueues, "queue"); b.to {
		b.dest = w.pick(someExchanges, "exchange")
	}
	return b
}

func (b *bound) ends() Ends {
	return Ends{Source: b.source, Destination: b.dest, ToExchange: b.to, Key: b.key, Arguments: Table(b.args)}
}

func (w *modelTest) declare(*rapid.T) {
	name, alt := w.pick(someExchanges, "name"), w.pick(append([]string{"none"}, someExchanges...), "alternate")
	if w.m.kinds[name] != "" {
		return
	}
	w.m.kinds[name], w.m.alternate[name] = w.pick([]string{"direct", "fanout", "topic"}, "type"), alt
	cmd := &DeclareExchange{Name: name, Type: w.m.kinds[name], Durable: true, Arguments: AppendText(nil, "alternate-exchange", alt)}
	if out := w.apply(cmd); out != "created" {
		w.rt.Fatal(out)
	}
}

func (w *modelTest) delete(*rapid.T) {
	name := w.pick(someExchanges, "name")
	w.apply(&DeleteExchange{Name: name})
	w.m.drop(name)
}

func (w *modelTest) bind(*rapid.T) {
	b := w.draw()
	out, want := w.apply(&Bind{b.ends()}), "created"
	if w.m.kinds[b.source] == "" || b.to && w.m.kinds[b.dest] == "" {
		want = "refused"
	} else if w.m.bindings[b] {
		want = "ok"
	}
	if !strings.HasPrefix(out, want) {
		w.rt.Fatalf("bind %+v: %s, want %s", b, out, want)
	}
	if want == "created" {
		w.m.bindings[b] = true
	}
}

func (w *modelTest) unbind(*rapid.T) {
	b := w.draw()
	if len(w.m.bindings) > 0 && rapid.Bool().Draw(w.rt, "existing") {
		list := slices.SortedFunc(maps.Keys(w.m.bindings), func(a, b bound) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		b = rapid.SampledFrom(list).Draw(w.rt, "binding")
	}
	w.apply(&Unbind{b.ends()})
	delete(w.m.bindings, b)
}

func (w *modelTest) recreate(*rapid.T) {
	q := w.pick(someQueues, "queue")
	w.s.TopicGone(w.topics["/"+q])
	w.last++
	w.topics["/"+q] = w.last
	maps.DeleteFunc(w.m.bindings, func(b bound, _ bool) bool { return !b.to && b.dest == q })
}

func (w *modelTest) check(*rapid.T) {
	exchange, key := w.pick(someExchanges, "at"), w.pick(someKeys, "with")
	var f Found
	err := w.s.Snapshot().Lookup(&f, "", []byte(exchange), []byte(key), nil)
	if (err == nil) != (w.m.kinds[exchange] != "") {
		w.rt.Fatalf("%s: %v", exchange, err)
	}
	if len(f.tables) > len(w.m.kinds) {
		w.rt.Fatalf("%d of %d exchanges are passed", len(f.tables), len(w.m.kinds))
	}
	if err == nil {
		found := map[string]bool{}
		w.m.route(exchange, key, map[string]bool{}, found)
		want := strings.Join(slices.Sorted(maps.Keys(found)), " ")
		if got := w.targets("", exchange, key, nil); got != want {
			w.rt.Fatalf("%s/%q leads to %q, want %q", exchange, key, got, want)
		}
	}
	w.olds = append(w.olds, oldAnswer{w.s.Snapshot(), exchange, key, slices.Clone(f.Dests), err != nil})
	for _, o := range w.olds {
		var again Found
		err := o.s.Lookup(&again, "", []byte(o.exchange), []byte(o.key), nil)
		if (err != nil) != o.refused || !slices.Equal(again.Dests, o.dests) {
			w.rt.Fatalf("an old snapshot has changed: %v, was %v", again.Dests, o.dests)
		}
	}
}

// TestAgainstModel changes a state at random, restarts it, and asks it and the
// model where messages go. Old snapshots must go on answering as they did.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &modelTest{world: newWorld(t), rt: rt}
		for _, q := range someQueues {
			w.last++
			w.topics["/"+q] = w.last
		}
		w.m = &model{kinds: map[string]string{}, alternate: map[string]string{}, bindings: map[bound]bool{}}
		rt.Repeat(map[string]func(*rapid.T){
			"declare": w.declare, "delete": w.delete, "bind": w.bind, "unbind": w.unbind, "recreate queue": w.recreate,
			"restart": func(*rapid.T) { w.restart() }, "cut": func(*rapid.T) { w.cutNow() }, "": w.check,
		})
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
