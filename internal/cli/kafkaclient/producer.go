package kafkaclient

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/record"
)

// ProducerOptions says how records are written.
type ProducerOptions struct {
	// Codec compresses the batches.
	Codec record.Codec
	// Acks is -1 (all), 1 or 0. With -1 the producer is idempotent: a retry
	// never writes a record twice.
	Acks int16
	// Delivered is told of every acknowledged batch: the partition, the offset
	// of its first record (-1 with acks 0) and how many records it holds.
	Delivered func(partition int32, base int64, count int)
}

// Producer gathers records in one batch per partition and sends them when they
// are full or flushed, one request per server at a time, so that the order of
// records is the order of Add. It is not safe for concurrent use.
type Producer struct {
	client *Client
	opts   ProducerOptions
	topic  Topic

	id       int64 // record.NoProducer when not idempotent
	epoch    int16
	open     []openBatch // by partition
	buffered int
	rotation int32 // the partition that records without a key go to now
}

// openBatch is what a partition waits to send.
type openBatch struct {
	builder  record.Builder
	sequence int32
}

// sealedBatch is a finished batch on its way.
type sealedBatch struct {
	partition int32
	count     int
	bytes     []byte
}

// NewProducer returns a producer to a topic, which the server may create on
// this occasion.
func (c *Client) NewProducer(ctx context.Context, topic string, opts ProducerOptions) (*Producer, error) {
	t, err := c.Topic(ctx, topic, true)
	if err != nil {
		return nil, err
	}
	p := &Producer{client: c, opts: opts, topic: t, id: record.NoProducer, epoch: -1, open: make([]openBatch, len(t.Partitions))}
	if opts.Acks == -1 {
		if err := p.identify(ctx); err != nil {
			return nil, err
		}
	}
	for i := range p.open {
		p.reset(&p.open[i])
	}
	return p, nil
}

// identify asks for a producer id.
func (p *Producer) identify(ctx context.Context) error {
	return p.client.retry(ctx, retriable, func() error {
		resp, err := kmsg.NewPtrInitProducerIDRequest().RequestWith(ctx, p.client.anyServer())
		if err != nil {
			return err
		}
		p.id, p.epoch = resp.ProducerID, resp.ProducerEpoch
		return codeError(resp.ErrorCode, nil)
	})
}

func (p *Producer) reset(b *openBatch) {
	h := record.Template(p.opts.Codec)
	if p.id != record.NoProducer {
		h.ProducerID, h.ProducerEpoch, h.BaseSequence = p.id, p.epoch, b.sequence
	}
	b.builder.Reset(h)
}

// Partitions returns the number of the topic's partitions.
func (p *Producer) Partitions() int { return len(p.open) }

// Add takes a record for a partition, or, with -1, for the one that its key
// belongs to; without a key partitions take turns, a batch each. It copies the
// record, and sends what is gathered when a batch is full.
func (p *Producer) Add(ctx context.Context, r record.Record, partition int32) error {
	if partition < 0 {
		partition = p.choose(r.Key)
	}
	if int(partition) >= len(p.open) {
		return fmt.Errorf("topic %s has no partition %d: it has %d", p.topic.Name, partition, len(p.open))
	}
	b := &p.open[partition]
	before := b.builder.Size()
	b.builder.Add(r)
	p.buffered += b.builder.Size() - before
	if b.builder.Size() >= batchBytes || p.buffered >= flushBytes {
		return p.Flush(ctx)
	}
	return nil
}

// choose picks a partition as Kafka's own clients do, so that a key lies in
// the same one whoever writes it.
func (p *Producer) choose(key []byte) int32 {
	if key == nil {
		return p.rotation
	}
	return int32(murmur2(key)&0x7fffffff) % int32(len(p.open))
}

