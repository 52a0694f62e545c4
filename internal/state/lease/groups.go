package lease

import (
	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
)

// groups is what a desk knows of message groups, if the set has them. A group is
// known while one of its records is out, or waits for another. Records that have
// no group, and all of a set without groups, are never seen here.
type groups struct {
	all map[uint64]*group
	// of says of which group a record is that is out, next the same of those that
	// are ready.
	of, next map[record.Offset]uint64
	// parked is how many records wait in all groups together.
	parked int

	// receive is the number of the receive under way, 0 if there is none: of a
	// group it may have several. same is the group that it had the last from.
	receive, received, same uint64
}

// group is the records of one key.
type group struct {
	key uint64
	// out is how many of them somebody has, or are held until later.
	out int
	// parked are those that wait for that, the first one on top.
	parked backHeap
	// ready says that the first of those that waited is to be given next: it
	// stands with those that were given back.
	ready bool
	// receive is who has what is out, if it was a receive.
	receive uint64
}

func newGroups() groups {
	return groups{all: map[uint64]*group{}, of: map[record.Offset]uint64{}, next: map[record.Offset]uint64{}}
}

func (x *groups) group(key uint64) *group {
	g := x.all[key]
	if g == nil {
		g = &group{key: key}
		x.all[key] = g
	}
	return g
}

// Receive lets what is given from now on, until EndReceive, belong to one owner,
// who may have several records of a group.
func (d *Desk) Receive() {
	d.groups.received++
	d.groups.receive = d.groups.received
}

// EndReceive ends what Receive began.
func (d *Desk) EndReceive() { d.groups.receive, d.groups.same = 0, 0 }

// Blocked reports whether a record that the desk has come to must wait for others
// of its group; the desk then looks on behind it. It is asked before the record is
// given or dies.
func (d *Desk) Blocked(w Want, f Found) bool {
	if w.Exact || !d.set.settings.Grouped {
		return false
	}
	l := &d.levels[w.Level]
	if d.set.isHeld(f.Offset) { // lent, scheduled or dying: it comes first all the same
		l.cursor = f.Offset + 1
		if _, known := d.groups.of[f.Offset]; !known {
			d.groupOut(f.Group, f.Offset)
		}
		return true
	}
	if f.Group == 0 || fault.On(fault.BreakGroup) && f.Offset%8 == 0 {
		return false
	}
	g := d.groups.group(f.Group)
	mine := g.out > 0 && g.receive != 0 && g.receive == d.groups.receive
	if (g.out == 0 || mine) && !g.ready && len(g.parked) == 0 {
		return false
	}
	l.cursor = f.Offset + 1
	d.park(g, backItem{f.Offset, true})
	return true
}

func (d *Desk) park(g *group, x backItem) {
	g.parked.add(x)
	d.groups.parked++
}

// groupOut notes that somebody has a record.
func (d *Desk) groupOut(key uint64, o record.Offset) {
	if key == 0 || !d.set.settings.Grouped {
		return
	}
	g := d.groups.group(key)
	g.out++
	g.receive = d.groups.receive
	d.groups.of[o] = key
	if d.groups.receive != 0 {
		d.groups.same = key
	}
}

// Gone tells that nobody will have a record any more: the next one of its group
// can be given.
func (d *Desk) Gone(o record.Offset) {
	if key, ok := d.groups.of[o]; ok {
		delete(d.groups.of, o)
		g := d.groups.all[key]
		g.out--
		d.advance(g)
	}
}

// groupBack takes a record back that was out, and reports whether it was. The desk
// has passed it, or will meet it.
func (d *Desk) groupBack(o record.Offset, fresh, passed bool) bool {
	key, ok := d.groups.of[o]
	if !ok {
		return false
	}
	delete(d.groups.of, o)
	g := d.groups.all[key]
	if g.out--; passed {
		d.park(g, backItem{o, fresh})
	}
	d.advance(g)
	return true
}

// advance makes the first record of a group that waits ready, if none is out. g may
// be nil.
func (d *Desk) advance(g *group) {
	switch {
	case g == nil || g.out > 0 || g.ready:
	case len(g.parked) == 0:
		delete(d.groups.all, g.key)
	default:
		x := d.unpark(g)
		g.ready = true
		d.groups.next[x.offset] = g.key
		d.levels[0].back.add(x)
		d.look(0)
	}
}

func (d *Desk) unpark(g *group) backItem {
	x := g.parked[0]
	g.parked.drop()
	d.groups.parked--
	d.look(0) // there is room to look further
	return x
}

// unready takes the mark off a record that is its group's next, and returns the
// group, nil if it is none's.
func (d *Desk) unready(o record.Offset) *group {
	key, ok := d.groups.next[o]
	if !ok {
		return nil
	}
	delete(d.groups.next, o)
	g := d.groups.all[key]
	g.ready = false
	return g
}

// sameGroup returns the next record of the group that the receive under way has
// had the last one from.
func (d *Desk) sameGroup() (Want, bool) {
	g := d.groups.all[d.groups.same]
	if d.groups.receive == 0 || g == nil {
		return Want{}, false
	}
	for len(g.parked) > 0 {
		if x := g.parked[0]; d.mayGive(x.offset) {
			return Want{Exact: true, From: x.offset, Limit: x.offset + 1, fresh: x.fresh, parked: d.groups.same}, true
		}
		d.unpark(g)
	}
	return Want{}, false
}

// drop takes the record of a Want that names it, and returns its group if it was
// the group's next.
func (d *Desk) drop(w Want) *group {
	if w.parked != 0 {
		d.unpark(d.groups.all[w.parked])
		return nil
	}
	return d.popBack(&d.levels[w.Level])
}

// purgeGroups forgets what waits: it is settled.
func (d *Desk) purgeGroups() {
	for key, g := range d.groups.all {
		g.parked, g.ready = nil, false
		if g.out == 0 {
			delete(d.groups.all, key)
		}
	}
	d.groups.parked = 0
	clear(d.groups.next)
}

// Sweep looks for records that were settled otherwise: by retention, or because
// somebody deleted them.
func (d *Desk) Sweep() {
	for o := range d.groups.of {
		if d.set.Settled(o) {
			d.Gone(o)
		}
	}
}
