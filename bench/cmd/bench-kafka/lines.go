package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/polylog-mq/polylog/bench/load"
	"github.com/polylog-mq/polylog/bench/peer"
	"github.com/polylog-mq/polylog/bench/report"
)

// partitions is the number that a line's topic has unless it says otherwise.
const partitions = 6

// place is where a load works.
type place struct {
	addr, topic string
	partitions  int
	lib         string // folder of Kafka's jars, if they are there
}

// run drives a load; see load.Produce.Run.
type run func(ctx context.Context, o options, at place, onCount, onEnd func()) (load.Result, error)

// line is one row of the comparison: a load on a fresh topic.
type line struct {
	name       string
	limit      report.Limit
	partitions int
	config     map[string]string // of the topic
	// reads says that the line is not run on Kafka with syncs, which makes no
	// difference to it; once, that it takes long and is run in the first round
	// only.
	reads, once bool
	// fill, when set, is written to the topic before the load, and ready does
	// what else must be done then.
	fill  *load.Produce
	ready func(ctx context.Context, s *peer.Server) error
	load  run
	goals []report.Goal // those that the project has set itself
}

const mib = 1 << 20

// Batches of about 64 KB, as clients make them.
var (
	records100B = load.Produce{Connections: 6, InFlight: 5, Records: 650, Size: 100}
	records1KB  = load.Produce{Connections: 6, InFlight: 5, Records: 64, Size: 1000}
)

// The columns that goals are over.
const (
	unsynced = "kafka"
	synced   = "kafka, synced"
)

// The goals of large batches and of single records. Where a user's client is the
// bottleneck, speed is to be no worse, but for what two runs differ by.
var (
	batches = []report.Goal{
		report.AtLeast(report.Speed, unsynced, 1.5), report.AtLeast(report.Speed, synced, 3), report.AtMost(report.CPU, unsynced, 0.35),
	}
	singles = []report.Goal{
		report.AtLeast(report.Speed, unsynced, 2), report.AtLeast(report.Speed, synced, 9),
		report.AtMost(report.P99, unsynced, 0.35), report.AtMost(report.CPU, unsynced, 0.35),
	}
	alone = []report.Goal{report.AtMost(report.P50, unsynced, 1.2), report.AtMost(report.P50, synced, 0.3)}
	paced = []report.Goal{
		report.AtMost(report.P50, unsynced, 0.5), report.AtMost(report.P99, unsynced, 0.5),
	}
	fetches = []report.Goal{report.AtLeast(report.Speed, unsynced, 1.2), report.AtMost(report.CPU, unsynced, 0.8)}
	clients = []report.Goal{report.AtLeast(report.Speed, unsynced, 0.97), report.AtMost(report.CPU, unsynced, 0.35)}
)

