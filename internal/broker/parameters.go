package broker

import (
	"encoding/json"
	"fmt"

	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/parameter"
	"github.com/polylog-mq/polylog/internal/state/route"
	"github.com/polylog-mq/polylog/internal/state/topic"
)

// Parameter is what an operator has said by name; see parameter.Parameter. Its
// Tenant is "" if that is the default one.
type Parameter = parameter.Parameter

// ParameterKey names a parameter.
type ParameterKey = parameter.Key

// Parameters returns all parameters, sorted by component, tenant and name. It
// takes no lock.
func (b *Broker) Parameters() []Parameter { return b.parameters.Load().All() }

// PutParameter sets a parameter; a limit is obeyed from then on.
// ErrInvalidParameter, ErrUnknownTenant, ErrUnknownUser, ErrPolicy.
func (b *Broker) PutParameter(p *Parameter, done func(created bool, err error)) {
	b.metadata.setParameter(&parameter.Put{Parameter: Parameter{Key: keyOf(p.Key), Value: p.Value}}, done)
}

// DeleteParameter takes a parameter away. ErrUnknownParameter.
func (b *Broker) DeleteParameter(k ParameterKey, done func(error)) {
	b.metadata.setParameter(&parameter.Delete{Key: keyOf(k)}, func(_ bool, err error) { done(err) })
}

func keyOf(k ParameterKey) ParameterKey {
	if k.Component != parameter.UserLimits {
		k.Tenant = tenantKey(k.Tenant)
	}
	return k
}

// TenantLimit returns a limit of a tenant (parameter.MaxConnections, MaxQueues);
// ok is false when there is none. It takes no lock.
func (b *Broker) TenantLimit(tenant, name string) (n int64, ok bool) {
	return b.parameters.Load().Limit(ParameterKey{Component: parameter.TenantLimits, Tenant: tenantKey(tenant), Name: name})
}

// UserLimit returns a limit of a user (parameter.MaxConnections, MaxChannels); ok
// is false when there is none. It takes no lock.
func (b *Broker) UserLimit(user, name string) (n int64, ok bool) {
	return b.parameters.Load().Limit(ParameterKey{Component: parameter.UserLimits, Tenant: user, Name: name})
}

// clusterName is the global parameter that names the cluster, as in RabbitMQ.
const clusterName = "cluster_name"

// ClusterName returns what the operator calls the cluster, "polylog" if nothing.
// It takes no lock.
func (b *Broker) ClusterName() string {
	var name string
	v := b.parameters.Load().Value(ParameterKey{Component: parameter.Global, Name: clusterName})
	if json.Unmarshal(v, &name) != nil || name == "" {
		return "polylog"
	}
	return name
}

// SetClusterName names the cluster. Errors as for PutParameter.
func (b *Broker) SetClusterName(name string, done func(error)) {
	v, err := json.Marshal(name)
	if err != nil {
		done(fmt.Errorf("encoding the cluster's name: %w", err))
		return
	}
	p := &Parameter{Key: ParameterKey{Component: parameter.Global, Name: clusterName}, Value: v}
	b.PutParameter(p, func(_ bool, err error) { done(err) })
}

// setParameter carries out a command about parameters. Any goroutine.
func (m *metadata) setParameter(cmd parameter.Command, done func(created bool, err error)) {
	m.group.Post(func() {
		m.propose(kindParameter, cmd.AppendTo(nil), func(result any, err error) {
			created, _ := result.(bool)
			done(created, limited(err))
		})
	})
}

// applyParameter applies a command about parameters.
func (m *metadata) applyParameter(payload []byte) error {
	cmd, err := parameter.DecodeCommand(payload)
	if err != nil {
		return err
	}
	local := m.locals.command()
	created := false
	if err = m.checkParameter(cmd); err == nil {
		created, err = m.parameters.Apply(cmd)
	}
	if local != nil {
		local.result, local.err = created, err
	}
	return nil
}

// checkParameter refuses what belongs to a tenant or user that does not exist.
func (m *metadata) checkParameter(cmd parameter.Command) error {
	p, ok := cmd.(*parameter.Put)
	switch {
	case !ok || p.Component == parameter.Global:
	case p.Component == parameter.UserLimits:
		if m.users.Snapshot().User(p.Tenant) == nil {
			return fmt.Errorf("%w: '%s'", access.ErrUnknownUser, p.Tenant)
		}
	case m.routes.Tenant(p.Tenant) == nil:
		return fmt.Errorf("%w: '%s'", ErrUnknownTenant, route.TenantName(p.Tenant))
	}
	return nil
}

// mayCreate refuses a queue that is one too many for its tenant.
func (m *metadata) mayCreate(tenant, name string) error {
	limit, ok := m.parameters.Snapshot().Limit(ParameterKey{Component: parameter.TenantLimits, Tenant: tenant, Name: parameter.MaxQueues})
	if !ok || m.catalog.Lookup(tenant, name) != nil {
		return nil
	}
	n := int64(0)
	for _, t := range m.catalog.Topics() {
		if t.Tenant == tenant && t.Lease != nil && !t.Deleted {
			n++
		}
	}
	if n < limit {
		return nil
	}
	return &QueueLimitError{Name: name, Tenant: tenant, Limit: limit}
}

// QueueLimitError says that a tenant has as many queues as it may have. It wraps
// ErrPolicy.
type QueueLimitError struct {
	Name, Tenant string
	Limit        int64
}

func (e *QueueLimitError) Error() string {
	return fmt.Sprintf("cannot declare queue '%s': queue limit in vhost '%s' (%d) is reached", e.Name, route.TenantName(e.Tenant), e.Limit)
}

// Unwrap returns ErrPolicy.
func (e *QueueLimitError) Unwrap() error { return topic.ErrTooMany }
