package admin

import (
	"math"

	"github.com/polylog-mq/polylog/internal/adminapi"
	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
)

func (definitions) listSchedule(c *call) (any, error) {
	q, err := c.queue(c.name())
	if err != nil {
		return nil, err
	}
	from, err := c.number("from", 0, 0, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	most, err := c.number("max", 100, 1, maxSchedule)
	if err != nil {
		return nil, err
	}
	waiting, err := await(c.Context(), func(done func([]broker.Scheduled, error)) { q.Scheduled(from, int(most), done) })
	list := []adminapi.Scheduled{}
	for _, x := range waiting {
		list = append(list, adminapi.Scheduled{At: x.At, Offset: int64(x.Offset), Level: x.Level})
	}
	return list, err
}

func (definitions) cancelScheduled(c *call) (any, error) {
	return c.reschedule((*broker.Queue).CancelScheduled)
}

func (definitions) deliverNow(c *call) (any, error) { return c.reschedule((*broker.Queue).DeliverNow) }

func (c *call) reschedule(change func(*broker.Queue, broker.Scheduled, func(error))) (any, error) {
	x, err := decodeBody[adminapi.Scheduled](c)
	if err != nil {
		return nil, err
	}
	q, err := c.queue(c.name())
	if err != nil {
		return nil, err
	}
	return nil, wait(c.Context(), func(done func(error)) {
		change(q, broker.Scheduled{At: x.At, Offset: record.Offset(x.Offset), Level: x.Level}, done)
	})
}

func (definitions) listPolicies(c *call) (any, error) {
	operator, err := c.flag("operator")
	if err != nil {
		return nil, err
	}
	policies, err := await(c.Context(), func(done func([]*broker.Policy, error)) {
		c.b.Policies(c.tenant, operator, func(list []*broker.Policy) { done(list, nil) })
	})
	list := []adminapi.Policy{}
	for _, p := range policies {
		list = append(list, adminapi.Policy{Name: p.Name, Pattern: p.Pattern, ApplyTo: p.ApplyTo, Priority: p.Priority, Definition: decode(p.Definition)})
	}
	return list, err
}

func (definitions) putPolicy(c *call) (any, error) {
	operator, err := c.flag("operator")
	if err != nil {
		return nil, err
	}
	p, err := decodeBody[adminapi.Policy](c)
	if err != nil {
		return nil, err
	}
	definition, err := encode(p.Definition)
	if err != nil {
		return nil, err
	}
	policy := &broker.Policy{
		Tenant: c.tenant, Name: c.name(), Operator: operator, Pattern: p.Pattern, ApplyTo: p.ApplyTo, Priority: p.Priority, Definition: definition,
	}
	_, err = await(c.Context(), func(done func(bool, error)) { c.b.PutPolicy(policy, done) })
	return nil, err
}

func (definitions) deletePolicy(c *call) (any, error) {
	operator, err := c.flag("operator")
	if err != nil {
		return nil, err
	}
	return nil, wait(c.Context(), func(done func(error)) { c.b.DeletePolicy(c.tenant, c.name(), operator, done) })
}
