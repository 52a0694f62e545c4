package route

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
)

// Policy gives the queues and exchanges of a tenant that have matching names what
// their declarations do not say. Of several that match, the one of the highest
// priority counts alone. An operator's policies are kept apart, and limit what
// declarations and the other policies say. It never changes.
type Policy struct {
	Tenant, Name string
	Operator     bool
	// Pattern is a regular expression that matches somewhere in a name.
	Pattern string
	// ApplyTo is queues, classic_queues, quorum_queues, streams, exchanges or all.
	ApplyTo  string
	Priority int32
	// Definition is what it says: fields named as in policyKeys.
	Definition Table

	re *regexp.Regexp
}

// The kinds of values in a policy.
const (
	wantCount    = iota // an integer, not negative
	wantPositive        // an integer above 0
	wantInteger
	wantText
	wantOverflow
	wantAge
	wantAnything
)

// policyKeys are the settings that a policy can have, with what they must be.
// Operators may set those that limit something.
var policyKeys = map[string]struct {
	want     int
	operator bool
}{
	"message-ttl":             {wantCount, true},
	"expires":                 {wantPositive, true},
	"max-length":              {wantCount, true},
	"max-length-bytes":        {wantCount, true},
	"overflow":                {wantOverflow, true},
	"delivery-limit":          {wantInteger, true},
	"consumer-timeout":        {wantCount, true},
	"dead-letter-exchange":    {wantText, false},
	"dead-letter-routing-key": {wantText, false},
	"alternate-exchange":      {wantText, false},

	// Of streams, beside max-length-bytes.
	"max-age":                       {wantAge, true},
	"stream-max-segment-size-bytes": {wantCount, false},

	// Ours.
	"retention-ms":    {wantInteger, false},
	"rate-limit":      {wantCount, true},
	"in-flight-limit": {wantCount, true},
	"retry-first-ms":  {wantCount, false},
	"retry-cap-ms":    {wantCount, false},
	"retry-factor":    {wantCount, false}, // in thousandths, as retry-jitter
	"retry-jitter":    {wantCount, false},
	"retry-attempts":  {wantCount, false},

	// RabbitMQ's about how and where queues are stored: they mean nothing here.
	"dead-letter-strategy":   {wantAnything, false},
	"queue-mode":             {wantAnything, false},
	"queue-version":          {wantAnything, false},
	"queue-leader-locator":   {wantAnything, false},
	"queue-master-locator":   {wantAnything, false},
	"target-group-size":      {wantAnything, true},
	"initial-cluster-size":   {wantAnything, false},
	"ha-mode":                {wantAnything, false},
	"ha-params":              {wantAnything, false},
	"ha-sync-mode":           {wantAnything, false},
	"ha-sync-batch-size":     {wantAnything, false},
	"ha-promote-on-shutdown": {wantAnything, false},
	"ha-promote-on-failure":  {wantAnything, false},
}

func validValue(want int, v Value) bool {
	n, isInteger := v.Integer()
	text, isText := v.Text()
	switch want {
	case wantCount:
		return isInteger && n >= 0
	case wantPositive:
		return isInteger && n > 0
	case wantInteger:
		return isInteger
	case wantText:
		return isText && len(text) <= MaxNameLen
	case wantAge:
		_, ok := ParseAge(text)
		return isText && ok
	case wantOverflow:
		return isText && (text == "drop-head" || text == "reject-publish" || text == "reject-publish-dlx")
	}
	return true
}

// What a policy applies to.
const (
	ToQueues    = "queues"
	ToClassic   = "classic_queues"
	ToQuorum    = "quorum_queues"
	ToStreams   = "streams"
	ToExchanges = "exchanges"
	ToAll       = "all"
)

// interpret compiles the pattern and judges the rest. ErrInvalidName,
// ErrInvalidArgument.
func (p *Policy) interpret() error {
	if err := checkName(p.Name); err != nil {
		return err
	}
	if len(p.Pattern) > MaxPatternLen || len(p.Definition) > MaxTableLen {
		return fmt.Errorf("%w: the policy is too long", ErrInvalidArgument)
	}
	if !slices.Contains([]string{ToQueues, ToClassic, ToQuorum, ToStreams, ToExchanges, ToAll}, p.ApplyTo) {
		return refuse(ErrInvalidArgument, "apply-to '%s' not recognised", p.ApplyTo)
	}
	var err error
	if p.re, err = regexp.Compile(p.Pattern); err != nil {
		return fmt.Errorf("%w: the pattern: %w", ErrInvalidArgument, err)
	}
	if err := p.Definition.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidArgument, err)
	}
	if len(p.Definition) == 0 {
		return refuse(ErrInvalidArgument, "no policy provided")
	}
	for name, v := range p.Definition.All() {
		key, ok := policyKeys[string(name)]
		switch {
		case !ok || p.Operator && !key.operator:
			return refuse(ErrInvalidArgument, "'%s' is not a recognised policy setting", name)
		case !validValue(key.want, v):
			return refuse(ErrInvalidArgument, "'%s' is not a valid value of the policy setting '%s'", v.text(), name)
		}
	}
	return nil
}

