package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/polylog-mq/polylog/internal/admin/management"
	"github.com/polylog-mq/polylog/internal/adminapi"
	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/server"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// Limits.
const (
	// maxBody bounds the body of a request.
	maxBody = 1 << 20
	// maxPeek bounds how many messages a peek shows; with maxPeekBytes of values it
	// shows none after.
	maxPeek      = 1000
	maxPeekBytes = 64 << 20
	// maxSchedule bounds how many scheduled messages are listed.
	maxSchedule = 100_000
)

// definitions answers what is about queues, exchanges, bindings, tenants and
// users. Paths and bodies are in package adminapi.
type definitions struct{ s *server.Server }

// routes adds the definitions' paths to a mux.
func (d definitions) routes(mux *http.ServeMux) {
	for pattern, h := range map[string]handler{
		"GET /v1/queues": d.listQueues, "GET /v1/queues/{name}": d.getQueue, "PUT /v1/queues/{name}": d.putQueue,
		"DELETE /v1/queues/{name}": d.deleteQueue, "POST /v1/queues/{name}/purge": d.purgeQueue,
		"POST /v1/queues/{name}/peek": d.peekQueue, "POST /v1/queues/{name}/redrive": d.redriveQueue,
		"GET /v1/queues/{name}/schedule": d.listSchedule, "POST /v1/queues/{name}/schedule/cancel": d.cancelScheduled,
		"POST /v1/queues/{name}/schedule/now": d.deliverNow,
		"GET /v1/policies":                    d.listPolicies, "PUT /v1/policies/{name}": d.putPolicy, "DELETE /v1/policies/{name}": d.deletePolicy,
		"GET /v1/exchanges": d.listExchanges, "GET /v1/exchanges/{name}": d.getExchange,
		"PUT /v1/exchanges/{name}": d.putExchange, "DELETE /v1/exchanges/{name}": d.deleteExchange,
		"GET /v1/bindings": d.listBindings, "POST /v1/bindings": d.bind, "POST /v1/bindings/remove": d.unbind,
		"GET /v1/tenants": d.listTenants, "PUT /v1/tenants/{name}": d.putTenant, "DELETE /v1/tenants/{name}": d.deleteTenant,
		"GET /v1/users": d.listUsers, "PUT /v1/users/{name}": d.putUser, "DELETE /v1/users/{name}": d.deleteUser,
		"PUT /v1/users/{name}/permission": d.setPermission, "DELETE /v1/users/{name}/permission": d.clearPermission,
	} {
		mux.Handle(pattern, d.guard(h))
	}
}

// call is one request.
type call struct {
	*http.Request
	b      *broker.Broker
	tenant string
}

// handler answers a call: with a body, or nil for none.
type handler func(c *call) (any, error)

// statusError is an error with the status that it is answered with.
type statusError struct {
	status int
	err    error
}

func (e statusError) Error() string { return e.err.Error() }
func (e statusError) Unwrap() error { return e.err }

func wrong(format string, args ...any) error {
	return statusError{http.StatusBadRequest, fmt.Errorf(format, args...)}
}

func missing(what, name, tenant string) error {
	return statusError{http.StatusNotFound, fmt.Errorf("no %s '%s' in vhost '%s'", what, name, tenant)}
}

// guard lets administrators in: those who give the name and password of one, and
// who comes from this machine and gives none.
func (d definitions) guard(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := d.s.Broker()
		if b == nil || d.s.State() != server.Serving {
			fail(w, statusError{http.StatusServiceUnavailable, fmt.Errorf("the server is %s", d.s.State())})
			return
		}
		if err := authorize(b, r); err != nil {
			w.Header().Set("WWW-Authenticate", `Basic realm="Polylog"`)
			fail(w, err)
			return
		}
		c := &call{Request: r, b: b, tenant: r.URL.Query().Get("tenant")}
		if c.tenant == "" {
			c.tenant = broker.DefaultTenant
		}
		if !b.Tenant(c.tenant) {
			fail(w, statusError{http.StatusNotFound, fmt.Errorf("no vhost '%s'", c.tenant)})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		switch body, err := h(c); {
		case err != nil:
			fail(w, err)
		case body == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			writeJSON(w, http.StatusOK, body)
		}
	})
}

