package broker

import (
	"io"
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"github.com/polylog-mq/polylog/internal/state/route"
	"github.com/polylog-mq/polylog/internal/state/topic"
)

// routing is what routers read. It is written by the loop of the metadata group.
type routing struct {
	snapshot atomic.Pointer[route.Snapshot]
	// version counts the changes of the snapshot and the topics that come and go:
	// what was found under another one may be wrong.
	version atomic.Uint64
}

// publishRoutes makes the present routes readable from any goroutine.
func (b *Broker) publishRoutes(s *route.Snapshot) {
	if b.routing.snapshot.Load() != s {
		b.routing.snapshot.Store(s)
		b.routing.version.Add(1)
	}
}

// Routes is what Route found. It may be kept.
type Routes struct {
	// Queues are the targets, each once. The slice is shared: read only.
	Queues []*Queue
	// Delayed says that an x-delayed-message exchange was passed: the x-delay
	// header counts.
	Delayed bool
}

// Router routes the messages of one connection (or another single goroutine),
// and remembers where they went. It is not safe for concurrent use; its memory
// is bounded.
type Router struct {
	b      *Broker
	tenant string

	found  route.Found
	key    []byte
	chance *rand.ChaCha8 // nil until it is needed
	// known holds what was found under the version, kept targets in all.
	version uint64
	known   map[string]Routes
	kept    int
}

// Properties lets exchanges that hash a property of the message ask for it: fn is
// called in Route and RouteAll, with AMQP's name of the property, and returns nil
// if the message has none.
func (r *Router) Properties(fn func(name string) []byte) { r.found.Property = fn }

// Inside says that the messages are the broker's own, dead letters say: internal
// exchanges take those. It is called before the first Route.
func (r *Router) Inside() { r.found.Inside = true }

// NewRouter returns a router for a tenant.
func (b *Broker) NewRouter(tenant string) *Router {
	r := &Router{b: b, tenant: tenantKey(tenant)}
	r.found.Draw = r.draw
	return r
}

// draw returns a random number.
func (r *Router) draw() uint64 {
	if r.chance == nil {
		var seed [32]byte
		r.b.randMu.Lock()
		_, _ = io.ReadFull(r.b.opts.Rand, seed[:]) // what is missing is only less random
		r.b.randMu.Unlock()
		r.chance = rand.NewChaCha8(seed)
	}
	return r.chance.Uint64()
}

// Route returns where a message that is published to an exchange goes: to
// nobody (which is no error), or to queues. Exchange and key are not kept. The
// headers are those of the message, or nil. ErrUnknownExchange,
// ErrInternalExchange if clients may not publish to it (see Inside). It takes no lock and,
// once an (exchange, key) is known, allocates nothing. A headers exchange is asked
// anew for every message.
func (r *Router) Route(exchange, key []byte, headers Table) (Routes, error) {
	if v := r.b.routing.version.Load(); v != r.version {
		r.forget()
		r.version = v
	}
	r.key = append(append(append(r.key[:0], byte(len(exchange))), exchange...), key...)
	if known, ok := r.known[string(r.key)]; ok {
		return known, nil
	}
	routes, varies, err := r.ask(exchange, key, nil, headers)
	if err == nil && !varies {
		r.remember(routes)
	}
	return routes, err
}

func (r *Router) forget() {
	clear(r.known)
	r.kept = 0
}

func (r *Router) remember(routes Routes) {
	if len(routes.Queues) > maxKnownTargets {
		return
	}
	if len(r.known) >= maxKnownRoutes || r.kept+len(routes.Queues) > maxKnownTargets {
		r.forget()
	}
	if r.known == nil {
		r.known = map[string]Routes{}
	}
	r.known[string(r.key)] = routes
	r.kept += len(routes.Queues)
}

// ask finds out where a message goes that has this key and maybe more.
func (r *Router) ask(exchange, key []byte, more [][]byte, headers Table) (routes Routes, varies bool, err error) {
	byName := func() {
		routes.addByName(r.b, r.tenant, key)
		for _, key := range more {
			routes.addByName(r.b, r.tenant, key)
		}
	}
	if len(exchange) == 0 {
		byName()
		return routes, false, nil
	}
	f := &r.found
	f.More = more
	defer func() { f.More = nil }()
	if err := r.b.routing.snapshot.Load().Lookup(f, r.tenant, exchange, key, headers); err != nil {
		return routes, false, err
	}
	routes.Delayed = f.Delays
	if len(f.Dests) > 0 {
		routes.Queues = make([]*Queue, 0, len(f.Dests))
	}
	for _, d := range f.Dests {
		if t := r.b.view.byID.get(d.Topic); t != nil {
			routes.Queues = append(routes.Queues, t.taker(key))
		}
	}
	if f.ByName {
		byName()
	}
	return routes, f.Varies, nil
}

// addByName adds what the default exchange leads to: the queue that the key
// names.
func (routes *Routes) addByName(b *Broker, tenant string, key []byte) {
	t := b.view.byName.get(fullName{tenant, string(key)})
	if t == nil {
		return
	}
	if q := t.taker(key); !slices.Contains(routes.Queues, q) {
		routes.Queues = append(routes.Queues, q)
	}
}

// taker returns what takes messages for a topic: the queue, or the partition
// that the key hashes to.
func (t *Topic) taker(key []byte) *Queue {
	if t.Queue != nil {
		return t.Queue
	}
	p := t.Partitions[0]
	if n := len(t.Partitions); n > 1 {
		p = t.Partitions[int(topic.SlotOf("", string(key)))%n]
	}
	return t.takerOf(p)
}

// takerOf returns a partition as a queue.
func (t *Topic) takerOf(p *Partition) *Queue {
	q := p.asQueue()
	if q.view.Load() != t {
		q.view.Store(t)
	}
	return q
}

// RouteAll is Route for a message with several keys (AMQP's CC and BCC headers;
// the first is its own): the queues of all, each once. An exchange's alternate
// gets the message if none of the keys leads anywhere. What is found for more
// than one key is not remembered.
func (r *Router) RouteAll(exchange []byte, keys [][]byte, headers Table) (Routes, error) {
	if len(keys) == 1 {
		return r.Route(exchange, keys[0], headers)
	}
	routes, _, err := r.ask(exchange, keys[0], keys[1:], headers)
	return routes, err
}
