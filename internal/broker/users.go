package broker

import (
	"fmt"
	"io"

	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/route"
)

// User is a user with permissions, as of now. It never changes.
type User = access.User

// UserSpec describes a user to create or change.
type UserSpec struct {
	Name string
	// Password is hashed with a new salt. If it is empty, Hash and Hashing count:
	// a salt and hash in RabbitMQ's form.
	Password string
	Hash     []byte
	Hashing  access.Hashing
	// KeepPassword leaves an existing user's password as it is.
	KeepPassword bool
	Tags         []string
}

// User returns the user of this name, nil if there is none. It takes no lock.
func (b *Broker) User(name string) *User { return b.users.Load().User(name) }

// Users returns all users, sorted by name.
func (b *Broker) Users() []*User { return b.users.Load().Users() }

// Authenticate reports whether a password is the user's. The default user, guest,
// is let in from this machine alone. It takes no lock.
func (b *Broker) Authenticate(name, password string, loopback bool) bool {
	return b.users.Load().Authenticate(name, password, loopback)
}

// MayEnter reports whether a user has any permission in a tenant. It takes no
// lock.
func (b *Broker) MayEnter(user, tenant string) bool {
	return b.users.Load().MayEnter(user, tenantKey(tenant))
}

// AuthorizeKey returns nil if a user may publish with (Produce) or bind by
// (Consume) a routing key at a topic exchange, else an error that wraps
// access.ErrDenied. Authorize is asked before.
func (b *Broker) AuthorizeKey(who access.Principal, a access.Action, r access.Resource, key string) error {
	r.Tenant = tenantKey(r.Tenant)
	return b.users.Load().AuthorizeKey(who, a, r, key)
}

// PutUser creates a user, or changes password and tags of one. ErrInvalidUser,
// ErrPolicy.
func (b *Broker) PutUser(s *UserSpec, done func(created bool, err error)) {
	cmd := &access.PutUser{Name: s.Name, Hashing: s.Hashing, Hash: s.Hash, KeepHash: s.KeepPassword, Tags: s.Tags}
	if cmd.Hashing == 0 {
		cmd.Hashing = access.SHA256
	}
	if s.Password != "" {
		var salt [4]byte
		if err := b.random(salt[:]); err != nil {
			done(false, err)
			return
		}
		cmd.Hashing, cmd.Hash = access.SHA256, access.SHA256.HashPassword(salt, s.Password)
	}
	b.metadata.govern(cmd, done)
}

// random fills b with random bytes.
func (b *Broker) random(dst []byte) error {
	b.randMu.Lock()
	defer b.randMu.Unlock()
	if _, err := io.ReadFull(b.opts.Rand, dst); err != nil {
		return fmt.Errorf("drawing random bytes: %w", err)
	}
	return nil
}

// DeleteUser deletes a user with its permissions. ErrUnknownUser.
func (b *Broker) DeleteUser(name string, done func(error)) {
	b.metadata.govern(&access.DeleteUser{Name: name}, func(_ bool, err error) { done(err) })
}

// SetPermission says what a user may do in a tenant: with queues and exchanges
// whose names match the regular expressions. ErrUnknownUser, ErrUnknownTenant,
// ErrInvalidPattern, ErrPolicy.
func (b *Broker) SetPermission(user, tenant, configure, write, read string, done func(error)) {
	cmd := &access.SetPermission{User: user, Tenant: tenantKey(tenant), Configure: configure, Write: write, Read: read}
	b.metadata.govern(cmd, func(_ bool, err error) { done(err) })
}

// ClearPermission takes all that a user may do in a tenant. ErrUnknownUser.
func (b *Broker) ClearPermission(user, tenant string, done func(error)) {
	b.metadata.govern(&access.ClearPermission{User: user, Tenant: tenantKey(tenant)}, func(_ bool, err error) { done(err) })
}

// SetTopicPermission limits the routing keys that a user may publish with and
// bind by at a topic exchange. Errors as for SetPermission.
func (b *Broker) SetTopicPermission(user, tenant, exchange, write, read string, done func(error)) {
	cmd := &access.SetTopicPermission{User: user, Tenant: tenantKey(tenant), Exchange: exchange, Write: write, Read: read}
	b.metadata.govern(cmd, func(_ bool, err error) { done(err) })
}

// ClearTopicPermission takes such limits away: those of one exchange, or, if it
// is "", all in the tenant. ErrUnknownUser.
func (b *Broker) ClearTopicPermission(user, tenant, exchange string, done func(error)) {
	cmd := &access.ClearTopicPermission{User: user, Tenant: tenantKey(tenant), Exchange: exchange}
	b.metadata.govern(cmd, func(_ bool, err error) { done(err) })
}

// govern carries out a command about users. Any goroutine.
func (m *metadata) govern(cmd access.Command, done func(created bool, err error)) {
	m.group.Post(func() {
		m.propose(kindAccess, cmd.AppendTo(nil), func(result any, err error) {
			created, _ := result.(bool)
			done(created, limited(err))
		})
	})
}

// applyAccess applies a command about users.
func (m *metadata) applyAccess(payload []byte) error {
	cmd, err := access.DecodeCommand(payload)
	if err != nil {
		return err
	}
	local := m.locals.command()
	created := false
	if err = m.checkPermission(cmd); err == nil {
		created, err = m.users.Apply(cmd)
	}
	if gone, ok := cmd.(*access.DeleteUser); ok && err == nil {
		m.parameters.UserGone(gone.Name)
	}
	if local != nil {
		local.result, local.err = created, err
	}
	return nil
}

// checkPermission refuses permissions in a tenant that does not exist.
func (m *metadata) checkPermission(cmd access.Command) error {
	tenant := ""
	switch cmd := cmd.(type) {
	case *access.SetPermission:
		tenant = cmd.Tenant
	case *access.SetTopicPermission:
		tenant = cmd.Tenant
	}
	if m.routes.Tenant(tenant) == nil {
		return fmt.Errorf("%w: '%s'", ErrUnknownTenant, route.TenantName(tenant))
	}
	return nil
}
