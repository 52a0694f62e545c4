package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/polylog-mq/polylog/bench/amqp"
	"github.com/polylog-mq/polylog/bench/load"
	"github.com/polylog-mq/polylog/bench/peer"
	"github.com/polylog-mq/polylog/bench/report"
)

// workload is one load against the queues of a prefix. It calls count when what is
// counted begins, and end when it ends.
type workload func(ctx context.Context, addr, prefix string, count, end func()) (load.Result, error)

// line is one row of the comparison.
type line struct {
	name   string
	queues int // durable ones that are made for it, and deleted after it
	load   workload
	limit  report.Limit
	// once says that it takes long and is run once, after the others.
	once bool
	// least is how many records it is about: with fewer, the page says so.
	least int64
	goals []report.Goal // those that the project has set itself
}

// goals are those of the columns of RabbitMQ for some figures. Latency is
// compared with quorum queues alone: they sync too.
func goals(figures ...report.Figure) (all []report.Goal) {
	for _, f := range figures {
		for _, column := range [...]string{classic, quorum} {
			switch {
			case f == report.Speed:
				all = append(all, report.AtLeast(f, column, 4))
			case f == report.P99 && column == quorum:
				all = append(all, report.AtMost(f, column, 0.5))
			case f == report.CPU:
				all = append(all, report.AtMost(f, column, 0.25))
			case f == report.Memory:
				all = append(all, report.AtMost(f, column, 0.2))
			}
		}
	}
	return all
}

// window is how many messages of a load about throughput are unconfirmed, or
// unacknowledged, per connection.
const window = 1000

func lines(o options) []line {
	flow, taken := goals(report.Speed, report.P99, report.CPU), goals(report.Speed, report.CPU)
	all := []line{
		{
			name: "publish, one at a time, 100 B", queues: 1, limit: report.SyncLatency, goals: flow,
			load: publish(o, amqp.Publish{Queues: 1, Connections: 1, InFlight: 1, Size: 100}),
		},
		{
			name: "publish, 64 connections, one at a time, 100 B", queues: 1, goals: flow,
			load: publish(o, amqp.Publish{Queues: 1, Connections: 64, InFlight: 1, Size: 100}),
		},
	}
	for _, size := range []int{12, 1000, 16_000} {
		all = append(all,
			line{
				name: fmt.Sprintf("publish, 2 connections, %d B", size), queues: 1, limit: report.DiskWrite, goals: flow,
				load: publish(o, amqp.Publish{Queues: 1, Connections: 2, InFlight: window, Size: size}),
			},
			line{name: fmt.Sprintf("consume, 2 connections, %d B", size), queues: 1, limit: report.Loopback, goals: taken, load: consume(o, size)},
			line{name: fmt.Sprintf("publish and consume, 2 and 2, %d B", size), queues: 1, limit: report.DiskWrite, goals: flow, load: both(o, size)},
		)
	}
	for _, n := range []int{10, 1000} {
		all = append(all, line{
			name: fmt.Sprintf("publish to %d queues, 2 connections, 100 B", n), queues: n, goals: flow,
			load: publish(o, amqp.Publish{Queues: n, Connections: 2, InFlight: window, Size: 100}),
		})
	}
	return append(all,
		line{name: "amqp091-go publish, 1 connection, 100 B", queues: 1, goals: flow, load: libraryPublish(o)},
		line{name: "amqp091-go consume, 1 connection, 100 B", queues: 1, goals: taken, load: libraryConsume(o)},
		line{name: "publish to a fanout of 10, 2 connections, 100 B", queues: 10, goals: flow, load: fanout(o)},
		line{name: fmt.Sprintf("%d idle connections", o.idle), once: true, goals: goals(report.Memory), load: idle(o)},
		line{name: fmt.Sprintf("%d queues declared", o.declared), once: true, goals: goals(report.Speed), load: declare(o)},
		line{
			name: fmt.Sprintf("%d messages queued, 100 B", o.queued), queues: 1, once: true, least: int64(o.queued),
			goals: goals(report.Speed, report.CPU, report.Memory), load: queued(o),
		},
	)
}

func publish(o options, p amqp.Publish) workload {
	return func(ctx context.Context, addr, prefix string, count, end func()) (load.Result, error) {
		p.Addr, p.Prefix, p.Warmup, p.Duration = addr, prefix, o.warmup, o.duration
		return p.Run(ctx, count, end)
	}
}

// consume fills the queue for as long as a load lasts, and empties it.
func consume(o options, size int) workload {
	return func(ctx context.Context, addr, prefix string, count, end func()) (load.Result, error) {
		fill := amqp.Publish{
			Addr: addr, Prefix: prefix, Queues: 1, Connections: 2, InFlight: window, Size: size, Duration: o.duration,
		}
		filled, err := fill.Run(ctx, func() {}, func() {})
		if err != nil {
			return load.Result{}, fmt.Errorf("fill: %w", err)
		}
		count()
		defer end()
		c := amqp.Consume{Addr: addr, Prefix: prefix, Queues: 1, Connections: 2, Prefetch: window, Size: size, Messages: filled.Records}
		return c.Run(ctx)
	}
}

