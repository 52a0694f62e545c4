package brokertest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/state/route"
)

// stream declares a stream.
func stream(t *testing.T, n *Node, name string, args route.Table) *broker.Queue {
	t.Helper()
	args = append(route.AppendText(nil, "x-queue-type", "stream"), args...)
	q, _, err := n.Declare(broker.QueueSpec{Name: name, Durable: true, Arguments: args, Settings: broker.DefaultQueueSettings()})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// TestStreamKeepsWhatItsAgeAllows: a stream is a topic to everybody, forgets what
// is too old, and is still a stream after a crash.
func TestStreamKeepsWhatItsAgeAllows(t *testing.T) {
	n := Start(t, Options{})
	q := stream(t, n, "s", route.AppendText(nil, "x-max-age", "1h"))
	p := n.Topic("s").Partitions[0]
	mustPublish(t, n, q, "old")
	n.Advance(30 * time.Minute)
	n.MustAppend(p, At(n.Clock.Now().UnixMilli(), "new"))
	n = n.Crash(false)
	n.Settle()
	q = n.Queue("", "s")
	if !q.IsStream() || q.Settings() != nil || q.Stats().Ready != 2 {
		t.Fatalf("after a crash: a stream %v, %+v", q.IsStream(), q.Stats())
	}
	n.Advance(45 * time.Minute)
	p = n.Topic("s").Partitions[0]
	if p.Floor() != 1 || p.HighWatermark() != 2 {
		t.Fatalf("floor %d, high %d, want the old record gone", p.Floor(), p.HighWatermark())
	}
	r := q.Read(0)
	defer r.Close()
	if ok, err := r.Fill(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if rec := r.Take(); rec.Offset != 1 || string(rec.Value) != "new" || r.Take() != nil {
		t.Errorf("read from the beginning: %+v", rec)
	}
}

// TestStreamObeysPolicies: sizes of declaration and policy, of which the lower one
// counts, while the policy is there; and nobody else changes them.
func TestStreamObeysPolicies(t *testing.T) {
	n := Start(t, Options{})
	stream(t, n, "s", route.AppendText(route.AppendInteger(nil, "x-max-length-bytes", 50_000_000), "x-max-age", "30D"))
	check := func(when, bytes, ms string) {
		t.Helper()
		got := map[string]string{}
		for _, c := range n.Topic("s").Config {
			got[c.Name] = c.Value
		}
		if got["retention.bytes"] != bytes || got["retention.ms"] != ms {
			t.Errorf("%s: %v", when, got)
		}
	}
	check("declared", "50000000", "2592000000")
	put := func(p broker.Policy) error {
		return n.Ask(func(done func(error)) { n.PutPolicy(&p, func(_ bool, err error) { done(err) }) })
	}
	sizes := route.AppendText(route.AppendInteger(nil, "max-length-bytes", 3_000_000), "max-age", "1Y")
	if err := put(broker.Policy{Name: "p", Pattern: "^s", ApplyTo: route.ToStreams, Definition: sizes}); err != nil {
		t.Fatal(err)
	}
	check("under a policy", "3000000", "2592000000")
	if err := put(broker.Policy{Name: "bad", Pattern: "^s", ApplyTo: route.ToAll, Definition: route.AppendText(nil, "max-age", "soon")}); !errors.Is(err, broker.ErrInvalidArgument) {
		t.Errorf("an age that is none: %v", err)
	}
	if _, err := n.Alter("s", broker.ConfigChange{Name: "retention.ms", Value: "1"}); !errors.Is(err, broker.ErrInvalidConfig) {
		t.Errorf("altered by Kafka: %v", err)
	}
	if _, err := n.Alter("s", broker.ConfigChange{Name: "min.insync.replicas", Value: "1"}); err != nil {
		t.Errorf("what a stream does not say: %v", err)
	}
	if _, err := n.Grow("s", 2); !errors.Is(err, broker.ErrInvalidPartitions) {
		t.Errorf("grown: %v", err)
	}
	q := n.Queue("", "s")
	body := strings.Repeat("x", 100_000)
	for range 100 {
		mustPublish(t, n, q, body)
	}
	n.Advance(2 * time.Minute)
	if size := q.Partition().Size(); size < 3_000_000 || size > 3_000_000+1<<20+200_000 {
		t.Errorf("%d bytes are kept", size)
	}
	if err := n.Ask(func(done func(error)) { n.DeletePolicy("", "p", false, done) }); err != nil {
		t.Fatal(err)
	}
	n.Settle()
	check("afterwards", "50000000", "2592000000")
}

// TestStreamsAreDeclared: what a stream must be, and that a topic can be declared
// as one.
func TestStreamsAreDeclared(t *testing.T) {
	n := Start(t, Options{})
	args := route.AppendText(nil, "x-queue-type", "stream")
	declare := func(name string, durable, autoDelete bool, args route.Table) error {
		_, _, err := n.Declare(broker.QueueSpec{Name: name, Durable: durable, AutoDelete: autoDelete, Arguments: args, Settings: broker.DefaultQueueSettings()})
		return err
	}
	for _, c := range []struct{ durable, autoDelete bool }{{false, false}, {true, true}} {
		if err := declare("s", c.durable, c.autoDelete, args); !errors.Is(err, broker.ErrInvalidArgument) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	n.Create("topic", 1)
	n.Create("wide", 2)
	if err := declare("topic", true, false, route.AppendText(args, "x-max-age", "1h")); err != nil {
		t.Error(err)
	}
	if err := declare("topic", false, false, args); !errors.Is(err, broker.ErrNotEquivalent) {
		t.Error(err)
	}
	if err := declare("wide", true, false, args); !errors.Is(err, broker.ErrNotQueue) {
		t.Error(err)
	}
	q := stream(t, n, "a stream", nil)
	if n.Topic("a stream") != nil {
		t.Error("Kafka sees a name that it cannot spell")
	}
	if err := declare("a stream", true, false, nil); !errors.Is(err, broker.ErrNotEquivalent) {
		t.Error(err)
	}
	var names []string
	for q := range n.Queues("") {
		names = append(names, q.Name())
	}
	if got := fmt.Sprint(names); got != "[a stream]" {
		t.Errorf("listed: %s", got)
	}
	var failed error
	n.DeleteQueue(q, false, false, func(_ int64, err error) { failed = err })
	n.Settle()
	if failed != nil || !q.Deleted() || n.Queue("", "a stream") != nil {
		t.Errorf("deleted: %v", failed)
	}
}

func TestAges(t *testing.T) {
	for text, want := range map[string]int64{
		"7D": 604_800_000, "1Y": 31_536_000_000, "1M": 2_592_000_000, "2h": 7_200_000, "90m": 5_400_000, "10s": 10_000,
		"": 0, "D": 0, "7": 0, "0D": 0, "-1D": 0, "+1D": 0, "1 D": 0, "1.5D": 0, "7d": 0, "7Dx": 0, "99999999999999999999D": 0, "9999999999999Y": 0,
	} {
		if got, ok := broker.ParseAge(text); got != want || ok != (want > 0) {
			t.Errorf("%q is %d, %v", text, got, ok)
		}
	}
}
