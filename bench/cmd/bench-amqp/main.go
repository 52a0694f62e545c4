// Command bench-amqp does the same AMQP work against Polylog and against
// RabbitMQ's classic and quorum queues, alternating, on one machine in one run,
// and writes what each did and what it cost.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
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
	only                   string
	rounds                 int
	duration, warmup       time.Duration
	queued, idle, declared int
	skipRabbit             bool
}

func run() error {
	var o options
	flag.StringVar(&o.root, "root", "..", "folder of the main module")
	flag.StringVar(&o.scratch, "scratch", os.TempDir(), "folder for the servers' data; its disk is measured")
	flag.StringVar(&o.results, "results", "results", "folder for the JSON and the table")
	flag.StringVar(&o.only, "only", "", "regular expression: run only the lines whose name it matches")
	flag.IntVar(&o.rounds, "rounds", 3, "times that each line is run on each server, alternating")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "counted time of each load")
	flag.DurationVar(&o.warmup, "warmup", 3*time.Second, "uncounted time before it")
	flag.IntVar(&o.queued, "queued", 1_000_000, "messages of the line about queued ones")
	flag.IntVar(&o.idle, "idle", 2_000, "connections of the line about idle ones")
	flag.IntVar(&o.declared, "declared", 10_000, "queues of the line about declaring them")
	flag.BoolVar(&o.skipRabbit, "skip-rabbitmq", false, "measure Polylog alone")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	return compare(ctx, o)
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
		fmt.Sprintf("loads of %v after %v, %d rounds", o.duration, o.warmup, o.rounds))
	for _, t := range targets {
		rep.AddServer(t.column, t.server)
	}
	for _, l := range lines(o) {
		if !only.MatchString(l.name) {
			continue
		}
		for round := range o.rounds {
			for _, t := range targets {
				fmt.Fprintf(os.Stderr, "%-48s %-18s round %d of %d\n", l.name, t.column, round+1, o.rounds)
				s, err := measure(ctx, l, t)
				if err != nil {
					return fmt.Errorf("%s on %s: %w", l.name, t.column, err)
				}
				rep.Add(l.name, report.NoLimit, t.column, s)
			}
		}
	}
	return rep.Write(o.results, "amqp", os.Stdout)
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
	polylog, err := startIn(dir, "polylog", func(d string) (*peer.Server, error) { return peer.StartPolylog(bin, d) })
	if err != nil {
		return nil, nil, err
	}
	servers = append(servers, polylog)
	targets := []target{{column: "polylog", server: polylog}}
	if o.skipRabbit {
		return targets, stop, nil
	}
	rabbit, err := startIn(dir, "rabbitmq", peer.StartRabbitMQ)
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	servers = append(servers, rabbit)
	return append(targets,
		target{column: "rabbitmq, classic", server: rabbit, queue: "classic"},
		target{column: "rabbitmq, quorum", server: rabbit, queue: "quorum"},
	), stop, nil
}

func startIn(dir, name string, start func(string) (*peer.Server, error)) (*peer.Server, error) {
	d := filepath.Join(dir, name)
	if err := os.Mkdir(d, 0o755); err != nil {
		return nil, fmt.Errorf("make a folder for %s: %w", name, err)
	}
	return start(d)
}
