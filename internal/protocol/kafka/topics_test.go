package kafka

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/topic"
)

func metadataRequest(version int16, names ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = version
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, n := range names {
		req.Topics = append(req.Topics, kmsg.MetadataRequestTopic{Topic: &n})
	}
	return req
}

func TestMetadataAtEveryVersion(t *testing.T) {
	r := newRig(t)
	id := r.topic("t", 3)
	for v := int16(0); v <= 13; v++ {
		resp := r.ask(metadataRequest(v, "t")).(*kmsg.MetadataResponse)
		if len(resp.Brokers) != 1 || resp.Brokers[0].NodeID != 1 ||
			fmt.Sprintf("%s:%d", resp.Brokers[0].Host, resp.Brokers[0].Port) != r.address {
			t.Errorf("v%d: brokers %+v, want %s", v, resp.Brokers, r.address)
		}
		if v >= 1 && resp.ControllerID != 1 || v >= 2 && (resp.ClusterID == nil || len(*resp.ClusterID) != 22) {
			t.Errorf("v%d: controller %d, cluster %v", v, resp.ControllerID, resp.ClusterID)
		}
		if len(resp.Topics) != 1 || resp.Topics[0].ErrorCode != errNone || *resp.Topics[0].Topic != "t" || len(resp.Topics[0].Partitions) != 3 {
			t.Fatalf("v%d: topics %+v", v, resp.Topics)
		}
		if v >= 10 && resp.Topics[0].TopicID != id {
			t.Errorf("v%d: id %x, want %x", v, resp.Topics[0].TopicID, id)
		}
		for i, p := range resp.Topics[0].Partitions {
			if p.Partition != int32(i) || p.Leader != 1 || !slices.Equal(p.Replicas, []int32{1}) || !slices.Equal(p.ISR, []int32{1}) {
				t.Errorf("v%d: partition %+v", v, p)
			}
		}
	}
}

func TestMetadataOfAllTopics(t *testing.T) {
	r := newRig(t)
	r.topic("b", 1)
	r.topic("a", 1)
	for v := int16(0); v <= 13; v++ {
		none, all := metadataRequest(v), metadataRequest(v)
		all.Topics = nil
		if v == 0 {
			all, none = none, all
		}
		resp := r.ask(all).(*kmsg.MetadataResponse)
		if len(resp.Topics) != 2 || *resp.Topics[0].Topic != "a" || *resp.Topics[1].Topic != "b" {
			t.Errorf("v%d: all is %+v", v, resp.Topics)
		}
		if v == 0 {
			continue
		}
		if resp := r.ask(none).(*kmsg.MetadataResponse); len(resp.Topics) != 0 {
			t.Errorf("v%d: none is %+v", v, resp.Topics)
		}
	}
}

func TestMetadataByID(t *testing.T) {
	r := newRig(t)
	id := r.topic("t", 1)
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 12
	req.Topics = []kmsg.MetadataRequestTopic{{TopicID: id}, {TopicID: [16]byte{9}}}
	resp := r.ask(req).(*kmsg.MetadataResponse)
	if got := resp.Topics[0]; got.ErrorCode != errNone || got.Topic == nil || *got.Topic != "t" {
		t.Errorf("%+v", got)
	}
	if got := resp.Topics[1]; got.ErrorCode != errUnknownTopicID || got.Topic != nil {
		t.Errorf("%+v", got)
	}
}

func TestMetadataMakesTopics(t *testing.T) {
	r := newRig(t)
	no := metadataRequest(8, "a")
	if got := r.ask(no).(*kmsg.MetadataResponse).Topics[0]; got.ErrorCode != errUnknownTopicOrPartition {
		t.Errorf("not allowed to: %+v", got)
	}
	yes := metadataRequest(8, "a", "bad name!", "a")
	yes.AllowAutoTopicCreation = true
	got := r.ask(yes).(*kmsg.MetadataResponse).Topics
	if got[0].ErrorCode != errNone || len(got[0].Partitions) != 1 || got[0].Partitions[0].Leader != 1 {
		t.Errorf("a: %+v", got[0])
	}
	if got[1].ErrorCode != errInvalidTopic || *got[1].Topic != "bad name!" {
		t.Errorf("bad name: %+v", got[1])
	}
	if got[2].ErrorCode != errNone {
		t.Errorf("a again: %+v", got[2])
	}
	if got := r.ask(metadataRequest(3, "old")).(*kmsg.MetadataResponse).Topics[0]; got.ErrorCode != errNone {
		t.Errorf("before version 4: %+v", got)
	}
	r.write("a", "x")
}

