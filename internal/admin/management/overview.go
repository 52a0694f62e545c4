package management

import (
	"context"
	"net/http"
	"runtime"
	"strconv"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp"
)

// open asks the AMQP connections what they are.
func (a *api) open(r *http.Request) []amqp.ConnectionInfo {
	s := a.node.AMQP()
	if s == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), askTime)
	defer cancel()
	return s.Connections(ctx)
}

// queueTotalsOf are totals with how they change.
func queueTotalsOf(t queueTotals, r queueRates) any {
	return struct {
		queueTotals
		queueRates
	}{t, r}
}

func (a *api) overview(q *request) {
	var totals queueTotals
	objects := map[string]int{"connections": 0, "channels": 0, "consumers": 0, "exchanges": 0, "queues": 0}
	tenants, _ := q.tenants()
	for _, vhost := range tenants {
		for range q.broker.Exchanges(vhost) {
			objects["exchanges"]++
		}
		for queue := range q.broker.Queues(vhost) {
			s := queue.Stats()
			totals.add(s)
			objects["queues"]++
			objects["consumers"] += int(s.Consumers)
		}
	}
	for _, c := range a.open(q.r) {
		objects["connections"]++
		objects["channels"] += len(c.Channels)
	}
	now := a.rates.serverNumbers(q.broker, totals, a.rates.counts())
	past := a.rates.of("", now)
	q.answer(map[string]any{
		"management_version": amqp.DefaultVersion, "rabbitmq_version": amqp.DefaultVersion,
		"product_name": "Polylog", "product_version": a.node.Version(), "cluster_name": q.broker.ClusterName(), "node": amqp.NodeName(q.broker),
		"erlang_version": "", "erlang_full_version": runtime.Version(), "rates_mode": "basic", "sample_retention_policies": retention,
		"exchange_types": exchangeTypes(), "queue_totals": queueTotalsOf(totals, past.totals(lengthsAge(q.r))), "object_totals": objects, "message_stats": past.stats(firstMessage, messageNames, now),
		"churn_rates": past.stats(firstChurn, churnNames, now),
		"listeners":   a.listeners(q.broker), "contexts": a.contexts(q.broker), "statistics_db_event_queue": 0,
		"disable_stats": false, "enable_queue_totals": false, "is_op_policy_updating_enabled": false,
	})
}

// retention is for how long samples are kept, in seconds, in RabbitMQ's form.
var retention = map[string][]int{"global": {60}, "basic": {60}, "detailed": {60}}

// webContext is where this API is served.
type webContext struct {
	Node        string `json:"node"`
	Description string `json:"description"`
	Path        string `json:"path"`
	IP          string `json:"ip"`
	Port        string `json:"port"`
}

func (a *api) contexts(b *broker.Broker) []webContext {
	all := []webContext{}
	for _, l := range a.listeners(b) {
		if l.Protocol == "http" || l.Protocol == "https" {
			all = append(all, webContext{amqp.NodeName(b), "Management API", "/api", l.Address, strconv.Itoa(l.Port)})
		}
	}
	return all
}

// mechanisms are the ways to log in.
var mechanisms = []map[string]any{
	{"name": "PLAIN", "description": "SASL PLAIN authentication mechanism", "enabled": true},
	{"name": "AMQPLAIN", "description": "QPid AMQPLAIN mechanism", "enabled": true},
	{"name": "EXTERNAL", "description": "TLS peer verification-based authentication, where a listener has a client CA", "enabled": true},
}

// exchangeTypes are the types that exchanges can have.
func exchangeTypes() []map[string]any {
	types := []map[string]any{}
	for _, t := range []string{
		"direct", "fanout", "headers", "topic", "x-consistent-hash", "x-delayed-message", "x-local-random", "x-modulus-hash", "x-random",
	} {
		types = append(types, map[string]any{"name": t, "description": "AMQP " + t + " exchange", "enabled": true})
	}
	return types
}

// listener is one address that a protocol is spoken at.
type listener struct {
	Node     string `json:"node"`
	Protocol string `json:"protocol"`
	Address  string `json:"ip_address"`
	Port     int    `json:"port"`
}

// secured is what protocols are called with TLS.
var secured = map[string]string{"amqp": "amqp/ssl", "http": "https", "kafka": "kafka/ssl"}

func (a *api) listeners(b *broker.Broker) []listener {
	all := []listener{}
	for _, l := range a.node.Listening() {
		if l.TLS {
			l.Protocol = secured[l.Protocol]
		}
		host, port := hostPort(l.Address)
		all = append(all, listener{amqp.NodeName(b), l.Protocol, host, port})
	}
	return all
}

func (a *api) whoami(q *request) {
	u := q.broker.User(q.user)
	if u == nil {
		q.notFound()
		return
	}
	q.answer(map[string]any{"name": u.Name, "tags": u.Tags, "is_internal_user": true})
}

func (a *api) extensions(q *request) { q.answer([]any{}) }
