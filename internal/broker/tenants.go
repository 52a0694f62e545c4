package broker

import (
	"iter"
	"slices"

	"github.com/polylog-mq/polylog/internal/state/route"
)

// DefaultTenant is the tenant of Kafka's clients and of AMQP's vhost "/". It
// always exists. Tenants are named as AMQP names vhosts; "" stands for the
// default tenant too.
const DefaultTenant = route.DefaultTenantName

// TenantInfo is what is said of a tenant, for people and tools alone.
type TenantInfo = route.TenantInfo

// tenantKey returns a tenant's name as the state has it.
func tenantKey(name string) string {
	if name == DefaultTenant {
		return ""
	}
	return name
}

// Tenant reports whether a tenant exists. It takes no lock.
func (b *Broker) Tenant(name string) bool { return b.routing.snapshot.Load().Tenant(tenantKey(name)) }

// Tenants iterates over the tenants, sorted by name, as they are at the call.
func (b *Broker) Tenants() iter.Seq[string] {
	names := b.routing.snapshot.Load().Tenants()
	for i := range names {
		names[i] = route.TenantName(names[i])
	}
	slices.Sort(names)
	return slices.Values(names)
}

// CreateTenant creates a tenant, with the exchanges that every tenant has, or
// changes what is said of one that exists (created is false).
func (b *Broker) CreateTenant(name string, info TenantInfo, done func(created bool, err error)) {
	b.metadata.define(&route.PutTenant{Name: tenantKey(name), Info: info}, func(r routed, err error) {
		done(r.Created, err)
	})
}

// DescribeTenants hands done the tenants with what is said of them, sorted by
// name.
func (b *Broker) DescribeTenants(done func(names []string, infos []TenantInfo)) {
	b.metadata.group.Post(func() {
		var names []string
		var infos []TenantInfo
		for _, t := range b.metadata.routes.Tenants() {
			names, infos = append(names, route.TenantName(t.Name)), append(infos, t.Info)
		}
		done(names, infos)
	})
}

// DeleteTenant deletes a tenant and all that is in it, and answers when the
// shards have dropped its queues. ErrUnknownTenant, ErrDefaultTenant.
func (b *Broker) DeleteTenant(name string, done func(err error)) {
	b.metadata.define(&route.DeleteTenant{Name: tenantKey(name)}, func(r routed, err error) {
		if err != nil {
			done(err)
			return
		}
		b.metadata.whenAllSettled(r.deleted, done)
	})
}
