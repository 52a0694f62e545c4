package amqp

import (
	"errors"

	"github.com/polylog-mq/polylog/internal/broker"
)

// settling gathers what a burst says about deliveries, one list per verdict.
type settling [verdicts][]broker.LeaseID

const verdicts = 4

// add notes a verdict.
func (s *settling) add(v broker.Verdict, l broker.LeaseID) { s[v] = append(s[v], l) }

// flushSettles hands the verdicts to the broker. An ack is not waited for: what
// it says can be seen by nobody but the next owner after a crash.
func (ch *channel) flushSettles() {
	for v := range ch.settling {
		leases := ch.settling[v]
		if len(leases) == 0 {
			continue
		}
		ch.settling[v] = leases[:0]
		if broker.Verdict(v) == broker.Accept {
			ch.server.opts.Broker.Settle(ch.lessor(), broker.Accept, leases, nil)
			continue
		}
		ch.began(0)
		ch.server.opts.Broker.Settle(ch.lessor(), broker.Verdict(v), leases, ch.settleDone)
	}
}

// settleDone takes the broker's answer to a verdict. If it is not known to have
// taken effect the record comes again, which is no worse than a lost verdict.
func (s *session) settleDone(err error) {
	if err != nil && !errors.Is(err, broker.ErrClosed) {
		s.server.log.Warn("settling deliveries", "client", s.client, "error", err)
	}
	s.ended(0)
}

// settle applies a verdict to the delivery tag, or to all up to it.
func (ch *channel) settle(tag uint64, multiple bool, v broker.Verdict) error {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	var stream *broker.Queue
	ok := ch.unacked.take(tag, multiple, func(tag uint64, d delivery) {
		if v != broker.Accept && d.consumer != nil && d.consumer.stream != nil {
			stream = d.consumer.queue
			return
		}
		if ch.tx != nil {
			ch.tx.settle(tag, d, v)
			return
		}
		ch.settledLocked(d, v)
	})
	if !ok {
		return refuse(codePreconditionFailed, "unknown delivery tag %d", tag)
	}
	if stream != nil {
		return notOfStreams("basic.nack and basic.reject", stream)
	}
	if ch.tx != nil {
		return ch.tx.check()
	}
	ch.releaseHeldLocked()
	ch.touch()
	return nil
}

// settledLocked notes the verdict on a delivery, which no longer counts against
// anybody's prefetch.
func (ch *channel) settledLocked(d delivery, v broker.Verdict) {
	if v == broker.Accept {
		ch.tally.count(acknowledged)
	}
	if d.consumer == nil || d.consumer.stream == nil {
		ch.settling.add(v, d.lease)
	}
	if c := d.consumer; c != nil {
		c.countLocked(-1)
		ch.counted--
		c.thirstyLocked()
	}
}
