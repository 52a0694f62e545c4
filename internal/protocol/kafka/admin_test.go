package kafka

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/record"
)

func TestDescribeLogDirs(t *testing.T) {
	r := newRig(t, func(s *Server) { s.opts.DataDir = "/the/data" })
	r.topic("a", 1)
	r.topic("b", 2)
	r.write("b", "x", "y")
	ask := func(topics []kmsg.DescribeLogDirsRequestTopic) string {
		req := kmsg.NewPtrDescribeLogDirsRequest()
		req.Version, req.Topics = 4, topics
		resp := r.ask(req).(*kmsg.DescribeLogDirsResponse)
		if resp.ErrorCode != errNone || len(resp.Dirs) != 1 || resp.Dirs[0].Dir != "/the/data" || resp.Dirs[0].ErrorCode != errNone {
			t.Fatalf("%+v", resp)
		}
		var b strings.Builder
		for _, topic := range resp.Dirs[0].Topics {
			for _, p := range topic.Partitions {
				fmt.Fprintf(&b, "%s/%d %v ", topic.Topic, p.Partition, p.Size > 100)
			}
		}
		return b.String()
	}
	if got := ask(nil); got != "a/0 false b/0 true b/1 false " {
		t.Errorf("all: %s", got)
	}
	some := []kmsg.DescribeLogDirsRequestTopic{{Topic: "b", Partitions: []int32{1, 2, -1}}, {Topic: "c", Partitions: []int32{0}}}
	if got := ask(some); got != "b/1 false " {
		t.Errorf("some: %s", got)
	}
}

func TestAlterReplicaLogDirs(t *testing.T) {
	r := newRig(t, func(s *Server) { s.opts.DataDir = "/the/data" })
	r.topic("t", 2)
	for version := int16(1); version <= 2; version++ {
		req := kmsg.NewPtrAlterReplicaLogDirsRequest()
		req.Version = version
		here := []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: "t", Partitions: []int32{0, 2}}, {Topic: "u", Partitions: []int32{0}}}
		elsewhere := []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: "t", Partitions: []int32{1}}}
		req.Dirs = []kmsg.AlterReplicaLogDirsRequestDir{{Dir: "/the/data", Topics: here}, {Dir: "/another", Topics: elsewhere}}
		var got string
		for _, topic := range r.ask(req).(*kmsg.AlterReplicaLogDirsResponse).Topics {
			for _, p := range topic.Partitions {
				got += fmt.Sprintf("%s/%d %d ", topic.Topic, p.Partition, p.ErrorCode)
			}
		}
		if got != "t/0 0 t/2 3 t/1 57 u/0 3 " {
			t.Errorf("v%d: %s", version, got)
		}
	}
}

func TestDescribeQuorum(t *testing.T) {
	r := newRig(t)
	for version := int16(0); version <= 2; version++ {
		req := kmsg.NewPtrDescribeQuorumRequest()
		req.Version = version
		zero := []kmsg.DescribeQuorumRequestTopicPartition{{}, {Partition: 1}}
		req.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: metadataLog, Partitions: zero}, {Topic: "t", Partitions: zero[:1]}}
		resp := r.ask(req).(*kmsg.DescribeQuorumResponse)
		first, others := resp.Topics[0].Partitions[0], []int16{resp.Topics[0].Partitions[1].ErrorCode, resp.Topics[1].Partitions[0].ErrorCode}
		if resp.ErrorCode != errNone || first.ErrorCode != errNone || first.LeaderID != 1 || first.LeaderEpoch < 1 || first.HighWatermark < 1 {
			t.Errorf("v%d: %+v", version, resp)
		}
		if !slices.Equal(others, []int16{errUnknownTopicOrPartition, errUnknownTopicOrPartition}) {
			t.Errorf("v%d: others %v", version, others)
		}
		if len(first.CurrentVoters) != 1 || len(first.Observers) != 0 {
			t.Fatalf("v%d: %+v", version, first)
		}
		if v := first.CurrentVoters[0]; v.ReplicaID != 1 || v.LogEndOffset != first.HighWatermark || version > 0 && v.LastCaughtUpTimestamp <= 0 {
			t.Errorf("v%d: voter %+v", version, v)
		}
		if (version == 2) != (len(resp.Nodes) == 1) {
			t.Fatalf("v%d: nodes %+v", version, resp.Nodes)
		}
		if version == 2 {
			at := resp.Nodes[0].Listeners[0]
			if got := net.JoinHostPort(at.Host, strconv.Itoa(int(at.Port))); got != r.address {
				t.Errorf("voter at %s, not %s", got, r.address)
			}
		}
	}
}

