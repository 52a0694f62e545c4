package main

import (
	"context"
	"fmt"
	"time"

	"github.com/polylog-mq/polylog/bench/load"
	"github.com/polylog-mq/polylog/bench/peer"
	"github.com/polylog-mq/polylog/bench/report"
)

// partitions is the number that each line's topic has.
const partitions = 6

// line is one row of the comparison: a load on a fresh topic.
type line struct {
	name string
	// fill, when set, is written to the topic before the load.
	fill *load.Produce
	// load runs against addr and topic.
	load func(ctx context.Context, o options, addr, topic string, onCount, onEnd func()) (load.Result, error)
}

var lines = []line{
	{name: "produce, 1 connection, one at a time, 100 B", load: produce(load.Produce{Connections: 1, InFlight: 1, Records: 1, Size: 100})},
	{name: "produce, 64 connections, one at a time, 100 B", load: produce(load.Produce{Connections: 64, InFlight: 1, Records: 1, Size: 100})},
	{name: "produce, 1000 connections, one at a time, 100 B", load: produce(load.Produce{Connections: 1000, InFlight: 1, Records: 1, Size: 100})},
	{name: "produce, 6 connections, 650 x 100 B, 5 in flight", load: produce(load.Produce{Connections: 6, InFlight: 5, Records: 650, Size: 100})},
	{name: "produce, 6 connections, 64 x 1 KB, 5 in flight", load: produce(load.Produce{Connections: 6, InFlight: 5, Records: 64, Size: 1000})},
	{name: "open loop, 16 connections x 100/s, 100 B", load: produce(load.Produce{Connections: 16, Records: 1, Size: 100, Rate: 100})},
	{name: "open loop, 16 connections x 100/s, 10 x 1 KB", load: produce(load.Produce{Connections: 16, Records: 10, Size: 1000, Rate: 100})},
	{
		name: "fetch, 6 connections, 1 MiB",
		fill: &load.Produce{Connections: 6, InFlight: 5, Records: 650, Size: 100, Duration: 3 * time.Second},
		load: fetch(load.Fetch{Connections: 6, MaxBytes: 1 << 20, Size: 100}),
	},
	{name: "franz-go produce, 100 B", load: client(load.Client{Size: 100})},
	{name: "franz-go consume, 100 B", load: client(load.Client{Size: 100, Consume: true})},
	{name: "franz-go produce, 1 KB", load: client(load.Client{Size: 1000})},
	{name: "franz-go consume, 1 KB", load: client(load.Client{Size: 1000, Consume: true})},
}

func produce(p load.Produce) func(context.Context, options, string, string, func(), func()) (load.Result, error) {
	return func(ctx context.Context, o options, addr, topic string, onCount, onEnd func()) (load.Result, error) {
		p.Addr, p.Topic, p.Partitions, p.Warmup, p.Duration = addr, topic, partitions, o.warmup, o.duration
		return p.Run(ctx, onCount, onEnd)
	}
}

func fetch(f load.Fetch) func(context.Context, options, string, string, func(), func()) (load.Result, error) {
	return func(ctx context.Context, o options, addr, topic string, onCount, onEnd func()) (load.Result, error) {
		f.Addr, f.Topic, f.Partitions, f.Warmup, f.Duration = addr, topic, partitions, o.warmup, o.duration
		return f.Run(ctx, onCount, onEnd)
	}
}

func client(c load.Client) func(context.Context, options, string, string, func(), func()) (load.Result, error) {
	return func(ctx context.Context, o options, addr, topic string, onCount, onEnd func()) (load.Result, error) {
		c.Addr, c.Topic, c.Warmup, c.Duration = addr, topic, o.warmup, o.duration
		return c.Run(ctx, onCount, onEnd)
	}
}

// measure runs one line once on one target, on a topic of its own.
func measure(ctx context.Context, o options, l line, t target, round int) (report.Sample, error) {
	topic := fmt.Sprintf("bench-%d-%d", time.Now().UnixNano(), round)
	addr := t.server.Addr
	if err := load.CreateTopic(addr, topic, partitions, t.topic); err != nil {
		return report.Sample{}, err
	}
	if l.fill != nil {
		fill := *l.fill
		fill.Addr, fill.Topic, fill.Partitions = addr, topic, partitions
		if _, err := fill.Run(ctx, func() {}, func() {}); err != nil {
			return report.Sample{}, fmt.Errorf("fill: %w", err)
		}
	}
	var before, after peer.Usage
	var errBefore, errAfter error
	r, err := l.load(ctx, o, addr, topic,
		func() { before, errBefore = t.server.Usage() },
		func() { after, errAfter = t.server.Usage() })
	for _, e := range []error{err, errBefore, errAfter} {
		if e != nil {
			return report.Sample{}, e
		}
	}
	return report.Sample{
		Result:       r,
		CPUSeconds:   (after.CPU - before.CPU).Seconds(),
		Resident:     after.Resident,
		BytesWritten: after.Written - before.Written,
	}, load.DeleteTopic(addr, topic)
}
