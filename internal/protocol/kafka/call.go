package kafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/protocol/kafka/wire"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// call is one request on its way to its answer. Its request and all that it
// aliases stay valid until the answer was written.
type call struct {
	*session
	pipe   *pipeline
	number uint64 // of the call within its pipeline
	api    *api
	header wire.Header
	body   []byte // aliases frame
	frame  *wire.Frame

	// One of these is set by the time the call is ready.
	response kmsg.Response
	write    step
	failure  error
	// prompt says that the answer takes little time and waits for nothing, once
	// the call is ready. It is set before.
	prompt bool

	// release, if set, runs after the answer was written or given up.
	release func()
}

// step writes a call's answer by hand, on the writer's goroutine. It returns
// false if it has to be called again once the call is ready again.
type step func(c *call, out *wire.Output) (done bool)

// on makes a handler of a function that takes a decoded request. The request's
// byte slices alias the frame; its strings do not.
func on[T any, R interface {
	*T
	kmsg.Request
}](fn func(*call, R)) func(*call) {
	return func(c *call) {
		req := R(new(T))
		req.SetVersion(c.header.Version)
		if err := wire.Check(c.header.Key, c.header.Version, c.body); err != nil {
			c.fail(err)
			return
		}
		if err := req.ReadFrom(c.body); err != nil {
			c.fail(fmt.Errorf("%w: %w", wire.ErrMalformed, err))
			return
		}
		fn(c, req)
	}
}

// reply answers the call. It may be called from any goroutine, once; the
// response belongs to the call from then on.
func (c *call) reply(r kmsg.Response) {
	r.SetVersion(c.header.Version)
	c.response = r
	c.pipe.ready(c)
}

// then lets fn write the answer on the writer's goroutine, in the call's turn.
// It may be called from any goroutine, once.
func (c *call) then(fn step) {
	c.write = fn
	c.pipe.ready(c)
}

// fail ends the connection once all calls before this one are answered: the
// only answer that Kafka has for a request that cannot be parsed.
func (c *call) fail(err error) {
	c.failure = err
	c.pipe.ready(c)
}

// allows reports whether the caller may do a to the resource of type t called
// name. The row of the table must list (a, t).
func (c *call) allows(a access.Action, t access.Type, name string) bool {
	return c.server.authorize(c, a, t, name) == nil
}

// advance takes the call, at the head of its connection, a step further on the
// writer's goroutine. It reports whether the answer is in out, or an error that
// ends the connection.
func (c *call) advance(out *wire.Output) (done bool, err error) {
	switch {
	case c.failure != nil:
		return true, c.failure
	case c.write != nil:
		done = c.write(c, out)
		return done, c.failure
	case c.response != nil:
		m := c.beginResponse(out)
		out.B = c.response.AppendTo(out.B)
		out.End(m)
		return true, nil
	default: // its turn has come
		c.api.handle(c)
		return false, nil
	}
}

// beginResponse starts a response frame with its header; out.End ends it.
func (c *call) beginResponse(out *wire.Output) wire.Mark {
	m := out.Begin()
	out.B = wire.AppendResponseHeader(out.B, c.header)
	return m
}

// newCall returns a call, perhaps one that was used before.
func (s *Server) newCall() *call {
	if c, ok := s.calls.Get().(*call); ok {
		return c
	}
	return new(call)
}

// free gives back what the call holds, and, for the operations that are many
// and whose own files see to it that nothing uses it afterwards, the call.
func (c *call) free() {
	c.frame.Free()
	if c.release == nil {
		return
	}
	c.release()
	pool := &c.server.calls
	*c = call{}
	pool.Put(c)
}
