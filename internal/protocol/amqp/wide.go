package amqp

import (
	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// A consumer of a topic that was not declared as a queue is as many consumers of
// the broker's as the topic has partitions. To the client they are one: they
// share a tag, a prefetch count and a place on the channel. Each partition is
// given an equal share of what may still be delivered. If that is less than one
// message each, those partitions have a turn that have messages, and it is looked
// again soon; when none has any, each may deliver one: what then comes beyond the
// prefetch count is held until the client has acknowledged others.

// wide is what the parts of such a consumer share. It is guarded by the channel's
// mu, but for what only the reader touches.
type wide struct {
	parts     []*consumer // by partition
	exclusive bool
	priority  int32

	unacked int // of all parts
	holding int // those of them that the client was not sent

	turn    int  // of the parts that have the first claim to credit
	looking bool // a look at who has messages is due
}

// lead returns the consumer that the client's tag stands for.
func (c *consumer) lead() *consumer {
	if c.wide != nil {
		return c.wide.parts[0]
	}
	return c
}

// parts calls fn with all that the client's tag stands for.
func (c *consumer) each(fn func(*consumer)) {
	if c.wide == nil {
		fn(c)
		return
	}
	for _, p := range c.wide.parts {
		fn(p)
	}
}

// count notes that n deliveries more, or less, are not acknowledged.
func (c *consumer) countLocked(n int) {
	c.unacked += n
	if c.wide != nil {
		c.wide.unacked += n
	}
}

// planLocked says how much credit each part should have, and reports whether that
// depends on who has messages now.
func (w *wide) planLocked() (depends bool) {
	lead, n := w.parts[0], len(w.parts)
	free := lead.freeLocked(w.unacked)
	if free <= 0 || free >= n {
		for _, p := range w.parts {
			p.want = min(max(p.window()/n, minWindow), max(free, 0)/n)
		}
		return false
	}
	w.turn++
	ready := 0
	for i := range w.parts {
		p := w.parts[(w.turn+i)%n]
		p.want = 0
		if ready < free && readyIn(p.queue) > 0 {
			p.want = 1
			ready++
		}
	}
	for i := 0; i < n && ready == 0; i++ {
		w.parts[i].want = 1
	}
	return ready > 0
}

// lookAgain has the reader plan again in a moment.
func (c *consumer) lookAgainLocked() {
	w, s := c.wide, c.ch.session
	if w.looking {
		return
	}
	w.looking = true
	s.server.opts.Clock.AfterFunc(lookAgainTime, func() {
		s.post(func() {
			c.ch.mu.Lock()
			w.looking = false
			c.thirstyLocked()
			c.ch.mu.Unlock()
		})
	})
}

// fullLocked reports whether the client has as many messages as it may have.
func (c *consumer) fullLocked() bool {
	w := c.wide
	return w != nil && c.prefetch > 0 && w.unacked-w.holding >= c.prefetch
}

// lackLocked returns how much credit the broker is to give the consumer, or a
// part of one to give back.
func (c *consumer) lackLocked() int {
	want := c.want
	if c.wide == nil {
		want = c.wantLocked()
	}
	n := want - c.credit
	switch {
	case c.ended || c.ch.gone || c.broker == nil:
		return 0
	case n < 0 && (c.wide == nil || c.credit <= 0 || -n < want/4):
		return 0
	}
	return n
}

// consumeTopic begins a consumer of a topic's partitions. They are joined in
// order, so that of two exclusive ones the first is served; none delivers before
// all are joined and the client is answered.
func (ch *channel) consumeTopic(queues []*broker.Queue, m *wire.BasicConsume, tag string, priority int32) error {
	w := &wide{exclusive: m.Exclusive, priority: priority}
	for i, q := range queues {
		c := ch.newConsumer(q, m.NoAck, tag)
		c.wide = w
		c.asked(m)
		ch.mu.Lock()
		w.parts = append(w.parts, c)
		if i == 0 {
			ch.consumers[tag] = c
		}
		ch.mu.Unlock()
		if err := ch.join(c, m.Exclusive, priority, nil); err != nil {
			ch.abandon(w.parts[0])
			return err
		}
	}
	ch.wides = append(ch.wides, w.parts[0])
	if !m.NoWait {
		ch.reply(&wire.BasicConsumeOk{ConsumerTag: w.parts[0].tag})
	}
	ch.mu.Lock()
	w.parts[0].thirstyLocked()
	ch.mu.Unlock()
	return nil
}

// abandon ends a consumer that could not begin.
func (ch *channel) abandon(c *consumer) {
	ch.mu.Lock()
	if ch.consumers[string(c.tag)] == c {
		delete(ch.consumers, string(c.tag))
	}
	c.each(func(p *consumer) { p.ended = true })
	ch.mu.Unlock()
	ch.leave(c)
}

// leave ends what the consumer has with the broker.
func (ch *channel) leave(c *consumer) {
	c.each(func(p *consumer) {
		if p.broker != nil {
			ch.ask(p.broker.Cancel)
		}
	})
}

// widen joins partitions that topics have got since they are consumed.
func (s *session) widen() {
	if len(s.wides) == 0 || s.time < s.widened+widenEvery {
		return
	}
	s.widened = s.time
	kept := s.wides[:0]
	for _, c := range s.wides {
		c.ch.mu.Lock()
		over := c.ended || c.ch.gone
		c.ch.mu.Unlock()
		if over {
			continue
		}
		kept = append(kept, c)
		queues := s.server.opts.Broker.QueuesOf(s.tenant, c.queue.Name())
		for _, q := range queues[min(len(queues), len(c.wide.parts)):] {
			if c.ch.joinMore(c, q) != nil {
				break // the next time
			}
		}
	}
	clear(s.wides[len(kept):])
	s.wides = kept
}

// joinMore joins one more partition.
func (ch *channel) joinMore(c *consumer, q *broker.Queue) error {
	p := ch.newConsumer(q, c.noAck, string(c.tag))
	p.wide, p.prefetch = c.wide, c.prefetch
	if err := ch.join(p, c.wide.exclusive, c.wide.priority, nil); err != nil {
		return err
	}
	ch.mu.Lock()
	c.wide.parts = append(c.wide.parts, p)
	c.thirstyLocked()
	ch.mu.Unlock()
	return nil
}

// getFrom takes a message from one of a topic's partitions, each having its turn
// to be asked first.
func (ch *channel) getFrom(queues []*broker.Queue, noAck bool) error {
	ch.turn++
	for i := range queues {
		q := queues[(ch.turn+i)%len(queues)]
		others := readyIn(queues...) - readyIn(q)
		var got bool
		var err error
		ch.ask(func(done func()) {
			q.Get(ch.lessor(), noAck, func(d *broker.Delivery, remaining int64, ok bool, e error) {
				if err = e; err == nil && ok {
					got = true
					ch.got(q, d, remaining+others, noAck)
				}
				done()
			})
		})
		if got || err != nil {
			return err
		}
	}
	ch.tally.count(gotNothing)
	ch.reply(&wire.BasicGetEmpty{})
	return nil
}

// readyIn returns how many messages are ready in queues. All of a partition that
// was never consumed by workers are.
func readyIn(queues ...*broker.Queue) (n int64) {
	for _, q := range queues {
		if p := q.Partition(); q.Settings() == nil {
			n += int64(p.HighWatermark() - p.Floor())
		} else {
			n += q.Stats().Ready
		}
	}
	return n
}
