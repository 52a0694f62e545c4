package sim

import (
	"slices"
	"time"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
)

// replacement is a node that comes in the place of another, which never comes
// back: under a new id, with an empty disk.
type replacement struct {
	w        *world
	old, new record.NodeID
	// removed lists the groups that have said that the old one is.
	removed map[record.ShardID]bool
}

// replace ends a node for good and begins to put another in its place. There is
// one replacement at a time, and nobody else may be lost, or about to be.
func (w *world) replace(old *node, why string) bool {
	if w.replacing != nil || len(w.nodes) == 1 {
		return false
	}
	for _, o := range w.nodes {
		if o != old && (o.lost != "" || o.damaged) {
			return false
		}
	}
	old.powerOff()
	old.lost = why
	w.newest++
	n := &node{w: w, id: w.newest, disk: newDisk()}
	w.nodes[slices.Index(w.nodes, old)] = n
	w.note("node %d is replaced by node %d: %s", old.id, n.id, why)
	if err := n.start(); err != nil {
		w.fail("%v", err)
		return true
	}
	w.replacing = &replacement{w, old.id, n.id, map[record.ShardID]bool{}}
	w.after(200*time.Millisecond, w.replacing.step)
	return true
}

// step does what is next in every group: the newcomer becomes a learner, then a
// voter, and then the lost member is removed.
func (r *replacement) step() {
	w, done := r.w, true
	for g := range record.ShardID(w.o.Shards + 1) {
		if r.removed[g] {
			continue
		}
		n := w.leader(g)
		if n == nil || n.paused {
			done = false
			continue
		}
		r.change(n.host.Group(g))
		n.touch()
		done = r.removed[g] && done
	}
	if done {
		w.note("node %d has replaced node %d", r.new, r.old)
		w.cover.Replacements++
		w.replacing = nil
		return
	}
	w.after(500*time.Millisecond, r.step)
}

// change asks a group's leader for the next change. A refusal means that it is
// asked again, and only an answer that the old member is removed ends it.
func (r *replacement) change(g *replica.Group) {
	voters, learners := g.Members()
	answer := func(error) {}
	switch {
	case slices.Contains(learners, r.new):
		g.Promote(r.new, answer)
	case !slices.Contains(voters, r.new):
		g.AddLearner(r.new, answer)
	default:
		g.Remove(r.old, func(err error) { r.removed[g.ID()] = r.removed[g.ID()] || err == nil })
	}
}
