package management

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/state/parameter"
)

// parameterInfo is a parameter of a vhost, in answers and in definitions.
type parameterInfo struct {
	Vhost     string          `json:"vhost,omitempty"`
	Component string          `json:"component"`
	Name      string          `json:"name"`
	Value     json.RawMessage `json:"value"`
}

// The components that RabbitMQ keeps as parameters and that are something else
// here.
const (
	limitsName              = "limits" // the one name of a vhost's limits
	componentPolicy         = "policy"
	componentOperatorPolicy = "operator_policy"
)

// foreign are the components of RabbitMQ's plugins that do something of their
// own: to take their parameters and not do it would be a lie.
var foreign = []string{"shovel", "federation", "federation-upstream", "federation-upstream-set"}

// mayBe says why a parameter of a component cannot be, nil if it can: a component
// must be there that reads it, as in RabbitMQ.
func mayBe(component string) error {
	switch {
	case slices.Contains(foreign, component):
		return fmt.Errorf("there are no shovels and no federation here: a parameter of the component %s would do nothing", component)
	case component == parameter.TenantLimits:
		return nil
	}
	return fmt.Errorf("component %s not found", component)
}

// allParameters returns the parameters of vhosts. The limits of a vhost are one
// parameter, as in RabbitMQ.
func allParameters(b *broker.Broker, vhosts []string) []parameterInfo {
	all := []parameterInfo{}
	for _, p := range b.Parameters() {
		vhost := tenantName(p.Tenant)
		switch p.Component {
		case parameter.Global, parameter.UserLimits, parameter.TenantLimits:
		default:
			if slices.Contains(vhosts, vhost) {
				all = append(all, parameterInfo{vhost, p.Component, p.Name, p.Value})
			}
		}
	}
	for _, vhost := range vhosts {
		if value := limitsOf(b, parameter.TenantLimits, vhost); len(value) > 0 {
			text, _ := json.Marshal(value) // it is of text and raw JSON
			all = append(all, parameterInfo{vhost, parameter.TenantLimits, limitsName, text})
		}
	}
	return all
}

// put sets a parameter.
func (p *parameterInfo) put(b *broker.Broker) (created bool, err error) {
	if p.Component == parameter.TenantLimits {
		created = len(limitsOf(b, p.Component, p.Vhost)) == 0
		return created, p.putLimits(b)
	}
	return putParameter(b, broker.ParameterKey{Component: p.Component, Tenant: p.Vhost, Name: p.Name}, p.Value)
}

// putLimits sets all limits of a vhost, and takes those away that are not there.
func (p *parameterInfo) putLimits(b *broker.Broker) error {
	var value rawObject
	if err := json.Unmarshal(p.Value, &value); err != nil {
		return fmt.Errorf("the limits of a vhost are an object: %w", err)
	}
	return setLimits(b, parameter.TenantLimits, p.Vhost, value)
}

// setLimits gives a vhost or a user exactly these limits.
func setLimits(b *broker.Broker, component, whose string, value map[string]json.RawMessage) error {
	for name := range limitsOf(b, component, whose) {
		if _, stays := value[name]; !stays {
			k := broker.ParameterKey{Component: component, Tenant: whose, Name: name}
			if err := wait(func(done func(error)) { b.DeleteParameter(k, done) }); err != nil {
				return err
			}
		}
	}
	for name, text := range value {
		if _, err := putParameter(b, broker.ParameterKey{Component: component, Tenant: whose, Name: name}, text); err != nil {
			return err
		}
	}
	return nil
}

func putParameter(b *broker.Broker, k broker.ParameterKey, value json.RawMessage) (created bool, err error) {
	err = wait(func(done func(error)) {
		b.PutParameter(&broker.Parameter{Key: k, Value: value}, func(is bool, err error) {
			created = is
			done(err)
		})
	})
	return created, err
}

// limitsOf returns the limits of a vhost or of a user, by name.
func limitsOf(b *broker.Broker, component, whose string) map[string]json.RawMessage {
	value := map[string]json.RawMessage{}
	for _, p := range b.Parameters() {
		if p.Component != component {
			continue
		}
		if p.Tenant == whose || component == parameter.TenantLimits && tenantName(p.Tenant) == whose {
			value[p.Name] = p.Value
		}
	}
	return value
}

func (a *api) parameters(q *request) {
	vhosts, ok := q.tenants()
	if !ok {
		return
	}
	all := append(allParameters(q.broker, vhosts), operatorParameters(q.broker, vhosts)...)
	found := slices.DeleteFunc(all, func(p parameterInfo) bool {
		component := q.r.PathValue("component")
		return component != "" && p.Component != component
	})
	rows(q, found)
}

