package sim

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/store"
	"github.com/polylog-mq/polylog/internal/store/wal"
)

// begin makes the cluster, its clients and the plan of its faults.
func (w *world) begin() error {
	w.note("%v", w.o)
	for i := range w.o.Nodes {
		w.nodes = append(w.nodes, &node{w: w, id: record.NodeID(i + 1), disk: newDisk()})
	}
	w.newest = record.NodeID(w.o.Nodes)
	if err := w.makeGenesis(); err != nil {
		return fmt.Errorf("beginning a cluster: %w", err)
	}
	for _, n := range w.nodes {
		if err := n.start(); err != nil {
			return err
		}
	}
	w.every(2*time.Second, w.balanceShards)
	w.every(time.Second, w.housekeeping)
	if w.variant.cast == nil {
		w.variant.cast = w.makeActors
	}
	w.variant.cast()
	w.schedule()
	if w.o.Grows {
		w.after(around(w.faults, 30*time.Second), w.grow)
	}
	return nil
}

// every runs f again and again, until the end of the run.
func (w *world) every(d time.Duration, f func()) {
	w.after(d, func() {
		f()
		w.every(d, f)
	})
}

// makeGenesis takes the first state of a cluster from a node that begins one
// alone.
func (w *world) makeGenesis() error {
	s, err := store.Open(store.Options{FS: newDisk(), Dir: "data", WALFileSize: w.o.WALFile, Salt: w.seeded(), Clock: w.clock})
	if err != nil {
		return err
	}
	defer s.Close() //nolint:errcheck // nothing of it is used any more
	h := replica.New(replica.Options{Node: 1, Store: s, Clock: w.clock, Loops: 1})
	b, err := broker.Open(broker.Options{Node: 1, Store: s, Host: h, Clock: w.clock, Rand: w.seeded(), Logger: slog.New(slog.DiscardHandler), Shards: w.o.Shards})
	if err != nil {
		return err
	}
	defer h.Close()
	w.meta.Cluster = b.ClusterID()
	for g := range record.ShardID(w.o.Shards + 1) {
		cut := store.GroupCut{Group: g}
		err := s.LoadPages(g, func(k, v []byte) error {
			cut.Pages = append(cut.Pages, store.Page{Key: append([]byte(nil), k...), Value: append([]byte(nil), v...)})
			return nil
		})
		if err != nil {
			return err
		}
		w.genesis = append(w.genesis, cut)
	}
	return nil
}

// bootstrap makes the node a member of the cluster as it began.
func (n *node) bootstrap() error {
	var voters []record.NodeID
	for i := range n.w.o.Nodes {
		voters = append(voters, record.NodeID(i+1))
	}
	var cuts []store.GroupCut
	for _, g := range n.w.genesis {
		cut, err := replica.Bootstrap(g.Group, voters...)
		if err != nil {
			return err
		}
		cut.Pages = g.Pages
		cuts = append(cuts, cut)
	}
	return n.store.Bootstrap(store.Meta{Cluster: n.w.meta.Cluster, Node: n.id}, cuts)
}

// alive calls f for every node that is up.
func (w *world) alive(f func(n *node)) {
	for _, n := range w.nodes {
		if !n.down {
			f(n)
		}
	}
}

// leader returns the node that leads a group in the highest term, nil if none
// says so.
func (w *world) leader(g record.ShardID) *node {
	var found *node
	var newest record.Term
	w.alive(func(n *node) {
		grp := n.host.Group(g)
		if grp == nil || !grp.IsLeader() {
			return
		}
		if _, term := grp.Leader(); found == nil || term > newest {
			found, newest = n, term
		}
	})
	return found
}

// balanceShards brings the leaders of the shards to where the metadata group is
// led. Definitions travel from there to the shards of the same node only, until
// nodes have a way to hand commands on.
func (w *world) balanceShards() {
	at := w.leader(record.MetadataShard)
	if at == nil {
		return
	}
	for g := range record.ShardID(w.o.Shards + 1) {
		if n := w.leader(g); n != nil && n != at && w.faults.IntN(2) == 0 {
			n.host.Group(g).TransferLeader(at.id)
			n.touch()
		}
	}
}

