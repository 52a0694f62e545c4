package amqp

import (
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// phase is how far a connection has come.
type phase uint8

const (
	greeting phase = iota // the protocol header is awaited
	starting              // connection.start-ok
	securing              // connection.secure-ok
	tuning                // connection.tune-ok
	opening               // connection.open
	running
	closing // connection.close was sent: only the answer counts
)

// String names the phase as RabbitMQ does.
func (p phase) String() string {
	return [...]string{"pre_init", "starting", "securing", "tuning", "opening", "running", "closing"}[p]
}

var (
	// errClosed ends a connection as the protocol has it.
	errClosed = errors.New("closed")
	// errSilent ends a connection without a word, after a delay.
	errSilent = errors.New("refused without a word")
)

// session is what a connection has come to be. It belongs to the reader, but
// for what says otherwise.
type session struct {
	server *Server
	out    *outbox
	// client is the peer's address.
	client string
	// blocking waits until it is worth looking again whether the disk has room.
	// It returns false when the connection is to end.
	blocking func() bool
	// breathe waits until the broker takes publishes again. It returns false when
	// the connection is to end.
	breathe func() bool
	// poke has the reader run what was posted, soon.
	poke func()
	// named returns the connection's name.
	named func() string
	// here writes what is in the outbox, as far as that goes without waiting.
	here func()
	// drained says that no byte is left of what was read, quiet that what is being
	// published is told nobody of: the reader helps the broker (helps).
	drained, quiet bool
	// over says that the connection is to end without a word.
	over   bool
	posted struct {
		sync.Mutex
		fns []func()
	}

	phase     phase
	principal access.Principal
	tenant    string
	can       clientCapabilities
	// certificate is what the client has shown and an authority vouches for, nil
	// without one.
	certificate *x509.Certificate
	// mechanism is how the client has logged in.
	mechanism string
	// counted says that the census has counted the connection in.
	counted bool
	// properties are what the client said of itself.
	properties wire.Table

	// What was negotiated.
	frameMax   uint32 // 0: no limit
	channelMax uint16
	heartbeat  uint16        // seconds
	beats      atomic.Uint32 // the same, for the writer

	channels map[uint16]*channel
	latest   *channel // that a frame came for
	// owner is who this connection's exclusive queues belong to, nil while
	// there are none.
	owner  *broker.Session
	router *broker.Router
	keys   [][]byte       // of the message that is being routed
	tracer *broker.Router // see trace.go; nil before the first copy

	// behind is a queue that the burst has published to and that is behind.
	behind *broker.Queue

	// dirty are the channels that have something for endBurst.
	dirty []*channel
	// told says that the client knows that it is blocked.
	told bool

	deaf bool // what comes is no frames any more, and is dropped

	answer   chan struct{} // see ask
	answered func()

	// underWay counts what was handed to the broker and not answered: batches
	// and settles that have to be waited for.
	flow struct {
		sync.Mutex
		underWay int
		batches  int
		idle     *sync.Cond
		resume   func() // called once when there is room for batches again
	}

	thirst   thirst
	streamer streamer
	// wides are the consumers of topics, which were last looked at for more
	// partitions at widened, in ms.
	wides   []*consumer
	widened int64
	turn    int // of the partitions, for basic.get

	// Methods that are read and written with every message.
	publish wire.BasicPublish
	ack     wire.BasicAck
	header  wire.ContentHeader
	props   wire.Properties
	convert converter
	// time of the burst, in ms.
	time int64
}

// clientCapabilities is what the client said it can do.
type clientCapabilities struct {
	authenticationFailureClose bool
	consumerCancelNotify       bool
	connectionBlocked          bool
}

func newSession(s *Server, client string, loopback bool) *session {
	x := &session{
		server: s, out: newOutbox(), client: client,
		principal: access.Principal{Loopback: loopback},
		frameMax:  handshakeFrame,
		channels:  make(map[uint16]*channel),
		answer:    make(chan struct{}, 1), poke: func() {}, named: func() string { return client },
	}
	x.here = func() { signal(x.out.wake) }
	x.streamer.init(x)
	x.answered = func() { x.answer <- struct{}{} }
	x.flow.idle = sync.NewCond(&x.flow.Mutex)
	return x
}

// feed takes in the whole frames at the beginning of b and returns how many
// bytes they were, and how long the next frame is, 0 if that is not known. After
// an error nothing more must be fed; what is in the outbox is still to be
// written.
func (s *session) feed(b []byte) (n, need int, err error) {
	s.time = s.server.opts.Clock.Now().UnixMilli()
	if s.phase == greeting {
		if n, err = s.greet(b); err != nil || s.phase == greeting {
			return n, 0, err
		}
	}
	for !s.deaf {
		f, size, ok, err := wire.ParseFrame(b[n:], s.frameMax)
		if err != nil {
			s.deaf = true // nobody can tell where the next frame begins
			return len(b), 0, s.fail(nil, 0, refuse(codeFrameError, "%v", err), true)
		}
		if !ok {
			s.drained = n == len(b)
			return n, size, nil
		}
		n += size
		if err := s.frame(f); err != nil {
			return n, 0, err
		}
	}
	return len(b), 0, nil
}

// frame takes in one frame. An error ends the connection.
func (s *session) frame(f wire.Frame) error {
	switch {
	case f.Type == wire.FrameHeartbeat && f.Channel == 0:
		return nil
	case s.phase == closing:
		return s.whileClosing(f)
	case f.Type == wire.FrameHeartbeat:
		return s.fail(nil, 0, refuse(codeUnexpectedFrame, "a heartbeat on channel %d", f.Channel), true)
	case f.Type < wire.FrameMethod || f.Type > wire.FrameBody:
		return s.fail(nil, 0, refuse(codeFrameError, "unknown frame type %d", f.Type), true)
	case s.phase != running && f.Channel != 0:
		return s.fail(nil, 0, refuse(codeChannelError, "frame for channel %d before the connection is open", f.Channel), true)
	case f.Channel != 0:
		return s.channelFrame(f)
	case f.Type != wire.FrameMethod:
		return s.fail(nil, 0, refuse(codeUnexpectedFrame, "content on channel 0"), true)
	}
	id, args, ok := wire.SplitMethod(f.Payload)
	if !ok {
		return s.fail(nil, 0, refuse(codeFrameError, "a method of %d bytes", len(f.Payload)), true)
	}
	row := s.server.table.lookup(id)
	switch {
	case row == nil:
		return s.fail(nil, id, refuse(codeFrameError, "%s is not for servers", id), true)
	case row.connection == nil, row.during != s.phase && row.during != anyPhase:
		return s.fail(nil, id, refuse(codeChannelError, "unexpected method in connection state %s", s.phase), true)
	}
	if err := row.connection(s, args); err != nil {
		return s.fail(nil, id, err, false)
	}
	return nil
}

// channelFrame takes in a frame of a channel.
func (s *session) channelFrame(f wire.Frame) error {
	ch := s.latest // of a message's frames, most find it here
	if ch == nil || ch.number != f.Channel {
		if ch = s.channels[f.Channel]; ch == nil {
			return s.openChannel(f)
		}
		s.latest = ch
	}
	if ch.closing {
		return ch.whileClosing(f)
	}
	var err error
	var id wire.ID
	switch f.Type {
	case wire.FrameMethod:
		id, err = ch.method(f.Payload)
	case wire.FrameHeader:
		id, err = ch.content.of(), ch.contentHeader(f.Payload)
	case wire.FrameBody:
		id, err = ch.content.of(), ch.contentBody(f.Payload)
	}
	if err != nil {
		return s.fail(ch, id, err, false)
	}
	return nil
}

// openChannel takes in the first frame of a channel.
func (s *session) openChannel(f wire.Frame) error {
	id, args, ok := wire.SplitMethod(f.Payload)
	switch {
	case f.Type != wire.FrameMethod || !ok || id != wire.IDChannelOpen:
		return s.fail(nil, id, refuse(codeChannelError, "expected 'channel.open'"), true)
	case len(s.channels) >= int(s.channelMax):
		return s.fail(nil, id, refuse(codeNotAllowed,
			"number of channels opened (%d) has reached the negotiated channel_max (%d)", len(s.channels), s.channelMax), true)
	}
	var m wire.ChannelOpen
	if err := wire.Parse(&m, args); err != nil {
		return s.fail(nil, id, err, true)
	}
	t, err := s.server.census.open(s.principal.Name, s.tenant)
	if err != nil {
		return s.fail(nil, id, err, true)
	}
	ch := newChannel(s, f.Channel, t)
	s.channels[f.Channel] = ch
	ch.reply(&wire.ChannelOpenOk{})
	return nil
}

// forget drops a channel, whose number is free from now on.
func (s *session) forget(ch *channel) {
	delete(s.channels, ch.number)
	s.latest = nil
	s.server.census.close(s.principal.Name, ch.tally)
}

// fail tells the client what went wrong with a method on ch (nil: channel 0) by
// closing the channel or, if hard says so or the error is of that kind, the
// connection. What it returns ends the connection at once.
func (s *session) fail(ch *channel, id wire.ID, err error, hard bool) error {
	if errors.Is(err, errClosed) || errors.Is(err, errSilent) {
		return err
	}
	f := faultOf(err)
	text := f.Error()
	if len(text) > maxName {
		text = text[:maxName]
	}
	s.server.log.Info("refusing a method", "client", s.client, "user", s.principal.Name, "vhost", s.tenant, "method", id, "error", text)
	if ch != nil && !hard && !f.hard {
		ch.shut()
		ch.reply(&wire.ChannelClose{
			ReplyCode: uint16(f.code), ReplyText: []byte(text), FailedClass: id.Class(), FailedMethod: id.Number(),
		})
		return nil
	}
	switch s.phase {
	case greeting, starting, securing:
		if f.code != codeAccessRefused || !s.can.authenticationFailureClose {
			return fmt.Errorf("%w: %w", errSilent, f)
		}
		id = 0 // as RabbitMQ has it
	default:
	}
	s.close(f.code, text, id)
	return nil
}

// close sends connection.close. From now on only the answer to it counts. Who
// reads it can have what was the connection's, its exclusive queues as well.
func (s *session) close(c code, text string, id wire.ID) {
	s.shutChannels()
	s.endOwner()
	s.phase = closing
	s.out.method(0, &wire.ConnectionClose{
		ReplyCode: uint16(c), ReplyText: []byte(text), FailedClass: id.Class(), FailedMethod: id.Number(),
	})
}

// force closes the connection on behalf of the server: at once, if it is not
// open yet.
func (s *session) force(why string) {
	switch s.phase {
	case running:
		s.close(codeConnectionForced, "CONNECTION_FORCED - "+why, 0)
	case closing:
	default:
		s.over = true
	}
}

// whileClosing takes in what comes after connection.close was sent.
func (s *session) whileClosing(f wire.Frame) error {
	if f.Type != wire.FrameMethod || f.Channel != 0 {
		return nil
	}
	switch id, _, _ := wire.SplitMethod(f.Payload); id {
	case wire.IDConnectionCloseOk:
		return errClosed
	case wire.IDConnectionClose:
		s.out.method(0, &wire.ConnectionCloseOk{})
	}
	return nil
}

// post has fn run by the reader, soon. Any goroutine may call it.
func (s *session) post(fn func()) {
	s.posted.Lock()
	s.posted.fns = append(s.posted.fns, fn)
	s.posted.Unlock()
	s.poke()
}

// runPosted runs what was posted, and reports whether there was anything.
func (s *session) runPosted() bool {
	s.posted.Lock()
	fns := s.posted.fns
	s.posted.fns = nil
	s.posted.Unlock()
	for _, fn := range fns {
		fn()
	}
	return len(fns) > 0
}

// now returns when the burst began, in ms since the Unix epoch.
func (s *session) now() int64 { return s.time }

// ask runs start, which must see to it that done comes to be called exactly
// once, and waits for that.
func (s *session) ask(start func(done func())) {
	start(s.answered)
	<-s.answer
}

// shutChannels ends everything that the channels have with the broker.
func (s *session) shutChannels() {
	for _, ch := range s.channels {
		if !ch.closing {
			ch.shut()
		}
	}
}

// end gives up what the connection has with the broker. It is called once, when
// neither of its goroutines touches it any more.
func (s *session) end() {
	s.shutChannels()
	for _, ch := range s.channels {
		s.forget(ch)
	}
	s.streamer.end()
	s.endOwner()
	if s.counted {
		s.server.census.disconnect(s.principal.Name, s.tenant)
	}
}

// endOwner deletes the connection's exclusive queues.
func (s *session) endOwner() {
	if s.owner == nil {
		return
	}
	s.ask(func(done func()) { s.server.opts.Broker.EndExclusive(s.owner, done) })
	s.ask(func(done func()) { s.owner.Close(done) })
	s.owner = nil
}

// exclusive returns who this connection's exclusive queues belong to.
func (s *session) exclusive() *broker.Session {
	if s.owner == nil {
		s.owner = s.server.opts.Broker.OpenSession()
	}
	return s.owner
}

// allowsKey asks whether the client may do a, which it may do to the exchange,
// with a routing key: users can be limited to some at topic exchanges.
func (s *session) allowsKey(a access.Action, exchange, key string) error {
	b := s.server.opts.Broker
	if x := b.Exchange(s.tenant, exchange); x == nil || x.Type != "topic" {
		return nil
	}
	r := access.Resource{Tenant: s.tenant, Type: access.Exchange, Name: exchange}
	if b.AuthorizeKey(s.principal, a, r, key) != nil {
		return refuse(codeAccessRefused, "access to topic '%s' in exchange '%s' in vhost '%s' refused for user '%s'",
			key, exchange, s.tenant, s.principal.Name)
	}
	return nil
}

// allows asks whether the client may do a to a resource. The row of the table
// must list (a, t).
func (s *session) allows(a access.Action, t access.Type, name string) error {
	r := access.Resource{Tenant: s.tenant, Type: t, Name: name}
	if err := s.server.opts.Access.Authorize(s.principal, a, r); err != nil {
		what := "queue"
		if t == access.Exchange {
			what = "exchange"
		}
		return refuse(codeAccessRefused, "access to %s '%s' in vhost '%s' refused for user '%s'",
			what, name, s.tenant, s.principal.Name)
	}
	return nil
}
