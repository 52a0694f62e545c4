package management

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// client is an AMQP client of this server with one channel.
type client struct {
	nc  net.Conn
	buf []byte
}

// closedError is what the server closed the channel or the connection with.
type closedError struct {
	code uint16
	text string
}

func (e *closedError) Error() string { return fmt.Sprintf("%d %s", e.code, e.text) }

// explanation is the text without the name of the code before it.
func (e *closedError) explanation() string {
	if _, text, ok := strings.Cut(e.text, " - "); ok {
		return text
	}
	return e.text
}

// as runs fn as an AMQP client with the request's credentials, and answers when
// that fails.
func (a *api) as(q *request, vhost string, fn func(*client) error) bool {
	c, err := a.dial(q, vhost)
	if err == nil {
		err = fn(c)
		_ = c.nc.Close()
	}
	var refusal *closedError
	switch {
	case err == nil:
		return true
	case errors.As(err, &refusal) && refusal.code == 404:
		fail(q.w, http.StatusNotFound, "not_found", refusal.explanation())
	case errors.As(err, &refusal) && refusal.code == 403:
		fail(q.w, http.StatusUnauthorized, "not_authorised", refusal.explanation())
	case errors.As(err, &refusal):
		fail(q.w, http.StatusBadRequest, "bad_request", refusal.explanation())
	default:
		fail(q.w, http.StatusServiceUnavailable, "service_unavailable", err.Error())
	}
	return false
}

func (a *api) dial(q *request, vhost string) (*client, error) {
	s := a.node.AMQP()
	if s == nil {
		return nil, errors.New("this server does not listen for AMQP: amqp.listen is empty")
	}
	nc, theirs := net.Pipe()
	s.ServeConn(theirs)
	_ = nc.SetDeadline(time.Now().Add(clientTime)) // an error shows on the next read
	c := &client{nc: nc}
	if err := c.open(q, vhost); err != nil {
		_ = nc.Close()
		return nil, err
	}
	return c, nil
}

func (c *client) open(q *request, vhost string) error {
	if _, err := c.nc.Write([]byte(wire.ProtocolHeader)); err != nil {
		return fmt.Errorf("connecting to AMQP: %w", err)
	}
	if err := c.expect(&wire.ConnectionStart{}); err != nil {
		return err
	}
	capabilities := wire.Table(nil).AppendBool("authentication_failure_close", true)
	properties := wire.Table(nil).AppendString("product", "management API").AppendTable("capabilities", capabilities)
	start := &wire.ConnectionStartOk{
		ClientProperties: properties, Mechanism: []byte("PLAIN"), Response: []byte("\x00" + q.user + "\x00" + q.password), Locale: []byte("en_US"),
	}
	if err := c.send(0, start); err != nil {
		return err
	}
	var tune wire.ConnectionTune
	if err := c.expect(&tune); err != nil {
		return err
	}
	if err := c.send(0, &wire.ConnectionTuneOk{ChannelMax: tune.ChannelMax, FrameMax: tune.FrameMax}); err != nil {
		return err
	}
	if err := c.send(0, &wire.ConnectionOpen{VirtualHost: []byte(vhost)}); err != nil {
		return err
	}
	if err := c.expect(&wire.ConnectionOpenOk{}); err != nil {
		return err
	}
	return c.call(&wire.ChannelOpen{}, &wire.ChannelOpenOk{})
}

func (c *client) send(channel uint16, m wire.Method) error {
	if _, err := c.nc.Write(wire.AppendMethod(nil, channel, m)); err != nil {
		return fmt.Errorf("sending %s: %w", m.ID(), err)
	}
	return nil
}

// call sends a method on the channel and reads its answer.
func (c *client) call(m, answer wire.Method) error {
	if err := c.send(1, m); err != nil {
		return err
	}
	return c.expect(answer)
}

// expect reads the next method into answer.
func (c *client) expect(answer wire.Method) error {
	id, args, err := c.method()
	if err != nil {
		return err
	}
	if id != answer.ID() {
		return fmt.Errorf("the server sent %s instead of %s", id, answer.ID())
	}
	return parse(answer, args)
}

// parse reads a method's arguments and makes them its own.
func parse(m wire.Method, args []byte) error {
	if err := wire.Parse(m, bytes.Clone(args)); err != nil {
		return fmt.Errorf("reading %s: %w", m.ID(), err)
	}
	return nil
}

// method returns the next method; closes are errors. The arguments are good
// until the next frame.
func (c *client) method() (wire.ID, []byte, error) {
	for {
		f, err := c.frame()
		if err != nil {
			return 0, nil, err
		}
		id, args, ok := wire.SplitMethod(f.Payload)
		if f.Type != wire.FrameMethod || !ok {
			continue // a heartbeat
		}
		switch id {
		case wire.IDConnectionClose:
			var m wire.ConnectionClose
			if err := parse(&m, args); err != nil {
				return 0, nil, err
			}
			return 0, nil, &closedError{m.ReplyCode, string(m.ReplyText)}
		case wire.IDChannelClose:
			var m wire.ChannelClose
			if err := parse(&m, args); err != nil {
				return 0, nil, err
			}
			return 0, nil, &closedError{m.ReplyCode, string(m.ReplyText)}
		}
		return id, args, nil
	}
}

// frame reads one frame, whose payload is good until the next.
func (c *client) frame() (wire.Frame, error) {
	for used := 0; ; {
		f, n, ok, err := wire.ParseFrame(c.buf, 0)
		if err != nil {
			return f, fmt.Errorf("reading a frame: %w", err)
		}
		if ok {
			f.Payload = bytes.Clone(f.Payload)
			c.buf = append(c.buf[:0], c.buf[n:]...)
			return f, nil
		}
		used = len(c.buf)
		c.buf = append(c.buf, make([]byte, max(n-used, 4096))...)
		got, err := c.nc.Read(c.buf[used:])
		c.buf = c.buf[:used+got]
		if got == 0 && err != nil {
			return f, fmt.Errorf("reading a frame: %w", err)
		}
	}
}

// content is a message that was got.
type content struct {
	properties wire.Properties
	body       []byte
}

// content reads what follows a method with a content.
func (c *client) content() (m content, err error) {
	f, err := c.frame()
	if err != nil {
		return m, err
	}
	var h wire.ContentHeader
	if err := h.Parse(f.Payload); err != nil {
		return m, fmt.Errorf("reading a content header: %w", err)
	}
	if err := m.properties.Parse(h.Properties); err != nil {
		return m, fmt.Errorf("reading properties: %w", err)
	}
	for uint64(len(m.body)) < h.Size {
		if f, err = c.frame(); err != nil {
			return m, err
		}
		m.body = append(m.body, f.Payload...)
	}
	return m, nil
}

// FromThisMachine reports whether a request is of somebody at this machine, whom
// the default user, or none, is enough: it comes from here and asks for a name
// that cannot lead elsewhere. The latter keeps out pages of a name that was made
// to lead here (DNS rebinding), to a browser the same origin, and what a proxy on
// this machine passes on. (Every browser says what it asks for.)
func FromThisMachine(r *http.Request) bool {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !remote.Addr().Unmap().IsLoopback() || r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" {
		return false
	}
	host := (&url.URL{Host: r.Host}).Hostname()
	asked, err := netip.ParseAddr(host)
	return host == "" || strings.EqualFold(host, "localhost") || err == nil && asked.Unmap().IsLoopback()
}
