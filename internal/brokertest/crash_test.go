package brokertest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
)

// producer is an idempotent producer of one partition that sends again what was
// not acknowledged, as clients do.
type producer struct {
	id       int64
	topic    string
	part     int
	seq      int32
	inFlight []*sent
	// acked are the values that were acknowledged, by offset.
	acked map[record.Offset]string
}

type sent struct {
	*Pending
	seq    int32
	values []string
}

func (p *producer) handle(n *Node) *broker.Partition { return n.Topic(p.topic).Partitions[p.part] }

func (p *producer) send(n *Node, count int) {
	s := &sent{seq: p.seq}
	for i := range count {
		s.values = append(s.values, fmt.Sprintf("%d/%d", p.id, p.seq+int32(i)))
	}
	p.seq += int32(count)
	s.Pending = Begin(p.handle(n), Sequenced(p.id, 0, s.seq, s.values...))
	p.inFlight = append(p.inFlight, s)
}

// harvest takes what was answered; answers come in order.
func (p *producer) harvest(t *testing.T) {
	t.Helper()
	for len(p.inFlight) > 0 && p.inFlight[0].Answered {
		s := p.inFlight[0]
		p.inFlight = p.inFlight[1:]
		if s.Err != nil {
			t.Fatalf("producer %d, sequence %d: %v", p.id, s.seq, s.Err)
		}
		for i, v := range s.values {
			p.acked[s.Base+record.Offset(i)] = v
		}
	}
}

// resend sends again, in order, what the crash left unanswered.
func (p *producer) resend(n *Node) {
	for _, s := range p.inFlight {
		s.Pending = Begin(p.handle(n), Sequenced(p.id, 0, s.seq, s.values...))
	}
}

// TestPowerCuts lets idempotent producers write through one power cut after the
// other, at random steps: nothing acknowledged is lost, nothing is doubled, and
// every record stays where it was acknowledged.
func TestPowerCuts(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { powerCuts(t, seed) })
	}
}

func powerCuts(t *testing.T, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 7))
	n := Start(t, Options{Seed: seed + 1})
	n.Create("t", 3)
	var producers []*producer
	for i := range 4 {
		producers = append(producers, &producer{id: int64(i), topic: "t", part: i % 3, acked: map[record.Offset]string{}})
	}
	for range 12 {
		for range rng.IntN(40) {
			for _, p := range producers {
				if len(p.inFlight) < 5 && rng.IntN(3) == 0 {
					p.send(n, 1+rng.IntN(3))
				}
			}
			for range rng.IntN(4) {
				n.Step()
			}
			for _, p := range producers {
				p.harvest(t)
			}
		}
		n = n.Crash(true)
		n.Settle()
		checkAcked(t, n, producers)
		for _, p := range producers {
			p.resend(n)
		}
	}
	n.Settle()
	for _, p := range producers {
		p.harvest(t)
		if len(p.inFlight) > 0 {
			t.Fatalf("producer %d is not answered", p.id)
		}
	}
	checkAcked(t, n, producers)
	checkOnce(t, n, producers)
}

// checkAcked looks up everything acknowledged where it was acknowledged.
func checkAcked(t *testing.T, n *Node, producers []*producer) {
	t.Helper()
	for _, p := range producers {
		values := n.Values(p.handle(n), 0)
		for at, v := range p.acked {
			if int(at) >= len(values) || values[at] != v {
				t.Fatalf("producer %d: %q was acknowledged at %d and is not there", p.id, v, at)
			}
		}
	}
}

// checkOnce counts every value that was ever sent.
func checkOnce(t *testing.T, n *Node, producers []*producer) {
	t.Helper()
	count, sent := map[string]int{}, 0
	for _, p := range n.Topic("t").Partitions {
		for _, v := range n.Values(p, 0) {
			count[v]++
		}
	}
	for _, p := range producers {
		for seq := range p.seq {
			sent++
			if v := fmt.Sprintf("%d/%d", p.id, seq); count[v] != 1 {
				t.Errorf("%q is there %d times", v, count[v])
			}
		}
	}
	if len(count) != sent || sent == 0 {
		t.Errorf("%d values are there, %d were sent", len(count), sent)
	}
}

// TestRecoveryFromCheckpoints writes enough for checkpoints, rotated files and
// rewrites, and cuts the power now and then.
func TestRecoveryFromCheckpoints(t *testing.T) {
	n := Start(t, Options{Store: smallFiles})
	n.Create("t", 2)
	p := &producer{id: 1, topic: "t", part: 1, acked: map[record.Offset]string{}}
	filler := Batch(string(make([]byte, 60_000)))
	for i := range 200 {
		p.send(n, 2)
		Begin(n.Topic("t").Partitions[0], filler)
		n.Settle()
		p.harvest(t)
		if i%40 == 39 {
			n = n.Crash(false)
			n.Settle()
			checkAcked(t, n, []*producer{p})
		}
	}
	if n.Store.Stats().Checkpoints.Load() == 0 {
		t.Error("no checkpoint was taken: the test shows nothing")
	}
	if got := len(n.Values(n.Topic("t").Partitions[0], 0)); got != 200 {
		t.Errorf("%d of 200 records beside", got)
	}
}
