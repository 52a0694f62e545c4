// Package crash kills the real binary under load, again and again, and holds
// what it kept against what it had acknowledged.
package crash

import (
	"context"
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/test/harness"
)

var (
	rounds = flag.Int("rounds", 5, "how often the server is killed")
	seed   = flag.Uint64("seed", 0, "chooses the moments; 0: at random")
	pad    = flag.Int("pad", 4000, "bytes that a record holds at most beside its number")
)

const (
	topic      = "crash"
	partitions = 6
	producers  = 4
	// A round lasts until so many records are acknowledged, at least and at
	// most.
	fewest, most = 50, 5000
)

// TestKill9 kills the server at random moments under idempotent producers:
// nothing acknowledged may be lost, nothing doubled, no offset skipped, no
// order changed.
func TestKill9(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("seed %d, %d rounds", *seed, *rounds)
	rng := rand.New(rand.NewPCG(*seed, 0))
	s := harness.Start(t)
	createTopic(t, s.Kafka())

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	h := newHistory()
	done := make(chan error, producers)
	for i := range producers {
		go func() { done <- produce(ctx, s.Kafka(), i, h) }()
	}
	var slowest time.Duration
	for round := range *rounds {
		select {
		case <-h.after(fewest + rng.IntN(most-fewest)):
		case err := <-done:
			t.Fatalf("round %d: a producer gave up: %v", round, err)
		case <-time.After(2 * time.Minute):
			t.Fatalf("round %d: no progress", round)
		}
		s.Kill()
		s.Restart()
		slowest = max(slowest, s.Took())
	}
	stop()
	for range producers {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	n := h.check(t, readAll(t, s.Kafka()))
	t.Logf("%d records acknowledged, all found once and in order; slowest restart %s", n, slowest.Round(time.Millisecond))
	s.Stop()
}
