package broker

// Routes is what Route found.
type Routes struct {
	// Queues are the targets, each once. The slice may be shared: read only.
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
}

// NewRouter returns a router for a tenant.
func (b *Broker) NewRouter(tenant string) *Router { return &Router{b: b, tenant: tenant} }

// Route returns where a message that is published to an exchange goes: to
// nobody (which is no error), or to queues. Exchange and key are not kept. The
// headers are those of the message, or nil. ErrUnknownExchange, ErrInternal if
// clients may not publish to it. It takes no lock and, once an (exchange, key)
// is known, allocates nothing.
func (r *Router) Route(exchange, key []byte, headers Table) (Routes, error) { panic("not yet") }

// RouteMore is Route for a further key (AMQP's CC and BCC headers): the queues
// of both, each once.
func (r *Router) RouteMore(found Routes, exchange, key []byte, headers Table) (Routes, error) {
	panic("not yet")
}
