package management

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp"
)

// definitions are all that was declared, in the form of RabbitMQ's
// definitions.json.
type definitions struct {
	RabbitVersion    string                `json:"rabbit_version"`
	RabbitMQVersion  string                `json:"rabbitmq_version"`
	ProductName      string                `json:"product_name"`
	ProductVersion   string                `json:"product_version"`
	Users            []userInfo            `json:"users,omitempty"`
	Vhosts           []vhostInfo           `json:"vhosts,omitempty"`
	Permissions      []permissionInfo      `json:"permissions,omitempty"`
	TopicPermissions []topicPermissionInfo `json:"topic_permissions,omitempty"`
	Parameters       []parameterInfo       `json:"parameters"`
	GlobalParameters []globalInfo          `json:"global_parameters,omitempty"`
	Policies         []policyInfo          `json:"policies"`
	Queues           []queueInfo           `json:"queues"`
	Exchanges        []exchangeInfo        `json:"exchanges"`
	Bindings         []bindingInfo         `json:"bindings"`
}

func (a *api) exportDefinitions(q *request) {
	vhosts, ok := q.tenants()
	if !ok {
		return
	}
	d := definitions{
		RabbitVersion: amqp.DefaultVersion, RabbitMQVersion: amqp.DefaultVersion, ProductName: "Polylog", ProductVersion: a.node.Version(),
		Queues: []queueInfo{}, Exchanges: []exchangeInfo{}, Bindings: []bindingInfo{},
	}
	whole := q.r.PathValue("vhost") == ""
	if whole { // also of vhosts that the administrator may not enter
		vhosts = slices.Collect(q.broker.Tenants())
		for _, u := range q.broker.Users() {
			d.Users = append(d.Users, describeUser(q.broker, u))
		}
		for _, v := range describeVhosts(q.broker) {
			d.Vhosts = append(d.Vhosts, v)
		}
		slices.SortFunc(d.Vhosts, func(x, y vhostInfo) int { return strings.Compare(x.Name, y.Name) })
		d.Permissions, d.TopicPermissions = allPermissions(q.broker), allTopicPermissions(q.broker)
		d.GlobalParameters = globals(q.broker)
	}
	d.Parameters = append(allParameters(q.broker, vhosts), operatorParameters(q.broker, vhosts)...)
	d.Policies = allPolicies(q.broker, vhosts, false)
	private := map[[2]string]bool{} // exclusive queues
	for _, vhost := range vhosts {
		for x := range q.broker.Exchanges(vhost) {
			if x.Name != "" && !strings.HasPrefix(x.Name, "amq.") {
				d.Exchanges = append(d.Exchanges, describeExchange(vhost, x))
			}
		}
		for queue := range q.broker.Queues(vhost) {
			switch info, exclusive, ok := describeQueue(queue); {
			case exclusive:
				private[[2]string{vhost, queue.Name()}] = true
			case ok:
				d.Queues = append(d.Queues, info)
			}
		}
	}
	for _, x := range allBindings(q.broker, vhosts) {
		if x.Source != "" && (x.Kind != "queue" || !private[[2]string{x.Vhost, x.Destination}]) {
			x.Properties = ""
			d.Bindings = append(d.Bindings, x)
		}
	}
	if !whole {
		d.forget()
	}
	q.answer(d)
}

// forget drops the vhost of everything but parameters, as RabbitMQ does: the
// definitions of one vhost can be imported into another.
func (d *definitions) forget() {
	for i := range d.Policies {
		d.Policies[i].Vhost = ""
	}
	for i := range d.Exchanges {
		d.Exchanges[i].Vhost = ""
	}
	for i := range d.Queues {
		d.Queues[i].Vhost = ""
	}
	for i := range d.Bindings {
		d.Bindings[i].Vhost = ""
	}
}

