package kafkaclient

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// conn is one connection: requests go out and are answered one after the
// other. It belongs to one goroutine at a time.
type conn struct {
	nc        net.Conn
	r         *bufio.Reader
	formatter *kmsg.RequestFormatter
	timeout   time.Duration
	corr      int32
	buf       []byte
	versions  map[int16][2]int16 // what the server speaks: lowest, highest
	broken    bool
}

// dial connects and learns which versions the server speaks.
func dial(ctx context.Context, address string, opts *Options) (*conn, error) {
	plain := &net.Dialer{Timeout: opts.Timeout}
	connect := plain.DialContext
	if opts.TLS != nil {
		connect = (&tls.Dialer{NetDialer: plain, Config: opts.TLS}).DialContext
	}
	nc, err := connect(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w at %s: %w", ErrUnreachable, address, err)
	}
	c := &conn{
		nc: nc, r: bufio.NewReaderSize(nc, 64<<10), timeout: opts.Timeout,
		formatter: kmsg.NewRequestFormatter(kmsg.FormatterClientID(opts.ClientID)),
		versions:  map[int16][2]int16{int16(kmsg.ApiVersions): {0, 0}},
	}
	resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, c)
	if err == nil {
		err = codeError(resp.ErrorCode, nil)
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("asking %s what it speaks: %w", address, err)
	}
	for _, k := range resp.ApiKeys {
		c.versions[k.ApiKey] = [2]int16{k.MinVersion, k.MaxVersion}
	}
	return c, nil
}

func (c *conn) close() { _ = c.nc.Close() }

// Request sends one request at the highest version that both sides speak (or
// at the one set in it, if that is lower) and reads the answer, which is the
// caller's. After an error of the connection, every further Request fails.
func (c *conn) Request(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	if c.broken {
		return nil, fmt.Errorf("%w: the connection is closed", ErrUnreachable)
	}
	version, err := c.version(req)
	if err != nil {
		return nil, err
	}
	req.SetVersion(version)
	c.corr++
	stop := c.deadline(ctx, req)
	defer stop()
	resp, err := c.roundTrip(req)
	if err != nil {
		c.broken = true
		c.close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %s: %w", ErrUnreachable, kmsg.NameForKey(req.Key()), err)
	}
	return resp, nil
}

// version picks the request's version.
func (c *conn) version(req kmsg.Request) (int16, error) {
	v := req.MaxVersion()
	if pinned := req.GetVersion(); pinned > 0 && pinned < v {
		v = pinned
	}
	speaks, ok := c.versions[req.Key()]
	if !ok || speaks[0] > v {
		return 0, fmt.Errorf("the server does not speak %s: %w", kmsg.NameForKey(req.Key()), UnsupportedVersion.Err())
	}
	return min(v, speaks[1]), nil
}

// deadline bounds the round trip by the timeout and by ctx.
func (c *conn) deadline(ctx context.Context, req kmsg.Request) (stop func()) {
	timeout := c.timeout
	switch r := req.(type) {
	case kmsg.TimeoutRequest:
		timeout += time.Duration(r.Timeout()) * time.Millisecond
	case *kmsg.JoinGroupRequest, *kmsg.SyncGroupRequest: // they wait for other members
		timeout += rebalanceTimeout
	}
	_ = c.nc.SetDeadline(time.Now().Add(timeout)) // an error shows on the next read
	cut := context.AfterFunc(ctx, func() { _ = c.nc.SetDeadline(time.Unix(1, 0)) })
	return func() { cut() }
}

func (c *conn) roundTrip(req kmsg.Request) (kmsg.Response, error) {
	c.buf = c.formatter.AppendRequest(c.buf[:0], req, c.corr)
	if _, err := c.nc.Write(c.buf); err != nil {
		return nil, err
	}
	if p, ok := req.(*kmsg.ProduceRequest); ok && p.Acks == 0 {
		return p.ResponseKind(), nil
	}
	body, err := c.readFrame()
	if err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	if resp.IsFlexible() && resp.Key() != int16(kmsg.ApiVersions) {
		if len(body) == 0 || body[0] != 0 {
			return nil, errors.New("an answer with header tags, which nobody sends")
		}
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	return resp, nil
}

// readFrame reads one answer and returns it without its correlation id.
func (c *conn) readFrame() ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint32(head[:4])) - 4
	if size < 0 || size > maxResponse {
		return nil, fmt.Errorf("an answer of %d bytes: is this a Kafka port?", size+4)
	}
	if got := int32(binary.BigEndian.Uint32(head[4:])); got != c.corr {
		return nil, fmt.Errorf("an answer to request %d instead of %d", got, c.corr)
	}
	body := make([]byte, size)
	_, err := io.ReadFull(c.r, body)
	return body, err
}