// both publishes and consumes at once; what is counted is what arrives.
func both(o options, size int) workload {
	return func(ctx context.Context, addr, prefix string, count, end func()) (load.Result, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		type outcome struct {
			r   load.Result
			err error
		}
		consumed := make(chan outcome, 1)
		go func() {
			c := amqp.Consume{Addr: addr, Prefix: prefix, Queues: 1, Connections: 2, Prefetch: window, Size: size}
			r, err := c.Run(ctx)
			consumed <- outcome{r, err}
		}()
		p := amqp.Publish{
			Addr: addr, Prefix: prefix, Queues: 1, Connections: 2, InFlight: window, Size: size, Duration: o.warmup + o.duration,
		}
		published, err := p.Run(ctx, count, end)
		cancel()
		c := <-consumed
		c.r.Latency = published.Latency
		return c.r, errors.Join(err, c.err)
	}
}

// librarySize is the size of the bodies of amqp091-go's loads.
const librarySize = 100

func libraryPublish(o options) workload {
	return func(ctx context.Context, addr, prefix string, count, end func()) (load.Result, error) {
		l := amqp.Library{Addr: addr, Prefix: prefix, Size: librarySize, Window: window, Warmup: o.warmup, Duration: o.duration}
		return l.Publish(ctx, count, end)
	}
}

// libraryConsume empties a queue that was filled for half as long as a load lasts.
func libraryConsume(o options) workload {
	return func(ctx context.Context, addr, prefix string, count, end func()) (load.Result, error) {
		fill := amqp.Publish{
			Addr: addr, Prefix: prefix, Queues: 1, Connections: 2, InFlight: window, Size: librarySize, Duration: o.duration / 2,
		}
		filled, err := fill.Run(ctx, func() {}, func() {})
		if err != nil {
			return load.Result{}, fmt.Errorf("fill: %w", err)
		}
		count()
		defer end()
		l := amqp.Library{Addr: addr, Prefix: prefix, Size: librarySize, Window: window}
		return l.Consume(ctx, filled.Records)
	}
}

func fanout(o options) workload {
	return func(ctx context.Context, addr, prefix string, count, end func()) (load.Result, error) {
		if err := amqp.Fan(addr, prefix+"fan", prefix, 10); err != nil {
			return load.Result{}, err
		}
		p := amqp.Publish{
			Addr: addr, Prefix: prefix, Exchange: prefix + "fan", Queues: 10, Connections: 2, InFlight: window, Size: 100,
			Warmup: o.warmup, Duration: o.duration,
		}
		return p.Run(ctx, count, end)
	}
}

// queued publishes until so many messages wait, or its time is over; the memory
// that they take is what matters.
func queued(o options) workload {
	return func(ctx context.Context, addr, prefix string, count, end func()) (load.Result, error) {
		var total load.Result
		count()
		defer end()
		until := time.Now().Add(o.queuing)
		for total.Records < int64(o.queued) && time.Now().Before(until) {
			p := amqp.Publish{Addr: addr, Prefix: prefix, Queues: 1, Connections: 2, InFlight: window, Size: 100, Duration: time.Second}
			r, err := p.Run(ctx, func() {}, func() {})
			if err != nil {
				return total, err
			}
			total.Requests += r.Requests
			total.Records += r.Records
			total.Bytes += r.Bytes
			total.Seconds += r.Seconds
			total.Latency = r.Latency
		}
		return total, nil
	}
}

// idle holds connections open; opening them is what is counted.
func idle(o options) workload {
	return func(_ context.Context, addr, _ string, count, end func()) (load.Result, error) {
		count()
		began := time.Now()
		closeAll, err := amqp.Idle(addr, o.idle)
		if err != nil {
			return load.Result{}, err
		}
		took := time.Since(began)
		end()
		closeAll()
		return load.Result{Requests: int64(o.idle), Records: int64(o.idle), Seconds: took.Seconds()}, nil
	}
}

func declare(o options) workload {
	return func(_ context.Context, addr, prefix string, count, end func()) (load.Result, error) {
		count()
		began := time.Now()
		if err := amqp.Declare(addr, "", prefix, o.declared); err != nil {
			return load.Result{}, err
		}
		took := time.Since(began)
		end()
		r := load.Result{Requests: int64(o.declared), Records: int64(o.declared), Seconds: took.Seconds()}
		return r, amqp.Delete(addr, prefix, o.declared)
	}
}

// measure runs one line once on one target, on queues of its own.
func measure(ctx context.Context, l line, t target) (report.Sample, error) {
	addr, prefix := t.server.AMQP, fmt.Sprintf("bench-%d-", time.Now().UnixNano())
	peer.Settle()
	if err := amqp.Declare(addr, t.queue, prefix, l.queues); err != nil {
		return report.Sample{}, err
	}
	var before, after peer.Usage
	var errBefore, errAfter error
	r, err := l.load(ctx, addr, prefix,
		func() { before, errBefore = t.server.Usage() },
		func() { after, errAfter = t.server.Usage() })
	if err := errors.Join(err, errBefore, errAfter, amqp.Delete(addr, prefix, l.queues)); err != nil {
		return report.Sample{}, err
	}
	return report.Sample{
		Result: r, CPUSeconds: (after.CPU - before.CPU).Seconds(), Resident: after.Resident, BytesWritten: after.Written - before.Written,
	}, nil
}
