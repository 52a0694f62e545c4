package kafka

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// commitRequest commits for partition 0 of a topic, from outside of the group.
func commitRequest(version int16, group, topic string, id [16]byte, offset int64) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation = version, group, -1
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic, rt.TopicID = topic, id
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset, p.LeaderEpoch, p.Metadata = offset, 3, new("text")
	rt.Partitions = append(rt.Partitions, p)
	req.Topics = append(req.Topics, rt)
	return req
}

// committing commits and returns the code for the only partition.
func (r *rig) committing(req *kmsg.OffsetCommitRequest) int16 {
	r.t.Helper()
	resp := r.ask(req).(*kmsg.OffsetCommitResponse)
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		r.t.Fatalf("answer %+v", resp)
	}
	return resp.Topics[0].Partitions[0].ErrorCode
}

// offsetsRequest asks for partitions of a topic, in the shape of a version; no
// partitions ask for all topics.
func offsetsRequest(version int16, group, topic string, id [16]byte, partitions ...int32) *kmsg.OffsetFetchRequest {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version = version
	if version < 8 {
		req.Group = group
		if partitions != nil {
			req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: topic, Partitions: partitions}}
		}
		return req
	}
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	if partitions != nil {
		g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: topic, TopicID: id, Partitions: partitions}}
	}
	req.Groups = append(req.Groups, g)
	return req
}

// offsets asks and shows the answer as text.
func (r *rig) offsets(req *kmsg.OffsetFetchRequest) string {
	r.t.Helper()
	resp := r.ask(req).(*kmsg.OffsetFetchResponse)
	var b strings.Builder
	show := func(topic string, number int32, offset int64, epoch int32, metadata *string, code int16) {
		fmt.Fprintf(&b, "%s/%d %d@%d %q", topic, number, offset, epoch, *metadata)
		if code != errNone {
			fmt.Fprintf(&b, " error %d", code)
		}
		b.WriteString("; ")
	}
	if resp.ErrorCode != errNone {
		fmt.Fprintf(&b, "error %d; ", resp.ErrorCode)
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			show(t.Topic, p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode)
		}
	}
	for _, g := range resp.Groups {
		if g.ErrorCode != errNone {
			fmt.Fprintf(&b, "error %d; ", g.ErrorCode)
		}
		for _, t := range g.Topics {
			name := t.Topic
			if req.Version >= 10 {
				name = fmt.Sprintf("%x", t.TopicID[:2])
			}
			for _, p := range t.Partitions {
				show(name, p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode)
			}
		}
	}
	return strings.TrimSuffix(b.String(), "; ")
}

func TestCommitAndFetchInAllVersions(t *testing.T) {
	r := newRig(t)
	id := r.topic("t", 3)
	byID := fmt.Sprintf("%x", id[:2])
	each(t, 8, func(t *testing.T, version int16) {
		group := fmt.Sprint("g", version)
		if code := r.committing(commitRequest(version, group, "t", id, 40+int64(version))); code != errNone {
			t.Fatalf("code %d", code)
		}
		epoch := int32(3)
		if version < 6 {
			epoch = -1
		}
		want := fmt.Sprintf("%s/0 %d@%d \"text\"", byID, 40+version, epoch)
		if got := r.offsets(offsetsRequest(10, group, "", id, 0)); got != want {
			t.Errorf("committed %s, want %s", got, want)
		}
	})
	each(t, 9, func(t *testing.T, version int16) {
		topic, epoch := "t", 3
		if version < 5 {
			epoch = -1
		}
		if version >= 10 {
			topic = byID
		}
		want := fmt.Sprintf("%s/0 48@%d \"text\"; %s/2 -1@-1 \"\"", topic, epoch, topic)
		if got := r.offsets(offsetsRequest(version, "g8", "t", id, 0, 2)); got != want {
			t.Errorf("asked for: %s, want %s", got, want)
		}
		want = fmt.Sprintf("%s/0 48@%d \"text\"", topic, epoch)
		if version == 1 {
			want = "" // without null, nothing is nothing
		}
		if got := r.offsets(offsetsRequest(version, "g8", "", id)); got != want {
			t.Errorf("all: %s, want %s", got, want)
		}
		if got := r.offsets(offsetsRequest(version, "nogroup", "", id)); got != "" {
			t.Errorf("no group: %s", got)
		}
	})
}

