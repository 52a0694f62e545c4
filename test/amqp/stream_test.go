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

// replay begins a consumer of a stream.
func replay(t *testing.T, ch *amqp.Channel, stream string, prefetch int, args amqp.Table) <-chan amqp.Delivery {
	t.Helper()
	if err := ch.Qos(prefetch, 0, false); err != nil {
		t.Fatal(err)
	}
	ds, err := ch.Consume(stream, "", false, false, false, false, args)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

// TestStreamReadByMany: consumers of AMQP read a stream from where they want to,
// while it is written and again, and Kafka's clients read it and write into it.
func TestStreamReadByMany(t *testing.T) {
	s := harness.Start(t)
	c := dial(t, s)
	ch := channel(t, c)
	declare(t, ch, "log", amqp.Table{"x-queue-type": "stream", "x-max-age": "7D", "x-max-length-bytes": int64(1) << 30})
	all := bodies(20_000)
	early := replay(t, channel(t, c), "log", 100, amqp.Table{"x-stream-offset": "next"})
	go func() {
		publisher, err := dial(t, s).Channel()
		if err != nil {
			t.Error(err)
			return
		}
		publish(t, publisher, "log", all...)
	}()
	whole := func(ds <-chan amqp.Delivery, first int) {
		t.Helper()
		for i := first; i < len(all); i++ {
			d := next(t, ds)
			if string(d.Body) != all[i] || d.Headers["x-stream-offset"] != int64(i) || d.Redelivered {
				t.Fatalf("message %d is %q at %v", i, d.Body, d.Headers["x-stream-offset"])
			}
			if i%50 == 49 {
				if err := d.Ack(true); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	whole(early, 0)
	whole(replay(t, channel(t, c), "log", 100, amqp.Table{"x-stream-offset": "first"}), 0)
	whole(replay(t, channel(t, c), "log", 100, amqp.Table{"x-stream-offset": int64(12_345)}), 12_345)
	whole(replay(t, channel(t, c), "log", 100, amqp.Table{"x-stream-offset": time.Now().Add(-time.Hour)}), 0)

	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	k := kafka(t, s, kgo.ConsumeTopics("log"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for n := 0; n < len(all); {
		fetches := k.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if string(r.Value) != all[n] {
				t.Fatalf("Kafka reads %q at %d", r.Value, n)
			}
			n++
		})
	}
	tail := replay(t, channel(t, c), "log", 1, amqp.Table{"x-stream-offset": "next"})
	if err := k.ProduceSync(ctx, &kgo.Record{Topic: "log", Key: []byte("k"), Value: []byte("from Kafka")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if d := next(t, tail); string(d.Body) != "from Kafka" || d.Headers["key"] != "k" {
		t.Errorf("%q with %v", d.Body, d.Headers)
	}
	if n, err := ch.QueueDelete("log", false, false, false); err != nil || n != len(all)+1 {
		t.Errorf("%d messages were deleted: %v", n, err)
	}
	if _, ok := <-tail; ok {
		t.Error("a delivery after the end")
	}
}

// TestTopicReadAsStream: a topic of Kafka's is read by offset and nothing is taken
// from it, until somebody consumes it as a worker.
func TestTopicReadAsStream(t *testing.T) {
	s := harness.Start(t)
	k := kafka(t, s, kgo.DefaultProduceTopic("events"))
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var records []*kgo.Record
	for i := range 1000 {
		records = append(records, &kgo.Record{Value: []byte(fmt.Sprint(i, " ", strings.Repeat("x", 100)))})
	}
	if err := k.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	c := dial(t, s)
	for range 2 {
		ds := replay(t, channel(t, c), "events", 2000, amqp.Table{"x-stream-offset": "first"})
		for i := range 1000 {
			if d := next(t, ds); string(d.Body) != string(records[i].Value) {
				t.Fatalf("message %d is %q", i, d.Body)
			}
		}
	}
	worker := consume(t, channel(t, c), "events", 10)
	if d := next(t, worker); string(d.Body) != string(records[0].Value) {
		t.Errorf("a worker gets %q", d.Body)
	}
}
