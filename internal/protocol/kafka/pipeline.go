package kafka

import "sync"

// pipeline keeps the calls of one connection in the order they came. The reader
// adds at its end; the writer works on its head, as soon as that is ready.
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

	work chan struct{} // wakes the writer
	room chan struct{} // wakes the reader
}

type slot struct {
	call  *call
	ready bool
}

func newPipeline() *pipeline {
	return &pipeline{work: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// add appends a call and blocks while there is no room for it. With ready the
// writer may work on it at once. It returns false, and takes nothing, when the
// connection has ended.
func (p *pipeline) add(c *call, ready bool) bool {
	size := len(c.frame.B)
	p.mu.Lock()
	for !p.gone && !p.ended && (p.next-p.first == maxInFlight || p.next > p.first && p.held+size > maxHeld) {
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
	wake := ready && c.number == p.first
	p.mu.Unlock()
	if wake {
		signal(p.work)
	}
	return true
}

// ready says that the writer may work on c. Any goroutine may call it.
func (p *pipeline) ready(c *call) {
	p.mu.Lock()
	p.slots[c.number%maxInFlight].ready = true
	wake := c.number == p.first
	p.mu.Unlock()
	if wake {
		signal(p.work)
	}
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
		signal(p.work)
	}
}

// take returns the head if it can be worked on, else nil. A call must become
// ready again before it is returned again.
func (p *pipeline) take() *call {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.slots[p.first%maxInFlight]
	if p.gone || p.next == p.first || !s.ready {
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

// wait blocks until take may have something to return. It returns false when
// there is nothing left to do: the connection is given up, or it has ended and
// all calls are answered.
func (p *pipeline) wait() bool {
	p.mu.Lock()
	over := p.gone || p.ended && p.next == p.first
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
	p.ended = true
	p.wakeLocked()
	p.mu.Unlock()
	signal(p.work)
	signal(p.room)
}

// abandon gives up all calls. Those under way come to nothing.
func (p *pipeline) abandon() {
	p.mu.Lock()
	p.gone = true
	p.mu.Unlock()
	signal(p.work)
	signal(p.room)
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
