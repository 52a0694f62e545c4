package kafka

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/state/dedup"
	"github.com/polylog-mq/polylog/internal/state/group"
	"github.com/polylog-mq/polylog/internal/state/topic"
	"github.com/polylog-mq/polylog/internal/state/txn"
)

// brokerSettings returns what this broker shows of its own settings, under the
// names that Kafka has for them: those that mean something here, with the values
// in force, and the defaults of topics.
func (c *call) brokerSettings(self string) []setting {
	out := slices.Concat(c.nodeSettings(self), c.coordinatorSettings())
	for d := range topic.ConfigDefs() {
		if d.Synonym == "" {
			continue
		}
		out = append(out, setting{
			name: d.Synonym, value: d.Default, kind: kmsg.ConfigType(d.Type), readOnly: true,
			source:   kmsg.ConfigSourceDefaultConfig,
			synonyms: []synonym{{d.Synonym, d.Default, kmsg.ConfigSourceDefaultConfig}},
			doc:      "The default of topics: " + d.Doc,
		})
	}
	slices.SortFunc(out, func(a, b setting) int { return strings.Compare(a.name, b.name) })
	return out
}

// nodeSettings are those of the node, its connections and its topics.
func (c *call) nodeSettings(self string) []setting {
	b := c.server.opts.Broker
	return []setting{
		fixed("advertised.listeners", c.advertised(), topic.TypeList, "Where clients are told to connect to."),
		fixed("auto.create.topics.enable", strconv.FormatBool(b.AutoCreateTopics()), topic.TypeBoolean,
			"Whether a topic is made when it is first asked for."),
		fixed("broker.id", self, topic.TypeInt, "The number of this node."),
		fixed("connections.max.idle.ms", millis(c.server.times.idle), topic.TypeLong,
			"How long a connection may be silent before it is closed, in ms."),
		fixed("default.replication.factor", "1", topic.TypeInt, "The number of replicas of a topic that does not say."),
		fixed("delete.topic.enable", "true", topic.TypeBoolean, "Whether topics can be deleted."),
		fixed("log.cleaner.backoff.ms", "15000", topic.TypeLong,
			"How long Kafka's cleaner sleeps when there is nothing to do, in ms. Polylog rewrites when it pays."),
		fixed("log.cleaner.dedupe.buffer.size", strconv.FormatInt(c.server.opts.CompactionMemory, 10), topic.TypeLong,
			"The memory for the keys of the topic that is being compacted, in bytes."),
		fixed("log.cleaner.enable", "true", topic.TypeBoolean, "Whether compacted topics are compacted."),
		fixed("log.dirs", c.server.opts.DataDir, topic.TypeList, "The folder of this node's data."),
		fixed("max.incremental.fetch.session.cache.slots", strconv.Itoa(maxFetchSessions), topic.TypeInt,
			"How many fetch sessions are kept."),
		fixed("max.request.partition.size.limit", strconv.Itoa(maxDescribedPartitions), topic.TypeInt,
			"How many partitions one answer to DescribeTopicPartitions tells of."),
		fixed("node.id", self, topic.TypeInt, "The number of this node."),
		fixed("num.partitions", strconv.Itoa(int(b.DefaultPartitions())), topic.TypeInt,
			"The number of partitions of a topic that does not say."),
		fixed("process.roles", "broker,controller", topic.TypeList, "What this node does: everything."),
		fixed("socket.request.max.bytes", strconv.Itoa(maxProduceFrame), topic.TypeInt, "The largest request, in bytes."),
	}
}

// advertised returns where the client is told to connect to for this node, as
// Kafka writes it.
func (c *call) advertised() string {
	self := int32(c.server.opts.Broker.NodeID())
	for _, e := range c.endpoints() {
		if e.Node == self {
			return c.securityProtocol() + "://" + net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
		}
	}
	return ""
}

// coordinatorSettings are those of groups, producers and transactions.
func (c *call) coordinatorSettings() []setting {
	groups := c.server.opts.Broker.GroupSettings()
	return []setting{
		fixed("group.initial.rebalance.delay.ms", strconv.Itoa(int(groups.InitialDelay)), topic.TypeInt,
			"How long an empty group waits for more members after the first, in ms."),
		fixed("group.max.session.timeout.ms", strconv.Itoa(group.MaxSessionTimeout), topic.TypeInt,
			"The longest session timeout that a member may ask for, in ms."),
		fixed("group.max.size", strconv.Itoa(int(groups.MaxSize)), topic.TypeInt, "How many members a group takes."),
		fixed("group.min.session.timeout.ms", strconv.Itoa(group.MinSessionTimeout), topic.TypeInt,
			"The shortest session timeout that a member may ask for, in ms."),
		fixed("offset.metadata.max.bytes", strconv.Itoa(group.MaxOffsetMetadata), topic.TypeInt,
			"The longest text beside a committed offset, in bytes."),
		fixed("offsets.retention.minutes", strconv.FormatInt(groups.Retention/time.Minute.Milliseconds(), 10), topic.TypeInt,
			"How long offsets are kept once their group is empty, in minutes."),
		fixed("producer.id.expiration.ms", strconv.Itoa(dedup.ExpiryMs), topic.TypeInt,
			"How long a silent idempotent producer is remembered, in ms."),
		fixed("transaction.max.timeout.ms", strconv.Itoa(txn.MaxTimeout), topic.TypeInt,
			"The longest time that a transaction may ask for, in ms."),
		fixed("transaction.two.phase.commit.enable", "false", topic.TypeBoolean,
			"Whether transactions may be kept prepared (KIP-939)."),
		fixed("transactional.id.expiration.ms", strconv.Itoa(txn.ExpiryMs), topic.TypeInt,
			"How long a transactional id is kept after its last transaction, in ms."),
	}
}

// fixed is a setting that can only be looked at.
func fixed(name, value string, kind topic.ConfigType, doc string) setting {
	return setting{
		name: name, value: value, kind: kmsg.ConfigType(kind), doc: doc, readOnly: true,
		source:   kmsg.ConfigSourceStaticBrokerConfig,
		synonyms: []synonym{{name, value, kmsg.ConfigSourceStaticBrokerConfig}},
	}
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