// TestDeletedTopicsStayAway: a client that still asks for a topic does not have
// it back at once, and whoever makes it on purpose has.
func TestDeletedTopicsStayAway(t *testing.T) {
	r := newRig(t)
	ask := metadataRequest(8, "t")
	ask.AllowAutoTopicCreation = true
	for ok := false; !ok; {
		r.topic("t", 1)
		deleted := time.Now()
		r.drop("t")
		got := r.ask(ask).(*kmsg.MetadataResponse).Topics[0]
		if time.Since(deleted) > 300*time.Millisecond { // a busy machine: once more
			r.drop("t")
			continue
		}
		if ok = true; got.ErrorCode != errUnknownTopicOrPartition {
			t.Errorf("after it was deleted: %+v", got)
		}
		if r.broker.Topic("t") != nil {
			t.Error("it is back")
		}
	}
	r.topic("t", 3)
	if got := r.ask(ask).(*kmsg.MetadataResponse).Topics[0]; got.ErrorCode != errNone || len(got.Partitions) != 3 {
		t.Errorf("made on purpose: %+v", got)
	}
}

func TestMetadataTellsOperations(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	req := metadataRequest(10, "t")
	req.IncludeTopicAuthorizedOperations, req.IncludeClusterAuthorizedOperations = true, true
	resp := r.ask(req).(*kmsg.MetadataResponse)
	if ops := resp.Topics[0].AuthorizedOperations; ops != 1<<3|1<<4|1<<5|1<<6|1<<7|1<<8|1<<10|1<<11 {
		t.Errorf("topic operations %b", ops)
	}
	if ops := resp.AuthorizedOperations; ops&(1<<5|1<<8) == 0 {
		t.Errorf("cluster operations %b", ops)
	}
	resp = r.ask(metadataRequest(10, "t")).(*kmsg.MetadataResponse)
	if ops := resp.Topics[0].AuthorizedOperations; ops != -1<<31 {
		t.Errorf("unasked: %b", ops)
	}
}

func createRequest(version int16, topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.Topics, req.TimeoutMillis = version, topics, 10_000
	return req
}

func wish(name string, partitions int32, replication int16, edit ...func(*kmsg.CreateTopicsRequestTopic)) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, replication
	for _, e := range edit {
		e(&t)
	}
	return t
}

func withConfig(name string, value *string) func(*kmsg.CreateTopicsRequestTopic) {
	return func(t *kmsg.CreateTopicsRequestTopic) {
		t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: name, Value: value})
	}
}

func assigned(replicas ...[]int32) func(*kmsg.CreateTopicsRequestTopic) {
	return func(t *kmsg.CreateTopicsRequestTopic) {
		for i, rs := range replicas {
			t.ReplicaAssignment = append(t.ReplicaAssignment,
				kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(i), Replicas: rs})
		}
	}
}

func TestCreateTopicsAtEveryVersion(t *testing.T) {
	r := newRig(t)
	for v := int16(2); v <= 7; v++ {
		name := fmt.Sprintf("t%d", v)
		got := r.ask(createRequest(v, wish(name, 3, 1, withConfig("retention.ms", new("5000"))))).(*kmsg.CreateTopicsResponse).Topics[0]
		if got.ErrorCode != errNone || got.Topic != name {
			t.Fatalf("v%d: %+v", v, got)
		}
		made := r.broker.Topic(name)
		if made == nil || len(made.Partitions) != 3 || !slices.Equal(made.Config, []broker.Config{{Name: "retention.ms", Value: "5000"}}) {
			t.Errorf("v%d: %+v", v, made)
		}
		if v >= 5 && (got.NumPartitions != 3 || got.ReplicationFactor != 1 || len(got.Configs) == 0) {
			t.Errorf("v%d: %+v", v, got)
		}
		if v >= 7 && got.TopicID != made.UUID {
			t.Errorf("v%d: id %x", v, got.TopicID)
		}
		for _, c := range got.Configs {
			if c.Name == "retention.ms" && (*c.Value != "5000" || c.Source != int8(kmsg.ConfigSourceDynamicTopicConfig)) {
				t.Errorf("v%d: %+v", v, c)
			}
		}
	}
}

