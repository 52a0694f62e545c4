package amqp

import (
	"sync"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/state/parameter"
)

// census counts, for the limits that operators set, the open connections by
// vhost and by user, and the open channels by user. It also keeps the tallies of
// channels. All methods may be called
// from any goroutine.
type census struct {
	limits *broker.Broker

	mu                      sync.Mutex
	vhosts, users, channels map[string]int64
	// connected, disconnected and opened count since the start; tallies are those
	// of the open channels, and past is the sum of those that were closed.
	connected, disconnected, opened int64
	tallies                         map[*tally]string // and their vhosts
	past                            tally
	// pasts are past by vhost.
	pasts map[string]*tally
}

func newCensus(limits *broker.Broker) *census {
	return &census{limits: limits, vhosts: map[string]int64{}, users: map[string]int64{}, channels: map[string]int64{}, tallies: map[*tally]string{}, pasts: map[string]*tally{}}
}

// connect counts a connection in, or says in RabbitMQ's words why it is one too
// many.
func (c *census) connect(user, vhost string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n, ok := c.limits.UserLimit(user, parameter.MaxConnections); ok && c.users[user] >= n {
		return refuse(codeNotAllowed, "Connection refused for user '%s': user connection limit (%d) is reached", user, n)
	}
	if n, ok := c.limits.TenantLimit(vhost, parameter.MaxConnections); ok && c.vhosts[vhost] >= n {
		return refuse(codeNotAllowed, "access to vhost '%s' refused for user '%s': connection limit (%d) is reached", vhost, user, n)
	}
	c.users[user]++
	c.vhosts[vhost]++
	c.connected++
	return nil
}

func (c *census) disconnect(user, vhost string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.disconnected++
	less(c.users, user)
	less(c.vhosts, vhost)
}

// open counts a channel of a vhost in and returns its tally, or says in RabbitMQ's words why
// it is one too many.
func (c *census) open(user, vhost string) (*tally, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n, ok := c.limits.UserLimit(user, parameter.MaxChannels); ok && c.channels[user] >= n {
		return nil, refuse(codeNotAllowed, "number of channels opened for user '%s' has reached the maximum allowed user limit of (%d)", user, n)
	}
	c.channels[user]++
	c.opened++
	t := new(tally)
	c.tallies[t] = vhost
	return t, nil
}

func (c *census) close(user string, t *tally) {
	c.mu.Lock()
	defer c.mu.Unlock()
	past := c.pasts[c.tallies[t]]
	if past == nil {
		past = new(tally)
		c.pasts[c.tallies[t]] = past
	}
	delete(c.tallies, t)
	for i := range t {
		c.past[i].Add(t[i].Load())
		past[i].Add(t[i].Load())
	}
	less(c.channels, user)
}

func less(counts map[string]int64, name string) {
	if counts[name]--; counts[name] == 0 {
		delete(counts, name)
	}
}