func TestFetchOffsetsOfManyGroups(t *testing.T) {
	r := newRig(t)
	id := r.topic("t", 1)
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version = 9
	want := ""
	for i := range 20 {
		group := fmt.Sprint("g", i)
		r.committing(commitRequest(9, group, "t", id, int64(i)))
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group, g.Topics = group, []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", Partitions: []int32{0}}}
		req.Groups = append(req.Groups, g)
		want += fmt.Sprintf("t/0 %d@3 \"text\"; ", i)
	}
	if got := r.offsets(req) + "; "; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestUnknownTopicsInOffsets(t *testing.T) {
	r := newRig(t)
	id := r.topic("t", 1)
	strange := [16]byte{9}
	if code := r.committing(commitRequest(9, "g", "x", id, 1)); code != errUnknownTopicOrPartition {
		t.Errorf("commit by an unknown name: %d", code)
	}
	if code := r.committing(commitRequest(10, "g", "", strange, 1)); code != errUnknownTopicID {
		t.Errorf("commit by an unknown id: %d", code)
	}
	req := commitRequest(9, "g", "t", id, 1)
	req.Topics[0].Partitions[0].Partition = 1
	if code := r.committing(req); code != errUnknownTopicOrPartition {
		t.Errorf("commit of an unknown partition: %d", code)
	}
	if got := r.offsets(offsetsRequest(9, "g", "x", id, 0)); got != `x/0 -1@-1 ""` {
		t.Errorf("fetch by an unknown name: %s", got)
	}
	if got := r.offsets(offsetsRequest(10, "g", "", strange, 0)); got != `0900/0 -1@-1 "" error 100` {
		t.Errorf("fetch by an unknown id: %s", got)
	}
}

// TestRecreatedTopicStartsFresh, also for clients that know it by name only.
func TestRecreatedTopicStartsFresh(t *testing.T) {
	r := newRig(t)
	id := r.topic("t", 1)
	r.committing(commitRequest(9, "g", "t", id, 7))
	r.drop("t")
	fresh := r.topic("t", 1)
	for what, got := range map[string]string{
		"by name":   r.offsets(offsetsRequest(9, "g", "t", id, 0)),
		"by new id": strings.Replace(r.offsets(offsetsRequest(10, "g", "", fresh, 0)), fmt.Sprintf("%x", fresh[:2]), "t", 1),
	} {
		if got != `t/0 -1@-1 ""` {
			t.Errorf("%s: %s", what, got)
		}
	}
	if got := r.offsets(offsetsRequest(9, "g", "", id)); got != "" {
		t.Errorf("all: %s", got)
	}
}

func TestCommitRefusals(t *testing.T) {
	r := newRig(t)
	id := r.topic("t", 2)
	member := r.stable("g", nil)
	for name, c := range map[string]struct {
		version int16
		change  func(*kmsg.OffsetCommitRequest)
		want    int16
	}{
		"member":                {9, func(q *kmsg.OffsetCommitRequest) { q.MemberID, q.Generation = member, 1 }, errNone},
		"from outside":          {9, func(*kmsg.OffsetCommitRequest) {}, errUnknownMemberID},
		"old generation":        {9, func(q *kmsg.OffsetCommitRequest) { q.MemberID, q.Generation = member, 0 }, errIllegalGeneration},
		"unknown group":         {9, func(q *kmsg.OffsetCommitRequest) { q.Group, q.MemberID, q.Generation = "x", "x", 1 }, errGroupIDNotFound},
		"unknown group, before": {8, func(q *kmsg.OffsetCommitRequest) { q.Group, q.MemberID, q.Generation = "x", "x", 1 }, errIllegalGeneration},
		"long text": {9, func(q *kmsg.OffsetCommitRequest) {
			q.MemberID, q.Generation = member, 1
			q.Topics[0].Partitions[0].Metadata = new(strings.Repeat("x", 4097))
		}, errOffsetMetadataTooLarge},
		"longest text": {9, func(q *kmsg.OffsetCommitRequest) {
			q.MemberID, q.Generation = member, 1
			q.Topics[0].Partitions[0].Metadata = new(strings.Repeat("x", 4096))
		}, errNone},
		"no text": {9, func(q *kmsg.OffsetCommitRequest) {
			q.MemberID, q.Generation = member, 1
			q.Topics[0].Partitions[0].Metadata = nil
		}, errNone},
		"no group": {9, func(q *kmsg.OffsetCommitRequest) { q.Group = "" }, errNone},
	} {
		req := commitRequest(c.version, "g", "t", id, 1)
		c.change(req)
		if code := r.committing(req); code != c.want {
			t.Errorf("%s: code %d, want %d", name, code, c.want)
		}
	}
	// What cannot be committed does not keep the rest from it.
	req := commitRequest(9, "h", "t", id, 5)
	bad := req.Topics[0].Partitions[0]
	bad.Partition, bad.Metadata = 1, new(strings.Repeat("x", 4097))
	req.Topics[0].Partitions = append(req.Topics[0].Partitions, bad)
	p := r.ask(req).(*kmsg.OffsetCommitResponse).Topics[0].Partitions
	if p[0].ErrorCode != errNone || p[1].ErrorCode != errOffsetMetadataTooLarge {
		t.Errorf("%+v", p)
	}
}

func TestListDescribeDeleteGroups(t *testing.T) {
	r := newRig(t)
	id := r.topic("t", 1)
	r.committing(commitRequest(9, "empty", "t", id, 1))
	member := r.stable("live", new("A"))
	each(t, 16, func(t *testing.T, version int16) {
		list := func(states, types []string) (out string) {
			req := kmsg.NewPtrListGroupsRequest()
			req.Version, req.StatesFilter, req.TypesFilter = version, states, types
			for _, g := range r.ask(req).(*kmsg.ListGroupsResponse).Groups {
				out += fmt.Sprintf("%s %s %s %s;", g.Group, g.ProtocolType, g.GroupState, g.GroupType)
			}
			return out
		}
		want := "empty   ;live consumer  ;"
		if version >= 4 {
			want = "empty  Empty ;live consumer Stable ;"
			if got := list([]string{"stable", "Dead"}, nil); got != "live consumer Stable ;" && got != "live consumer Stable classic;" {
				t.Errorf("by state: %s", got)
			}
		}
		if version >= 5 {
			want = "empty  Empty classic;live consumer Stable classic;"
			if got := list(nil, []string{"Consumer"}); got != "" {
				t.Errorf("by type: %s", got)
			}
		}
		if got := list(nil, nil); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
	each(t, 15, func(t *testing.T, version int16) {
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.Version, req.Groups, req.IncludeAuthorizedOperations = version, []string{"live", "empty", "none"}, true
		g := r.ask(req).(*kmsg.DescribeGroupsResponse).Groups
		if g[0].State != "Stable" || g[0].Protocol != "range" || len(g[0].Members) != 1 || g[0].ErrorCode != errNone {
			t.Fatalf("%+v", g[0])
		}
		m := g[0].Members[0]
		if m.MemberID != member || m.ClientID != "test" || m.ClientHost != "/127.0.0.1" || string(m.MemberAssignment) != "all" ||
			version >= 4 && *m.InstanceID != "A" {
			t.Errorf("%+v", m)
		}
		if version >= 3 && g[0].AuthorizedOperations != 1<<3|1<<6|1<<8 {
			t.Errorf("operations %b", g[0].AuthorizedOperations)
		}
		if g[1].State != "Empty" || g[1].ProtocolType != "" || len(g[1].Members) != 0 {
			t.Errorf("%+v", g[1])
		}
		if want := map[bool]int16{true: errGroupIDNotFound, false: errNone}[version >= 6]; g[2].State != "Dead" || g[2].ErrorCode != want {
			t.Errorf("%+v", g[2])
		}
	})
	each(t, 42, func(t *testing.T, version int16) {
		r.committing(commitRequest(9, "empty", "t", id, 1))
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.Version, req.Groups = version, []string{"live", "empty", "none"}
		resp := r.ask(req).(*kmsg.DeleteGroupsResponse)
		for i, want := range []int16{errNonEmptyGroup, errNone, errGroupIDNotFound} {
			if got := resp.Groups[i]; got.ErrorCode != want || got.Group != req.Groups[i] {
				t.Errorf("%+v, want code %d", got, want)
			}
		}
		if d := r.describe("empty"); d.State != "Dead" {
			t.Errorf("%+v", d)
		}
	})
}

func TestDeleteOffsets(t *testing.T) {
	r := newRig(t)
	id := r.topic("t", 1)
	other := r.topic("u", 1)
	r.committing(commitRequest(9, "g", "t", id, 1))
	r.committing(commitRequest(9, "g", "u", other, 2))
	r.stable("live", nil)
	ask := func(group string, topics ...string) *kmsg.OffsetDeleteResponse {
		req := kmsg.NewPtrOffsetDeleteRequest()
		req.Group = group
		for _, name := range topics {
			t := kmsg.NewOffsetDeleteRequestTopic()
			t.Topic, t.Partitions = name, []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}
			req.Topics = append(req.Topics, t)
		}
		return r.ask(req).(*kmsg.OffsetDeleteResponse)
	}
	resp := ask("g", "x", "t")
	if resp.ErrorCode != errNone || resp.Topics[0].Partitions[0].ErrorCode != errUnknownTopicOrPartition ||
		resp.Topics[1].Partitions[0].ErrorCode != errNone {
		t.Errorf("%+v", resp)
	}
	if got := r.offsets(offsetsRequest(9, "g", "", id)); got != `u/0 2@3 "text"` {
		t.Errorf("left: %s", got)
	}
	if resp := ask("none", "t"); resp.ErrorCode != errGroupIDNotFound {
		t.Errorf("no group: %+v", resp)
	}
	if resp := ask("", "t"); resp.ErrorCode != errInvalidGroupID {
		t.Errorf("no name: %+v", resp)
	}
	if resp := ask("live", "t"); resp.ErrorCode != errNone || resp.Topics[0].Partitions[0].ErrorCode != errGroupSubscribedToTopic {
		t.Errorf("subscribed: %+v", resp)
	}
}
