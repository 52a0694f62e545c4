package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// Flow produces and consumes at once: each of Groups readers has a connection
// per partition and follows what is produced, from the beginning. What counts
// is what the readers have got. With Stamp, latency is from the moment for
// which a batch was scheduled to that at which a reader has it; else it is the
// producers'.
type Flow struct {
	Produce  Produce
	Groups   int
	MaxBytes int // per Fetch
}

// Run drives the load; see Produce.Run.
func (f Flow) Run(ctx context.Context, onCount, onEnd func()) (Result, error) {
	begin := time.Now().Add(f.Produce.Warmup)
	end := begin.Add(f.Produce.Duration)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	followers := make([]follower, f.Groups*f.Produce.Partitions)
	errs := make([]error, len(followers))
	var wg sync.WaitGroup
	for i := range followers {
		w := &followers[i]
		*w = follower{flow: f, partition: int32(i % f.Produce.Partitions), begin: begin, end: end, latency: NewHistogram()}
		wg.Go(func() {
			if errs[i] = w.run(ctx); errs[i] != nil {
				cancel()
			}
		})
	}
	produced, err := f.Produce.Run(ctx, onCount, onEnd)
	cancel()
	wg.Wait()
	if err := errors.Join(append(errs, err)...); err != nil {
		return Result{}, err
	}
	r := Result{Requests: produced.Requests, Seconds: produced.Seconds, Latency: produced.Latency}
	total := NewHistogram()
	for i := range followers {
		total.Merge(followers[i].latency)
		r.Records += followers[i].records.Load()
	}
	if f.Produce.Stamp {
		r.Latency = Summarize(total)
	}
	r.Bytes = r.Records * int64(f.Produce.Size)
	return r, nil
}

// follower reads one partition as it grows.
type follower struct {
	flow       Flow
	partition  int32
	begin, end time.Time
	latency    *hdr.Histogram
	records    atomic.Int64 // while counted
}

// run follows until ctx ends.
func (w *follower) run(ctx context.Context) error {
	c, err := dial(w.flow.Produce.Addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	err = w.follow(c)
	if ctx.Err() != nil { // that is what ended it
		return nil
	}
	return err
}

func (w *follower) follow(c *conn) error {
	topic := w.flow.Produce.Topic
	frame, offsetAt := fetchRequest(topic, w.partition, w.flow.MaxBytes)
	next := int64(0)
	for {
		binary.BigEndian.PutUint64(frame[offsetAt:], uint64(next))
		if _, err := c.Write(frame); err != nil {
			return fmt.Errorf("follow partition %d: %w", w.partition, err)
		}
		b, err := c.frame()
		if err != nil {
			return fmt.Errorf("follow partition %d: %w", w.partition, err)
		}
		now := time.Now()
		batches, err := fetched(b, topic)
		if err != nil {
			return err
		}
		counted := now.After(w.begin) && now.Before(w.end)
		err = eachBatch(batches, func(b []byte, to, n int64) {
			next = to
			if !counted {
				return
			}
			w.records.Add(n)
			if w.flow.Produce.Stamp {
				Record(w.latency, now.Sub(time.Unix(0, int64(binary.BigEndian.Uint64(b[stampAt:])))))
			}
		})
		if err != nil {
			return err
		}
	}
}
