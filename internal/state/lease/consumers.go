package lease

import (
	"cmp"
	"slices"
)

// Consumer is somebody who takes records from one desk. The caller fills the
// exported fields before Desk.Add and does not change them afterwards.
type Consumer struct {
	Holder *Holder
	// Exclusive consumers are alone.
	Exclusive bool
	// NoAck settles what is given at once.
	NoAck bool
	// Priority: a higher one is served first.
	Priority int32
	// User is the caller's.
	User any

	credit    int64
	unlimited bool
	class     *class // nil if it is not at the desk
	waiting   bool   // it stands in its class's line
	prev      *Consumer
	next      *Consumer
}

// Holder is who leases belong to: one session at one desk.
type Holder struct {
	// User is the caller's.
	User any

	first     int32 // the newest lease plus 1, 0 if none
	leases    int
	consumers []*Consumer
}

// Leases returns how many leases it has.
func (h *Holder) Leases() int { return h.leases }

// class is the consumers of one priority. Those with credit stand in line: who
// has been served goes to its end.
type class struct {
	priority    int32
	first, last *Consumer
	members     int
}

func (c *class) push(x *Consumer) {
	x.prev, x.next, x.waiting = c.last, nil, true
	if c.last != nil {
		c.last.next = x
	} else {
		c.first = x
	}
	c.last = x
}

func (c *class) remove(x *Consumer) {
	if !x.waiting {
		return
	}
	if x.prev != nil {
		x.prev.next = x.next
	} else {
		c.first = x.next
	}
	if x.next != nil {
		x.next.prev = x.prev
	} else {
		c.last = x.prev
	}
	x.prev, x.next, x.waiting = nil, nil, false
}

// consumers is who takes records from a desk.
type consumers struct {
	all     []*Consumer // in the order they came
	classes []*class    // the highest priority first
	// single lets only the first of them have records.
	single bool
}

func (c *consumers) classOf(priority int32) *class {
	i, ok := slices.BinarySearchFunc(c.classes, priority, func(k *class, p int32) int { return cmp.Compare(p, k.priority) })
	if !ok {
		c.classes = slices.Insert(c.classes, i, &class{priority: priority})
	}
	return c.classes[i]
}

// add takes a consumer in; ErrExclusive.
func (c *consumers) add(x *Consumer, credit int64) error {
	if len(c.all) > 0 && (x.Exclusive || c.all[0].Exclusive) {
		return ErrExclusive
	}
	x.class = c.classOf(x.Priority)
	x.class.members++
	c.all = append(c.all, x)
	x.Holder.consumers = append(x.Holder.consumers, x)
	c.limit(x, credit)
	return nil
}

// remove takes a consumer out, and makes the next one active if it was.
func (c *consumers) remove(x *Consumer) {
	if x.class == nil {
		return
	}
	x.class.remove(x)
	if x.class.members--; x.class.members == 0 {
		c.classes = slices.DeleteFunc(c.classes, func(k *class) bool { return k == x.class })
	}
	x.class = nil
	c.all = slices.DeleteFunc(c.all, func(y *Consumer) bool { return y == x })
	x.Holder.consumers = slices.DeleteFunc(x.Holder.consumers, func(y *Consumer) bool { return y == x })
	if c.single && len(c.all) > 0 {
		c.queue(c.all[0])
	}
}

// limit replaces the credit of x; negative is any.
func (c *consumers) limit(x *Consumer, n int64) {
	x.credit, x.unlimited = n, n < 0
	c.queue(x)
}

func (c *consumers) grant(x *Consumer, n int64) {
	x.credit += n
	c.queue(x)
}

// queue puts x in line, or takes it out, as its credit says.
func (c *consumers) queue(x *Consumer) {
	may := x.class != nil && (x.unlimited || x.credit > 0) && (!c.single || c.all[0] == x)
	switch {
	case may && !x.waiting:
		x.class.push(x)
	case !may && x.waiting:
		x.class.remove(x)
	}
}

// pick returns who is to be served next, nil if nobody is.
func (c *consumers) pick() *Consumer {
	for _, k := range c.classes {
		if k.first != nil {
			return k.first
		}
	}
	return nil
}

// served takes one credit of x and sends it to the end of the line.
func (c *consumers) served(x *Consumer) {
	if !x.unlimited {
		x.credit--
	}
	x.class.remove(x)
	c.queue(x)
}
