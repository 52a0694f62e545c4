package brokertest

import (
	"github.com/polylog-mq/polylog/internal/broker"
)

// Declare declares a queue and waits for it.
func (n *Node) Declare(s broker.QueueSpec) (q *broker.Queue, created bool, err error) {
	n.tb.Helper()
	err = errNoAnswer
	if s.Settings == (broker.QueueSettings{}) {
		s.Settings = broker.DefaultQueueSettings()
	}
	n.DeclareQueue(&s, func(got *broker.Queue, c bool, e error) { q, created, err = got, c, e })
	n.Settle()
	return q, created, err
}

// MustDeclare is Declare of a durable queue of the default tenant that may not
// fail.
func (n *Node) MustDeclare(name string) *broker.Queue {
	n.tb.Helper()
	q, _, err := n.Declare(broker.QueueSpec{Name: name, Durable: true})
	if err != nil {
		n.tb.Fatalf("declaring queue %s: %v", name, err)
	}
	return q
}

// Ask calls what answers with an error, and waits for it.
func (n *Node) Ask(ask func(done func(error))) error {
	n.tb.Helper()
	err := errNoAnswer
	ask(func(e error) { err = e })
	n.Settle()
	return err
}

// DeclareExchangeOf declares a durable exchange of the default tenant.
func (n *Node) DeclareExchangeOf(kind, name string) error {
	n.tb.Helper()
	return n.Declares(&broker.ExchangeSpec{Name: name, Type: kind, Durable: true})
}

// Declares declares an exchange and waits for it.
func (n *Node) Declares(s *broker.ExchangeSpec) error {
	n.tb.Helper()
	return n.Ask(func(done func(error)) {
		n.DeclareExchange(s, func(_ bool, err error) { done(err) })
	})
}

// Binds adds a binding and waits for it.
func (n *Node) Binds(x broker.Binding) error {
	n.tb.Helper()
	return n.Ask(func(done func(error)) { n.Bind(&x, nil, done) })
}
