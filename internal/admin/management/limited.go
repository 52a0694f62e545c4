package management

import (
	"encoding/json"
	"errors"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/state/parameter"
)

// The limits of vhosts and of users.

type vhostLimits struct {
	Vhost string                     `json:"vhost"`
	Value map[string]json.RawMessage `json:"value"`
}

type userLimits struct {
	User  string                     `json:"user"`
	Value map[string]json.RawMessage `json:"value"`
}

func (a *api) vhostLimits(q *request) {
	vhosts, ok := q.tenants()
	if !ok {
		return
	}
	list := []vhostLimits{}
	for _, vhost := range vhosts {
		if value := limitsOf(q.broker, parameter.TenantLimits, vhost); len(value) > 0 {
			list = append(list, vhostLimits{vhost, value})
		}
	}
	rows(q, list)
}

func (a *api) userLimits(q *request) {
	list := []userLimits{}
	for _, u := range q.broker.Users() {
		if name := q.r.PathValue("user"); name != "" && name != u.Name {
			continue
		}
		if value := limitsOf(q.broker, parameter.UserLimits, u.Name); len(value) > 0 {
			list = append(list, userLimits{u.Name, value})
		}
	}
	rows(q, list)
}

// limitKey returns the key of the limit that the path names; ok is false if
// there is nobody to be limited, and the request is answered.
func (q *request) limitKey() (k broker.ParameterKey, ok bool) {
	k = broker.ParameterKey{Component: parameter.UserLimits, Tenant: q.r.PathValue("user"), Name: q.r.PathValue("name")}
	if k.Tenant != "" {
		return k, q.theUser() != nil
	}
	k.Component, k.Tenant = parameter.TenantLimits, q.r.PathValue("vhost")
	_, ok = q.tenants()
	return k, ok
}

func (a *api) putLimit(q *request) {
	k, ok := q.limitKey()
	if !ok {
		return
	}
	value, ok := q.value()
	if !ok {
		return
	}
	q.settled(false, func(done func(error)) {
		_, err := putParameter(q.broker, k, value)
		done(err)
	})
}

// deleteLimit answers the same when there was none, as RabbitMQ does.
func (a *api) deleteLimit(q *request) {
	k, ok := q.limitKey()
	if !ok {
		return
	}
	q.settled(false, func(done func(error)) {
		q.broker.DeleteParameter(k, func(err error) {
			if errors.Is(err, broker.ErrUnknownParameter) {
				err = nil
			}
			done(err)
		})
	})
}