func TestCreateTopicsRefuses(t *testing.T) {
	r := newRig(t)
	r.topic("there", 1)
	for _, c := range []struct {
		name string
		wish kmsg.CreateTopicsRequestTopic
		want int16
	}{
		{"defaults", wish("defaults", -1, -1), errNone},
		{"exists", wish("there", 1, 1), errTopicAlreadyExists},
		{"bad name", wish("a/b", 1, 1), errInvalidTopic},
		{"empty name", wish("", 1, 1), errInvalidTopic},
		{"no partitions", wish("x", 0, 1), errInvalidPartitions},
		{"negative partitions", wish("x", -2, 1), errInvalidPartitions},
		{"two replicas", wish("x", 1, 2), errInvalidReplicationFactor},
		{"no replicas", wish("x", 1, 0), errInvalidReplicationFactor},
		{"unknown setting", wish("x", 1, 1, withConfig("nope", new("1"))), errInvalidConfig},
		{"bad value", wish("x", 1, 1, withConfig("retention.ms", new("soon"))), errInvalidConfig},
		{"no value", wish("x", 1, 1, withConfig("retention.ms", nil)), errInvalidConfig},
		{"assigned", wish("assigned", -1, -1, assigned([]int32{1}, []int32{1})), errNone},
		{"assigned and counted", wish("x", 2, -1, assigned([]int32{1}, []int32{1})), errInvalidRequest},
		{"assigned to strangers", wish("x", -1, -1, assigned([]int32{2})), errInvalidReplicaAssignment},
		{"assigned twice", wish("x", -1, -1, assigned([]int32{1, 1})), errInvalidReplicaAssignment},
		{"assigned to nobody", wish("x", -1, -1, assigned(nil)), errInvalidReplicaAssignment},
	} {
		got := r.ask(createRequest(7, c.wish)).(*kmsg.CreateTopicsResponse).Topics[0]
		if got.ErrorCode != c.want || (c.want != errNone) != (got.ErrorMessage != nil && *got.ErrorMessage != "") {
			t.Errorf("%s: %d %v, want %d", c.name, got.ErrorCode, got.ErrorMessage, c.want)
		}
	}
	if made := r.broker.Topic("assigned"); made == nil || len(made.Partitions) != 2 {
		t.Errorf("assigned: %+v", made)
	}
	twice := r.ask(createRequest(7, wish("x", 1, 1), wish("y", 1, 1), wish("x", 1, 1))).(*kmsg.CreateTopicsResponse).Topics
	if twice[0].ErrorCode != errInvalidRequest || twice[1].ErrorCode != errNone || twice[2].ErrorCode != errInvalidRequest || r.broker.Topic("x") != nil {
		t.Errorf("named twice: %+v", twice)
	}
}

func TestCreateTopicsOnlyValidates(t *testing.T) {
	r := newRig(t)
	req := createRequest(7, wish("x", -1, -1), wish("y", 1, 5))
	req.ValidateOnly = true
	got := r.ask(req).(*kmsg.CreateTopicsResponse).Topics
	if got[0].ErrorCode != errNone || got[0].NumPartitions != 1 || got[0].ReplicationFactor != 1 || r.broker.Topic("x") != nil {
		t.Errorf("x: %+v", got[0])
	}
	if got[1].ErrorCode != errInvalidReplicationFactor {
		t.Errorf("y: %+v", got[1])
	}
}

