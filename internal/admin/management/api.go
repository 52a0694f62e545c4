package management

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// need is what a user must be to make a request.
type need uint8

const (
	// needNothing is for probes that have no password.
	needNothing need = iota
	// needUser lets in users with any of RabbitMQ's tags: what they see is
	// limited to the vhosts that they may enter, and what they do is done with
	// their own permissions.
	needUser
	// needPolicymaker is about policies of the vhosts that the user may enter.
	needPolicymaker
	// needMonitoring is about connections of everybody and about the node.
	needMonitoring
	// needAdministrator is about users, vhosts and definitions.
	needAdministrator
)

// tags are those that let a user in, by need.
var tags = map[need][]string{
	needUser:          {"management", "policymaker", "monitoring", access.AdministratorTag},
	needPolicymaker:   {"policymaker", access.AdministratorTag},
	needMonitoring:    {"monitoring", access.AdministratorTag},
	needAdministrator: {access.AdministratorTag},
}

// route is a row of the table of the API.
type route struct {
	pattern string
	need    need
	handle  func(*api, *request)
}

// routes is the table. What is not in it is answered with 404.
var routes = []route{
	{"GET /api/overview", needUser, (*api).overview},
	{"GET /api/whoami", needUser, (*api).whoami},
	{"GET /api/cluster-name", needUser, (*api).clusterName},
	{"PUT /api/cluster-name", needAdministrator, (*api).putClusterName},
	{"GET /api/nodes", needMonitoring, (*api).nodes},
	{"GET /api/nodes/{name}", needMonitoring, (*api).oneNode},
	{"GET /api/nodes/{name}/memory", needMonitoring, (*api).nodeMemory},
	{"GET /api/extensions", needUser, (*api).extensions},

	{"GET /api/vhosts", needUser, (*api).vhosts},
	{"GET /api/vhosts/{vhost}", needUser, (*api).vhost},
	{"PUT /api/vhosts/{vhost}", needAdministrator, (*api).putVhost},
	{"DELETE /api/vhosts/{vhost}", needAdministrator, (*api).deleteVhost},
	{"GET /api/vhosts/{vhost}/permissions", needAdministrator, (*api).vhostPermissions},

	{"GET /api/exchanges", needUser, (*api).exchanges},
	{"GET /api/exchanges/{vhost}", needUser, (*api).exchanges},
	{"GET /api/exchanges/{vhost}/{name}", needUser, (*api).exchange},
	{"PUT /api/exchanges/{vhost}/{name}", needUser, (*api).putExchange},
	{"DELETE /api/exchanges/{vhost}/{name}", needUser, (*api).deleteExchange},
	{"POST /api/exchanges/{vhost}/{name}/publish", needUser, (*api).publish},
	{"GET /api/exchanges/{vhost}/{name}/bindings/source", needUser, (*api).exchangeSources},
	{"GET /api/exchanges/{vhost}/{name}/bindings/destination", needUser, (*api).exchangeDestinations},

	{"GET /api/queues", needUser, (*api).queues},
	{"GET /api/queues/{vhost}", needUser, (*api).queues},
	{"GET /api/queues/{vhost}/{name}", needUser, (*api).queue},
	{"PUT /api/queues/{vhost}/{name}", needUser, (*api).putQueue},
	{"DELETE /api/queues/{vhost}/{name}", needUser, (*api).deleteQueue},
	{"DELETE /api/queues/{vhost}/{name}/contents", needUser, (*api).purgeQueue},
	{"POST /api/queues/{vhost}/{name}/get", needUser, (*api).getMessages},
	{"GET /api/queues/{vhost}/{name}/bindings", needUser, (*api).queueBindings},

	{"GET /api/bindings", needUser, (*api).bindings},
	{"GET /api/bindings/{vhost}", needUser, (*api).bindings},
	{"GET /api/bindings/{vhost}/e/{source}/{kind}/{destination}", needUser, (*api).bindingsBetween},
	{"POST /api/bindings/{vhost}/e/{source}/{kind}/{destination}", needUser, (*api).bind},
	{"GET /api/bindings/{vhost}/e/{source}/{kind}/{destination}/{key}", needUser, (*api).binding},
	{"DELETE /api/bindings/{vhost}/e/{source}/{kind}/{destination}/{key}", needUser, (*api).unbind},

	{"GET /api/connections", needUser, (*api).connections},
	{"GET /api/connections/{name}", needUser, (*api).connection},
	{"DELETE /api/connections/{name}", needUser, (*api).closeConnection},
	{"GET /api/connections/username/{user}", needUser, (*api).connections},
	{"DELETE /api/connections/username/{user}", needMonitoring, (*api).closeConnections},
	{"GET /api/connections/{name}/channels", needUser, (*api).connectionChannels},
	{"GET /api/vhosts/{vhost}/connections", needUser, (*api).connections},
	{"GET /api/channels", needUser, (*api).channels},
	{"GET /api/channels/{name}", needUser, (*api).channel},
	{"GET /api/vhosts/{vhost}/channels", needUser, (*api).channels},
	{"GET /api/consumers", needUser, (*api).consumers},
	{"GET /api/consumers/{vhost}", needUser, (*api).consumers},

	{"GET /api/users", needAdministrator, (*api).users},
	{"GET /api/users/{user}", needAdministrator, (*api).user},
	{"PUT /api/users/{user}", needAdministrator, (*api).putUser},
	{"DELETE /api/users/{user}", needAdministrator, (*api).deleteUser},
	{"GET /api/users/{user}/permissions", needAdministrator, (*api).userPermissions},
	{"GET /api/permissions", needAdministrator, (*api).permissions},
	{"GET /api/permissions/{vhost}/{user}", needAdministrator, (*api).permission},
	{"PUT /api/permissions/{vhost}/{user}", needAdministrator, (*api).putPermission},
	{"DELETE /api/permissions/{vhost}/{user}", needAdministrator, (*api).deletePermission},
	{"GET /api/users/{user}/topic-permissions", needAdministrator, (*api).topicPermissions},
	{"GET /api/vhosts/{vhost}/topic-permissions", needAdministrator, (*api).topicPermissions},
	{"GET /api/topic-permissions", needAdministrator, (*api).topicPermissions},
	{"GET /api/topic-permissions/{vhost}/{user}", needAdministrator, (*api).topicPermissions},
	{"DELETE /api/topic-permissions/{vhost}/{user}/{exchange}", needAdministrator, (*api).deleteTopicPermission},
	{"PUT /api/topic-permissions/{vhost}/{user}", needAdministrator, (*api).putTopicPermission},
	{"DELETE /api/topic-permissions/{vhost}/{user}", needAdministrator, (*api).deleteTopicPermission},

	{"GET /api/policies", needUser, userPolicies.list},
	{"GET /api/policies/{vhost}", needUser, userPolicies.list},
	{"GET /api/policies/{vhost}/{name}", needUser, userPolicies.get},
	{"PUT /api/policies/{vhost}/{name}", needPolicymaker, userPolicies.put},
	{"DELETE /api/policies/{vhost}/{name}", needPolicymaker, userPolicies.remove},
	{"GET /api/operator-policies", needUser, operatorPolicies.list},
	{"GET /api/operator-policies/{vhost}", needUser, operatorPolicies.list},
	{"GET /api/operator-policies/{vhost}/{name}", needUser, operatorPolicies.get},
	{"PUT /api/operator-policies/{vhost}/{name}", needAdministrator, operatorPolicies.put},
	{"DELETE /api/operator-policies/{vhost}/{name}", needAdministrator, operatorPolicies.remove},

	{"GET /api/parameters", needPolicymaker, (*api).parameters},
	{"GET /api/parameters/{component}", needPolicymaker, (*api).parameters},
	{"GET /api/parameters/{component}/{vhost}", needPolicymaker, (*api).parameters},
	{"GET /api/parameters/{component}/{vhost}/{name}", needPolicymaker, (*api).parameter},
	{"PUT /api/parameters/{component}/{vhost}/{name}", needPolicymaker, (*api).putParameter},
	{"DELETE /api/parameters/{component}/{vhost}/{name}", needPolicymaker, (*api).deleteParameter},
	{"GET /api/global-parameters", needPolicymaker, (*api).globalParameters},
	{"GET /api/global-parameters/{name}", needPolicymaker, (*api).globalParameter},
	{"PUT /api/global-parameters/{name}", needAdministrator, (*api).putGlobalParameter},
	{"DELETE /api/global-parameters/{name}", needAdministrator, (*api).deleteGlobalParameter},
	{"GET /api/vhost-limits", needUser, (*api).vhostLimits},
	{"GET /api/vhost-limits/{vhost}", needUser, (*api).vhostLimits},
	{"PUT /api/vhost-limits/{vhost}/{name}", needAdministrator, (*api).putLimit},
	{"DELETE /api/vhost-limits/{vhost}/{name}", needAdministrator, (*api).deleteLimit},
	{"GET /api/user-limits", needAdministrator, (*api).userLimits},
	{"GET /api/user-limits/{user}", needAdministrator, (*api).userLimits},
	{"PUT /api/user-limits/{user}/{name}", needAdministrator, (*api).putLimit},
	{"DELETE /api/user-limits/{user}/{name}", needAdministrator, (*api).deleteLimit},
	{"GET /api/feature-flags", needUser, (*api).featureFlags},
	{"PUT /api/feature-flags/{name}/enable", needAdministrator, (*api).enableFeature},
	{"GET /api/deprecated-features", needUser, (*api).deprecatedFeatures},
	{"GET /api/deprecated-features/used", needUser, (*api).none},
	{"GET /api/federation-links", needMonitoring, (*api).none},
	{"GET /api/federation-links/{vhost}", needMonitoring, (*api).none},
	{"GET /api/shovels", needMonitoring, (*api).none},
	{"GET /api/shovels/{vhost}", needMonitoring, (*api).none},

	{"GET /api/definitions", needAdministrator, (*api).exportDefinitions},
	{"POST /api/definitions", needAdministrator, (*api).importDefinitions},
	{"GET /api/definitions/{vhost}", needAdministrator, (*api).exportDefinitions},
	{"POST /api/definitions/{vhost}", needAdministrator, (*api).importDefinitions},

	{"GET /api/aliveness-test/{vhost}", needUser, (*api).aliveness},
	{"GET /api/healthchecks/node", needUser, (*api).checkAlarms},
	{"GET /api/healthchecks/node/{name}", needUser, (*api).checkAlarms},
	{"GET /api/health/checks/alarms", needUser, (*api).checkAlarms},
	{"GET /api/health/checks/local-alarms", needUser, (*api).checkAlarms},
	{"GET /api/health/checks/virtual-hosts", needUser, (*api).checkFine},
	{"GET /api/health/checks/node-is-quorum-critical", needUser, (*api).checkAlone},
	{"GET /api/health/checks/node-is-mirror-sync-critical", needUser, (*api).checkAlone},
	{"GET /api/health/checks/quorum-queues-without-elected-leaders/all-vhosts", needUser, (*api).checkFine},
	{"GET /api/health/checks/quorum-queues-without-elected-leaders/vhost/{vhost}", needUser, (*api).checkFine},
	{"GET /api/health/checks/metadata-store/initialized", needUser, (*api).checkFine},
	{"GET /api/health/checks/metadata-store/initialized/with-data", needUser, (*api).checkFine},
	{"GET /api/health/checks/is-in-service", needNothing, (*api).checkService},
	{"GET /api/health/checks/below-node-connection-limit", needNothing, (*api).checkConnections},
	{"GET /api/health/checks/ready-to-serve-clients", needNothing, (*api).checkReady},
	{"GET /api/health/checks/certificate-expiration/{within}/{unit}", needUser, (*api).checkCertificates},
	{"GET /api/health/checks/port-listener/{port}", needUser, (*api).checkPort},
	{"GET /api/health/checks/protocol-listener/{protocol}", needUser, (*api).checkProtocol},
}

