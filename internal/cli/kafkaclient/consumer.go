package kafkaclient

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/record"
)

// Reading says which part of a topic to read.
type Reading struct {
	Topic Topic
	// From holds the first offset to read of each partition; partitions that
	// are missing are not read.
	From map[int32]int64
	// Until holds the offset to stop before, for partitions that have an end.
	Until map[int32]int64
	// Idle, if set, is called whenever all records that arrived were delivered.
	Idle func() error
}

// Delivery is one record that was read.
type Delivery struct {
	record.Record
	Partition int32
	Epoch     record.Epoch
}

// Read calls fn for each record, in order within a partition, until every
// partition has reached its end (never, without one), ctx is done, or fn
// returns an error, which becomes Read's. The bytes of a delivery are gone when
// fn returns. Transaction markers are left out.
func (c *Client) Read(ctx context.Context, r Reading, fn func(*Delivery) error) error {
	rd := &reader{
		client: c, topic: r.Topic, at: maps.Clone(r.From), until: r.Until, fn: fn, idle: r.Idle,
		busy: map[int32]bool{}, answers: make(chan fetched),
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return rd.run(ctx)
}

// reader is the state of one Read. Only answers is shared: each server is asked
// by a goroutine of its own that ends with its answer.
type reader struct {
	client  *Client
	topic   Topic
	at      map[int32]int64 // next offset of each partition still read
	until   map[int32]int64
	fn      func(*Delivery) error
	idle    func() error
	busy    map[int32]bool // servers with a fetch under way
	answers chan fetched
	failing time.Time // since when nothing but errors came; zero: all is well
}

// fetched is the outcome of one fetch.
type fetched struct {
	leader int32
	resp   *kmsg.FetchResponse
	err    error
}

func (rd *reader) run(ctx context.Context) error {
	rd.finish()
	for len(rd.at) > 0 {
		rd.ask(ctx)
		var f fetched
		select {
		case f = <-rd.answers:
		case <-ctx.Done():
			return ctx.Err()
		}
		delete(rd.busy, f.leader)
		chunks, err := rd.advance(f)
		if err != nil {
			if err := rd.recover(ctx, err); err != nil {
				return err
			}
			continue
		}
		rd.failing = time.Time{}
		rd.finish()
		rd.ask(ctx) // the next fetch travels while this one is decoded
		for _, ch := range chunks {
			if err := ch.deliver(rd.until, rd.fn); err != nil {
				return err
			}
		}
		if rd.idle != nil {
			if err := rd.idle(); err != nil {
				return err
			}
		}
	}
	return nil
}

// ask sends a fetch to every leader that has none under way.
func (rd *reader) ask(ctx context.Context) {
	byNode := map[int32][]Partition{}
	for _, p := range rd.topic.Partitions {
		if _, ok := rd.at[p.Number]; ok && !rd.busy[p.Leader] {
			byNode[p.Leader] = append(byNode[p.Leader], p)
		}
	}
	for leader, parts := range byNode {
		req := rd.request(parts)
		rd.busy[leader] = true
		go func() {
			resp, err := req.RequestWith(ctx, rd.client.node(leader))
			select {
			case rd.answers <- fetched{leader, resp, err}:
			case <-ctx.Done():
			}
		}()
	}
}

func (rd *reader) request(parts []Partition) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis = int32(fetchWait / time.Millisecond)
	req.MinBytes, req.MaxBytes = 1, fetchBytes
	req.SessionEpoch = -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = rd.topic.Name, rd.topic.ID
	for _, p := range parts {
		f := kmsg.NewFetchRequestTopicPartition()
		f.Partition, f.FetchOffset, f.PartitionMaxBytes = p.Number, rd.at[p.Number], partitionBytes
		t.Partitions = append(t.Partitions, f)
	}
	req.Topics = append(req.Topics, t)
	return req
}

// chunk is the answer for one partition.
type chunk struct {
	partition int32
	from      int64 // records below were read before
	batches   []byte
}

// advance moves the positions behind what an answer holds.
func (rd *reader) advance(f fetched) ([]chunk, error) {
	if f.err != nil {
		return nil, f.err
	}
	if err := codeError(f.resp.ErrorCode, nil); err != nil {
		return nil, err
	}
	var chunks []chunk
	for _, t := range f.resp.Topics {
		for _, p := range t.Partitions {
			at, reading := rd.at[p.Partition]
			if err := codeError(p.ErrorCode, nil); err != nil {
				kept := ""
				if p.HighWatermark >= 0 {
					kept = fmt.Sprintf(" (kept: %d to %d)", p.LogStartOffset, p.HighWatermark)
				}
				return nil, fmt.Errorf("partition %d at offset %d%s: %w", p.Partition, at, kept, err)
			}
			if !reading || len(p.RecordBatches) == 0 {
				continue
			}
			ch := chunk{p.Partition, at, p.RecordBatches}
			err := record.Walk(p.RecordBatches, func(_ []byte, h record.Header) error {
				// Never back: after a change of leaders two servers may answer
				// for one partition.
				rd.at[p.Partition] = max(rd.at[p.Partition], int64(h.LastOffset())+1)
				return nil
			})
			if err != nil && !errors.Is(err, record.ErrTruncated) { // the last batch may be cut off
				return nil, fmt.Errorf("partition %d: %w", p.Partition, err)
			}
			chunks = append(chunks, ch)
		}
	}
	return chunks, nil
}

// finish stops reading partitions that have reached their end.
func (rd *reader) finish() {
	for p, end := range rd.until {
		if at, ok := rd.at[p]; ok && at >= end {
			delete(rd.at, p)
		}
	}
}

// recover pauses after an error that may pass and looks where the leaders are
// now. An error that stays for the client's timeout is returned.
func (rd *reader) recover(ctx context.Context, err error) error {
	if !retriable(err) || ctx.Err() != nil {
		return err
	}
	now := time.Now()
	if rd.failing.IsZero() {
		rd.failing = now
	}
	if now.Sub(rd.failing) > rd.client.opts.Timeout {
		return err
	}
	select {
	case <-ctx.Done():
		return err
	case <-time.After(retryFirst):
	}
	if fresh, err := rd.client.Topic(ctx, rd.topic.Name, false); err == nil {
		rd.topic = fresh
	}
	return nil
}

// deliver decodes a chunk's records.
func (ch chunk) deliver(until map[int32]int64, fn func(*Delivery) error) error {
	end, bounded := until[ch.partition]
	d := Delivery{Partition: ch.partition}
	err := record.Walk(ch.batches, func(batch []byte, h record.Header) error {
		if h.Control() {
			return nil
		}
		d.Epoch = h.Epoch
		return record.Records(batch, func(r record.Record) error {
			if int64(r.Offset) < ch.from || bounded && int64(r.Offset) >= end {
				return nil
			}
			d.Record = r
			return fn(&d)
		})
	})
	if errors.Is(err, record.ErrTruncated) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("partition %d: %w", ch.partition, err)
	}
	return nil
}
