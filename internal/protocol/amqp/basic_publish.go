package amqp

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/lease"
	"github.com/polylog-mq/polylog/internal/store"
)

// basic.publish: a message goes to the queues that its exchange, key and headers
// lead to. Messages of a burst that go to the same queues and have the same
// priority, lifetime and delay are one batch (batch.go).
//
// immediate is refused (540), like RabbitMQ does. Persistent or not, a message
// is on the disk before it is confirmed.

// publishMessage takes in the message that the channel has put together.
func (ch *channel) publishMessage(body []byte) error {
	c, p := &ch.content, &ch.props
	ch.tally.count(received)
	if ch.confirms.active() {
		ch.tally.count(receivedConfirm)
	}
	if c.immediate {
		return refuse(codeNotImplemented, "immediate=true")
	}
	if err := p.Parse(c.properties); err != nil {
		return fmt.Errorf("properties: %w", err)
	}
	p.Headers.Normalize() // in c.properties
	ch.router = ch.routerOf()
	if err := ch.allowsPublish(); err != nil {
		return err
	}
	facts, err := ch.checkProperties(p, body)
	if err != nil {
		return err
	}
	if reply, ok := ch.replyTarget(); ok {
		c.routed(0)
		ch.tracePublish(nil, body)
		ch.direct(reply, body)
		return nil
	}
	routes, err := ch.route(p)
	if err != nil {
		return err
	}
	c.routed(len(routes.Queues))
	ch.tracePublish(routes.Queues, body)
	if routes.Delayed {
		facts.Delay = delayOf(p)
	}
	if len(routes.Queues) == 0 {
		ch.unroutable(body)
		return nil
	}
	ch.tally[routed].Add(int64(len(routes.Queues)))
	if ch.tx != nil {
		return ch.tx.publish(ch, routes.Queues, facts, body)
	}
	ch.enqueue(routes.Queues, facts, body)
	return nil
}

// allowsPublish asks whether the client may publish the channel's message.
func (ch *channel) allowsPublish() error {
	c := &ch.content
	if string(c.exchange) != c.name {
		ch.countExchange()
		c.name, c.count = string(c.exchange), nil
	}
	if err := ch.allows(access.Produce, access.Exchange, c.name); err != nil {
		return err
	}
	if u := ch.server.opts.Broker.User(ch.principal.Name); u == nil || len(u.Topics) == 0 {
		return nil
	}
	return ch.allowsKey(access.Produce, c.name, string(c.key))
}

// property returns a property of the message that is being published, for
// exchanges that hash one.
func (s *session) property(name string) []byte {
	switch p := &s.props; {
	case name == "message_id" && p.Flags&wire.HasMessageID != 0:
		return p.MessageID
	case name == "correlation_id" && p.Flags&wire.HasCorrelationID != 0:
		return p.CorrelationID
	case name == "timestamp" && p.Flags&wire.HasTimestamp != 0:
		return strconv.AppendUint(nil, p.Timestamp, 10)
	}
	return nil
}

func (s *session) routerOf() *broker.Router {
	if s.router == nil {
		s.router = s.server.opts.Broker.NewRouter(s.tenant)
		s.router.Properties(s.property)
	}
	return s.router
}

// impersonatorTag is the tag of users that may publish in the names of others.
const impersonatorTag = "impersonator"

// impersonates reports whether the client may.
func (s *session) impersonates() bool {
	u := s.server.opts.Broker.User(s.principal.Name)
	return u != nil && u.HasTag(impersonatorTag)
}

// checkProperties judges the properties that mean something to the broker, and
// rewrites those that nobody else is to see.
func (ch *channel) checkProperties(p *wire.Properties, body []byte) (broker.Facts, error) {
	f := broker.Facts{Bytes: int64(len(body))}
	if p.Flags&wire.HasUserID != 0 && string(p.UserID) != ch.principal.Name && !ch.impersonates() {
		return f, refuse(codePreconditionFailed, "user_id property set to '%s' but authenticated user was '%s'",
			p.UserID, ch.principal.Name)
	}
	if p.Flags&wire.HasPriority != 0 {
		f.Level = p.Priority
	}
	if p.Flags&wire.HasExpiration != 0 {
		ttl, why := parseExpiration(p.Expiration)
		if why != "" {
			return f, refuse(codePreconditionFailed, "invalid expiration '%s': %s", p.Expiration, why)
		}
		f.Expires, f.TTL = true, ttl
	}
	rewritten := false
	if p.Flags&wire.HasReplyTo != 0 && string(p.ReplyTo) == replyQueue {
		if ch.replier == nil {
			return f, refuse(codePreconditionFailed, "fast reply consumer does not exist")
		}
		p.ReplyTo, rewritten = []byte(ch.replier.address), true
	}
	for _, name := range [...]string{"CC", "BCC"} {
		v, ok := p.Headers.Get(name)
		if !ok {
			continue
		}
		if err := checkCopies(name, v); err != nil {
			return f, err
		}
	}
	if _, ok := p.Headers.Get("BCC"); ok {
		rewritten = true
	}
	if rewritten {
		ch.rewrite(p)
	}
	return f, nil
}