// request is one request of a user who may make it.
type request struct {
	w              http.ResponseWriter
	r              *http.Request
	broker         *broker.Broker // may be nil with needNothing
	user, password string
	admin          bool
}

// guard lets in who may make a request, and answers when nobody can be.
func (a *api) guard(route *route, w http.ResponseWriter, r *http.Request) {
	b := a.node.Broker()
	if route.need == needNothing {
		route.handle(a, &request{w: w, r: r, broker: b})
		return
	}
	if b == nil {
		fail(w, http.StatusServiceUnavailable, "service_unavailable", "the server is starting")
		return
	}
	name, password, ok := r.BasicAuth()
	if !ok || !b.Authenticate(name, password, FromThisMachine(r)) {
		w.Header().Set("WWW-Authenticate", `Basic realm="RabbitMQ Management"`)
		fail(w, http.StatusUnauthorized, "not_authorized", "Login failed")
		return
	}
	u := b.User(name)
	if u == nil || !slices.ContainsFunc(tags[route.need], u.HasTag) {
		fail(w, http.StatusUnauthorized, "not_authorised", "Not "+[]string{"management", "policymaker", "monitor", "administrator"}[route.need-needUser]+" user")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	q := &request{w: w, r: r, broker: b, user: name, password: password, admin: u.HasTag(access.AdministratorTag)}
	if vhost := r.PathValue("vhost"); vhost != "" && route.need <= needPolicymaker && b.Tenant(vhost) && !q.mayEnter(vhost) {
		fail(w, http.StatusUnauthorized, "not_authorised", "User not authorised to access virtual host")
		return
	}
	for _, name := range []string{"vhost", "name", "source", "destination"} {
		if err := short(name, r.PathValue(name)); err != nil {
			fail(w, http.StatusBadRequest, "bad_request", err.Error())
			return
		}
	}
	route.handle(a, q)
}

// short refuses a name that AMQP would cut.
func short(what, text string) error {
	if len(text) > maxShort {
		return fmt.Errorf("%s is longer than %d bytes", what, maxShort)
	}
	return nil
}

func (q *request) mayEnter(vhost string) bool { return q.broker.MayEnter(q.user, vhost) }

// tenants returns the vhosts that a request is about: the one it names, or all
// that the user may enter. Without an answer to give it has answered.
func (q *request) tenants() (names []string, ok bool) {
	if vhost := q.r.PathValue("vhost"); vhost != "" {
		if !q.broker.Tenant(vhost) {
			q.noVhost()
			return nil, false
		}
		return []string{vhost}, true
	}
	for name := range q.broker.Tenants() {
		if q.mayEnter(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, true
}

// read decodes the body, which may be empty. It answers when it cannot.
func (q *request) read(v any) bool {
	err := json.NewDecoder(q.r.Body).Decode(v)
	if err != nil && !errors.Is(err, io.EOF) {
		reason := "not_json"
		if _, ok := errors.AsType[*json.SyntaxError](err); !ok && !errors.Is(err, io.ErrUnexpectedEOF) {
			reason = "the body is not what is expected: " + err.Error()
		}
		fail(q.w, http.StatusBadRequest, "bad_request", reason)
		return false
	}
	return true
}

// answer writes a body, of which the request may want columns only.
func (q *request) answer(v any) {
	paths := q.columns()
	if paths == nil {
		write(q.w, http.StatusOK, v)
		return
	}
	if p, ok := v.(*page); ok {
		p.Items = q.picked(p.Items, paths)
		write(q.w, http.StatusOK, p)
		return
	}
	write(q.w, http.StatusOK, q.picked(v, paths))
}

// picked returns the fields of v that paths name; what is not an object or a list
// of them has none, and stays.
func (q *request) picked(v any, paths [][]string) any {
	g, err := generic(v)
	if err != nil {
		return v
	}
	return pick(g, paths)
}

// done answers a change: 201 for something new, else 204.
func (q *request) done(created bool) {
	if created {
		q.w.WriteHeader(http.StatusCreated)
		return
	}
	q.w.WriteHeader(http.StatusNoContent)
}

func (q *request) notFound() { fail(q.w, http.StatusNotFound, "Object Not Found", "Not Found") }

// noVhost is notFound for a vhost, in RabbitMQ's words.
func (q *request) noVhost() {
	if q.r.Method == http.MethodPut {
		fail(q.w, http.StatusNotFound, "Object Not Found", "vhost_not_found")
		return
	}
	q.notFound()
}

// refused answers an error of the broker.
func (q *request) refused(err error) {
	status, what := statusOf(err)
	fail(q.w, status, what, err.Error())
}

// invalid is refused for what RabbitMQ validates: policies and parameters.
func (q *request) invalid(err error) {
	status, what := statusOf(err)
	if status == http.StatusBadRequest {
		err = fmt.Errorf("Validation failed\n\n%w\n", err)
	}
	fail(q.w, status, what, err.Error())
}

// lacks reports whether a field is missing of those that a body must have, and
// answers that, in RabbitMQ's words.
func (q *request) lacks(has map[string]bool) bool {
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(has)) {
		if !has[name] {
			missing = append(missing, "{key_missing,"+name+"}")
		}
	}
	if missing != nil {
		fail(q.w, http.StatusBadRequest, "bad_request", "["+strings.Join(missing, ",")+"]")
	}
	return missing != nil
}

func statusOf(err error) (status int, what string) {
	switch {
	case errors.Is(err, broker.ErrNotLeader), errors.Is(err, broker.ErrClosed), errors.Is(err, broker.ErrUnknownFate),
		errors.Is(err, broker.ErrBusy), errors.Is(err, broker.ErrStorage):
		return http.StatusServiceUnavailable, "service_unavailable"
	case errors.Is(err, access.ErrUnknownUser), errors.Is(err, broker.ErrUnknownParameter):
		return http.StatusNotFound, "Object Not Found"
	}
	return http.StatusBadRequest, "bad_request"
}

func fail(w http.ResponseWriter, status int, what, reason string) {
	write(w, status, map[string]string{"error": what, "reason": reason})
}

// write writes an answer as RabbitMQ does, with no line's end behind it: clients
// put such texts into their messages.
func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		status = http.StatusInternalServerError
	}
	w.WriteHeader(status)
	_, _ = w.Write(bytes.TrimSuffix(b.Bytes(), []byte("\n"))) // the client has gone
}

// wait turns an operation with a callback into one that is waited for.
func wait(start func(done func(error))) error {
	answered := make(chan error, 1)
	start(func(err error) { answered <- err })
	return <-answered
}
