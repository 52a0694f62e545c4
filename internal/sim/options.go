package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Options decide a run. All but the first few follow from the seed, see Derive,
// and any of them can be set afterwards: a run is a function of its options.
type Options struct {
	Seed uint64
	// Nodes is 1 or 3.
	Nodes int
	// Safety is the virtual time of the phase with faults; Liveness is how long
	// the healed cluster may take to answer everybody and agree.
	Safety, Liveness time.Duration
	// Drop lists the faults of the plan, by number, that are left out; Mute
	// leaves out all of them.
	Drop []int
	Mute bool
	// Trace receives what happens, readably; nil for nobody.
	Trace io.Writer

	// What the seed decides.

	Shards          int
	WALFile         int64
	Tail            int64
	Checkpoint      int64 // bytes of WAL between checkpoints
	KeepLog         uint64
	Producers       int
	Plain           int // producers without sequence numbers
	Readers         int
	Members         int // of consumer groups
	Admins          int
	Careless        int
	Transactors     int
	Keyed           int           // producers of a compacted topic
	Queues          int           // kinds of queues beside the usual one; 0 for no queue at all
	Pace            time.Duration // mean time between two sends of a producer
	NetDelay        time.Duration // at most
	Loss, Duplicate float64
	SyncTime        time.Duration // at most
	Survival        float64       // chance of an unsynced sector in a crash
	FaultEvery      time.Duration
	Grows           bool // from one node to three, and back to one
}

// Derive returns what a seed decides for a cluster of 1 or 3 nodes.
func Derive(seed uint64, nodes int) Options {
	rng := rand.New(rand.NewPCG(seed, 0x0b5e55ed))
	one := func(ds ...time.Duration) time.Duration { return ds[rng.IntN(len(ds))] }
	ms := time.Millisecond
	return Options{
		Seed: seed, Nodes: nodes, Safety: 4 * time.Minute, Liveness: time.Minute,
		Shards:     1 + rng.IntN(3),
		WALFile:    []int64{256 << 10, 512 << 10}[rng.IntN(2)],
		Tail:       []int64{8 << 10, 64 << 10, 1 << 20}[rng.IntN(3)],
		Checkpoint: []int64{32 << 10, 128 << 10, 512 << 10}[rng.IntN(3)],
		KeepLog:    []uint64{1, 1, 16 << 10, 256 << 10}[rng.IntN(4)],
		Producers:  1 + rng.IntN(3), Plain: rng.IntN(2), Readers: 1 + rng.IntN(2), Members: rng.IntN(4),
		Admins: rng.IntN(3), Careless: rng.IntN(2),
		Pace:     one(200*ms, 400*ms, 800*ms),
		NetDelay: one(ms, 10*ms, 60*ms),
		Loss:     []float64{0, 0, 0.01, 0.05}[rng.IntN(4)], Duplicate: []float64{0, 0.01}[rng.IntN(2)],
		SyncTime: one(ms, 5*ms, 30*ms),
		Survival: []float64{0, 0.5, 0.9}[rng.IntN(3)],
		// Elections take seconds: with faults all the time nobody gets anywhere.
		FaultEvery:  one(4*time.Second, 8*time.Second, 16*time.Second),
		Transactors: rng.IntN(3), Keyed: rng.IntN(3), Queues: rng.IntN(3),
		Grows: nodes == 1 && rng.IntN(3) == 0,
	}
}

// String lists what decides the run.
func (o Options) String() string {
	return fmt.Sprintf("seed=%d nodes=%d safety=%v shards=%d wal=%d tail=%d checkpoint=%d keep=%d "+
		"producers=%d plain=%d readers=%d members=%d admins=%d careless=%d txns=%d keyed=%d queues=%d pace=%v net=%v loss=%v dup=%v sync=%v survival=%v faults=%v grows=%v",
		o.Seed, o.Nodes, o.Safety, o.Shards, o.WALFile, o.Tail, o.Checkpoint, o.KeepLog,
		o.Producers, o.Plain, o.Readers, o.Members, o.Admins, o.Careless, o.Transactors, o.Keyed, o.Queues, o.Pace, o.NetDelay, o.Loss, o.Duplicate,
		o.SyncTime, o.Survival, o.FaultEvery, o.Grows)
}

// Command returns what repeats the run.
func (o Options) Command() string {
	args := fmt.Sprintf("-seed %d -nodes %d -safety %v", o.Seed, o.Nodes, o.Safety)
	if len(o.Drop) > 0 {
		args += " -drop " + strings.Trim(strings.ReplaceAll(fmt.Sprint(o.Drop), " ", ","), "[]")
	}
	if o.Mute {
		args += " -mute"
	}
	return "go run ./internal/sim/cmd/polylog-sim " + args + " -trace"
}

func (o *Options) dropped(n int) bool { return o.Mute || slices.Contains(o.Drop, n) }
