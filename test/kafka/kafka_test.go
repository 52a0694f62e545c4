// Package kafka drives the real binary with real Kafka clients.
package kafka

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/polylog-mq/polylog/test/harness"
)

func newClient(t *testing.T, s *harness.Server, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(s.Kafka()), kgo.AllowAutoTopicCreation(), kgo.AlwaysRetryEOF(),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.MetadataMinAge(20 * time.Millisecond),
		kgo.UnknownTopicRetries(100), // half a second has more than four times twenty milliseconds
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// produce writes n records "prefix-i", each its own key.
func produce(t *testing.T, c *kgo.Client, topic, prefix string, n int) {
	t.Helper()
	var records []*kgo.Record
	for i := range n {
		v := fmt.Sprintf("%s-%d", prefix, i)
		records = append(records, &kgo.Record{Topic: topic, Key: []byte(v), Value: []byte(v)})
	}
	if err := c.ProduceSync(within(t, 30*time.Second), records...).FirstErr(); err != nil {
		t.Fatalf("producing: %v", err)
	}
}

// consume reads until n records have come, and returns how often each value
// came.
func consume(t *testing.T, c *kgo.Client, n int) map[string]int {
	t.Helper()
	ctx := within(t, 30*time.Second)
	seen := map[string]int{}
	for total := 0; total < n; {
		fetches := c.PollFetches(ctx)
		if errs := fetches.Errors(); len(errs) > 0 {
			t.Fatalf("after %d of %d records: %v", total, n, errs)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			seen[string(r.Value)]++
			total++
		})
	}
	return seen
}

func expectOnce(t *testing.T, seen map[string]int, prefix string, n int) {
	t.Helper()
	for i := range n {
		v := fmt.Sprintf("%s-%d", prefix, i)
		if seen[v] != 1 {
			t.Errorf("%s came %d times", v, seen[v])
		}
	}
}

func TestProduceConsumeRestart(t *testing.T) {
	s := harness.Start(t, "--kafka-default-partitions", "3")
	c := newClient(t, s, kgo.ConsumeTopics("events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	produce(t, c, "events", "before", 1000)
	expectOnce(t, consume(t, c, 1000), "before", 1000)

	if took := s.Stop(); took > time.Second {
		t.Errorf("stopping took %s, want less than a second", took)
	}
	s.Restart()
	produce(t, c, "events", "after", 1000) // the same idempotent producer
	expectOnce(t, consume(t, c, 1000), "after", 1000)

	again := newClient(t, s, kgo.ConsumeTopics("events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	seen := consume(t, again, 2000)
	expectOnce(t, seen, "before", 1000)
	expectOnce(t, seen, "after", 1000)
}

func TestCodecs(t *testing.T) {
	s := harness.Start(t)
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, s, kgo.ProducerBatchCompression(codec), kgo.ConsumeTopics(name),
				kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			produce(t, c, name, name, 500)
			expectOnce(t, consume(t, c, 500), name, 500)
		})
	}
}

// TestGroup: what a group has committed survives the server's death, and a new
// member goes on from there.
func TestGroup(t *testing.T) {
	s := harness.Start(t, "--kafka-default-partitions", "4")
	p := newClient(t, s)
	produce(t, p, "work", "one", 400)

	first := newClient(t, s, kgo.ConsumerGroup("crew"), kgo.ConsumeTopics("work"), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	expectOnce(t, consume(t, first, 400), "one", 400)
	if err := first.CommitUncommittedOffsets(within(t, 10*time.Second)); err != nil {
		t.Fatalf("committing: %v", err)
	}
	s.Kill()
	s.Restart()
	first.Close()

	produce(t, p, "work", "two", 400)
	second := newClient(t, s, kgo.ConsumerGroup("crew"), kgo.ConsumeTopics("work"), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	seen := consume(t, second, 400)
	expectOnce(t, seen, "two", 400)
	if seen["one-0"] > 0 {
		t.Error("a committed record came again")
	}
}

// mortal makes connections that can all be cut at once, and none after that:
// a process that was killed, as its server sees it.
type mortal struct {
	mu    sync.Mutex
	conns []net.Conn
	dead  bool
}

func (m *mortal) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		nc.Close()
		return nil, net.ErrClosed
	}
	m.conns = append(m.conns, nc)
	return nc, nil
}

func (m *mortal) die() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	for _, nc := range m.conns {
		nc.Close()
	}
}

// TestMemberDies: a member that vanishes without a word gives up its
// partitions once its session is over; nothing that it had not committed is
// lost.
func TestMemberDies(t *testing.T) {
	s := harness.Start(t, "--kafka-default-partitions", "4")
	producer := newClient(t, s)
	produce(t, producer, "work", "before", 100)
	var life mortal
	member := func(opts ...kgo.Opt) *kgo.Client {
		return newClient(t, s, append([]kgo.Opt{
			kgo.ConsumerGroup("crew"), kgo.ConsumeTopics("work"), kgo.DisableAutoCommit(), kgo.SessionTimeout(6 * time.Second),
			kgo.HeartbeatInterval(200 * time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		}, opts...)...)
	}
	first := member(kgo.Dialer(life.dial))
	expectOnce(t, consume(t, first, 100), "before", 100)
	life.die()

	second := member()
	produce(t, producer, "work", "after", 100)
	seen := consume(t, second, 200)
	expectOnce(t, seen, "before", 100)
	expectOnce(t, seen, "after", 100)
}

func TestProbes(t *testing.T) {
	s := harness.Start(t)
	for path, want := range map[string]string{
		"/livez": "ok", "/readyz": "ok", "/metrics": "polylog_ready 1", "/v1/node": `"state": "serving"`,
	} {
		status, body := get(t, s.HTTP()+path)
		if status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d, want a mention of %q in\n%.500s", path, status, want, body)
		}
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// TestKcat: the client of the README.
func TestKcat(t *testing.T) {
	kcat, err := exec.LookPath("kcat")
	if err != nil {
		t.Skip("kcat is not installed")
	}
	s := harness.Start(t)
	cmd := exec.Command(kcat, "-P", "-b", s.Kafka(), "-t", "greetings", "-K", ":")
	cmd.Stdin = strings.NewReader("a:hello\nb:world\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("producing: %v\n%s", err, out)
	}
	out, err := exec.Command(kcat, "-C", "-q", "-e", "-b", s.Kafka(), "-t", "greetings", "-o", "beginning", "-f", "%k=%s\n").Output()
	if err != nil || string(out) != "a=hello\nb=world\n" {
		t.Errorf("consumed %q, %v", out, err)
	}
}
