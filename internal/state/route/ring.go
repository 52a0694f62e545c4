package route

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// ring is a consistent hash: every binding has points on a circle in proportion
// to its weight, and a key belongs to the first point at or after its hash. So a
// binding that comes or goes moves only the keys that are or were its own.
type ring []point

type point struct {
	at      uint64
	binding uint64 // its number, which tells equal points apart
	dest    Dest
}

func (p point) compare(o point) int {
	return cmp.Or(cmp.Compare(p.at, o.at), cmp.Compare(p.binding, o.binding))
}

// points lists those of a binding. They depend on where it leads, not on when
// it was made, so that unbinding and binding again changes nothing.
func points(b *Binding) ring {
	r := make(ring, 0, b.weight*pointsPerWeight)
	var seed [24]byte
	binary.BigEndian.PutUint64(seed[:], uint64(b.Dest.Topic))
	binary.BigEndian.PutUint64(seed[8:], uint64(b.Dest.Exchange))
	for i := range b.weight * pointsPerWeight {
		binary.BigEndian.PutUint64(seed[16:], uint64(i))
		r = append(r, point{spread(hashOf(seed[:])), b.Number, b.Dest})
	}
	return r
}

// spread makes hashes of similar keys dissimilar in every bit (the finalizer of
// MurmurHash3).
func spread(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

func (r ring) add(b *Binding) ring {
	next := slices.Concat(r, points(b))
	slices.SortFunc(next, point.compare)
	return next
}

func (r ring) remove(b *Binding) ring {
	return slices.DeleteFunc(slices.Clone(r), func(p point) bool { return p.binding == b.Number })
}

// of returns where a key belongs; false if nothing is bound.
func (r ring) of(key []byte) (Dest, bool) {
	if len(r) == 0 {
		return Dest{}, false
	}
	h := spread(hashOf(key))
	i, _ := slices.BinarySearchFunc(r, h, func(p point, h uint64) int { return cmp.Compare(p.at, h) })
	return r[i%len(r)].dest, true
}
