package amqp

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"

	"github.com/polylog-mq/polylog/internal/broker"
)

// streamer gives a connection's consumers of streams what they can take: to each
// in turn a piece of its log, as far as its prefetch count allows and the client
// reads. It is a goroutine, which begins with the first of them: it may wait for
// the disk, which neither a shard's loop nor the connection's reader should.
type streamer struct {
	session *session
	wake    chan struct{}
	done    chan struct{} // closed when the goroutine has ended; nil before it began
	// stopped says that it is to end, parked that it waits for the writer.
	stopped, parked atomic.Bool

	mu    sync.Mutex
	ready []*consumer
}

func (x *streamer) init(s *session) {
	x.session, x.wake = s, make(chan struct{}, 1)
}

// begin has a new consumer served. It belongs to the reader.
func (x *streamer) begin(c *consumer) {
	x.add(c)
	if x.done == nil {
		x.done = make(chan struct{})
		go x.run()
	}
}

// add says that there may be something to do for a consumer. Any goroutine.
func (x *streamer) add(c *consumer) {
	x.mu.Lock()
	if !c.stream.queued {
		c.stream.queued = true
		x.ready = append(x.ready, c)
	}
	x.mu.Unlock()
	signal(x.wake)
}

// next takes the consumer whose turn it is, nil if there is none.
func (x *streamer) next() *consumer {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.ready) == 0 {
		return nil
	}
	c := x.ready[0]
	x.ready[0] = nil
	if x.ready = x.ready[1:]; len(x.ready) == 0 {
		x.ready = nil
	}
	c.stream.queued = false
	return c
}

// resume goes on if the client did not read what it had. The writer calls it when
// it has written.
func (x *streamer) resume() {
	if x.parked.Load() && x.parked.Swap(false) {
		signal(x.wake)
	}
}

// end returns when the goroutine has ended and all consumers have given up their
// readers.
func (x *streamer) end() {
	if x.done == nil {
		return
	}
	x.stopped.Store(true)
	signal(x.wake)
	<-x.done
	x.done = nil
}

func (x *streamer) run() {
	defer close(x.done)
	for {
		x.parked.Store(true)
		if !x.stopped.Load() && x.session.out.congested() {
			<-x.wake
			continue
		}
		x.parked.Store(false)
		c := x.next()
		switch {
		case c != nil:
			if c.serve() {
				x.add(c)
			}
		case x.stopped.Load():
			return
		default:
			<-x.wake
		}
	}
}

// serve gives a consumer a piece of its log, and reports whether it can go on.
func (c *consumer) serve() (more bool) {
	ch, s := c.ch, c.stream
	s.waiter.Cancel()
	ch.mu.Lock()
	over, credit := c.ended || ch.gone, c.prefetch-c.unacked
	ch.mu.Unlock()
	switch {
	case over:
		s.reader.Close()
		return false
	case c.queue.Deleted():
		c.lost(broker.ErrUnknownQueue)
		return false
	case credit <= 0: // an acknowledgement brings it back; who deletes the stream, too
		s.waiter.Wait([]broker.Interest{s.reader.Skip()}, math.MaxInt, streamPatience)
		return false
	}
	switch ok, err := s.reader.Fill(); {
	case err != nil:
		c.lost(err)
		return false
	case !ok:
		s.waiter.Wait([]broker.Interest{s.reader.Interest()}, 1, streamPatience)
		return false
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if c.ended || ch.gone {
		return true // to be closed
	}
	ch.out.append(func(b []byte) []byte {
		for begin := len(b); credit > 0 && len(b)-begin < streamTurn; {
			r := s.reader.Take()
			switch {
			case r == nil:
				return b
			case s.wants(r):
				b = c.appendStreamed(b, r)
				credit--
			}
		}
		return b
	})
	return true
}

// lost tells the client that the consumer has come to an end: the stream is gone,
// or cannot be read. The reader does it, so that what it is about to answer to the
// client that deletes the stream comes first.
func (c *consumer) lost(err error) {
	s := c.ch.session
	c.stream.reader.Close()
	if !errors.Is(err, broker.ErrUnknownQueue) {
		s.server.log.Error("a stream cannot be read", "stream", c.queue.Name(), "client", s.client, "error", err)
	}
	s.post(func() { c.cancelled(err) })
}
