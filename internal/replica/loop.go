package replica

import (
	"sync"
	"sync/atomic"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/polylog-mq/polylog/internal/clock"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// loop drives a fixed subset of the groups. What comes from elsewhere (clients,
// other members, the store, timers) waits in its inbox as events; step takes
// them all, lets every group that had one go on, and hands all appends of all
// groups to the store at once.
type loop struct {
	host   *Host
	index  int
	groups []*Group // in the order of Open
	wake   chan struct{}

	inbox struct {
		sync.Mutex
		events   []event
		messages int // of the events, and their bytes
		bytes    int
		closed   bool
		wanted   int // of events: so many fill a round
	}

	// driver is held by whoever steps the loop while Run does: its goroutine, or a
	// helper.
	driver sync.Mutex
	// driven: who steps the loop looks into the inbox again after he has set it to
	// false, so that nobody need be woken for what comes.
	driven atomic.Bool

	// The rest belongs to whoever steps the loop.
	answered  int // proposals, by the latest step
	spare     []event
	dirty     []*Group
	again     []*Group // dirty, but others have their turn first
	write     *write   // what this step gives to the store
	round     round
	unflushed int      // bytes given to the store since whoever drives looked; each append counts one more
	writes    []*write // for use again
	body      []byte   // the entry being encoded
	bodies    bodies   // of entries that are kept until they are applied
	cuts      loopCuts
	ticker    clock.Timer
	ticking   bool
	onTick    func()
	stopped   bool
}

type eventKind uint8

const (
	evCall eventKind = iota
	evPropose
	evRefuse
	evMessage
	evAppended
)

// event is something for the loop to do.
type event struct {
	kind eventKind
	g    *Group   // whom it concerns: that group goes on afterwards
	p    Proposal // evPropose, evRefuse
	err  error    // evRefuse
	fn   func()   // evCall
	msg  *envelope
	w    *write // evAppended
}

type envelope struct {
	from record.NodeID
	m    Message
}

func newLoop(h *Host, i int) *loop {
	l := &loop{host: h, index: i, wake: make(chan struct{}, 1)}
	l.onTick = func() { l.call(nil, l.tick) }
	l.round.full = make(chan struct{}, 1)
	return l
}

// put adds an event; false once the loop is closed.
func (l *loop) put(e event) bool {
	wake, ok := l.leave(e)
	if wake {
		signal(l.wake)
	}
	return ok
}

// leave is put without waking whoever steps the loop; it reports whether that is
// to be done.
func (l *loop) leave(e event) (wake, ok bool) {
	l.inbox.Lock()
	if l.inbox.closed {
		l.inbox.Unlock()
		return false, false
	}
	if e.kind == evMessage {
		if l.inbox.messages >= maxInboxMessages || l.inbox.bytes >= maxInboxBytes {
			l.inbox.Unlock()
			return false, true
		}
		l.inbox.messages++
		l.inbox.bytes += e.msg.m.size()
	}
	first := len(l.inbox.events) == 0
	l.inbox.events = append(l.inbox.events, e)
	if n := l.inbox.wanted; n > 0 && len(l.inbox.events) >= n {
		l.inbox.wanted = 0
		signal(l.round.full)
	}
	l.inbox.Unlock()
	return first && !l.driven.Load(), true
}

// call runs fn on the loop; g, if any, goes on afterwards.
func (l *loop) call(g *Group, fn func()) bool { return l.put(event{kind: evCall, g: g, fn: fn}) }

func (l *loop) receive(g *Group, from record.NodeID, m Message) {
	l.put(event{kind: evMessage, g: g, msg: &envelope{from, m}})
}

// step does everything that waits, once.
func (l *loop) step() bool {
	l.answered = 0
	l.inbox.Lock()
	events := l.inbox.events
	l.inbox.events, l.inbox.messages, l.inbox.bytes = l.spare, 0, 0
	l.inbox.Unlock()
	for i := range events {
		l.handle(&events[i])
	}
	worked := len(events) > 0 || len(l.dirty) > 0
	clear(events)
	l.spare = events[:0]
	for i := 0; i < len(l.dirty); i++ {
		l.dirty[i].dirty = false
		l.dirty[i].advance()
	}
	if len(l.dirty) > 0 {
		l.considerCut() // what was applied may ask for one, and nothing follow it
	}
	clear(l.dirty)
	l.dirty, l.again = l.again, l.dirty[:0]
	l.submit()
	return l.encodeCuts() || worked
}

func (l *loop) handle(e *event) {
	if l.stopped && e.kind != evCall {
		l.refuse(e)
		return
	}
	switch e.kind {
	case evCall:
		e.fn()
	case evPropose:
		e.g.enqueue(e.p)
	case evRefuse:
		e.p.Done(e.err)
	case evMessage:
		e.g.receive(e.msg.from, e.msg.m)
	case evAppended:
		l.appended(e.w)
	}
	if e.g != nil {
		l.touch(e.g)
	}
}

// refuse answers what arrives after the loop stopped.
func (l *loop) refuse(e *event) {
	switch e.kind {
	case evPropose:
		e.g.release(e.p.Size())
		e.p.Done(ErrStopped)
	case evRefuse:
		e.p.Done(e.err)
	default: // nobody waits for an answer to the others
	}
}

// touch lets g go on at the end of this step.
func (l *loop) touch(g *Group) {
	if !g.dirty && !l.stopped {
		g.dirty = true
		l.dirty = append(l.dirty, g)
	}
}

// touchLater lets g go on in the next step.
func (l *loop) touchLater(g *Group) {
	if !g.dirty && !l.stopped {
		g.dirty = true
		l.again = append(l.again, g)
	}
}

// tick is a tick of Raft's time for all groups that need any.
func (l *loop) tick() {
	l.ticking = false
	for _, g := range l.groups {
		if g.needsTicks() && !l.stopped {
			g.tick()
			l.touch(g)
		}
	}
	l.host.pages.expire(l.host)
	l.startTicks()
}

// startTicks sees to the next tick if a group needs it. Groups whose only
// member leads need none: an idle node sets no timers.
func (l *loop) startTicks() {
	if l.ticking || l.stopped {
		return
	}
	for _, g := range l.groups {
		if g.needsTicks() {
			l.ticking = true
			if l.ticker == nil {
				l.ticker = l.host.clock.AfterFunc(tickInterval, l.onTick)
			} else {
				l.ticker.Reset(tickInterval)
			}
			return
		}
	}
}

// stop ends all groups of the loop; what comes later is refused.
func (l *loop) stop() {
	if l.stopped {
		return
	}
	l.stopped = true
	if l.ticker != nil {
		l.ticker.Stop()
	}
	for _, g := range l.groups {
		g.stop()
	}
	l.dirty, l.again = nil, nil
}

// close stops the loop and answers what waits in its inbox.
func (l *loop) close() {
	l.stop()
	l.inbox.Lock()
	l.inbox.closed = true
	events := l.inbox.events
	l.inbox.events = nil
	l.inbox.Unlock()
	for i := range events {
		l.handle(&events[i])
	}
}

// write is one append to the store, for all groups that had something in one
// step, and what to do when it is durable.
type write struct {
	slots   []slot
	entries []store.Entry
	parts   []store.Append // what the store is given: slots and entries
	bytes   int
	err     error
	done    func(error)
}

// slot is one group's part of a write.
type slot struct {
	g         *Group
	hard      store.HardState
	hasHard   bool
	from, to  int // of write.entries
	responses []*raftpb.Message
	alone     record.Index // of the entry of a member that leads alone; 0 for what Raft wants written
}

func (l *loop) newWrite() *write {
	if n := len(l.writes); n > 0 {
		w := l.writes[n-1]
		l.writes = l.writes[:n-1]
		return w
	}
	w := &write{}
	w.done = func(err error) {
		w.err = err
		l.put(event{kind: evAppended, w: w})
	}
	return w
}

// add queues entries and a hard state (nil: none) of g; responses are
// delivered once they are durable.
func (l *loop) add(g *Group, hard *store.HardState, ents []*raftpb.Entry, responses []*raftpb.Message) {
	w := l.openWrite()
	s := slot{g: g, from: len(w.entries), responses: responses}
	if hard != nil {
		s.hard, s.hasHard = *hard, true
	}
	for _, e := range ents {
		w.bytes += len(e.GetData())
		w.entries = append(w.entries, store.Entry{
			Index: record.Index(e.GetIndex()), Term: record.Term(e.GetTerm()), Kind: uint8(e.GetType()), Data: e.GetData(),
		})
	}
	w.close(s)
}

// addAlone queues the entry of a group whose only member leads.
func (l *loop) addAlone(g *Group, e store.Entry) {
	w := l.openWrite()
	s := slot{g: g, from: len(w.entries), alone: e.Index}
	w.bytes += e.Size()
	w.entries = append(w.entries, e)
	w.close(s)
}

// openWrite returns what this step gives to the store.
func (l *loop) openWrite() *write {
	if l.write == nil {
		l.write = l.newWrite()
	}
	return l.write
}

// close ends a slot with the entries queued so far.
func (w *write) close(s slot) {
	s.to = len(w.entries)
	w.slots = append(w.slots, s)
	s.g.writing, s.g.lastWrite, s.g.lastSlot = s.g.writing+1, w, len(w.slots)-1
}

// submit gives the step's write to the store.
func (l *loop) submit() {
	w := l.write
	if w == nil || l.stopped {
		return
	}
	l.write = nil
	for i := range w.slots {
		s := &w.slots[i]
		part := store.Append{Group: s.g.id, Entries: w.entries[s.from:s.to:s.to], Sync: true}
		if s.hasHard {
			part.HardState = &s.hard
		}
		w.parts = append(w.parts, part)
	}
	l.unflushed += w.bytes + 1
	l.host.store.Append(w.parts, w.done)
	l.considerCut()
}

// appended takes a write back from the store.
func (l *loop) appended(w *write) {
	if w.err != nil {
		l.host.fail(w.err)
		l.stop()
		return
	}
	for i := range w.slots {
		s := &w.slots[i]
		s.g.writing--
		if s.alone > 0 {
			s.g.sole.durable = s.alone
			s.g.joined(&w.entries[s.from])
		}
		s.g.respond(s.responses)
		l.touch(s.g)
	}
	clear(w.slots)
	clear(w.entries)
	clear(w.parts)
	w.slots, w.entries, w.parts, w.bytes = w.slots[:0], w.entries[:0], w.parts[:0], 0
	l.writes = append(l.writes, w)
	l.considerCut()
}
