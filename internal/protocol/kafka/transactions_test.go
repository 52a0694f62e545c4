package kafka

import (
	"maps"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/record"
)

// transactor is a transactional producer over the wire.
type transactor struct {
	*rig
	id       string
	producer int64
	epoch    int16
	seq      int32
}

func (r *rig) transactor(id string) *transactor {
	r.t.Helper()
	req := kmsg.NewPtrInitProducerIDRequest()
	req.Version, req.TransactionalID, req.TransactionTimeoutMillis = 4, &id, 60_000
	req.ProducerID, req.ProducerEpoch = -1, -1
	resp := r.ask(req).(*kmsg.InitProducerIDResponse)
	if resp.ErrorCode != errNone {
		r.t.Fatalf("InitProducerId: %+v", resp)
	}
	return &transactor{rig: r, id: id, producer: resp.ProducerID, epoch: resp.ProducerEpoch}
}

// send produces a batch of the transaction to partition 0 and returns the code.
func (x *transactor) send(version int16, topic string, topicID [16]byte, value string) int16 {
	x.t.Helper()
	h := record.Template(record.None)
	h.Attributes |= 1 << 4 // transactional
	h.ProducerID, h.ProducerEpoch, h.BaseSequence = x.producer, x.epoch, x.seq
	req := produceRequest(version, topic, topicID, batchOf(x.t, h, now(), value))
	req.TransactionID = &x.id
	code := x.ask(req).(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode
	if code == errNone {
		x.seq++
	}
	return code
}

func (x *transactor) add(version int16, topic string, partitions ...int32) []int16 {
	x.t.Helper()
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch = version, x.id, x.producer, x.epoch
	req.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: topic, Partitions: partitions}}
	var codes []int16
	for _, p := range x.ask(req).(*kmsg.AddPartitionsToTxnResponse).Topics[0].Partitions {
		codes = append(codes, p.ErrorCode)
	}
	return codes
}

func (x *transactor) end(version int16, commit bool) int16 {
	x.t.Helper()
	req := kmsg.NewPtrEndTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = version, x.id, x.producer, x.epoch, commit
	resp := x.ask(req).(*kmsg.EndTxnResponse)
	if resp.ErrorCode == errNone && version >= 5 {
		x.producer, x.epoch, x.seq = resp.ProducerID, resp.ProducerEpoch, 0
	}
	return resp.ErrorCode
}

func (x *transactor) commitOffset(version int16, group, topic string, offset int64) int16 {
	x.t.Helper()
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.Version, req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch = version, x.id, group, x.producer, x.epoch
	p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	p.Offset = offset
	req.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{p}}}
	return x.ask(req).(*kmsg.TxnOffsetCommitResponse).Topics[0].Partitions[0].ErrorCode
}

// want fails if any of the codes is not as wanted.
func (x *transactor) want(what string, want int16, got ...int16) {
	x.t.Helper()
	for _, code := range got {
		if code != want {
			x.t.Errorf("%s: codes %v, want %d", what, got, want)
			return
		}
	}
}

// fetchStable reads partition 0 as read_committed, and returns the values with the
// aborted transactions that came along.
func (r *rig) fetchStable(topic string) ([]string, []kmsg.FetchResponseTopicPartitionAbortedTransaction) {
	r.t.Helper()
	req := fetchRequest(11, topic, [16]byte{}, 0)
	req.IsolationLevel = 1
	p := r.fetch(req)
	found := values(r.t, p.RecordBatches)
	var out []string
	for _, o := range slices.Sorted(maps.Keys(found)) {
		if v := found[o]; len(v) > 0 && v[0] != 0 { // not a marker
			out = append(out, v)
		}
	}
	return out, p.AbortedTransactions
}

func (r *rig) endOf(topic string, isolation int8) int64 {
	r.t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.IsolationLevel = 7, isolation
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp = latestTimestamp
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	return r.ask(req).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].Offset
}