// TestNoACLs: the answers are those of a Kafka broker without an authorizer.
func TestNoACLs(t *testing.T) {
	r := newRig(t)
	for version := int16(1); version <= 3; version++ {
		describe, create, remove := kmsg.NewPtrDescribeACLsRequest(), kmsg.NewPtrCreateACLsRequest(), kmsg.NewPtrDeleteACLsRequest()
		describe.Version, create.Version, remove.Version = version, version, version
		create.Creations = make([]kmsg.CreateACLsRequestCreation, 2)
		remove.Filters = make([]kmsg.DeleteACLsRequestFilter, 1)
		got := []int16{r.ask(describe).(*kmsg.DescribeACLsResponse).ErrorCode}
		for _, result := range r.ask(create).(*kmsg.CreateACLsResponse).Results {
			got = append(got, result.ErrorCode)
		}
		for _, result := range r.ask(remove).(*kmsg.DeleteACLsResponse).Results {
			got = append(got, result.ErrorCode)
		}
		if !slices.Equal(got, []int16{errSecurityDisabled, errSecurityDisabled, errSecurityDisabled, errSecurityDisabled}) {
			t.Errorf("v%d: %v", version, got)
		}
	}
}

func TestElectLeaders(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	for version := int16(0); version <= 2; version++ {
		req := kmsg.NewPtrElectLeadersRequest()
		req.Version, req.ElectionType = version, electPreferred
		req.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: "t", Partitions: []int32{0, 1}}, {Topic: "u", Partitions: []int32{0}}}
		resp := r.ask(req).(*kmsg.ElectLeadersResponse)
		got := []int16{
			resp.ErrorCode, resp.Topics[0].Partitions[0].ErrorCode, resp.Topics[0].Partitions[1].ErrorCode, resp.Topics[1].Partitions[0].ErrorCode,
		}
		if !slices.Equal(got, []int16{errNone, errElectionNotNeeded, errUnknownTopicOrPartition, errUnknownTopicOrPartition}) {
			t.Errorf("v%d: %v", version, got)
		}
		req.Topics = nil
		if resp := r.ask(req).(*kmsg.ElectLeadersResponse); resp.ErrorCode != errNone || len(resp.Topics) != 0 {
			t.Errorf("v%d, all partitions: %+v", version, resp)
		}
	}
	req := kmsg.NewPtrElectLeadersRequest()
	req.Version, req.ElectionType = 1, 2
	if resp := r.ask(req).(*kmsg.ElectLeadersResponse); resp.ErrorCode != errInvalidRequest {
		t.Errorf("an election of another type: %+v", resp)
	}
}

func TestPartitionReassignments(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	for _, c := range []struct {
		name     string
		number   int32
		replicas []int32
		grow     bool
		code     int16
	}{
		{"to where it is", 0, []int32{1}, false, errNone},
		{"taken back", 0, nil, false, errNoReassignmentInProgress},
		{"to a node that is not there", 0, []int32{2}, false, errInvalidReplicaAssignment},
		{"twice to a node", 0, []int32{1, 1}, true, errInvalidReplicaAssignment},
		{"to nobody", 0, []int32{}, true, errInvalidReplicaAssignment},
		{"to nobody, unasked", 0, []int32{}, false, errInvalidReplicationFactor},
		{"no such partition", 1, []int32{1}, false, errUnknownTopicOrPartition},
	} {
		req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
		req.Version, req.AllowReplicationFactorChange = 1, c.grow
		req.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{
			Topic:      "t",
			Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Partition: c.number, Replicas: c.replicas}},
		}}
		resp := r.ask(req).(*kmsg.AlterPartitionAssignmentsResponse)
		if p := resp.Topics[0].Partitions[0]; resp.ErrorCode != errNone || p.ErrorCode != c.code || (p.ErrorMessage == nil) != (c.code == errNone) {
			t.Errorf("%s: %+v", c.name, resp)
		}
	}
	list := r.ask(kmsg.NewPtrListPartitionReassignmentsRequest()).(*kmsg.ListPartitionReassignmentsResponse)
	if list.ErrorCode != errNone || len(list.Topics) != 0 {
		t.Errorf("%+v", list)
	}
}

