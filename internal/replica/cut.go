package replica

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// A checkpoint is taken when the log has grown enough. Each loop cuts its
// groups one after another: a group's state is frozen, and its pages are
// encoded a slice at a time between other work. When all loops are done, one
// piece of work writes it, off the loops.

// cutter sees to one checkpoint at a time.
type cutter struct {
	running atomic.Bool
	mu      sync.Mutex
	perLoop [][]groupCutting // by loop, so that the order is not a matter of chance
	left    int
}

// groupCutting is a group's part of the checkpoint under way.
type groupCutting struct {
	g   *Group
	cut store.GroupCut
}

// loopCuts is a loop's part of the checkpoint under way.
type loopCuts struct {
	active  bool
	queue   []*Group
	current *groupCutting
	done    []groupCutting
	until   time.Duration
}

// groupCut is what a group remembers of its checkpoints.
type groupCut struct {
	pending   bool         // a cut was frozen and is not durable yet
	durable   record.Index // the durable checkpoint
	compacted record.Index // what the log may have forgotten
	log       logMarks
}

// considerCut begins a checkpoint if the store wants one.
func (l *loop) considerCut() {
	if l.host.store.NeedsCheckpoint() {
		l.host.startCut()
	}
}

// startCut begins a checkpoint unless one is under way.
func (h *Host) startCut() {
	if !h.cuts.running.CompareAndSwap(false, true) {
		return
	}
	h.cuts.left, h.cuts.perLoop = len(h.loops), make([][]groupCutting, len(h.loops))
	for _, each := range h.loops {
		each.call(nil, each.startCuts)
	}
}

func (l *loop) startCuts() {
	l.cuts = loopCuts{active: true}
	for _, g := range l.groups {
		if !g.stopped && !g.installing() && (g.Applied() > g.cut.durable || g.compactTo() > g.cut.compacted) {
			l.cuts.queue = append(l.cuts.queue, g)
		}
	}
}

// encodeCuts does one slice of encoding and reports whether there was any.
func (l *loop) encodeCuts() bool {
	c := &l.cuts
	if !c.active || l.stopped {
		return false
	}
	if c.current == nil {
		if len(c.queue) == 0 {
			c.active = false
			l.host.cuts.finished(l)
			return true
		}
		g := c.queue[0]
		c.queue = c.queue[1:]
		cut, err := g.freeze()
		if errors.Is(err, errInstalling) {
			return true
		}
		if err != nil {
			l.host.fail(fmt.Errorf("group %d: %w", g.id, err))
			return true
		}
		c.current = &groupCutting{g, cut}
	}
	l.cuts.until = l.host.clock.Mono() + encodeSlice
	pages := &c.current.cut.Pages
	done := c.current.g.sm.EncodePages(
		func(key, value []byte) { *pages = append(*pages, store.Page{Key: key, Value: value}) },
		func() bool { return l.host.clock.Mono() < l.cuts.until })
	if done {
		c.done = append(c.done, *c.current)
		c.current = nil
	}
	return true
}

var errInstalling = errors.New("a snapshot is being installed")

// freeze makes the group's present state the cut.
func (g *Group) freeze() (store.GroupCut, error) {
	if g.stopped || g.installing() {
		return store.GroupCut{}, errInstalling
	}
	conf, err := cutMeta{now: g.now, hold: g.hold, conf: g.conf}.append(nil)
	if err != nil {
		return store.GroupCut{}, err
	}
	g.sm.Freeze()
	g.cut.pending = true
	return store.GroupCut{
		Group: g.id, Applied: g.Applied(), Term: g.appliedTerm, Conf: conf, CompactTo: g.compactTo(),
	}, nil
}

// finished takes a loop's part; the last one has the checkpoint written.
func (c *cutter) finished(l *loop) {
	c.mu.Lock()
	c.perLoop[l.index] = l.cuts.done
	c.left--
	last := c.left == 0
	c.mu.Unlock()
	l.cuts = loopCuts{}
	if last {
		l.host.work.add(l.host.writeCuts)
	}
}

