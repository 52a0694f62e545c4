package amqp

import (
	"sync"
	"sync/atomic"
)

// ExchangeCounts are the messages that clients of this server have published to
// an exchange (In), and what became of them: messages times the queues that they
// were routed to (Out).
type ExchangeCounts struct{ In, Out int64 }

// exchangeTally is the counts of exchanges. Any goroutine may use it; channels
// count by themselves, and add up when a burst ends.
type exchangeTally struct {
	mu     sync.Mutex
	counts map[exchangeKey]*exchangeCount
	// kept is how many there were after those of deleted exchanges were dropped.
	kept int
}

// exchangeKey is an exchange; id tells one from the next of its name.
type exchangeKey struct {
	vhost, name string
	id          uint64
}

type exchangeCount struct{ in, out atomic.Int64 }

// key returns the key of an exchange; ok is false if there is none.
func (s *Server) exchangeKey(vhost, name string) (k exchangeKey, ok bool) {
	x := s.opts.Broker.Exchange(vhost, name)
	if x == nil {
		return k, false
	}
	return exchangeKey{vhost, name, uint64(x.ID)}, true
}

// ExchangeCounts returns what was counted of an exchange since it was declared or
// this server has started.
func (s *Server) ExchangeCounts(vhost, name string) ExchangeCounts {
	k, _ := s.exchangeKey(vhost, name)
	t := &s.exchanges
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.counts[k]; c != nil {
		return ExchangeCounts{c.in.Load(), c.out.Load()}
	}
	return ExchangeCounts{}
}

// countOf returns where an exchange is counted; one that is gone, nowhere.
func (s *Server) countOf(vhost, name string) *exchangeCount {
	k, ok := s.exchangeKey(vhost, name)
	if !ok {
		return new(exchangeCount)
	}
	t := &s.exchanges
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.counts[k]
	if c == nil {
		if t.counts == nil {
			t.counts = map[exchangeKey]*exchangeCount{}
		}
		if len(t.counts) >= 2*max(t.kept, minExchangeCounts) {
			s.forgetExchangesLocked()
		}
		c = new(exchangeCount)
		t.counts[k] = c
	}
	return c
}

// forgetExchangesLocked drops the counts of exchanges that were deleted.
func (s *Server) forgetExchangesLocked() {
	t := &s.exchanges
	for k := range t.counts {
		if now, ok := s.exchangeKey(k.vhost, k.name); !ok || now != k {
			delete(t.counts, k)
		}
	}
	t.kept = len(t.counts)
}

// routed counts the channel's message, which goes to so many queues.
func (c *content) routed(queues int) {
	c.in++
	c.out += int64(queues)
}

// countExchange adds up what the channel has published to the exchange that it
// published to last.
func (ch *channel) countExchange() {
	c := &ch.content
	if c.in == 0 {
		return
	}
	if c.count == nil {
		c.count = ch.server.countOf(ch.tenant, c.name)
	}
	c.count.in.Add(c.in)
	c.count.out.Add(c.out)
	c.in, c.out = 0, 0
}
