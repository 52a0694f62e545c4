package amqp

import (
	"sync"

	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// outbox gathers what goes to the client. Any goroutine appends whole frames,
// and a message with all its frames at once; the writer takes everything.
type outbox struct {
	mu     sync.Mutex
	b      []byte
	closed bool // what is appended now goes nowhere
	// confirming are the channels with publishes to confirm.
	confirming []*channel

	wake chan struct{}
	held bool // nobody is woken: whoever holds it looks after it
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

// append lets fn append frames to what is there.
func (o *outbox) append(fn func(b []byte) []byte) {
	o.mu.Lock()
	first := o.emptyLocked() && !o.held
	if !o.closed {
		o.b = fn(o.b)
	}
	o.mu.Unlock()
	if first {
		signal(o.wake)
	}
}

// method appends a method.
func (o *outbox) method(channel uint16, m wire.Method) {
	o.append(func(b []byte) []byte { return wire.AppendMethod(b, channel, m) })
}

func (o *outbox) emptyLocked() bool { return len(o.b) == 0 && len(o.confirming) == 0 }

// confirm says that a channel has publishes to confirm.
func (o *outbox) confirm(ch *channel) {
	o.mu.Lock()
	first := o.emptyLocked() && !o.held
	if !o.closed {
		o.confirming = append(o.confirming, ch)
	}
	o.mu.Unlock()
	if first {
		signal(o.wake)
	}
}

// hold has nobody woken until letGo, which reports whether there is something to
// write.
func (o *outbox) hold() {
	o.mu.Lock()
	o.held = true
	o.mu.Unlock()
}

func (o *outbox) letGo() (some bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = false
	return !o.emptyLocked()
}

// congested reports whether the client reads too slowly to be given more.
func (o *outbox) congested() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.b) >= outboxHigh
}

// take returns what is to be written, and has spare filled from now on. What is
// confirmed is told here: what was appended before a publish was marked goes
// out before its ack.
func (o *outbox) take(spare []byte) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.takeLocked(spare)
}

// takeLittle is take, unless there is so much that the writer should write it.
func (o *outbox) takeLittle(spare []byte) (b []byte, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.b) > maxPrompt {
		return nil, false
	}
	return o.takeLocked(spare), true
}

func (o *outbox) takeLocked(spare []byte) []byte {
	for i, ch := range o.confirming {
		o.b = ch.confirms.appendTo(o.b, ch.number)
		o.confirming[i] = nil
	}
	o.confirming = o.confirming[:0]
	b := o.b
	o.b = spare[:0]
	return b
}

// close lets nothing more in.
func (o *outbox) close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
}

// signal wakes whoever waits on ch, now or the next time.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
