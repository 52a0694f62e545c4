package lease

import (
	"container/heap"
	"slices"

	"github.com/polylog-mq/polylog/internal/record"
)

// lease is one record in somebody's hands. Leases lie in a table whose places
// are used again; the number tells an old id from the present one.
type lease struct {
	offset     record.Offset
	holder     *Holder // nil: the place is free
	number     uint64
	prev, next int32 // of the holder's leases, as index plus 1; next also links free places
	size       int32
	level      uint8
}

// placeBits is how many bits of a lease's number tell its place in the table.
const placeBits = 24

// leases is the table.
type leases struct {
	table []lease
	free  int32 // the first free place plus 1
	count int64
	given uint64
}

// full reports whether no lease more can be given.
func (t *leases) full() bool { return t.free == 0 && len(t.table) == 1<<placeBits-1 }

// number returns one for a loan, which has no place in the table.
func (t *leases) number() uint64 {
	t.given++
	return t.given << placeBits
}

func (t *leases) add(h *Holder, o record.Offset, level uint8, size int32) uint64 {
	at := t.free
	if at == 0 {
		t.table = append(t.table, lease{})
		at = int32(len(t.table))
	} else {
		t.free = t.table[at-1].next
	}
	t.given++
	l := &t.table[at-1]
	*l = lease{offset: o, holder: h, number: t.given<<placeBits | uint64(at), next: h.first, size: size, level: level}
	if h.first != 0 {
		t.table[h.first-1].prev = at
	}
	h.first = at
	h.leases++
	t.count++
	return l.number
}

// find returns the place plus 1 of a lease with this number; 0 if it has ended or
// is another's.
func (t *leases) find(h *Holder, number uint64) int32 {
	at := int32(number & (1<<placeBits - 1))
	if at == 0 || int(at) > len(t.table) {
		return 0
	}
	if l := &t.table[at-1]; l.holder != h || l.number != number {
		return 0
	}
	return at
}

// remove ends a lease and returns what it was.
func (t *leases) remove(at int32) lease {
	l := &t.table[at-1]
	was := *l
	if l.prev != 0 {
		t.table[l.prev-1].next = l.next
	} else {
		l.holder.first = l.next
	}
	if l.next != 0 {
		t.table[l.next-1].prev = l.prev
	}
	l.holder.leases--
	l.holder, l.prev, l.next = nil, 0, t.free
	t.free = at
	t.count--
	if t.count == 0 && len(t.table) > shrinkLeases {
		t.table, t.free = nil, 0
	}
	return was
}

// upTo returns, each once, the holders of leases that were among the first n.
func (t *leases) upTo(n uint64) (holders []*Holder) {
	for i := range t.table {
		l := &t.table[i]
		if l.holder != nil && l.number>>placeBits <= n && !slices.Contains(holders, l.holder) {
			holders = append(holders, l.holder)
		}
	}
	return holders
}

// sorted returns the offsets that are leased, ascending.
func (t *leases) sorted() []record.Offset {
	list := make([]record.Offset, 0, t.count)
	for i := range t.table {
		if t.table[i].holder != nil {
			list = append(list, t.table[i].offset)
		}
	}
	slices.Sort(list)
	return list
}

// backItem is a record that was given back, or freed without having been given
// before.
type backItem struct {
	offset record.Offset
	fresh  bool
}

// backHeap has the record with the lowest offset on top.
type backHeap []backItem

func (h backHeap) Len() int           { return len(h) }
func (h backHeap) Less(i, j int) bool { return h[i].offset < h[j].offset }
func (h backHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *backHeap) Push(x any) { *h = append(*h, x.(backItem)) }

// Pop implements heap.Interface.
func (h *backHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

func (h *backHeap) add(x backItem) { heap.Push(h, x) }
func (h *backHeap) drop()          { heap.Pop(h) }
