package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Transactions is a load of transactions through franz-go: each of Clients
// begins one, produces Records, and commits, over and over. A request is a
// transaction, its latency from the beginning to the answer of the commit.
type Transactions struct {
	Addr, Topic      string
	Clients          int
	Records, Size    int // records of a transaction, bytes of value of each
	Warmup, Duration time.Duration
}

// Run drives the load; see Produce.Run.
func (t Transactions) Run(ctx context.Context, onCount, onEnd func()) (Result, error) {
	begin := time.Now().Add(t.Warmup)
	end := begin.Add(t.Duration)
	stop := time.AfterFunc(t.Warmup, onCount)
	defer stop.Stop()
	ended := make(chan struct{})
	time.AfterFunc(t.Warmup+t.Duration, func() { onEnd(); close(ended) })
	latencies := make([]*hdr.Histogram, t.Clients)
	errs := make([]error, t.Clients)
	var wg sync.WaitGroup
	for i := range t.Clients {
		latencies[i] = NewHistogram()
		wg.Go(func() { errs[i] = t.client(ctx, i, begin, end, latencies[i]) })
	}
	wg.Wait()
	<-ended
	total := NewHistogram()
	for i, err := range errs {
		if err != nil {
			return Result{}, fmt.Errorf("client %d: %w", i, err)
		}
		total.Merge(latencies[i])
	}
	r := Result{Requests: total.TotalCount(), Seconds: t.Duration.Seconds(), Latency: Summarize(total)}
	r.Records = r.Requests * int64(t.Records)
	r.Bytes = r.Records * int64(t.Size)
	return r, nil
}

func (t Transactions) client(ctx context.Context, i int, begin, end time.Time, latency *hdr.Histogram) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(t.Addr), kgo.DefaultProduceTopic(t.Topic),
		kgo.TransactionalID(fmt.Sprintf("%s-%d", t.Topic, i)), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	defer cl.Close()
	value := make([]byte, t.Size)
	_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(value)
	for time.Now().Before(end) {
		start := time.Now()
		if err := cl.BeginTransaction(); err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		failed := make(chan error, 1)
		for range t.Records {
			cl.Produce(ctx, &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
				if err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			})
		}
		if err := cl.Flush(ctx); err != nil {
			return fmt.Errorf("flush: %w", err)
		}
		select {
		case err := <-failed:
			return fmt.Errorf("produce: %w", err)
		default:
		}
		if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		if now := time.Now(); now.After(begin) && now.Before(end) {
			Record(latency, now.Sub(start))
		}
	}
	return nil
}
