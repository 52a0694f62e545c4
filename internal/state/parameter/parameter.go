// Package parameter is what operators have said by name, as RabbitMQ keeps it:
// parameters of a component in a tenant, global parameters, and the limits of
// tenants and of users. Values are JSON, and but for limits nobody here asks what
// they mean.
//
// State belongs to the metadata group. What it hands out never changes.
package parameter

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Key names a parameter.
type Key struct {
	// Component is whose it is: Global, one of the components of limits, or any
	// other word.
	Component string
	// Tenant is "" for the default one, and for what belongs to no tenant.
	Tenant string
	Name   string
}

// The components that mean something here.
const (
	// Global is the component of global parameters.
	Global = ""
	// TenantLimits are those of a tenant (RabbitMQ: vhost-limits): MaxConnections
	// and MaxQueues.
	TenantLimits = "vhost-limits"
	// UserLimits are those of users: MaxConnections and MaxChannels. The key's
	// Tenant is the user's name.
	UserLimits = "user-limits"
)

// The names of limits.
const (
	MaxConnections = "max-connections"
	MaxChannels    = "max-channels"
	MaxQueues      = "max-queues"
)

// limits are the names that each component of limits has.
var limits = map[string][]string{
	TenantLimits: {MaxConnections, MaxQueues},
	UserLimits:   {MaxConnections, MaxChannels},
}

var (
	// ErrInvalid wraps what is wrong with a parameter.
	ErrInvalid = errors.New("invalid parameter")
	// ErrUnknown is returned for a parameter that there is not.
	ErrUnknown = errors.New("unknown parameter")
	// ErrTooMany is returned when a cluster has MaxParameters.
	ErrTooMany = errors.New("too many parameters")
)

// Parameter is a parameter. It never changes.
type Parameter struct {
	Key
	Value []byte // JSON
}

// Snapshot is the parameters at one moment. It never changes and may be used from
// any goroutine.
type Snapshot struct {
	values map[Key][]byte
	limits map[Key]int64
}

// Value returns the value of a parameter, nil if there is none.
func (s *Snapshot) Value(k Key) []byte { return s.values[k] }

// All returns all parameters, sorted by component, tenant and name.
func (s *Snapshot) All() []Parameter {
	list := make([]Parameter, 0, len(s.values))
	for k, v := range s.values {
		list = append(list, Parameter{k, v})
	}
	slices.SortFunc(list, func(a, b Parameter) int { return compare(a.Key, b.Key) })
	return list
}

// Limit returns a limit; ok is false when there is none.
func (s *Snapshot) Limit(k Key) (n int64, ok bool) {
	n, ok = s.limits[k]
	return n, ok
}

func compare(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Component, b.Component), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Name, b.Name))
}

// check judges a parameter. ErrInvalid.
func (p *Parameter) check() error {
	switch {
	case p.Name == "" || len(p.Name) > MaxNameLen || len(p.Component) > MaxNameLen || len(p.Tenant) > MaxNameLen:
		return fmt.Errorf("%w: names have 1 to %d bytes", ErrInvalid, MaxNameLen)
	case len(p.Value) > MaxValueLen:
		return fmt.Errorf("%w: a value has at most %d bytes", ErrInvalid, MaxValueLen)
	case !json.Valid(p.Value):
		return fmt.Errorf("%w: the value of '%s' is not JSON", ErrInvalid, p.Name)
	}
	names, isLimit := limits[p.Component]
	if !isLimit {
		return nil
	}
	if !slices.Contains(names, p.Name) {
		return fmt.Errorf("%w: there is no limit '%s'", ErrInvalid, p.Name)
	}
	_, _, err := p.limit()
	return err
}

// limit reads the value of a limit. A negative one stands for none.
func (p *Parameter) limit() (n int64, is bool, err error) {
	if limits[p.Component] == nil {
		return 0, false, nil
	}
	if err := json.Unmarshal(p.Value, &n); err != nil {
		return 0, false, fmt.Errorf("%w: the limit '%s' is a whole number", ErrInvalid, p.Name)
	}
	return n, n >= 0, nil
}

// with returns a snapshot with a parameter changed; a nil value takes it away.
func (s *Snapshot) with(p Parameter) *Snapshot {
	next := &Snapshot{maps.Clone(s.values), maps.Clone(s.limits)}
	delete(next.values, p.Key)
	delete(next.limits, p.Key)
	if p.Value == nil {
		return next
	}
	next.values[p.Key] = p.Value
	if n, is, err := p.limit(); is && err == nil {
		next.limits[p.Key] = n
	}
	return next
}
