package management

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp"
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

// detail is a rate, as RabbitMQ nests it, with its samples if they are asked for.
type detail struct {
	Rate    float64 `json:"rate"`
	Samples []point `json:"samples,omitempty"`
}

// point is what a number was.
type point struct {
	Sample    int64 `json:"sample"`
	Timestamp int64 `json:"timestamp"` // ms
}

// The names of the numbers that an object has, in their order: first the totals,
// then what only grows, by the names of message_stats.
var (
	totalNames   = []string{"messages", "messages_ready", "messages_unacknowledged"}
	queueNames   = []string{"publish", "deliver_get", "deliver", "redeliver", "ack"}
	messageNames = []string{
		"publish", "confirm", "return_unroutable", "drop_unroutable", "deliver", "deliver_no_ack", "get", "get_no_ack", "get_empty",
		"deliver_get", "redeliver", "ack",
	}
	churnNames = []string{
		"connection_created", "connection_closed", "channel_created", "channel_closed", "queue_declared", "queue_created", "queue_deleted",
	}
	// nodeNames are those of a node that come and go.
	nodeNames    = []string{"fd_used", "sockets_used", "mem_used", "disk_free", "proc_used"}
	trafficNames = []string{"recv_oct", "send_oct"}
	// exchangeNames are those of an exchange.
	exchangeNames = []string{"publish_in", "publish_out"}
)

// numbers are those of an object at one moment.
type numbers []int64

func queueNumbers(s broker.QueueStats) numbers {
	return numbers{
		s.Ready + s.Unacked, s.Ready, s.Unacked,
		s.Published, s.Delivered, s.Delivered, s.Redelivered, s.Settled,
	}
}

// messageNumbers are those of messageNames.
func messageNumbers(c amqp.Counts) numbers {
	return numbers{
		c.Received, c.Confirmed, c.Returned, c.Dropped, c.DeliveredManual, c.DeliveredAuto, c.GotManual, c.GotAuto, c.GotNothing,
		c.DeliveredManual + c.DeliveredAuto + c.GotManual + c.GotAuto, c.Redelivered, c.Acknowledged,
	}
}

func trafficNumbers(c *amqp.ConnectionInfo) numbers {
	return numbers{c.Traffic.Received, c.Traffic.Sent}
}

func exchangeNumbers(c amqp.ExchangeCounts) numbers { return numbers{c.In, c.Out} }

// vhostNumbers are those of totalNames and messageNames.
func vhostNumbers(t queueTotals, c amqp.Counts) numbers {
	return append(numbers{t.Messages, t.Ready, t.Unacked}, messageNumbers(c)...)
}

// serverNumbers are those of totalNames, messageNames, churnNames and nodeNames.
func (s *sampler) serverNumbers(b *broker.Broker, t queueTotals, c amqp.Counts) numbers {
	n := append(numbers{t.Messages, t.Ready, t.Unacked}, messageNumbers(c)...)
	created, deleted := b.QueueChurn()
	n = append(n, c.ConnectionsOpened, c.ConnectionsClosed, c.ChannelsOpened, c.ChannelsClosed, c.Declared, created, deleted)
	m := processNow()
	return append(n, m.files, c.Connections, m.memory, int64(b.Health().Free), m.goroutines)
}

// The places of names in serverNumbers.
var (
	firstMessage = len(totalNames)
	firstChurn   = firstMessage + len(messageNames)
	firstOfNode  = firstChurn + len(churnNames)
)

// series are the latest samples of an object, the newest last.
type series []sample

type sample struct {
	at time.Time
	numbers
}

// rate returns how fast a number changed between the two latest samples.
func (s series) rate(i int) float64 {
	if len(s) < 2 {
		return 0
	}
	a, b := s[len(s)-2], s[len(s)-1]
	return float64(b.numbers[i]-a.numbers[i]) / b.at.Sub(a.at).Seconds()
}

// detail describes a number; with samples, those of the last age.
func (s series) detail(i int, age time.Duration) detail {
	d := detail{Rate: s.rate(i)}
	for n := len(s) - 1; n >= 0 && age > 0 && s[len(s)-1].at.Sub(s[n].at) <= age; n-- {
		d.Samples = append(d.Samples, point{s[n].numbers[i], s[n].at.UnixMilli()})
	}
	return d
}

// totals describes how the totals change.
func (s series) totals(age time.Duration) queueRates {
	return queueRates{s.detail(0, age), s.detail(1, age), s.detail(2, age)}
}

// stats returns the numbers from place first on by their names, with how they
// change: those of message_stats, and others that only grow.
func (s series) stats(first int, names []string, now numbers) map[string]any {
	stats := map[string]any{}
	for i, name := range names {
		d := s.detail(first+i, 0)
		d.Rate = max(d.Rate, 0) // below 0 it was counted anew
		stats[name], stats[name+"_details"] = now[first+i], d
	}
	return stats
}

