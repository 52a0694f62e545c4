package kafka

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/record"
)

func TestFetchAtEveryVersion(t *testing.T) {
	r := newRig(t)
	id := r.topic("t", 1)
	r.write("t", "a", "b")
	for v := int16(4); v <= 18; v++ {
		got := r.fetch(fetchRequest(v, "t", id, 0))
		if got.ErrorCode != errNone || got.HighWatermark != 2 || got.LastStableOffset != 2 || got.AbortedTransactions != nil {
			t.Errorf("v%d: %+v", v, got)
		}
		if vs := values(t, got.RecordBatches); len(vs) != 2 || vs[0] != "a" || vs[1] != "b" {
			t.Errorf("v%d: %v", v, vs)
		}
		if v >= 5 && got.LogStartOffset != 0 || v >= 11 && got.PreferredReadReplica != -1 {
			t.Errorf("v%d: %+v", v, got)
		}
	}
}

func TestFetchReturnsWholeBatches(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	r.produce(9, "t", [16]byte{}, batchOf(t, record.Template(record.LZ4), now(), "a", "b", "c"))
	r.write("t", "d")
	got := r.fetch(fetchRequest(11, "t", [16]byte{}, 1))
	if vs := values(t, got.RecordBatches); len(vs) != 4 || vs[0] != "a" || vs[3] != "d" {
		t.Errorf("from inside a batch: %v", vs)
	}
	got = r.fetch(fetchRequest(11, "t", [16]byte{}, 3))
	if vs := values(t, got.RecordBatches); len(vs) != 1 || vs[3] != "d" {
		t.Errorf("behind the batch: %v", vs)
	}
}

func TestFetchLimits(t *testing.T) {
	r := newRig(t)
	r.topic("t", 2)
	big := batchOf(t, record.Template(record.None), now(), strings.Repeat("x", 1000))
	for range 3 {
		r.produce(9, "t", [16]byte{}, big, big)
	}
	ask := func(maxBytes, partMax int32) (sizes []int) {
		req := fetchRequest(11, "t", [16]byte{}, 0)
		req.MaxBytes = maxBytes
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, fetchPartition(1, 0))
		for i := range req.Topics[0].Partitions {
			req.Topics[0].Partitions[i].PartitionMaxBytes = partMax
		}
		for _, p := range r.ask(req).(*kmsg.FetchResponse).Topics[0].Partitions {
			if p.RecordBatches == nil {
				t.Error("an empty set of records is null")
			}
			sizes = append(sizes, len(p.RecordBatches))
		}
		return sizes
	}
	n := len(big)
	for _, c := range []struct {
		name          string
		maxBytes, max int32
		first, second int
	}{
		{name: "everything fits", maxBytes: 1 << 20, max: 1 << 20, first: 3 * n, second: 3 * n},
		{name: "two of a partition", maxBytes: 1 << 20, max: int32(2*n + 1), first: 2 * n, second: 2 * n},
		{name: "less than one batch comes all the same, once", maxBytes: 10, max: 10, first: n, second: 0},
		{name: "nothing is asked for", maxBytes: 0, max: 0, first: n, second: 0},
		{name: "a small partition limit", maxBytes: 1 << 20, max: 10, first: n, second: 0},
		{name: "the whole limit is shared", maxBytes: int32(4 * n), max: 1 << 20, first: 3 * n, second: n},
	} {
		if got := ask(c.maxBytes, c.max); got[0] != c.first || got[1] != c.second {
			t.Errorf("%s: %v bytes, want %d and %d (a batch has %d)", c.name, got, c.first, c.second, n)
		}
	}
}

