package kafka

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/test/harness"
)

// TestStopDoesNotWaitForGroups: a member that waits for the rest of its group
// does not hold up a server that stops; it is told to ask again.
func TestStopDoesNotWaitForGroups(t *testing.T) {
	s := harness.Start(t, "--kafka-group-initial-rebalance-delay", "1m")
	c := newClient(t, s, kgo.RequestRetries(0))
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.ProtocolType, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = "g", "consumer", 30_000, 60_000
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name = "range"
	req.Protocols = append(req.Protocols, p)
	resp, err := req.RequestWith(context.Background(), c)
	if err != nil || !errors.Is(kerr.ErrorForCode(resp.ErrorCode), kerr.MemberIDRequired) {
		t.Fatalf("a first join: %v, %+v", err, resp)
	}
	req.MemberID = resp.MemberID
	joined := make(chan error, 1)
	go func() {
		resp, err := req.RequestWith(context.Background(), c)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		joined <- err
	}()
	// The join waits once the coordinator lists its member.
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = []string{"g"}
	for begun := time.Now(); ; {
		d, err := describe.RequestWith(context.Background(), newClient(t, s))
		if err != nil {
			t.Fatal(err)
		}
		if d.Groups[0].State == "PreparingRebalance" {
			break
		}
		if time.Since(begun) > 10*time.Second {
			t.Fatalf("the group does not prepare: %+v", d.Groups[0])
		}
	}
	if took := s.Stop(); took > 400*time.Millisecond {
		t.Errorf("stopping took %s", took)
	}
	if err := <-joined; err == nil || !kerr.IsRetriable(err) && errors.As(err, new(*kerr.Error)) {
		t.Errorf("the member was told %v", err)
	}
}
