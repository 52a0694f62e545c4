package sim

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/polylog-mq/polylog/internal/record"
)

// faultKind is something that goes wrong.
type faultKind uint8

const (
	powerCut faultKind = iota
	cutAtOperation
	everybodyDown
	pause
	oneWay
	isolate
	lossy
	slowDisk
	failingDisk
	fullDisk
	clockJump
	transfer
	bitFlip
	cutAfterVote
	memberLost
	killed
	stopped
	failingReads
	faultKinds
)

func (k faultKind) String() string {
	return [...]string{
		"power cut", "power cut at an operation", "power cut everywhere", "pause", "one-way cut", "isolation", "lossy network",
		"slow disk", "failing disk", "full disk", "clock jump", "leader transfer", "bit flip", "power cut after a vote",
		"lost member", "kill", "stop", "failing reads",
	}[k]
}

// mishap is one line of the plan, made before the run begins, so that leaving
// one out moves no other.
type mishap struct {
	number int
	kind   faultKind
	at     time.Duration
	lasts  time.Duration
	node   int
	a, b   int // what else the kind needs
}

func (f *mishap) String() string {
	return fmt.Sprintf("fault %d: %v, node %d, for %v", f.number, f.kind, f.node+1, f.lasts.Round(time.Millisecond))
}

// schedule makes the plan and sets its faults going.
func (w *world) schedule() {
	at := 5 * time.Second
	for {
		at += around(w.faults, w.o.FaultEvery)
		if at > w.o.Safety-2*time.Second {
			break
		}
		f := mishap{
			number: len(w.plan), at: at, kind: faultKind(w.faults.IntN(int(faultKinds))), node: w.faults.IntN(w.o.Nodes),
			lasts: upTo(w.faults, 6*time.Second), a: w.faults.IntN(60), b: w.faults.IntN(1 << 20),
		}
		w.plan = append(w.plan, f)
	}
	for i := range w.plan {
		f := &w.plan[i]
		if w.o.dropped(f.number) {
			continue
		}
		w.after(f.at, func() {
			if w.o.Grows {
				f.node = f.b % len(w.nodes)
			}
			if !w.calm && w.inflict(f, w.nodes[f.node]) {
				w.note("%v", f)
				w.cover.Faults++
			}
		})
	}
}

// inflict carries out a fault, unless it would leave nothing to recover.
func (w *world) inflict(f *mishap, n *node) bool {
	until := func(undo func()) { w.after(f.lasts, undo) }
	if n.down && f.kind != lossy && f.kind != everybodyDown {
		return false
	}
	switch f.kind {
	case powerCut:
		n.powerOff()
		if f.b%2 == 0 {
			n.cutOpening = 1 + f.a // and again while it recovers
		}
		until(n.restart)
	case cutAtOperation:
		n.cutAt(f.a, opWrite)
		until(func() {
			n.powerOff()
			n.restart()
		})
	case everybodyDown:
		for _, o := range w.nodes {
			o.powerOff()
			w.after(upTo(w.faults, f.lasts), o.restart)
		}
	case pause:
		n.paused = true
		until(n.resume)
	case killed:
		n.crash(n.disk.killed())
		until(n.restart)
	case stopped:
		n.stop()
		until(n.restart)
	case failingReads:
		n.failReads(f)
	case clockJump:
		most := 600
		if f.a%2 == 0 {
			most = 15
		}
		n.skew += time.Duration(f.b%(2*most)-most) * time.Second
		w.fastest, w.slowest = max(w.fastest, n.skew), min(w.slowest, n.skew)
	case transfer:
		w.transfer(w.nodes[f.a%len(w.nodes)].id)
	case slowDisk:
		n.slow = time.Duration(f.b%1500) * time.Millisecond
		until(func() { n.slow = 0 })
	case failingDisk:
		n.failDisk(f)
	case fullDisk:
		d := n.disk
		d.capacity = d.used + int64(f.a)*4096
		until(func() { n.disk.capacity = 0 })
	default:
		return w.inflictMany(f, n, until)
	}
	return true
}