// parseExpiration reads a lifetime in ms; why says in RabbitMQ's words what is
// wrong with it.
func parseExpiration(s []byte) (ttl int64, why string) {
	digits := 0
	for digits < len(s) && (s[digits] >= '0' && s[digits] <= '9' || digits == 0 && len(s) > 1 && (s[0] == '-' || s[0] == '+')) {
		digits++
	}
	ttl, err := strconv.ParseInt(string(s[:digits]), 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) || err == nil && ttl > lease.MaxTime:
		return 0, fmt.Sprintf("{value_too_large,%s}", s[:digits])
	case err != nil:
		return 0, "no_integer"
	case digits < len(s):
		return 0, fmt.Sprintf("{leftover_string,%q}", s[digits:])
	case ttl < 0:
		return 0, fmt.Sprintf("{value_negative,%d}", ttl)
	}
	return ttl, ""
}

// checkCopies judges a CC or BCC header: an array of strings.
func checkCopies(name string, v wire.Value) error {
	if v.Tag != wire.TagArray {
		return refuse(codePreconditionFailed, "invalid message: {unacceptable_type_in_header,%q,%s}", name, typeName(v.Tag))
	}
	for e := range v.Elements() {
		if _, ok := e.Str(); !ok {
			return refuse(codePreconditionFailed, "invalid message: {unacceptable_type_in_header,%q,%s}", name, typeName(e.Tag))
		}
	}
	return nil
}

// rewrite encodes the properties anew, without the BCC header. p keeps it, for
// routing.
func (ch *channel) rewrite(p *wire.Properties) {
	c := &ch.content
	kept := *p
	kept.Headers = p.Headers.Without(nil, "BCC")
	c.properties = kept.AppendTo(nil)
}

// route returns the queues that the message goes to.
func (ch *channel) route(p *wire.Properties) (broker.Routes, error) {
	c := &ch.content
	headers := broker.Table(p.Headers)
	ch.keys = append(ch.keys[:0], c.key)
	for _, name := range [...]string{"CC", "BCC"} {
		v, _ := p.Headers.Get(name)
		for e := range v.Elements() {
			ch.keys = append(ch.keys, e.Raw)
		}
	}
	routes, err := ch.router.RouteAll(c.exchange, ch.keys, headers)
	switch {
	case errors.Is(err, broker.ErrUnknownExchange):
		return routes, noExchange(string(c.exchange), ch.tenant)
	case errors.Is(err, broker.ErrInternalExchange):
		return routes, refuse(codeAccessRefused, "cannot publish to internal exchange '%s' in vhost '%s'", c.exchange, ch.tenant)
	}
	return routes, err
}

// delayOf returns for how long an x-delayed-message exchange holds the message
// back, in ms.
func delayOf(p *wire.Properties) int64 {
	v, ok := p.Headers.Get("x-delay")
	if !ok {
		return 0
	}
	if n, ok := v.Int(); ok {
		return min(max(n, 0), lease.MaxTime)
	}
	if f, ok := v.Float(); ok && f > 0 {
		return int64(min(f, lease.MaxTime))
	}
	if s, ok := v.Str(); ok {
		n, _ := strconv.ParseInt(strings.TrimSpace(string(s)), 10, 64)
		return min(max(n, 0), lease.MaxTime)
	}
	return 0
}

// unroutable is what becomes of a message that goes nowhere: it is returned if
// that was asked for, then confirmed.
func (ch *channel) unroutable(body []byte) {
	c := &ch.content
	if !c.mandatory {
		ch.tally.count(dropped)
	}
	if c.mandatory {
		ch.tally.count(givenBack)
		if ch.tx != nil {
			ch.tx.giveBack(ch, body)
			return
		}
		ch.giveBack(c.exchange, c.key, c.properties, body)
	}
	ch.touch() // to be counted
	if ch.tx == nil {
		ch.confirmAtOnce()
	}
}

// giveBack sends basic.return.
func (ch *channel) giveBack(exchange, key, properties, body []byte) {
	m := wire.BasicReturn{
		ReplyCode: uint16(codeNoRoute), ReplyText: []byte("NO_ROUTE"), Exchange: exchange, RoutingKey: key,
	}
	ch.out.append(func(b []byte) []byte {
		b = wire.AppendMethod(b, ch.number, &m)
		b = wire.AppendRawContentHeader(b, ch.number, uint64(len(body)), properties)
		return wire.AppendBody(b, ch.number, body, ch.frameMax)
	})
}

// confirmAtOnce confirms a publish that the broker has no part in, in its turn.
func (ch *channel) confirmAtOnce() {
	if !ch.confirms.active() {
		return
	}
	ch.endRun()
	span := [...]uint64{ch.confirms.add(1)}
	if ch.confirms.settle(span[:], committed) {
		ch.out.confirm(ch)
	}
}

// lose closes a channel one of whose publishes has come to an unknown end.
func (ch *channel) lose(err error) {
	if !ch.closing && ch.phase == running {
		_ = ch.fail(ch, wire.IDBasicPublish, err, false)
	}
}

// awaitDisk returns when the disk takes messages, or the connection ends.
func (s *session) awaitDisk() {
	for s.server.opts.Broker.Health().State == store.DiskFull {
		s.loud()
		if !s.told && s.can.connectionBlocked {
			s.out.method(0, &wire.ConnectionBlocked{Reason: []byte("low on disk")})
		}
		s.told = true
		if !s.blocking() {
			return
		}
	}
	if s.told && s.can.connectionBlocked {
		s.out.method(0, &wire.ConnectionUnblocked{})
	}
	s.told = false
}
