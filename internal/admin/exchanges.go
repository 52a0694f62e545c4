package admin

import (
	"github.com/polylog-mq/polylog/internal/adminapi"
	"github.com/polylog-mq/polylog/internal/broker"
)

func (c *call) describeExchange(x *broker.Exchange) adminapi.Exchange {
	return adminapi.Exchange{
		Tenant: c.tenant, Name: x.Name, Type: x.Type, Durable: x.Durable, AutoDelete: x.AutoDelete, Internal: x.Internal,
		Arguments: decode(x.Arguments),
	}
}

func (definitions) listExchanges(c *call) (any, error) {
	list := []adminapi.Exchange{}
	for x := range c.b.Exchanges(c.tenant) {
		list = append(list, c.describeExchange(x))
	}
	return list, nil
}

func (definitions) getExchange(c *call) (any, error) {
	x := c.b.Exchange(c.tenant, c.name())
	if x == nil {
		return nil, missing("exchange", c.name(), c.tenant)
	}
	return c.describeExchange(x), nil
}

func (d definitions) putExchange(c *call) (any, error) {
	n, err := decodeBody[adminapi.NewExchange](c)
	if err != nil {
		return nil, err
	}
	args, err := encode(n.Arguments)
	if err != nil {
		return nil, err
	}
	spec := &broker.ExchangeSpec{
		Tenant: c.tenant, Name: c.name(), Type: n.Type, Durable: n.Durable, AutoDelete: n.AutoDelete, Internal: n.Internal, Arguments: args,
	}
	if _, err = await(c.Context(), func(done func(bool, error)) { c.b.DeclareExchange(spec, done) }); err != nil {
		return nil, err
	}
	return d.getExchange(c)
}

func (definitions) deleteExchange(c *call) (any, error) {
	if c.b.Exchange(c.tenant, c.name()) == nil {
		return nil, missing("exchange", c.name(), c.tenant)
	}
	ifUnused, err := c.flag("if-unused")
	if err != nil {
		return nil, err
	}
	return nil, wait(c.Context(), func(done func(error)) { c.b.DeleteExchange(c.tenant, c.name(), ifUnused, done) })
}

// The two kinds of destination.
const (
	toQueue    = "queue"
	toExchange = "exchange"
)

func (definitions) listBindings(c *call) (any, error) {
	bindings, err := await(c.Context(), func(done func([]broker.Binding, error)) {
		c.b.Bindings(c.tenant, func(list []broker.Binding) { done(list, nil) })
	})
	list := []adminapi.Binding{}
	for _, x := range bindings {
		b := adminapi.Binding{Source: x.Source, Destination: x.Destination, DestinationType: toQueue, Key: x.Key, Arguments: decode(x.Arguments)}
		if x.ToExchange {
			b.DestinationType = toExchange
		}
		list = append(list, b)
	}
	return list, err
}

// binding reads the binding of a request.
func (c *call) binding() (*broker.Binding, error) {
	b, err := decodeBody[adminapi.Binding](c)
	if err != nil {
		return nil, err
	}
	if b.DestinationType != toQueue && b.DestinationType != toExchange && b.DestinationType != "" {
		return nil, wrong("destinationType is %s or %s", toQueue, toExchange)
	}
	args, err := encode(b.Arguments)
	return &broker.Binding{
		Tenant: c.tenant, Source: b.Source, Destination: b.Destination, ToExchange: b.DestinationType == toExchange,
		Key: b.Key, Arguments: args,
	}, err
}

func (c *call) changeBinding(change func(*broker.Binding, *broker.Session, func(error))) (any, error) {
	x, err := c.binding()
	if err != nil {
		return nil, err
	}
	return nil, wait(c.Context(), func(done func(error)) { change(x, nil, done) })
}

func (definitions) bind(c *call) (any, error) { return c.changeBinding(c.b.Bind) }

func (definitions) unbind(c *call) (any, error) { return c.changeBinding(c.b.Unbind) }

func (definitions) listTenants(c *call) (any, error) {
	return await(c.Context(), func(done func([]adminapi.Tenant, error)) {
		c.b.DescribeTenants(func(names []string, infos []broker.TenantInfo) {
			list := []adminapi.Tenant{}
			for i, name := range names {
				list = append(list, adminapi.Tenant{Name: name, Description: infos[i].Description, Tags: infos[i].Tags, QueueType: infos[i].QueueType})
			}
			done(list, nil)
		})
	})
}

func (definitions) putTenant(c *call) (any, error) {
	t, err := decodeBody[adminapi.Tenant](c)
	if err != nil {
		return nil, err
	}
	if t.Name != "" && t.Name != c.name() {
		return nil, wrong("the body names another tenant, '%s'", t.Name)
	}
	t.Name = c.name()
	info := broker.TenantInfo{Description: t.Description, Tags: t.Tags, QueueType: t.QueueType}
	_, err = await(c.Context(), func(done func(bool, error)) { c.b.CreateTenant(t.Name, info, done) })
	return t, err
}

func (definitions) deleteTenant(c *call) (any, error) {
	return nil, wait(c.Context(), func(done func(error)) { c.b.DeleteTenant(c.name(), done) })
}

func (definitions) listUsers(c *call) (any, error) {
	list := []adminapi.User{}
	for _, u := range c.b.Users() {
		out := adminapi.User{Name: u.Name, Tags: append([]string{}, u.Tags...), Permissions: []adminapi.Permission{}}
		for i := range u.Permissions {
			p := &u.Permissions[i]
			tenant := p.Tenant
			if tenant == "" {
				tenant = broker.DefaultTenant
			}
			out.Permissions = append(out.Permissions, adminapi.Permission{
				Tenant: tenant, Configure: p.Configure.String(), Write: p.Write.String(), Read: p.Read.String(),
			})
		}
		list = append(list, out)
	}
	return list, nil
}

func (definitions) putUser(c *call) (any, error) {
	n, err := decodeBody[adminapi.NewUser](c)
	if err != nil {
		return nil, err
	}
	spec := &broker.UserSpec{Name: c.name(), KeepPassword: n.Password == nil, Tags: n.Tags}
	if n.Password != nil {
		if spec.Password = *n.Password; spec.Password == "" {
			return nil, wrong("the password is empty")
		}
	}
	_, err = await(c.Context(), func(done func(bool, error)) { c.b.PutUser(spec, done) })
	return nil, err
}

func (definitions) deleteUser(c *call) (any, error) {
	return nil, wait(c.Context(), func(done func(error)) { c.b.DeleteUser(c.name(), done) })
}

func (definitions) setPermission(c *call) (any, error) {
	p, err := decodeBody[adminapi.Permission](c)
	if err != nil {
		return nil, err
	}
	return nil, wait(c.Context(), func(done func(error)) {
		c.b.SetPermission(c.name(), c.tenant, p.Configure, p.Write, p.Read, done)
	})
}

func (definitions) clearPermission(c *call) (any, error) {
	return nil, wait(c.Context(), func(done func(error)) { c.b.ClearPermission(c.name(), c.tenant, done) })
}
