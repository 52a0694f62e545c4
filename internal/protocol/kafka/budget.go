package kafka

import "sync/atomic"

// budget counts bytes against maxOutbound. It never refuses: what is asked for
// beyond it is cut down to minOutbound.
type budget struct{ used atomic.Int64 }

// grant counts as many of the wanted bytes as it gives.
func (b *budget) grant(want int) int {
	left := maxOutbound - b.used.Load()
	n := min(want, max(int(left), minOutbound))
	b.add(n)
	return n
}

// add counts n more bytes, or, if n is negative, fewer.
func (b *budget) add(n int) { b.used.Add(int64(n)) }