// lengthsAge is the age of the samples of totals that a request asks for.
func lengthsAge(r *http.Request) time.Duration {
	seconds, err := strconv.Atoi(r.FormValue("lengths_age"))
	if err != nil || seconds < 0 || r.FormValue("lengths_incr") == "" {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// sampler samples the numbers of all queues and of the server every rateSpan, as
// long as somebody has looked within watchTime: a rate is that of the last whole
// span, whoever looks how often.
type sampler struct {
	node Node

	mu      sync.Mutex
	series  map[string]series // by seriesName; "" is the server
	looked  time.Time
	ticking bool
	// greeted is when somebody has last looked at connections or channels.
	greeted time.Time
}

func seriesName(vhost, queue string) string { return vhost + "\x00" + queue }

// vhostSeries and exchangeSeries name the series of a vhost and of an exchange.
func vhostSeries(vhost string) string          { return vhost + "\x00\x00" }
func exchangeSeries(vhost, name string) string { return vhost + "\x00\x00\x00" + name }

// peerSeries names the series of a connection, or of a channel, by its name.
func peerSeries(name string) string { return "\x00" + name }

// of returns the series of an object; one that was not sampled yet has its present
// numbers.
func (s *sampler) of(object string, now numbers) series {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looked = time.Now()
	if !s.ticking {
		s.ticking = true
		s.tickLocked(nil)
	}
	if past, ok := s.series[object]; ok {
		return past
	}
	return series{{s.looked, now}}
}

// ofPeer is of, for connections and channels, which are asked for their numbers
// only while somebody looks at some.
func (s *sampler) ofPeer(name string, now numbers) series {
	past := s.of(peerSeries(name), now)
	s.mu.Lock()
	s.greeted = time.Now()
	s.mu.Unlock()
	return past
}

func (s *sampler) tick() {
	s.mu.Lock()
	wanted := time.Since(s.greeted) <= watchTime
	s.mu.Unlock()
	var peers []amqp.ConnectionInfo
	if server := s.node.AMQP(); wanted && server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), askTime)
		peers = server.Connections(ctx)
		cancel()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tickLocked(peers)
}

func (s *sampler) tickLocked(peers []amqp.ConnectionInfo) {
	b, now := s.node.Broker(), time.Now()
	if b == nil || now.Sub(s.looked) > watchTime {
		s.series, s.ticking = nil, false
		return
	}
	next := map[string]series{}
	take := func(object string, n numbers) {
		old := s.series[object]
		if len(old) == maxSamples {
			old = append(series(nil), old[1:]...)
		}
		next[object] = append(old, sample{now, n})
	}
	var all queueTotals
	counts := s.countsByVhost()
	for tenant := range b.Tenants() {
		var own queueTotals
		for q := range b.Queues(tenant) {
			stats := q.Stats()
			all.add(stats)
			own.add(stats)
			if len(next) < maxRated {
				take(seriesName(tenant, q.Name()), queueNumbers(stats))
			}
		}
		if len(next) < maxRated {
			take(vhostSeries(tenant), vhostNumbers(own, counts[tenant]))
		}
		for x := range b.Exchanges(tenant) {
			if n := exchangeNumbers(s.exchange(tenant, x.Name)); len(next) < maxRated && n[0] > 0 {
				take(exchangeSeries(tenant, x.Name), n)
			}
		}
	}
	take("", s.serverNumbers(b, all, s.counts()))
	for i := range peers {
		c := &peers[i]
		if len(next)+len(c.Channels) >= maxRated {
			break
		}
		take(peerSeries(c.Name), trafficNumbers(c))
		for _, ch := range c.Channels {
			take(peerSeries(channelName(c, ch.Number)), messageNumbers(ch.Counts))
		}
	}
	s.series = next
	time.AfterFunc(rateSpan, s.tick)
}

// counts are those of the AMQP server, if there is one.
func (s *sampler) counts() amqp.Counts {
	if server := s.node.AMQP(); server != nil {
		return server.Counts()
	}
	return amqp.Counts{}
}

// countsByVhost are those of the AMQP server, if there is one.
func (s *sampler) countsByVhost() map[string]amqp.Counts {
	if server := s.node.AMQP(); server != nil {
		return server.CountsByVhost()
	}
	return nil
}

// exchange returns what the AMQP server has counted of an exchange.
func (s *sampler) exchange(vhost, name string) amqp.ExchangeCounts {
	if server := s.node.AMQP(); server != nil {
		return server.ExchangeCounts(vhost, name)
	}
	return amqp.ExchangeCounts{}
}
