package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/polylog-mq/polylog/internal/cli/kafkaclient"
	"github.com/polylog-mq/polylog/internal/record"
)

// benchOptions are the flags of bench.
type benchOptions struct {
	topic      string
	duration   time.Duration
	size       int
	clients    int
	partitions int32
	compress   string
	keep       bool
}

func (a *App) benchCommand() *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure a server: produce, consume, latency", Args: arguments(0, 0),
		Long: "Measure any server that speaks Kafka: how fast records are written (all\n" +
			"acknowledged with acks=all) and read back, how long one record takes to be\n" +
			"acknowledged, and to arrive at a consumer that waits. This program is part of\n" +
			"what is measured: it shares the machine with a server on the same one.",
		Example: "  polylog bench\n  polylog bench --brokers kafka:9092 --size 1000 --clients 8 --duration 10s",
		RunE: func(cmd *cobra.Command, _ []string) error {
			codec, ok := record.ParseCodec(o.compress)
			if !ok || o.size < 1 || o.clients < 1 || o.duration <= 0 {
				return usageError{errors.New("--compress, --size, --clients or --duration is out of range"), cmd.CommandPath()}
			}
			return a.withClient(cmd.Context(), func(c *kafkaclient.Client) error {
				return a.bench(cmd.Context(), c, &o, codec)
			})
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.topic, "topic", "t", "", "the topic; by default one that is made for the run and deleted after it")
	f.DurationVarP(&o.duration, "duration", "d", 5*time.Second, "how long each measurement writes")
	f.IntVarP(&o.size, "size", "s", 100, "bytes of a record's value")
	f.IntVarP(&o.clients, "clients", "c", 4, "connections that write at once")
	f.Int32VarP(&o.partitions, "partitions", "p", 4, "partitions of the topic that is made")
	f.StringVarP(&o.compress, "compress", "z", "none", "none, gzip, snappy, lz4 or zstd")
	f.BoolVar(&o.keep, "keep", false, "leave the topic that was made")
	offers(cmd, "compress", codecs()...)
	return a.formatFlag(a.clientFlags(cmd))
}

// benchResult is what bench found.
type benchResult struct {
	Topic   string       `json:"topic" yaml:"topic"`
	Size    int          `json:"size" yaml:"size"`
	Clients int          `json:"clients" yaml:"clients"`
	Produce benchRate    `json:"produce" yaml:"produce"`
	Consume benchRate    `json:"consume" yaml:"consume"`
	Ack     benchLatency `json:"acknowledged" yaml:"acknowledged"`
	Arrive  benchLatency `json:"arrived" yaml:"arrived"`
}

// benchRate is a throughput.
type benchRate struct {
	Records int64   `json:"records" yaml:"records"`
	Seconds float64 `json:"seconds" yaml:"seconds"`
	PerSec  float64 `json:"recordsPerSecond" yaml:"recordsPerSecond"`
	MBytes  float64 `json:"megabytesPerSecond" yaml:"megabytesPerSecond"`
}

func rateOf(records int64, size int, took time.Duration) benchRate {
	s := took.Seconds()
	return benchRate{records, s, float64(records) / s, float64(records) * float64(size) / s / 1e6}
}

// benchLatency holds percentiles in milliseconds.
type benchLatency struct {
	Records int     `json:"records" yaml:"records"`
	P50     float64 `json:"p50" yaml:"p50"`
	P99     float64 `json:"p99" yaml:"p99"`
	P999    float64 `json:"p999" yaml:"p999"`
	Max     float64 `json:"max" yaml:"max"`
}

func latencyOf(took []time.Duration) benchLatency {
	if len(took) == 0 {
		return benchLatency{}
	}
	slices.Sort(took)
	at := func(q float64) float64 {
		return float64(took[min(len(took)-1, int(q*float64(len(took))))].Microseconds()) / 1000
	}
	return benchLatency{len(took), at(0.5), at(0.99), at(0.999), at(1)}
}

