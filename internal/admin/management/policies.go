package management

import (
	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// policyInfo is a policy, in answers and in definitions.
type policyInfo struct {
	Vhost      string    `json:"vhost"`
	Name       string    `json:"name"`
	Pattern    string    `json:"pattern"`
	ApplyTo    string    `json:"apply-to"`
	Definition arguments `json:"definition"`
	Priority   int32     `json:"priority"`
}

// allPolicies returns the policies of vhosts, or those of operators.
func allPolicies(b *broker.Broker, vhosts []string, operator bool) []policyInfo {
	all := []policyInfo{}
	for _, vhost := range vhosts {
		answered := make(chan []*broker.Policy, 1)
		b.Policies(vhost, operator, func(found []*broker.Policy) { answered <- found })
		for _, p := range <-answered {
			all = append(all, policyInfo{vhost, p.Name, p.Pattern, p.ApplyTo, object(wire.Table(p.Definition)), p.Priority})
		}
	}
	return all
}

// put makes or replaces a policy.
func (p *policyInfo) put(b *broker.Broker, operator bool) (created bool, err error) {
	t, err := table(p.Definition)
	if err != nil {
		return false, err
	}
	if p.ApplyTo == "" {
		p.ApplyTo = "all"
		if operator {
			p.ApplyTo = "queues"
		}
	}
	policy := &broker.Policy{
		Tenant: p.Vhost, Name: p.Name, Operator: operator, Pattern: p.Pattern, ApplyTo: p.ApplyTo, Priority: p.Priority, Definition: broker.Table(t),
	}
	err = wait(func(done func(error)) {
		b.PutPolicy(policy, func(is bool, err error) {
			created = is
			done(err)
		})
	})
	return created, err
}

// policySet is the handlers of user policies, or of operators'.
type policySet struct{ operator bool }

func (s policySet) list(_ *api, q *request) {
	if vhosts, ok := q.tenants(); ok {
		rows(q, allPolicies(q.broker, vhosts, s.operator))
	}
}

func (s policySet) find(q *request) *policyInfo {
	vhosts, ok := q.tenants()
	if !ok {
		return nil
	}
	for _, p := range allPolicies(q.broker, vhosts, s.operator) {
		if p.Name == q.r.PathValue("name") {
			return &p
		}
	}
	q.notFound()
	return nil
}

func (s policySet) get(_ *api, q *request) {
	if p := s.find(q); p != nil {
		q.answer(p)
	}
}

func (s policySet) put(_ *api, q *request) {
	var p policyInfo
	if _, ok := q.tenants(); !ok || !q.read(&p) {
		return
	}
	if q.lacks(map[string]bool{"pattern": p.Pattern != "", "definition": p.Definition != nil}) {
		return
	}
	p.Vhost, p.Name = q.r.PathValue("vhost"), q.r.PathValue("name")
	created, err := p.put(q.broker, s.operator)
	if err != nil {
		q.invalid(err)
		return
	}
	q.done(created)
}

func (s policySet) remove(_ *api, q *request) {
	if p := s.find(q); p != nil {
		q.settled(false, func(done func(error)) { q.broker.DeletePolicy(p.Vhost, p.Name, s.operator, done) })
	}
}

var userPolicies, operatorPolicies = policySet{}, policySet{operator: true}
