// Package crash kills and freezes the real binary under load, again and again,
// and holds what it kept against what it had acknowledged.
package crash

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"
)

var (
	rounds = flag.Int("rounds", 5, "how often the server is killed")
	pauses = flag.Int("pauses", 5, "how often the server is frozen")
	seed   = flag.Uint64("seed", 0, "chooses the moments; 0: at random")
	pad    = flag.Int("pad", 1000, "bytes that a record holds at most beside its number")
)

// A round lasts until so many records are acknowledged, at least and at most; two
// of three rounds, until the consumers have got on as well.
const fewest, most = 50, 5000

// random returns what chooses the moments, and says how to choose them again.
func random(t *testing.T) *rand.Rand {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("-seed %d", *seed)
	return rand.New(rand.NewPCG(*seed, 0))
}

// TestKill9 kills the server at random moments under idempotent producers,
// consumer groups and transactions: nothing acknowledged may be lost, nothing
// doubled, no offset skipped, no order changed.
func TestKill9(t *testing.T) {
	rng := random(t)
	w := begin(t)
	for round := range *rounds {
		if rng.IntN(3) > 0 {
			w.everyone(round)
		}
		w.progress(round, fewest+rng.IntN(most-fewest))
		w.server.Kill()
		w.restart()
	}
	w.end()
	t.Logf("%d rounds of kill -9; slowest restart %s", *rounds, w.slowest.Round(time.Millisecond))
}

// TestPause freezes the server (SIGSTOP) at random moments for random times,
// and every third time kills it while it is frozen. Some pauses outlast the
// clients' requests, some the sessions of the groups' members. A frozen server
// acknowledges nothing; a thawed one serves again, and what clients sent twice
// meanwhile is there once.
func TestPause(t *testing.T) {
	rng := random(t)
	w := begin(t)
	var frozen, recovery time.Duration
	kills := 0
	for round := range *pauses {
		if rng.IntN(3) > 0 {
			w.everyone(round)
		}
		w.progress(round, fewest+rng.IntN(most-fewest))
		pause := pauseTime(rng)
		frozen += pause
		w.server.Freeze()
		w.still(pause)
		if round%3 == 2 {
			w.server.Kill()
			w.restart()
			kills++
			continue
		}
		w.server.Thaw()
		thawed := time.Now()
		w.progress(round, 1)
		recovery = max(recovery, time.Since(thawed))
	}
	w.end()
	t.Logf("%d rounds of SIGSTOP, %s frozen in all, %d ended by kill -9; slowest recovery %s, slowest restart %s",
		*pauses, frozen.Round(time.Second), kills, recovery.Round(time.Millisecond), w.slowest.Round(time.Millisecond))
	if recovery > maxRecovery {
		t.Errorf("after a pause it took %s until something was acknowledged", recovery)
	}
}

// maxRecovery bounds the time from SIGCONT to the next acknowledgement.
const maxRecovery = 10 * time.Second

// pauseTime is mostly short, sometimes longer than a request may take, and
// sometimes longer than a group waits for a member.
func pauseTime(rng *rand.Rand) time.Duration {
	short := settle + time.Duration(rng.Int64N(int64(600*time.Millisecond)))
	switch rng.IntN(10) {
	case 0:
		return sessionTime + short
	case 1, 2:
		return 4*time.Second + short
	}
	return short
}