func TestFetchErrors(t *testing.T) {
	r := newRig(t)
	id := r.topic("t", 1)
	r.write("t", "a", "b", "c")
	r.restart()
	epoch := int32(r.broker.Topic("t").Partitions[0].Epoch())
	part := func(edit func(p *kmsg.FetchRequestTopicPartition)) func(*kmsg.FetchRequest) {
		return func(req *kmsg.FetchRequest) { edit(&req.Topics[0].Partitions[0]) }
	}
	for _, c := range []struct {
		name    string
		version int16
		edit    func(req *kmsg.FetchRequest)
		want    int16
	}{
		{"at the end", 12, part(func(p *kmsg.FetchRequestTopicPartition) { p.FetchOffset = 3 }), errNone},
		{"beyond the end", 12, part(func(p *kmsg.FetchRequestTopicPartition) { p.FetchOffset = 4 }), errOffsetOutOfRange},
		{"before the start", 12, part(func(p *kmsg.FetchRequestTopicPartition) { p.FetchOffset = -1 }), errOffsetOutOfRange},
		{"no partition", 12, part(func(p *kmsg.FetchRequestTopicPartition) { p.Partition = 1 }), errUnknownTopicOrPartition},
		{"negative partition", 12, part(func(p *kmsg.FetchRequestTopicPartition) { p.Partition = -1 }), errUnknownTopicOrPartition},
		{"no topic", 12, func(req *kmsg.FetchRequest) { req.Topics[0].Topic = "nope" }, errUnknownTopicOrPartition},
		{"no topic id", 13, func(req *kmsg.FetchRequest) { req.Topics[0].TopicID[0]++ }, errUnknownTopicID},
		{"the epoch", 12, part(func(p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = epoch }), errNone},
		{"an old epoch", 12, part(func(p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = epoch - 1 }), errFencedLeaderEpoch},
		{"a future epoch", 12, part(func(p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = epoch + 1 }), errUnknownLeaderEpoch},
	} {
		req := fetchRequest(c.version, "t", id, 0)
		c.edit(req)
		got := r.fetch(req)
		if got.ErrorCode != c.want {
			t.Errorf("%s: code %d, want %d", c.name, got.ErrorCode, c.want)
		}
		if c.want != errNone && (got.HighWatermark != -1 || got.LogStartOffset != -1 || len(got.RecordBatches) != 0) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestFetchTellsWhereLogsPart(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	r.restart()
	r.write("t", "a", "b", "c")
	epoch := int32(r.broker.Topic("t").Partitions[0].Epoch())
	for _, c := range []struct {
		last   int32
		offset int64
		code   int16
		epoch  int32
		end    int64
	}{
		{epoch, 2, errNone, -1, -1},
		{epoch, 3, errNone, -1, -1},
		{epoch, 7, errNone, epoch, 3}, // the client's log is longer
		{0, 2, errNone, 0, 0},         // an epoch from before the first record
		{epoch, -1, errOffsetOutOfRange, -1, -1},
		{epoch + 1, 2, errOffsetOutOfRange, -1, -1}, // an epoch that never was
	} {
		req := fetchRequest(12, "t", [16]byte{}, c.offset)
		req.Topics[0].Partitions[0].LastFetchedEpoch = c.last
		got := r.fetch(req)
		d := got.DivergingEpoch
		if got.ErrorCode != c.code || d.Epoch != c.epoch || d.EndOffset != c.end {
			t.Errorf("last epoch %d at %d: code %d, diverging %+v", c.last, c.offset, got.ErrorCode, d)
		}
		if d.Epoch != -1 && len(got.RecordBatches) != 0 {
			t.Errorf("last epoch %d at %d: records of a log that has parted", c.last, c.offset)
		}
	}
}

func TestReadCommittedGetsAnEmptyList(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	r.write("t", "a")
	req := fetchRequest(11, "t", [16]byte{}, 0)
	req.IsolationLevel = 1
	if got := r.fetch(req); got.AbortedTransactions == nil || len(got.AbortedTransactions) != 0 || len(got.RecordBatches) == 0 {
		t.Errorf("%+v", got)
	}
}

func TestFetchWaitsForData(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	other := &rig{client: dial(t, r.address)}
	req := fetchRequest(11, "t", [16]byte{}, 0)
	req.MaxWaitMillis = 10_000
	id := r.send(req)
	r.awaitPoll()
	other.write("t", "a")
	start := time.Now()
	got := r.receive(req, id).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if vs := values(t, got.RecordBatches); vs[0] != "a" || time.Since(start) > 5*time.Second {
		t.Errorf("%v after %v", vs, time.Since(start))
	}
	// More than one batch is needed for so many bytes.
	req.Topics[0].Partitions[0].FetchOffset = 1
	req.MinBytes = int32(2 * len(got.RecordBatches))
	id = r.send(req)
	r.awaitPoll()
	other.write("t", "b", "c", "d")
	got = r.receive(req, id).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if len(got.RecordBatches) < int(req.MinBytes) {
		t.Errorf("%d bytes, at least %d were asked for", len(got.RecordBatches), req.MinBytes)
	}
}

func TestFetchWaitEnds(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	r.write("t", "a")
	req := fetchRequest(11, "t", [16]byte{}, 1)
	req.MaxWaitMillis = 50
	start := time.Now()
	got := r.fetch(req)
	if waited := time.Since(start); got.ErrorCode != errNone || len(got.RecordBatches) != 0 || waited < 50*time.Millisecond {
		t.Errorf("%+v after %v", got, waited)
	}
	// Too few bytes are given when the time is over.
	req = fetchRequest(11, "t", [16]byte{}, 0)
	req.MaxWaitMillis, req.MinBytes = 50, 1<<20
	if got := r.fetch(req); len(got.RecordBatches) == 0 {
		t.Errorf("%+v", got)
	}
	// What is left out for its size is not waited for.
	first := len(r.fetch(req).RecordBatches)
	r.write("t", "b")
	req.MaxWaitMillis, req.Topics[0].Partitions[0].PartitionMaxBytes = 60_000, int32(first+10)
	if got := r.fetch(req); len(got.RecordBatches) != first {
		t.Errorf("%d bytes, want the first batch of %d", len(got.RecordBatches), first)
	}
	// An error that reading shows is told at once, also in a long poll.
	req = fetchRequest(11, "t", [16]byte{}, 99)
	req.MaxWaitMillis = 60_000
	if got := r.fetch(req); got.ErrorCode != errOffsetOutOfRange {
		t.Errorf("%+v", got)
	}
}

func TestShutdownEndsTheWait(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	req := fetchRequest(11, "t", [16]byte{}, 0)
	req.MaxWaitMillis = 600_000
	id := r.send(req)
	r.awaitPoll()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go r.server.Shutdown(ctx)
	r.receive(req, id)
	r.closed()
	if ctx.Err() != nil {
		t.Fatal("the server waited for the long poll")
	}
}

// awaitPoll returns once a connection waits in a long poll.
func (r *rig) awaitPoll() {
	for !r.polls() {
		runtime.Gosched()
	}
}

// polls reports whether any connection waits in a long poll.
func (r *rig) polls() bool {
	for _, c := range r.server.gate.Open() {
		c.pipe.mu.Lock()
		polling := c.pipe.polling != nil
		c.pipe.mu.Unlock()
		if polling {
			return true
		}
	}
	return false
}

func TestDeletedTopicEndsTheWait(t *testing.T) {
	r := newRig(t)
	id := r.topic("t", 1)
	other := dial(t, r.address)
	req := fetchRequest(13, "", id, 0)
	req.MaxWaitMillis = 60_000
	correlation := r.send(req)
	r.awaitPoll()
	del := kmsg.NewPtrDeleteTopicsRequest()
	del.Version = 6
	del.Topics = append(del.Topics, kmsg.DeleteTopicsRequestTopic{TopicID: id})
	if resp := other.ask(del).(*kmsg.DeleteTopicsResponse); resp.Topics[0].ErrorCode != errNone {
		t.Fatalf("%+v", resp)
	}
	got := r.receive(req, correlation).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if got.ErrorCode != errUnknownTopicID {
		t.Errorf("%+v", got)
	}
}

func TestClosingAConnectionEndsItsWait(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	for range 3 {
		c := dial(t, r.address)
		req := fetchRequest(11, "t", [16]byte{}, 0)
		req.MaxWaitMillis = 600_000
		c.send(req)
		r.awaitPoll()
		_ = c.Close()
	}
	r.write("t", "a") // wakes whoever waits still
}

func TestFetchSession(t *testing.T) {
	for _, version := range []int16{7, 12, 13, 18} {
		t.Run(fmt.Sprint(version), func(t *testing.T) { testFetchSession(t, version) })
	}
}

func testFetchSession(t *testing.T, version int16) {
	t.Helper()
	r := newRig(t)
	a, b := r.topic("a", 1), r.topic("b", 1)
	step := func(req *kmsg.FetchRequest, id, epoch int32) *kmsg.FetchResponse {
		req.SessionID, req.SessionEpoch = id, epoch
		return r.ask(req).(*kmsg.FetchResponse)
	}
	empty := func() *kmsg.FetchRequest {
		req := fetchRequest(version, "", [16]byte{}, 0)
		req.Topics = nil
		return req
	}
	// The first answer has every partition.
	req := fetchRequest(version, "a", a, 0)
	req.Topics = append(req.Topics, fetchRequest(version, "b", b, 0).Topics...)
	resp := step(req, sessionless, initialEpoch)
	id := resp.SessionID
	if resp.ErrorCode != errNone || id == sessionless || len(resp.Topics) != 2 {
		t.Fatalf("opening: %+v", resp)
	}
	// Nothing new: nothing is told.
	if resp = step(empty(), id, 1); resp.ErrorCode != errNone || resp.SessionID != id || len(resp.Topics) != 0 {
		t.Fatalf("nothing new: %+v", resp)
	}
	// What is new is told, and only that.
	r.write("b", "x")
	resp = step(empty(), id, 2)
	if len(resp.Topics) != 1 || resp.Topics[0].Topic != name(version, "b") || len(values(t, resp.Topics[0].Partitions[0].RecordBatches)) != 1 {
		t.Fatalf("new in b: %+v", resp)
	}
	// A changed offset is remembered.
	if resp = step(fetchRequest(version, "b", b, 1), id, 3); len(resp.Topics) != 0 {
		t.Fatalf("at the end of b: %+v", resp)
	}
	// A wrong epoch is refused and changes nothing.
	for _, e := range []int32{2, 5} {
		if resp = step(empty(), id, e); resp.ErrorCode != errInvalidFetchSessionEpoch || len(resp.Topics) != 0 {
			t.Fatalf("epoch %d: %+v", e, resp)
		}
	}
	// A forgotten partition is not told any more.
	forget := empty()
	ft := kmsg.NewFetchRequestForgottenTopic()
	ft.Topic, ft.TopicID, ft.Partitions = "b", b, []int32{0}
	forget.ForgottenTopics = append(forget.ForgottenTopics, ft)
	r.write("b", "y")
	if resp = step(forget, id, 4); resp.ErrorCode != errNone || len(resp.Topics) != 0 {
		t.Fatalf("b is forgotten: %+v", resp)
	}
	// Topic ids and names are not mixed in a session.
	other := int16(12)
	if version <= 12 {
		other = 13
	}
	mixed := empty()
	mixed.Version = other
	if resp = step(mixed, id, 5); resp.ErrorCode != errFetchSessionTopicIDError {
		t.Fatalf("version %d: %+v", other, resp)
	}
	// The last request ends the session.
	if resp = step(fetchRequest(version, "a", a, 0), id, finalEpoch); resp.ErrorCode != errNone || resp.SessionID != sessionless || len(resp.Topics) != 1 {
		t.Fatalf("closing: %+v", resp)
	}
	if resp = step(empty(), id, 5); resp.ErrorCode != errFetchSessionIDNotFound {
		t.Fatalf("after the end: %+v", resp)
	}
}

// name is what a response of this version calls a topic.
func name(version int16, topic string) string {
	if version >= 13 {
		return ""
	}
	return topic
}

// TestLeaderEpochsBeginAtZero: clients that seek to an offset of a new topic by
// an epoch of their own make name 0, as in Kafka. They rise from there.
func TestLeaderEpochsBeginAtZero(t *testing.T) {
	r := newRig(t)
	r.topic("old", 1)
	epochOf := func(topic string) int32 { return int32(r.broker.Topic(topic).Partitions[0].Epoch()) }
	if e := epochOf("old"); e != 0 {
		t.Errorf("a new topic has leader epoch %d", e)
	}
	r.restart()
	r.topic("new", 1)
	if e := epochOf("new"); e != 0 {
		t.Errorf("a new topic after a restart has leader epoch %d", e)
	}
	if e := epochOf("old"); e < 1 {
		t.Errorf("a topic has leader epoch %d after a restart", e)
	}
}
