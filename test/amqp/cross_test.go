package amqp

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/polylog-mq/polylog/test/harness"
)

// run runs a command of the binary, which must end well and say what is wanted.
func run(t *testing.T, s *harness.Server, says string, args ...string) {
	t.Helper()
	out, errs, code := s.CLI("", args...)
	if code != 0 || !strings.Contains(out, says) {
		t.Fatalf("polylog %s: exit %d, %s%s", strings.Join(args, " "), code, out, errs)
	}
}

// read reads n different values that a Kafka client gets, each once.
func read(t *testing.T, k *kgo.Client, n int) map[string]bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	seen := map[string]bool{}
	for len(seen) < n {
		fetches := k.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", len(seen), n, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if seen[string(r.Value)] {
				t.Errorf("%s comes twice", r.Value)
			}
			seen[string(r.Value)] = true
		})
	}
	return seen
}

// drain takes n messages from workers, each once, and rejects those that it is
// told to.
func drain(t *testing.T, n int, reject func(body string) bool, workers ...<-chan amqp.Delivery) {
	t.Helper()
	seen := map[string]bool{}
	late := time.After(limit)
	for len(seen) < n {
		var d amqp.Delivery
		select {
		case d = <-workers[0]:
		case d = <-workers[len(workers)-1]:
		case <-late:
			t.Fatalf("%d of %d messages came", len(seen), n)
		}
		if seen[string(d.Body)] {
			t.Errorf("%s comes twice", d.Body)
		}
		seen[string(d.Body)] = true
		if reject(string(d.Body)) {
			_ = d.Reject(false) // a broken connection shows in what is missing
		} else {
			_ = d.Ack(false)
		}
	}
}

func never(string) bool { return false }

// TestKafkaTopicDrainedByWorkers: AMQP's workers share a Kafka topic of several
// partitions while a consumer group reads it; what they reject is dead-lettered
// by a policy, redriven into the topic from the command line, and read by both.
func TestKafkaTopicDrainedByWorkers(t *testing.T) {
	s := harness.Start(t)
	run(t, s, "created", "topic", "create", "events", "-p", "4")
	run(t, s, "", "policy", "set", "events-dead", "^events$", "dead-letter-exchange=", "dead-letter-routing-key=dead")
	c := dial(t, s)
	ch := channel(t, c)
	declare(t, ch, "dead", nil)
	declare(t, ch, "events", nil) // as frameworks do
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	group := kafka(t, s, kgo.ConsumeTopics("events"), kgo.ConsumerGroup("readers"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	const n = 400
	var records []*kgo.Record
	for i := range n {
		records = append(records, &kgo.Record{Topic: "events", Key: fmt.Append(nil, "user ", i%50), Value: fmt.Append(nil, i)})
	}
	if err := kafka(t, s).ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	a, b := consume(t, channel(t, c), "events", 3), consume(t, channel(t, c), "events", 20)
	drain(t, n, func(body string) bool { return strings.HasSuffix(body, "7") }, a, b)
	read(t, group, n)
	for q := (amqp.Queue{}); q.Messages < n/10; {
		var err error
		if q, err = ch.QueueDeclarePassive("dead", true, false, false, false, nil); err != nil || ctx.Err() != nil {
			t.Fatalf("%d dead letters, %v", q.Messages, err)
		}
	}
	run(t, s, fmt.Sprint(n/10), "queue", "redrive", "dead", "--to", "events")
	drain(t, n/10, never, a, b)
	for value := range read(t, group, n/10) {
		if !strings.HasSuffix(value, "7") {
			t.Errorf("%s was redriven", value)
		}
	}
}

// TestQueueReplayedWhileWorkersDrain: a queue that keeps its messages is replayed
// from the start by a consumer group while workers drain it, and after.
func TestQueueReplayedWhileWorkersDrain(t *testing.T) {
	s := harness.Start(t)
	run(t, s, "", "policy", "set", "keep", "^orders$", "retention-ms=3600000")
	c := dial(t, s)
	ch := channel(t, c)
	declare(t, ch, "orders", nil)
	ds := consume(t, channel(t, c), "orders", 20)
	const n = 2000
	publish(t, channel(t, c), "orders", bodies(n)...)
	group := kafka(t, s, kgo.ConsumeTopics("orders"), kgo.ConsumerGroup("audit"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	drain(t, n, never, ds)
	read(t, group, n)
	if q, err := ch.QueueDeclarePassive("orders", true, false, false, false, nil); err != nil || q.Messages != 0 {
		t.Errorf("%d messages are left, %v", q.Messages, err)
	}
	read(t, kafka(t, s, kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), n)
}

// TestDeadLettersRedrivenAcross: what AMQP's workers have rejected goes to a topic
// where Kafka's clients read it, and from the command line back to work.
func TestDeadLettersRedrivenAcross(t *testing.T) {
	s := harness.Start(t)
	ch := channel(t, dial(t, s))
	declare(t, ch, "graveyard", nil)
	declare(t, ch, "jobs", amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "graveyard"})
	publish(t, ch, "jobs", bodies(10)...)
	jobs := consume(t, ch, "jobs", 10)
	drain(t, 10, func(string) bool { return true }, jobs)
	read(t, kafka(t, s, kgo.ConsumeTopics("graveyard"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), 10)
	run(t, s, "10", "queue", "redrive", "graveyard", "--to", "jobs")
	drain(t, 10, never, jobs)
}