func authorize(b *broker.Broker, r *http.Request) error {
	who := access.Principal{Loopback: management.FromThisMachine(r)}
	if user, password, ok := r.BasicAuth(); ok {
		if !b.Authenticate(user, password, who.Loopback) {
			return statusError{http.StatusUnauthorized, errors.New("wrong name or password")}
		}
		who.Name = user
	}
	err := b.Authorize(who, access.Admin, access.Resource{Type: access.Cluster})
	switch {
	case err == nil:
		return nil
	case who.Name == "":
		return statusError{http.StatusUnauthorized, fmt.Errorf("who does not come from this machine, or asks for %q, gives name and password", r.Host)}
	}
	return statusError{http.StatusForbidden, err}
}

// statuses say which status the broker's errors are answered with.
var statuses = []struct {
	err    error
	status int
}{
	{broker.ErrUnknownQueue, http.StatusNotFound}, {broker.ErrUnknownExchange, http.StatusNotFound},
	{broker.ErrUnknownTenant, http.StatusNotFound}, {broker.ErrUnknownUser, http.StatusNotFound},
	{broker.ErrUnknownTopic, http.StatusNotFound}, {broker.ErrUnknownPolicy, http.StatusNotFound},
	{broker.ErrNotScheduled, http.StatusNotFound},
	{broker.ErrReserved, http.StatusForbidden}, {broker.ErrDefaultTenant, http.StatusForbidden},
	{broker.ErrInvalidArgument, http.StatusBadRequest}, {broker.ErrUnknownExchangeType, http.StatusBadRequest},
	{broker.ErrInvalidName, http.StatusBadRequest}, {broker.ErrInvalidTopic, http.StatusBadRequest},
	{broker.ErrInvalidUser, http.StatusBadRequest}, {broker.ErrInvalidPattern, http.StatusBadRequest},
	{broker.ErrInvalidConfig, http.StatusBadRequest}, {broker.ErrPolicy, http.StatusBadRequest},
	{broker.ErrNotEquivalent, http.StatusConflict}, {broker.ErrInUse, http.StatusConflict}, {broker.ErrNotEmpty, http.StatusConflict},
	{broker.ErrNotQueue, http.StatusConflict}, {broker.ErrLocked, http.StatusConflict}, {broker.ErrRejected, http.StatusConflict},
}

// fail answers with an error.
func fail(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	var own statusError
	if errors.As(err, &own) {
		status = own.status
	} else {
		for _, s := range statuses {
			if errors.Is(err, s.err) {
				status = s.status
				break
			}
		}
	}
	writeJSON(w, status, adminapi.Failure{Error: err.Error()})
}

// decodeBody decodes the body of a request; an empty one is the zero value.
func decodeBody[T any](c *call) (T, error) {
	var v T
	dec := json.NewDecoder(c.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil && !errors.Is(err, io.EOF) {
		return v, wrong("the body: %w", err)
	}
	return v, nil
}

// flag reads a boolean of the query.
func (c *call) flag(name string) (bool, error) {
	text := c.URL.Query().Get(name)
	if text == "" {
		return false, nil
	}
	v, err := strconv.ParseBool(text)
	if err != nil {
		return false, wrong("%s must be true or false", name)
	}
	return v, nil
}

// number reads a number of the query, def if it is missing.
func (c *call) number(name string, def, low, high int64) (int64, error) {
	text := c.URL.Query().Get(name)
	if text == "" {
		return def, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < low || n > high {
		return 0, wrong("%s must be %d to %d", name, low, high)
	}
	return n, nil
}

// name returns what the path, or else the query, names.
func (c *call) name() string {
	if c.PathValue("name") == "_" && c.URL.Query().Has("name") {
		return c.URL.Query().Get("name")
	}
	return c.PathValue("name")
}

// await waits for an answer of the broker, or until the client has gone.
func await[T any](ctx context.Context, ask func(done func(T, error))) (T, error) {
	type answer struct {
		v   T
		err error
	}
	answered := make(chan answer, 1)
	ask(func(v T, err error) { answered <- answer{v, err} })
	select {
	case a := <-answered:
		return a.v, a.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// wait is await for an answer that is an error alone.
func wait(ctx context.Context, ask func(done func(error))) error {
	_, err := await(ctx, func(done func(struct{}, error)) { ask(func(err error) { done(struct{}{}, err) }) })
	return err
}