func TestDeleteTopicsAtEveryVersion(t *testing.T) {
	r := newRig(t)
	for v := int16(1); v <= 6; v++ {
		id := r.topic("t", 2)
		r.write("t", "x")
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.Version = v
		if v < 6 {
			req.TopicNames = []string{"t", "nope"}
		} else {
			req.Topics = []kmsg.DeleteTopicsRequestTopic{
				{TopicID: id},
				{Topic: new("nope")},
				{TopicID: id},
				{Topic: new("t"), TopicID: id},
				{TopicID: [16]byte{1}},
			}
		}
		got := r.ask(req).(*kmsg.DeleteTopicsResponse).Topics
		if got[0].ErrorCode != errNone || *got[0].Topic != "t" || got[1].ErrorCode != errUnknownTopicOrPartition {
			t.Errorf("v%d: %+v", v, got)
		}
		if v == 6 && (got[0].TopicID != id || got[2].ErrorCode != errInvalidRequest || got[3].ErrorCode != errInvalidRequest || got[4].ErrorCode != errUnknownTopicID) {
			t.Errorf("v%d: %+v", v, got)
		}
		if r.broker.Topic("t") != nil {
			t.Errorf("v%d: still there", v)
		}
	}
	// A topic made anew has another id and is empty.
	id := r.topic("t", 1)
	if got := r.fetch(fetchRequest(13, "", id, 0)); got.HighWatermark != 0 {
		t.Errorf("%+v", got)
	}
}

// listOffset asks for an offset of partition 0.
func (r *rig) listOffset(version int16, topic string, at int64, edit ...func(*kmsg.ListOffsetsRequest)) kmsg.ListOffsetsResponseTopicPartition {
	r.t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = version, -1
	lt := kmsg.NewListOffsetsRequestTopic()
	lt.Topic = topic
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp = at
	lt.Partitions = append(lt.Partitions, p)
	req.Topics = append(req.Topics, lt)
	for _, e := range edit {
		e(req)
	}
	return r.ask(req).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
}

func TestListOffsets(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	r.topic("empty", 1)
	base := now()
	r.produce(9, "t", [16]byte{}, batchOf(t, record.Template(record.Gzip), base, "a", "b", "c"))
	r.produce(9, "t", [16]byte{}, batchOf(t, record.Template(record.None), base+100, "d"))
	r.produce(9, "t", [16]byte{}, batchOf(t, record.Template(record.None), base+50, "e"))
	for _, c := range []struct {
		version   int16
		topic     string
		at        int64
		code      int16
		offset    int64
		timestamp int64
	}{
		{1, "t", latestTimestamp, errNone, 5, -1},
		{11, "t", latestTimestamp, errNone, 5, -1},
		{1, "t", earliestTimestamp, errNone, 0, -1},
		{7, "t", maxTimestamp, errNone, 3, base + 100},
		{8, "t", earliestLocalTimestamp, errNone, 0, -1},
		{9, "t", latestTieredTimestamp, errNone, -1, -1},
		{11, "t", earliestPendingUpload, errNone, -1, -1},
		{6, "t", maxTimestamp, errUnsupportedVersion, -1, -1},
		{11, "t", -7, errUnsupportedVersion, -1, -1},
		{4, "t", 0, errNone, 0, base},
		{4, "t", base + 1, errNone, 1, base + 1},
		{4, "t", base + 2, errNone, 2, base + 2},
		{4, "t", base + 3, errNone, 3, base + 100},
		{4, "t", base + 100, errNone, 3, base + 100},
		{4, "t", base + 101, errNone, -1, -1},
		{4, "empty", 0, errNone, -1, -1},
		{7, "empty", maxTimestamp, errNone, -1, -1},
		{4, "empty", latestTimestamp, errNone, 0, -1},
		{4, "nope", latestTimestamp, errUnknownTopicOrPartition, -1, -1},
	} {
		got := r.listOffset(c.version, c.topic, c.at)
		if got.ErrorCode != c.code || got.Offset != c.offset || got.Timestamp != c.timestamp {
			t.Errorf("v%d %s at %d: %+v, want %+v", c.version, c.topic, c.at, got, c)
		}
	}
	committed := func(req *kmsg.ListOffsetsRequest) { req.IsolationLevel = 1 }
	if got := r.listOffset(4, "t", latestTimestamp, committed); got.Offset != 5 {
		t.Errorf("read_committed: %+v", got)
	}
	twice := func(req *kmsg.ListOffsetsRequest) {
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, req.Topics[0].Partitions[0])
	}
	if got := r.listOffset(4, "t", latestTimestamp, twice); got.ErrorCode != errInvalidRequest {
		t.Errorf("named twice: %+v", got)
	}
	r.restart()
	epoch := int32(r.broker.Topic("t").Partitions[0].Epoch())
	for e, want := range map[int32]int16{epoch: errNone, epoch - 1: errFencedLeaderEpoch, epoch + 1: errUnknownLeaderEpoch} {
		got := r.listOffset(4, "t", latestTimestamp, func(req *kmsg.ListOffsetsRequest) { req.Topics[0].Partitions[0].CurrentLeaderEpoch = e })
		if got.ErrorCode != want {
			t.Errorf("epoch %d: %+v", e, got)
		}
	}
}