func TestListConfigResources(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	list := func(version int16, types ...int8) string {
		req := kmsg.NewPtrListConfigResourcesRequest()
		req.Version, req.ResourceTypes = version, types
		resp := r.ask(req).(*kmsg.ListConfigResourcesResponse)
		out := []string{fmt.Sprint(resp.ErrorCode)}
		for _, c := range resp.ConfigResources {
			out = append(out, fmt.Sprintf("%d:%s", c.Type, c.Name))
		}
		return strings.Join(out, " ")
	}
	for _, c := range []struct{ got, want string }{
		{list(0), "0"},
		{list(1), "0 2:t 4:1 8:1"},
		{list(1, 4), "0 4:1"},
		{list(1, 16, 32), "0"},
		{list(1, 2, 3), "35"},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
}

// TestDescribeTopicPartitionsInPages: whatever the size of a page, the pages
// together tell of every partition once, in order.
func TestDescribeTopicPartitionsInPages(t *testing.T) {
	r := newRig(t)
	r.topic("a", 3)
	id := r.topic("b", 1)
	r.topic("c", 2)
	const all = "a/0 a/1 a/2 b/0 c/0 c/1 "
	for limit := int32(-1); limit <= 7; limit++ {
		for _, names := range [][]string{nil, {"c", "a", "b"}} {
			req := kmsg.NewPtrDescribeTopicPartitionsRequest()
			req.ResponsePartitionLimit = limit
			for _, n := range names {
				req.Topics = append(req.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: n})
			}
			var b strings.Builder
			for range 10 {
				resp := r.ask(req).(*kmsg.DescribeTopicPartitionsResponse)
				n := 0
				for _, topic := range resp.Topics {
					for _, p := range topic.Partitions {
						fmt.Fprintf(&b, "%s/%d ", *topic.Topic, p.Partition)
						n++
					}
				}
				if n > max(int(limit), 1) {
					t.Errorf("limit %d: %d partitions", limit, n)
				}
				if resp.NextCursor == nil {
					break
				}
				req.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: resp.NextCursor.Topic, Partition: resp.NextCursor.Partition}
			}
			if b.String() != all {
				t.Errorf("limit %d, names %v: %s", limit, names, &b)
			}
		}
	}
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit = 100
	req.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: "b"}, {Topic: "nope"}}
	resp := r.ask(req).(*kmsg.DescribeTopicPartitionsResponse)
	if b := resp.Topics[0]; b.ErrorCode != errNone || b.TopicID != id || b.Partitions[0].LeaderID != 1 || b.AuthorizedOperations&(1<<3) == 0 ||
		!slices.Equal(b.Partitions[0].ISR, []int32{1}) || b.Partitions[0].EligibleLeaderReplicas == nil || b.Partitions[0].LastKnownELR == nil {
		t.Errorf("%+v", b)
	}
	if n := resp.Topics[1]; n.ErrorCode != errUnknownTopicOrPartition || *n.Topic != "nope" {
		t.Errorf("%+v", n)
	}
	req.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: "b", Partition: -1}
	if got := r.ask(req).(*kmsg.DescribeTopicPartitionsResponse).Topics[0].ErrorCode; got != errInvalidRequest {
		t.Errorf("a cursor at partition -1: code %d", got)
	}
}

