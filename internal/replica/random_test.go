package replica

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/crashfs"
	"github.com/polylog-mq/polylog/internal/record"
)

var (
	disks    = flag.Int("disks", 3, "how many seeds TestRandomOverDisks runs")
	seeds    = flag.Int("seeds", 10, "how many seeds TestRandom runs")
	fromSeed = flag.Uint64("seed", 1, "the first seed of TestRandom")
)

// TestRandom lets chance decide about the network, the disks, crashes and
// leaders, and holds the outcome against what was promised: every command is
// answered exactly once; one that succeeded is in the log once, where its
// answer said; one that was refused is not; commands of one caller keep their
// order; all members apply the same; and their records agree.
func TestRandom(t *testing.T) {
	for seed := *fromSeed; seed < *fromSeed+few(*seeds); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { (&storm{}).run(t, seed) })
	}
}

// few is n, or one seed in a short run: under the race detector a run takes ten
// times as long and, in its one goroutine, shows nothing new.
func few(n int) uint64 {
	if testing.Short() {
		return min(uint64(n), 1)
	}
	return uint64(n)
}

// TestRandomOverDisks is the same over the real store.
func TestRandomOverDisks(t *testing.T) {
	for seed := *fromSeed; seed < *fromSeed+few(*disks); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { (&storm{disks: true}).run(t, seed) })
	}
}

// TestASeedAlwaysTellsTheSame holds two runs of a seed against each other: the
// host must leave nothing to chance but what the seed decides.
func TestASeedAlwaysTellsTheSame(t *testing.T) {
	var told [2]string
	for i := range told {
		s := &storm{}
		s.run(t, 4)
		told[i] = fmt.Sprint(s.seen, s.clock.Mono(), s.nodes[1].machine().chain, len(s.history), s.answers)
	}
	if told[0] != told[1] {
		t.Fatalf("one run: %s\nanother: %s", told[0], told[1])
	}
}

// storm is one run.
type storm struct {
	*cluster
	disks   bool
	dice    *rand.Rand
	nextID  uint64
	callers map[string][]*command // by node and life, in the order of the calls
	loss    float64
	slowest time.Duration
	answers map[string]int
}

func (s *storm) run(t *testing.T, seed uint64) {
	s.dice = rand.New(rand.NewPCG(seed, 2))
	s.callers = map[string][]*command{}
	members := 3 + 2*s.dice.IntN(2)
	s.slowest = []time.Duration{time.Millisecond, 20 * time.Millisecond, 150 * time.Millisecond}[s.dice.IntN(3)]
	s.loss = []float64{0, 0.01, 0.1}[s.dice.IntN(3)]
	s.cluster = newCluster(t, seed, members, func(c *cluster) {
		c.checkpointEvery = []int{0, 5, 50}[s.dice.IntN(3)]
		c.tune.entriesInFlight = 1 + s.dice.IntN(8)
		c.tune.pageBytes = []int{1, 256 << 10}[s.dice.IntN(2)]
		c.tune.worthBytes = []int{0, 1000, 64 << 10}[s.dice.IntN(3)]
		c.tune.entryBytes = 1000 + s.dice.IntN(10_000)
		c.tune.uncommittedBytes = []uint64{2000, maxUncommittedBytes}[s.dice.IntN(2)]
		if s.dice.IntN(2) == 0 {
			c.tune.keepBytes, c.tune.keepLeaderBytes = 0, 0
		}
		c.delay = func() time.Duration { return time.Duration(s.dice.Int64N(int64(s.slowest)) + 1) }
		c.drop = func(_, _ record.NodeID, _ Message) bool { return s.dice.Float64() < s.loss }
		if s.disks {
			c.newStore = func() testStore { return newDiskStore(t, crashfs.New(), smallStore(c.clock)) }
		}
	})
	s.cluster.run(3 * time.Second)
	for range 2000 {
		s.act()
		s.cluster.run(time.Duration(s.dice.IntN(60)) * time.Millisecond)
	}
	s.calm()
	s.judge()
}

// act does one thing by chance: mostly a call; a fault, usually only while a
// majority stays well; or a repair.
func (s *storm) act() {
	n := s.nodes[s.order[s.dice.IntN(len(s.order))]]
	switch k := s.dice.IntN(1000); {
	case k < 900:
		if l := s.anyLeader(); l != nil && s.dice.IntN(10) > 0 {
			n = l
		}
		if !n.down {
			s.call(n)
		}
	case k < 950:
		if s.wellWithout(n) > len(s.order)/2 || s.dice.IntN(10) == 0 {
			s.fault(n)
		}
	case k < 980:
		if n.paused, n.slow = false, false; n.down {
			n.start()
		}
	case k < 995:
		s.heal()
	case s.disks && !n.down:
		if _, err := n.store.(*diskStore).Rewrite(1 << 20); err != nil {
			s.t.Fatalf("node %d: rewriting: %v", n.id, err)
		}
	}
}

