package broker

import (
	"fmt"
	"iter"

	"github.com/polylog-mq/polylog/internal/state/route"
)

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
	// Refusal, if not nil, is why there can be no such queue. It is answered unless
	// there is a queue of this name: that one the declaration is compared with.
	Refusal error
}

// QueueDefinition is what a queue was declared as. It never changes.
type QueueDefinition = route.Queue

// DeclareQueue creates a queue, or a stream if the arguments say so, unless it
// exists; then it must be equivalent (a *NotEquivalentError otherwise, which wraps
// ErrNotEquivalent). A topic counts as a durable queue without arguments, and as
// any stream if it has one partition; one of its partitions is answered (QueuesOf
// has all). It answers when the queue can be used. ErrUnknownTenant, ErrLocked,
// ErrNotQueue, ErrInvalidTopic, ErrInvalidArgument, ErrPolicy.
func (b *Broker) DeclareQueue(s *QueueSpec, done func(q *Queue, created bool, err error)) {
	d := &declaration{tenant: tenantKey(s.Tenant), name: s.Name, settings: s.Settings, refusal: s.Refusal, done: done}
	d.queue = route.Queue{
		Durable: s.Durable && s.Exclusive == nil, AutoDelete: s.AutoDelete, Exclusive: s.Exclusive != nil,
		Arguments: s.Arguments,
	}
	if !d.queue.Durable {
		d.queue.Owner = b.owner(s.Exclusive)
	}
	err := d.queue.Check()
	if serr := s.Settings.Check(); err == nil && serr != nil {
		err = fmt.Errorf("%w: %w", ErrInvalidArgument, serr)
	}
	if err == nil {
		err = b.admit(proposalOverhead)
	}
	if err != nil {
		done(nil, false, err)
		return
	}
	b.metadata.group.Post(func() { b.metadata.declare(d) })
}

// DeleteQueue deletes a queue, its messages and its bindings, and answers, when
// its shard has dropped it, how many messages were ready. ErrUnknownQueue if it
// has been deleted already, ErrInUse if ifUnused is set and it has consumers,
// ErrNotEmpty if ifEmpty is set and it has messages, ErrNotQueue for a topic that
// was not declared as a queue, which is deleted as a topic.
func (b *Broker) DeleteQueue(q *Queue, ifUnused, ifEmpty bool, done func(messages int64, err error)) {
	t := q.Topic()
	stats := q.Stats()
	switch {
	case t.definition == nil:
		done(0, ErrNotQueue)
	case ifUnused && stats.Consumers > 0:
		done(0, &queueRefusal{t, "in use", ErrInUse})
	case ifEmpty && stats.Ready > 0:
		done(0, &queueRefusal{t, "not empty", ErrNotEmpty})
	default:
		b.metadata.deleteQueue(t, func(err error) { done(stats.Ready, err) })
	}
}

// queueRefusal says in RabbitMQ's words why a queue is not deleted.
type queueRefusal struct {
	t   *Topic
	why string
	is  error
}

func (e *queueRefusal) Error() string {
	return fmt.Sprintf("queue '%s' in vhost '%s' %s", e.t.Name, e.t.Tenant, e.why)
}

func (e *queueRefusal) Unwrap() error { return e.is }

// EndExclusive deletes the queues that are exclusive to a session. Whoever
// declared exclusive queues calls it when the session has ended.
func (b *Broker) EndExclusive(s *Session, done func()) {
	b.metadata.define(&route.EndSession{Session: b.owner(s)}, func(routed, error) { done() })
}

// Queue returns the queue, or the topic of one partition, of this name in a
// tenant, nil if there is none. It takes no lock.
func (b *Broker) Queue(tenant, name string) *Queue {
	t := b.view.byName.get(fullName{tenantKey(tenant), name})
	if t == nil || len(t.Partitions) > 1 {
		return nil
	}
	return t.taker(nil)
}

// QueuesOf returns what a name of a tenant stands for when it is consumed: a
// queue, or each partition of a topic as one; none if there is neither. It takes
// no lock.
func (b *Broker) QueuesOf(tenant, name string) []*Queue {
	t := b.view.byName.get(fullName{tenantKey(tenant), name})
	if t == nil {
		return nil
	}
	list := make([]*Queue, len(t.Partitions))
	for i, p := range t.Partitions {
		list[i] = t.takerOf(p)
	}
	return list
}

// Queues iterates over a tenant's queues and streams (not over topics that were
// not declared as one), sorted by name, as they are at the call.
func (b *Broker) Queues(tenant string) iter.Seq[*Queue] {
	tenant = route.TenantName(tenantKey(tenant))
	return func(yield func(*Queue) bool) {
		for t := range b.view.all() {
			if t.Tenant == tenant && t.definition != nil && !yield(t.taker(nil)) {
				return
			}
		}
	}
}

// Tenant returns the tenant that the queue is in.
func (q *Queue) Tenant() string { return q.Topic().Tenant }

// Definition returns what the queue was declared as, nil for a topic that is
// used as a queue without having been declared one.
func (q *Queue) Definition() *QueueDefinition { return q.Topic().definition }

// CheckLock returns nil if a session may use the queue, ErrLocked if it is
// exclusive to another. s may be nil.
func (q *Queue) CheckLock(s *Session) error {
	t := q.Topic()
	if t.definition == nil || !t.definition.Exclusive {
		return nil
	}
	return t.definition.MayUse(q.part.shard.b.owner(s), tenantKey(t.Tenant), t.Name)
}

// owner returns what ends with a session or, if it is nil, with this incarnation
// of the node.
func (b *Broker) owner(s *Session) route.Owner {
	o := route.Owner{Node: b.opts.Node, Incarnation: b.incarnation.Load()}
	if s != nil {
		o.Number = s.number
	}
	return o
}

// QueueChurn returns how many queues were created and deleted since the process
// started. It takes no lock.
func (b *Broker) QueueChurn() (created, deleted int64) {
	return b.queuesCreated.Load(), b.queuesDeleted.Load()
}
