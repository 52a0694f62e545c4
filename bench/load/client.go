package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Client is a load through franz-go, as a user sees it, with its defaults but
// for compression, which is off since the values are random. A consuming load first produces what it then reads, again and again from the
// start.
type Client struct {
	Addr, Topic string
	Size        int // bytes of value per record
	Consume     bool
	Warmup      time.Duration
	Duration    time.Duration
}

// Run drives the load; see Produce.Run. Latency stays zero: the client batches.
func (c Client) Run(ctx context.Context, onCount, onEnd func()) (Result, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Addr), kgo.DefaultProduceTopic(c.Topic),
		kgo.MaxBufferedRecords(200_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return Result{}, fmt.Errorf("make a client: %w", err)
	}
	defer cl.Close()
	if !c.Consume {
		return c.produce(ctx, cl, onCount, onEnd)
	}
	fill := c
	fill.Warmup, fill.Duration = 0, 3*time.Second
	if _, err := fill.produce(ctx, cl, func() {}, func() {}); err != nil {
		return Result{}, fmt.Errorf("fill: %w", err)
	}
	return c.consume(ctx, onCount, onEnd)
}

func (c Client) produce(ctx context.Context, cl *kgo.Client, onCount, onEnd func()) (Result, error) {
	pool := make([]byte, c.Size+1<<16)
	_, _ = rand.NewChaCha8([32]byte{}).Read(pool)
	var acked atomic.Int64
	var failed atomic.Pointer[error]
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			failed.CompareAndSwap(nil, &err)
			return
		}
		acked.Add(1)
	}
	var from, to int64
	count := time.AfterFunc(c.Warmup, func() { from = acked.Load(); onCount() })
	defer count.Stop()
	finished := make(chan struct{})
	time.AfterFunc(c.Warmup+c.Duration, func() { to = acked.Load(); onEnd(); close(finished) })
	for i := 0; ; i++ {
		if i%1000 == 0 {
			if err := failed.Load(); err != nil {
				return Result{}, fmt.Errorf("produce: %w", *err)
			}
			select {
			case <-finished:
				return c.result(to - from), cl.Flush(ctx)
			default:
			}
		}
		cl.Produce(ctx, &kgo.Record{Value: pool[i&0xffff:][:c.Size]}, done)
	}
}

func (c Client) consume(ctx context.Context, onCount, onEnd func()) (Result, error) {
	var read atomic.Int64
	var from, to int64
	time.AfterFunc(c.Warmup, func() { from = read.Load(); onCount() })
	finished, cancel := context.WithCancel(ctx)
	defer cancel()
	time.AfterFunc(c.Warmup+c.Duration, func() { to = read.Load(); onEnd(); cancel() })
	var ends int64
	for p := range int32(6) {
		end, err := EndOffset(c.Addr, c.Topic, p)
		if err != nil {
			return Result{}, err
		}
		ends += end
	}
	for finished.Err() == nil {
		if err := c.pass(finished, ends, &read); err != nil && !errors.Is(err, context.Canceled) {
			return Result{}, err
		}
	}
	return c.result(to - from), nil
}

// pass reads the topic once from the start.
func (c Client) pass(ctx context.Context, total int64, read *atomic.Int64) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Addr), kgo.ConsumeTopics(c.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	defer cl.Close()
	for n := int64(0); n < total; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return fmt.Errorf("consume: %w", err)
		}
		got := int64(fetches.NumRecords())
		n += got
		read.Add(got)
	}
	return nil
}

func (c Client) result(records int64) Result {
	return Result{Records: records, Bytes: records * int64(c.Size), Seconds: c.Duration.Seconds()}
}
