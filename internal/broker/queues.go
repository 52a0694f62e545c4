package broker

import "iter"

// QueueSpec describes a queue to declare.
type QueueSpec struct {
	Tenant, Name string
	// Durable is ignored for an exclusive queue, which never is.
	Durable, AutoDelete bool
	// Exclusive is the session that alone may use the queue and whose end
	// deletes it (AMQP: one per connection, beside those of its channels); nil:
	// everybody may.
	Exclusive *Session
	// Arguments are those of the declaration, kept byte for byte and compared
	// when it is declared again. Not to be changed any more.
	Arguments Table
	// Settings are what the arguments ask of the engine.
	Settings QueueSettings
}

// QueueDefinition is what a queue was declared as. It never changes.
type QueueDefinition struct {
	Durable, AutoDelete, Exclusive bool
	// Arguments are those of the declaration. Read only.
	Arguments Table
}

// DeclareQueue creates a queue unless it exists; then it must be equivalent (a
// *NotEquivalentError otherwise, which wraps ErrNotEquivalent). A topic that was
// not declared as a queue is equivalent to a durable queue without arguments. It
// answers when the queue can be used. ErrUnknownTenant, ErrLocked,
// ErrInvalidTopic, ErrInvalidArgument, ErrPolicy.
func (b *Broker) DeclareQueue(s *QueueSpec, done func(q *Queue, created bool, err error)) {
	panic("not yet")
}

// DeleteQueue deletes a queue, its messages and its bindings, and answers how
// many messages were ready. ErrUnknownQueue if it has been deleted already,
// ErrInUse if ifUnused is set and it has consumers, ErrNotEmpty if ifEmpty is set
// and it has messages, ErrNotQueue for a topic that was not declared as a queue,
// which is deleted as a topic.
func (b *Broker) DeleteQueue(q *Queue, ifUnused, ifEmpty bool, done func(messages int64, err error)) {
	panic("not yet")
}

// EndExclusive deletes the queues that are exclusive to a session. Whoever
// declared exclusive queues calls it when the session has ended.
func (b *Broker) EndExclusive(s *Session, done func()) { panic("not yet") }

// Queues iterates over a tenant's queues (not over topics that were not declared
// as one), sorted by name, as they are at the call.
func (b *Broker) Queues(tenant string) iter.Seq[*Queue] { panic("not yet") }

// Tenant returns the tenant that the queue is in.
func (q *Queue) Tenant() string { panic("not yet") }

// Definition returns what the queue was declared as, nil for a topic that is
// used as a queue without having been declared one.
func (q *Queue) Definition() *QueueDefinition { panic("not yet") }

// CheckLock returns nil if a session may use the queue, ErrLocked if it is
// exclusive to another. s may be nil.
func (q *Queue) CheckLock(s *Session) error { panic("not yet") }
