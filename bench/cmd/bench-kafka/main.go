// Command bench-kafka does the same Kafka work against Polylog and against
// Apache Kafka (with its defaults, and syncing each append), alternating, on
// one machine in one run, and writes what each did and what it cost.
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

	"github.com/polylog-mq/polylog/bench/peer"
	"github.com/polylog-mq/polylog/bench/report"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench-kafka:", err)
		os.Exit(1)
	}
}

// options are the command's flags.
type options struct {
	root, cache, scratch, results string
	only                          string
	rounds                        int
	duration, warmup              time.Duration
	skipKafka                     bool
}

func run() error {
	var o options
	flag.StringVar(&o.root, "root", "..", "folder of the main module")
	flag.StringVar(&o.cache, "cache", defaultCache(), "folder that keeps downloaded peers")
	flag.StringVar(&o.scratch, "scratch", os.TempDir(), "folder for the servers' data; its disk is measured")
	flag.StringVar(&o.results, "results", "results", "folder for the JSON and the table")
	flag.StringVar(&o.only, "only", "", "regular expression: run only the lines whose name it matches")
	flag.IntVar(&o.rounds, "rounds", 3, "times that each line is run on each server, alternating")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "counted time of each load")
	flag.DurationVar(&o.warmup, "warmup", 3*time.Second, "uncounted time before it")
	flag.BoolVar(&o.skipKafka, "skip-kafka", false, "measure Polylog alone")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	return compare(ctx, o)
}

func defaultCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "polylog-bench")
}

// target is a server with the topic configuration that makes it one column.
type target struct {
	column string
	server *peer.Server
	topic  map[string]string
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
	targets, stop, err := startTargets(o, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()

	rep := report.New(ctx, dir, o.root)
	for _, t := range targets {
		rep.AddServer(t.column, t.server)
	}
	for _, l := range lines {
		if !only.MatchString(l.name) {
			continue
		}
		for round := range o.rounds {
			for _, t := range targets {
				fmt.Fprintf(os.Stderr, "%-44s %-16s round %d of %d\n", l.name, t.column, round+1, o.rounds)
				s, err := measure(ctx, o, l, t, round)
				if err != nil {
					return fmt.Errorf("%s on %s: %w", l.name, t.column, err)
				}
				rep.Add(l.name, t.column, s)
			}
		}
	}
	return rep.Write(o.results, "kafka", os.Stdout)
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
	if o.skipKafka {
		return targets, stop, nil
	}
	lib, err := peer.InstallKafka(o.cache)
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	kafka, err := startIn(dir, "kafka", func(d string) (*peer.Server, error) { return peer.StartKafka(lib, d) })
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	servers = append(servers, kafka)
	return append(targets,
		target{column: "kafka", server: kafka},
		target{column: "kafka, synced", server: kafka, topic: map[string]string{"flush.messages": "1"}},
	), stop, nil
}

func startIn(dir, name string, start func(string) (*peer.Server, error)) (*peer.Server, error) {
	d := filepath.Join(dir, name)
	if err := os.Mkdir(d, 0o755); err != nil {
		return nil, fmt.Errorf("make a folder for %s: %w", name, err)
	}
	return start(d)
}