// theParameter returns the parameter of the path; without one it has answered.
func (q *request) theParameter() *parameterInfo {
	vhosts, ok := q.tenants()
	if !ok {
		return nil
	}
	for _, p := range allParameters(q.broker, vhosts) {
		if p.Component == q.r.PathValue("component") && p.Name == q.r.PathValue("name") {
			return &p
		}
	}
	q.notFound()
	return nil
}

func (a *api) parameter(q *request) {
	if p := q.theParameter(); p != nil {
		q.answer(p)
	}
}

// value reads the value that a request sets.
func (q *request) value() (v json.RawMessage, ok bool) {
	var body struct {
		Value json.RawMessage `json:"value"`
	}
	if !q.read(&body) {
		return nil, false
	}
	return body.Value, !q.lacks(map[string]bool{"value": body.Value != nil})
}

func (a *api) putParameter(q *request) {
	p := parameterInfo{Vhost: q.r.PathValue("vhost"), Component: q.r.PathValue("component"), Name: q.r.PathValue("name")}
	if _, ok := q.tenants(); !ok {
		return
	}
	if p.Component == componentPolicy || p.Component == componentOperatorPolicy {
		fail(q.w, http.StatusBadRequest, "bad_request", "policies may not be set using this method")
		return
	}
	var ok, created bool
	if p.Value, ok = q.value(); !ok {
		return
	}
	err := mayBe(p.Component)
	if p.Component == parameter.TenantLimits && !q.admin {
		err = errors.New("only administrators set limits")
	}
	if err != nil {
		q.invalid(err)
		return
	}
	if created, err = p.put(q.broker); err != nil {
		q.refused(err)
		return
	}
	q.done(created)
}

func (a *api) deleteParameter(q *request) {
	p := q.theParameter()
	switch {
	case p == nil:
	case p.Component == parameter.TenantLimits && !q.admin:
		fail(q.w, http.StatusBadRequest, "bad_request", "only administrators set limits")
	case p.Component == parameter.TenantLimits:
		q.settled(false, func(done func(error)) { done(setLimits(q.broker, p.Component, p.Vhost, nil)) })
	default:
		k := broker.ParameterKey{Component: p.Component, Tenant: p.Vhost, Name: p.Name}
		q.settled(false, func(done func(error)) { q.broker.DeleteParameter(k, done) })
	}
}

// globalInfo is a global parameter, in answers and in definitions.
type globalInfo struct {
	Name  string          `json:"name"`
	Value json.RawMessage `json:"value"`
}

// The global parameters that every cluster has.
const (
	clusterNameParameter = "cluster_name"
	clusterIDParameter   = "internal_cluster_id"
)

// globals returns the global parameters, sorted by name.
func globals(b *broker.Broker) []globalInfo {
	name, _ := json.Marshal(b.ClusterName())
	id, _ := json.Marshal("rabbitmq-cluster-id-" + uuid.UUID(b.ClusterID()).String())
	all := []globalInfo{{clusterNameParameter, name}, {clusterIDParameter, id}}
	for _, p := range b.Parameters() {
		if p.Component == parameter.Global && p.Name != clusterNameParameter {
			all = append(all, globalInfo{p.Name, p.Value})
		}
	}
	slices.SortFunc(all, func(a, b globalInfo) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func (a *api) globalParameters(q *request) { rows(q, globals(q.broker)) }

func (a *api) globalParameter(q *request) {
	for _, g := range globals(q.broker) {
		if g.Name == q.r.PathValue("name") {
			q.answer(g)
			return
		}
	}
	q.notFound()
}

func (a *api) putGlobalParameter(q *request) {
	g := globalInfo{Name: q.r.PathValue("name")}
	if g.Name == clusterIDParameter {
		fail(q.w, http.StatusBadRequest, "bad_request", "the id of a cluster never changes")
		return
	}
	var ok bool
	if g.Value, ok = q.value(); !ok {
		return
	}
	created, err := g.put(q.broker)
	if err != nil {
		q.refused(err)
		return
	}
	q.done(created)
}

func (g *globalInfo) put(b *broker.Broker) (created bool, err error) {
	return putParameter(b, broker.ParameterKey{Component: parameter.Global, Name: g.Name}, g.Value)
}

func (a *api) deleteGlobalParameter(q *request) {
	k := broker.ParameterKey{Component: parameter.Global, Name: q.r.PathValue("name")}
	err := wait(func(done func(error)) { q.broker.DeleteParameter(k, done) })
	switch {
	case errors.Is(err, broker.ErrUnknownParameter):
		q.notFound()
	case err != nil:
		q.refused(err)
	default:
		q.done(false)
	}
}

func (a *api) clusterName(q *request) { q.answer(map[string]string{"name": q.broker.ClusterName()}) }

func (a *api) putClusterName(q *request) {
	var body struct{ Name string }
	if !q.read(&body) {
		return
	}
	if q.lacks(map[string]bool{"name": body.Name != ""}) {
		return
	}
	q.settled(false, func(done func(error)) { q.broker.SetClusterName(body.Name, done) })
}
