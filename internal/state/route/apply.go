package route

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/polylog-mq/polylog/internal/record"
)

// Result is what a command did.
type Result struct {
	// Created says that it did not exist before.
	Created bool
	// Exchange is what DeclareExchange was about.
	Exchange *Exchange
	// Incarnation is what StartNode has begun.
	Incarnation uint64
}

// Apply carries out a command, or changes nothing and returns one of the errors
// of this package.
func (s *State) Apply(cmd Command, topics Topics) (Result, error) {
	switch cmd := cmd.(type) {
	case *PutTenant:
		return s.putTenant(cmd)
	case *DeleteTenant:
		return Result{}, s.deleteTenant(cmd)
	case *DeclareExchange:
		return s.declare(cmd)
	case *DeleteExchange:
		return Result{}, s.deleteExchange(cmd)
	case *Bind:
		return s.bind(&cmd.Ends, topics)
	case *Unbind:
		return Result{}, s.unbind(&cmd.Ends, topics)
	case *StartNode:
		return s.startNode(cmd)
	case *PutPolicy:
		return s.putPolicy(cmd)
	case *DeletePolicy:
		return Result{}, s.deletePolicy(cmd)
	}
	return Result{}, nil
}

// checkName judges the name of a tenant or exchange.
func checkName(name string) error {
	if name == "" || len(name) > MaxNameLen || !utf8.ValidString(name) {
		return fmt.Errorf("%w: it must be 1 to %d bytes of UTF-8", ErrInvalidName, MaxNameLen)
	}
	return nil
}

func (s *State) putTenant(cmd *PutTenant) (Result, error) {
	if cmd.Name == DefaultTenantName {
		return Result{}, fmt.Errorf("%w: '%s' is the default tenant", ErrInvalidName, cmd.Name)
	}
	if strings.ContainsRune(cmd.Name, 0) {
		return Result{}, fmt.Errorf("%w: it has a zero byte", ErrInvalidName)
	}
	if len(cmd.Info.Description)+len(cmd.Info.Tags)+len(cmd.Info.QueueType) > MaxTableLen {
		return Result{}, fmt.Errorf("%w: the description is too long", ErrInvalidArgument)
	}
	if old := s.tenants[cmd.Name]; old != nil {
		t := *old
		t.Info = cmd.Info
		s.pages.Touch(pageKey{kind: pageTenant, name: cmd.Name})
		s.tenants[cmd.Name] = &t
		return Result{}, nil
	}
	if err := checkName(cmd.Name); err != nil {
		return Result{}, err
	}
	if err := s.room(len(predeclared)); err != nil {
		return Result{}, err
	}
	if len(s.tenants) >= MaxTenants {
		return Result{}, fmt.Errorf("%w: a cluster has at most %d tenants", ErrTooMany, MaxTenants)
	}
	s.pages.Touch(rootPage)
	s.pages.Touch(pageKey{kind: pageTenant, name: cmd.Name})
	s.addTenant(&Tenant{Name: cmd.Name, Info: cmd.Info, first: s.lastExchange + 1})
	s.lastExchange += ID(len(predeclared))
	return Result{Created: true}, nil
}

// reserved refuses to touch what is predeclared.
func reserved(exchange string) error {
	if exchange == "" {
		return refuse(ErrReserved, "operation not permitted on the default exchange")
	}
	return refuse(ErrReserved, "exchange name '%s' contains reserved prefix 'amq.*'", exchange)
}

// room refuses n more exchanges if they pass the limit.
func (s *State) room(n int) error {
	if len(s.exchanges)+n > MaxExchanges {
		return fmt.Errorf("%w: a cluster has at most %d exchanges", ErrTooMany, MaxExchanges)
	}
	return nil
}

func (s *State) deleteTenant(cmd *DeleteTenant) error {
	t := s.tenants[cmd.Name]
	switch {
	case cmd.Name == "":
		return ErrDefaultTenant
	case t == nil:
		return fmt.Errorf("%w: '%s'", ErrUnknownTenant, cmd.Name)
	}
	for _, x := range s.snapshot.Exchanges(cmd.Name) {
		for _, b := range slices.Concat(s.from[x.ID], s.to[Dest{Exchange: x.ID}]) {
			s.removeBinding(b)
		}
	}
	for _, x := range s.snapshot.Exchanges(cmd.Name) {
		s.removeExchange(x)
	}
	s.dropPolicies(cmd.Name)
	s.pages.Touch(pageKey{kind: pageTenant, name: cmd.Name})
	delete(s.tenants, cmd.Name)
	s.show(s.snapshot.withoutTenant(cmd.Name))
	return nil
}

func (s *State) declare(cmd *DeclareExchange) (Result, error) {
	if s.tenants[cmd.Tenant] == nil {
		return Result{}, fmt.Errorf("%w: '%s'", ErrUnknownTenant, cmd.Tenant)
	}
	x := &Exchange{
		Tenant: cmd.Tenant, Name: cmd.Name, Type: cmd.Type,
		Durable: cmd.Durable, AutoDelete: cmd.AutoDelete, Internal: cmd.Internal, Arguments: cmd.Arguments,
	}
	if !x.Durable {
		x.Home = cmd.Home
	}
	if err := x.interpret(); err != nil {
		return Result{}, err
	}
	if old := s.snapshot.Exchange(cmd.Tenant, cmd.Name); old != nil {
		return Result{Exchange: old}, old.equivalent(x)
	}
	if Reserved(cmd.Name) {
		return Result{}, reserved(cmd.Name)
	}
	if err := checkName(cmd.Name); err != nil {
		return Result{}, err
	}
	if err := s.room(1); err != nil {
		return Result{}, err
	}
	s.pages.Touch(rootPage)
	s.lastExchange++
	x.ID = s.lastExchange
	s.pages.Touch(pageKey{kind: pageExchange, number: uint64(x.ID)})
	s.addExchange(x)
	return Result{Created: true, Exchange: x}, nil
}