// TestTransactionsOfOldClients: versions 0 and 1 of transactions, which add
// partitions and groups by requests and keep their epoch.
func TestTransactionsOfOldClients(t *testing.T) {
	r := newRig(t)
	id := r.topic("t", 2)
	x := r.transactor("x")
	x.want("a batch before its partition was added", errInvalidTxnState, x.send(11, "t", id, "early"))
	if got := x.add(3, "t", 0, 7); !slices.Equal(got, []int16{errOperationNotAttempted, errUnknownTopicOrPartition}) {
		t.Errorf("adding a partition that is not there: %v", got)
	}
	for _, version := range []int16{0, 1, 2, 3} {
		x.want("adding", errNone, x.add(version, "t", 0, 1)...)
		x.want("a batch", errNone, x.send(11, "t", id, "a"), x.send(7, "t", id, "b"))
		if high, stable := r.endOf("t", 0), r.endOf("t", 1); high != stable+2 {
			t.Errorf("ends %d and %d in a transaction of two records", high, stable)
		}
		x.want("ending", errNone, x.end(version, version%2 == 0), x.end(version, version%2 == 0))
		x.want("ending otherwise", errInvalidTxnState, x.end(version, version%2 == 1))
	}
	got, aborted := r.fetchStable("t")
	if !slices.Equal(got, []string{"a", "b", "a", "b", "a", "b", "a", "b"}) || len(aborted) != 2 || aborted[0].FirstOffset != 3 {
		t.Errorf("fetched %q, aborted %+v", got, aborted)
	}
	y := r.transactor("x")
	if y.producer != x.producer || y.epoch != x.epoch+1 {
		t.Errorf("the next incarnation: %d/%d after %d/%d", y.producer, y.epoch, x.producer, x.epoch)
	}
	x.want("the fenced one", errProducerFenced, x.add(3, "t", 0)...)
	x.want("the fenced one, in an old request", errInvalidProducerEpoch, x.add(0, "t", 0)...)
	x.want("the end of the fenced one", errProducerFenced, x.end(3, true))
}

func TestTransactionsOfNewClients(t *testing.T) {
	r := newRig(t)
	id := r.topic("t", 1)
	x := r.transactor("x")
	for i, commit := range []bool{true, false, true} {
		x.want("a batch", errNone, x.send(12, "t", id, "a"), x.send(13, "t", id, "b"))
		x.want("ending", errNone, x.end(5, commit))
		if x.epoch != int16(i+1) {
			t.Errorf("epoch %d after %d transactions", x.epoch, i+1)
		}
	}
	x.epoch--
	x.want("a batch of the last epoch", errInvalidProducerEpoch, x.send(12, "t", id, "late"))
	x.producer++
	x.want("a batch of somebody else", errInvalidProducerIDMapping, x.send(12, "t", id, "wrong"))
}

func TestOffsetsInTransactions(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	x := r.transactor("x")
	fetched := func() (offset int64, code int16) {
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Version, req.Group, req.RequireStable = 7, "g", true
		req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0}}}
		p := r.ask(req).(*kmsg.OffsetFetchResponse).Topics[0].Partitions[0]
		return p.Offset, p.ErrorCode
	}
	x.want("offsets before the group was added", errInvalidTxnState, x.commitOffset(3, "g", "t", 5))
	for i, c := range []struct {
		version int16
		commit  bool
		want    int64
	}{{3, true, 0}, {3, false, 0}, {5, true, 2}, {5, false, 2}, {4, true, 4}} {
		if c.version < 5 {
			req := kmsg.NewPtrAddOffsetsToTxnRequest()
			req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = 3, "x", x.producer, x.epoch, "g"
			x.want("adding the group", errNone, r.ask(req).(*kmsg.AddOffsetsToTxnResponse).ErrorCode)
		}
		x.want("offsets", errNone, x.commitOffset(c.version, "g", "t", int64(i)))
		if _, code := fetched(); code != errUnstableOffsetCommit {
			t.Errorf("%d: fetching while they are pending: code %d", i, code)
		}
		x.want("ending", errNone, x.end(c.version, c.commit))
		if got, code := fetched(); got != c.want || code != errNone {
			t.Errorf("%d: offset %d code %d, want %d", i, got, code, c.want)
		}
	}
}