func TestUpdateFeatures(t *testing.T) {
	r := newRig(t)
	for version := int16(0); version <= 2; version++ {
		for _, c := range []struct {
			name  string
			level int16
			code  int16
		}{
			{"transaction.version", 2, errNone},
			{"transaction.version", 1, errInvalidUpdateVersion},
			{"metadata.version", 27, errInvalidUpdateVersion},
		} {
			req := kmsg.NewPtrUpdateFeaturesRequest()
			req.Version = version
			req.FeatureUpdates = []kmsg.UpdateFeaturesRequestFeatureUpdate{{Feature: c.name, MaxVersionLevel: c.level}}
			resp := r.ask(req).(*kmsg.UpdateFeaturesResponse)
			if resp.ErrorCode != c.code || version < 2 && resp.Results[0].ErrorCode != c.code {
				t.Errorf("v%d: %s at %d: %+v", version, c.name, c.level, resp)
			}
		}
	}
}

// TestOffsetsTopicIsThere: who looks for a group finds Kafka's internal topic
// from then on, can read it, and not write to it.
func TestOffsetsTopicIsThere(t *testing.T) {
	r := newRig(t)
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.Version, find.CoordinatorKeys = 4, []string{"g"}
	r.ask(find)
	var got kmsg.MetadataResponseTopic
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		if got = r.ask(metadataRequest(12, offsetsTopic)).(*kmsg.MetadataResponse).Topics[0]; got.ErrorCode == errNone {
			break
		}
	}
	if got.ErrorCode != errNone || !got.IsInternal || len(got.Partitions) != 1 {
		t.Fatalf("%+v", got)
	}
	if end := r.endOf(offsetsTopic, 0); end != 0 {
		t.Errorf("it ends at %d", end)
	}
	if p := r.fetch(fetchRequest(12, offsetsTopic, [16]byte{}, 0)); p.ErrorCode != errNone || len(p.RecordBatches) != 0 {
		t.Errorf("%+v", p)
	}
	if s := r.broker.Topic(offsetsTopic).Settings; !s.Compact || s.Delete {
		t.Errorf("its settings are %+v", s)
	}
	for version, name := range map[int16]string{9: offsetsTopic, 13: ""} {
		if p := r.produce(version, name, got.TopicID, batchOf(t, record.Template(record.None), now(), "a")); p[0].ErrorCode != errInvalidTopic {
			t.Errorf("produce v%d: %+v", version, p[0])
		}
	}
	r.topic("mine", 1)
	if mine := r.ask(metadataRequest(12, "mine")).(*kmsg.MetadataResponse).Topics[0]; mine.IsInternal {
		t.Errorf("%+v", mine)
	}
}

// TestBrokerSettings: a broker's settings come once each, in order, and those
// that tools look for have values.
func TestBrokerSettings(t *testing.T) {
	r := newRig(t, func(s *Server) { s.opts.DataDir = "/the/data" })
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version, req.IncludeDocumentation, req.IncludeSynonyms = 4, true, true
	req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "1"}}
	found := map[string]string{}
	last := ""
	for _, cfg := range r.ask(req).(*kmsg.DescribeConfigsResponse).Resources[0].Configs {
		if cfg.Name <= last {
			t.Errorf("%s comes after %s", cfg.Name, last)
		}
		if last = cfg.Name; cfg.Value == nil || cfg.Documentation == nil || *cfg.Documentation == "" || len(cfg.ConfigSynonyms) == 0 || cfg.ConfigType == 0 {
			t.Errorf("%+v", cfg)
		}
		found[cfg.Name] = *cfg.Value
	}
	for name, want := range map[string]string{
		"log.cleaner.backoff.ms": "15000", "log.retention.ms": "604800000", "message.max.bytes": "1048588", "node.id": "1",
		"log.dirs": "/the/data", "advertised.listeners": "PLAINTEXT://" + r.address, "offsets.retention.minutes": "10080", "transaction.max.timeout.ms": "900000",
	} {
		if found[name] != want {
			t.Errorf("%s is %q, want %s", name, found[name], want)
		}
	}
}