func (s *State) deleteExchange(cmd *DeleteExchange) error {
	if Reserved(cmd.Name) {
		return reserved(cmd.Name)
	}
	x := s.snapshot.Exchange(cmd.Tenant, cmd.Name)
	switch {
	case x == nil:
		return nil
	case cmd.IfUnused && len(s.from[x.ID]) > 0:
		return refuse(ErrInUse, "exchange '%s' in vhost '%s' in use", cmd.Name, TenantName(cmd.Tenant))
	}
	s.drop(x)
	return nil
}

// drop deletes exchanges with their bindings, and those that lose their last
// source binding by it.
func (s *State) drop(list ...*Exchange) {
	for len(list) > 0 {
		x := list[0]
		list = list[1:]
		if s.exchanges[x.ID] == nil { // by another way already
			continue
		}
		for _, b := range slices.Clone(s.from[x.ID]) {
			s.removeBinding(b)
		}
		list = append(list, s.release(Dest{Exchange: x.ID})...)
		s.removeExchange(x)
	}
}

// release removes the bindings to a destination and returns the exchanges that
// are to be deleted because these were their last.
func (s *State) release(d Dest) (unused []*Exchange) {
	for _, b := range slices.Clone(s.to[d]) {
		s.removeBinding(b)
		if x := s.unused(b.Source); x != nil {
			unused = append(unused, x)
		}
	}
	return unused
}

// unused returns an exchange that goes with its last source binding, if it has
// just lost that.
func (s *State) unused(id ID) *Exchange {
	if x := s.exchanges[id]; x != nil && x.AutoDelete && len(s.from[id]) == 0 {
		return x
	}
	return nil
}

func (s *State) removeExchange(x *Exchange) {
	s.pages.Touch(pageKey{kind: pageExchange, number: uint64(x.ID)})
	s.dropExchange(x)
}

func (s *State) removeBinding(b *Binding) {
	if s.bindings[b.Number] == nil {
		return
	}
	s.pages.Touch(bindingPage(b.Number))
	s.dropBinding(b)
}

// TopicGone removes the bindings to a topic that was deleted. It reports whether
// there were any.
func (s *State) TopicGone(id record.TopicID) bool {
	d := Dest{Topic: id}
	if len(s.to[d]) == 0 {
		return false
	}
	s.drop(s.release(d)...)
	return true
}

// resolve finds the ends of a binding.
func (s *State) resolve(e *Ends, topics Topics) (*Exchange, *Binding, error) {
	if s.tenants[e.Tenant] == nil {
		return nil, nil, fmt.Errorf("%w: '%s'", ErrUnknownTenant, e.Tenant)
	}
	if e.Source == "" || e.ToExchange && e.Destination == "" {
		return nil, nil, reserved("")
	}
	b := &Binding{Key: e.Key, Arguments: e.Arguments}
	x := s.snapshot.Exchange(e.Tenant, e.Source)
	if x == nil {
		return nil, nil, &NotFoundError{"exchange", e.Source, e.Tenant}
	}
	b.Source = x.ID
	if e.ToExchange {
		to := s.snapshot.Exchange(e.Tenant, e.Destination)
		if to == nil {
			return nil, nil, &NotFoundError{"exchange", e.Destination, e.Tenant}
		}
		b.Dest.Exchange = to.ID
		return x, b, nil
	}
	if b.Dest.Topic = topics.TopicID(e.Tenant, e.Destination); b.Dest.Topic == 0 {
		return nil, nil, &NotFoundError{"queue", e.Destination, e.Tenant}
	}
	return x, b, nil
}

func (s *State) bind(e *Ends, topics Topics) (Result, error) {
	x, b, err := s.resolve(e, topics)
	if err != nil {
		return Result{}, err
	}
	if err := b.interpret(x.Kind); err != nil {
		return Result{}, err
	}
	if s.byKey[b.key()] != nil {
		return Result{}, nil
	}
	if len(s.bindings) >= MaxBindings {
		return Result{}, fmt.Errorf("%w: a cluster has at most %d bindings", ErrTooMany, MaxBindings)
	}
	s.pages.Touch(rootPage)
	s.lastBinding++
	b.Number = s.lastBinding
	s.pages.Touch(bindingPage(b.Number))
	s.addBinding(b)
	return Result{Created: true}, nil
}

func (s *State) unbind(e *Ends, topics Topics) error {
	x, b, err := s.resolve(e, topics)
	if err != nil {
		return err
	}
	old := s.byKey[b.key()]
	if old == nil {
		return nil
	}
	s.removeBinding(old)
	if s.unused(x.ID) != nil {
		s.drop(x)
	}
	return nil
}

func (s *State) startNode(cmd *StartNode) (Result, error) {
	s.pages.Touch(rootPage)
	s.incarnations[cmd.Node]++
	now := s.incarnations[cmd.Node]
	var gone []*Exchange
	for home, ids := range s.transient {
		if home.Node == cmd.Node {
			for _, id := range ids {
				gone = append(gone, s.exchanges[id])
			}
		}
	}
	slices.SortFunc(gone, func(a, b *Exchange) int { return cmp.Compare(a.ID, b.ID) })
	s.drop(gone...)
	return Result{Incarnation: now}, nil
}
