// Command bench-kafka does the same Kafka work against Polylog and against
// Apache Kafka (with its defaults, and syncing each append), alternating, on
// one machine in one run, and writes what each did and what it cost.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"time"

	"github.com/polylog-mq/polylog/bench/report"
)

func main() {
	if err := start(); err != nil {
		fmt.Fprintln(os.Stderr, "bench-kafka:", err)
		os.Exit(1)
	}
}

// options are the command's flags.
type options struct {
	root, cache, scratch, results, name string
	only, against                       string
	rounds                              int
	duration, warmup, sustained, budget time.Duration
	restartGB                           float64
	skipKafka                           bool

	lib      string    // folder of Kafka's jars, once they are there
	deadline time.Time // by budget; zero: none
}

// Under a budget a load lasts no longer than these, and lastSteps is kept for
// what comes after the lines.
const (
	shortDuration  = 2500 * time.Millisecond
	shortWarmup    = 1500 * time.Millisecond
	shortSustained = 30 * time.Second
	shortRestartGB = 2
	lastSteps      = time.Minute
)

func start() error {
	var o options
	flag.StringVar(&o.root, "root", "..", "folder of the main module")
	flag.StringVar(&o.cache, "cache", defaultCache(), "folder that keeps downloaded peers")
	flag.StringVar(&o.scratch, "scratch", os.TempDir(), "folder for the servers' data; its disk is measured")
	flag.StringVar(&o.results, "results", "results", "folder for the results")
	flag.StringVar(&o.name, "name", "", "name of the results' files; default kafka, or partial with -only")
	flag.StringVar(&o.only, "only", "", "regular expression: run only the lines whose name it matches; 'restart' is one")
	flag.StringVar(&o.against, "against", "", "another polylog program, as one more column")
	flag.IntVar(&o.rounds, "rounds", 3, "times that each line is run on each server, alternating")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "counted time of each load")
	flag.DurationVar(&o.warmup, "warmup", 3*time.Second, "uncounted time before it")
	flag.DurationVar(&o.sustained, "sustained", 10*time.Minute, "counted time of the sustained load, which is run once")
	flag.Float64Var(&o.restartGB, "restart-gb", 20, "10^9 bytes of values that a server holds when it is killed and started anew")
	flag.DurationVar(&o.budget, "budget", 0, "time for the whole run: loads are shortened, and rounds left out, to keep it; 0: as long as it takes")
	flag.BoolVar(&o.skipKafka, "skip-kafka", false, "measure Polylog alone")
	flag.Parse()
	o.fit()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	return compare(ctx, o)
}

// fit shortens the loads if there is a budget.
func (o *options) fit() {
	if o.name == "" {
		if o.name = "kafka"; o.only != "" {
			o.name = "partial"
		}
	}
	if o.budget == 0 {
		return
	}
	o.deadline = time.Now().Add(o.budget - lastSteps)
	o.duration, o.warmup = min(o.duration, shortDuration), min(o.warmup, shortWarmup)
	o.sustained, o.restartGB = min(o.sustained, shortSustained), min(o.restartGB, shortRestartGB)
}

func (o *options) timeIsUp() bool { return !o.deadline.IsZero() && time.Now().After(o.deadline) }

// extent is what the page of results says of the run.
func (o *options) extent() report.Extent {
	return report.Extent{Rounds: o.rounds, Duration: o.duration, Warmup: o.warmup, Budget: o.budget, Only: o.only}
}

func defaultCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "polylog-bench")
}

func compare(ctx context.Context, o options) (err error) {
	only, err := regexp.Compile(o.only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	dir, err := os.MkdirTemp(o.scratch, "bench-kafka-")
	if err != nil {
		return fmt.Errorf("make a scratch folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	rep := report.New(ctx, dir, o.root, "Polylog and Apache Kafka, side by side",
		"Polylog syncs all that it acknowledges; kafka has its defaults and acknowledges before any sync; “kafka, synced” has flush.messages=1.", o.extent())
	h, err := openHouse(ctx, &o, dir, rep)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	for _, l := range lines {
		rep.Aim(l.name, l.goals...)
	}
	if err := h.all(ctx, o, only, rep); err != nil {
		// What there is may help to find out why, but must not pass for a run.
		return errors.Join(rep.Write(o.results, o.name+"-unfinished", io.Discard), err)
	}
	return rep.Write(o.results, o.name, os.Stdout)
}

// all runs the lines, round by round. It stops when a server has died: what
// would follow compares nothing.
func (h *house) all(ctx context.Context, o options, only *regexp.Regexp, rep *report.Report) error {
	for round := range o.rounds {
		for _, l := range lines {
			if only.MatchString(l.name) && (round == 0 || !l.once) {
				if err := h.line(ctx, o, l, round, rep); err != nil {
					return err
				}
			}
		}
	}
	if only.MatchString("restart") {
		h.restarts(ctx, o, rep)
	}
	return ctx.Err()
}

// line runs a line on every target. A load that fails is noted, and the others
// go on; an error says that a server is gone.
func (h *house) line(ctx context.Context, o options, l line, round int, rep *report.Report) error {
	if o.timeIsUp() {
		if round == 0 {
			rep.Leave("%s: the time was up", l.name)
		}
		return nil
	}
	for _, t := range h.targets {
		if l.reads && t.synced {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s  %-54s %-16s round %d of %d\n", time.Now().Format(time.TimeOnly), l.name, t.column, round+1, o.rounds)
		s, err := watched(ctx, o, l, t)
		if err := errors.Join(ctx.Err(), t.server.Died()); err != nil {
			return fmt.Errorf("%s on %s, round %d: %w", l.name, t.column, round+1, err)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "  failed:", err)
			rep.Leave("%s on %s, round %d: %v", l.name, t.column, round+1, err)
			continue
		}
		rep.Add(l.name, l.limit, t.column, s)
	}
	return nil
}

// watched is measure that ends when the server does.
func watched(ctx context.Context, o options, l line, t target) (report.Sample, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-t.server.Gone():
			cancel()
		case <-ctx.Done():
		}
	}()
	s, err := measure(ctx, o, l, t)
	if err != nil {
		select { // a broken connection may be how one hears of it first
		case <-t.server.Gone():
		case <-time.After(time.Second):
		}
	}
	return s, err
}
