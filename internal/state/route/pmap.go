package route

import (
	"math/bits"
	"slices"
)

// pmap is a persistent map: put and del return a new map that shares all but one
// path with the old one, which stays as it was. The zero value is empty. It is a
// hash array mapped trie, 32 ways per level. Hashes are handed in, so that a
// lookup by bytes makes no string.
type pmap[K comparable, V any] struct {
	root *pnode[K, V]
	size int
}

// pnode is a level: slots in the order of the bits of the bitmap. Below the last
// level, where hashes have no more bits, it is a plain list.
type pnode[K comparable, V any] struct {
	bitmap uint32
	slots  []pslot[K, V]
}

// pslot is an entry, or the level below if sub is not nil.
type pslot[K comparable, V any] struct {
	sub   *pnode[K, V]
	hash  uint64
	key   K
	value V
}

const (
	levelBits = 5
	lastShift = 60 // the last level has 4 bits
)

// hashOf is FNV-1a, with its upper bits folded into the lower ones that the
// first levels look at. It orders nothing that is logged or shown.
func hashOf[T ~string | ~[]byte](key T) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	return h ^ h>>32
}

// hashOfID spreads consecutive numbers.
func hashOfID(id ID) uint64 {
	h := uint64(id) * 0x9e3779b97f4a7c15
	return h ^ h>>32
}

func (n *pnode[K, V]) at(hash uint64, shift uint) (bit uint32, i int) {
	bit = 1 << (hash >> shift & (1<<levelBits - 1))
	return bit, bits.OnesCount32(n.bitmap & (bit - 1))
}

// slot returns the entry of a hash for which is says yes, nil if there is none.
func (m pmap[K, V]) slot(hash uint64, is func(*K) bool) *pslot[K, V] {
	n := m.root
	for shift := uint(0); n != nil; shift += levelBits {
		if shift > lastShift {
			for i := range n.slots {
				if is(&n.slots[i].key) {
					return &n.slots[i]
				}
			}
			return nil
		}
		bit, i := n.at(hash, shift)
		if n.bitmap&bit == 0 {
			return nil
		}
		s := &n.slots[i]
		if s.sub == nil {
			if s.hash == hash && is(&s.key) {
				return s
			}
			return nil
		}
		n = s.sub
	}
	return nil
}

func (m pmap[K, V]) get(hash uint64, key K) (v V, ok bool) {
	if s := m.slot(hash, func(k *K) bool { return *k == key }); s != nil {
		return s.value, true
	}
	return v, false
}

// find is get in a map of strings by bytes.
func find[V any](m pmap[string, V], key []byte) (v V, ok bool) {
	if s := m.slot(hashOf(key), func(k *string) bool { return *k == string(key) }); s != nil {
		return s.value, true
	}
	return v, false
}

func (m pmap[K, V]) put(hash uint64, key K, v V) pmap[K, V] {
	root, added := m.root.put(pslot[K, V]{hash: hash, key: key, value: v}, 0)
	if added {
		m.size++
	}
	m.root = root
	return m
}

func (n *pnode[K, V]) put(e pslot[K, V], shift uint) (_ *pnode[K, V], added bool) {
	if n == nil {
		n = &pnode[K, V]{}
	}
	if shift > lastShift {
		i := slices.IndexFunc(n.slots, func(s pslot[K, V]) bool { return s.key == e.key })
		if i < 0 {
			return &pnode[K, V]{slots: append(slices.Clone(n.slots), e)}, true
		}
		return n.with(i, e), false
	}
	bit, i := n.at(e.hash, shift)
	if n.bitmap&bit == 0 {
		return &pnode[K, V]{n.bitmap | bit, slices.Insert(slices.Clone(n.slots), i, e)}, true
	}
	old := n.slots[i]
	if old.sub == nil {
		if old.hash == e.hash && old.key == e.key {
			return n.with(i, e), false
		}
		sub, _ := (*pnode[K, V])(nil).put(old, shift+levelBits)
		sub, _ = sub.put(e, shift+levelBits)
		return n.with(i, pslot[K, V]{sub: sub}), true
	}
	sub, added := old.sub.put(e, shift+levelBits)
	return n.with(i, pslot[K, V]{sub: sub}), added
}

// with returns the level with another slot i.
func (n *pnode[K, V]) with(i int, s pslot[K, V]) *pnode[K, V] {
	next := &pnode[K, V]{n.bitmap, slices.Clone(n.slots)}
	next.slots[i] = s
	return next
}

func (m pmap[K, V]) del(hash uint64, key K) pmap[K, V] {
	if _, ok := m.get(hash, key); !ok {
		return m
	}
	return pmap[K, V]{m.root.del(hash, key, 0), m.size - 1}
}

// del takes out an entry that is there; nil if nothing is left.
func (n *pnode[K, V]) del(hash uint64, key K, shift uint) *pnode[K, V] {
	if shift > lastShift {
		i := slices.IndexFunc(n.slots, func(s pslot[K, V]) bool { return s.key == key })
		return n.without(0, i)
	}
	bit, i := n.at(hash, shift)
	if n.slots[i].sub != nil {
		switch sub := n.slots[i].sub.del(hash, key, shift+levelBits); {
		case sub == nil:
		case len(sub.slots) == 1 && sub.slots[0].sub == nil: // it need not be that deep
			return n.with(i, sub.slots[0])
		default:
			return n.with(i, pslot[K, V]{sub: sub})
		}
	}
	return n.without(bit, i)
}

func (n *pnode[K, V]) without(bit uint32, i int) *pnode[K, V] {
	if len(n.slots) == 1 {
		return nil
	}
	return &pnode[K, V]{n.bitmap &^ bit, slices.Delete(slices.Clone(n.slots), i, i+1)}
}

// all iterates in an order that depends on the hashes alone.
func (m pmap[K, V]) all() func(yield func(K, V) bool) {
	return func(yield func(K, V) bool) { m.root.all(yield) }
}

func (n *pnode[K, V]) all(yield func(K, V) bool) bool {
	if n == nil {
		return true
	}
	for i := range n.slots {
		s := &n.slots[i]
		if s.sub != nil {
			if !s.sub.all(yield) {
				return false
			}
		} else if !yield(s.key, s.value) {
			return false
		}
	}
	return true
}
