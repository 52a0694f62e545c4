package config

import (
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// A setting is one row of the table: its key, what it does, where it is kept
// and what it may be.
type setting struct {
	key   string
	doc   string
	field func(*Config) any // a pointer to the field
	check func(any) error   // nil: every value of the type is good
}

// settings is the table of everything that can be set, in the order in which
// it is shown.
var settings = []setting{
	{
		"data.dir", "folder that holds everything the server keeps; made if missing",
		func(c *Config) any { return &c.Data.Dir }, notEmpty,
	},
	{
		"data.shards", "data shards of a fresh data folder; afterwards the folder knows",
		func(c *Config) any { return &c.Data.Shards }, between(1, 1024),
	},

	{
		"kafka.listen", "address of the Kafka protocol; empty switches it off, port 0 takes a free one",
		func(c *Config) any { return &c.Kafka.Listen }, listenAddress,
	},
	{
		"kafka.advertise", "host:port that Kafka clients are told to connect to; empty: the address they came in by",
		func(c *Config) any { return &c.Kafka.Advertise }, advertisedAddress,
	},
	{
		"kafka.auto-create-topics", "create a topic when a client first names it (Kafka: auto.create.topics.enable)",
		func(c *Config) any { return &c.Kafka.AutoCreateTopics }, nil,
	},
	{
		"kafka.default-partitions", "partitions of a topic that does not say (Kafka: num.partitions)",
		func(c *Config) any { return &c.Kafka.DefaultPartitions }, between(1, 10_000),
	},
	{
		"kafka.group-initial-rebalance-delay", "how long a new consumer group waits for more members (Kafka: group.initial.rebalance.delay.ms)",
		func(c *Config) any { return &c.Kafka.GroupInitialRebalanceDelay }, atMost(time.Hour),
	},
	{
		"kafka.offsets-retention", "how long the offsets of a group without members are kept (Kafka: offsets.retention.minutes)",
		func(c *Config) any { return &c.Kafka.OffsetsRetention }, nil,
	},
	{
		"kafka.compaction-memory", "memory for the keys of the topic that is being compacted, 24 bytes each, and taken only then (Kafka: log.cleaner.dedupe.buffer.size)",
		func(c *Config) any { return &c.Kafka.CompactionMemory }, sizeBetween(1<<20, 64<<30),
	},
	{
		"kafka.tls-listen", "address of the Kafka protocol over TLS (usually port 9093); empty switches it off, port 0 takes a free one",
		func(c *Config) any { return &c.Kafka.TLS.Listen }, listenAddress,
	},
	{
		"kafka.tls-cert", "PEM file of its certificate, with those that lead to the authority; read again when it changes",
		func(c *Config) any { return &c.Kafka.TLS.Cert }, nil,
	},
	{
		"kafka.tls-key", "PEM file of the certificate's key",
		func(c *Config) any { return &c.Kafka.TLS.Key }, nil,
	},
	{
		"kafka.tls-client-ca", "PEM file of the authorities of clients' certificates: who has none is refused; empty: none are asked for",
		func(c *Config) any { return &c.Kafka.TLS.ClientCA }, nil,
	},
	{
		"kafka.tls-advertise", "host:port that Kafka clients that came in by TLS are told to connect to; empty: the address they came in by",
		func(c *Config) any { return &c.Kafka.TLSAdvertise }, advertisedAddress,
	},

	{
		"amqp.listen", "address of the AMQP 0-9-1 protocol; empty switches it off, port 0 takes a free one",
		func(c *Config) any { return &c.AMQP.Listen }, listenAddress,
	},
	{
		"amqp.product", "what AMQP clients are told the server is; several choose their behaviour by it",
		func(c *Config) any { return &c.AMQP.Product }, notEmpty,
	},
	{
		"amqp.product-version", "and of which version: digits and dots",
		func(c *Config) any { return &c.AMQP.ProductVersion }, versionNumber,
	},
	{
		"amqp.tls-listen", "address of the AMQP protocol over TLS (usually port 5671); empty switches it off, port 0 takes a free one",
		func(c *Config) any { return &c.AMQP.TLS.Listen }, listenAddress,
	},
	{
		"amqp.tls-cert", "PEM file of its certificate, with those that lead to the authority; read again when it changes",
		func(c *Config) any { return &c.AMQP.TLS.Cert }, nil,
	},
	{
		"amqp.tls-key", "PEM file of the certificate's key",
		func(c *Config) any { return &c.AMQP.TLS.Key }, nil,
	},
	{
		"amqp.tls-client-ca", "PEM file of the authorities of clients' certificates: who has one may log in with EXTERNAL, see amqp.tls-login-from; empty: none are asked for",
		func(c *Config) any { return &c.AMQP.TLS.ClientCA }, nil,
	},
	{
		"amqp.tls-login-from", "offer EXTERNAL, with this part of a client's certificate as the user's name: distinguished_name, common_name or none (RabbitMQ: ssl_cert_login_from)",
		func(c *Config) any { return &c.AMQP.LoginFrom }, oneOf("none", "distinguished_name", "common_name"),
	},

	{
		"http.listen", "address of health, metrics and the HTTP API; empty switches it off, port 0 takes a free one",
		func(c *Config) any { return &c.HTTP.Listen }, listenAddress,
	},
	{
		"http.tls-listen", "address of the same over TLS (usually port 15671); empty switches it off, port 0 takes a free one",
		func(c *Config) any { return &c.HTTP.TLS.Listen }, listenAddress,
	},
	{
		"http.tls-cert", "PEM file of its certificate, with those that lead to the authority; read again when it changes",
		func(c *Config) any { return &c.HTTP.TLS.Cert }, nil,
	},
	{
		"http.tls-key", "PEM file of the certificate's key",
		func(c *Config) any { return &c.HTTP.TLS.Key }, nil,
	},
	{
		"http.tls-client-ca", "PEM file of the authorities of clients' certificates: who has none is refused; empty: none are asked for",
		func(c *Config) any { return &c.HTTP.TLS.ClientCA }, nil,
	},

	{
		"disk.warn-free", "warn when less than this is free on the disk of data.dir; 0: a tenth of the disk, at most 8GiB",
		func(c *Config) any { return &c.Disk.WarnFree }, nil,
	},
	{
		"disk.refuse-free", "refuse produces, and nothing else, when less than this is free; 0: a 25th of the disk, at most 1GiB",
		func(c *Config) any { return &c.Disk.RefuseFree }, nil,
	},

	{
		"log.level", "debug, info, warn or error",
		func(c *Config) any { return &c.Log.Level }, oneOf("debug", "info", "warn", "error"),
	},
	{
		"log.format", "text or json",
		func(c *Config) any { return &c.Log.Format }, oneOf("text", "json"),
	},

	{
		"insecure", "let listeners without authentication bind addresses that other machines can reach",
		func(c *Config) any { return &c.Insecure }, nil,
	},
}

// spelling turns a key into one of the names it goes by.
type spelling func(key string) string

func asKey(key string) string { return key }

// flagName spells the command line: --kafka-listen.
func flagName(key string) string { return strings.ReplaceAll(key, ".", "-") }

// envName spells the environment variable: POLYLOG_KAFKA_LISTEN.
func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

// keyBy returns the key that is spelled like name, "" if there is none.
func keyBy(spell spelling, name string) string {
	for _, s := range settings {
		if spell(s.key) == name {
			return s.key
		}
	}
	return ""
}

const (
	envPrefix = "POLYLOG_"
	// envFile names the configuration file, like the flag --config.
	envFile  = envPrefix + "CONFIG"
	flagFile = "config"
)

func find(key string) *setting {
	for i := range settings {
		if settings[i].key == key {
			return &settings[i]
		}
	}
	return nil
}

// AddFlags registers a flag for every setting, and --config.
func AddFlags(fs *pflag.FlagSet) {
	fs.String(flagFile, "", "YAML file with settings")
	defaults := Default()
	for _, s := range settings {
		f := fs.VarPF(newFlagValue(s.field(&defaults)), flagName(s.key), "", s.doc)
		if f.Value.Type() == "bool" {
			f.NoOptDefVal = "true"
		}
	}
}
