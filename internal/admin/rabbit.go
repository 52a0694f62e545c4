package admin

import (
	"fmt"
	"net/http"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp"
	"github.com/polylog-mq/polylog/internal/protocol/listen"
	"github.com/polylog-mq/polylog/internal/server"
	"github.com/polylog-mq/polylog/internal/store"
)

// The metrics under the names and with the meaning of RabbitMQ's own
// (rabbitmq_prometheus), for dashboards and alerts that exist: those of its
// RabbitMQ-Overview dashboard, as sums over everything (/metrics), and those of
// queues for each (/metrics/per-object). docs/protocol/management.md lists them.

// rabbitFamily is one family that is a number of the AMQP server or the broker.
type rabbitFamily struct {
	name, help string
	kind       prometheus.ValueType
	value      func(*rabbitNumbers) float64
}

// rabbitNumbers are what the families are made of, at one moment.
type rabbitNumbers struct {
	amqp     amqp.Counts
	queues   queueSums
	broker   *broker.Broker
	diskFree uint64
	diskFull bool
}

// queueSums are sums over all queues.
type queueSums struct{ count, ready, unacked, bytes, consumers int64 }

// global is a counter of messages of AMQP.
func global(name, help string, value func(*amqp.Counts) int64) rabbitFamily {
	return rabbitFamily{"global_" + name + "_total", help, prometheus.CounterValue, func(n *rabbitNumbers) float64 { return float64(value(&n.amqp)) }}
}

// churn is a counter of connections, channels or queues.
func churn(name, help string, value func(*amqp.Counts) int64) rabbitFamily {
	return rabbitFamily{name + "_total", help, prometheus.CounterValue, func(n *rabbitNumbers) float64 { return float64(value(&n.amqp)) }}
}