// TestMalformedRecordsDoNotBlindTheSearch: what is inside of a batch is not
// looked at before it is stored, so it may be anything.
func TestMalformedRecordsDoNotBlindTheSearch(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	base := now()
	for i, codec := range []record.Codec{record.None, record.Gzip, record.Snappy, record.LZ4, record.Zstd} {
		b := batchOf(t, record.Template(codec), base+int64(i)*10, "aaaaaaaaaaaaaaaa", "b")
		for j := record.HeaderSize; j < len(b); j++ {
			b[j] = 0xee
		}
		record.SetLogAppendTime(b, base+int64(i)*10+1) // computes the checksum
		b[22] &^= 1 << 3
		binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
		if p := r.produce(9, "t", [16]byte{}, b)[0]; p.ErrorCode != errNone {
			t.Fatalf("%s: %+v", codec, p)
		}
		if got := r.listOffset(4, "t", base+int64(i)*10); got.ErrorCode != errNone || got.Offset != int64(2*i) {
			t.Errorf("%s: %+v", codec, got)
		}
		if got := r.listOffset(7, "t", maxTimestamp); got.ErrorCode != errNone || got.Offset != int64(2*i) {
			t.Errorf("%s: %+v", codec, got)
		}
	}
}

func TestDeleteRecords(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	r.write("t", "a", "b", "c")
	for _, c := range []struct {
		offset int64
		code   int16
		low    int64
	}{{2, errNone, 2}, {1, errNone, 2}, {4, errOffsetOutOfRange, -1}, {-1, errNone, 3}} {
		req := kmsg.NewPtrDeleteRecordsRequest()
		req.Version = 2
		dt := kmsg.NewDeleteRecordsRequestTopic()
		dt.Topic = "t"
		dt.Partitions = []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 0, Offset: c.offset}, {Partition: 7, Offset: 0}}
		req.Topics = append(req.Topics, dt)
		got := r.ask(req).(*kmsg.DeleteRecordsResponse).Topics[0].Partitions
		if got[0].ErrorCode != c.code || got[0].LowWatermark != c.low || got[1].ErrorCode != errUnknownTopicOrPartition {
			t.Errorf("before %d: %+v", c.offset, got)
		}
	}
	if got := r.fetch(fetchRequest(11, "t", [16]byte{}, 2)); got.ErrorCode != errOffsetOutOfRange {
		t.Errorf("a deleted record: %+v", got)
	}
	if got := r.fetch(fetchRequest(11, "t", [16]byte{}, 3)); got.LogStartOffset != 3 || got.HighWatermark != 3 {
		t.Errorf("at the end: %+v", got)
	}
}

func TestCreatePartitions(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	ask := func(topic string, count int32, validate bool, assignment ...[]int32) int16 {
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.Version, req.ValidateOnly = 3, validate
		pt := kmsg.NewCreatePartitionsRequestTopic()
		pt.Topic, pt.Count = topic, count
		for _, a := range assignment {
			pt.Assignment = append(pt.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: a})
		}
		req.Topics = append(req.Topics, pt)
		return r.ask(req).(*kmsg.CreatePartitionsResponse).Topics[0].ErrorCode
	}
	for _, c := range []struct {
		topic      string
		count      int32
		validate   bool
		assignment [][]int32
		want       int16
		partitions int
	}{
		{"t", 3, true, nil, errNone, 1},
		{"t", 3, false, nil, errNone, 3},
		{"t", 3, false, nil, errInvalidPartitions, 3},
		{"t", 2, false, nil, errInvalidPartitions, 3},
		{"t", 5, false, [][]int32{{1}}, errInvalidReplicaAssignment, 3},
		{"t", 5, false, [][]int32{{1}, {2}}, errInvalidReplicaAssignment, 3},
		{"t", 5, false, [][]int32{{1}, {1}}, errNone, 5},
		{"nope", 5, false, nil, errUnknownTopicOrPartition, 5},
	} {
		if got := ask(c.topic, c.count, c.validate, c.assignment...); got != c.want {
			t.Errorf("%+v: code %d", c, got)
		}
		if n := len(r.broker.Topic("t").Partitions); n != c.partitions {
			t.Errorf("%+v: %d partitions", c, n)
		}
	}
}