// inflictMany carries out a fault that needs more than one node.
func (w *world) inflictMany(f *mishap, n *node, until func(func())) bool {
	if len(w.nodes) == 1 {
		return false
	}
	other := w.nodes[(f.node+1+f.a%(len(w.nodes)-1))%len(w.nodes)]
	switch f.kind {
	case oneWay:
		link := [2]record.NodeID{n.id, other.id}
		w.cut[link] = true
		until(func() { delete(w.cut, link) })
	case isolate:
		var links [][2]record.NodeID
		for _, o := range w.nodes {
			links = append(links, [2]record.NodeID{n.id, o.id}, [2]record.NodeID{o.id, n.id})
		}
		for _, l := range links {
			w.cut[l] = true
		}
		until(func() {
			for _, l := range links {
				delete(w.cut, l)
			}
		})
	case lossy:
		w.loss = 0.3
		until(func() { w.loss = w.o.Loss })
	case bitFlip:
		return n.rot()
	case memberLost:
		return w.newest < maxReplacements && !w.o.Grows && w.replace(n, "it is lost")
	case cutAfterVote:
		for _, o := range w.nodes {
			o.votes = true
		}
		if l := w.leader(record.MetadataShard); l != nil && !l.paused {
			l.powerOff()
			until(l.restart)
		}
	}
	return true
}

// cutAt cuts the node's power at its k-th operation from now on of this kind or
// one that comes after it in the list, on the WAL or the segments, in the middle
// of whatever that is part of.
func (n *node) cutAt(k int, least diskOp) {
	p := n.process
	n.disk.before = func(op diskOp, name string) error {
		if op < least || strings.Contains(name+"/", pebbleDir) || p.over() {
			return nil
		}
		if k--; k == 0 {
			n.w.note("power cut on node %d in %s", n.id, name)
			p.dead, p.left = true, n.disk.crash(n.w.disks.Uint64(), n.w.o.Survival)
			n.w.after(upTo(n.w.disks, 2*time.Second), n.restart)
			n.touch()
		}
		return nil
	}
}

// failDisk lets the next write or sync of one of the places on the disk fail.
func (n *node) failDisk(f *mishap) {
	part := []string{"/wal/", "/segment/", pebbleDir}[f.a%3]
	want := []diskOp{opWrite, opSync}[f.b%2]
	n.excused = true
	n.w.unrepeatable = n.w.unrepeatable || part == pebbleDir
	p := n.process
	n.disk.before = func(op diskOp, name string) error {
		if op == want && strings.Contains(name, part) && !p.over() {
			return syscall.EIO
		}
		return nil
	}
	n.w.after(f.lasts, func() {
		if !p.over() {
			n.disk.before = nil
		}
	})
}

// failReads lets reads of the WAL or of segments fail: for a while, or, of those by
// which the node starts again, one.
func (n *node) failReads(f *mishap) {
	if f.b%2 == 0 {
		n.powerOff()
		n.badOpening = 1 + f.a
		n.w.after(f.lasts, n.restart)
		return
	}
	n.excused = true
	p := n.process
	n.disk.before = func(op diskOp, name string) error {
		if op == opRead && !strings.Contains(name+"/", pebbleDir) && !p.over() {
			return syscall.EIO
		}
		return nil
	}
	n.w.after(f.lasts, func() {
		if !p.over() {
			n.disk.before = nil
		}
	})
}

// failOpening lets the k-th read of the WAL or of segments fail.
func (n *node) failOpening(k int) {
	n.disk.before = func(op diskOp, name string) error {
		if op != opRead || strings.Contains(name+"/", pebbleDir) {
			return nil
		}
		if k--; k != 0 {
			return nil
		}
		n.w.note("node %d cannot read %s", n.id, name)
		n.excused = true
		return syscall.EIO
	}
}

// rot flips a bit on the node's disk. One node at most is ever damaged.
func (n *node) rot() bool {
	if n.w.replacing != nil || n.w.o.Grows {
		return false
	}
	for _, o := range n.w.nodes {
		if o != n && (o.damaged || o.lost != "") {
			return false
		}
	}
	name, at := n.disk.flip(n.w.disks, []string{"/wal/", "/segment/"}[n.w.disks.IntN(2)])
	if name == "" {
		return false
	}
	n.w.note("bit flip on node %d in %s at %d", n.id, name, at)
	n.damaged, n.excused = true, true
	return true
}

// transfer hands the leadership of every group to a node.
func (w *world) transfer(to record.NodeID) {
	for g := range record.ShardID(w.o.Shards + 1) {
		if n := w.leader(g); n != nil && n.id != to && !n.paused {
			n.host.Group(g).TransferLeader(to)
			n.touch()
		}
	}
}
