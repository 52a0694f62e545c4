package broker

import "iter"

// DefaultTenant is the tenant of Kafka's clients and of AMQP's vhost "/". It
// always exists. Tenants are named as AMQP names vhosts; "" stands for the
// default tenant too.
const DefaultTenant = "/"

// Tenant reports whether a tenant exists. It takes no lock.
func (b *Broker) Tenant(name string) bool { panic("not yet") }

// Tenants iterates over the tenants, sorted by name, as they are at the call.
func (b *Broker) Tenants() iter.Seq[string] { panic("not yet") }

// CreateTenant creates a tenant, with the exchanges that every tenant has; one
// that exists is no error (created is false).
func (b *Broker) CreateTenant(name string, done func(created bool, err error)) { panic("not yet") }

// DeleteTenant deletes a tenant and all that is in it. ErrUnknownTenant,
// ErrDefaultTenant.
func (b *Broker) DeleteTenant(name string, done func(err error)) { panic("not yet") }