var lines = []line{
	{name: "produce, 1 connection, one at a time, 100 B", limit: report.SyncLatency, load: produce(load.Produce{Connections: 1, InFlight: 1, Records: 1, Size: 100}), goals: alone},
	{name: "produce, 64 connections, one at a time, 100 B", load: produce(load.Produce{Connections: 64, InFlight: 1, Records: 1, Size: 100}), goals: singles},
	{name: "produce, 1000 connections, one at a time, 100 B", load: produce(load.Produce{Connections: 1000, InFlight: 1, Records: 1, Size: 100})},
	{name: "produce, 6 connections, 650 x 100 B, 5 in flight", limit: report.DiskWrite, load: produce(records100B), goals: batches},
	{name: "produce, 6 connections, 64 x 1 KB, 5 in flight", limit: report.DiskWrite, load: produce(records1KB), goals: batches},
	{name: "produce, 6 connections, 6 x 10 KB, 5 in flight", limit: report.DiskWrite, load: produce(load.Produce{Connections: 6, InFlight: 5, Records: 6, Size: 10_000})},
	{name: "produce, 6 connections, 1 x 100 KB, 5 in flight", limit: report.DiskWrite, load: produce(load.Produce{Connections: 6, InFlight: 5, Records: 1, Size: 100_000})},
	{name: "produce, 6 connections, 650 x 100 B, lz4", limit: report.DiskWrite, load: produce(compressed(load.LZ4))},
	{name: "produce, 6 connections, 650 x 100 B, zstd", limit: report.DiskWrite, load: produce(compressed(load.Zstd))},
	{name: "produce, 16 connections, 16 x 100 B, 1 partitions", partitions: 1, load: produce(spread)},
	{name: "produce, 16 connections, 16 x 100 B, 16 partitions", partitions: 16, load: produce(spread)},
	{name: "produce, 16 connections, 16 x 100 B, 256 partitions", partitions: 256, load: produce(spread)},
	{name: "open loop, 16 connections x 100/s, 100 B", load: produce(load.Produce{Connections: 16, Records: 1, Size: 100, Rate: 100}), goals: paced},
	{name: "open loop, 16 connections x 100/s, 10 x 1 KB", load: produce(load.Produce{Connections: 16, Records: 10, Size: 1000, Rate: 100})},
	{name: "open loop, end to end, 1k records/s", load: endToEnd(1, 62.5)},
	{name: "open loop, end to end, 10k records/s", load: endToEnd(1, 625)},
	{name: "open loop, end to end, 50k records/s", load: endToEnd(10, 312.5)},
	{name: "fetch the tail, 6 connections, 1 MiB", limit: report.Loopback, reads: true, fill: amount(records100B, 75), load: fetch(load.Fetch{Connections: 6, MaxBytes: mib, Size: 100}), goals: fetches},
	{name: "fetch, 6 connections, 1 MiB", limit: report.Loopback, reads: true, fill: amount(records100B, 2000), load: fetch(load.Fetch{Connections: 6, MaxBytes: mib, Size: 100}), goals: fetches},
	{name: "catch up from level 0, once, 6 connections, 1 MiB", limit: report.Loopback, reads: true, fill: amount(records100B, 2500), load: fetch(load.Fetch{Connections: 6, MaxBytes: mib, Size: 100, Once: true})},
	{name: "catch up from level 0, cold", limit: report.Loopback, reads: true, fill: amount(records100B, 2500), ready: dropped, load: fetch(load.Fetch{Connections: 6, MaxBytes: mib, Size: 100, Once: true})},
	{name: "catch up from level 1, 32 partitions of 5 KB batches", limit: report.Loopback, partitions: 32, reads: true, fill: amount(small, 2500), ready: rewritten, load: fetch(load.Fetch{Connections: 32, MaxBytes: mib, Size: 1000, Once: true})},
	{name: "produce and consume at once, 650 x 100 B", limit: report.DiskWrite, load: flow(load.Flow{Produce: records100B, Groups: 1, MaxBytes: mib})},
	{name: "fan-out to 10 groups, 64 x 1 KB", limit: report.Loopback, load: flow(load.Flow{Produce: load.Produce{Connections: 2, InFlight: 2, Records: 64, Size: 1000}, Groups: 10, MaxBytes: mib})},
	{name: "transactions of 1000 x 100 B, 4 clients (franz-go)", load: transactions(load.Transactions{Clients: 4, Records: 1000, Size: 100})},
	{name: "franz-go produce, 100 B", limit: report.DiskWrite, load: client(load.Client{Size: 100}), goals: clients},
	{name: "franz-go consume, 100 B", limit: report.Loopback, reads: true, load: client(load.Client{Size: 100, Consume: true}), goals: clients},
	{name: "franz-go produce, 1 KB", limit: report.DiskWrite, load: client(load.Client{Size: 1000})},
	{name: "franz-go consume, 1 KB", limit: report.Loopback, reads: true, load: client(load.Client{Size: 1000, Consume: true})},
	{name: "ProducerPerformance, 100 B", limit: report.DiskWrite, load: java(load.Java{Size: 100, Rate: 400_000}), goals: clients},
	{name: "ProducerPerformance, 1 KB", limit: report.DiskWrite, load: java(load.Java{Size: 1000, Rate: 87_000}), goals: clients},
	{name: "sustained, retention deletes, 64 x 1 KB", limit: report.DiskWrite, once: true, config: retention, load: sustained(records1KB)},
	// Kafka takes minutes to make and to delete so many.
	{name: "produce, 16 connections, 16 x 100 B, 10000 partitions", partitions: 10_000, once: true, reads: true, load: produce(spread)},
}

// spread is a load whose cost should not grow with the number of partitions.
var spread = load.Produce{Connections: 16, InFlight: 2, Records: 16, Size: 100, Spread: true}

// small makes short runs, which are worth rewriting.
var small = load.Produce{Connections: 64, InFlight: 2, Records: 5, Size: 1000, Spread: true}

// retention keeps 64 MiB of each partition.
var retention = map[string]string{"retention.bytes": "67108864", "segment.bytes": "16777216"}

func compressed(c load.Codec) load.Produce {
	p := records100B
	p.Codec = c
	return p
}

// amount is a load of so many requests per connection.
func amount(p load.Produce, requests int) *load.Produce {
	p.Requests = requests
	return &p
}