// wellWithout counts the members, but for n, that nothing ails.
func (s *storm) wellWithout(n *node) (well int) {
	for _, o := range s.others(n) {
		if !o.down && !o.paused && !o.slow && !slices.ContainsFunc(s.others(o), func(p *node) bool {
			return s.cut[[2]record.NodeID{o.id, p.id}] || s.cut[[2]record.NodeID{p.id, o.id}]
		}) {
			well++
		}
	}
	return well
}

func (s *storm) fault(n *node) {
	switch s.dice.IntN(7) {
	case 0, 1:
		if !n.down {
			n.crash()
		}
	case 2:
		s.isolate(n)
	case 3:
		s.cut[[2]record.NodeID{n.id, s.order[s.dice.IntN(len(s.order))]}] = true
	case 4:
		n.paused = true
	case 5:
		n.slow = true
	default:
		s.clock.Jump(time.Duration(s.dice.Int64N(int64(10*time.Minute))) - 5*time.Minute)
		if l := s.anyLeader(); l != nil {
			l.group().TransferLeader(n.id)
		}
	}
}

func (s *storm) anyLeader() *node {
	for _, id := range s.order {
		if n := s.nodes[id]; !n.down && n.group().IsLeader() {
			return n
		}
	}
	return nil
}

func (s *storm) call(n *node) {
	who := fmt.Sprintf("%d.%d", n.id, n.life)
	ps := n.propose(s.nextID, 1+s.dice.IntN(20), 1+s.dice.IntN(300))
	s.nextID += uint64(len(ps))
	s.callers[who] = append(s.callers[who], ps...)
}

// calm ends the storm: everything is repaired, and the members agree.
func (s *storm) calm() {
	s.heal()
	s.loss, s.patience = 0, time.Hour // a slow network has a long queue to work off
	for _, id := range s.order {
		n := s.nodes[id]
		if n.paused, n.slow = false, false; n.down {
			n.start()
		}
	}
	s.leader()
	s.cluster.run(5 * time.Second)
	s.must(s.leader().propose(1<<40, 3, 10))
	s.converge()
	s.sameData()
	for _, id := range s.order {
		g := s.nodes[id].group()
		raft := g.node.BasicStatus()
		if lead, term := g.Leader(); uint64(lead) != raft.Lead || uint64(term) != raft.GetTerm() {
			s.t.Fatalf("node %d says that %d leads in term %d; Raft says %d, %d", id, lead, term, raft.Lead, raft.GetTerm())
		}
	}
}

// judge compares answers with the log.
func (s *storm) judge() {
	where := map[uint64]int{} // command to place in the log
	at := map[uint64]appliedCommand{}
	for _, i := range slices.Sorted(maps.Keys(s.history)) {
		for _, a := range s.history[i] {
			if _, twice := where[a.id]; twice {
				s.t.Fatalf("command %d was applied twice", a.id)
			}
			where[a.id], at[a.id] = len(where), a
		}
	}
	s.answers = map[string]int{}
	for _, who := range slices.Sorted(maps.Keys(s.callers)) {
		before := -1
		for _, p := range s.callers[who] {
			place, applied := where[p.id]
			switch {
			case p.settled != 1:
				s.t.Fatalf("command %d of %s was answered %d times", p.id, who, p.settled)
			case p.err == nil && !applied:
				s.t.Fatalf("command %d of %s succeeded and is lost", p.id, who)
			case p.err == nil && at[p.id].offset != p.offset:
				s.t.Fatalf("command %d of %s was told offset %d and is at %d", p.id, who, p.offset, at[p.id].offset)
			case p.err != nil && !errors.Is(p.err, ErrUnknown) && applied:
				s.t.Fatalf("command %d of %s was refused (%v) and is applied", p.id, who, p.err)
			case applied && place < before:
				s.t.Fatalf("command %d of %s was applied before one that was proposed earlier", p.id, who)
			}
			if applied {
				before = place
			}
			s.answers[fmt.Sprint(p.err)]++
		}
	}
	s.t.Logf("%d entries, answers %v, messages %v", len(s.history), s.answers, s.seen)
}