func (a *api) importDefinitions(q *request) {
	if strings.HasPrefix(q.r.Header.Get("Content-Type"), "multipart/") {
		file, _, err := q.r.FormFile("file")
		if err != nil {
			fail(q.w, http.StatusBadRequest, "bad_request", "the form has no file: "+err.Error())
			return
		}
		q.r.Body = file
	}
	var d definitions
	if !q.read(&d) {
		return
	}
	if vhost := q.r.PathValue("vhost"); vhost != "" {
		if _, ok := q.tenants(); !ok {
			return
		}
		d.Users, d.Vhosts, d.Permissions, d.TopicPermissions, d.GlobalParameters = nil, nil, nil, nil, nil
		for i := range d.Parameters {
			d.Parameters[i].Vhost = vhost
		}
		for i := range d.Policies {
			d.Policies[i].Vhost = vhost
		}
		for i := range d.Exchanges {
			d.Exchanges[i].Vhost = vhost
		}
		for i := range d.Queues {
			d.Queues[i].Vhost = vhost
		}
		for i := range d.Bindings {
			d.Bindings[i].Vhost = vhost
		}
	}
	if err := a.load(q, &d); err != nil {
		fail(q.w, http.StatusBadRequest, "bad_request", err.Error())
		return
	}
	q.w.WriteHeader(http.StatusNoContent)
}

// load makes what definitions define, in the order in which things need each
// other. What exists already and is the same stays as it is.
func (a *api) load(q *request, d *definitions) error {
	if err := d.honour(q.r.FormValue("unsupported") == "skip"); err != nil {
		return err
	}
	for i := range d.Users {
		if err := d.Users[i].load(q.broker); err != nil {
			return fmt.Errorf("user %s: %w", d.Users[i].Name, err)
		}
	}
	for _, v := range d.Vhosts {
		if _, err := createVhost(q.broker, q.user, v.Name, v.info()); err != nil {
			return fmt.Errorf("vhost %s: %w", v.Name, err)
		}
	}
	for _, p := range d.Permissions {
		if err := wait(func(done func(error)) { q.broker.SetPermission(p.User, p.Vhost, p.Configure, p.Write, p.Read, done) }); err != nil {
			return fmt.Errorf("permission of %s in %s: %w", p.User, p.Vhost, err)
		}
	}
	for _, p := range d.TopicPermissions {
		err := wait(func(done func(error)) {
			q.broker.SetTopicPermission(p.User, p.Vhost, p.Exchange, p.Write, p.Read, done)
		})
		if err != nil {
			return fmt.Errorf("topic permission of %s in %s: %w", p.User, p.Vhost, err)
		}
	}
	for i := range d.Policies {
		if _, err := d.Policies[i].put(q.broker, false); err != nil {
			return fmt.Errorf("policy %s in vhost %s: %w", d.Policies[i].Name, d.Policies[i].Vhost, err)
		}
	}
	if err := d.loadParameters(q.broker); err != nil {
		return err
	}
	return a.loadTopology(q.broker, d)
}

// honour refuses definitions of what cannot be here, before anything is taken of
// them; with skip it takes that out instead.
func (d *definitions) honour(skip bool) error {
	var refused []string
	var unknown error
	d.Parameters = slices.DeleteFunc(d.Parameters, func(p parameterInfo) bool {
		err := mayBe(p.Component)
		switch {
		case err == nil, p.Component == componentOperatorPolicy, p.Component == componentPolicy:
			return false
		case slices.Contains(foreign, p.Component):
			refused = append(refused, fmt.Sprintf("%s '%s' in vhost '%s'", p.Component, p.Name, p.Vhost))
		case unknown == nil:
			unknown = fmt.Errorf("Validation failed\n\n%w\n (%s/%s/%s)", err, p.Vhost, p.Component, p.Name)
		}
		return true
	})
	switch {
	case skip:
		return nil
	case len(refused) == 0:
		return unknown
	}
	return fmt.Errorf("there are no shovels and no federation here: take these parameters out, or import with ?unsupported=skip: %s",
		strings.Join(refused, ", "))
}

