package sim

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"syscall"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/clock"
	"github.com/polylog-mq/polylog/internal/crashfs"
	"github.com/polylog-mq/polylog/internal/osfs"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/store"
)

// node is a place for a process: its disk outlives the processes that run on
// it.
type node struct {
	w    *world
	id   record.NodeID
	disk *disk
	skew time.Duration // of its wall clock
	*process

	down   bool
	lost   string // why it can never start again; "" if it can
	paused bool
	// cutOpening cuts the power at so many operations of the next start.
	cutOpening int
	// badOpening lets one read of the next start fail, the one of this number.
	badOpening int
	// votes lets the node's power be cut right after the next vote it casts.
	votes bool
	slow  time.Duration // added to every sync
	// excused says that the disk was hurt since the node started, so that it
	// may fail; damaged, that bits on it have flipped.
	excused, damaged bool
	touched          bool
	lives            int
}

// process is what a crash ends.
type process struct {
	n      *node
	store  *store.Store
	host   *replica.Host
	broker *broker.Broker
	life   int
	// dead says that nothing the process does counts any more: its power was
	// cut in the middle of an operation on the disk. left is what that leaves.
	dead bool
	left *disk
	// ended says that it has closed its store.
	ended bool
	// failed is what the host called fatal.
	failed   error
	flushing bool
	working  bool
	// deferred is what came due or was asked while the node was paused,
	// arrived what other nodes have sent meanwhile.
	deferred, arrived []func()
	calls             []*call
	seen              store.Stats
}

