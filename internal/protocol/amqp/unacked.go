package amqp

import (
	"github.com/polylog-mq/polylog/internal/broker"
)

// unacked keeps the deliveries of a channel that are not acknowledged. Delivery
// tags are dense: a delivery's place is its tag less the base.
type unacked struct {
	base uint64     // tag of ring[0]
	ring []delivery // those from base on; a settled one has no consumer and is not live
	live int
	// keep says that settled ones are to keep their places, since a transaction
	// may bring them back.
	keep bool
}

// delivery is one of them.
type delivery struct {
	lease broker.LeaseID
	// consumer is who it was delivered to, nil for basic.get.
	consumer *consumer
	live     bool
}

// next returns the tag that the next delivery gets.
func (u *unacked) next() uint64 {
	if u.base == 0 {
		u.base = 1
	}
	return u.base + uint64(len(u.ring))
}

// add appends a delivery and returns its tag. One that is not live needs no
// acknowledgement.
func (u *unacked) add(d delivery) (tag uint64) {
	tag = u.next()
	if !d.live && len(u.ring) == 0 {
		u.base++
		return tag
	}
	u.ring = append(u.ring, d)
	if d.live {
		u.live++
	}
	return tag
}

// take removes the delivery tag, or all up to it, and calls fn for each, in
// order. It reports whether there was one. Tag 0 with multiple is all there are,
// of which there may be none.
func (u *unacked) take(tag uint64, multiple bool, fn func(tag uint64, d delivery)) bool {
	switch {
	case tag == 0 && !multiple:
		return false
	case tag == 0 && u.live == 0:
		return true
	case tag == 0:
		tag = u.next() - 1
	case tag < u.base || tag >= u.next() || !u.ring[tag-u.base].live:
		return false
	}
	at := int(tag - u.base)
	from := at
	if multiple {
		from = 0
	}
	for i := from; i <= at; i++ {
		if d := u.ring[i]; d.live {
			u.ring[i] = delivery{}
			u.live--
			fn(u.base+uint64(i), d)
		}
	}
	u.trim()
	return true
}

// restore brings back a delivery that was taken while keep was set.
func (u *unacked) restore(tag uint64, d delivery) {
	u.ring[tag-u.base] = d
	u.live++
}

// trim forgets the settled ones at the front.
func (u *unacked) trim() {
	if u.keep {
		return
	}
	n := 0
	for n < len(u.ring) && !u.ring[n].live {
		n++
	}
	u.base += uint64(n)
	if n == len(u.ring) {
		u.ring = u.ring[:0]
		return
	}
	u.ring = u.ring[n:]
}
