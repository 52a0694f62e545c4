// Package config gathers the server's settings from their defaults, a YAML
// file, the environment and the command line, in this order, the later
// winning.
//
// A setting has one name, spelled mechanically: the key kafka.listen is the
// flag --kafka-listen, the variable POLYLOG_KAFKA_LISTEN and the YAML key
// kafka.listen (nested or dotted). A name that does not exist is an error, not
// a setting that silently does nothing.
package config

import "time"

// Config is every setting of the server. Fields are documented where users read
// about them: in the table in settings.go.
type Config struct {
	Data struct {
		Dir    string
		Shards int
	}
	Kafka struct {
		Listen                     string
		Advertise                  string
		AutoCreateTopics           bool
		DefaultPartitions          int
		GroupInitialRebalanceDelay time.Duration
		OffsetsRetention           time.Duration
		CompactionMemory           Size
		TLS                        TLS
		TLSAdvertise               string
	}
	AMQP struct {
		Listen         string
		Product        string
		ProductVersion string
		TLS            TLS
		LoginFrom      string
	}
	HTTP struct {
		Listen string
		TLS    TLS
	}
	Disk struct {
		WarnFree   Size
		RefuseFree Size
	}
	Log struct {
		Level  string
		Format string
	}
	Insecure bool
}

// TLS is a protocol's listener with TLS.
type TLS struct {
	Listen              string
	Cert, Key, ClientCA string
}

// Default returns the settings of a server started without any.
func Default() Config {
	var c Config
	c.Data.Dir = "./polylog-data"
	c.Data.Shards = 16
	c.Kafka.Listen = "localhost:9092"
	c.Kafka.AutoCreateTopics = true
	c.Kafka.DefaultPartitions = 1
	c.Kafka.OffsetsRetention = 7 * 24 * time.Hour
	c.Kafka.CompactionMemory = 128 << 20
	c.AMQP.Listen = "localhost:5672"
	c.AMQP.Product = "RabbitMQ"
	c.AMQP.ProductVersion = "3.13.7"
	c.AMQP.LoginFrom = "none"
	c.HTTP.Listen = "localhost:15672"
	c.Log.Level = "info"
	c.Log.Format = "text"
	return c
}
