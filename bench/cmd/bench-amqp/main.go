// Command bench-amqp does the same AMQP work against Polylog and against
// RabbitMQ's classic and quorum queues, alternating, on one machine in one run,
// and writes what each did and what it cost.
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
	"syscall"
	"time"

	"github.com/polylog-mq/polylog/bench/amqp"
	"github.com/polylog-mq/polylog/bench/peer"
	"github.com/polylog-mq/polylog/bench/report"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench-amqp:", err)
		os.Exit(1)
	}
}

// options are the command's flags.
type options struct {
	root, scratch, results string
	only, against          string
	rounds                 int
	duration, warmup       time.Duration
	budget, queuing        time.Duration
	queued, idle, declared int
	skipRabbit             bool

	deadline time.Time // by budget; zero: none
}

// Under a budget a load lasts no longer than these, and a server has no more than
// one part in queuingShare of it to take the messages that are to be queued.
// lastSteps is kept for connections and declarations.
const (
	shortDuration = 2 * time.Second
	shortWarmup   = 700 * time.Millisecond
	queuingShare  = 5
	lastSteps     = 90 * time.Second
)

// The columns of RabbitMQ, by kinds of queues.
const (
	classic = "rabbitmq, classic"
	quorum  = "rabbitmq, quorum"
)

func run() error {
	var o options
	flag.StringVar(&o.root, "root", "..", "folder of the main module")
	flag.StringVar(&o.scratch, "scratch", os.TempDir(), "folder for the servers' data; its disk is measured")
	flag.StringVar(&o.results, "results", "results", "folder for the JSON and the table")
	flag.StringVar(&o.only, "only", "", "regular expression: run only the lines whose name it matches")
	flag.IntVar(&o.rounds, "rounds", 3, "times that each line is run on each server, alternating")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "counted time of each load")
	flag.DurationVar(&o.warmup, "warmup", 3*time.Second, "uncounted time before it")
	flag.IntVar(&o.queued, "queued", 10_000_000, "messages of the line about queued ones")
	flag.DurationVar(&o.queuing, "queuing", time.Hour, "time that a server has to take those; what it took by then is what is measured")
	flag.IntVar(&o.idle, "idle", 10_000, "connections of the line about idle ones; the limit of open files must be above that")
	flag.IntVar(&o.declared, "declared", 10_000, "queues of the line about declaring them")
	flag.DurationVar(&o.budget, "budget", 0, "time for the whole run: loads are shortened, and rounds left out, to keep it; 0: as long as it takes")
	flag.StringVar(&o.against, "against", "", "another polylog program, as one more column")
	flag.BoolVar(&o.skipRabbit, "skip-rabbitmq", false, "measure Polylog alone")
	flag.Parse()
	if o.budget > 0 {
		o.duration, o.warmup = min(o.duration, shortDuration), min(o.warmup, shortWarmup)
		o.queuing = min(o.queuing, o.budget/queuingShare)
		o.deadline = time.Now().Add(o.budget - 2*o.queuing - lastSteps)
	}
	if err := raiseFiles(); err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	return compare(ctx, o)
}

// raiseFiles raises the limit of open files, which the servers inherit, as far as
// it goes.
func raiseFiles() error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	l.Cur = l.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("raise the limit of open files: %w", err)
	}
	return nil
}

// extent is what the page of results says of the run.
func (o *options) extent() report.Extent {
	return report.Extent{Rounds: o.rounds, Duration: o.duration, Warmup: o.warmup, Budget: o.budget, Only: o.only}
}

// target is a server with the kind of queues that makes it one column.
type target struct {
	column string
	server *peer.Server
	queue  amqp.Queue
}