func (a *App) bench(ctx context.Context, c *kafkaclient.Client, o *benchOptions, codec record.Codec) (err error) {
	r := &benchResult{Topic: o.topic, Size: o.size, Clients: o.clients}
	if r.Topic == "" {
		r.Topic = fmt.Sprintf("polylog-bench-%08x", rand.Uint32())
		if err := c.CreateTopic(ctx, r.Topic, o.partitions, -1, nil, false); err != nil {
			return err
		}
		if !o.keep {
			defer func() {
				after, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.timeout)
				defer cancel()
				err = errors.Join(err, c.DeleteTopic(after, r.Topic))
			}()
		}
	}
	b := &benchRun{app: a, o: o, codec: codec, topic: r.Topic}
	value := make([]byte, o.size)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(value) // it never fails
	b.value = value
	for _, step := range []struct {
		name string
		run  func(context.Context, *kafkaclient.Client) error
	}{
		{"produce", func(ctx context.Context, _ *kafkaclient.Client) (err error) {
			r.Produce, err = b.produce(ctx)
			return err
		}},
		{"consume", func(ctx context.Context, c *kafkaclient.Client) (err error) {
			r.Consume, err = b.consume(ctx, c)
			return err
		}},
		{"latency", func(ctx context.Context, c *kafkaclient.Client) (err error) {
			r.Ack, r.Arrive, err = b.latency(ctx, c)
			return err
		}},
	} {
		if terminal(a.Err) {
			fmt.Fprintf(a.Err, "\r%s …\x1b[K", step.name)
		}
		if err := step.run(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	if terminal(a.Err) {
		fmt.Fprint(a.Err, "\r\x1b[K")
	}
	return a.show(r, r.write)
}

func (r *benchResult) write(w io.Writer, _ bool) error {
	fmt.Fprintf(w, "topic %s, %d bytes a record, %s\n\n", r.Topic, r.Size, plural(r.Clients, "client"))
	t := newTable(w, "LOAD", "RECORDS", "RECORDS/S", "MB/S")
	t.row("produce", r.Produce.Records, fmt.Sprintf("%.0f", r.Produce.PerSec), fmt.Sprintf("%.1f", r.Produce.MBytes))
	t.row("consume", r.Consume.Records, fmt.Sprintf("%.0f", r.Consume.PerSec), fmt.Sprintf("%.1f", r.Consume.MBytes))
	if err := t.flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	t = newTable(w, "ONE AT A TIME", "RECORDS", "P50 MS", "P99 MS", "P99.9 MS", "MAX MS")
	for _, l := range []struct {
		name string
		benchLatency
	}{{"acknowledged", r.Ack}, {"arrived", r.Arrive}} {
		t.row(l.name, l.Records, l.P50, l.P99, l.P999, l.Max)
	}
	return t.flush()
}

// benchRun is one run of bench.
type benchRun struct {
	app   *App
	o     *benchOptions
	codec record.Codec
	topic string
	value []byte
}

// produce writes from several connections for the duration.
func (b *benchRun) produce(ctx context.Context) (benchRate, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var sent atomic.Int64
	var wg sync.WaitGroup
	failed := make(chan error, b.o.clients)
	began := time.Now()
	for range b.o.clients {
		wg.Go(func() {
			if err := b.write(ctx, began.Add(b.o.duration), &sent); err != nil {
				failed <- err
				cancel()
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	select {
	case err := <-failed:
		return benchRate{}, err
	default:
		return rateOf(sent.Load(), b.o.size, took), nil
	}
}

// write is one of these connections.
func (b *benchRun) write(ctx context.Context, until time.Time, sent *atomic.Int64) error {
	c, err := b.app.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	p, err := c.NewProducer(ctx, b.topic, kafkaclient.ProducerOptions{
		Codec: b.codec, Acks: -1, Delivered: func(_ int32, _ int64, n int) { sent.Add(int64(n)) },
	})
	if err != nil {
		return err
	}
	r := record.Record{Value: b.value}
	for next := 0; ; next = (next + 1) % p.Partitions() {
		r.Timestamp = time.Now().UnixMilli()
		for range 256 { // as a partitioner that fills batches would
			if err := p.Add(ctx, r, int32(next)); err != nil {
				return err
			}
		}
		if time.Now().After(until) {
			return p.Flush(ctx)
		}
	}
}

// consume reads everything that is in the topic.
func (b *benchRun) consume(ctx context.Context, c *kafkaclient.Client) (benchRate, error) {
	reading, err := plan(ctx, c, b.topic, nil, span{from: place{kind: 's'}, to: &place{kind: 'e'}})
	if err != nil {
		return benchRate{}, err
	}
	var n, bytes int64
	began := time.Now()
	err = c.Read(ctx, reading, func(d *kafkaclient.Delivery) error {
		n++
		bytes += int64(len(d.Value))
		return nil
	})
	rate := rateOf(n, 0, time.Since(began))
	rate.MBytes = float64(bytes) / rate.Seconds / 1e6
	return rate, err
}

// latency writes one record after the other, each when the one before has been
// acknowledged and has arrived at a consumer on a connection of its own.
func (b *benchRun) latency(ctx context.Context, c *kafkaclient.Client) (ack, arrive benchLatency, err error) {
	reader, err := b.app.connect(ctx)
	if err != nil {
		return ack, arrive, err
	}
	defer reader.Close()
	reading, err := plan(ctx, c, b.topic, nil, span{from: place{kind: 'e'}})
	if err != nil {
		return ack, arrive, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	arrived := make(chan time.Time, 1)
	broken := make(chan error, 1)
	go func() {
		broken <- reader.Read(ctx, reading, func(*kafkaclient.Delivery) error {
			arrived <- time.Now()
			return nil
		})
	}()
	p, err := c.NewProducer(ctx, b.topic, kafkaclient.ProducerOptions{Codec: b.codec, Acks: -1})
	if err != nil {
		return ack, arrive, err
	}
	var acks, arrivals []time.Duration
	for until := time.Now().Add(b.o.duration); time.Now().Before(until); {
		began := time.Now()
		if err := p.Add(ctx, record.Record{Value: b.value, Timestamp: began.UnixMilli()}, 0); err != nil {
			return ack, arrive, err
		}
		if err := p.Flush(ctx); err != nil {
			return ack, arrive, err
		}
		acks = append(acks, time.Since(began))
		select {
		case at := <-arrived:
			arrivals = append(arrivals, at.Sub(began))
		case err := <-broken:
			return ack, arrive, err
		}
	}
	return latencyOf(acks), latencyOf(arrivals), nil
}
