package kafkaclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/record"
)

// TestMurmur2 holds the partitioner against the Java client's own vectors
// (UtilsTest.java).
func TestMurmur2(t *testing.T) {
	for key, want := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
	} {
		if got := int32(murmur2([]byte(key))); got != want {
			t.Errorf("%s: %d, want %d", key, got, want)
		}
	}
}

func TestUnreachable(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	ln.Close()
	_, err = Connect(context.Background(), Options{Brokers: []string{address}, Timeout: time.Second})
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), address) {
		t.Errorf("got %v", err)
	}
}

func TestSecondAddressIsTried(t *testing.T) {
	f := startFake(t, 1)
	f.answer = func(kmsg.Request) kmsg.Response { return metadataOf([]*fakeServer{f}, 1) }
	c, err := Connect(context.Background(), Options{Brokers: []string{"127.0.0.1:1", f.address()}, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// TestVersions: the highest version that both speak; an old server is told
// from one that lacks the request.
func TestVersions(t *testing.T) {
	f := startFake(t, 1)
	f.highest[int16(kmsg.Metadata)] = 4
	f.answer = func(kmsg.Request) kmsg.Response { return metadataOf([]*fakeServer{f}, 1) }
	c := connect(t, f)
	if v := f.requests(kmsg.Metadata)[0].GetVersion(); v != 4 {
		t.Errorf("asked with version %d, want 4", v)
	}
	f.highest[int16(kmsg.OffsetFetch)] = 7
	req := kmsg.NewPtrShareFetchRequest()
	if _, err := req.RequestWith(context.Background(), c.anyServer()); !errors.Is(err, UnsupportedVersion.Err()) {
		t.Errorf("a request the server lacks: %v", err)
	}
}

// TestNotKafka: something else listens.
func TestNotKafka(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		nc, err := ln.Accept()
		if err == nil {
			fmt.Fprint(nc, "HTTP/1.1 400 Bad Request\r\n\r\n")
			nc.Close()
		}
	}()
	_, err = Connect(context.Background(), Options{Brokers: []string{ln.Addr().String()}, Timeout: time.Second})
	if err == nil || !strings.Contains(err.Error(), "is this a Kafka port?") {
		t.Errorf("got %v", err)
	}
}

// produced checks and counts the batches of a Produce request.
func produceAnswer(req *kmsg.ProduceRequest, code int16) *kmsg.ProduceResponse {
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, code
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// TestRetryRepeatsTheSameBatch: a leader that moved, then a connection that
// breaks before the answer; each try must carry the same sequence.
func TestRetryRepeatsTheSameBatch(t *testing.T) {
	one, two := startFake(t, 1), startFake(t, 2)
	servers := []*fakeServer{one, two}
	leader, tries := int32(1), 0
	answer := func(req kmsg.Request) kmsg.Response {
		switch req := req.(type) {
		case *kmsg.MetadataRequest:
			return metadataOf(servers, leader)
		case *kmsg.InitProducerIDRequest:
			resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
			resp.ProducerID, resp.ProducerEpoch = 77, 3
			return resp
		case *kmsg.ProduceRequest:
			switch tries++; tries {
			case 1:
				return produceAnswer(req, 6) // NOT_LEADER_OR_FOLLOWER
			case 2:
				return nil // it hangs up
			case 3:
				return produceAnswer(req, 46) // an earlier try did arrive
			}
			return produceAnswer(req, 0)
		}
		return nil
	}
	one.answer = func(req kmsg.Request) kmsg.Response {
		resp := answer(req)
		if _, ok := req.(*kmsg.ProduceRequest); ok {
			leader = 2
		}
		return resp
	}
	two.answer = answer
	c := connect(t, one)
	acked := 0
	p, err := c.NewProducer(context.Background(), "t", ProducerOptions{Acks: -1, Delivered: func(_ int32, _ int64, n int) { acked += n }})
	if err != nil {
		t.Fatal(err)
	}
	add := func(values ...string) {
		t.Helper()
		for _, v := range values {
			if err := p.Add(context.Background(), record.Record{Value: []byte(v)}, -1); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	add("a", "b")
	add("c")
	if acked != 3 {
		t.Errorf("%d records acknowledged, want 3", acked)
	}
	requests := append(one.requests(kmsg.Produce), two.requests(kmsg.Produce)...)
	wantSequence := []int32{0, 0, 0, 2}
	if len(requests) != len(wantSequence) {
		t.Fatalf("%d tries, want %d", len(requests), len(wantSequence))
	}
	for i, r := range requests {
		h, err := record.Validate(r.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records, record.Checks{Produced: true})
		if err != nil || h.BaseSequence != wantSequence[i] || h.ProducerID != 77 || h.ProducerEpoch != 3 {
			t.Errorf("try %d: %v, %v; want sequence %d", i, h, err, wantSequence[i])
		}
	}
}

func TestFinalErrorIsNotRetried(t *testing.T) {
	f := startFake(t, 1)
	f.answer = func(req kmsg.Request) kmsg.Response {
		if p, ok := req.(*kmsg.ProduceRequest); ok {
			return produceAnswer(p, 10)
		}
		return metadataOf([]*fakeServer{f}, 1)
	}
	c := connect(t, f)
	p, err := c.NewProducer(context.Background(), "t", ProducerOptions{Acks: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Add(context.Background(), record.Record{Value: []byte("x")}, 0); err != nil {
		t.Fatal(err)
	}
	err = p.Flush(context.Background())
	if err == nil || !strings.Contains(err.Error(), "partition 0: the record is larger than the topic's max.message.bytes (MESSAGE_TOO_LARGE)") {
		t.Errorf("got %v", err)
	}
	if n := len(f.requests(kmsg.Produce)); n != 1 {
		t.Errorf("%d tries, want 1", n)
	}
	if err := p.Add(context.Background(), record.Record{}, 5); err == nil || !strings.Contains(err.Error(), "has no partition 5") {
		t.Errorf("a partition too many: %v", err)
	}
}

// batchOf builds a batch of values from an offset on.
func batchOf(t *testing.T, base record.Offset, values ...string) []byte {
	t.Helper()
	var b record.Builder
	h := record.Template(record.None)
	h.BaseOffset = base
	b.Reset(h)
	for _, v := range values {
		b.Add(record.Record{Value: []byte(v)})
	}
	bytes, err := b.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// TestRead reads two partitions of two servers from the middle of a batch to
// an end inside of one, past an error that passes.
func TestRead(t *testing.T) {
	one, two := startFake(t, 1), startFake(t, 2)
	servers := []*fakeServer{one, two}
	logs := map[int32][]byte{
		0: append(batchOf(t, 0, "a0", "a1", "a2"), batchOf(t, 3, "a3", "a4", "a5")...),
		1: batchOf(t, 0, "b0", "b1"),
	}
	failures := 1
	answer := func(req kmsg.Request) kmsg.Response {
		f, ok := req.(*kmsg.FetchRequest)
		if !ok {
			return metadataOf(servers, 1, 2)
		}
		resp := f.ResponseKind().(*kmsg.FetchResponse)
		topic := kmsg.NewFetchResponseTopic()
		for _, p := range f.Topics[0].Partitions {
			rp := kmsg.NewFetchResponseTopicPartition()
			rp.Partition, rp.RecordBatches = p.Partition, []byte{}
			_ = record.Walk(logs[p.Partition], func(b []byte, h record.Header) error {
				if int64(h.LastOffset()) >= p.FetchOffset && len(rp.RecordBatches) == 0 {
					rp.RecordBatches = b
				}
				return nil
			})
			if p.Partition == 0 && failures > 0 {
				failures--
				rp.ErrorCode = 75 // UNKNOWN_LEADER_EPOCH
			}
			topic.Partitions = append(topic.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, topic)
		return resp
	}
	one.answer, two.answer = answer, answer
	c := connect(t, one)
	topic, err := c.Topic(context.Background(), "t", false)
	if err != nil {
		t.Fatal(err)
	}
	got := map[int32]string{}
	idle := 0
	err = c.Read(context.Background(), Reading{
		Topic: topic, From: map[int32]int64{0: 1, 1: 0}, Until: map[int32]int64{0: 5, 1: 2},
		Idle: func() error { idle++; return nil },
	}, func(d *Delivery) error {
		got[d.Partition] += fmt.Sprintf("%d=%s ", d.Offset, d.Value)
		return nil
	})
	if err != nil || got[0] != "1=a1 2=a2 3=a3 4=a4 " || got[1] != "0=b0 1=b1 " || idle == 0 {
		t.Errorf("got %v, %v, idle %d", got, err, idle)
	}
	stop := errors.New("stop")
	err = c.Read(context.Background(), Reading{Topic: topic, From: map[int32]int64{0: 0}}, func(*Delivery) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("an error of the caller's: %v", err)
	}
}

func TestReadOutOfRange(t *testing.T) {
	f := startFake(t, 1)
	f.answer = func(req kmsg.Request) kmsg.Response {
		fetch, ok := req.(*kmsg.FetchRequest)
		if !ok {
			return metadataOf([]*fakeServer{f}, 1)
		}
		resp := fetch.ResponseKind().(*kmsg.FetchResponse)
		topic := kmsg.NewFetchResponseTopic()
		p := kmsg.NewFetchResponseTopicPartition()
		p.ErrorCode, p.LogStartOffset, p.HighWatermark = 1, 10, 20
		topic.Partitions = append(topic.Partitions, p)
		resp.Topics = append(resp.Topics, topic)
		return resp
	}
	c := connect(t, f)
	topic, err := c.Topic(context.Background(), "t", false)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Read(context.Background(), Reading{Topic: topic, From: map[int32]int64{0: 5}}, func(*Delivery) error { return nil })
	if !errors.Is(err, OffsetOutOfRange.Err()) || !strings.Contains(err.Error(), "kept: 10 to 20") {
		t.Errorf("got %v", err)
	}
}

func TestCancelledReadEnds(t *testing.T) {
	f := startFake(t, 1)
	ctx, cancel := context.WithCancel(context.Background())
	f.answer = func(req kmsg.Request) kmsg.Response {
		if _, ok := req.(*kmsg.FetchRequest); ok {
			cancel() // the fetch is under way
			return nil
		}
		return metadataOf([]*fakeServer{f}, 1)
	}
	c := connect(t, f)
	topic, err := c.Topic(context.Background(), "t", false)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Read(ctx, Reading{Topic: topic, From: map[int32]int64{0: 0}}, func(*Delivery) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