func gaugeOf(name, help string, value func(*rabbitNumbers) float64) rabbitFamily {
	return rabbitFamily{name, help, prometheus.GaugeValue, value}
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

var rabbitFamilies = []rabbitFamily{
	global("messages_received", "Messages that were published.", func(c *amqp.Counts) int64 { return c.Received }),
	global("messages_received_confirm", "Messages that were published on channels in confirm mode.", func(c *amqp.Counts) int64 { return c.ReceivedConfirm }),
	global("messages_routed", "Messages times the queues that they were routed to.", func(c *amqp.Counts) int64 { return c.Routed }),
	global("messages_confirmed", "Publishes that were confirmed.", func(c *amqp.Counts) int64 { return c.Confirmed }),
	global("messages_unroutable_returned", "Mandatory messages that no queue wanted.", func(c *amqp.Counts) int64 { return c.Returned }),
	global("messages_unroutable_dropped", "Other messages that no queue wanted.", func(c *amqp.Counts) int64 { return c.Dropped }),
	global("messages_delivered_consume_manual_ack", "Messages sent to consumers that acknowledge.", func(c *amqp.Counts) int64 { return c.DeliveredManual }),
	global("messages_delivered_consume_auto_ack", "Messages sent to consumers that do not.", func(c *amqp.Counts) int64 { return c.DeliveredAuto }),
	global("messages_delivered_get_manual_ack", "Messages fetched with basic.get, to be acknowledged.", func(c *amqp.Counts) int64 { return c.GotManual }),
	global("messages_delivered_get_auto_ack", "Messages fetched with basic.get, not to be.", func(c *amqp.Counts) int64 { return c.GotAuto }),
	global("messages_delivered", "Messages sent and fetched, all together.", func(c *amqp.Counts) int64 {
		return c.DeliveredManual + c.DeliveredAuto + c.GotManual + c.GotAuto
	}),
	global("messages_get_empty", "basic.get of an empty queue.", func(c *amqp.Counts) int64 { return c.GotNothing }),
	global("messages_redelivered", "Messages sent or fetched again.", func(c *amqp.Counts) int64 { return c.Redelivered }),
	global("messages_acknowledged", "Messages that clients have acknowledged.", func(c *amqp.Counts) int64 { return c.Acknowledged }),
	gaugeOf("global_publishers", "Open channels that have published.", func(n *rabbitNumbers) float64 { return float64(n.amqp.Publishers) }),
	gaugeOf("global_consumers", "Consumers.", func(n *rabbitNumbers) float64 { return float64(n.queues.consumers) }),

	gaugeOf("connections", "Open AMQP connections.", func(n *rabbitNumbers) float64 { return float64(n.amqp.Connections) }),
	churn("connections_opened", "AMQP connections that were opened.", func(c *amqp.Counts) int64 { return c.ConnectionsOpened }),
	churn("connections_closed", "AMQP connections that were closed.", func(c *amqp.Counts) int64 { return c.ConnectionsClosed }),
	gaugeOf("channels", "Open channels.", func(n *rabbitNumbers) float64 { return float64(n.amqp.Channels) }),
	churn("channels_opened", "Channels that were opened.", func(c *amqp.Counts) int64 { return c.ChannelsOpened }),
	churn("channels_closed", "Channels that were closed.", func(c *amqp.Counts) int64 { return c.ChannelsClosed }),
	gaugeOf("consumers", "Consumers.", func(n *rabbitNumbers) float64 { return float64(n.queues.consumers) }),
	gaugeOf("queues", "Queues.", func(n *rabbitNumbers) float64 { return float64(n.queues.count) }),
	churn("queues_declared", "Declarations of queues by AMQP, of those that exist too.", func(c *amqp.Counts) int64 { return c.Declared }),
	{"queues_created_total", "Queues that were created.", prometheus.CounterValue, func(n *rabbitNumbers) float64 {
		created, _ := n.broker.QueueChurn()
		return float64(created)
	}},
	{"queues_deleted_total", "Queues that were deleted.", prometheus.CounterValue, func(n *rabbitNumbers) float64 {
		_, deleted := n.broker.QueueChurn()
		return float64(deleted)
	}},

	gaugeOf("disk_space_available_bytes", "Free space of the disk that holds the data folder.", func(n *rabbitNumbers) float64 { return float64(n.diskFree) }),
	gaugeOf("alarms_free_disk_space_watermark", "1 while publishers are blocked because the disk is full.", func(n *rabbitNumbers) float64 { return truth(n.diskFull) }),
	gaugeOf("process_open_tcp_sockets", "Open AMQP connections.", func(n *rabbitNumbers) float64 { return float64(n.amqp.Connections) }),
	gaugeOf("process_max_tcp_sockets", "How many AMQP connections there may be.", func(*rabbitNumbers) float64 { return listen.MaxConnections }),
}

// queueFamilies are those that a queue has.
var queueFamilies = []struct {
	name, help string
	value      func(broker.QueueStats) int64
}{
	{"queue_messages_ready", "Messages that can be delivered.", func(s broker.QueueStats) int64 { return s.Ready }},
	{"queue_messages_unacked", "Messages that were delivered and not acknowledged.", func(s broker.QueueStats) int64 { return s.Unacked }},
	{"queue_messages", "Both together.", func(s broker.QueueStats) int64 { return s.Ready + s.Unacked }},
	{"queue_messages_bytes", "Size of their bodies.", func(s broker.QueueStats) int64 { return s.Bytes }},
	{"queue_consumers", "Consumers of a queue.", func(s broker.QueueStats) int64 { return s.Consumers }},
}

// maxObjects bounds the queues that a scrape lists one by one.
const maxObjects = 10_000

// rabbitCollector collects the families; perObject lists queues one by one.
type rabbitCollector struct {
	server    *server.Server
	perObject bool
}

// Describe sends nothing; see collector.
func (c *rabbitCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *rabbitCollector) Collect(ch chan<- prometheus.Metric) {
	b := c.server.Broker()
	if b == nil {
		return
	}
	emit := func(name, help string, kind prometheus.ValueType, v float64, labels prometheus.Labels) {
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("rabbitmq_"+name, help, nil, labels), kind, v)
	}
	node := fmt.Sprintf("polylog@node-%d", b.NodeID())
	emit("identity_info", "Who this is, to join by; always 1.", prometheus.GaugeValue, 1, prometheus.Labels{
		"rabbitmq_node": node, "rabbitmq_cluster": b.ClusterName(), "rabbitmq_cluster_permanent_id": uuid.UUID(b.ClusterID()).String(),
	})
	emit("build_info", "What runs; always 1.", prometheus.GaugeValue, 1, prometheus.Labels{
		"rabbitmq_version": amqp.DefaultVersion, "product_name": "Polylog", "product_version": c.server.Version(), "erlang_version": "",
	})
	n := &rabbitNumbers{broker: b}
	if s := c.server.AMQP(); s != nil {
		n.amqp = s.Counts()
	}
	h := b.Health()
	n.diskFree, n.diskFull = h.Free, h.State >= store.DiskFull
	c.collectQueues(n, emit)
	for i := range rabbitFamilies {
		f := &rabbitFamilies[i]
		emit(f.name, f.help, f.kind, f.value(n), nil)
	}
}

// collectQueues adds up the queues, and emits what is said of each or of all.
func (c *rabbitCollector) collectQueues(n *rabbitNumbers, emit func(name, help string, kind prometheus.ValueType, v float64, labels prometheus.Labels)) {
	var sums broker.QueueStats
	for tenant := range n.broker.Tenants() {
		for q := range n.broker.Queues(tenant) {
			if q.Definition() == nil {
				continue
			}
			s := q.Stats()
			sums.Ready += s.Ready
			sums.Unacked += s.Unacked
			sums.Bytes += s.Bytes
			sums.Consumers += s.Consumers
			if n.queues.count++; !c.perObject || n.queues.count > maxObjects {
				continue
			}
			labels := prometheus.Labels{"vhost": tenant, "queue": q.Name()}
			for _, f := range queueFamilies {
				emit(f.name, f.help, prometheus.GaugeValue, float64(f.value(s)), labels)
			}
		}
	}
	n.queues.ready, n.queues.unacked, n.queues.bytes, n.queues.consumers = sums.Ready, sums.Unacked, sums.Bytes, sums.Consumers
	for _, f := range queueFamilies {
		if !c.perObject {
			emit(f.name, f.help, prometheus.GaugeValue, float64(f.value(sums)), nil)
		}
	}
}

// perObject serves RabbitMQ's families with each queue by itself.
func perObject(s *server.Server) http.Handler {
	r := prometheus.NewRegistry()
	registerRabbit(r, &rabbitCollector{s, true})
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}

func registerRabbit(r prometheus.Registerer, c *rabbitCollector) {
	r.MustRegister(c)
	prometheus.WrapRegistererWithPrefix("rabbitmq_", r).MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}