func compare(ctx context.Context, o options) (err error) {
	only, err := regexp.Compile(o.only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	dir, err := os.MkdirTemp(o.scratch, "bench-amqp-")
	if err != nil {
		return fmt.Errorf("make a scratch folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	targets, stop, err := startTargets(o, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	rep := report.New(ctx, dir, o.root, "Polylog and RabbitMQ, side by side", "Messages are persistent and confirmed.",
		o.extent())
	for _, t := range targets {
		rep.AddServer(t.column, t.server)
	}
	name := "amqp"
	if o.only != "" {
		name = "partial"
	}
	if err := runAll(ctx, o, only, targets, rep); err != nil {
		// What there is may help to find out why, but must not pass for a run.
		return errors.Join(rep.Write(o.results, name+"-unfinished", io.Discard), err)
	}
	return rep.Write(o.results, name, os.Stdout)
}

// runAll runs the lines, round by round. It stops when a server has died: what
// would follow compares nothing.
func runAll(ctx context.Context, o options, only *regexp.Regexp, targets []target, rep *report.Report) error {
	all := lines(o)
	for _, l := range all {
		rep.Aim(l.name, l.goals...)
	}
	for round := range o.rounds + 1 {
		for _, l := range all {
			if only.MatchString(l.name) && l.once == (round == o.rounds) {
				if err := runLine(ctx, o, l, round, targets, rep); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// runLine runs a line on every target. What is run once comes last, and has its
// time. A load that fails is noted, and the others go on; an error says that a
// server is gone.
func runLine(ctx context.Context, o options, l line, round int, targets []target, rep *report.Report) error {
	if !l.once && !o.deadline.IsZero() && time.Now().After(o.deadline) {
		if round == 0 {
			rep.Leave("%s: the time was up", l.name)
		}
		return nil
	}
	for _, t := range targets {
		fmt.Fprintf(os.Stderr, "%s  %-48s %-18s round %d of %d\n",
			time.Now().Format(time.TimeOnly), l.name, t.column, min(round+1, o.rounds), o.rounds)
		s, err := watched(ctx, l, t)
		if err := errors.Join(ctx.Err(), t.server.Died()); err != nil {
			return fmt.Errorf("%s on %s: %w", l.name, t.column, err)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "  failed:", err)
			rep.Leave("%s on %s: %v", l.name, t.column, err)
			continue
		}
		if s.Records < l.least {
			rep.Leave("%s on %s: only %d, in the time that there was", l.name, t.column, s.Records)
		}
		rep.Add(l.name, l.limit, t.column, s)
	}
	return nil
}

// watched is measure that ends when the server does.
func watched(ctx context.Context, l line, t target) (report.Sample, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-t.server.Gone():
			cancel()
		case <-ctx.Done():
		}
	}()
	s, err := measure(ctx, l, t)
	if err != nil {
		select { // a broken connection may be how one hears of it first
		case <-t.server.Gone():
		case <-time.After(time.Second):
		}
	}
	return s, err
}

func startTargets(o options, dir string) ([]target, func() error, error) {
	var servers []*peer.Server
	stop := func() error {
		var errs []error
		for _, s := range servers {
			errs = append(errs, s.Stop())
		}
		return errors.Join(errs...)
	}
	bin, err := peer.BuildPolylog(o.root, filepath.Join(dir, "bin"))
	if err != nil {
		return nil, nil, err
	}
	var targets []target
	for _, p := range [...]struct{ column, folder, program string }{
		{"polylog", "polylog", bin}, {"polylog, other build", "other", o.against},
	} {
		if p.program == "" {
			continue
		}
		s, err := startIn(dir, p.folder, func(d string) (*peer.Server, error) { return peer.StartPolylog(p.program, d) })
		if err != nil {
			return nil, nil, errors.Join(err, stop())
		}
		servers = append(servers, s)
		targets = append(targets, target{column: p.column, server: s})
	}
	if o.skipRabbit {
		return targets, stop, nil
	}
	rabbit, err := startIn(dir, "rabbitmq", peer.StartRabbitMQ)
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	servers = append(servers, rabbit)
	return append(targets,
		target{column: classic, server: rabbit, queue: "classic"},
		target{column: quorum, server: rabbit, queue: "quorum"},
	), stop, nil
}

func startIn(dir, name string, start func(string) (*peer.Server, error)) (*peer.Server, error) {
	d := filepath.Join(dir, name)
	if err := os.Mkdir(d, 0o755); err != nil {
		return nil, fmt.Errorf("make a folder for %s: %w", name, err)
	}
	return start(d)
}
