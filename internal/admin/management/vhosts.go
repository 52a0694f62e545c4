package management

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp"
)

// vhostInfo is a vhost, in answers and in definitions.
type vhostInfo struct {
	Name        string         `json:"name"`
	Description string         `json:"description"`
	Tags        []string       `json:"tags"`
	QueueType   string         `json:"default_queue_type,omitempty"`
	Metadata    map[string]any `json:"metadata"`
	Tracing     bool           `json:"tracing"`
	*queueTotals
	*queueRates
	Stats map[string]any    `json:"message_stats,omitempty"`
	State map[string]string `json:"cluster_state,omitempty"`
}

// describeVhosts returns all vhosts by name.
func describeVhosts(b *broker.Broker) map[string]vhostInfo {
	all := make(chan map[string]vhostInfo, 1)
	b.DescribeTenants(func(names []string, infos []broker.TenantInfo) {
		m := map[string]vhostInfo{}
		for i, name := range names {
			v := vhostInfo{Name: name, Description: infos[i].Description, QueueType: infos[i].QueueType, Tags: []string{}}
			if infos[i].Tags != "" {
				v.Tags = strings.Split(infos[i].Tags, ",")
			}
			v.Metadata = map[string]any{"description": v.Description, "tags": v.Tags}
			m[name] = v
		}
		all <- m
	})
	return <-all
}

// info reads what a definition says of a vhost: what some versions of RabbitMQ
// say beside its name, others say in its metadata.
func (v *vhostInfo) info() broker.TenantInfo {
	info := broker.TenantInfo{Description: v.Description, Tags: strings.Join(v.Tags, ","), QueueType: v.QueueType}
	if text, ok := v.Metadata["description"].(string); ok && info.Description == "" {
		info.Description = text
	}
	if info.Tags == "" {
		info.Tags = strings.Join(tagList(v.Metadata["tags"]), ",")
	}
	if text, ok := v.Metadata["default_queue_type"].(string); ok && info.QueueType == "" && text != "undefined" {
		info.QueueType = text
	}
	return info
}

func (a *api) showVhosts(q *request, names []string) []vhostInfo {
	known, counts := describeVhosts(q.broker), a.rates.countsByVhost()
	list := []vhostInfo{}
	for _, name := range names {
		v, ok := known[name]
		if !ok {
			continue // deleted since
		}
		v.queueTotals = &queueTotals{}
		for queue := range q.broker.Queues(name) {
			v.add(queue.Stats())
		}
		now := vhostNumbers(*v.queueTotals, counts[name])
		past := a.rates.of(vhostSeries(name), now)
		changes := past.totals(0)
		v.queueRates, v.Stats = &changes, past.stats(firstMessage, messageNames, now)
		v.Tracing = a.traced(name)
		v.State = map[string]string{amqp.NodeName(q.broker): "running"}
		list = append(list, v)
	}
	return list
}

func (a *api) vhosts(q *request) {
	names, _ := q.tenants()
	list(q, a.showVhosts(q, names), func(v *vhostInfo) string { return v.Name })
}

func (a *api) vhost(q *request) {
	names, ok := q.tenants()
	if !ok {
		return
	}
	if list := a.showVhosts(q, names); len(list) == 1 {
		q.answer(list[0])
		return
	}
	q.notFound()
}

func (a *api) putVhost(q *request) {
	var body struct {
		Description string `json:"description"`
		Tags        any    `json:"tags"`
		QueueType   string `json:"default_queue_type"`
		Tracing     *flag  `json:"tracing"`
	}
	if !q.read(&body) {
		return
	}
	info := broker.TenantInfo{Description: body.Description, Tags: strings.Join(tagList(body.Tags), ","), QueueType: body.QueueType}
	name := q.r.PathValue("vhost")
	created, err := createVhost(q.broker, q.user, name, info)
	if err != nil {
		q.refused(err)
		return
	}
	if s := a.node.AMQP(); s != nil && body.Tracing != nil {
		s.Trace(name, bool(*body.Tracing))
	}
	q.done(created)
}

// traced reports whether this node traces what goes on in a vhost.
func (a *api) traced(vhost string) bool {
	s := a.node.AMQP()
	return s != nil && s.Traced(vhost)
}

// createVhost makes a vhost, in which its maker may do everything, as RabbitMQ's
// API has it.
func createVhost(b *broker.Broker, user, name string, info broker.TenantInfo) (created bool, err error) {
	err = wait(func(done func(error)) {
		b.CreateTenant(name, info, func(is bool, err error) {
			created = is
			done(err)
		})
	})
	if err != nil || !created {
		return created, err
	}
	return true, wait(func(done func(error)) { b.SetPermission(user, name, ".*", ".*", ".*", done) })
}

func (a *api) deleteVhost(q *request) {
	name := q.r.PathValue("vhost")
	if !q.broker.Tenant(name) {
		q.notFound()
		return
	}
	if err := wait(func(done func(error)) { q.broker.DeleteTenant(name, done) }); err != nil {
		q.refused(err)
		return
	}
	if s := a.node.AMQP(); s != nil {
		s.Trace(name, false)
		s.CloseVhost(name, fmt.Sprintf("vhost '%s' is deleted", name))
	}
	q.w.WriteHeader(http.StatusNoContent)
}

// tagList reads tags, which are a list or a text with commas.
func tagList(v any) (list []string) {
	switch v := v.(type) {
	case string:
		for t := range strings.SplitSeq(v, ",") {
			if t = strings.TrimSpace(t); t != "" {
				list = append(list, t)
			}
		}
	case []any:
		for _, t := range v {
			if s, ok := t.(string); ok && s != "" {
				list = append(list, s)
			}
		}
	}
	return list
}
