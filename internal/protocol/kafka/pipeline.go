package kafka

import "sync"

// pipeline keeps the calls of one connection in the order they came. The reader
// adds at its end; the writer works on its head, as soon as that is ready. The
// writer is the connection's own goroutine, or, for calls that are prompt, one
// that answers for many connections; only who has claimed the pipeline is.
type pipeline struct {
	mu    sync.Mutex
	slots [maxInFlight]slot // a call's slot is its number modulo maxInFlight
	first uint64            // number of the head
	next  uint64            // number of the call that is added next
	held  int               // bytes of their frames
	ended bool              // no call is added any more
	gone  bool              // the connection is given up: nothing is worked on any more
	// polling is the head when it waits for something that may never come, and
	// has an answer for that too.
	polling *call
	claimed bool // somebody is the writer
	owed    bool // he who was could not write all
	// prompt, if set, has the pipeline claimed, and asks for what is prompt to
	// be answered. It is called with the lock held.
	prompt func()
	// here is what prompt would have done, for who is about to do it himself.
	here func()
	// drained says that the reader has nothing at hand after the latest call. It
	// is the reader's.
	drained bool

	work chan struct{} // wakes the connection's own writer
	room chan struct{} // wakes the reader
	over chan struct{} // closed once no call is taken any more
}

type slot struct {
	call  *call
	ready bool
}

func newPipeline() *pipeline {
	return &pipeline{work: make(chan struct{}, 1), room: make(chan struct{}, 1), over: make(chan struct{})}
}

// add appends a call and blocks while there is no room for it. With ready the
// writer may work on it at once. It returns false, and takes nothing, when the
// connection has ended.
func (p *pipeline) add(c *call, ready bool) bool {
	size := len(c.frame.B)
	p.mu.Lock()
	for !p.gone && !p.ended && !p.fitsLocked(size) {
		p.mu.Unlock()
		<-p.room
		p.mu.Lock()
	}
	if p.gone || p.ended {
		p.mu.Unlock()
		return false
	}
	c.number = p.next
	p.slots[c.number%maxInFlight] = slot{c, ready}
	p.next++
	p.held += size
	if ready && c.number == p.first {
		p.wakeWriterLocked()
	}
	p.mu.Unlock()
	return true
}

// fits reports whether add would not block for a call with a frame of size bytes.
// It stays so until the next call is added.
func (p *pipeline) fits(size int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fitsLocked(size)
}

func (p *pipeline) fitsLocked(size int) bool {
	n := p.next - p.first
	return n == 0 || n < maxInFlight && p.held+size <= maxHeld
}

// ready says that the writer may work on c. Any goroutine may call it.
func (p *pipeline) ready(c *call) {
	p.mu.Lock()
	p.slots[c.number%maxInFlight].ready = true
	if c.number == p.first {
		p.wakeWriterLocked()
	}
	p.mu.Unlock()
}

// readyHere is ready for a goroutine with time to answer c, if that is prompt and
// c's turn has come.
func (p *pipeline) readyHere(c *call) {
	p.mu.Lock()
	p.slots[c.number%maxInFlight].ready = true
	mine := c.number == p.first && c.prompt && p.here != nil && !p.claimed && !p.owed && !p.gone
	switch {
	case mine:
		p.claimed = true
	case c.number == p.first:
		p.wakeWriterLocked()
	}
	p.mu.Unlock()
	if mine {
		p.here()
	}
}

// only reports whether the latest call is the only one under way and the client
// has, as far as is known, sent nothing more. It is for the reader.
func (p *pipeline) only() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.drained && p.next-p.first == 1
}

// wakeWriterLocked sees to it that somebody works on the head, which is ready.
// Who has claimed the pipeline looks again before he lets go of it.
func (p *pipeline) wakeWriterLocked() {
	switch {
	case p.claimed:
	case p.prompt != nil && !p.owed && !p.gone && p.slots[p.first%maxInFlight].call.prompt:
		p.claimed = true
		p.prompt()
	default:
		signal(p.work)
	}
}

// claim makes the caller the writer, if there is something to write and nobody
// is. It is the connection's own goroutine that calls it; others are given the
// claim by prompt.
func (p *pipeline) claim() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.claimed || p.gone || !p.owed && !p.headReadyLocked() {
		return false
	}
	p.claimed, p.owed = true, false
	return true
}

// headReadyLocked reports whether there is a head and it can be worked on.
func (p *pipeline) headReadyLocked() bool {
	return p.next != p.first && p.slots[p.first%maxInFlight].ready
}

// yield ends a claim, unless there is more to do for who has it: then it
// returns false. With promptOnly that is what is prompt; owed says that there
// are bytes left that could not be written.
func (p *pipeline) yield(promptOnly, owed bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	ready := p.headReadyLocked()
	if ready && !p.gone && !owed && (!promptOnly || p.slots[p.first%maxInFlight].call.prompt) {
		return false
	}
	p.claimed, p.owed = false, owed
	if promptOnly && (ready || owed || p.gone || p.ended) {
		signal(p.work)
	}
	return true
}

// poll says that c, the head, waits for wake, or for the end of the connection.
func (p *pipeline) poll(c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.polling = c
	if p.ended {
		p.wakeLocked()
	}
}

// wake makes the call that polls ready. Any goroutine may call it.
func (p *pipeline) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wakeLocked()
}

func (p *pipeline) wakeLocked() {
	if c := p.polling; c != nil {
		p.polling = nil
		p.slots[c.number%maxInFlight].ready = true
		p.wakeWriterLocked()
	}
}

// take returns the head if it can be worked on, else nil; with promptOnly only
// if it is prompt. A call must become ready again before it is returned again.
// The caller has the claim.
func (p *pipeline) take(promptOnly bool) *call {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.slots[p.first%maxInFlight]
	if p.gone || p.next == p.first || !s.ready || promptOnly && !s.call.prompt {
		return nil
	}
	s.ready = false
	return s.call
}

// pop drops the head, which has been answered.
func (p *pipeline) pop() {
	p.mu.Lock()
	s := &p.slots[p.first%maxInFlight]
	p.held -= len(s.call.frame.B)
	*s = slot{}
	p.first++
	p.mu.Unlock()
	signal(p.room)
}

// wait blocks until claim may succeed. It returns false when there is nothing
// left to do: the connection is given up, or it has ended and all calls are
// answered.
func (p *pipeline) wait() bool {
	p.mu.Lock()
	over := !p.claimed && (p.gone || p.ended && p.next == p.first && !p.owed)
	p.mu.Unlock()
	if over {
		return false
	}
	<-p.work
	return true
}

// end says that no call is added any more: the writer answers what is there
// and is done.
func (p *pipeline) end() {
	p.mu.Lock()
	p.overLocked()
	p.ended = true
	p.wakeLocked()
	p.mu.Unlock()
	signal(p.work)
	signal(p.room)
}

// abandon gives up all calls. Those under way come to nothing.
func (p *pipeline) abandon() {
	p.mu.Lock()
	p.overLocked()
	p.gone = true
	p.mu.Unlock()
	signal(p.work)
	signal(p.room)
}

func (p *pipeline) overLocked() {
	if !p.ended && !p.gone {
		close(p.over)
	}
}

// stopped reports whether no call is taken any more.
func (p *pipeline) stopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone || p.ended
}

// idle reports whether no call is under way.
func (p *pipeline) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next == p.first
}

// signal wakes whoever waits on ch, now or the next time.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
