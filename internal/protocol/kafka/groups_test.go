package kafka

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// each calls fn for every version of an operation that is served.
func each(t *testing.T, key int16, fn func(t *testing.T, version int16)) {
	t.Helper()
	row := newTable(apis).lookup(key)
	for v := row.served.min; v <= row.served.max; v++ {
		t.Run(fmt.Sprint("v", v), func(t *testing.T) { fn(t, v) })
	}
}

func joinRequest(version int16, group, member string, instance *string) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.MemberID, req.InstanceID = version, group, member, instance
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 10_000, 60_000
	req.ProtocolType = "consumer"
	for _, name := range []string{"range", "sticky"} {
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name, p.Metadata = name, []byte("subscription of "+name)
		req.Protocols = append(req.Protocols, p)
	}
	return req
}

// joined joins as clients of that version do.
func (c *client) joined(version int16, group string, instance *string) *kmsg.JoinGroupResponse {
	c.t.Helper()
	resp := c.ask(joinRequest(version, group, "", instance)).(*kmsg.JoinGroupResponse)
	if version >= 4 && instance == nil {
		if resp.ErrorCode != errMemberIDRequired || resp.MemberID == "" {
			c.t.Fatalf("first join: %+v", resp)
		}
		resp = c.ask(joinRequest(version, group, resp.MemberID, nil)).(*kmsg.JoinGroupResponse)
	}
	if resp.ErrorCode != errNone {
		c.t.Fatalf("join: %+v", resp)
	}
	return resp
}

func syncRequest(version int16, group, member string, generation int32, instance *string) *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version, req.Group, req.MemberID, req.Generation, req.InstanceID = version, group, member, generation, instance
	req.ProtocolType, req.Protocol = new("consumer"), new("range")
	return req
}

// stable makes a group of one member in generation 1.
func (c *client) stable(group string, instance *string) (member string) {
	c.t.Helper()
	member = c.joined(9, group, instance).MemberID
	req := syncRequest(5, group, member, 1, instance)
	req.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: member, MemberAssignment: []byte("all")}}
	if resp := c.ask(req).(*kmsg.SyncGroupResponse); resp.ErrorCode != errNone {
		c.t.Fatalf("sync: %+v", resp)
	}
	return member
}

func TestJoinAndSyncInAllVersions(t *testing.T) {
	r := newRig(t)
	each(t, 11, func(t *testing.T, version int16) {
		group := fmt.Sprint("g", version)
		j := dial(t, r.address).joined(version, group, nil)
		if j.Generation != 1 || j.LeaderID != j.MemberID || *j.Protocol != "range" || len(j.Members) != 1 {
			t.Fatalf("%+v", j)
		}
		if m := j.Members[0]; m.MemberID != j.MemberID || string(m.ProtocolMetadata) != "subscription of range" {
			t.Errorf("member %+v", m)
		}
		if version >= 7 && *j.ProtocolType != "consumer" {
			t.Errorf("protocol type %v", j.ProtocolType)
		}
		sync := syncRequest(min(version, 5), group, j.MemberID, 1, nil)
		sync.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: j.MemberID, MemberAssignment: []byte("all")}}
		s := dial(t, r.address).ask(sync).(*kmsg.SyncGroupResponse)
		if s.ErrorCode != errNone || string(s.MemberAssignment) != "all" {
			t.Errorf("sync: %+v", s)
		}
		if sync.Version >= 5 && (*s.Protocol != "range" || *s.ProtocolType != "consumer") {
			t.Errorf("sync: %+v", s)
		}
	})
}

// TestJoinWaits: an answer that takes long holds up its own connection only,
// and comes when the rebalance is over.
func TestJoinWaits(t *testing.T) {
	r := newRig(t)
	first := r.stable("g", nil)
	other := dial(t, r.address)
	pending := other.ask(joinRequest(9, "g", "", nil)).(*kmsg.JoinGroupResponse).MemberID
	waiting := joinRequest(9, "g", pending, nil)
	id := other.send(waiting)
	for {
		h := kmsg.NewPtrHeartbeatRequest()
		h.Version, h.Group, h.MemberID, h.Generation = 4, "g", first, 1
		if code := r.ask(h).(*kmsg.HeartbeatResponse).ErrorCode; code == errRebalanceInProgress {
			break
		} else if code != errNone {
			t.Fatalf("heartbeat: %d", code)
		}
	}
	again := r.ask(joinRequest(9, "g", first, nil)).(*kmsg.JoinGroupResponse)
	got := other.receive(waiting, id).(*kmsg.JoinGroupResponse)
	if again.Generation != 2 || got.Generation != 2 || len(again.Members) != 2 || len(got.Members) != 0 || got.LeaderID != first {
		t.Errorf("%+v, %+v", again, got)
	}
}

