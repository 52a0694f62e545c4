package amqp

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/lease"
	"github.com/polylog-mq/polylog/internal/store"
)

// basic.publish: a message goes to the queues that its exchange, key and headers
// lead to. Consecutive messages of a burst that go to the same queues and have
// the same priority, lifetime and delay are one batch.
//
// immediate is refused (540), like RabbitMQ does. Persistent or not, a message
// is on the disk before it is confirmed.

// publishMessage takes in the message that the channel has put together.
func (ch *channel) publishMessage(body []byte) error {
	c, p := &ch.content, &ch.props
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
		ch.direct(reply, body)
		return nil
	}
	routes, err := ch.route(p)
	if err != nil {
		return err
	}
	if routes.Delayed {
		facts.Delay = delayOf(p)
	}
	if len(routes.Queues) == 0 {
		ch.unroutable(body)
		return nil
	}
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
		c.name = string(c.exchange)
	}
	if err := ch.allows(access.Produce, access.Exchange, c.name); err != nil {
		return err
	}
	if u := ch.server.opts.Broker.User(ch.principal.Name); u == nil || len(u.Topics) == 0 {
		return nil
	}
	return ch.allowsKey(access.Produce, c.name, string(c.key))
}

func (s *session) routerOf() *broker.Router {
	if s.router == nil {
		s.router = s.server.opts.Broker.NewRouter(s.tenant)
	}
	return s.router
}

// checkProperties judges the properties that mean something to the broker, and
// rewrites those that nobody else is to see.
func (ch *channel) checkProperties(p *wire.Properties, body []byte) (broker.Facts, error) {
	f := broker.Facts{Bytes: int64(len(body))}
	if p.Flags&wire.HasUserID != 0 && string(p.UserID) != ch.principal.Name {
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
	routes, err := ch.router.Route(c.exchange, c.key, headers)
	for _, name := range [...]string{"CC", "BCC"} {
		v, _ := p.Headers.Get(name)
		for e := range v.Elements() {
			if err == nil {
				routes, err = ch.router.RouteMore(routes, c.exchange, e.Raw, headers)
			}
		}
	}
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
	if c.mandatory {
		if ch.tx != nil {
			ch.tx.giveBack(ch, body)
			return
		}
		ch.giveBack(c.exchange, c.key, c.properties, body)
	}
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
	ch.flushBatch()
	if ch.confirms.settle(ch.confirms.add(1), committed) {
		ch.out.confirm(ch)
	}
}

// batch is messages of a channel on their way into the same queues.
type batch struct {
	broker.Publish

	ch      *channel
	builder record.Builder
	span    uint64 // of the channel's confirms
	counted bool   // the channel is in confirm mode
	stage   atomic.Int32
	// then, if set, is told how it went instead of the channel's confirms.
	then func(error)
}

// newBatch returns an empty batch, perhaps one that was used before.
func (s *Server) newBatch() *batch {
	if b, ok := s.batches.Get().(*batch); ok {
		return b
	}
	b := new(batch)
	b.Done = func(*broker.Publish) { b.done() }
	return b
}

// begin prepares a batch for a destination.
func (ch *channel) begin(queues []*broker.Queue, f broker.Facts) *batch {
	b := ch.server.newBatch()
	b.ch, b.Targets, b.Facts = ch, queues, f
	b.Facts.Bytes = 0
	b.builder.Reset(record.Template(record.None))
	return b
}

// add appends the channel's message.
func (b *batch) add(ch *channel, body []byte) {
	c := &ch.content
	b.builder.Add(ch.convert.toRecord(c.exchange, c.key, c.properties, &ch.props, body, ch.now()))
	b.Facts.Bytes += int64(len(body))
}

// takes reports whether a message for these queues and with these facts can
// join the batch.
func (b *batch) takes(queues []*broker.Queue, f broker.Facts) bool {
	g := &b.Facts
	return len(queues) == len(b.Targets) && &queues[0] == &b.Targets[0] &&
		f.Level == g.Level && f.Expires == g.Expires && f.TTL == g.TTL && f.Delay == g.Delay
}

// enqueue puts the channel's message into its batch.
func (ch *channel) enqueue(queues []*broker.Queue, f broker.Facts, body []byte) {
	if ch.batch != nil && !ch.batch.takes(queues, f) {
		ch.flushBatch()
	}
	if ch.batch == nil {
		ch.batch = ch.begin(queues, f)
		ch.touch()
	}
	ch.batch.add(ch, body)
	if b := &ch.batch.builder; b.Count() >= maxBatchCount || b.Size() >= maxBatchBytes {
		ch.flushBatch()
	}
}

// flushBatch hands the channel's batch to the broker. While the disk is full it
// waits, having told the client.
func (ch *channel) flushBatch() {
	b := ch.batch
	if b == nil {
		return
	}
	ch.batch = nil
	if b.counted = ch.confirms.active(); b.counted {
		b.span = ch.confirms.add(b.builder.Count())
	}
	ch.send(b)
}

// send hands a batch to the broker. One that the broker has no room for is handed
// over again when there is: nothing newer of the connection goes before it.
func (ch *channel) send(b *batch) {
	ch.awaitDisk()
	ch.began(1)
	var err error
	if b.Batch, err = b.builder.AppendTo(b.Batch[:0]); err != nil {
		b.Err = err
		b.finish()
		ch.server.giveBack(b)
		return
	}
	for {
		b.stage.Store(handing)
		ch.server.opts.Broker.Publish(&b.Publish)
		switch {
		case b.stage.CompareAndSwap(handing, flying):
			return
		case b.stage.Load() == over:
			ch.server.giveBack(b)
			return
		case !ch.breathe():
			b.finish()
			ch.server.giveBack(b)
			return
		}
	}
}

// The stages of a batch that is handed to the broker: whose it is.
const (
	handing int32 = iota // send has not returned
	flying               // done has the last word
	busy                 // there was no room: send tries again
	over                 // answered before send returned, which has the last word
)

// done takes the broker's answer.
func (b *batch) done() {
	if errors.Is(b.Err, broker.ErrBusy) && b.stage.CompareAndSwap(handing, busy) {
		return
	}
	server := b.ch.server
	b.finish()
	if !b.stage.CompareAndSwap(handing, over) {
		server.giveBack(b)
	}
}

// finish does what the answer asks for.
func (b *batch) finish() {
	ch, err := b.ch, b.Err
	switch {
	case b.then != nil:
		b.then(err)
	case errors.Is(err, broker.ErrRejected):
		b.settle(refused)
	case errors.Is(err, broker.ErrUnknownQueue):
		// The queue was deleted meanwhile: nobody misses the message.
		b.settle(committed)
	case err != nil:
		// Neither ack nor nack: what became of the message is not known.
		ch.post(func() { ch.lose(err) })
	default:
		b.settle(committed)
	}
	b.ch, b.Targets, b.then, b.Err = nil, nil, nil, nil
	ch.ended(1)
}

// giveBack keeps a batch for the next one.
func (s *Server) giveBack(b *batch) {
	if cap(b.Batch) <= maxKeptBatch {
		s.batches.Put(b)
	}
}

func (b *batch) settle(f fate) {
	if b.counted && b.ch.confirms.settle(b.span, f) {
		b.ch.out.confirm(b.ch)
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