// start opens the node on what its disk has.
func (n *node) start() error {
	n.lives++
	p := &process{n: n, life: n.lives}
	n.process, n.down, n.paused, n.slow, n.excused = p, false, false, 0, false
	switch {
	case n.w.variant.cutEvery > 0 && !n.w.calm:
		n.cutAt(n.w.variant.cutEvery, opSync)
	case n.cutOpening > 0:
		n.cutAt(n.cutOpening, opWrite)
		n.cutOpening = 0
	case n.badOpening > 0:
		n.failOpening(n.badOpening)
		n.badOpening = 0
	}
	logger := slog.New(slog.DiscardHandler)
	if n.w.o.Trace != nil {
		logger = slog.New(slog.NewTextHandler(logs{n}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	o := &n.w.o
	ck := nodeClock{n.w.clock, n, p}
	so := store.Options{
		FS: n.disk, Dir: "data", WALFileSize: o.WALFile, TailBytes: o.Tail, CheckpointBytes: o.Checkpoint,
		Rewriting: store.Rewriting{MinFiles: 2, MaxFiles: 4, OwnFile: 32 << 10, MaxDebt: 64 << 20},
		Salt:      n.w.seeded(), Clock: ck, Logger: logger,
	}
	switch v := &n.w.variant; {
	case v.folder != "":
		so.FS, so.Dir = osfs.New(), v.folder
	case v.direct:
		so.FS = crashfs.Direct{FS: n.disk}
	}
	if v := &n.w.variant; v.rewriting != (store.Rewriting{}) {
		so.Rewriting = v.rewriting
	}
	var err error
	p.store, err = store.Open(so)
	if err != nil {
		n.down = true
		return fmt.Errorf("node %d does not open: %w", n.id, err)
	}
	if _, ok := p.store.Meta(); !ok {
		if err := n.bootstrap(); err != nil {
			return err
		}
	}
	p.host = replica.New(replica.Options{
		Node: n.id, Store: p.store, Transport: transport{p}, Clock: ck, Loops: 1, Logger: logger,
		KeepLog: o.KeepLog, KeepLogForSlow: 4 * o.KeepLog, EntryBytes: 8 << 10,
		Fatal: func(err error) { p.failed = err },
	})
	p.broker, err = broker.Open(broker.Options{
		Node: n.id, Nodes: n.w.members(), Store: p.store, Host: p.host, Clock: ck, Rand: n.w.seeded(), Logger: logger,
		Shards: o.Shards, Background: func(f func()) { f() },
	})
	if err != nil {
		n.down = true
		return fmt.Errorf("node %d does not open: %w", n.id, errors.Join(err, p.store.Close()))
	}
	n.w.note("node %d starts, life %d", n.id, n.lives)
	n.touch()
	return nil
}

// logs puts what a node logs into the trace.
type logs struct{ n *node }

func (l logs) Write(p []byte) (int, error) {
	fmt.Fprintf(l.n.w.o.Trace, "             node %d: %s", l.n.id, p)
	return len(p), nil
}

var _ io.Writer = logs{}

// touch says that something happened to the node.
func (n *node) touch() {
	if !n.touched && !n.down {
		n.touched = true
		n.w.touched = append(n.w.touched, n)
	}
}

// maxSteps bounds what a node does at one moment: one that never comes to rest
// is broken.
const maxSteps = 100_000

// work does all the node can do at this moment; what takes time becomes an
// event.
func (n *node) work() {
	if n.down || n.paused {
		return
	}
	p := n.process
	for steps := 0; !p.dead && p.host.Step(0); steps++ {
		if steps > maxSteps {
			n.w.fail("node %d does not come to rest", n.id)
			return
		}
	}
	if !p.dead {
		select {
		case <-p.store.Ready():
			p.flushLater()
		default:
		}
		if !p.working && p.host.Working() {
			p.working = true
			p.later(upTo(n.w.disks, 4*n.w.o.SyncTime), func() {
				p.working = false
				p.host.StepWork()
			})
		}
	}
	n.look()
}

// look takes the consequences of what the node has just done.
func (n *node) look() {
	p := n.process
	switch {
	case n.down:
	case p.dead:
		n.crash(p.left)
	case p.failed != nil && !n.excused:
		n.w.fail("node %d failed without a reason: %v", n.id, p.failed)
	case p.failed != nil:
		n.w.note("node %d has failed: %v", n.id, p.failed)
		n.crash(n.disk.crash(n.w.disks.Uint64(), n.w.o.Survival))
		n.w.after(upTo(n.w.disks, 3*time.Second), n.restart)
	}
}

// flushLater lets a group commit happen once the disk has had its time.
func (p *process) flushLater() {
	if p.flushing {
		return
	}
	p.flushing = true
	p.later(upTo(p.n.w.disks, p.n.w.o.SyncTime)+p.n.slow, func() {
		p.flushing = false
		if p.store.Flush() {
			p.flushLater()
		}
	})
}

// later runs f unless the process has ended by then; a paused one runs it when
// it goes on.
func (p *process) later(d time.Duration, f func()) {
	p.n.w.after(d, func() { p.run(f) })
}

func (p *process) run(f func()) {
	switch n := p.n; {
	case p.over():
	case n.paused:
		p.deferred = append(p.deferred, f)
	default:
		f()
		n.touch()
	}
}

func (p *process) over() bool { return p.dead || p.n.process != p || p.n.down }

// crash ends the process and leaves the node with a disk.
func (n *node) crash(left *disk) {
	if n.down {
		return
	}
	n.w.note("node %d is down", n.id)
	n.close()
	n.disk = left
	n.w.cover.Crashes++
	for _, c := range n.calls {
		n.w.after(upTo(n.w.clients, 10*time.Millisecond), c.lose)
	}
}

// close ends the process; what it still does has no effect on anybody.
func (n *node) close() {
	if n.down || n.process == nil || n.host == nil {
		return
	}
	n.down, n.dead = true, true
	n.disk.before = nil
	n.w.cover.collect(n.process)
	_ = n.end() // what a crash leaves is looked at by the next start
	n.disk.wipe()
}

// end closes what the process has open, once.
func (p *process) end() error {
	if p.ended {
		return nil
	}
	p.ended = true
	p.host.Close()
	return p.store.Close()
}

// stop ends the process as it wishes to end.
func (n *node) stop() {
	n.w.note("node %d is told to stop", n.id)
	if err := n.end(); err != nil && !n.excused {
		n.w.fail("node %d does not stop: %v", n.id, err)
	}
	n.crash(n.disk.killed())
}

// powerOff cuts the power.
func (n *node) powerOff() {
	if !n.down {
		n.crash(n.disk.crash(n.w.disks.Uint64(), n.w.o.Survival))
	}
}

func (n *node) restart() {
	if !n.down || n.lost != "" {
		return
	}
	err := n.start()
	switch {
	case err == nil:
	case n.disk.capacity > 0 && errors.Is(err, syscall.ENOSPC):
		n.w.note("node %d needs room to start: %v", n.id, err)
		n.w.after(time.Second, n.restart)
	case n.excused && errors.Is(err, syscall.EIO):
		n.w.note("node %d cannot read its disk: %v", n.id, err)
		n.disk.before = nil
		n.w.after(time.Second, n.restart)
	case n.damaged && isDamage(err):
		n.lost = err.Error()
		n.w.note("node %d refuses its damaged disk: %v", n.id, err)
		n.w.replace(n, "its disk is damaged")
	default:
		n.w.fail("%v", err)
	}
}

// resume lets a paused node go on.
func (n *node) resume() {
	if !n.paused {
		return
	}
	n.w.note("node %d goes on", n.id)
	n.paused = false
	// Nobody says which of its sockets a process looks at first.
	fs := slices.Concat(n.deferred, n.arrived)
	if n.w.net.IntN(2) == 0 {
		fs = slices.Concat(n.arrived, n.deferred)
	}
	n.deferred, n.arrived = nil, nil
	for _, f := range fs {
		n.run(f)
	}
	n.touch()
}

// nodeClock is the world's time as a node sees it.
type nodeClock struct {
	*clock.Virtual
	n *node
	p *process
}

func (k nodeClock) Now() time.Time { return k.Virtual.Now().Add(k.n.skew) }

func (k nodeClock) AfterFunc(d time.Duration, f func()) clock.Timer {
	return k.Virtual.AfterFunc(d, func() { k.p.run(f) })
}

// transport is the network as a node sees it.
type transport struct{ p *process }

func (t transport) Send(to record.NodeID, m replica.Message) {
	n := t.p.n
	w := n.w
	if t.p.over() {
		return
	}
	if m.Raft != nil {
		w.elections.sent(n, m.Group, m.Raft)
	}
	if m.Snapshot != nil && m.Snapshot.Kind == replica.SendPages && m.Snapshot.Last {
		w.cover.Snapshots++
	}
	copies := 1
	if !w.calm && w.net.Float64() < w.o.Duplicate {
		copies = 2
	}
	for range copies {
		if w.cut[[2]record.NodeID{n.id, to}] || w.net.Float64() < w.loss {
			w.cover.Lost++
			continue
		}
		arriving := m
		if m.Raft != nil {
			arriving.Raft = proto.Clone(m.Raft).(*raftpb.Message)
		}
		w.cover.Messages++
		delay := upTo(w.net, w.o.NetDelay)
		if !w.calm && w.net.Float64() < lateShare {
			delay = upTo(w.net, lateBy)
		}
		w.after(delay, func() {
			if dst := w.node(to); dst != nil && !dst.down {
				dst.receive(n.id, arriving)
			}
		})
	}
}

// Of the messages between nodes lateShare arrive up to lateBy late, when nobody
// waits for them any more and the node that sent them may be another.
const (
	lateShare = 0.002
	lateBy    = 15 * time.Second
)

// receive takes a message off the network.
func (n *node) receive(from record.NodeID, m replica.Message) {
	if n.paused {
		n.arrived = append(n.arrived, func() { n.receive(from, m) })
		return
	}
	n.host.Receive(from, m)
	n.touch()
}

func (w *world) node(id record.NodeID) *node {
	for _, n := range w.nodes {
		if n.id == id {
			return n
		}
	}
	return nil
}

// maxReplacements is how many nodes may ever join a cluster.
const maxReplacements = 16

// members lists all nodes that there are and will be: brokers have no way yet to
// hear of new ones.
func (w *world) members() []broker.Node {
	all := make([]broker.Node, len(w.nodes)+maxReplacements)
	for i := range all {
		all[i].ID = record.NodeID(i + 1)
	}
	return all
}
