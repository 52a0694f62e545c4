package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/polylog-mq/polylog/bench/load"
	"github.com/polylog-mq/polylog/bench/peer"
	"github.com/polylog-mq/polylog/bench/report"
)

// target is a server with the topic configuration that makes it one column.
type target struct {
	column string
	server *peer.Server
	topic  map[string]string
	synced bool // it differs from another by syncing alone
}

// house is the servers of a run.
type house struct {
	dir     string
	kinds   []kind
	targets []target
}

// kind is how to start one server, in an empty folder.
type kind struct {
	column string
	start  func(dir string) (*peer.Server, error)
}

// openHouse builds and brings what is needed, starts the servers one after the
// other and notes how they start and idle.
func openHouse(ctx context.Context, o *options, dir string, rep *report.Report) (*house, error) {
	bin, err := peer.BuildPolylog(o.root, filepath.Join(dir, "bin"))
	if err != nil {
		return nil, err
	}
	h := &house{dir: dir}
	h.add("polylog", func(d string) (*peer.Server, error) { return peer.StartPolylog(bin, d) })
	if o.against != "" {
		h.add("polylog, other build", func(d string) (*peer.Server, error) { return peer.StartPolylog(o.against, d) })
	}
	if !o.skipKafka {
		if o.lib, err = peer.InstallKafka(o.cache); err != nil {
			return nil, err
		}
		h.add("kafka", func(d string) (*peer.Server, error) { return peer.StartKafka(o.lib, d) })
	}
	for _, k := range h.kinds {
		if err := h.open(ctx, k, rep); err != nil {
			return nil, errors.Join(err, h.close())
		}
	}
	if !o.skipKafka {
		kafka := h.targets[len(h.targets)-1]
		kafka.column, kafka.topic, kafka.synced = "kafka, synced", map[string]string{"flush.messages": "1"}, true
		h.targets = append(h.targets, kafka)
		if err := warm(ctx, kafka.server); err != nil {
			return nil, errors.Join(err, h.close())
		}
	}
	return h, nil
}

func (h *house) add(column string, start func(dir string) (*peer.Server, error)) {
	h.kinds = append(h.kinds, kind{column, start})
}

// idleFor is how long a server is left alone before and while its idling is
// looked at.
const idleFor = 3 * time.Second

// open starts a server and notes how.
func (h *house) open(ctx context.Context, k kind, rep *report.Report) error {
	s, first, err := h.fresh(ctx, k, "data-"+k.column)
	if err != nil {
		return err
	}
	h.targets = append(h.targets, target{column: k.column, server: s})
	time.Sleep(idleFor)
	before, err := s.Usage()
	if err != nil {
		return err
	}
	time.Sleep(idleFor)
	after, err := s.Usage()
	if err != nil {
		return err
	}
	rep.Servers[k.column] = report.Server{
		Version: s.Version, StartSeconds: s.Started.Seconds(), FirstAckSeconds: first.Seconds(),
		IdleResident: after.Resident, IdleCPU: (after.CPU - before.CPU).Seconds() / idleFor.Seconds(),
	}
	return nil
}

// firstTopic is made on every server, with one record.
const firstTopic = "first"

// fresh starts a server in an empty folder and returns how long it took until
// its first record was acknowledged.
func (h *house) fresh(ctx context.Context, k kind, name string) (*peer.Server, time.Duration, error) {
	dir := filepath.Join(h.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, 0, fmt.Errorf("make a folder for %s: %w", k.column, err)
	}
	s, err := k.start(dir)
	if err != nil {
		return nil, 0, err
	}
	if err := load.CreateTopic(s.Addr, firstTopic, 1, nil); err != nil {
		return nil, 0, errors.Join(err, s.Stop())
	}
	if err := load.FirstAck(ctx, s.Addr, firstTopic); err != nil {
		return nil, 0, errors.Join(err, s.Stop())
	}
	return s, time.Since(s.Began), nil
}

// warm lets a JVM compile what it is about to be measured with: cold, it does
// half.
func warm(ctx context.Context, s *peer.Server) error {
	const topic = "warm"
	if err := load.CreateTopic(s.Addr, topic, partitions, nil); err != nil {
		return err
	}
	at := place{addr: s.Addr, topic: topic, partitions: partitions}
	o := options{duration: 6 * time.Second}
	none := func() {}
	for _, l := range []run{
		produce(records100B),
		produce(load.Produce{Connections: 64, InFlight: 1, Records: 1, Size: 100}),
		fetch(load.Fetch{Connections: 6, MaxBytes: mib, Size: 100}),
		// Kafka makes the topic of its transactions when the first one comes.
		transactions(load.Transactions{Clients: 1, Records: 1000, Size: 100}),
	} {
		if _, err := l(ctx, o, at, none, none); err != nil {
			return fmt.Errorf("warm up %s: %w", s.Name, err)
		}
	}
	return load.DeleteTopic(s.Addr, topic)
}

// restarts fills servers of their own, kills them, and notes how long they take
// to acknowledge again.
func (h *house) restarts(ctx context.Context, o options, rep *report.Report) {
	for _, k := range h.kinds {
		fmt.Fprintf(os.Stderr, "%s  restart with %.1f GB  %s\n", time.Now().Format(time.TimeOnly), o.restartGB, k.column)
		took, bytes, err := h.restart(ctx, o, k)
		if err != nil {
			rep.Leave("restart on %s: %v", k.column, err)
			continue
		}
		s := rep.Servers[k.column]
		s.RestartSeconds, s.RestartBytes = took.Seconds(), bytes
		rep.Servers[k.column] = s
	}
}

func (h *house) restart(ctx context.Context, o options, k kind) (took time.Duration, bytes int64, err error) {
	s, _, err := h.fresh(ctx, k, "restart-"+k.column)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, s.Stop(), os.RemoveAll(s.Dir)) }()
	const topic = "stored"
	if err := load.CreateTopic(s.Addr, topic, partitions, nil); err != nil {
		return 0, 0, err
	}
	fill := records1KB
	fill.Addr, fill.Topic, fill.Partitions = s.Addr, topic, partitions
	fill.Requests = int(o.restartGB * 1e9 / float64(fill.Connections*fill.Records*fill.Size))
	r, err := fill.Run(ctx, func() {}, func() {})
	if err != nil {
		return 0, 0, fmt.Errorf("fill: %w", err)
	}
	if err := s.Kill(); err != nil {
		return 0, 0, err
	}
	if err := s.Restart(); err != nil {
		return 0, 0, err
	}
	if err := load.FirstAck(ctx, s.Addr, firstTopic); err != nil {
		return 0, 0, err
	}
	return time.Since(s.Began), r.Bytes, nil
}

// close stops the servers.
func (h *house) close() error {
	var errs []error
	for _, t := range h.targets {
		if !t.synced {
			errs = append(errs, t.server.Stop())
		}
	}
	return errors.Join(errs...)
}
