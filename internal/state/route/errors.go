package route

import (
	"errors"
	"fmt"
)

// Verdicts on commands. The text that a user should see is in the error that
// wraps them; callers tell them apart with errors.Is.
var (
	// ErrUnknownTenant: no tenant of this name.
	ErrUnknownTenant = errors.New("no such tenant")
	// ErrDefaultTenant refuses to delete the default tenant.
	ErrDefaultTenant = errors.New("the default tenant cannot be deleted")
	// ErrUnknownExchange and ErrUnknownQueue are wrapped by NotFoundErrors.
	ErrUnknownExchange = errors.New("no such exchange")
	ErrUnknownQueue    = errors.New("no such queue")
	// ErrUnknownType: no exchange type of this name.
	ErrUnknownType = errors.New("unknown exchange type")
	// ErrReserved refuses to declare, delete or bind what is predeclared.
	ErrReserved = errors.New("reserved")
	// ErrInvalidName refuses a name that is empty, too long or not UTF-8.
	ErrInvalidName = errors.New("invalid name")
	// ErrInvalidArgument refuses arguments that are malformed or out of range.
	ErrInvalidArgument = errors.New("invalid argument")
	// ErrNotEquivalent is wrapped by NotEquivalentErrors.
	ErrNotEquivalent = errors.New("declared differently")
	// ErrUnknownPolicy: no policy of this name.
	ErrUnknownPolicy = errors.New("no such policy")
	// ErrInUse refuses to delete an exchange that is the source of a binding.
	ErrInUse = errors.New("in use")
	// ErrTooMany refuses what would pass a limit of limits.go.
	ErrTooMany = errors.New("limit reached")
	// ErrLocked: the queue is exclusive to another session.
	ErrLocked = errors.New("exclusive to another session")
	// ErrInternal: clients may not publish to the exchange.
	ErrInternal = errors.New("the exchange is internal")
)

// DefaultTenantName is how the default tenant, "" here, is shown.
const DefaultTenantName = "/"

// TenantName returns a tenant's name as it is shown.
func TenantName(tenant string) string {
	if tenant == "" {
		return DefaultTenantName
	}
	return tenant
}

// refusal is an error in RabbitMQ's words that wraps one of the above.
type refusal struct {
	text string
	is   error
}

func refuse(is error, format string, args ...any) error {
	return &refusal{fmt.Sprintf(format, args...), is}
}

func (e *refusal) Error() string { return e.text }
func (e *refusal) Unwrap() error { return e.is }

// NotFoundError says what does not exist.
type NotFoundError struct {
	// What is "queue" or "exchange", of this name and tenant.
	What, Name, Tenant string
}

// Error says it in RabbitMQ's words.
func (e *NotFoundError) Error() string {
	return fmt.Sprintf("no %s '%s' in vhost '%s'", e.What, e.Name, TenantName(e.Tenant))
}

// Unwrap returns ErrUnknownQueue or ErrUnknownExchange.
func (e *NotFoundError) Unwrap() error {
	if e.What == "queue" {
		return ErrUnknownQueue
	}
	return ErrUnknownExchange
}

// NotEquivalentError says in which field a declaration differs from what there
// is.
type NotEquivalentError struct {
	What, Name, Tenant string // as in NotFoundError
	// Field is what differs: durable, auto_delete, internal, type or an
	// argument's name.
	Field string
	// Received and Current are the values as RabbitMQ writes them.
	Received, Current string
}

// Error says it in RabbitMQ's words.
func (e *NotEquivalentError) Error() string {
	return fmt.Sprintf("inequivalent arg '%s' for %s '%s' in vhost '%s': received %s but current is %s",
		e.Field, e.What, e.Name, TenantName(e.Tenant), e.Received, e.Current)
}

// Unwrap returns ErrNotEquivalent.
func (e *NotEquivalentError) Unwrap() error { return ErrNotEquivalent }
