package brokertest

import (
	"errors"
	"fmt"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
)

// Batch builds a batch of records with these values, without producer.
func Batch(values ...string) []byte { return build(record.Template(record.None), values) }

// Sequenced builds a batch as an idempotent producer sends it.
func Sequenced(producer int64, epoch int16, seq int32, values ...string) []byte {
	h := record.Template(record.None)
	h.ProducerID, h.ProducerEpoch, h.BaseSequence = producer, epoch, seq
	return build(h, values)
}

// At builds a batch whose records all bear a timestamp in ms.
func At(timestamp int64, values ...string) []byte {
	return buildAt(record.Template(record.None), timestamp, values)
}

func build(h record.Header, values []string) []byte { return buildAt(h, record.NoTimestamp, values) }

func buildAt(h record.Header, timestamp int64, values []string) []byte {
	var b record.Builder
	b.Reset(h)
	for _, v := range values {
		b.Add(record.Record{Timestamp: timestamp, Key: []byte("k"), Value: []byte(v)})
	}
	batch, err := b.AppendTo(nil)
	if err != nil {
		panic(fmt.Sprintf("building a batch: %v", err))
	}
	return batch
}

// Create creates a topic and waits for it.
func (n *Node) Create(name string, partitions int32, config ...broker.Config) *broker.Topic {
	n.tb.Helper()
	t, err := n.TryCreate(name, partitions, config...)
	if err != nil {
		n.tb.Fatalf("creating %s: %v", name, err)
	}
	return t
}

// CreateQueue creates a queue and waits for it.
func (n *Node) CreateQueue(name string, change ...func(*broker.QueueSettings)) *broker.Queue {
	n.tb.Helper()
	settings := broker.DefaultQueueSettings()
	for _, f := range change {
		f(&settings)
	}
	t, err := n.one(func(done func([]broker.TopicResult)) {
		n.CreateTopics([]broker.NewTopic{{Name: name, Partitions: 1, Replication: -1, Queue: &settings}}, false, done)
	})
	if err != nil {
		n.tb.Fatalf("creating queue %s: %v", name, err)
	}
	return t.Queue
}

// TryCreate is Create that may fail.
func (n *Node) TryCreate(name string, partitions int32, config ...broker.Config) (*broker.Topic, error) {
	n.tb.Helper()
	return n.one(func(done func([]broker.TopicResult)) {
		n.CreateTopics([]broker.NewTopic{{Name: name, Partitions: partitions, Replication: -1, Config: config}}, false, done)
	})
}

// Delete deletes a topic and waits for it.
func (n *Node) Delete(name string) error {
	n.tb.Helper()
	_, err := n.one(func(done func([]broker.TopicResult)) {
		n.DeleteTopics([]broker.TopicRef{{Name: name}}, done)
	})
	return err
}

// Alter changes settings of a topic and waits for it.
func (n *Node) Alter(name string, changes ...broker.ConfigChange) (*broker.Topic, error) {
	n.tb.Helper()
	return n.one(func(done func([]broker.TopicResult)) {
		n.AlterTopics([]broker.AlterTopic{{Name: name, Changes: changes}}, false, done)
	})
}

// Grow raises the number of a topic's partitions and waits for it.
func (n *Node) Grow(name string, partitions int32) (*broker.Topic, error) {
	n.tb.Helper()
	return n.one(func(done func([]broker.TopicResult)) {
		n.CreatePartitions([]broker.GrowTopic{{Name: name, Partitions: partitions}}, false, done)
	})
}

// errNoAnswer means that the node has come to rest without answering.
var errNoAnswer = errors.New("no answer")

// one asks about one topic.
func (n *Node) one(ask func(done func([]broker.TopicResult))) (*broker.Topic, error) {
	n.tb.Helper()
	t, err := (*broker.Topic)(nil), errNoAnswer
	ask(func(r []broker.TopicResult) { t, err = r[0].Topic, r[0].Err })
	n.Settle()
	return t, err
}

// Begin begins an append and returns at once; the result is filled in when it
// has been answered.
func Begin(p *broker.Partition, batch []byte) *Pending {
	r := &Pending{}
	r.Append = broker.Append{Batch: batch, Done: func(*broker.Append) { r.Answered = true }}
	p.Append(&r.Append)
	return r
}

// Pending is an append under way.
type Pending struct {
	broker.Append
	Answered bool
}

// Append appends a batch, waits, and returns its base offset.
func (n *Node) Append(p *broker.Partition, batch []byte) (record.Offset, error) {
	n.tb.Helper()
	r := Begin(p, batch)
	n.Settle()
	if !r.Answered {
		return -1, errNoAnswer
	}
	return r.Base, r.Err
}

// MustAppend is Append that may not fail.
func (n *Node) MustAppend(p *broker.Partition, batch []byte) record.Offset {
	n.tb.Helper()
	base, err := n.Append(p, batch)
	if err != nil {
		n.tb.Fatalf("appending to partition %d: %v", p.ID(), err)
	}
	return base
}

// Values reads a partition from an offset to its high watermark, checks what
// every reader relies on (checksums, offsets that never go back), and returns
// the values of its records.
func (n *Node) Values(p *broker.Partition, from record.Offset) []string {
	n.tb.Helper()
	values, err := ReadValues(p, from)
	if err != nil {
		n.tb.Fatalf("reading partition %d from %d: %v", p.ID(), from, err)
	}
	return values
}

// ReadValues is Values without a node.
func ReadValues(p *broker.Partition, from record.Offset) ([]string, error) {
	var values []string
	r := broker.Result{Whole: true}
	for next, end := from, p.HighWatermark(); next < end; {
		if err := p.Read(&r, next, end, 1<<20, true); err != nil {
			return values, err
		}
		if r.Next == next {
			return values, fmt.Errorf("nothing to read at %d, below %d", next, end)
		}
		for _, buf := range r.Buffers {
			err := record.Walk(buf, func(batch []byte, _ record.Header) error {
				if _, err := record.Validate(batch, record.Checks{}); err != nil {
					return err
				}
				return record.Records(batch, func(rec record.Record) error {
					if rec.Offset < next {
						return nil // the batch begins before what was asked for
					}
					values = append(values, string(rec.Value))
					next = rec.Offset + 1
					return nil
				})
			})
			if err != nil {
				return values, err
			}
		}
		next = r.Next
		r.Release()
	}
	return values, nil
}
