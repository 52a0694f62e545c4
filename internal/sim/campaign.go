package sim

import (
	"fmt"
	"io"
	"slices"
	"syscall"
	"time"

	"github.com/polylog-mq/polylog/internal/fault"
)

// Campaign is many runs, seed after seed.
type Campaign struct {
	First uint64
	// Seeds is how many there are, 0 for as many as fit into For (real time).
	Seeds uint64
	For   time.Duration
	// Nodes is 1 or 3, 0 for each seed with both.
	Nodes  int
	Safety time.Duration // 0: that of Derive
	// Twice runs everything twice and compares.
	Twice bool
	Out   io.Writer
}

// Summary is what a campaign has shown.
type Summary struct {
	Runs int
	// Counted is how many of them met their floors of coverage.
	Counted  int
	Virtual  time.Duration
	CPU      time.Duration
	Coverage map[int]*Coverage // by size of cluster
	// Failures are the first one of each size of cluster.
	Failures []*Failure

	runs map[int]int // by size of cluster
}

// Speed is virtual time per time of one core.
func (s *Summary) Speed() float64 { return float64(s.Virtual) / float64(max(s.CPU, 1)) }

// Run carries the campaign out, until a failure.
func (c Campaign) Run() Summary {
	s := Summary{Coverage: map[int]*Coverage{}, runs: map[int]int{}}
	sizes := []int{1, 3}
	if c.Nodes != 0 {
		sizes = []int{c.Nodes}
	}
	began, cpu := time.Now(), cpuTime()
	for seed := c.First; ; seed++ {
		if c.Seeds > 0 && seed >= c.First+c.Seeds || c.Seeds == 0 && time.Since(began) > c.For {
			break
		}
		for _, nodes := range sizes {
			o := Derive(seed, nodes)
			if c.Safety > 0 {
				o.Safety = c.Safety
			}
			r := Run(o)
			if c.Twice && r.Failure == nil {
				r.compare(o, Run(o))
			}
			if s.add(o, r, c.Out) {
				s.CPU = cpuTime() - cpu
				return s
			}
		}
	}
	s.CPU = cpuTime() - cpu
	return s
}

// compare makes it a failure that a second run had another trace, if it could be
// repeated.
func (r *Result) compare(o Options, again Result) {
	if again.Trace != r.Trace && !(r.Unrepeatable && again.Unrepeatable) {
		r.Failure = &Failure{Options: o, At: r.Virtual, Err: fmt.Errorf("one run has the trace %x, another %x", r.Trace, again.Trace)}
	}
}

func (s *Summary) add(o Options, r Result, out io.Writer) (failed bool) {
	s.Runs++
	s.runs[o.Nodes]++
	s.Virtual += r.Virtual
	if s.Coverage[o.Nodes] == nil {
		s.Coverage[o.Nodes] = &Coverage{}
	}
	s.Coverage[o.Nodes].Add(r.Coverage)
	if r.Failure != nil {
		s.Failures = append(s.Failures, r.Failure)
		return true
	}
	if short := r.Coverage.Short(o); short != "" {
		fmt.Fprintf(out, "seed %d with %d nodes does not count: %s\n", o.Seed, o.Nodes, short)
		return false
	}
	s.Counted++
	return false
}

// cpuTime is the processor time that this process has taken.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// String sums up, for people.
func (s *Summary) String() string {
	text := fmt.Sprintf("%d runs, %d of them counted; %.1f simulated hours in %v of one core: %.0f times real time\n",
		s.Runs, s.Counted, s.Virtual.Hours(), s.CPU.Round(time.Millisecond), s.Speed())
	one, three := s.Coverage[1], s.Coverage[3]
	if one == nil {
		one = &Coverage{}
	}
	if three == nil {
		three = &Coverage{}
	}
	text += fmt.Sprintf("%-24s%12s%12s\n", "coverage", "1 node", "3 nodes")
	theirs := three.counters()
	for i, c := range one.counters() {
		text += fmt.Sprintf("%-24s%12d%12d\n", c.name, *c.n, *theirs[i].n)
	}
	return text
}

// minRuns is how many runs a campaign has that is asked what it has met.
const minRuns = 40

// Thin says what the campaign has met too little of; "" if it counts, or is too
// short to be asked.
func (s *Summary) Thin() string {
	for _, nodes := range []int{1, 3} {
		c := s.Coverage[nodes]
		if c == nil || s.Runs < minRuns {
			continue
		}
		if thin := c.Thin(nodes, s.runs[nodes]); thin != "" {
			return fmt.Sprintf("%s with %d nodes", thin, nodes)
		}
	}
	return ""
}

// Shrink leaves out faults, one after the other, as long as the run fails all
// the same, and returns the smallest failure that it has found.
func Shrink(f *Failure, out io.Writer) *Failure {
	best := f
	try := func(o Options) bool {
		r := Run(o)
		if r.Failure == nil {
			return false
		}
		best = r.Failure
		return true
	}
	mute := f.Options
	mute.Mute = true
	if try(mute) {
		fmt.Fprintln(out, "it fails without any fault")
		return best
	}
	for n := range f.Faults {
		if slices.Contains(best.Options.Drop, n) {
			continue
		}
		o := best.Options
		o.Drop = append(slices.Clone(o.Drop), n)
		fmt.Fprintf(out, "without fault %d: fails %v\n", n, try(o))
	}
	return best
}

// Caught is how a planted bug was found.
type Caught struct {
	Bug     fault.Bug
	Seeds   uint64 // that it took; all of them if it was not caught
	Failure *Failure
}

// Plant plants one bug and looks for it with seeds from 1 on, alternately with 1
// and 3 nodes.
func Plant(b fault.Bug, seeds uint64) Caught {
	fault.Plant(b)
	defer fault.Plant(fault.None)
	for seed := uint64(1); seed <= seeds; seed++ {
		for _, nodes := range []int{1, 3} {
			if r := Run(Derive(seed, nodes)); r.Failure != nil {
				return Caught{b, seed, r.Failure}
			}
		}
	}
	return Caught{Bug: b, Seeds: seeds}
}