// Flush sends everything that was added and returns once all of it is
// acknowledged. After an error the producer is of no more use.
func (p *Producer) Flush(ctx context.Context) error {
	var waiting []sealedBatch
	for i := range p.open {
		b := &p.open[i]
		n := b.builder.Count()
		if n == 0 {
			continue
		}
		bytes, err := b.builder.AppendTo(nil)
		if err != nil {
			return fmt.Errorf("building a batch: %w", err)
		}
		waiting = append(waiting, sealedBatch{int32(i), n, bytes})
		b.sequence = record.AddSequence(b.sequence, int32(n))
		p.reset(b)
	}
	p.buffered = 0
	p.rotation = (p.rotation + 1) % int32(len(p.open))
	return p.client.retry(ctx, retriable, func() error {
		var err error
		waiting, err = p.send(ctx, waiting)
		if err != nil && retriable(err) {
			if fresh, err := p.client.Topic(ctx, p.topic.Name, false); err == nil && len(fresh.Partitions) >= len(p.open) {
				p.topic = fresh
			}
		}
		return err
	})
}

// send writes batches to their leaders and returns those that were not
// acknowledged, with the first reason.
func (p *Producer) send(ctx context.Context, batches []sealedBatch) (left []sealedBatch, first error) {
	byNode := map[int32][]sealedBatch{}
	for _, b := range batches {
		leader := p.topic.Partitions[b.partition].Leader
		byNode[leader] = append(byNode[leader], b)
	}
	for leader, batches := range byNode {
		verdict, err := p.produce(ctx, leader, batches)
		for _, b := range batches {
			reason := err
			if err == nil {
				reason = verdict[b.partition].err
			}
			if reason != nil {
				left = append(left, b)
				if first == nil || !retriable(reason) {
					first = fmt.Errorf("partition %d: %w", b.partition, reason)
				}
				continue
			}
			if p.opts.Delivered != nil {
				p.opts.Delivered(b.partition, verdict[b.partition].base, b.count)
			}
		}
	}
	return left, first
}

// verdict is the answer for one partition.
type verdict struct {
	base int64
	err  error
}

func (p *Producer) produce(ctx context.Context, leader int32, batches []sealedBatch) (map[int32]verdict, error) {
	req := kmsg.NewPtrProduceRequest()
	req.Acks = p.opts.Acks
	req.TimeoutMillis = int32(p.client.opts.Timeout / time.Millisecond)
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID = p.topic.Name, p.topic.ID
	for _, b := range batches {
		part := kmsg.NewProduceRequestTopicPartition()
		part.Partition, part.Records = b.partition, b.bytes
		t.Partitions = append(t.Partitions, part)
	}
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, p.client.node(leader))
	if err != nil {
		return nil, err
	}
	verdicts := map[int32]verdict{}
	if p.opts.Acks == 0 {
		for _, b := range batches {
			verdicts[b.partition] = verdict{base: -1}
		}
		return verdicts, nil
	}
	for _, b := range batches {
		verdicts[b.partition] = verdict{err: fmt.Errorf("%w: the answer leaves the partition out", ErrUnreachable)}
	}
	for _, t := range resp.Topics {
		for _, part := range t.Partitions {
			err := codeError(part.ErrorCode, part.ErrorMessage)
			if Code(part.ErrorCode) == DuplicateSequence {
				err = nil // an earlier try did arrive
			}
			verdicts[part.Partition] = verdict{part.BaseOffset, err}
		}
	}
	return verdicts, nil
}

// murmur2 is the hash by which Kafka's Java client chooses partitions
// (org.apache.kafka.common.utils.Utils.murmur2).
func murmur2(b []byte) uint32 {
	const m, r = 0x5bd1e995, 24
	h := uint32(0x9747b28c) ^ uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		k := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
		k *= m
		k = (k ^ k>>r) * m
		h = h*m ^ k
	}
	switch len(b) {
	case 3:
		h ^= uint32(b[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(b[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(b[0])) * m
	}
	h = (h ^ h>>13) * m
	return h ^ h>>15
}
