// Package due keeps things in the order in which they come due, and finds each
// of them again when it is moved or taken out: an implicit heap whose items
// know their place in it.
//
// Nothing in it is random and ties are the item's own to break, so that pure
// state and the simulator can depend on its order. It is not safe for use by
// several goroutines.
package due

import "container/heap"

// Place is where an item stands in a Queue. An item embeds one; its zero value
// stands in none. An item that is to stand in several queues needs one for
// each, and so a type for each.
type Place struct{ at int } // 1 is the first, 0 is none

// Queued reports whether the item stands in a queue.
func (p *Place) Queued() bool { return p.at > 0 }

func (p *Place) place() *Place { return p }

// Item is a pointer to what embeds a Place and knows its order.
type Item[T any] interface {
	// Before reports whether the item comes due before another one. No two
	// items of a queue may be equal in this order.
	Before(T) bool
	place() *Place
}

// Queue is items in their order. Its zero value is empty and ready.
type Queue[T Item[T]] struct{ items items[T] }

// Len returns how many items there are.
func (q *Queue[T]) Len() int { return len(q.items) }

// First returns the item that comes due first, of a queue that is not empty.
func (q *Queue[T]) First() T { return q.items[0] }

// All returns the items in no order that means anything, until the next change.
func (q *Queue[T]) All() []T { return q.items }

// Has reports whether x stands in this queue.
func (q *Queue[T]) Has(x T) bool {
	at := x.place().at
	return at > 0 && at <= len(q.items) && q.items[at-1].place() == x.place()
}

// Set puts x where it belongs: it is new, or what its order depends on has
// changed. It takes logarithmic time.
func (q *Queue[T]) Set(x T) {
	if at := x.place().at; at > 0 {
		heap.Fix(&q.items, at-1)
		return
	}
	heap.Push(&q.items, x)
}

// Remove takes x out if it stands in the queue. It takes logarithmic time.
func (q *Queue[T]) Remove(x T) {
	if at := x.place().at; at > 0 {
		heap.Remove(&q.items, at-1)
	}
}

// Clear takes all items out and keeps the memory for them.
func (q *Queue[T]) Clear() {
	for _, x := range q.items {
		x.place().at = 0
	}
	clear(q.items)
	q.items = q.items[:0]
}

// items is what container/heap orders.
type items[T Item[T]] []T

func (h items[T]) Len() int           { return len(h) }
func (h items[T]) Less(i, j int) bool { return h[i].Before(h[j]) }

func (h items[T]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place().at, h[j].place().at = i+1, j+1
}

// Push implements heap.Interface.
func (h *items[T]) Push(x any) {
	item := x.(T)
	*h = append(*h, item)
	item.place().at = len(*h)
}

// Pop implements heap.Interface.
func (h *items[T]) Pop() any {
	last := len(*h) - 1
	item := (*h)[last]
	clear((*h)[last:])
	*h = (*h)[:last]
	item.place().at = 0
	return item
}