// operatorParameters are the policies of operators, which definitions have as
// parameters.
func operatorParameters(b *broker.Broker, vhosts []string) []parameterInfo {
	var list []parameterInfo
	for _, p := range allPolicies(b, vhosts, true) {
		value, _ := json.Marshal(map[string]any{ // it came as JSON
			"pattern": p.Pattern, "apply-to": p.ApplyTo, "definition": p.Definition, "priority": p.Priority,
		})
		list = append(list, parameterInfo{p.Vhost, componentOperatorPolicy, p.Name, value})
	}
	return list
}

func (d *definitions) loadParameters(b *broker.Broker) error {
	for i := range d.Parameters {
		p := &d.Parameters[i]
		var err error
		if operators := p.Component == componentOperatorPolicy; operators || p.Component == componentPolicy {
			policy := policyInfo{}
			if err = json.Unmarshal(p.Value, &policy); err == nil {
				policy.Vhost, policy.Name = p.Vhost, p.Name
				_, err = policy.put(b, operators)
			}
		} else {
			_, err = p.put(b)
		}
		if err != nil {
			return fmt.Errorf("%s %s in vhost %s: %w", p.Component, p.Name, p.Vhost, err)
		}
	}
	for _, g := range d.GlobalParameters {
		if g.Name == clusterIDParameter { // that cluster's, which is not this one
			continue
		}
		if _, err := g.put(b); err != nil {
			return fmt.Errorf("global parameter %s: %w", g.Name, err)
		}
	}
	return nil
}

// loadTopology declares exchanges, queues and bindings. An administrator may,
// whatever the permissions in the vhosts are.
func (a *api) loadTopology(b *broker.Broker, d *definitions) error {
	for _, x := range d.Exchanges {
		args, err := table(x.Arguments)
		if err != nil {
			return fmt.Errorf("exchange %s: %w", x.Name, err)
		}
		spec := &broker.ExchangeSpec{
			Tenant: x.Vhost, Name: x.Name, Type: x.Type, Durable: bool(x.Durable), AutoDelete: bool(x.AutoDelete), Internal: bool(x.Internal),
			Arguments: broker.Table(args),
		}
		err = wait(func(done func(error)) { b.DeclareExchange(spec, func(_ bool, err error) { done(err) }) })
		if err != nil {
			return fmt.Errorf("exchange %s in vhost %s: %w", x.Name, x.Vhost, err)
		}
	}
	for _, x := range d.Queues {
		if err := declareQueue(b, &x); err != nil {
			return fmt.Errorf("queue %s in vhost %s: %w", x.Name, x.Vhost, err)
		}
	}
	for _, x := range d.Bindings {
		args, err := table(x.Arguments)
		if err == nil {
			binding := &broker.Binding{
				Tenant: x.Vhost, Source: x.Source, Destination: x.Destination, ToExchange: x.Kind == "exchange", Key: x.Key, Arguments: broker.Table(args),
			}
			err = wait(func(done func(error)) { b.Bind(binding, nil, done) })
		}
		if err != nil {
			return fmt.Errorf("binding of %s to %s in vhost %s: %w", x.Destination, x.Source, x.Vhost, err)
		}
	}
	return nil
}

func declareQueue(b *broker.Broker, x *queueInfo) error {
	args, err := table(x.Arguments)
	if err != nil {
		return err
	}
	settings, err := amqp.QueueSettings(broker.Table(args), fmt.Sprintf("queue '%s' in vhost '%s'", x.Name, x.Vhost))
	if err != nil {
		return err
	}
	spec := &broker.QueueSpec{
		Tenant: x.Vhost, Name: x.Name, Durable: bool(x.Durable), AutoDelete: bool(x.AutoDelete), Arguments: broker.Table(args), Settings: *settings,
	}
	return wait(func(done func(error)) { b.DeclareQueue(spec, func(_ *broker.Queue, _ bool, err error) { done(err) }) })
}
