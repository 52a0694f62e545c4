package amqp

import (
	"sync"
	"sync/atomic"

	"github.com/polylog-mq/polylog/internal/broker"
)

// A burst is what was read at a time. Publishes, settles and grants of credit
// that it asked for are gathered by their channels, and handed to the broker
// when it ends.

// touch says that the channel has something for the end of the burst.
func (ch *channel) touch() {
	if !ch.touched {
		ch.touched = true
		ch.dirty = append(ch.dirty, ch)
	}
}

// endBurst hands over what the burst has gathered.
func (s *session) endBurst() {
	if s.helps() {
		s.quiet = true
		s.out.hold()
	}
	for i, ch := range s.dirty {
		s.dirty[i] = nil
		ch.touched = false
		if !ch.closing {
			ch.flush()
		}
	}
	s.dirty = s.dirty[:0]
	s.help()
	s.widen()
	s.replenish()
}

// helps reports whether the reader may as well write the log itself: it has nothing
// else to do, since the client waits for this one batch.
func (s *session) helps() bool {
	if !s.drained || len(s.dirty) != 1 {
		return false
	}
	p := &s.dirty[0].packing
	if len(p.open) != 1 || p.open[0].builder.Size() > mostHelped {
		return false
	}
	s.flow.Lock()
	defer s.flow.Unlock()
	return s.flow.underWay == 0
}

// help helps the broker, if that was promised, and writes what comes of it.
func (s *session) help() {
	if !s.quiet {
		return
	}
	s.server.opts.Broker.Help()
	s.loud()
}

// loud ends what helps has begun: others see to the outbox again.
func (s *session) loud() {
	if !s.quiet {
		return
	}
	s.quiet = false
	if s.out.letGo() {
		s.here()
	}
}

// began and ended count what is under way: n is 1 for a batch, 0 for what does
// not count against their number.
func (s *session) began(batch int) {
	s.flow.Lock()
	s.flow.underWay++
	s.flow.batches += batch
	s.flow.Unlock()
}

func (s *session) ended(batch int) {
	s.flow.Lock()
	s.flow.underWay--
	s.flow.batches -= batch
	if s.flow.underWay == 0 {
		s.flow.idle.Broadcast()
	}
	resume := s.flow.resume
	if resume != nil && s.flow.batches <= maxUnderWay/2 {
		s.flow.resume = nil
	} else {
		resume = nil
	}
	s.flow.Unlock()
	if resume != nil {
		resume()
	}
}

// crowded reports whether the connection has too many batches under way.
func (s *session) crowded() bool {
	s.flow.Lock()
	defer s.flow.Unlock()
	return s.flow.batches > maxUnderWay
}

// whenRoom has resume called once when it is not crowded any more.
func (s *session) whenRoom(resume func()) {
	s.flow.Lock()
	s.flow.resume = resume
	now := s.flow.batches <= maxUnderWay/2
	if now {
		s.flow.resume = nil
	}
	s.flow.Unlock()
	if now {
		resume()
	}
}

// settled hands over what is gathered and waits until the broker has answered
// all that is under way, so that the next method finds it done.
func (s *session) settled() {
	s.endBurst()
	s.flow.Lock()
	for s.flow.underWay > 0 {
		s.flow.idle.Wait()
	}
	s.flow.Unlock()
}

// outrun returns a queue that the burst has published to and whose consumers are
// being outrun, nil if there is none, or if consumers of the connection itself
// would have to wait for their acknowledgements to be read.
func (s *session) outrun() *broker.Queue {
	q := s.behind
	s.behind = nil
	if q == nil {
		return nil
	}
	for _, ch := range s.channels {
		ch.mu.Lock()
		consumes := len(ch.consumers) > 0
		ch.mu.Unlock()
		if consumes {
			return nil
		}
	}
	return q
}

// thirst is the consumers that are short of credit.
type thirst struct {
	mu        sync.Mutex
	consumers []*consumer
	any       atomic.Bool
}

func (t *thirst) add(c *consumer) {
	t.mu.Lock()
	t.consumers = append(t.consumers, c)
	t.any.Store(true)
	t.mu.Unlock()
}

func (t *thirst) take() []*consumer {
	if !t.any.Load() {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.any.Store(false)
	cs := t.consumers
	t.consumers = nil
	return cs
}
