package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// payload is what a record holds: the n-th record of a producer to the
// partition.
type payload struct {
	Producer  int   `json:"producer"`
	Partition int32 `json:"partition"`
	N         int   `json:"n"`
}

// encode writes the payload and pads it, so that files fill, are sealed and
// are used again between two kills.
func (p payload) encode() ([]byte, error) {
	value, err := json.Marshal(p)
	if err != nil || *pad == 0 {
		return value, err
	}
	return append(value, bytes.Repeat([]byte{' '}, (p.N*977+p.Producer)%*pad)...), nil
}

func client(address string, opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(clientOptions(address), opts...)...)
}

func clientOptions(address string) []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(address),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		kgo.MetadataMinAge(20 * time.Millisecond),
		kgo.DialTimeout(time.Second),
		// A long pause of the server outlasts these, so that clients give up on
		// a request whose fate they do not know, and send it again.
		kgo.RequestTimeoutOverhead(2 * time.Second),
		kgo.ProduceRequestTimeout(time.Second),
		kgo.AlwaysRetryEOF(), // a server killed between accept and answer is no protocol error
	}
}

func createTopic(t *testing.T, address, topic string) {
	t.Helper()
	c, err := client(address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, partitions, 1
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(context.Background(), c)
	if err != nil || resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("creating the topic: %v, %+v", err, resp)
	}
}

// A producer writes no more than paceRecords in paceTime, so that a long campaign
// fits on a disk and in memory.
const (
	paceRecords = 10
	paceTime    = 10 * time.Millisecond
)

// produce writes until ctx is done, waits for every acknowledgement, and notes
// each in the history. Retries are the client's and idempotent; an error means
// that the client believes records to be lost. No more than ahead records wait
// for their acknowledgement.
func produce(ctx context.Context, address, topic string, producer, ahead int, h *history) error {
	c, err := client(address,
		kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MaxBufferedRecords(ahead), kgo.ProducerLinger(0), kgo.StopProducerOnDataLossDetected(),
	)
	if err != nil {
		return err
	}
	defer c.Close()
	failed := make(chan error, 1)
	var next [partitions]int
	pace := time.NewTicker(paceTime)
	defer pace.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		if i%paceRecords == 0 {
			<-pace.C
		}
		p := payload{producer, int32(i % partitions), next[i%partitions]}
		next[p.Partition]++
		value, err := p.encode()
		if err != nil {
			return err
		}
		c.Produce(context.Background(), &kgo.Record{Partition: p.Partition, Value: value}, func(r *kgo.Record, err error) {
			if err == nil {
				h.acknowledged(r.Partition, r.Offset, p)
				return
			}
			select {
			case failed <- fmt.Errorf("producer %d, partition %d, record %d: %w", p.Producer, p.Partition, p.N, err):
			default:
			}
		})
		select {
		case err := <-failed:
			return err
		default:
		}
	}
	if err := c.Flush(context.Background()); err != nil {
		return err
	}
	h.finished(producer, next)
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// readAll reads every partition of a topic from its first record to its end:
// what is committed only, should there be transactions.
func readAll(t *testing.T, address, topic string) map[int32][]found {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	at := map[int32]kgo.Offset{}
	for p := range int32(partitions) {
		at[p] = kgo.NewOffset().AtStart()
	}
	c, err := client(address, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: at}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ends := endOffsets(ctx, t, c, topic)
	all, reached := map[int32][]found{}, map[int32]int64{}
	for missing := true; missing; {
		fetches := c.PollFetches(ctx)
		if errs := fetches.Errors(); len(errs) > 0 {
			t.Fatalf("reading %s: %v", topic, errs)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			reached[r.Partition] = r.Offset + 1
			if r.Attrs.IsControl() {
				return
			}
			f := found{offset: r.Offset}
			if err := json.Unmarshal(r.Value, &f.payload); err != nil {
				t.Fatalf("%s: partition %d offset %d is not ours: %q", topic, r.Partition, r.Offset, r.Value)
			}
			all[r.Partition] = append(all[r.Partition], f)
		})
		missing = false
		for p, end := range ends {
			missing = missing || reached[p] < end
		}
	}
	return all
}

func endOffsets(ctx context.Context, t *testing.T, c *kgo.Client, topic string) map[int32]int64 {
	t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	for p := range int32(partitions) {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = p, -1
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, c)
	if err != nil {
		t.Fatalf("asking for the ends: %v", err)
	}
	ends := map[int32]int64{}
	for _, p := range resp.Topics[0].Partitions {
		if p.ErrorCode != 0 {
			t.Fatalf("asking for the end of partition %d: error %d", p.Partition, p.ErrorCode)
		}
		ends[p.Partition] = p.Offset
	}
	return ends
}
