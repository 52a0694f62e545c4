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
// and begins again at the end; with Once it stops there, and all that is read
// counts, in the time that it takes.
type Fetch struct {
	Addr        string
	Topic       string
	Partitions  int
	Connections int
	MaxBytes    int // per request
	Size        int // bytes of value per record, to count the same bytes as Produce
	Once        bool
	Warmup      time.Duration
	Duration    time.Duration
}

// Run drives the load; see Produce.Run.
func (f Fetch) Run(ctx context.Context, onCount, onEnd func()) (Result, error) {
	if f.Once {
		f.Warmup, f.Duration = 0, onceLimit
	}
	begin := time.Now().Add(f.Warmup)
	end := begin.Add(f.Duration)
	ctx, cancel := context.WithDeadline(ctx, end.Add(30*time.Second))
	defer cancel()
	finish := timed(f.Once, f.Warmup, f.Duration, onCount, onEnd)

	workers := make([]fetcher, f.Connections)
	errs := make([]error, f.Connections)
	var wg sync.WaitGroup
	for i := range workers {
		w := &workers[i]
		*w = fetcher{load: f, partition: int32(i % f.Partitions), begin: begin, end: end, latency: NewHistogram()}
		wg.Go(func() { errs[i] = w.run(ctx) })
	}
	wg.Wait()
	r := Result{Seconds: finish()}
	total := NewHistogram()
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
			if w.load.Once {
				return nil
			}
			next = 0
		}
	}
	return nil
}

// scan counts the records of an answer and returns the offset to read next.
func (w *fetcher) scan(b []byte, from int64) (records, next int64, err error) {
	batches, err := fetched(b, w.load.Topic)
	if err != nil {
		return 0, 0, err
	}
	next = from
	err = eachBatch(batches, func(_ []byte, to, n int64) {
		next = to
		records += n
	})
	if err == nil && next == from {
		err = fmt.Errorf("no whole batch at offset %d", from)
	}
	return records, next, err
}

// eachBatch calls f with every whole batch, the offset behind it, and the
// number of its records.
func eachBatch(batches []byte, f func(b []byte, next, records int64)) error {
	be := binary.BigEndian
	for len(batches) >= batchHeader {
		size := 12 + int(be.Uint32(batches[8:]))
		if size < batchHeader {
			return fmt.Errorf("a batch of %d bytes", size)
		}
		if size > len(batches) {
			break // cut off at the request's limit
		}
		f(batches[:size], int64(be.Uint64(batches))+int64(be.Uint32(batches[23:]))+1, int64(be.Uint32(batches[57:])))
		batches = batches[size:]
	}
	return nil
}

// fetched returns the record bytes of an answer about one partition of a topic.
func fetched(b []byte, topic string) ([]byte, error) {
	be := binary.BigEndian
	// correlation id, throttle, error, session, array length, topic, array
	// length, partition; then error, high watermark, last stable offset, log
	// start offset.
	at := 4 + 4 + 2 + 4 + 4 + 2 + len(topic) + 4 + 4
	if len(b) < at+34 {
		return nil, fmt.Errorf("answer of %d bytes is too short", len(b))
	}
	if code := int16(be.Uint16(b[at:])); code != 0 {
		return nil, fmt.Errorf("fetch refused with error code %d", code)
	}
	at += 2 + 8 + 8 + 8
	aborted := max(int(int32(be.Uint32(b[at:]))), 0)
	at += 4 + aborted*16 + 4 // aborted transactions, preferred replica
	if len(b) < at+4 {
		return nil, errors.New("answer ends before its records")
	}
	return b[at+4:], nil
}

func (w *fetcher) request() (frame []byte, offsetAt int) {
	return fetchRequest(w.load.Topic, w.partition, w.load.MaxBytes)
}

// fetchRequest returns a Fetch frame and the place of its fetch offset.
func fetchRequest(topic string, partition int32, maxBytes int) (frame []byte, offsetAt int) {
	const marker = 0x1122334455667788
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, marker, int32(maxBytes)
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, p)
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 500, 1, int32(maxBytes)
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
