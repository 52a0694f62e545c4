package crashfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// Crash returns what a crash now may leave; fs itself goes on. With no rng it
// leaves exactly what was synced. The result depends on the seed and on what
// was done to fs, and on nothing else.
func (fs *FS) Crash(rng *rand.Rand) *FS {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	c := New()
	t := tearing{rng: rng}
	if rng != nil {
		t.style = style(rng.IntN(int(styles)))
	}
	c.root = t.node(fs.root, map[*node]*node{})
	return c
}

// Kill returns what the next process finds when only this one dies: everything,
// though not all of it would survive a crash.
func (fs *FS) Kill() *FS {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	c := New()
	c.root = fs.root.clone(map[*node]*node{})
	return c
}

// style is how a crash treats what was not synced.
type style int

const (
	nothing   style = iota // survives
	all                    // of it survives
	beginning              // of every write
	end
	pieces
	mixture // of the above
	styles
)

type tearing struct {
	rng   *rand.Rand
	style style
}

// node returns what is left of a file or directory. A file keeps its identity
// under all its names.
func (t *tearing) node(n *node, seen map[*node]*node) *node {
	if c := seen[n]; c != nil {
		return c
	}
	if !n.isDir() {
		data := slices.Clone(n.synced)
		for _, w := range n.writes {
			data = t.write(w, data)
		}
		c := &node{data: data, synced: slices.Clone(data), reserved: n.reserved}
		seen[n] = c
		return c
	}
	names := maps.Clone(n.durable)
	for _, m := range n.moves[:t.moves(len(n.moves))] {
		m.apply(names)
	}
	c := newDir()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		c.names[name] = t.node(names[name], seen)
	}
	c.durable = maps.Clone(c.names)
	return c
}

// moves returns how many of n changes of a directory survive.
func (t *tearing) moves(n int) int {
	switch t.style {
	case nothing:
		return 0
	case all:
		return n
	}
	return t.rng.IntN(n + 1)
}

// write puts into data what survives of a write.
func (t *tearing) write(w write, data []byte) []byte {
	s, n := t.style, len(w.data)
	if s == mixture {
		s = style(t.rng.IntN(int(mixture)))
	}
	switch s {
	case nothing:
		return data
	case all:
		return w.apply(data, 0, n)
	case beginning:
		return w.apply(data, 0, t.rng.IntN(n+1))
	case end:
		return w.apply(data, t.rng.IntN(n+1), n)
	}
	for from := 0; from < n; {
		to := min(n, from+1+t.rng.IntN(1+t.rng.IntN(2000)))
		if t.rng.IntN(2) == 0 {
			data = w.apply(data, from, to)
		}
		from = to
	}
	return data
}

func (n *node) clone(seen map[*node]*node) *node {
	if n == nil || seen[n] != nil {
		return seen[n]
	}
	c := &node{data: slices.Clone(n.data), synced: slices.Clone(n.synced), writes: slices.Clone(n.writes), reserved: n.reserved}
	seen[n] = c
	if !n.isDir() {
		return c
	}
	c.names, c.durable = map[string]*node{}, map[string]*node{}
	for name, child := range n.names {
		c.names[name] = child.clone(seen)
	}
	for name, child := range n.durable {
		c.durable[name] = child.clone(seen)
	}
	for _, m := range n.moves {
		c.moves = append(c.moves, move{m.from, m.to, m.n.clone(seen)})
	}
	return c
}

// Damage changes what a file holds, on disk as well, and panics if there is no
// such file.
func (fs *FS) Damage(name string, change func(data []byte) []byte) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n, err := fs.find(name)
	if err != nil {
		panic(pathError("damage", name, err))
	}
	n.data = change(n.data)
	n.synced, n.writes = slices.Clone(n.data), nil
}
