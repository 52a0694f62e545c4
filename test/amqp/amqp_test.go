// Package amqp drives the real binary with a real client of RabbitMQ.
package amqp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/polylog-mq/polylog/test/harness"
)

// limit is how long anything may take.
const limit = 30 * time.Second

func dial(t *testing.T, s *harness.Server) *amqp.Connection {
	t.Helper()
	c, err := amqp.Dial(s.AMQP())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // the test may have closed it, or killed the server
	return c
}

func channel(t *testing.T, c *amqp.Connection) *amqp.Channel {
	t.Helper()
	ch, err := c.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

func declare(t *testing.T, ch *amqp.Channel, name string, args amqp.Table) {
	t.Helper()
	if _, err := ch.QueueDeclare(name, true, false, false, false, args); err != nil {
		t.Fatal(err)
	}
}

// publish publishes bodies through the default exchange and waits for the
// confirms.
func publish(t *testing.T, ch *amqp.Channel, queue string, bodies ...string) {
	t.Helper()
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var confirms []*amqp.DeferredConfirmation
	for _, body := range bodies {
		c, err := ch.PublishWithDeferredConfirm("", queue, true, false, amqp.Publishing{
			DeliveryMode: amqp.Persistent, ContentType: "text/plain", Headers: amqp.Table{"n": int32(len(body))}, Body: []byte(body),
		})
		if err != nil {
			t.Fatal(err)
		}
		confirms = append(confirms, c)
	}
	for i, c := range confirms {
		if ok, err := c.WaitContext(ctx); !ok || err != nil {
			t.Fatalf("publish %d: confirmed %v, %v", i, ok, err)
		}
	}
}

// consume begins to consume with acknowledgements.
func consume(t *testing.T, ch *amqp.Channel, queue string, prefetch int) <-chan amqp.Delivery {
	t.Helper()
	if err := ch.Qos(prefetch, 0, false); err != nil {
		t.Fatal(err)
	}
	ds, err := ch.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

// next returns the next delivery.
func next(t *testing.T, ds <-chan amqp.Delivery) amqp.Delivery {
	t.Helper()
	select {
	case d, ok := <-ds:
		if !ok {
			t.Fatal("the consumer has ended")
		}
		return d
	case <-time.After(limit):
		t.Fatal("no delivery comes")
	}
	return amqp.Delivery{}
}

func bodies(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint("message ", i)
	}
	return all
}

func TestPublishConfirmConsume(t *testing.T) {
	s := harness.Start(t)
	c := dial(t, s)
	ch := channel(t, c)
	declare(t, ch, "q", nil)
	all := bodies(20_000)
	ds := consume(t, channel(t, c), "q", 100)
	go func() {
		publisher, err := c.Channel()
		if err != nil {
			t.Error(err)
			return
		}
		publish(t, publisher, "q", all...)
	}()
	for i, body := range all {
		d := next(t, ds)
		if string(d.Body) != body || d.Redelivered || d.DeliveryTag != uint64(i+1) {
			t.Fatalf("delivery %d is %q with tag %d, redelivered %v", i, d.Body, d.DeliveryTag, d.Redelivered)
		}
		if i%10 == 9 {
			if err := d.Ack(true); err != nil {
				t.Fatal(err)
			}
		}
	}
	if q, err := ch.QueueDeclarePassive("q", true, false, false, false, nil); err != nil || q.Messages != 0 {
		t.Errorf("%d messages are left, err %v", q.Messages, err)
	}
}

// TestLargeMessages: a body of every size comes back, however many frames it has.
func TestLargeMessages(t *testing.T) {
	s := harness.Start(t)
	ch := channel(t, dial(t, s))
	declare(t, ch, "q", nil)
	ds := consume(t, ch, "q", 2)
	for _, n := range []int{0, 1, 131_064, 131_065, 1 << 20, 16 << 20} {
		publish(t, ch, "q", string(make([]byte, n)))
		d := next(t, ds)
		if len(d.Body) != n {
			t.Errorf("%d bytes came back as %d", n, len(d.Body))
		}
		if err := d.Ack(false); err != nil {
			t.Fatal(err)
		}
	}
}

func kafka(t *testing.T, s *harness.Server, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.Kafka()), kgo.AllowAutoTopicCreation()}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestQueueReadByKafka: what workers have not settled yet, Kafka's clients read
// from the start, with readable headers; and what they produce, workers get.
func TestQueueReadByKafka(t *testing.T) {
	s := harness.Start(t)
	ch := channel(t, dial(t, s))
	declare(t, ch, "orders", nil)
	publish(t, ch, "orders", "one", "two", "three")
	k := kafka(t, s, kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var got []string
	for len(got) < 3 {
		fetches := k.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			headers := map[string]string{}
			for _, h := range r.Headers {
				headers[h.Key] = string(h.Value)
			}
			if headers["content-type"] != "text/plain" || headers["n"] != fmt.Sprint(len(r.Value)) || headers["amqp.routing-key"] != "orders" {
				t.Errorf("%s has the headers %v", r.Value, headers)
			}
			got = append(got, string(r.Value))
		})
	}
	record := &kgo.Record{
		Topic: "orders", Key: []byte("user-1"), Value: []byte("four"), Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte("abc")}},
	}
	if err := k.ProduceSync(ctx, record).FirstErr(); err != nil {
		t.Fatal(err)
	}
	ds := consume(t, ch, "orders", 10)
	for _, body := range []string{"one", "two", "three", "four"} {
		d := next(t, ds)
		if string(d.Body) != body {
			t.Fatalf("got %q instead of %q", d.Body, body)
		}
		if body == "four" && (d.Headers["key"] != "user-1" || d.Headers["trace"] != "abc" || d.RoutingKey != "orders") {
			t.Errorf("Kafka's record has the headers %v and the key %q", d.Headers, d.RoutingKey)
		}
		if err := d.Ack(false); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTopicDrainedByWorkers: records of a Kafka topic go to one worker each.
func TestTopicDrainedByWorkers(t *testing.T) {
	s := harness.Start(t)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	k := kafka(t, s)
	const n = 100
	for i := range n {
		if err := k.ProduceSync(ctx, &kgo.Record{Topic: "events", Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	c := dial(t, s)
	a, b := consume(t, channel(t, c), "events", 5), consume(t, channel(t, c), "events", 5)
	seen := map[string]int{}
	for range n {
		var d amqp.Delivery
		select {
		case d = <-a:
		case d = <-b:
		case <-ctx.Done():
			t.Fatalf("only %d of %d came", len(seen), n)
		}
		seen[string(d.Body)]++
		if err := d.Ack(false); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != n {
		t.Errorf("%d different records in %d deliveries", len(seen), n)
	}
}

// TestDeadLettersAndRetry: a message that is rejected goes where the queue says,
// with its history.
func TestDeadLettersAndRetry(t *testing.T) {
	s := harness.Start(t)
	ch := channel(t, dial(t, s))
	declare(t, ch, "grave", nil)
	declare(t, ch, "work", amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "grave"})
	publish(t, ch, "work", "poison")
	work := consume(t, ch, "work", 1)
	d := next(t, work)
	if err := d.Nack(false, true); err != nil {
		t.Fatal(err)
	}
	grave := consume(t, ch, "grave", 1)
	if d = next(t, work); !d.Redelivered {
		t.Error("the message is not marked as redelivered")
	}
	if err := d.Reject(false); err != nil {
		t.Fatal(err)
	}
	d = next(t, grave)
	deaths, ok := d.Headers["x-death"].([]any)
	if !ok || len(deaths) != 1 || d.Headers["x-first-death-queue"] != "work" || string(d.Body) != "poison" {
		t.Errorf("%q has the headers %v", d.Body, d.Headers)
	}
}

// deaf is a connection whose client reads nothing more once it is told so.
type deaf struct {
	net.Conn
	now atomic.Bool
	end chan struct{}
}

func (d *deaf) Read(b []byte) (int, error) {
	n, err := d.Conn.Read(b)
	if d.now.Load() && err == nil {
		<-d.end
	}
	return n, err
}

// TestStopWithADeafClient: a client that does not answer holds up a server that
// stops, but not for a second, and what was settled before stays settled.
func TestStopWithADeafClient(t *testing.T) {
	s := harness.Start(t)
	var conn *deaf
	c, err := amqp.DialConfig(s.AMQP(), amqp.Config{Dial: func(network, address string) (net.Conn, error) {
		plain, err := net.Dial(network, address)
		conn = &deaf{Conn: plain, end: make(chan struct{})}
		return conn, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	ch := channel(t, c)
	declare(t, ch, "work", nil)
	const messages = 20
	publish(t, ch, "work", bodies(messages)...)
	deliveries := consume(t, ch, "work", messages)
	for range messages {
		next(t, deliveries)
	}
	conn.now.Store(true)
	if err := ch.Ack(messages, true); err != nil {
		t.Fatal(err)
	}
	// A stop that overtakes the ack settles nothing.
	for begun := time.Now(); ; {
		out, errs, code := s.CLI("", "queue", "describe", "work", "--http", s.HTTP(), "-o", "json")
		if code != 0 || time.Since(begun) > limit {
			t.Fatalf("%s%s", out, errs)
		}
		if strings.Contains(out, `"unacked": 0`) {
			break
		}
	}
	if took := s.Stop(); took > time.Second {
		t.Errorf("stopping took %s", took)
	}
	if strings.Contains(s.Log(), "level=WARN") {
		t.Errorf("the server says %s", s.Log())
	}
	close(conn.end)
	s.Restart()
	if d, ok, err := channel(t, dial(t, s)).Get("work", true); ok || err != nil {
		t.Errorf("there is %q again, %v", d.Body, err)
	}
}

// TestStoppingServerTellsItsClients.
func TestStoppingServerTellsItsClients(t *testing.T) {
	s := harness.Start(t)
	c := dial(t, s)
	closed := c.NotifyClose(make(chan *amqp.Error, 1))
	s.Stop()
	select {
	case err := <-closed:
		if err == nil || err.Code != amqp.ConnectionForced {
			t.Errorf("told %v", err)
		}
	case <-time.After(limit):
		t.Error("the client is not told")
	}
	if _, err := amqp.Dial(s.AMQP()); err == nil || errors.Is(err, amqp.ErrClosed) {
		t.Errorf("a stopped server answers: %v", err)
	}
}