func TestOffsetForLeaderEpoch(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	r.write("t", "a", "b")
	epoch := int32(r.broker.Topic("t").Partitions[0].Epoch())
	for asked, want := range map[int32]int64{epoch: 2, epoch + 1: -1} {
		req := kmsg.NewPtrOffsetForLeaderEpochRequest()
		req.Version = 4
		ot := kmsg.NewOffsetForLeaderEpochRequestTopic()
		ot.Topic = "t"
		p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		p.LeaderEpoch = asked
		ot.Partitions = append(ot.Partitions, p)
		req.Topics = append(req.Topics, ot)
		got := r.ask(req).(*kmsg.OffsetForLeaderEpochResponse).Topics[0].Partitions[0]
		if got.ErrorCode != errNone || got.EndOffset != want {
			t.Errorf("epoch %d: %+v, want %d", asked, got, want)
		}
	}
}

func TestDescribeCluster(t *testing.T) {
	r := newRig(t)
	for v := int16(0); v <= 2; v++ {
		req := kmsg.NewPtrDescribeClusterRequest()
		req.Version = v
		got := r.ask(req).(*kmsg.DescribeClusterResponse)
		if got.ErrorCode != errNone || len(got.Brokers) != 1 || got.ControllerID != 1 || len(got.ClusterID) != 22 {
			t.Errorf("v%d: %+v", v, got)
		}
	}
	req := kmsg.NewPtrDescribeClusterRequest()
	req.Version, req.EndpointType = 1, 2
	if got := r.ask(req).(*kmsg.DescribeClusterResponse); got.ErrorCode != errMismatchedEndpointType || len(got.Brokers) != 0 {
		t.Errorf("controllers: %+v", got)
	}
}

func describeRequest(version int16, kind kmsg.ConfigResourceType, name string, names ...string) *kmsg.DescribeConfigsRequest {
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version, req.IncludeSynonyms, req.IncludeDocumentation = version, true, true
	req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: name, ConfigNames: names}}
	return req
}

func TestDescribeConfigsTellsEverySetting(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1, broker.Config{Name: "retention.ms", Value: "5000"})
	for v := int16(1); v <= 4; v++ {
		for _, names := range [][]string{nil, {}} {
			got := r.ask(describeRequest(v, kmsg.ConfigResourceTypeTopic, "t", names...)).(*kmsg.DescribeConfigsResponse).Resources[0]
			if got.ErrorCode != errNone {
				t.Fatalf("v%d: %+v", v, got)
			}
			for d := range topic.ConfigDefs() {
				i := slices.IndexFunc(got.Configs, func(c kmsg.DescribeConfigsResponseResourceConfig) bool { return c.Name == d.Name })
				if i < 0 {
					t.Errorf("v%d: %s is missing", v, d.Name)
					continue
				}
				checkSetting(t, v, &got.Configs[i], d)
			}
		}
	}
	got := r.ask(describeRequest(4, kmsg.ConfigResourceTypeTopic, "t", "segment.bytes", "nope")).(*kmsg.DescribeConfigsResponse).Resources[0]
	if len(got.Configs) != 1 || got.Configs[0].Name != "segment.bytes" {
		t.Errorf("by name: %+v", got)
	}
}

// checkSetting checks one setting of a topic with retention.ms=5000.
func checkSetting(t *testing.T, version int16, c *kmsg.DescribeConfigsResponseResourceConfig, d *topic.ConfigDef) {
	t.Helper()
	value, source, synonyms := d.Default, kmsg.ConfigSourceDefaultConfig, 0
	if d.Synonym != "" {
		synonyms++
	}
	if d.Name == "retention.ms" {
		value, source = "5000", kmsg.ConfigSourceDynamicTopicConfig
		synonyms++
	}
	if c.Value == nil || *c.Value != value || c.Source != source || len(c.ConfigSynonyms) != synonyms || c.ReadOnly {
		t.Errorf("v%d: %+v", version, c)
	}
	if version >= 3 && (c.ConfigType != kmsg.ConfigType(d.Type) || c.Documentation == nil || *c.Documentation != d.Doc) {
		t.Errorf("v%d: %+v", version, c)
	}
}

