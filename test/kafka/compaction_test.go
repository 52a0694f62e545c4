package kafka

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/test/harness"
)

// createTopic makes a topic of one partition with settings key=value.
func createTopic(t *testing.T, c *kgo.Client, name string, settings ...string) {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, 1
	for _, s := range settings {
		k, v, _ := strings.Cut(s, "=")
		setting := kmsg.NewCreateTopicsRequestTopicConfig()
		setting.Name, setting.Value = k, &v
		topic.Configs = append(topic.Configs, setting)
	}
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(within(t, 10*time.Second), c)
	if err != nil || resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("creating %s: %v %+v", name, err, resp)
	}
}

func alterTopic(t *testing.T, c *kgo.Client, name, key, value string) {
	t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, name
	cfg := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	cfg.Name, cfg.Value = key, &value
	r.Configs = append(r.Configs, cfg)
	req.Resources = append(req.Resources, r)
	resp, err := req.RequestWith(within(t, 10*time.Second), c)
	if err != nil || resp.Resources[0].ErrorCode != 0 {
		t.Fatalf("altering %s: %v %+v", name, err, resp)
	}
}

// updates writes to a topic and remembers what it wrote.
type updates struct {
	t     *testing.T
	c     *kgo.Client
	topic string
	rng   *rand.ChaCha8
	// wrote is the key and value of every offset, "" for a tombstone.
	wrote map[int64][2]string
	last  map[string]int64
}

// write writes an update of each key, or its tombstone.
func (u *updates) write(keys []string, deletes bool) {
	u.t.Helper()
	var failed error
	for _, k := range keys {
		r := &kgo.Record{Topic: u.topic, Key: []byte(k)}
		if !deletes {
			r.Value = make([]byte, 100)
			_, _ = u.rng.Read(r.Value)
		}
		u.c.Produce(context.Background(), r, func(r *kgo.Record, err error) {
			if err != nil {
				failed = err
				return
			}
			u.wrote[r.Offset] = [2]string{string(r.Key), string(r.Value)}
			u.last[string(r.Key)] = max(u.last[string(r.Key)], r.Offset)
		})
	}
	if err := u.c.Flush(within(u.t, time.Minute)); err != nil || failed != nil {
		u.t.Fatal(err, failed)
	}
}

// read reads all of the topic, holds it against what was written, and returns
// the offsets that are left. Of a key the last record must be among them, unless
// it is a tombstone.
func (u *updates) read(s *harness.Server) (left []int64) {
	u.t.Helper()
	c := newClient(u.t, s, kgo.ConsumeTopics(u.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer c.Close()
	ctx, end, seen := within(u.t, 30*time.Second), int64(len(u.wrote)), map[string]int64{}
	for next := int64(0); next < end; {
		fetches := c.PollFetches(ctx)
		if errs := fetches.Errors(); len(errs) > 0 {
			u.t.Fatalf("after offset %d of %d: %v", next, end, errs)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset < next {
				u.t.Fatalf("offset %d came after %d", r.Offset, next-1)
			}
			if u.wrote[r.Offset] != [2]string{string(r.Key), string(r.Value)} {
				u.t.Fatalf("offset %d has another record than was written", r.Offset)
			}
			next = r.Offset + 1
			left = append(left, r.Offset)
			seen[string(r.Key)] = r.Offset
		})
	}
	for k, o := range u.last {
		if seen[k] != o && u.wrote[o][1] != "" {
			u.t.Fatalf("the last record of %s, at %d, is missing", k, o)
		}
	}
	return left
}

// until reads until what is left is as wanted.
func (u *updates) until(s *harness.Server, what string, ok func(left []int64) bool) []int64 {
	u.t.Helper()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		left := u.read(s)
		if ok(left) {
			return left
		}
		if time.Now().After(deadline) {
			u.t.Fatalf("%d records are left of %d; want %s", len(left), len(u.wrote), what)
		}
		<-tick.C
	}
}

// A topic that becomes compacted keeps the last record of each key; tombstones
// take their keys along and go themselves; and what a client reads stays in
// order, the same after a crash.
func TestCompaction(t *testing.T) {
	s := harness.Start(t)
	c := newClient(t, s, kgo.MaxBufferedRecords(1<<20))
	createTopic(t, c, "table", "segment.bytes=1048576", "min.cleanable.dirty.ratio=0.01", "delete.retention.ms=1000")
	u := &updates{t: t, c: c, topic: "table", rng: rand.NewChaCha8([32]byte{1}), wrote: map[int64][2]string{}, last: map[string]int64{}}
	var table, gone, filler []string
	for i := range 1000 {
		table = append(table, "key"+strconv.Itoa(i))
	}
	gone = table[:100]
	for range 100 {
		u.write(table, false)
	}
	if left := u.read(s); len(left) != 100_000 {
		t.Fatalf("%d records before the topic was compacted", len(left))
	}
	alterTopic(t, c, "table", "cleanup.policy", "compact,delete")
	// The active segment has less than 10,000 records.
	u.until(s, "1,000 and those of the last segment", func(left []int64) bool { return len(left) < 11_000 })

	u.write(gone, true)
	for i := range 10_000 { // so much that the segment with the tombstones closes
		filler = append(filler, fmt.Sprintf("filler%d", i%500))
	}
	u.write(filler, false)
	tombstones := func(left []int64) (n, old int) {
		for _, o := range left {
			switch w := u.wrote[o]; {
			case w[1] == "":
				n++
			case o < u.last[w[0]] && strings.HasPrefix(w[0], "key"):
				old++
			}
		}
		return n, old
	}
	u.until(s, "tombstones without older records", func(left []int64) bool { n, old := tombstones(left); return n <= 100 && old == 0 })
	u.write(filler, false) // what makes another compaction worth while
	u.until(s, "no tombstones", func(left []int64) bool { n, _ := tombstones(left); return n == 0 })

	// What no checkpoint has covered yet comes back, and goes again.
	s.Kill()
	s.Restart()
	u.read(s)
	u.write(table[500:], false) // the producer goes on
	u.until(s, "no tombstones", func(left []int64) bool { n, _ := tombstones(left); return n == 0 })
}