// writeCuts makes the checkpoint durable.
func (h *Host) writeCuts() {
	perLoop := h.cuts.perLoop
	var cuts []store.GroupCut
	for _, gs := range perLoop {
		for i := range gs {
			cuts = append(cuts, gs[i].cut)
		}
	}
	if h.failed.Load() {
		return
	}
	switch err := h.store.Checkpoint(cuts); {
	case errors.Is(err, store.ErrDead):
		h.fail(fmt.Errorf("writing a checkpoint: %w", err))
		return
	case err != nil:
		h.logger.Warn("a checkpoint could not be written and is tried again", "err", err, "in", cutRetry)
		h.clock.AfterFunc(cutRetry, func() { h.work.add(h.writeCuts) })
		return
	}
	for _, gs := range perLoop {
		for i := range gs {
			gs[i].durable()
		}
	}
	h.cuts.running.Store(false) // each loop hears of this cut before it begins the next
}

// durable tells the group that its part of a checkpoint is durable.
func (c *groupCutting) durable() {
	g, applied, compacted := c.g, c.cut.Applied, c.cut.CompactTo
	g.loop.call(g, func() {
		g.cut.pending, g.cut.durable, g.cut.compacted = false, applied, compacted
		if s, ok := g.sm.(Spiller); ok {
			s.Durable()
		}
	})
}

// compactTo returns how far the log may be forgotten by a checkpoint taken
// now. A member alone keeps nothing; others keep a little for members that lag
// briefly, and a leader keeps more for those it knows to lag, within a bound.
func (g *Group) compactTo() record.Index {
	to := g.Applied()
	if !g.alone() {
		to = min(to, g.cut.log.before(g.host.tune.keepBytes))
		if g.isLeader {
			to = min(to, max(g.slowest(), g.cut.log.before(g.host.tune.keepLeaderBytes)))
		}
	}
	return max(to, g.cut.compacted)
}

// slowest returns the lowest index that some member still needs what follows.
func (g *Group) slowest() record.Index {
	low := lastEntry
	g.node.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		at := p.Match
		if p.State == tracker.StateSnapshot {
			at = max(at, p.PendingSnapshot)
		}
		if id != uint64(g.host.node) {
			low = min(low, record.Index(at))
		}
	})
	return low
}

// logMarks knows about how many bytes of log follow an index.
type logMarks struct {
	total uint64
	marks []logMark
}

type logMark struct {
	index record.Index
	total uint64 // bytes up to and with index
}

const (
	// markStep is how many bytes of log lie between two marks, unless less is
	// to be kept; maxMarks is how many marks there are.
	markStep = 256 << 10
	maxMarks = 512
)

// grew counts entries that were appended, with a mark every step bytes.
func (c *groupCut) grew(ents []*raftpb.Entry, step uint64) {
	l := &c.log
	for n := len(l.marks); n > 0 && l.marks[n-1].index >= record.Index(ents[0].GetIndex()); n-- {
		l.marks = l.marks[:n-1]
	}
	for _, e := range ents {
		l.total += uint64(len(e.GetData())) + entryOverhead
		if n := len(l.marks); n == 0 || l.total-l.marks[n-1].total >= step {
			l.marks = append(l.marks, logMark{record.Index(e.GetIndex()), l.total})
		}
	}
	if extra := len(l.marks) - maxMarks; extra > 0 {
		l.marks = append(l.marks[:0], l.marks[extra:]...)
	}
}

// before returns the last marked index that at least so many bytes follow, 0
// if none is known.
func (l *logMarks) before(bytes uint64) record.Index {
	for _, m := range slices.Backward(l.marks) {
		if l.total-m.total >= bytes {
			return m.index
		}
	}
	return 0
}
