package broker

import (
	"bytes"
	"cmp"
	"math"
	"slices"

	"github.com/polylog-mq/polylog/internal/state/lease"
	"github.com/polylog-mq/polylog/internal/state/route"
	"github.com/polylog-mq/polylog/internal/state/topic"
)

// Policy gives queues and exchanges what their declarations do not say; see
// route.Policy. Its Tenant is "" if that is the default one.
type Policy = route.Policy

// PutPolicy creates a policy, or replaces the one of its name. Exchanges obey it
// when it is answered, queues soon after. ErrUnknownTenant, ErrInvalidName,
// ErrInvalidArgument, ErrPolicy.
func (b *Broker) PutPolicy(p *Policy, done func(created bool, err error)) {
	cmd := &route.PutPolicy{Policy: *p}
	cmd.Tenant = tenantKey(p.Tenant)
	b.metadata.define(cmd, func(r routed, err error) { done(r.Created, err) })
}

// DeletePolicy deletes a policy. ErrUnknownPolicy.
func (b *Broker) DeletePolicy(tenant, name string, operator bool, done func(err error)) {
	cmd := &route.DeletePolicy{Tenant: tenantKey(tenant), Name: name, Operator: operator}
	b.metadata.define(cmd, func(_ routed, err error) { done(err) })
}

// Policies hands done a tenant's policies, those of operators or the others,
// sorted by name.
func (b *Broker) Policies(tenant string, operator bool, done func([]*Policy)) {
	b.metadata.group.Post(func() { done(b.metadata.routes.Policies(tenantKey(tenant), operator)) })
}

// PoliciesOf hands done, for each of some queues, the policy and the operator's
// policy that apply to it, nil for none.
func (b *Broker) PoliciesOf(queues []*Queue, done func(user, operator []*Policy)) {
	b.metadata.group.Post(func() {
		user, operator := make([]*Policy, len(queues)), make([]*Policy, len(queues))
		for i, q := range queues {
			if d := q.Definition(); d != nil {
				user[i], operator[i] = b.metadata.routes.QueuePolicies(tenantKey(q.Tenant()), q.Name(), d)
			}
		}
		done(user, operator)
	})
}

// obeyAtOnce is how many queues are held against the policies before the loop
// does something else.
const obeyAtOnce = 256

// obeyPolicies sees to it, on the leader, that the queues have the settings that
// policies give them. A settings change is a command of its own for each queue:
// whatever goes wrong, the next leader finds what is missing.
func (m *metadata) obeyPolicies() {
	m.obeyInTopics()
	if !m.leads.Load() {
		return
	}
	m.obeyed++
	round := m.obeyed
	var ids []topic.ID
	for _, t := range m.catalog.Topics() {
		if t.Attributes != nil {
			ids = append(ids, t.ID)
		}
	}
	var next func()
	next = func() {
		if m.obeyed != round || !m.leads.Load() {
			return
		}
		now := ids[:min(len(ids), obeyAtOnce)]
		ids = ids[len(now):]
		for _, id := range now {
			m.obey(id)
		}
		if len(ids) > 0 {
			m.group.Post(next)
		}
	}
	m.group.Post(next)
}

// obey gives one queue the settings that policies say.
func (m *metadata) obey(id topic.ID) {
	t := m.catalog.ByID(id)
	if t == nil || t.Deleted {
		return
	}
	q := definitionOf(t)
	if t.Lease == nil {
		m.obeyStream(t, q)
		return
	}
	if len(q.Settings) == 0 {
		return
	}
	declared, err := lease.DecodeSettings(q.Settings)
	if err != nil {
		return // of another origin: it keeps what it has
	}
	settings := m.underPolicies(t.Tenant, t.Name, q, declared)
	if encoded := settings.AppendTo(nil); !bytes.Equal(encoded, t.Lease) {
		cmd := &topic.AlterQueue{UUID: t.UUID, Lease: encoded}
		m.proposeOwn(kindCatalog, cmd.AppendTo(nil), func(any, error) {})
	}
}

// underPolicies returns what policies make of the settings that a queue was
// declared with.
func (m *metadata) underPolicies(tenant, name string, q *route.Queue, declared *QueueSettings) *QueueSettings {
	s := *declared
	user, operator := m.routes.QueuePolicies(tenant, name, q)
	if user != nil {
		obey(&s, user.Definition, false)
	}
	if operator != nil {
		obey(&s, operator.Definition, true)
	}
	if s.Check() != nil { // together they contradict each other
		return declared
	}
	return &s
}

// obey merges a policy into settings as RabbitMQ does: of two limits the lower one
// counts. What else was declared stands, against a policy; an operator's overflow
// counts in any case.
func obey(s *QueueSettings, policy route.Table, operator bool) {
	for name, v := range policy.All() {
		n, _ := v.Integer()
		text, _ := v.Text()
		switch string(name) {
		case "message-ttl":
			limit(&s.MessageTTL, -1, n)
		case "expires":
			limit(&s.Expires, 0, n)
		case "max-length":
			limit(&s.MaxLength, -1, n)
		case "max-length-bytes":
			limit(&s.MaxBytes, -1, n)
		case "delivery-limit":
			limit(&s.DeliveryLimit, -1, small(max(n, -1)))
		case "consumer-timeout":
			limit(&s.ConsumerTimeout, 0, n)
		case "rate-limit":
			limit(&s.RateLimit, 0, small(n))
		case "in-flight-limit":
			limit(&s.InFlightLimit, 0, small(n))
		case "overflow":
			if operator || s.Overflow == DropHead {
				s.Overflow = DropHead + lease.Overflow(slices.Index(overflows, text))
			}
		case "dead-letter-exchange":
			if !s.DeadLetter {
				s.DeadLetter, s.KeepKeys, s.DeadLetterExchange = true, s.DeadLetterKey == "", text
			}
		case "dead-letter-routing-key":
			if !s.DeadLetter || s.KeepKeys {
				s.KeepKeys, s.DeadLetterKey = false, text
			}
		case "retention-ms":
			s.Retention = max(n, -1)
		case "retry-first-ms":
			s.Retry.First = n
		case "retry-cap-ms":
			s.Retry.Cap = n
		case "retry-factor":
			s.Retry.Factor = small(n)
		case "retry-jitter":
			s.Retry.Jitter = small(n)
		case "retry-attempts":
			s.Retry.Attempts = small(n)
		}
	}
}

// overflows are the policies of overflow in their order.
var overflows = []string{"drop-head", "reject-publish", "reject-publish-dlx"}

// small returns n, or the largest number there is room for.
func small(n int64) int32 { return int32(min(n, math.MaxInt32)) }

// limit lowers a limit to n; none stands for no limit, in both.
func limit[N cmp.Ordered](v *N, none, n N) {
	if n != none && (*v == none || n < *v) {
		*v = n
	}
}
