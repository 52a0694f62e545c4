// Package management is the subset of RabbitMQ's management HTTP API that its
// tools, dashboards and libraries use, under /api/ with RabbitMQ's paths and
// field names.
//
// What changes queues, exchanges, bindings and messages is done as RabbitMQ's
// own API does it: as an AMQP client of this server, with the credentials of the
// request, so that every rule and permission of AMQP holds here too. What is
// shown is read from the broker and from the AMQP server.
package management

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp"
	"github.com/polylog-mq/polylog/internal/server"
)

// Node is the server that is managed.
type Node interface {
	// Broker is nil, and AMQP may be, until the node serves; AMQP stays nil if
	// it does not listen for that protocol.
	Broker() *broker.Broker
	AMQP() *amqp.Server
	// Listening returns the addresses that are bound.
	Listening() []server.Listener
	Version() string
	Started() time.Time
}

// api is one handler of requests.
type api struct {
	node  Node
	rates sampler
}

// New returns the handler of everything under /api/.
func New(n Node) http.Handler {
	a := &api{node: n, rates: sampler{node: n}}
	return http.HandlerFunc(a.serve)
}

// serve finds the row of a request. Names in paths are escaped, and the vhost "/"
// is %2F there, which net/http's own patterns cannot tell from a slash.
func (a *api) serve(w http.ResponseWriter, r *http.Request) {
	path := strings.Split(strings.Trim(r.URL.EscapedPath(), "/"), "/")
	var known []string
	for i := range routes {
		method, pattern, _ := strings.Cut(routes[i].pattern, " ")
		if !matches(r, strings.Split(strings.Trim(pattern, "/"), "/"), path) {
			continue
		}
		if method == r.Method || r.Method == http.MethodHead && method == http.MethodGet {
			a.guard(&routes[i], w, r)
			return
		}
		if known = append(known, method); method == http.MethodGet {
			known = append(known, http.MethodHead)
		}
	}
	if known != nil {
		w.Header().Set("Allow", strings.Join(append(known, http.MethodOptions), ", "))
		if r.Method != http.MethodOptions {
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
		return
	}
	fail(w, http.StatusNotFound, "Object Not Found", "Not Found")
}

// matches reports whether a path fits a pattern, and notes what stands for the
// pattern's names.
func matches(r *http.Request, pattern, path []string) bool {
	if len(pattern) != len(path) {
		return false
	}
	for i, p := range pattern {
		name, wild := strings.CutPrefix(p, "{")
		if !wild {
			if p != path[i] {
				return false
			}
			continue
		}
		value, err := url.PathUnescape(path[i])
		if err != nil {
			return false
		}
		r.SetPathValue(strings.TrimSuffix(name, "}"), value)
	}
	return true
}
