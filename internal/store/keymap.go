package store

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
)

// keyMap knows the last offset of each of a bounded number of keys. It keeps 16
// bytes of a key's SHA-256 in place of the key, so that its size is fixed before
// the first key comes and nobody can make two keys look alike; among 10^9 keys
// the odds that any two do are below 10^-20.
type keyMap struct {
	slots []keySlot
	used  int
	max   int
}

// keySlot is a key's digest and its last offset plus one; 0: free.
type keySlot struct {
	hi, lo uint64
	at     int64
}

// slotBytes is the size of a keySlot.
const slotBytes = 24

// reset empties the map and makes room for keys, but for no more than fit into
// limit bytes.
func (m *keyMap) reset(keys, limit int64) {
	n := max(min(keys+keys/(freeSlots-1)+freeSlots, limit/slotBytes), 2)
	if int64(cap(m.slots)) < n {
		m.slots = make([]keySlot, n)
	} else {
		m.slots = m.slots[:n]
		clear(m.slots)
	}
	m.used, m.max = 0, int(keysIn(n*slotBytes))
}

// keysIn returns how many keys fit into so many bytes.
func keysIn(bytes int64) int64 {
	n := max(bytes/slotBytes, 2)
	return max(n-n/freeSlots-1, 1)
}

// digest returns what stands for a key.
func digest(key []byte) (hi, lo uint64) {
	sum := sha256.Sum256(key)
	return binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])
}

// slot returns the place of a key: where it is, or the free one where it
// belongs.
func (m *keyMap) slot(hi, lo uint64) *keySlot {
	i, _ := bits.Mul64(hi, uint64(len(m.slots)))
	for {
		s := &m.slots[i]
		if s.at == 0 || s.hi == hi && s.lo == lo {
			return s
		}
		if i++; i == uint64(len(m.slots)) {
			i = 0
		}
	}
}

// put notes that a key has a record at an offset above those noted before. It
// reports false if the key is new and does not fit.
func (m *keyMap) put(key []byte, o record.Offset) bool {
	hi, lo := digest(key)
	s := m.slot(hi, lo)
	switch {
	case s.at == 0 && m.used == m.max:
		return false
	case s.at == 0:
		m.used++
		s.hi, s.lo = hi, lo
	case fault.On(fault.CompactDropsLatest):
		return true
	}
	s.at = int64(o) + 1
	return true
}

// superseded reports whether a key has a record above an offset.
func (m *keyMap) superseded(key []byte, o record.Offset) bool {
	at := m.slot(digest(key)).at
	if fault.On(fault.CompactDropsLatest) && at != 0 {
		return at != int64(o)+1
	}
	return at > int64(o)+1
}