func TestTransactionsShown(t *testing.T) {
	r := newRig(t)
	id := r.topic("t", 1)
	x := r.transactor("x")
	x.want("a batch", errNone, x.send(12, "t", id, "a"))
	d := kmsg.NewPtrDescribeTransactionsRequest()
	d.TransactionalIDs = []string{"x", "y"}
	described := r.ask(d).(*kmsg.DescribeTransactionsResponse).TransactionStates
	if s := described[0]; s.State != "Ongoing" || s.ProducerID != x.producer || s.TimeoutMillis != 60_000 ||
		len(s.Topics) != 1 || s.Topics[0].Topic != "t" || described[1].ErrorCode != errTransactionalIDNotFound {
		t.Errorf("described %+v", described)
	}
	for _, c := range []struct {
		set  func(*kmsg.ListTransactionsRequest)
		want int
	}{
		{func(*kmsg.ListTransactionsRequest) {}, 1},
		{func(l *kmsg.ListTransactionsRequest) { l.StateFilters = []string{"Ongoing", "Odd"} }, 1},
		{func(l *kmsg.ListTransactionsRequest) { l.StateFilters = []string{"Empty"} }, 0},
		{func(l *kmsg.ListTransactionsRequest) { l.ProducerIDFilters = []int64{x.producer + 1} }, 0},
		{func(l *kmsg.ListTransactionsRequest) { l.DurationFilterMillis = 3_600_000 }, 0},
		{func(l *kmsg.ListTransactionsRequest) { l.TransactionalIDPattern = new("[xy]") }, 1},
		{func(l *kmsg.ListTransactionsRequest) { l.TransactionalIDPattern = new("y.*") }, 0},
	} {
		l := kmsg.NewPtrListTransactionsRequest()
		l.Version = 2
		c.set(l)
		if resp := r.ask(l).(*kmsg.ListTransactionsResponse); len(resp.TransactionStates) != c.want || resp.ErrorCode != errNone {
			t.Errorf("%+v: listed %+v, want %d", l, resp, c.want)
		}
	}
	p := kmsg.NewPtrDescribeProducersRequest()
	p.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: "t", Partitions: []int32{0}}}
	producers := func() []kmsg.DescribeProducersResponseTopicPartitionActiveProducer {
		return r.ask(p).(*kmsg.DescribeProducersResponse).Topics[0].Partitions[0].ActiveProducers
	}
	if got := producers(); len(got) != 1 || got[0].ProducerID != x.producer ||
		got[0].CurrentTxnStartOffset != 0 || got[0].CoordinatorEpoch != -1 {
		t.Errorf("producers %+v", got)
	}
	w := kmsg.NewPtrWriteTxnMarkersRequest()
	w.Version = 1
	w.Markers = []kmsg.WriteTxnMarkersRequestMarker{{
		ProducerID: x.producer, ProducerEpoch: x.epoch,
		Topics: []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: "t", Partitions: []int32{0, 1}}},
	}}
	written := r.ask(w).(*kmsg.WriteTxnMarkersResponse).Markers[0].Topics[0].Partitions
	if written[0].ErrorCode != errNone || written[1].ErrorCode != errUnknownTopicOrPartition {
		t.Errorf("ending by hand: %+v", written)
	}
	if got := producers(); got[0].CurrentTxnStartOffset != -1 || got[0].CoordinatorEpoch < 1 || r.endOf("t", 1) != 2 {
		t.Errorf("afterwards: %+v, last stable offset %d", got, r.endOf("t", 1))
	}
}
