package management

import (
	"cmp"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// bindingInfo is a binding, in answers and in definitions.
type bindingInfo struct {
	Source      string    `json:"source"`
	Vhost       string    `json:"vhost,omitempty"`
	Destination string    `json:"destination"`
	Kind        string    `json:"destination_type"` // queue or exchange
	Key         string    `json:"routing_key"`
	Arguments   arguments `json:"arguments"`
	// Properties names the binding in paths.
	Properties string `json:"properties_key,omitempty"`

	table wire.Table
}

func describeBinding(vhost string, x *broker.Binding) bindingInfo {
	t := wire.Table(x.Arguments)
	info := bindingInfo{
		Source: x.Source, Vhost: vhost, Destination: x.Destination, Kind: "queue", Key: x.Key, Arguments: object(t),
		Properties: propertiesKey(x.Key, t), table: t,
	}
	if x.ToExchange {
		info.Kind = "exchange"
	}
	return info
}

// propertiesKey names a binding among those of the same source and destination.
func propertiesKey(key string, args wire.Table) string {
	if len(args) == 0 {
		if key == "" {
			return "~"
		}
		return url.QueryEscape(key)
	}
	sum := md5.Sum(args)
	return url.QueryEscape(key) + "~" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// allBindings returns the bindings of vhosts, those of the default exchange too.
func allBindings(b *broker.Broker, vhosts []string) []bindingInfo {
	all := []bindingInfo{}
	for _, vhost := range vhosts {
		for queue := range b.Queues(vhost) {
			if queue.Definition() != nil {
				all = append(all, bindingInfo{
					Vhost: vhost, Destination: queue.Name(), Kind: "queue", Key: queue.Name(), Arguments: arguments{},
					Properties: propertiesKey(queue.Name(), nil),
				})
			}
		}
		answered := make(chan []broker.Binding, 1)
		b.Bindings(vhost, func(found []broker.Binding) { answered <- found })
		for _, x := range <-answered {
			all = append(all, describeBinding(vhost, &x))
		}
	}
	slices.SortStableFunc(all, func(x, y bindingInfo) int {
		return cmp.Or(strings.Compare(x.Vhost, y.Vhost), strings.Compare(x.Source, y.Source), strings.Compare(x.Destination, y.Destination),
			strings.Compare(x.Key, y.Key), strings.Compare(x.Properties, y.Properties))
	})
	return all
}

// showBindings answers with the bindings that fit.
func (q *request) showBindings(fits func(*bindingInfo) bool) {
	vhosts, ok := q.tenants()
	if !ok {
		return
	}
	rows(q, slices.DeleteFunc(allBindings(q.broker, vhosts), func(x bindingInfo) bool { return !fits(&x) }))
}

func (a *api) bindings(q *request) { q.showBindings(func(*bindingInfo) bool { return true }) }

func (a *api) queueBindings(q *request) {
	if q.named() != nil {
		q.showBindings(func(x *bindingInfo) bool { return x.Kind == "queue" && x.Destination == q.r.PathValue("name") })
	}
}

func (a *api) exchangeSources(q *request) {
	q.showBindings(func(x *bindingInfo) bool { return x.Source == exchangeName(q.r.PathValue("name")) })
}

func (a *api) exchangeDestinations(q *request) {
	q.showBindings(func(x *bindingInfo) bool { return x.Kind == "exchange" && x.Destination == q.r.PathValue("name") })
}

// between reports whether a binding has the ends that the path names.
func (q *request) between(x *bindingInfo) bool {
	kind := map[string]string{"q": "queue", "e": "exchange"}[q.r.PathValue("kind")]
	return x.Source == exchangeName(q.r.PathValue("source")) && x.Kind == kind && x.Destination == q.r.PathValue("destination")
}

func (a *api) bindingsBetween(q *request) { q.showBindings(q.between) }

// theBinding returns the binding of the path; without one it has answered.
func (q *request) theBinding() *bindingInfo {
	vhosts, ok := q.tenants()
	if !ok {
		return nil
	}
	for _, x := range allBindings(q.broker, vhosts) {
		// The path is unescaped already, the key is escaped in both.
		if q.between(&x) && (x.Properties == q.r.PathValue("key") || x.Properties == url.QueryEscape(q.r.PathValue("key"))) {
			return &x
		}
	}
	q.notFound()
	return nil
}

func (a *api) binding(q *request) {
	if x := q.theBinding(); x != nil {
		q.answer(x)
	}
}

func (a *api) bind(q *request) {
	var x bindingInfo
	if !q.read(&x) {
		return
	}
	args, err := table(x.Arguments)
	if err = errors.Join(err, short("routing_key", x.Key)); err != nil {
		fail(q.w, http.StatusBadRequest, "bad_request", err.Error())
		return
	}
	source, destination := []byte(exchangeName(q.r.PathValue("source"))), []byte(q.r.PathValue("destination"))
	var m, answer wire.Method = &wire.QueueBind{Exchange: source, Queue: destination, RoutingKey: []byte(x.Key), Arguments: args}, &wire.QueueBindOk{}
	switch q.r.PathValue("kind") {
	case "q":
	case "e":
		m, answer = &wire.ExchangeBind{Source: source, Destination: destination, RoutingKey: []byte(x.Key), Arguments: args}, &wire.ExchangeBindOk{}
	default:
		q.notFound()
		return
	}
	if a.as(q, q.r.PathValue("vhost"), func(c *client) error { return c.call(m, answer) }) {
		q.w.Header().Set("Location", url.PathEscape(q.r.PathValue("destination"))+"/"+url.QueryEscape(propertiesKey(x.Key, args)))
		q.done(true)
	}
}

func (a *api) unbind(q *request) {
	x := q.theBinding()
	if x == nil {
		return
	}
	var m, answer wire.Method = &wire.QueueUnbind{
		Exchange: []byte(x.Source), Queue: []byte(x.Destination), RoutingKey: []byte(x.Key), Arguments: x.table,
	}, &wire.QueueUnbindOk{}
	if x.Kind == "exchange" {
		m, answer = &wire.ExchangeUnbind{
			Source: []byte(x.Source), Destination: []byte(x.Destination), RoutingKey: []byte(x.Key), Arguments: x.table,
		}, &wire.ExchangeUnbindOk{}
	}
	if a.as(q, x.Vhost, func(c *client) error { return c.call(m, answer) }) {
		q.done(false)
	}
}
