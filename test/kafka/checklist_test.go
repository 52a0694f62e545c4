package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/test/harness"
)

// The tests of this file are what other servers of this protocol got wrong, as
// the suites of Kafka's clients found out.

// request asks and checks that an answer came.
func request[R kmsg.Response](t *testing.T, c *kgo.Client, req kmsg.Request) R {
	t.Helper()
	resp, err := c.Request(within(t, 30*time.Second), req)
	if err != nil {
		t.Fatalf("%s: %v", kmsg.NameForKey(req.Key()), err)
	}
	return resp.(R)
}

func code(t *testing.T, what string, got int16, want error) {
	t.Helper()
	if err := kerr.ErrorForCode(got); !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// makeTopic makes a topic with settings "name=value".
func makeTopic(t *testing.T, c *kgo.Client, name string, partitions int32, settings ...string) {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	wish := kmsg.NewCreateTopicsRequestTopic()
	wish.Topic, wish.NumPartitions, wish.ReplicationFactor = name, partitions, 1
	for _, s := range settings {
		cfg := kmsg.NewCreateTopicsRequestTopicConfig()
		key, value, _ := strings.Cut(s, "=")
		cfg.Name, cfg.Value = key, &value
		wish.Configs = append(wish.Configs, cfg)
	}
	req.Topics = append(req.Topics, wish)
	code(t, "creating "+name, request[*kmsg.CreateTopicsResponse](t, c, req).Topics[0].ErrorCode, nil)
}

// offsetAt asks where a time lies in partition 0, or one of the special ones.
func offsetAt(t *testing.T, c *kgo.Client, topic string, timestamp int64, isolation int8) kmsg.ListOffsetsResponseTopicPartition {
	t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	req.IsolationLevel = isolation
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp = timestamp
	rt.Partitions = append(rt.Partitions, p)
	req.Topics = append(req.Topics, rt)
	return request[*kmsg.ListOffsetsResponse](t, c, req).Topics[0].Partitions[0]
}

// TestTimestampsInsideBatches: an offset by time is that of a record, not that
// of the batch that it came in, compressed or not.
func TestTimestampsInsideBatches(t *testing.T) {
	s := harness.Start(t)
	for i, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.ZstdCompression(), kgo.SnappyCompression()} {
		topic := fmt.Sprint("times-", i)
		c := newClient(t, s, kgo.ProducerLinger(50*time.Millisecond), kgo.ProducerBatchCompression(codec), kgo.DefaultProduceTopic(topic))
		makeTopic(t, c, topic, 1)
		at := time.Now().Add(-time.Hour).Truncate(time.Second)
		var records []*kgo.Record
		for n := range 10 {
			records = append(records, &kgo.Record{Value: []byte("v"), Timestamp: at.Add(time.Duration(n) * time.Second)})
		}
		if err := c.ProduceSync(within(t, 30*time.Second), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		for ms, want := range map[int64]int64{-1000: 0, 0: 0, 1: 1, 3000: 3, 3001: 4, 9000: 9, 9001: -1} {
			got := offsetAt(t, c, topic, at.UnixMilli()+ms, 0)
			if got.ErrorCode != 0 || got.Offset != want || want >= 0 && got.Timestamp < at.UnixMilli()+ms {
				t.Errorf("%s: %d ms after the first: %+v, want offset %d", topic, ms, got, want)
			}
		}
		if got := offsetAt(t, c, topic, -3, 0); got.Offset != 9 || got.Timestamp != at.UnixMilli()+9000 {
			t.Errorf("the largest timestamp is said to be at %+v", got)
		}
	}
}

// TestEmptyArraysAndNames: what is empty means nothing, or all, and never an
// error of the connection.
func TestEmptyArraysAndNames(t *testing.T) {
	s := harness.Start(t)
	c := newClient(t, s)
	makeTopic(t, c, "t", 1)
	grow := kmsg.NewPtrCreatePartitionsRequest()
	if got := request[*kmsg.CreatePartitionsResponse](t, c, grow); len(got.Topics) != 0 {
		t.Errorf("%+v", got)
	}
	wish := kmsg.NewCreatePartitionsRequestTopic()
	wish.Topic, wish.Count, wish.Assignment = "t", 3, []kmsg.CreatePartitionsRequestTopicAssignment{}
	grow.Topics = append(grow.Topics, wish)
	code(t, "partitions with an empty assignment", request[*kmsg.CreatePartitionsResponse](t, c, grow).Topics[0].ErrorCode, nil)

	describe := kmsg.NewPtrDescribeConfigsRequest()
	for _, names := range [][]string{nil, {}, {"retention.ms"}} {
		describe.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "t", ConfigNames: names}}
		got := request[*kmsg.DescribeConfigsResponse](t, c, describe).Resources[0]
		if n := len(got.Configs); got.ErrorCode != 0 || len(names) == 0 && n < 30 || len(names) == 1 && n != 1 {
			t.Errorf("settings named %q: %d, code %d", names, n, got.ErrorCode)
		}
	}
	for _, req := range []kmsg.Request{
		kmsg.NewPtrDeleteTopicsRequest(), kmsg.NewPtrCreateTopicsRequest(), kmsg.NewPtrDescribeGroupsRequest(), kmsg.NewPtrDeleteGroupsRequest(),
		kmsg.NewPtrListOffsetsRequest(), kmsg.NewPtrIncrementalAlterConfigsRequest(), kmsg.NewPtrDeleteRecordsRequest(),
		kmsg.NewPtrOffsetForLeaderEpochRequest(), kmsg.NewPtrDescribeProducersRequest(), kmsg.NewPtrDescribeTopicPartitionsRequest(),
	} {
		if _, err := c.Request(within(t, 30*time.Second), req); err != nil {
			t.Errorf("an empty %s: %v", kmsg.NameForKey(req.Key()), err)
		}
	}
}