// housekeeping is the background work of the stores.
func (w *world) housekeeping() {
	w.alive(func(n *node) {
		if n.paused {
			return
		}
		n.store.LookAtDisk()
		for n.store.ReadAhead() {
		}
		for n.store.Fill() {
		}
		if _, err := n.store.Rewrite(64 << 10); err != nil && !n.excused && !n.damaged && n.disk.capacity == 0 {
			w.fail("node %d cannot rewrite: %v", n.id, err)
		}
		n.touch()
		for g := range record.ShardID(w.o.Shards + 1) {
			if grp := n.host.Group(g); grp != nil {
				_, t := grp.Leader()
				w.cover.sawTerm(g, t)
			}
		}
	})
}

func isDamage(err error) bool {
	var c *wal.CorruptionError
	return errors.Is(err, store.ErrDamaged) || errors.As(err, &c)
}

// heal ends all faults: every node that can run does, on a healthy disk, in a
// network that loses nothing.
func (w *world) heal() {
	w.calm, w.loss = true, 0
	clear(w.cut)
	for _, n := range w.nodes {
		n.slow, n.cutOpening, n.badOpening = 0, 0, 0
		n.disk.capacity = 0
		n.disk.before = nil
		n.resume()
		n.restart()
		n.touch()
	}
	for _, a := range w.actors {
		a.finish()
	}
}

// actor is a client.
type actor interface {
	// begin lets it work.
	begin()
	// finish lets it bring to an end what it has under way, and begin nothing
	// more.
	finish()
	// busy says what it still waits for, "" for nothing.
	busy() string
}

// atRest reports whether, after healing, everybody is answered and the nodes
// agree.
func (w *world) atRest() bool { return w.restless() == "" }

func (w *world) restless() string {
	for _, a := range w.actors {
		if what := a.busy(); what != "" {
			return what
		}
	}
	if w.replacing != nil {
		return fmt.Sprintf("node %d has not taken its place", w.replacing.new)
	}
	if w.growing != nil {
		return w.growing.String()
	}
	for g := range record.ShardID(w.o.Shards + 1) {
		if w.leader(g) == nil {
			return fmt.Sprintf("group %d has no leader", g)
		}
		low, high := ^record.Index(0), record.Index(0)
		w.alive(func(n *node) {
			if grp := n.host.Group(g); grp != nil {
				low, high = min(low, grp.Applied()), max(high, grp.Applied())
			}
		})
		if low != high {
			return fmt.Sprintf("group %d is at %d on one node and at %d on another", g, low, high)
		}
	}
	return w.undecided()
}

// undecided says where a transaction is open. Its producer may have been answered:
// a decision that takes long is answered once it stands.
func (w *world) undecided() (where string) {
	w.alive(func(n *node) {
		for t := range n.broker.Topics() {
			for _, p := range t.Partitions {
				if s := p.LastStable(); s != p.HighWatermark() {
					where = fmt.Sprintf("a transaction is open in %s/%d from %d on", t.Name, p.Number(), s)
				}
			}
		}
	})
	return where
}

// call is something asked of a node by a client.
type call struct {
	w    *world
	p    *process
	over bool
	lost func()
}

// wayTime is how long a request or an answer travels.
const wayTime = time.Millisecond

// ask sends a request to a node: do runs there and answers by calling reply
// with what to run at the client. If no answer comes in time, or the node goes
// down, lost runs instead: the outcome is unknown.
func (w *world) ask(n *node, timeout time.Duration, do func(b *broker.Broker, reply func(func())), lost func()) {
	c := &call{w: w, lost: lost}
	// The way takes as long for every request, so that those of one client
	// arrive in order, as on a connection.
	w.after(wayTime, func() {
		if n == nil || n.down || c.over {
			w.after(upTo(w.clients, 20*time.Millisecond), c.lose)
			return
		}
		c.p = n.process
		c.p.calls = append(c.p.calls, c)
		c.p.run(func() {
			do(c.p.broker, func(f func()) {
				if !c.over && !c.p.over() {
					w.after(wayTime, func() { c.answer(f) })
				}
			})
		})
	})
	w.after(cmp.Or(timeout, 3*time.Second), c.lose)
}

func (c *call) answer(f func()) {
	if c.over || c.p.over() {
		return
	}
	c.end()
	f()
}

func (c *call) lose() {
	if !c.over {
		c.end()
		c.lost()
	}
}

func (c *call) end() {
	c.over = true
	if c.p == nil {
		return
	}
	for i, o := range c.p.calls {
		if o == c {
			c.p.calls = append(c.p.calls[:i], c.p.calls[i+1:]...)
			return
		}
	}
}
