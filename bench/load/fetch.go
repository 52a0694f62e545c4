package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Fetch is a load of Fetch requests, one partition each, one in flight per
// connection. Connection i reads partition i modulo Partitions from offset 0
// and begins again at the end.
type Fetch struct {
	Addr        string
	Topic       string
	Partitions  int
	Connections int
	MaxBytes    int // per request
	Size        int // bytes of value per record, to count the same bytes as Produce
	Warmup      time.Duration
	Duration    time.Duration
}

// Run drives the load; see Produce.Run.
func (f Fetch) Run(ctx context.Context, onCount, onEnd func()) (Result, error) {
	begin := time.Now().Add(f.Warmup)
	end := begin.Add(f.Duration)
	ctx, cancel := context.WithDeadline(ctx, end.Add(30*time.Second))
	defer cancel()
	stop := time.AfterFunc(f.Warmup, onCount)
	defer stop.Stop()
	ended := make(chan struct{})
	time.AfterFunc(f.Warmup+f.Duration, func() { onEnd(); close(ended) })

	workers := make([]fetcher, f.Connections)
	errs := make([]error, f.Connections)
	var wg sync.WaitGroup
	for i := range workers {
		w := &workers[i]
		*w = fetcher{load: f, partition: int32(i % f.Partitions), begin: begin, end: end, latency: NewHistogram()}
		wg.Go(func() { errs[i] = w.run(ctx) })
	}
	wg.Wait()
	<-ended
	total := NewHistogram()
	r := Result{Seconds: f.Duration.Seconds()}
	for i := range workers {
		if errs[i] != nil {
			return Result{}, fmt.Errorf("connection %d: %w", i, errs[i])
		}
		total.Merge(workers[i].latency)
		r.Requests += workers[i].requests
		r.Records += workers[i].records
	}
	r.Bytes, r.Latency = r.Records*int64(f.Size), Summarize(total)
	return r, nil
}

// fetcher is one connection of a Fetch load.
type fetcher struct {
	load              Fetch
	partition         int32
	begin, end        time.Time
	latency           *hdr.Histogram
	requests, records int64
}

func (w *fetcher) run(ctx context.Context) error {
	last, err := EndOffset(w.load.Addr, w.load.Topic, w.partition)
	if err != nil {
		return err
	}
	if last == 0 {
		return errors.New("the partition is empty: produce into it first")
	}
	c, err := dial(w.load.Addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	frame, offsetAt := w.request()
	next := int64(0)
	for time.Now().Before(w.end) {
		binary.BigEndian.PutUint64(frame[offsetAt:], uint64(next))
		t := time.Now()
		if _, err := c.Write(frame); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		b, err := c.frame()
		if err != nil {
			return err
		}
		n, to, err := w.scan(b, next)
		if err != nil {
			return err
		}
		if now := time.Now(); now.After(w.begin) && now.Before(w.end) {
			Record(w.latency, now.Sub(t))
			w.requests++
			w.records += n
		}
		if next = to; next >= last {
			next = 0
		}
	}
	return nil
}

// scan counts the records of an answer and returns the offset to read next.
func (w *fetcher) scan(b []byte, from int64) (records, next int64, err error) {
	be := binary.BigEndian
	// correlation id, throttle, error, session, array length, topic, array
	// length, partition; then error, high watermark, last stable offset, log
	// start offset.
	at := 4 + 4 + 2 + 4 + 4 + 2 + len(w.load.Topic) + 4 + 4
	if len(b) < at+34 {
		return 0, 0, fmt.Errorf("answer of %d bytes is too short", len(b))
	}
	if code := int16(be.Uint16(b[at:])); code != 0 {
		return 0, 0, fmt.Errorf("fetch refused with error code %d", code)
	}
	at += 2 + 8 + 8 + 8
	aborted := max(int(int32(be.Uint32(b[at:]))), 0)
	at += 4 + aborted*16 + 4 // aborted transactions, preferred replica
	if len(b) < at+4 {
		return 0, 0, errors.New("answer ends before its records")
	}
	batches := b[at+4:]
	next = from
	for len(batches) >= 61 {
		size := 12 + int(be.Uint32(batches[8:]))
		if size > len(batches) {
			break // cut off at the request's limit
		}
		next = int64(be.Uint64(batches)) + int64(be.Uint32(batches[23:])) + 1
		records += int64(be.Uint32(batches[57:]))
		batches = batches[size:]
	}
	if next == from {
		return 0, 0, fmt.Errorf("no whole batch at offset %d", from)
	}
	return records, next, nil
}

// request returns a Fetch frame and the place of its fetch offset.
func (w *fetcher) request() (frame []byte, offsetAt int) {
	const marker = 0x1122334455667788
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = w.partition, marker, int32(w.load.MaxBytes)
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.Partitions = w.load.Topic, append(t.Partitions, p)
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 500, 1, int32(w.load.MaxBytes)
	req.SessionEpoch = -1
	req.Topics = append(req.Topics, t)
	frame = encode(req, fetchVersion)
	for i := range len(frame) - 8 {
		if binary.BigEndian.Uint64(frame[i:]) == marker {
			return frame, i
		}
	}
	panic("load: the encoded request lacks its fetch offset")
}
