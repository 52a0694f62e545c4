package route

import (
	"bytes"
	"slices"
	"strings"
)

// trie holds the bindings of a topic exchange by the words of their keys, which
// dots separate; '*' stands for one word and '#' for any number of them. The
// empty key has no words. A node never changes once it is in a snapshot.
type trie struct {
	words pmap[string, *trie]
	star  *trie
	hash  *trie
	// loops says that the node stands behind a '#', which takes further words.
	loops bool
	dests []Dest
}

func words(key string) []string {
	if key == "" {
		return nil
	}
	return strings.Split(key, ".")
}

// bind returns the trie with a destination at the end of a path.
func (n *trie) bind(path []string, d Dest) *trie {
	next := trie{}
	if n != nil {
		next = *n
	}
	if len(path) == 0 {
		next.dests = append(next.dests, d)
		return &next
	}
	switch w := path[0]; w {
	case "*":
		next.star = next.star.bind(path[1:], d)
	case "#":
		next.hash = next.hash.bind(path[1:], d)
		next.hash.loops = true
	default:
		h := hashOf(w)
		kid, _ := next.words.get(h, w)
		next.words = next.words.put(h, w, kid.bind(path[1:], d))
	}
	return &next
}

// unbind returns the trie without it; nil if nothing is left.
func (n *trie) unbind(path []string, d Dest) *trie {
	if n == nil {
		return nil
	}
	next := *n
	if len(path) == 0 {
		next.dests = without(next.dests, d)
		return next.orNil()
	}
	switch w := path[0]; w {
	case "*":
		next.star = next.star.unbind(path[1:], d)
	case "#":
		next.hash = next.hash.unbind(path[1:], d)
	default:
		h := hashOf(w)
		kid, _ := next.words.get(h, w)
		if kid = kid.unbind(path[1:], d); kid == nil {
			next.words = next.words.del(h, w)
		} else {
			next.words = next.words.put(h, w, kid)
		}
	}
	return next.orNil()
}

func (n *trie) orNil() *trie {
	if n.star == nil && n.hash == nil && n.words.size == 0 && len(n.dests) == 0 {
		return nil
	}
	return n
}

// walk is the nodes that a key has led to so far: all at once, so that the time
// is bounded by the words times the nodes, however many '#' there are.
type walk struct {
	now, then []*trie
	// seen is used once there are many of them.
	seen map[*trie]struct{}
}

// manyNodes is from how many nodes on a table is quicker than a list.
const manyNodes = 32

// enter adds a node, unless it is there, and those that '#' reaches from it
// without a word.
func (w *walk) enter(n *trie) {
	for ; n != nil; n = n.hash {
		if !w.fresh(n) {
			return
		}
		w.then = append(w.then, n)
	}
}

func (w *walk) fresh(n *trie) bool {
	if len(w.then) < manyNodes {
		return !slices.Contains(w.then, n)
	}
	if len(w.seen) == 0 {
		if w.seen == nil {
			w.seen = map[*trie]struct{}{}
		}
		for _, o := range w.then {
			w.seen[o] = struct{}{}
		}
	}
	if _, ok := w.seen[n]; ok {
		return false
	}
	w.seen[n] = struct{}{}
	return true
}

// turn makes what was entered the present nodes.
func (w *walk) turn() {
	w.now, w.then = w.then, w.now[:0]
	clear(w.seen)
}

// match calls found with the destinations of every node that the key reaches.
// Those of two nodes may overlap.
func (n *trie) match(w *walk, key []byte, found func([]Dest)) {
	w.now, w.then = w.now[:0], w.then[:0]
	w.enter(n)
	w.turn()
	for more := len(key) > 0; more && len(w.now) > 0; {
		var word []byte
		word, key, more = bytes.Cut(key, dot)
		h := hashOf(word)
		for _, at := range w.now {
			if at.loops {
				w.enter(at)
			}
			w.enter(at.star)
			if s := at.words.slot(h, func(k *string) bool { return *k == string(word) }); s != nil {
				w.enter(s.value)
			}
		}
		w.turn()
	}
	for _, at := range w.now {
		if len(at.dests) > 0 {
			found(at.dests)
		}
	}
}

var dot = []byte{'.'}
