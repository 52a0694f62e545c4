package amqp

import "sync/atomic"

// counter is one of the numbers that are counted of channels, by the names and
// with the meaning of RabbitMQ's global counters.
type counter uint8

const (
	received        counter = iota // messages that were published
	receivedConfirm                // of these, on channels in confirm mode
	routed                         // messages times the queues that they were routed to
	confirmed                      // publishes that were acknowledged
	givenBack                      // unroutable messages that were given back
	dropped                        // and those that were not
	deliveredManual                // messages sent to consumers that acknowledge
	deliveredAuto                  // and to those that do not
	gotManual                      // messages fetched with basic.get, to be acknowledged
	gotAuto                        // and not to be
	gotNothing                     // basic.get of an empty queue
	redelivered                    // messages sent or fetched again
	acknowledged                   // messages that clients have acknowledged
	declared                       // answered queue.declare, of queues that exist too
	counters
)

// tally is what is counted of a channel. Any goroutine may count.
type tally [counters]atomic.Int64

func (t *tally) count(c counter) { t[c].Add(1) }

// Counts are a tally, or the sum of several, at one moment.
type Counts struct {
	Received, ReceivedConfirm, Routed, Confirmed, Returned, Dropped      int64
	DeliveredManual, DeliveredAuto, GotManual, GotAuto, GotNothing       int64
	Redelivered, Acknowledged, Declared                                  int64
	ConnectionsOpened, ConnectionsClosed, ChannelsOpened, ChannelsClosed int64
	// Connections, Channels and Publishers are how many there are: publishers are
	// channels that have published.
	Connections, Channels, Publishers int64
}

func (c *Counts) add(t *tally) {
	for to, n := range map[*int64]counter{
		&c.Received: received, &c.ReceivedConfirm: receivedConfirm, &c.Routed: routed, &c.Confirmed: confirmed,
		&c.Returned: givenBack, &c.Dropped: dropped, &c.DeliveredManual: deliveredManual, &c.DeliveredAuto: deliveredAuto,
		&c.GotManual: gotManual, &c.GotAuto: gotAuto, &c.GotNothing: gotNothing, &c.Redelivered: redelivered,
		&c.Acknowledged: acknowledged, &c.Declared: declared,
	} {
		*to += t[n].Load()
	}
}

// Counts returns what was counted since the server started.
func (s *Server) Counts() Counts {
	c := s.census
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := Counts{
		ConnectionsOpened: c.connected, ConnectionsClosed: c.disconnected, Connections: c.connected - c.disconnected,
		ChannelsOpened: c.opened, ChannelsClosed: c.opened - int64(len(c.tallies)), Channels: int64(len(c.tallies)),
	}
	sum.add(&c.past)
	for t := range c.tallies {
		sum.add(t)
		if t[received].Load() > 0 {
			sum.Publishers++
		}
	}
	return sum
}

// CountsByVhost returns what was counted of messages since the server started,
// for each vhost that had a channel.
func (s *Server) CountsByVhost() map[string]Counts {
	c := s.census
	c.mu.Lock()
	defer c.mu.Unlock()
	sums := map[string]*Counts{}
	add := func(vhost string, t *tally) {
		if sums[vhost] == nil {
			sums[vhost] = new(Counts)
		}
		sums[vhost].add(t)
	}
	for vhost, t := range c.pasts {
		add(vhost, t)
	}
	for t, vhost := range c.tallies {
		add(vhost, t)
	}
	all := map[string]Counts{}
	for vhost, sum := range sums {
		all[vhost] = *sum
	}
	return all
}
