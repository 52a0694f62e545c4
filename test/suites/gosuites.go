package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// kgo is the integration tests of the Go client franz-go: chains of producers,
// groups and transactions that check that each record arrives once.
func kgo() suite {
	return suite{
		name: "kgo", about: "franz-go v1.22.2, pkg/kgo", needs: []tool{toolGo},
		run: func(e *env, skipped []string) (results, error) {
			dir, err := e.goModule("github.com/twmb/franz-go@v1.22.2")
			if err != nil {
				return nil, err
			}
			return e.serving(func(s *server) (results, error) {
				// The chains of TestGroupETL and TestTxnEtl take a place among four
				// before they run and give it back themselves: one that go test
				// skips keeps its place, and soon all wait. These skip themselves.
				skipped = slices.DeleteFunc(skipped, func(name string) bool { return strings.Contains(name, "/") })
				environ := []string{"KGO_SEEDS=" + s.kafka, "KGO_TEST_RF=1", "KGO_TEST_RECORDS=50000"}
				return e.goTest(filepath.Join(dir, "pkg", "kgo"), environ, skipped)
			})
		},
	}
}

// librdkafka is the integration tests of confluent-kafka-go, which is
// librdkafka in Go's clothes.
func librdkafka() suite {
	return suite{
		name: "librdkafka", about: "confluent-kafka-go v2.11.1, with librdkafka inside", needs: []tool{toolGo, toolGCC},
		run: func(e *env, skipped []string) (results, error) {
			dir, err := e.goModule("github.com/confluentinc/confluent-kafka-go/v2@v2.11.1")
			if err != nil {
				return nil, err
			}
			dir = filepath.Join(dir, "kafka")
			return e.serving(func(s *server) (results, error) {
				const topic = "test"
				if err := e.topic(s, topic, 3); err != nil {
					return nil, err
				}
				config, err := json.Marshal(map[string]any{
					"Brokers": s.kafka, "TopicName": topic, "GroupID": "testgroup", "PerfMsgCount": 100,
				})
				if err != nil {
					return nil, fmt.Errorf("write testconf.json: %w", err)
				}
				if err := os.WriteFile(filepath.Join(dir, "testconf.json"), config, 0o644); err != nil {
					return nil, fmt.Errorf("write testconf.json: %w", err)
				}
				// cgo finds librdkafka beside the Go files.
				return e.goTest(dir, []string{"CGO_ENABLED=1"}, skipped, e.only("^(TestIntegration|TestTransactional.*)$")...)
			})
		},
	}
}

// kafkago is the tests of segmentio's client. They have the address
// localhost:9092 in them, so no other server may be there.
func kafkago() suite {
	return suite{
		name: "kafkago", about: "segmentio/kafka-go v0.4.51, on port 9092", needs: []tool{toolGo},
		run: func(e *env, skipped []string) (results, error) {
			dir, err := e.goModule("github.com/segmentio/kafka-go@v0.4.51")
			if err != nil {
				return nil, err
			}
			return e.serving(func(*server) (results, error) {
				// Its go.sum does not name all that its tests need.
				return e.goTest(dir, []string{"GOFLAGS=-mod=mod", "KAFKA_VERSION=" + kafkaVersion}, skipped)
			}, "--kafka-listen", "127.0.0.1:9092", "--kafka-advertise", "localhost:9092")
		},
	}
}

// amqp091 is the integration tests of the Go client that RabbitMQ's makers keep.
// They drop connections through the management API, whose port, 15672, they have
// in them, so no other server may be there.
func amqp091() suite {
	return suite{
		name: "amqp091", about: "rabbitmq/amqp091-go v1.16.0, with the management API on port 15672", needs: []tool{toolGo},
		run: func(e *env, skipped []string) (results, error) {
			dir, err := e.goModule("github.com/rabbitmq/amqp091-go@v1.16.0")
			if err != nil {
				return nil, err
			}
			return e.serving(func(s *server) (results, error) {
				environ := []string{"AMQP_URL=amqp://guest:guest@" + s.amqp + "/"}
				return e.goTest(dir, environ, skipped, "-tags", "integration")
			}, "--http-listen", "localhost:15672")
		},
	}
}

// only returns the arguments that choose tests, unless -run does.
func (e *env) only(match string) []string {
	if e.match != "" {
		return nil
	}
	return []string{"-run", match}
}

// functions returns the names of the test functions in the files that match.
func functions(glob string) ([]string, error) {
	files, err := filepath.Glob(glob)
	if err != nil {
		return nil, fmt.Errorf("find tests: %w", err)
	}
	var names []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("find tests: %w", err)
		}
		for _, m := range testFunction.FindAllSubmatch(text, -1) {
			if name := string(m[1]); name != "TestMain" {
				names = append(names, name)
			}
		}
	}
	if names == nil {
		return nil, fmt.Errorf("find tests: none in %s", glob)
	}
	return names, nil
}

var testFunction = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
