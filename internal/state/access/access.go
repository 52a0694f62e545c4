// Package access decides who may do what. Every operation of every protocol
// names its action and its resource and passes Authorize: one choke point, and
// what no rule allows is denied.
//
// Who gave a user's name is held against that user's permissions (Snapshot), as
// RabbitMQ has them: three regular expressions per tenant, for configure, write
// and read. Who gave none is held against Policy: who comes from this machine
// (loopback) is trusted, and nobody else is, unless the server was started with
// its insecure flag.
package access

import (
	"errors"
	"fmt"
)

// ErrDenied is wrapped by every refusal.
var ErrDenied = errors.New("access denied")

// Action is what somebody wants to do to a resource.
type Action uint8

// The actions. Each protocol maps its own permissions onto them.
const (
	Produce  Action = iota + 1 // append records, publish
	Consume                    // read records, join groups, commit, settle
	Describe                   // see that it exists and how it is
	Create
	Delete
	Alter  // change settings, add partitions, bind
	Admin  // run the cluster
	Replay // read again what was consumed
)

var actionNames = [...]string{"", "produce", "consume", "describe", "create", "delete", "alter", "admin", "replay"}

// String returns the action's name.
func (a Action) String() string {
	if int(a) < len(actionNames) && a > 0 {
		return actionNames[a]
	}
	return fmt.Sprintf("action(%d)", uint8(a))
}

// Type is a kind of resource.
type Type uint8

// The resources.
const (
	Cluster Type = iota + 1 // the whole; its name is ""
	Topic                   // topics and queues share one namespace
	Group
	TransactionalID
	Exchange
)

var typeNames = [...]string{"", "cluster", "topic", "group", "transactional-id", "exchange"}

// String returns the type's name.
func (t Type) String() string {
	if int(t) < len(typeNames) && t > 0 {
		return typeNames[t]
	}
	return fmt.Sprintf("type(%d)", uint8(t))
}

// Resource is what an action is done to.
type Resource struct {
	Tenant string // "" is the default tenant
	Type   Type
	Name   string
}

// String returns tenant/type/name.
func (r Resource) String() string { return r.Tenant + "/" + r.Type.String() + "/" + r.Name }

// Principal is who acts, as its connection established.
type Principal struct {
	Tenant string
	// Name of the user, "" for somebody who did not say.
	Name string
	// Loopback says that the connection comes from this machine.
	Loopback bool
}

// String returns the name, or "anonymous".
func (p Principal) String() string {
	if p.Name == "" {
		return "anonymous"
	}
	return p.Name
}

// Policy is the rule for those who gave no name. The zero value trusts loopback alone. It is
// immutable and may be used from any goroutine.
type Policy struct {
	// Insecure trusts everybody: the server's explicit flag.
	Insecure bool
}

// Authorize returns nil if p may do a to r, else an error that wraps
// ErrDenied. It allocates nothing when it allows.
func (p Policy) Authorize(who Principal, a Action, r Resource) error {
	if p.Insecure || who.Loopback {
		return nil
	}
	return fmt.Errorf("%w: %s may not %s %s", ErrDenied, who, a, r)
}
