package access

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"unicode/utf8"
)

// Verdicts on commands.
var (
	// ErrInvalidUser refuses a name, a hash or tags that cannot be.
	ErrInvalidUser = errors.New("invalid user")
	// ErrInvalidPattern refuses what is no regular expression (of Go's package
	// regexp: without look-around and back references).
	ErrInvalidPattern = errors.New("invalid regular expression")
	// ErrUnknownUser: no user of this name.
	ErrUnknownUser = errors.New("no such user")
	// ErrTooMany refuses what would pass a limit of limits.go.
	ErrTooMany = errors.New("limit reached")
)

// AdministratorTag is the tag of users who may do everything that is not about
// messages: run the cluster, and see and change all tenants.
const AdministratorTag = "administrator"

// User is a user. It never changes.
type User struct {
	Name    string
	Hashing Hashing
	// Hash is the salt and the hash; none: nobody can log in by password.
	Hash []byte
	// Tags are RabbitMQ's roles.
	Tags []string
	// Permissions are sorted by tenant, Topics by tenant and exchange.
	Permissions []Permission
	Topics      []TopicPermission
}

// Permission is what a user may do in a tenant: to queues and exchanges whose
// names match, somewhere in them. The empty pattern matches nothing but "".
type Permission struct {
	Tenant                 string // "" is the default one
	Configure, Write, Read Pattern
}

// TopicPermission further limits the routing keys that a user may publish to and
// bind by at a topic exchange.
type TopicPermission struct {
	Tenant, Exchange string
	Write, Read      Pattern
}

// Pattern is a regular expression, compiled once.
type Pattern struct {
	text string
	re   *regexp.Regexp // nil if it matches everything
}

// NewPattern compiles a regular expression. ErrInvalidPattern.
func NewPattern(text string) (Pattern, error) {
	p := Pattern{text: text}
	switch text {
	case ".*", "^.*$", "^.*", ".*$":
		return p, nil
	case "":
		text = "^$"
	}
	if len(text) > MaxPatternLen {
		return p, fmt.Errorf("%w: it is longer than %d bytes", ErrInvalidPattern, MaxPatternLen)
	}
	var err error
	if p.re, err = regexp.Compile(text); err != nil {
		return p, fmt.Errorf("%w: %w", ErrInvalidPattern, err)
	}
	return p, nil
}

// String returns the expression as it was given.
func (p Pattern) String() string { return p.text }

// Match reports whether the expression matches anywhere in the name.
func (p Pattern) Match(name string) bool { return p.re == nil || p.re.MatchString(name) }

// HasTag reports whether the user has a tag.
func (u *User) HasTag(tag string) bool { return slices.Contains(u.Tags, tag) }

// Permission returns what the user may do in a tenant, nil for nothing at all.
func (u *User) Permission(tenant string) *Permission {
	for i := range u.Permissions {
		if u.Permissions[i].Tenant == tenant {
			return &u.Permissions[i]
		}
	}
	return nil
}

func (u *User) check() error {
	if u.Name == "" || len(u.Name) > MaxNameLen || !utf8.ValidString(u.Name) {
		return fmt.Errorf("%w: the name must be 1 to %d bytes of UTF-8", ErrInvalidUser, MaxNameLen)
	}
	if len(u.Hash) != 0 && len(u.Hash) != u.Hashing.size() {
		return fmt.Errorf("%w: a hash of %d bytes by %s", ErrInvalidUser, len(u.Hash), u.Hashing)
	}
	if len(u.Tags) > MaxTags {
		return fmt.Errorf("%w: a user has at most %d tags", ErrTooMany, MaxTags)
	}
	for _, t := range u.Tags {
		if len(t) > MaxNameLen {
			return fmt.Errorf("%w: a tag of %d bytes", ErrInvalidUser, len(t))
		}
	}
	return nil
}

// guest is RabbitMQ's default user, with its password. It is let in from this
// machine alone.
func guest() *User {
	all := Pattern{text: ".*"}
	return &User{
		Name: GuestName, Hashing: SHA256, Hash: SHA256.HashPassword([saltLen]byte{}, GuestName), Tags: []string{AdministratorTag},
		Permissions: []Permission{{Configure: all, Write: all, Read: all}},
	}
}

// GuestName is the name, and at first the password, of the default user.
const GuestName = "guest"