// dropped has the kernel forget what it holds of the server's files.
func dropped(_ context.Context, s *peer.Server) error {
	s.DropCache()
	return nil
}

// rewritten waits until Polylog has rewritten what it finds worth it: all but
// the files that are still in memory and those too few to begin with.
func rewritten(ctx context.Context, s *peer.Server) error {
	if s.Name != "polylog" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return s.Rewritten(ctx, "segment", 500*mib)
}

func produce(p load.Produce) run {
	return func(ctx context.Context, o options, at place, onCount, onEnd func()) (load.Result, error) {
		p.Addr, p.Topic, p.Partitions, p.Warmup, p.Duration = at.addr, at.topic, at.partitions, o.warmup, o.duration
		return p.Run(ctx, onCount, onEnd)
	}
}

func sustained(p load.Produce) run {
	return func(ctx context.Context, o options, at place, onCount, onEnd func()) (load.Result, error) {
		o.duration = o.sustained
		return produce(p)(ctx, o, at, onCount, onEnd)
	}
}

func flow(f load.Flow) run {
	return func(ctx context.Context, o options, at place, onCount, onEnd func()) (load.Result, error) {
		p := &f.Produce
		p.Addr, p.Topic, p.Partitions, p.Warmup, p.Duration = at.addr, at.topic, at.partitions, o.warmup, o.duration
		return f.Run(ctx, onCount, onEnd)
	}
}

func endToEnd(records int, rate float64) run {
	return flow(load.Flow{
		Produce: load.Produce{Connections: 16, Records: records, Size: 100, Rate: rate, Stamp: true}, Groups: 1, MaxBytes: mib,
	})
}

func fetch(f load.Fetch) run {
	return func(ctx context.Context, o options, at place, onCount, onEnd func()) (load.Result, error) {
		f.Addr, f.Topic, f.Partitions, f.Warmup, f.Duration = at.addr, at.topic, at.partitions, o.warmup, o.duration
		return f.Run(ctx, onCount, onEnd)
	}
}

func client(c load.Client) run {
	return func(ctx context.Context, o options, at place, onCount, onEnd func()) (load.Result, error) {
		c.Addr, c.Topic, c.Warmup, c.Duration = at.addr, at.topic, o.warmup, o.duration
		return c.Run(ctx, onCount, onEnd)
	}
}

func transactions(t load.Transactions) run {
	return func(ctx context.Context, o options, at place, onCount, onEnd func()) (load.Result, error) {
		t.Addr, t.Topic, t.Warmup, t.Duration = at.addr, at.topic, o.warmup, o.duration
		return t.Run(ctx, onCount, onEnd)
	}
}

func java(j load.Java) run {
	return func(ctx context.Context, o options, at place, onCount, onEnd func()) (load.Result, error) {
		j.Addr, j.Topic, j.Lib, j.Duration = at.addr, at.topic, at.lib, o.warmup+o.duration
		return j.Run(ctx, onCount, onEnd)
	}
}

// measure runs one line once on one target, on a topic of its own.
func measure(ctx context.Context, o options, l line, t target) (s report.Sample, err error) {
	at := place{addr: t.server.Addr, topic: fmt.Sprintf("bench-%d", time.Now().UnixNano()), partitions: partitions, lib: o.lib}
	if l.partitions > 0 {
		at.partitions = l.partitions
	}
	config := maps.Clone(l.config)
	if config == nil {
		config = map[string]string{}
	}
	maps.Copy(config, t.topic)
	if err := load.CreateTopic(at.addr, at.topic, at.partitions, config); err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, load.DeleteTopic(at.addr, at.topic)) }()
	if l.fill != nil {
		fill := *l.fill
		fill.Addr, fill.Topic, fill.Partitions = at.addr, at.topic, at.partitions
		if _, err := fill.Run(ctx, func() {}, func() {}); err != nil {
			return s, fmt.Errorf("fill: %w", err)
		}
	}
	if l.ready != nil {
		if err := l.ready(ctx, t.server); err != nil {
			return s, err
		}
	}
	peer.Settle()
	var before, after peer.Usage
	var errBefore, errAfter error
	r, err := l.load(ctx, o, at,
		func() { before, errBefore = t.server.Usage() },
		func() { after, errAfter = t.server.Usage() })
	if err := errors.Join(err, errBefore, errAfter); err != nil {
		return s, err
	}
	return report.Sample{
		Result:       r,
		CPUSeconds:   (after.CPU - before.CPU).Seconds(),
		Resident:     after.Resident,
		BytesWritten: after.Written - before.Written,
		DiskUsed:     t.server.DiskUsed(),
	}, nil
}
