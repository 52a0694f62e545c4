package replica

import (
	"bytes"
	"errors"
	"strings"
	"time"
	"unsafe"

	"go.etcd.io/raft/v3"

	"github.com/polylog-mq/polylog/internal/clock"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// leading is a group's part in proposing: it does something only while this
// member leads.
//
// Proposals wait in queue. When the window allows, those that wait are gathered
// into an entry, stamped with log time and given to Raft; from then on the entry
// is in flight, in the order of the log, until it is applied or leadership is
// lost. A member alone has one small entry in flight at a time: the disk syncs
// one after the other anyway, and what arrives meanwhile makes one larger entry.
// Entries worth a write of their own follow each other at once, so that the disk
// need not wait; and over a network several small ones are on their way. An
// entry that Raft drops (its own limit is reached,
// leadership is being transferred) stays in held and goes before anything
// newer.
type leading struct {
	isLeader bool // Raft says that this member leads
	isReady  bool // and everything of earlier terms is applied
	clock    LogClock

	queue    []Proposal // from head on
	head     int
	queued   int // bytes
	held     *batch
	blocked  bool // Raft has dropped held; something must change first
	inFlight []*batch
	flying   int // bytes in flight
	stuck    int // ticks since an entry was applied, while some are in flight
	spare    []*batch

	timer    clock.Timer
	armed    bool
	armedFor record.LogTime
	tickDue  bool
	ticked   record.LogTime // log time of the latest entry without proposals,
	tickedAt time.Duration  // and monotonic time
	onTimer  func()
}

// batch is the proposals of one entry.
type batch struct {
	proposals []Proposal
	bytes     int
	size      int  // of the entry
	answered  bool // its callers were told that the outcome is unknown
	written   bool // and applied

	// Of a member that leads alone.
	index record.Index
	data  []byte // the entry, from when it is durable on
	body  []byte // memory of the loop's that is to be used again
	bulk  bool   // there is some
	// What of the entry lies elsewhere until the store has put it together, in chunk.
	splices []store.Splice
	chunk   *store.Chunk
}

func (l *leading) init(g *Group) {
	l.onTimer = func() { g.loop.call(g, func() { g.armed = false }) }
}

// Propose asks for p to be put into the log. Proposals keep the order of the
// calls: one is never applied before an earlier one of the same group that
// succeeds. The outcome comes through p.Done.
func (g *Group) Propose(p Proposal) {
	if g.bring(p) {
		signal(g.loop.wake)
	}
}

// bring is Propose without waking whoever steps the loop; it reports whether that
// is to be done.
func (g *Group) bring(p Proposal) (wake bool) {
	size := p.Size()
	e := event{kind: evPropose, g: g, p: p}
	switch {
	case size > maxProposalBytes:
		e.kind, e.err = evRefuse, ErrTooLarge
	case g.bytes.Add(int64(size)) > g.host.tune.groupBytes:
		g.bytes.Add(-int64(size))
		e.kind, e.err = evRefuse, ErrBusy
	case g.host.bytes.Add(int64(size)) > maxHostBytes:
		g.release(size)
		e.kind, e.err = evRefuse, ErrBusy
	}
	wake, ok := g.loop.leave(e)
	if ok {
		return wake
	}
	if e.kind == evPropose {
		g.release(size)
	}
	p.Done(ErrStopped)
	return false
}

// release gives back the room of proposals.
func (g *Group) release(size int) {
	g.bytes.Add(-int64(size))
	g.host.bytes.Add(-int64(size))
}

// enqueue takes a proposal from the inbox.
func (g *Group) enqueue(p Proposal) {
	if !g.isLeader {
		g.release(p.Size())
		p.Done(NotLeaderError{g.lead})
		return
	}
	g.queue = append(g.queue, p)
	g.queued += p.Size()
}

// propose gives Raft entries while there is something to propose and room in
// the window.
func (g *Group) propose() {
	if g.loop.round.open {
		if g.head < len(g.queue) || g.held != nil || g.tickDue {
			g.loop.touchLater(g)
		}
		return
	}
	if g.mayLeadAlone() {
		g.leadAlone()
	}
	for g.isReady && !g.blocked && g.mayPropose() {
		b := g.held
		if b == nil {
			b = g.gather()
		}
		if b == nil {
			return
		}
		g.held = nil
		if !g.proposeBatch(b) {
			g.held, g.blocked = b, true
		}
	}
}

// mayPropose reports whether the window has room for what waits.
func (g *Group) mayPropose() bool {
	t, flying := &g.host.tune, len(g.inFlight)
	switch {
	case g.members.asked != nil || g.members.leaving:
		return false
	case flying == 0:
		return true
	case flying >= t.entriesInFlight || g.flying >= t.bytesInFlight:
		return false
	default:
		return g.queued >= t.worthBytes || !g.alone() && flying < t.smallInFlight
	}
}

// gather takes the next entry's proposals from the queue; an empty batch is a
// tick; nil if there is nothing to do.
func (g *Group) gather() *batch {
	if g.head == len(g.queue) && !g.tickDue {
		return nil
	}
	b := g.newBatch()
	for g.head < len(g.queue) {
		p := g.queue[g.head]
		size := p.Size()
		if len(b.proposals) > 0 && b.bytes+size > g.host.tune.entryBytes {
			break
		}
		g.queue[g.head] = nil
		g.head++
		b.proposals = append(b.proposals, p)
		b.bytes += size
	}
	g.queued -= b.bytes
	if g.head == len(g.queue) {
		g.queue, g.head = g.queue[:0], 0
	}
	return b
}

// proposeBatch encodes an entry and gives it to Raft, or, alone, to the store;
// false if Raft dropped it.
func (g *Group) proposeBatch(b *batch) bool {
	now, mono := g.logTime()
	body := appendEntryHeader(g.newBody(b), now, g.clock.Holding())
	if b.bulk && g.splicer != nil {
		body, b.splices = g.splicer.Splice(body, b.splices, now, b.proposals)
	} else {
		body = g.sm.Encode(body, now, b.proposals)
	}
	if !b.bulk {
		if g.loop.body = body; cap(body) > 2*g.host.tune.entryBytes {
			g.loop.body = nil // one large proposal must not stay
		}
	}
	switch {
	case g.node == nil && b.bulk:
		g.appendAlone(b, body)
	case g.node == nil:
		g.appendAlone(b, bytes.Clone(body))
	default:
		if err := g.node.Propose(body); errors.Is(err, raft.ErrProposalDropped) {
			return false
		} else if err != nil {
			panic(&raftPanic{"proposing: " + err.Error()})
		}
	}
	b.size = store.Spliced(body, b.splices)
	g.inFlight = append(g.inFlight, b)
	g.flying += b.size
	g.tickDue = false
	if len(b.proposals) == 0 {
		g.ticked, g.tickedAt = now, mono
	}
	return true
}

// newBody returns empty memory to encode an entry into, usually the loop's: Raft
// copies what it is given, and what the state machine may keep has to be copied
// too. But who leads alone sends entries to nobody, and those of which nothing is
// kept (Bulk) get memory that is used again when they are applied.
func (g *Group) newBody(b *batch) []byte {
	if b.bulk = g.node == nil && bulk(b.proposals); b.bulk {
		size := b.bytes + entryHeaderSize
		if g.splicer != nil {
			for _, p := range b.proposals {
				size -= p.(Bulk).Bulk()
			}
		}
		return g.loop.bodies.take(size)
	}
	return g.loop.body[:0]
}

// bulk reports whether there are proposals, of which nothing is kept.
func bulk(ps []Proposal) bool {
	for _, p := range ps {
		if _, ok := p.(Bulk); !ok {
			return false
		}
	}
	return len(ps) > 0
}

// reuse gives back the memory of an entry that is applied: the store has written
// it and looks at it no more.
func (g *Group) reuse(b *batch) {
	if !b.bulk {
		return
	}
	if g.host.tune.poison {
		for i := range b.body {
			b.body[i] = poison
		}
	}
	g.loop.bodies.put(b.body)
	clear(b.splices)
	b.written = true
}

// bodies are memory for entries, for use again.
type bodies struct {
	free  [][]byte
	bytes int
}

// take returns an empty slice of capacity n or more.
func (s *bodies) take(n int) []byte {
	best := -1
	for i, b := range s.free {
		if cap(b) >= n && (best < 0 || cap(b) < cap(s.free[best])) {
			best = i
		}
	}
	if best < 0 {
		return unzeroed((n + bodyStep - 1) / bodyStep * bodyStep)
	}
	b, last := s.free[best], len(s.free)-1
	s.free[best], s.free[last] = s.free[last], nil
	s.free, s.bytes = s.free[:last], s.bytes-cap(b)
	return b
}

// put takes memory back. The smallest goes where there is too much.
func (s *bodies) put(b []byte) {
	s.free = append(s.free, b[:0])
	s.bytes += cap(b)
	for s.bytes > maxSpareBodies {
		least := 0
		for i := range s.free {
			if cap(s.free[i]) < cap(s.free[least]) {
				least = i
			}
		}
		last := len(s.free) - 1
		s.bytes -= cap(s.free[least])
		s.free[least], s.free[last] = s.free[last], nil
		s.free = s.free[:last]
	}
}

// unzeroed returns an empty slice of capacity n. To clear memory that is about
// to be overwritten was a tenth of the processor time of large batches, and of
// the library only strings.Builder hands out any that is not; nobody else sees
// the string.
func unzeroed(n int) []byte {
	var b strings.Builder
	b.Grow(n)
	_ = b.WriteByte(0)
	return unsafe.Slice(unsafe.StringData(b.String()), n)[:0]
}

// logTime reads the leader's clocks.
func (g *Group) logTime() (now record.LogTime, mono time.Duration) {
	mono = g.host.clock.Mono()
	now, step := g.clock.Now(g.host.clock.Now(), mono)
	if step > bigStep {
		g.host.warnStep(step, mono)
	}
	return now, mono
}

// landed returns the proposals of the oldest entry in flight, which has been
// committed.
func (g *Group) landed() *batch {
	if len(g.inFlight) == 0 {
		return nil
	}
	b := g.inFlight[0]
	n := copy(g.inFlight, g.inFlight[1:])
	g.inFlight[n] = nil
	g.inFlight = g.inFlight[:n]
	g.flying -= b.size
	g.stuck = 0
	return b
}

// tickFlying gives an answer to those who have waited for long while nothing
// was committed. (A majority answers, or this member would not lead; but one of
// it may have to be sent a snapshot before it can write.) The entries stay in
// flight.
func (g *Group) tickFlying() {
	if len(g.inFlight) == 0 && g.held == nil {
		g.stuck = 0
		return
	}
	if g.stuck++; g.stuck < stuckTicks {
		return
	}
	for _, b := range g.inFlight {
		g.answer(b, ErrUnknown)
		b.answered = true
	}
	g.refuseWaiting(ErrBusy)
	g.stuck = 0
}

// answer answers the proposals of a batch.
func (g *Group) answer(b *batch, err error) {
	g.release(b.bytes)
	b.bytes = 0
	g.loop.answered += len(b.proposals)
	g.loop.round.answered += len(b.proposals)
	for i, p := range b.proposals {
		b.proposals[i] = nil
		p.Done(err)
	}
	b.proposals = b.proposals[:0]
}

// finish answers the proposals of a batch and keeps the batch for use again.
func (g *Group) finish(b *batch, err error) {
	g.answer(b, err)
	if b.chunk != nil {
		b.chunk.Release()
	}
	// What may not be written yet still needs its splices.
	next := batch{proposals: b.proposals}
	if b.written {
		next.splices = b.splices[:0]
	}
	*b = next
	g.spare = append(g.spare, b)
}

func (g *Group) newBatch() *batch {
	if n := len(g.spare); n > 0 {
		b := g.spare[n-1]
		g.spare = g.spare[:n-1]
		return b
	}
	return &batch{}
}

// refuseWaiting answers everything that Raft has not accepted.
func (g *Group) refuseWaiting(err error) {
	if b := g.held; b != nil {
		g.held = nil
		g.finish(b, err)
	}
	queue := g.queue[g.head:]
	g.queue, g.head, g.queued, g.blocked, g.tickDue = nil, 0, 0, false, false
	for _, p := range queue {
		g.release(p.Size())
		p.Done(err)
	}
}

// endReign answers everything that waits for this member's leadership: what is
// in the log has an unknown fate, the rest is refused with err.
func (g *Group) endReign(err error) {
	g.isLeader, g.isReady = false, false
	flying := g.inFlight
	g.inFlight, g.flying = nil, 0
	for _, b := range flying {
		g.finish(b, ErrUnknown)
	}
	g.refuseWaiting(err)
	g.members.end()
	g.offers = nil
}

// armDeadline sees to a tick when the state machine's next deadline passes.
// While an entry is on its way there is no need: applying it judges deadlines.
func (g *Group) armDeadline() {
	if !g.isReady || g.tickDue || len(g.inFlight) > 0 || g.held != nil {
		return
	}
	deadline, ok := g.sm.NextDeadline()
	if !ok || g.armed && g.armedFor <= deadline {
		return
	}
	now, mono := g.logTime()
	wait := time.Duration(min(deadline-now, maxDeadlineWait)) * time.Millisecond
	if deadline <= g.ticked {
		// The latest tick did not move it.
		wait = max(wait, g.tickedAt+minTickSpacing-mono)
	}
	if wait <= 0 {
		g.tickDue = true
		g.loop.touchLater(g)
		return
	}
	g.armed, g.armedFor = true, deadline
	if g.timer == nil {
		g.timer = g.host.clock.AfterFunc(wait, g.onTimer)
	} else {
		g.timer.Reset(wait)
	}
}
