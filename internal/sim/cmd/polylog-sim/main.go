// Command polylog-sim runs the simulator: one seed, many, or the planted bugs.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/sim"
)

type flags struct {
	seed, seeds  uint64
	from         uint64
	nodes        int
	limit        time.Duration
	safety       time.Duration
	drop         string
	mute         bool
	trace        bool
	twice        bool
	shrink       bool
	planted      bool
	plantedSeeds uint64
	only         string
}

func main() {
	var f flags
	flag.Uint64Var(&f.seed, "seed", 0, "run this seed alone")
	flag.Uint64Var(&f.seeds, "seeds", 0, "run this many seeds")
	flag.Uint64Var(&f.from, "from", 1, "the first seed of many")
	flag.DurationVar(&f.limit, "for", time.Minute, "run seeds for so long, unless -seeds says how many")
	flag.IntVar(&f.nodes, "nodes", 0, "size of the cluster, 1 or 3; 0: both")
	flag.DurationVar(&f.safety, "safety", 0, "virtual time of the phase with faults; 0: the usual")
	flag.StringVar(&f.drop, "drop", "", "with -seed: numbers of faults to leave out, with commas")
	flag.BoolVar(&f.mute, "mute", false, "with -seed: leave out all faults")
	flag.BoolVar(&f.trace, "trace", false, "with -seed: print what happens")
	flag.BoolVar(&f.twice, "twice", false, "run every seed twice and compare")
	flag.BoolVar(&f.shrink, "shrink", false, "look for a failure with fewer faults")
	flag.BoolVar(&f.planted, "planted", false, "plant one bug after the other and catch it; needs the build tag planted")
	flag.Uint64Var(&f.plantedSeeds, "within", 100, "with -planted: how many seeds a bug may take")
	flag.StringVar(&f.only, "bug", "", "the bug to plant, alone")
	flag.Parse()
	if err := f.run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (f *flags) run() error {
	if (f.planted || f.only != "") && !fault.Planted {
		return errors.New("bugs are planted only by a build with -tags planted")
	}
	switch {
	case f.planted:
		return f.plant()
	case f.seed > 0:
		return f.one()
	}
	return f.campaign()
}

// one runs one seed.
func (f *flags) one() error {
	for _, b := range fault.All() {
		if b.String() == f.only {
			fault.Plant(b)
		}
	}
	for _, nodes := range []int{1, 3} {
		if f.nodes != 0 && f.nodes != nodes {
			continue
		}
		o := sim.Derive(f.seed, nodes)
		if f.safety > 0 {
			o.Safety = f.safety
		}
		o.Mute = f.mute
		for _, n := range strings.FieldsFunc(f.drop, func(r rune) bool { return r == ',' }) {
			number, err := strconv.Atoi(n)
			if err != nil {
				return fmt.Errorf("-drop: %w", err)
			}
			o.Drop = append(o.Drop, number)
		}
		if f.trace {
			o.Trace = os.Stdout
		}
		r := sim.Run(o)
		fmt.Printf("%d nodes, trace %016x: %v\n", nodes, r.Trace, r.Coverage)
		if r.Failure == nil {
			continue
		}
		if f.shrink {
			return sim.Shrink(r.Failure, os.Stdout)
		}
		return r.Failure
	}
	return nil
}

func (f *flags) campaign() error {
	c := sim.Campaign{First: f.from, Seeds: f.seeds, For: f.limit, Nodes: f.nodes, Safety: f.safety, Twice: f.twice, Out: os.Stdout}
	s := c.Run()
	fmt.Print(s.String())
	for _, failure := range s.Failures {
		if f.shrink {
			return sim.Shrink(failure, os.Stdout)
		}
		return failure
	}
	if thin := s.Thin(); thin != "" {
		return fmt.Errorf("the campaign does not count: %s", thin)
	}
	return nil
}

// plant plants every bug and reports how soon each is caught.
func (f *flags) plant() error {
	missed := 0
	for _, b := range fault.All() {
		if f.only != "" && b.String() != f.only {
			continue
		}
		c := sim.Plant(b, f.plantedSeeds)
		if c.Failure == nil {
			missed++
			fmt.Printf("%-18s NOT CAUGHT within %d seeds\n", b, c.Seeds)
			continue
		}
		what, _, _ := strings.Cut(c.Failure.Err.Error(), "\n")
		fmt.Printf("%-18s seed %d, %d nodes: %s\n", b, c.Seeds, c.Failure.Options.Nodes, what)
	}
	if missed > 0 {
		return fmt.Errorf("%d planted bugs were not caught", missed)
	}
	return nil
}