// TestLostConnectionsDoNotHoldUpARebalance: a member whose first join is lost
// with its connection was never told its id.
func TestLostConnectionsDoNotHoldUpARebalance(t *testing.T) {
	r := newRig(t)
	first := r.stable("g", new("A"))
	lost := dial(t, r.address)
	lost.send(joinRequest(9, "g", "", new("B")))
	for r.describe("g").State != "PreparingRebalance" {
	}
	_ = lost.Close()
	for len(r.describe("g").Members) > 1 {
	}
	again := r.ask(joinRequest(9, "g", first, new("A"))).(*kmsg.JoinGroupResponse)
	if again.ErrorCode != errNone || again.Generation != 2 || len(again.Members) != 1 {
		t.Errorf("%+v", again)
	}
}

func (r *rig) describe(group string) kmsg.DescribeGroupsResponseGroup {
	r.t.Helper()
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Version, req.Groups = 5, []string{group}
	return r.ask(req).(*kmsg.DescribeGroupsResponse).Groups[0]
}

func TestJoinRefusals(t *testing.T) {
	r := newRig(t)
	r.stable("g", new("A"))
	for name, c := range map[string]struct {
		change func(*kmsg.JoinGroupRequest)
		want   int16
	}{
		"no group":            {func(j *kmsg.JoinGroupRequest) { j.Group = "" }, errInvalidGroupID},
		"short session":       {func(j *kmsg.JoinGroupRequest) { j.SessionTimeoutMillis = 5999 }, errInvalidSessionTimeout},
		"long session":        {func(j *kmsg.JoinGroupRequest) { j.SessionTimeoutMillis = 1_800_001 }, errInvalidSessionTimeout},
		"unknown member":      {func(j *kmsg.JoinGroupRequest) { j.MemberID = "x" }, errUnknownMemberID},
		"unknown group":       {func(j *kmsg.JoinGroupRequest) { j.Group, j.MemberID = "x", "x" }, errUnknownMemberID},
		"fenced":              {func(j *kmsg.JoinGroupRequest) { j.MemberID, j.InstanceID = "x", new("A") }, errFencedInstanceID},
		"strange instance id": {func(j *kmsg.JoinGroupRequest) { j.InstanceID = new("a b") }, errInvalidConfig},
		"empty instance id":   {func(j *kmsg.JoinGroupRequest) { j.InstanceID = new("") }, errInvalidConfig},
		"no protocols":        {func(j *kmsg.JoinGroupRequest) { j.Protocols = nil }, errInconsistentGroupProtocol},
		"nameless protocol":   {func(j *kmsg.JoinGroupRequest) { j.Protocols[0].Name = "" }, errInconsistentGroupProtocol},
		"other type":          {func(j *kmsg.JoinGroupRequest) { j.ProtocolType = "connect" }, errInconsistentGroupProtocol},
		"other protocols": {func(j *kmsg.JoinGroupRequest) {
			j.Protocols = j.Protocols[:1]
			j.Protocols[0].Name = "own"
		}, errInconsistentGroupProtocol},
	} {
		req := joinRequest(9, "g", "", nil)
		c.change(req)
		resp := r.ask(req).(*kmsg.JoinGroupResponse)
		if resp.ErrorCode != c.want || resp.Generation != -1 || resp.MemberID != req.MemberID || resp.Protocol != nil {
			t.Errorf("%s: %+v, want code %d", name, resp, c.want)
		}
	}
	old := r.ask(joinRequest(6, "g", "x", nil)).(*kmsg.JoinGroupResponse)
	if old.Protocol == nil || *old.Protocol != "" {
		t.Errorf("before version 7 no protocol is empty, not null: %+v", old)
	}
}

func TestSyncRefusals(t *testing.T) {
	r := newRig(t)
	member := r.stable("g", nil)
	for name, c := range map[string]struct {
		change func(*kmsg.SyncGroupRequest)
		want   int16
	}{
		"no group":       {func(s *kmsg.SyncGroupRequest) { s.Group = "" }, errInvalidGroupID},
		"old generation": {func(s *kmsg.SyncGroupRequest) { s.Generation = 0 }, errIllegalGeneration},
		"unknown member": {func(s *kmsg.SyncGroupRequest) { s.MemberID = "x" }, errUnknownMemberID},
		"other protocol": {func(s *kmsg.SyncGroupRequest) { s.Protocol = new("sticky") }, errInconsistentGroupProtocol},
		"no protocol":    {func(s *kmsg.SyncGroupRequest) { s.Protocol = nil }, errInconsistentGroupProtocol},
		"no type":        {func(s *kmsg.SyncGroupRequest) { s.ProtocolType = nil }, errInconsistentGroupProtocol},
	} {
		req := syncRequest(5, "g", member, 1, nil)
		c.change(req)
		if resp := r.ask(req).(*kmsg.SyncGroupResponse); resp.ErrorCode != c.want {
			t.Errorf("%s: %+v, want code %d", name, resp, c.want)
		}
	}
}

