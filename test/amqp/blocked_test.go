package amqp

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/polylog-mq/polylog/test/harness"
)

// TestBlockedWhileTheDiskIsFull: who publishes is told so and waits, who consumes
// notices nothing, and room sets the publisher free: nothing is lost.
func TestBlockedWhileTheDiskIsFull(t *testing.T) {
	dir := harness.SmallDisk(t, "500m")
	s := harness.StartIn(t, dir, "--disk-warn-free", "80MiB", "--disk-refuse-free", "64MiB")
	publisher, other := dial(t, s), dial(t, s)
	t.Cleanup(s.Kill) // first: a blocked connection waits for room with its end too
	news := publisher.NotifyBlocked(make(chan amqp.Blocking, 2))
	ch := channel(t, publisher)
	declare(t, ch, "q", nil)
	publish(t, ch, "q", "one", "two")

	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 230<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	// It takes the server a moment to see it: until then publishes are confirmed.
	var waiting *amqp.DeferredConfirmation
	for n := 2; waiting == nil; n++ {
		c, err := ch.PublishWithDeferredConfirm("", "q", false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("more")})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-c.Done():
			if n%100 == 0 && ctx.Err() != nil {
				t.Fatal("the disk is full and nobody notices")
			}
		case b := <-news:
			if waiting = c; !b.Active || b.Reason != "low on disk" {
				t.Fatalf("told %+v", b)
			}
		}
	}
	ds := consume(t, channel(t, other), "q", 10)
	for range 2 {
		if err := next(t, ds).Ack(false); err != nil {
			t.Fatal(err)
		}
	}
	if waiting.Acked() {
		t.Error("a publish is confirmed while its connection is blocked")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	select {
	case b := <-news:
		if b.Active {
			t.Errorf("told %+v", b)
		}
	case <-ctx.Done():
		t.Fatal("the client is not told that there is room")
	}
	if ok, err := waiting.WaitContext(ctx); !ok || err != nil {
		t.Errorf("the publish that waited: confirmed %v, %v", ok, err)
	}
	publish(t, ch, "q", "last")
}