// applies reports whether it is for what has this name and kind, which is
// ToExchanges or a type of queue.
func (p *Policy) applies(tenant, name, kind string) bool {
	if p.Tenant != tenant || !p.re.MatchString(name) {
		return false
	}
	return p.ApplyTo == ToAll || p.ApplyTo == kind || p.ApplyTo == ToQueues && kind != ToExchanges
}

// policyKey is what names a policy.
type policyKey struct {
	operator     bool
	tenant, name string
}

func (p *Policy) key() policyKey { return policyKey{p.Operator, p.Tenant, p.Name} }

// Policies returns a tenant's policies, those of operators or the others, sorted
// by name.
func (s *State) Policies(tenant string, operator bool) []*Policy {
	var list []*Policy
	for _, p := range s.policies {
		if p.Tenant == tenant && p.Operator == operator {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b *Policy) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// policyOf returns the policy of the highest priority that applies, the first by
// name among equals; nil if there is none.
func (s *State) policyOf(tenant, name, kind string, operator bool) (best *Policy) {
	for _, p := range s.policies {
		if p.Operator == operator && p.applies(tenant, name, kind) &&
			(best == nil || cmp.Or(cmp.Compare(best.Priority, p.Priority), cmp.Compare(p.Name, best.Name)) < 0) {
			best = p
		}
	}
	return best
}

// QueuePolicies returns the policy and the operator's policy that apply to a
// queue, nil for none.
func (s *State) QueuePolicies(tenant, name string, q *Queue) (user, operator *Policy) {
	if len(s.policies) == 0 {
		return nil, nil
	}
	kind := ToClassic
	t := s.tenants[tenant]
	switch {
	case q.IsStream():
		kind = ToStreams
	case t != nil && typeOr(q.Arguments, t.Info.QueueType) == "quorum":
		kind = ToQuorum
	}
	return s.policyOf(tenant, name, kind, false), s.policyOf(tenant, name, kind, true)
}

func (s *State) putPolicy(cmd *PutPolicy) (Result, error) {
	p := cmd.Policy
	if s.tenants[p.Tenant] == nil {
		return Result{}, fmt.Errorf("%w: '%s'", ErrUnknownTenant, p.Tenant)
	}
	if err := p.interpret(); err != nil {
		return Result{}, err
	}
	old := s.policies[p.key()]
	if old == nil && len(s.policies) >= MaxPolicies {
		return Result{}, fmt.Errorf("%w: a cluster has at most %d policies", ErrTooMany, MaxPolicies)
	}
	s.pages.Touch(policyPage(p.key()))
	s.policies[p.key()] = &p
	s.obey(p.Tenant)
	return Result{Created: old == nil}, nil
}

func (s *State) deletePolicy(cmd *DeletePolicy) error {
	k := policyKey{cmd.Operator, cmd.Tenant, cmd.Name}
	if s.policies[k] == nil {
		return refuse(ErrUnknownPolicy, "policy '%s' not found", cmd.Name)
	}
	s.pages.Touch(policyPage(k))
	delete(s.policies, k)
	s.obey(cmd.Tenant)
	return nil
}

// dropPolicies deletes those of a tenant that is going.
func (s *State) dropPolicies(tenant string) {
	keys := slices.SortedFunc(maps.Keys(s.policies), func(a, b policyKey) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(fmt.Sprint(a.operator), fmt.Sprint(b.operator)))
	})
	for _, k := range keys {
		if k.tenant == tenant {
			s.pages.Touch(policyPage(k))
			delete(s.policies, k)
		}
	}
}

// obey gives a tenant's exchanges the alternates that policies say.
func (s *State) obey(tenant string) {
	for _, x := range s.snapshot.Exchanges(tenant) {
		next := *x
		s.govern(&next)
		if next.Alternate == x.Alternate && next.HasAlternate == x.HasAlternate {
			continue
		}
		t := *s.table(x.ID)
		t.exchange = &next
		s.exchanges[x.ID] = &next
		s.show(s.snapshot.with(&t))
	}
}

// govern gives an exchange the alternate of its arguments or else of its policy.
func (s *State) govern(x *Exchange) {
	v, ok := x.Arguments.Lookup("alternate-exchange")
	if !ok {
		if p := s.policyOf(x.Tenant, x.Name, ToExchanges, false); p != nil {
			v, ok = p.Definition.Lookup("alternate-exchange")
		}
	}
	x.Alternate, x.HasAlternate = "", ok
	if ok {
		x.Alternate, _ = v.Text()
	}
}