func TestDescribeConfigsOfOtherResources(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		kind kmsg.ConfigResourceType
		name string
		want int16
		some bool
	}{
		{kmsg.ConfigResourceTypeTopic, "nope", errUnknownTopicOrPartition, false},
		{kmsg.ConfigResourceTypeBroker, "1", errNone, true},
		{kmsg.ConfigResourceTypeBroker, "", errNone, false},
		{kmsg.ConfigResourceTypeBroker, "2", errInvalidRequest, false},
		{kmsg.ConfigResourceTypeBrokerLogger, "1", errInvalidRequest, false},
	} {
		got := r.ask(describeRequest(4, c.kind, c.name)).(*kmsg.DescribeConfigsResponse).Resources[0]
		if got.ErrorCode != c.want || (len(got.Configs) > 0) != c.some || (got.ErrorMessage != nil) != (c.want != errNone) {
			t.Errorf("%s %q: %+v", c.kind, c.name, got)
		}
		for _, s := range got.Configs {
			if !s.ReadOnly {
				t.Errorf("%s can be written", s.Name)
			}
		}
	}
}

func TestAlterConfigs(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1, broker.Config{Name: "retention.ms", Value: "5000"}, broker.Config{Name: "cleanup.policy", Value: "delete"})
	config := func() string { return fmt.Sprint(r.broker.Topic("t").Config) }

	inc := func(name string, op kmsg.IncrementalAlterConfigOp, value *string) int16 {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.Version = 1
		req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{
			ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "t",
			Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: name, Op: op, Value: value}},
		}}
		return r.ask(req).(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode
	}
	for _, c := range []struct {
		name  string
		op    kmsg.IncrementalAlterConfigOp
		value *string
		want  int16
		after string
	}{
		{"segment.bytes", 0, new("2097152"), errNone, "[{cleanup.policy delete} {retention.ms 5000} {segment.bytes 2097152}]"},
		{"segment.bytes", 1, nil, errNone, "[{cleanup.policy delete} {retention.ms 5000}]"},
		{"cleanup.policy", 2, new("compact"), errNone, "[{cleanup.policy delete,compact} {retention.ms 5000}]"},
		{"cleanup.policy", 3, new("delete"), errNone, "[{cleanup.policy compact} {retention.ms 5000}]"},
		{"retention.ms", 2, new("1"), errInvalidConfig, "[{cleanup.policy compact} {retention.ms 5000}]"},
		{"retention.ms", 0, nil, errInvalidConfig, "[{cleanup.policy compact} {retention.ms 5000}]"},
		{"retention.ms", 9, new("1"), errInvalidConfig, "[{cleanup.policy compact} {retention.ms 5000}]"},
		{"nope", 0, new("1"), errInvalidConfig, "[{cleanup.policy compact} {retention.ms 5000}]"},
	} {
		if got := inc(c.name, c.op, c.value); got != c.want || config() != c.after {
			t.Errorf("%s op %d: code %d, config %s, want %d, %s", c.name, c.op, got, config(), c.want, c.after)
		}
	}

	req := kmsg.NewPtrAlterConfigsRequest()
	req.Version = 2
	req.Resources = []kmsg.AlterConfigsRequestResource{
		{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "t", Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: "segment.ms", Value: new("9000")}}},
		{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "nope"},
		{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "1"},
		{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "t"},
	}
	var codes []int16
	for _, res := range r.ask(req).(*kmsg.AlterConfigsResponse).Resources {
		codes = append(codes, res.ErrorCode)
	}
	if !slices.Equal(codes, []int16{errNone, errUnknownTopicOrPartition, errInvalidRequest, errInvalidRequest}) || config() != "[{segment.ms 9000}]" {
		t.Errorf("codes %v, config %s", codes, config())
	}
}
