package amqp

import (
	"sync"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/state/parameter"
)

// census counts, for the limits that operators set, the open connections by
// vhost and by user, and the open channels by user. All methods may be called
// from any goroutine.
type census struct {
	limits *broker.Broker

	mu                      sync.Mutex
	vhosts, users, channels map[string]int64
}

func newCensus(limits *broker.Broker) *census {
	return &census{limits: limits, vhosts: map[string]int64{}, users: map[string]int64{}, channels: map[string]int64{}}
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
	return nil
}

func (c *census) disconnect(user, vhost string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	less(c.users, user)
	less(c.vhosts, vhost)
}

// open counts a channel in, or says in RabbitMQ's words why it is one too many.
func (c *census) open(user string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n, ok := c.limits.UserLimit(user, parameter.MaxChannels); ok && c.channels[user] >= n {
		return refuse(codeNotAllowed, "number of channels opened for user '%s' has reached the maximum allowed user limit of (%d)", user, n)
	}
	c.channels[user]++
	return nil
}

func (c *census) close(user string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	less(c.channels, user)
}

func less(counts map[string]int64, name string) {
	if counts[name]--; counts[name] == 0 {
		delete(counts, name)
	}
}
