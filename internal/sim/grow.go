package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
)

// growth takes a cluster of one node to three and back to one, while clients work
// and faults happen. Who is alone leads without Raft, and with it again as soon as
// others come (internal/replica/alone.go).
type growth struct {
	w *world
	// id is the node that joins, or that leaves.
	id      record.NodeID
	leaving bool
	// settled lists the groups in which it has.
	settled map[record.ShardID]bool
}

// grownSize is how many nodes there are at most.
const grownSize = 3

// grow begins to let a cluster grow.
func (w *world) grow() {
	if w.calm {
		return // too late to shrink again
	}
	w.growing = &growth{w: w}
	w.growing.join()
}

// join starts a node that is in no group yet.
func (r *growth) join() {
	w := r.w
	w.newest++
	n := &node{w: w, id: w.newest, disk: newDisk()}
	w.nodes = append(w.nodes, n)
	w.note("node %d joins", n.id)
	if err := n.start(); err != nil {
		w.fail("%v", err)
		return
	}
	r.id, r.settled = n.id, map[record.ShardID]bool{}
	w.after(200*time.Millisecond, r.step)
}

// leave begins to let one of the nodes go.
func (r *growth) leave() {
	r.id, r.leaving, r.settled = r.w.nodes[r.w.faults.IntN(len(r.w.nodes))].id, true, map[record.ShardID]bool{}
	r.w.note("node %d is to leave", r.id)
	r.step()
}

// step does what is next in every group.
func (r *growth) step() {
	w, done := r.w, true
	for g := range record.ShardID(w.o.Shards + 1) {
		if n := w.leader(g); n != nil && !n.paused && !r.settled[g] {
			r.change(n.host.Group(g))
			n.touch()
		}
		done = done && r.settled[g]
	}
	switch {
	case !done:
		w.after(500*time.Millisecond, r.step)
	case r.leaving:
		r.gone()
	case len(w.nodes) < grownSize:
		r.join()
	default:
		w.after(around(w.faults, 20*time.Second), r.leave)
	}
}

// change asks a group's leader for the next change. A refusal means that it is
// asked again.
func (r *growth) change(g *replica.Group) {
	voters, learners := g.Members()
	answer := func(error) {}
	switch {
	case r.leaving:
		settled := r.settled
		g.Remove(r.id, func(err error) { settled[g.ID()] = settled[g.ID()] || err == nil })
	case slices.Contains(voters, r.id):
		r.settled[g.ID()] = true
	case slices.Contains(learners, r.id):
		g.Promote(r.id, answer)
	default:
		g.AddLearner(r.id, answer)
	}
}

// gone takes away a node that is in no group any more.
func (r *growth) gone() {
	w, n := r.w, r.w.node(r.id)
	n.powerOff()
	n.lost = "it has left"
	w.nodes = slices.DeleteFunc(w.nodes, func(o *node) bool { return o == n })
	w.note("node %d has left", n.id)
	if len(w.nodes) > 1 {
		r.leave()
		return
	}
	w.cover.Growths++
	w.growing = nil
}

func (r *growth) String() string {
	if r.leaving {
		return fmt.Sprintf("node %d has not left", r.id)
	}
	return fmt.Sprintf("node %d has not joined", r.id)
}