// TestCommitsKeepTheirMetadata, to the byte, and over a restart.
func TestCommitsKeepTheirMetadata(t *testing.T) {
	s := harness.Start(t)
	c := newClient(t, s)
	makeTopic(t, c, "t", 1)
	text := "état \x00 \"quoted\""
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Group, commit.Generation = "g", -1
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic, rt.TopicID = "t", topicID(t, c, "t")
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset, p.Metadata = 5, &text
	rt.Partitions = append(rt.Partitions, p)
	commit.Topics = append(commit.Topics, rt)
	code(t, "commit", request[*kmsg.OffsetCommitResponse](t, c, commit).Topics[0].Partitions[0].ErrorCode, nil)
	s.Kill()
	s.Restart()
	c = newClient(t, s)
	fetch := kmsg.NewPtrOffsetFetchRequest()
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = "g"
	fetch.Groups, fetch.Group = append(fetch.Groups, g), "g"
	got := request[*kmsg.OffsetFetchResponse](t, c, fetch)
	at := got.Groups[0].Topics[0].Partitions[0]
	if at.Offset != 5 || at.Metadata == nil || *at.Metadata != text {
		t.Errorf("%+v", at)
	}
}

// TestWhatATopicRefuses: records without keys where it compacts, and batches
// that are too large, whatever the client thinks of them.
func TestWhatATopicRefuses(t *testing.T) {
	s := harness.Start(t)
	c := newClient(t, s, kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RecordRetries(1))
	makeTopic(t, c, "compacted", 1, "cleanup.policy=compact")
	makeTopic(t, c, "small", 1, "max.message.bytes=1000")
	write := func(r *kgo.Record) error { return c.ProduceSync(within(t, 30*time.Second), r).FirstErr() }
	if err := write(&kgo.Record{Topic: "compacted", Value: []byte("v")}); !errors.Is(err, kerr.InvalidRecord) {
		t.Errorf("a record without a key: %v", err)
	}
	if err := write(&kgo.Record{Topic: "compacted", Key: []byte{}, Value: []byte("v")}); err != nil {
		t.Errorf("a record with an empty key: %v", err)
	}
	large := make([]byte, 1000)
	if err := write(&kgo.Record{Topic: "small", Value: large}); !errors.Is(err, kerr.MessageTooLarge) {
		t.Errorf("a large record: %v", err)
	}
	alter := kmsg.NewPtrIncrementalAlterConfigsRequest()
	res := kmsg.NewIncrementalAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, "small"
	cfg := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	cfg.Name, cfg.Value = "max.message.bytes", kmsg.StringPtr("2000")
	res.Configs = append(res.Configs, cfg)
	alter.Resources = append(alter.Resources, res)
	code(t, "altering", request[*kmsg.IncrementalAlterConfigsResponse](t, c, alter).Resources[0].ErrorCode, nil)
	if err := write(&kgo.Record{Topic: "small", Value: large}); err != nil {
		t.Errorf("a record that is not too large any more: %v", err)
	}
}

