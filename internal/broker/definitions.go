package broker

import (
	"errors"
	"fmt"
	"slices"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/parameter"
	"github.com/polylog-mq/polylog/internal/state/route"
	"github.com/polylog-mq/polylog/internal/state/topic"
)

// This file is the part of the metadata group about tenants, exchanges, bindings
// and queues. All of it runs on the group's loop.

// routed is the result of a route command.
type routed struct {
	route.Result
	// deleted are the topics that went with it.
	deleted []*topic.Topic
}

// define carries out a command about routes. Like every change it goes by the
// group's loop, so that one caller's changes keep their order. Any goroutine.
func (m *metadata) define(cmd route.Command, done func(routed, error)) {
	m.group.Post(func() {
		m.propose(kindRoute, cmd.AppendTo(nil), func(result any, err error) {
			r, _ := result.(routed)
			done(r, limited(err))
		})
	})
}

// limited gives what says that a limit was reached the name that it has here.
func limited(err error) error {
	if errors.Is(err, route.ErrTooMany) || errors.Is(err, access.ErrTooMany) || errors.Is(err, parameter.ErrTooMany) {
		return fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	return err
}

// TopicID implements route.Topics.
func (m *metadata) TopicID(tenant, name string) record.TopicID {
	if t := m.catalog.Lookup(tenant, name); t != nil {
		return t.ID
	}
	return 0
}

// applyRoute applies a command about routes, and what follows from it for
// topics.
func (m *metadata) applyRoute(now record.LogTime, payload []byte) error {
	cmd, err := route.DecodeCommand(payload)
	if err != nil {
		return err
	}
	local := m.locals.command()
	r := routed{}
	r.Result, err = m.routes.Apply(cmd, m)
	if err == nil {
		r.deleted = m.followRoute(now, cmd)
	}
	if local != nil {
		local.result, local.err = r, err
	}
	return nil
}

// followRoute deletes the topics that end with what a command has ended.
func (m *metadata) followRoute(now record.LogTime, cmd route.Command) (deleted []*topic.Topic) {
	switch cmd := cmd.(type) {
	case *route.DeleteTenant:
		m.users.TenantGone(cmd.Name)
		m.parameters.TenantGone(cmd.Name)
		for _, t := range m.catalog.Topics() {
			if t.Tenant == cmd.Name {
				deleted = append(deleted, m.dropTopic(now, t.ID))
			}
		}
	case *route.PutPolicy, *route.DeletePolicy, *route.PutTenant:
		m.obeyPolicies()
	case *route.EndSession:
		for _, id := range slices.Clone(m.owned[cmd.Session]) {
			deleted = append(deleted, m.dropTopic(now, id))
		}
	case *route.StartNode:
		var ids []topic.ID
		for owner, owns := range m.owned {
			if owner.Node == cmd.Node {
				ids = append(ids, owns...)
			}
		}
		slices.Sort(ids)
		for _, id := range ids {
			deleted = append(deleted, m.dropTopic(now, id))
		}
	}
	return deleted
}

// dropTopic deletes a topic that is there, as a part of another command.
func (m *metadata) dropTopic(now record.LogTime, id topic.ID) *topic.Topic {
	cmd := &topic.DeleteTopic{UUID: m.catalog.ByID(id).UUID}
	result, err := m.catalog.Apply(now, cmd)
	if err != nil {
		panic(fmt.Sprintf("deleting topic %d, which exists: %v", id, err))
	}
	m.applied(cmd, &result)
	return result.Topic
}

// follow keeps what hangs on topics in step with a topic that was created or
// deleted.
func (m *metadata) follow(cmd topic.CatalogCommand, t *topic.Topic) {
	if t.Deleted {
		m.routes.TopicGone(t.ID)
	}
	_, created := cmd.(*topic.CreateTopic)
	switch {
	case t.Lease == nil:
	case created:
		m.b.queuesCreated.Add(1)
	case t.Deleted:
		m.b.queuesDeleted.Add(1)
	}
	if owner := definitionOf(t).Owner; owner != (route.Owner{}) {
		switch {
		case created:
			m.owned[owner] = append(m.owned[owner], t.ID)
		case t.Deleted:
			m.disown(owner, t.ID)
		}
	}
}

func (m *metadata) disown(owner route.Owner, id topic.ID) {
	owned := slices.DeleteFunc(m.owned[owner], func(o topic.ID) bool { return o == id })
	if m.owned[owner] = owned; len(owned) == 0 {
		delete(m.owned, owner)
	}
}

// definitionOf returns what a queue was declared as; of a topic, what it counts
// as when it is declared as a queue.
func definitionOf(t *topic.Topic) *route.Queue {
	q, err := route.DecodeQueue(t.Attributes)
	if err != nil { // of another origin
		return &route.Queue{Durable: true}
	}
	return q
}

// checkTenant refuses a topic in a tenant that does not exist, and a queue in one
// that has enough.
func (m *metadata) checkTenant(cmd topic.CatalogCommand) error {
	c, ok := cmd.(*topic.CreateTopic)
	switch {
	case !ok:
		return nil
	case m.routes.Tenant(c.Tenant) == nil:
		return fmt.Errorf("%w: '%s'", ErrUnknownTenant, c.Tenant)
	case c.Lease != nil:
		return m.mayCreate(c.Tenant, c.Name)
	}
	return nil
}

// declaration is a queue that is being declared.
type declaration struct {
	tenant, name string
	queue        route.Queue
	settings     QueueSettings
	refusal      error // why it cannot be created
	done         func(q *Queue, created bool, err error)
}

func (m *metadata) answerDeclaration(d *declaration, created bool, t *topic.Topic, err error) {
	m.b.release(proposalOverhead)
	if err != nil {
		d.done(nil, false, err)
		return
	}
	view := m.b.view.byUUID.get(t.UUID)
	if view == nil {
		d.done(nil, false, fmt.Errorf("%w: it has been deleted since", ErrUnknownQueue))
		return
	}
	q := view.taker(nil)
	q.use()
	d.done(q, created, nil)
}

// declare creates a queue, or compares the declaration with what there is.
func (m *metadata) declare(d *declaration) {
	tenant := m.routes.Tenant(d.tenant)
	switch t := m.catalog.Lookup(d.tenant, d.name); {
	case !m.leads.Load():
		m.answerDeclaration(d, false, nil, ErrNotLeader)
	case tenant == nil:
		m.answerDeclaration(d, false, nil, fmt.Errorf("%w: '%s'", ErrUnknownTenant, d.tenant))
	case t != nil:
		if err := d.equivalent(t, tenant); err != nil {
			m.answerDeclaration(d, false, nil, err)
			return
		}
		m.whenSettled(t, func(t *topic.Topic, err error) { m.answerDeclaration(d, false, t, err) })
	case d.refusal != nil:
		m.answerDeclaration(d, false, nil, d.refusal)
	default:
		m.createQueue(d)
	}
}

// equivalent holds a declaration against the queue that has the name.
func (d *declaration) equivalent(t *topic.Topic, tenant *route.Tenant) error {
	current := definitionOf(t)
	if t.Attributes == nil && d.queue.IsStream() {
		if len(t.Partitions) > 1 {
			return fmt.Errorf("%w: '%s' in vhost '%s' has more than one order", ErrNotQueue, d.name, route.TenantName(d.tenant))
		}
		current.Arguments = d.queue.Arguments // a topic can be read as a stream: its settings are its own
	}
	if err := current.DeclaredBy(&d.queue, d.tenant, d.name); err != nil {
		return err
	}
	return current.Equivalent(&d.queue, d.tenant, d.name, tenant.Info.QueueType)
}

// queueConfig are the settings that the topic of a queue begins with: what is
// settled is what may go, and a message may be as large as an entry.
var queueConfig = []topic.Config{{Name: "max.message.bytes", Value: "17825792"}, {Name: "retention.ms", Value: "-1"}}

func (m *metadata) createQueue(d *declaration) {
	cmd := &topic.CreateTopic{Tenant: d.tenant, Name: d.name, Partitions: 1}
	if d.queue.IsStream() {
		if !d.queue.Durable || d.queue.AutoDelete {
			m.answerDeclaration(d, false, nil, fmt.Errorf("%w: a stream is durable, and neither exclusive nor auto-delete", ErrInvalidArgument))
			return
		}
		cmd.Config = m.streamConfig(d.tenant, d.name, &d.queue)
	} else {
		d.queue.Settings = d.settings.AppendTo(nil)
		settings := m.underPolicies(d.tenant, d.name, &d.queue, &d.settings)
		cmd.Config, cmd.Lease = queueConfig, settings.AppendTo(nil)
	}
	cmd.Attributes = d.queue.AppendTo(nil)
	var err error
	if cmd.UUID, err = m.b.newUUID(); err != nil {
		m.answerDeclaration(d, false, nil, err)
		return
	}
	m.proposeOwn(kindCatalog, cmd.AppendTo(nil), func(result any, err error) {
		switch {
		case errors.Is(err, ErrTopicExists): // declared twice at once
			m.declare(d)
		case err != nil:
			m.answerDeclaration(d, false, nil, err)
		default:
			m.whenSettled(result.(topic.Result).Topic, func(t *topic.Topic, err error) { m.answerDeclaration(d, true, t, err) })
		}
	})
}

// deleteQueue deletes a queue. Any goroutine.
func (m *metadata) deleteQueue(t *Topic, done func(error)) {
	m.group.Post(func() {
		cmd := &topic.DeleteTopic{UUID: t.UUID}
		m.propose(kindCatalog, cmd.AppendTo(nil), func(result any, err error) {
			switch {
			case errors.Is(err, ErrUnknownTopic):
				done(&NotFoundError{What: "queue", Name: t.Name, Tenant: tenantKey(t.Tenant)})
			case err != nil:
				done(err)
			default:
				m.whenSettled(result.(topic.Result).Topic, func(_ *topic.Topic, err error) { done(err) })
			}
		})
	})
}

// whenSettled calls done when the shards have applied the last change of a
// topic.
func (m *metadata) whenSettled(t *topic.Topic, done func(*topic.Topic, error)) {
	if m.catalog.Settled(t.ID) {
		done(t, nil)
		return
	}
	m.waiting[t.ID] = append(m.waiting[t.ID], done)
}

// whenAllSettled calls done when the shards have applied all of these changes.
func (m *metadata) whenAllSettled(topics []*topic.Topic, done func(error)) {
	left, failed := len(topics), error(nil)
	if left == 0 {
		done(nil)
		return
	}
	for _, t := range topics {
		m.whenSettled(t, func(_ *topic.Topic, err error) {
			if failed == nil {
				failed = err
			}
			if left--; left == 0 {
				done(failed)
			}
		})
	}
}

// bind makes or removes a binding, unless its queue is exclusive to another
// session. Any goroutine.
func (m *metadata) bind(cmd route.Command, x *Binding, by *Session, done func(error)) {
	tenant, name := tenantKey(x.Tenant), x.Destination
	m.group.Post(func() {
		if t := m.catalog.Lookup(tenant, name); !x.ToExchange && t != nil {
			if err := definitionOf(t).MayUse(m.b.owner(by), tenant, name); err != nil {
				done(err)
				return
			}
		}
		m.propose(kindRoute, cmd.AppendTo(nil), func(_ any, err error) { done(limited(err)) })
	})
}

// bindings lists a tenant's bindings by name.
func (m *metadata) bindings(tenant string) []Binding {
	var list []Binding
	for _, b := range m.routes.Bindings(tenantKey(tenant)) {
		x := Binding{
			Tenant: route.TenantName(tenantKey(tenant)), Source: m.routes.ExchangeByID(b.Source).Name,
			ToExchange: b.Dest.Exchange != 0, Key: b.Key, Arguments: b.Arguments,
		}
		if x.ToExchange {
			x.Destination = m.routes.ExchangeByID(b.Dest.Exchange).Name
		} else {
			x.Destination = m.catalog.ByID(b.Dest.Topic).Name
		}
		list = append(list, x)
	}
	return list
}

// start begins an incarnation of this node, once per life of the process: what
// was to end with the one before is deleted.
func (m *metadata) start() {
	if m.b.incarnation.Load() != 0 || m.starting {
		return
	}
	m.starting = true
	cmd := route.StartNode{Node: m.b.opts.Node}
	m.proposeOwn(kindRoute, cmd.AppendTo(nil), func(result any, err error) {
		m.starting = false
		switch {
		case err == nil:
			m.b.incarnation.Store(result.(routed).Incarnation)
			m.b.ready.note(startMark, 0, true)
		case errors.Is(err, ErrClosed) || errors.Is(err, ErrStorage) || errors.Is(err, replica.ErrNotLeader):
		default:
			m.b.opts.Clock.AfterFunc(resendDelay, func() { m.group.Post(m.start) })
		}
	})
}

// restoreOwned finds what belongs to sessions and incarnations.
func (m *metadata) restoreOwned() {
	m.owned = map[route.Owner][]topic.ID{}
	for _, t := range m.catalog.Topics() {
		if t.Lease == nil {
			continue
		}
		if owner := definitionOf(t).Owner; owner != (route.Owner{}) {
			m.owned[owner] = append(m.owned[owner], t.ID)
		}
	}
	for _, ids := range m.owned {
		slices.Sort(ids)
	}
}
