// Package kafkaclient is a small Kafka client for the command line: enough to
// administer topics and groups, to produce idempotently and to read partitions,
// against Polylog and against any other server that speaks Kafka. It holds no
// background goroutines: everything happens inside the caller's call.
package kafkaclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Options says where the servers are.
type Options struct {
	// Brokers are addresses of some of the servers, host:port; the first that
	// answers tells about the rest.
	Brokers []string
	// ClientID is the name under which the server sees this client.
	ClientID string
	// Timeout bounds every request, and all retries of one operation together.
	Timeout time.Duration
	// TLS is nil for connections without. A server's name is that of its address.
	TLS *tls.Config
}

// Client speaks to a cluster. Its methods may be called concurrently; requests
// to one server wait for each other.
type Client struct {
	opts Options

	mu      sync.Mutex
	seed    *link
	links   map[int32]*link  // by node id
	address map[int32]string // as advertised
}

// link is a connection that is made when it is first needed.
type link struct {
	mu   sync.Mutex
	conn *conn
}

// Connect returns a client once one of the servers has answered.
func Connect(ctx context.Context, opts Options) (*Client, error) {
	c := &Client{opts: opts, seed: &link{}, links: map[int32]*link{}, address: map[int32]string{}}
	if _, err := c.Metadata(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close closes all connections.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.links {
		l.close()
	}
	c.seed.close()
}

func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		l.conn.close()
		l.conn = nil
	}
}

// requestor sends requests to one server; it is what kmsg's RequestWith takes.
type requestor func(context.Context, kmsg.Request) (kmsg.Response, error)

func (r requestor) Request(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	return r(ctx, req)
}

// anyServer asks whichever server the client came in by.
func (c *Client) anyServer() kmsg.Requestor {
	return requestor(func(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
		return c.seed.request(ctx, req, func() (*conn, error) { return c.dialSeed(ctx) })
	})
}

// node asks the server with this id.
func (c *Client) node(id int32) kmsg.Requestor {
	return requestor(func(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
		c.mu.Lock()
		l, address := c.links[id], c.address[id]
		if l == nil {
			l = &link{}
			c.links[id] = l
		}
		c.mu.Unlock()
		return l.request(ctx, req, func() (*conn, error) { return c.dialNode(ctx, id, address) })
	})
}

// request uses the link's connection, made anew if it broke.
func (l *link) request(ctx context.Context, req kmsg.Request, dial func() (*conn, error)) (kmsg.Response, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil || l.conn.broken {
		conn, err := dial()
		if err != nil {
			return nil, err
		}
		l.conn = conn
	}
	return l.conn.Request(ctx, req)
}

func (c *Client) dialSeed(ctx context.Context) (*conn, error) {
	var errs []error
	for _, address := range c.opts.Brokers {
		conn, err := dial(ctx, withPort(address), &c.opts)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (c *Client) dialNode(ctx context.Context, id int32, address string) (*conn, error) {
	if address == "" {
		return nil, fmt.Errorf("%w: the cluster has no server %d", ErrUnreachable, id)
	}
	conn, err := dial(ctx, address, &c.opts)
	if err != nil {
		return nil, fmt.Errorf("%w (the server advertises this address for itself: see its setting kafka.advertise)", err)
	}
	return conn, nil
}

// withPort adds Kafka's usual port to an address without one.
func withPort(address string) string {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return net.JoinHostPort(address, "9092")
	}
	return address
}

// retry runs an operation until it succeeds, fails with an error that is not
// worth another try, or the timeout has passed.
func (c *Client) retry(ctx context.Context, again func(error) bool, op func() error) error {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	for pause := retryFirst; ; pause = min(2*pause, retryMost) {
		err := op()
		if err == nil || !again(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

func hostPort(host string, port int32) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