// TestAbortedRecordsStayHidden from who reads committed ones, in the middle of
// others, and the last stable offset holds back what is undecided.
func TestAbortedRecordsStayHidden(t *testing.T) {
	s := harness.Start(t)
	plain := newClient(t, s)
	makeTopic(t, plain, "t", 1)
	txn := newClient(t, s, kgo.TransactionalID("x"))
	end := func(commit kgo.TransactionEndTry, value string) {
		t.Helper()
		if err := txn.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := txn.ProduceSync(within(t, 30*time.Second), &kgo.Record{Topic: "t", Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		produce(t, plain, "t", "beside-"+value, 1)
		open, stable := offsetAt(t, plain, "t", -1, 0).Offset, offsetAt(t, plain, "t", -1, 1).Offset
		if stable != open-2 {
			t.Errorf("while %s is open the log ends at %d and is stable up to %d", value, open, stable)
		}
		if err := txn.EndTransaction(within(t, 30*time.Second), commit); err != nil {
			t.Fatal(err)
		}
	}
	end(kgo.TryAbort, "aborted-1")
	end(kgo.TryCommit, "committed")
	end(kgo.TryAbort, "aborted-2")
	s.Kill()
	s.Restart()
	reader := newClient(t, s, kgo.ConsumeTopics("t"), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	produce(t, newClient(t, s), "t", "last", 1)
	seen := consume(t, reader, 5)
	for _, v := range []string{"committed", "beside-aborted-1-0", "beside-committed-0", "beside-aborted-2-0", "last-0"} {
		if seen[v] != 1 {
			t.Errorf("%s came %d times: %v", v, seen[v], seen)
		}
	}
}

// strangers counts how often a client was told that its group does not know it.
type strangers struct{ n atomic.Int64 }

func (s *strangers) OnGroupManageError(err error) {
	if errors.Is(err, kerr.UnknownMemberID) {
		s.n.Add(1)
	}
}

// TestManyJoinAndLeaveAtOnce: members come and go while others rebalance, and
// none is told that the group does not know it.
func TestManyJoinAndLeaveAtOnce(t *testing.T) {
	s := harness.Start(t)
	c := newClient(t, s)
	makeTopic(t, c, "t", 12)
	produce(t, c, "t", "v", 500)
	var mu sync.Mutex
	lost := &strangers{}
	var stays atomic.Int64
	seen := map[string]bool{}
	ctx, stop := context.WithCancel(context.Background())
	var members sync.WaitGroup
	for i := range 12 {
		members.Go(func() {
			for ctx.Err() == nil {
				m := newClient(t, s, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.DisableAutoCommit(), kgo.WithHooks(lost))
				until, done := context.WithTimeout(ctx, time.Duration(300+70*i)*time.Millisecond)
				for until.Err() == nil {
					m.PollFetches(until).EachRecord(func(r *kgo.Record) {
						mu.Lock()
						defer mu.Unlock()
						seen[string(r.Value)] = true
					})
				}
				done()
				m.LeaveGroup()
				m.Close()
				stays.Add(1)
			}
		})
	}
	await(t, "all records came through the group, whose members changed all the time", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(seen) == 500 && stays.Load() >= 40
	})
	stop()
	members.Wait()
	if n := lost.n.Load(); n > 0 {
		t.Errorf("%d times a member was unknown to its group", n)
	}
}