func TestHeartbeatInAllVersions(t *testing.T) {
	r := newRig(t)
	member := r.stable("g", new("A"))
	each(t, 12, func(t *testing.T, version int16) {
		req := kmsg.NewPtrHeartbeatRequest()
		req.Version, req.Group, req.MemberID, req.Generation = version, "g", member, 1
		beat := func() int16 { return dial(t, r.address).ask(req).(*kmsg.HeartbeatResponse).ErrorCode }
		if code := beat(); code != errNone {
			t.Errorf("heartbeat: %d", code)
		}
		if req.InstanceID = new("A"); beat() != errNone {
			t.Error("refused with its instance id")
		}
		if req.Generation = 2; beat() != errIllegalGeneration {
			t.Error("another generation is not refused")
		}
		if req.MemberID = "x"; version >= 3 && beat() != errFencedInstanceID {
			t.Error("another holder of the instance id is not fenced")
		}
	})
}

func TestLeaveInAllVersions(t *testing.T) {
	r := newRig(t)
	each(t, 13, func(t *testing.T, version int16) {
		group := fmt.Sprint("g", version)
		member := dial(t, r.address).stable(group, new("A"))
		req := kmsg.NewPtrLeaveGroupRequest()
		req.Version, req.Group, req.MemberID = version, group, member
		req.Members = []kmsg.LeaveGroupRequestMember{{MemberID: "x"}, {InstanceID: new("A")}, {MemberID: member}}
		resp := dial(t, r.address).ask(req).(*kmsg.LeaveGroupResponse)
		if resp.ErrorCode != errNone {
			t.Fatalf("%+v", resp)
		}
		if version >= 3 {
			codes := []int16{}
			for _, m := range resp.Members {
				codes = append(codes, m.ErrorCode)
			}
			if !slices.Equal(codes, []int16{errUnknownMemberID, errNone, errUnknownMemberID}) || *resp.Members[1].InstanceID != "A" {
				t.Errorf("%+v", resp)
			}
		}
		resp = dial(t, r.address).ask(req).(*kmsg.LeaveGroupResponse)
		if version < 3 && resp.ErrorCode != errUnknownMemberID {
			t.Errorf("leaving twice: %+v", resp)
		}
	})
}

// TestStaticLeaderComesBack: before version 9 it must not believe that it leads.
func TestStaticLeaderComesBack(t *testing.T) {
	for version := int16(5); version <= 9; version++ {
		r := newRig(t)
		first := r.stable("g", new("A"))
		j := r.ask(joinRequest(version, "g", "", new("A"))).(*kmsg.JoinGroupResponse)
		if j.ErrorCode != errNone || j.Generation != 1 || j.MemberID == first {
			t.Fatalf("v%d: %+v", version, j)
		}
		if version < 9 && (j.LeaderID != first || len(j.Members) != 0) {
			t.Errorf("v%d: it leads: %+v", version, j)
		}
		if version == 9 && (j.LeaderID != j.MemberID || !j.SkipAssignment || len(j.Members) != 1 || *j.Members[0].InstanceID != "A") {
			t.Errorf("v9: %+v", j)
		}
		s := r.ask(syncRequest(5, "g", j.MemberID, 1, new("A"))).(*kmsg.SyncGroupResponse)
		if s.ErrorCode != errNone || string(s.MemberAssignment) != "all" {
			t.Errorf("v%d: %+v", version, s)
		}
	}
}

func TestFindCoordinatorInAllVersions(t *testing.T) {
	r := newRig(t)
	each(t, 10, func(t *testing.T, version int16) {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.Version, req.CoordinatorKey, req.CoordinatorKeys = version, "g", []string{"g", "h"}
		resp := r.ask(req).(*kmsg.FindCoordinatorResponse)
		if version < 4 {
			if resp.ErrorCode != errNone || resp.NodeID != 1 || fmt.Sprint(resp.Host, ":", resp.Port) != r.address {
				t.Errorf("%+v", resp)
			}
		} else {
			if len(resp.Coordinators) != 2 {
				t.Fatalf("%+v", resp)
			}
			for i, c := range resp.Coordinators {
				if c.Key != req.CoordinatorKeys[i] || c.NodeID != 1 || fmt.Sprint(c.Host, ":", c.Port) != r.address {
					t.Errorf("%+v", c)
				}
			}
		}
		req.CoordinatorType = 2
		resp = r.ask(req).(*kmsg.FindCoordinatorResponse)
		code := resp.ErrorCode
		if version >= 4 {
			code = resp.Coordinators[0].ErrorCode
		}
		if version > 0 && code != errInvalidRequest {
			t.Errorf("a share group: %+v", resp)
		}
	})
}
