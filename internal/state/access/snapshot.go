package access

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Snapshot is the users at one moment. It never changes and may be used from any
// goroutine.
type Snapshot struct{ users map[string]*User }

// User returns the user of this name, nil if there is none.
func (s *Snapshot) User(name string) *User { return s.users[name] }

// Users returns all users, sorted by name.
func (s *Snapshot) Users() []*User {
	return slices.SortedFunc(maps.Values(s.users), func(a, b *User) int { return cmp.Compare(a.Name, b.Name) })
}

// Authenticate reports whether a password is the user's. The default user is let
// in from this machine alone.
func (s *Snapshot) Authenticate(name, password string, loopback bool) bool {
	u := s.users[name]
	if u == nil {
		SHA256.matches(make([]byte, SHA256.size()), password) // takes as long
		return false
	}
	return (loopback || name != GuestName) && u.Hashing.matches(u.Hash, password)
}

// MayEnter reports whether a user has any permission in a tenant.
func (s *Snapshot) MayEnter(name, tenant string) bool {
	u := s.users[name]
	return u != nil && u.Permission(tenant) != nil
}

// right is one of RabbitMQ's three permissions.
type right string

const (
	configure right = "configure"
	write     right = "write"
	read      right = "read"
)

// rights says which permission an action needs. Describe needs any of them, and
// Admin none but the tag.
var rights = [...]right{Produce: write, Consume: read, Create: configure, Delete: configure, Alter: configure, Replay: read}

// defaultExchange is by which name patterns know the default exchange.
const defaultExchange = "amq.default"

// Authorize returns nil if the user may do a to r, else an error in RabbitMQ's
// words that wraps ErrDenied. It allocates nothing when it allows.
func (s *Snapshot) Authorize(who Principal, a Action, r Resource) error {
	u := s.users[who.Name]
	if u == nil {
		return &refusal{who, a, r}
	}
	if a == Admin || r.Type == Cluster {
		if u.HasTag(AdministratorTag) {
			return nil
		}
		return &refusal{who, a, r}
	}
	p := u.Permission(r.Tenant)
	if p == nil {
		return &refusal{who, a, r}
	}
	name := r.Name
	if r.Type == Exchange && name == "" {
		name = defaultExchange
	}
	if a == Describe {
		if p.Configure.Match(name) || p.Write.Match(name) || p.Read.Match(name) {
			return nil
		}
		return &refusal{who, a, r}
	}
	if int(a) >= len(rights) || rights[a] == "" || !p.of(rights[a]).Match(name) {
		return &refusal{who, a, r}
	}
	return nil
}

func (p *Permission) of(r right) *Pattern {
	switch r {
	case configure:
		return &p.Configure
	case write:
		return &p.Write
	}
	return &p.Read
}

// AuthorizeKey returns nil if a user may publish with (Produce) or bind by
// (Consume) a routing key at a topic exchange. Without a topic permission for the
// exchange everything is allowed.
func (s *Snapshot) AuthorizeKey(who Principal, a Action, r Resource, key string) error {
	u := s.users[who.Name]
	if u == nil {
		return nil // Authorize has judged
	}
	for i := range u.Topics {
		t := &u.Topics[i]
		if t.Tenant != r.Tenant || t.Exchange != r.Name {
			continue
		}
		if a == Produce && t.Write.Match(key) || a == Consume && t.Read.Match(key) {
			return nil
		}
		return fmt.Errorf("%w: %s access to topic '%s' in exchange '%s' in vhost '%s' refused for user '%s'",
			ErrDenied, rights[a], key, r.Name, shownTenant(r.Tenant), who.Name)
	}
	return nil
}

// refusal is a denial in RabbitMQ's words.
type refusal struct {
	who Principal
	a   Action
	r   Resource
}

func (e *refusal) Error() string {
	right := string(rights[min(int(e.a), len(rights)-1)])
	if e.a == Describe || e.a == Admin || right == "" {
		right = e.a.String()
	}
	what := e.r.Type.String()
	if e.r.Type == Topic {
		what = "queue"
	}
	return fmt.Sprintf("%s access to %s '%s' in vhost '%s' refused for user '%s'", right, what, e.r.Name, shownTenant(e.r.Tenant), e.who)
}

func (e *refusal) Unwrap() error { return ErrDenied }

func shownTenant(t string) string {
	if t == "" {
		return "/"
	}
	return t
}
