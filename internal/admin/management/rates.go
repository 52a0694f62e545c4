package management

import (
	"sync"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
)

// queueTotals are numbers of messages.
type queueTotals struct {
	Messages int64 `json:"messages"`
	Ready    int64 `json:"messages_ready"`
	Unacked  int64 `json:"messages_unacknowledged"`
}

func (t *queueTotals) add(s broker.QueueStats) {
	t.Ready += s.Ready
	t.Unacked += s.Unacked
	t.Messages += s.Ready + s.Unacked
}

// queueRates are how fast these change. What comes and goes is counted in
// message_stats; here is the difference.
type queueRates struct {
	Messages detail `json:"messages_details"`
	Ready    detail `json:"messages_ready_details"`
	Unacked  detail `json:"messages_unacknowledged_details"`
}

// counts are numbers that only grow.
type counts struct{ published, delivered, redelivered, acked int64 }

func (c *counts) add(s broker.QueueStats) {
	c.published += s.Published
	c.delivered += s.Delivered
	c.redelivered += s.Redelivered
	c.acked += s.Settled
}

// sample is what an object's numbers were, and the rates that came of it.
type sample struct {
	at    time.Time
	was   counts
	rates [4]float64
}

// rates computes messages per second from one look at an object to the next:
// nothing is sampled while nobody looks.
type rates struct {
	mu   sync.Mutex
	last map[string]sample
}

// detail is a rate, as RabbitMQ nests it.
type detail struct {
	Rate float64 `json:"rate"`
}

// stats returns the message_stats of an object.
func (r *rates) stats(object string, now counts) map[string]any {
	per := r.observe(object, now, time.Now())
	return map[string]any{
		"publish": now.published, "publish_details": detail{per[0]},
		"deliver_get": now.delivered, "deliver_get_details": detail{per[1]},
		"deliver": now.delivered, "deliver_details": detail{per[1]},
		"redeliver": now.redelivered, "redeliver_details": detail{per[2]},
		"ack": now.acked, "ack_details": detail{per[3]},
	}
}

// observe takes the numbers of an object and returns their rates over the last
// span that was long enough.
func (r *rates) observe(object string, now counts, at time.Time) [4]float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, known := r.last[object]
	span := at.Sub(s.at)
	switch {
	case !known:
		if len(r.last) >= maxRated {
			clear(r.last)
		}
	case span < rateSpan:
		return s.rates
	default:
		for i, d := range [...]int64{
			now.published - s.was.published, now.delivered - s.was.delivered, now.redelivered - s.was.redelivered, now.acked - s.was.acked,
		} {
			s.rates[i] = max(0, float64(d)) / span.Seconds()
		}
	}
	s.at, s.was = at, now
	r.last[object] = s
	return s.rates
}
