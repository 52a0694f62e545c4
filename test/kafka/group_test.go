package kafka

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/test/harness"
)

// crew is a group of consumers that note what they were given and what they
// have read.
type crew struct {
	t      *testing.T
	server *harness.Server
	opts   []kgo.Opt

	mu       sync.Mutex
	seen     map[string]int // value → how often
	assigned int            // calls of OnPartitionsAssigned that brought something
	revoked  int            // partitions taken away
	lost     int
	changed  chan struct{}
}

func newCrew(t *testing.T, s *harness.Server, opts ...kgo.Opt) *crew {
	return &crew{t: t, server: s, opts: opts, seen: map[string]int{}, changed: make(chan struct{}, 1)}
}

func (c *crew) note(fn func()) {
	c.mu.Lock()
	fn()
	c.mu.Unlock()
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// await waits until a condition holds.
func (c *crew) await(what string, holds func() bool) {
	c.t.Helper()
	limit := time.After(60 * time.Second)
	for {
		c.mu.Lock()
		ok := holds()
		c.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-c.changed:
		case <-limit:
			c.t.Fatalf("in vain: %s", what)
		}
	}
}

// hand is one member: it reads, and commits what it has read.
type hand struct {
	*kgo.Client
	stop context.CancelFunc
	done chan struct{}
}

func (c *crew) hire(opts ...kgo.Opt) *hand {
	c.t.Helper()
	count := func(m map[string][]int32) (n int) {
		for _, p := range m {
			n += len(p)
		}
		return n
	}
	all := append([]kgo.Opt{
		kgo.ConsumerGroup("crew"), kgo.ConsumeTopics("work"), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(6 * time.Second), kgo.HeartbeatInterval(100 * time.Millisecond), kgo.FetchMaxWait(200 * time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
			if count(m) > 0 {
				c.note(func() { c.assigned++ })
			}
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
			c.note(func() { c.revoked += count(m) })
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
			c.note(func() { c.lost += count(m) })
		}),
	}, c.opts...)
	h := &hand{Client: newClient(c.t, c.server, append(all, opts...)...), done: make(chan struct{})}
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	c.t.Cleanup(func() {
		stop()
		<-h.done
	})
	go func() {
		defer close(h.done)
		defer h.AllowRebalance()
		for {
			fetches := h.PollFetches(ctx)
			if ctx.Err() != nil || fetches.IsClientClosed() {
				return
			}
			c.note(func() { fetches.EachRecord(func(r *kgo.Record) { c.seen[string(r.Value)]++ }) })
			_ = h.CommitUncommittedOffsets(context.Background()) // what is not committed comes again
			h.AllowRebalance()
		}
	}()
	return h
}

// quit ends a member in good order.
func (h *hand) quit() {
	h.stop()
	<-h.done
	h.Close()
}

// expect waits until every record of a prefix has come, and reports those that
// came twice.
func (c *crew) expect(prefix string, n int) (twice []string) {
	c.t.Helper()
	c.await(fmt.Sprintf("all of %d records %s", n, prefix), func() bool {
		for i := range n {
			if c.seen[fmt.Sprintf("%s-%d", prefix, i)] == 0 {
				return false
			}
		}
		return true
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range n {
		if v := fmt.Sprintf("%s-%d", prefix, i); c.seen[v] > 1 {
			twice = append(twice, v)
		}
	}
	return twice
}

// describe asks the server what it knows of the group.
func (c *crew) describe() kmsg.DescribeGroupsResponseGroup {
	c.t.Helper()
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{"crew"}
	resp, err := req.RequestWith(within(c.t, 20*time.Second), newClient(c.t, c.server))
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.Groups[0]
}

func balancers() map[string]kgo.GroupBalancer {
	return map[string]kgo.GroupBalancer{
		"range": kgo.RangeBalancer(), "sticky": kgo.StickyBalancer(), "cooperative-sticky": kgo.CooperativeStickyBalancer(),
	}
}

// TestRollingRestartOfMembers: members that leave in good order, one after the
// other, lose nothing and read nothing twice, with every balancer.
func TestRollingRestartOfMembers(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(balancers())) {
		t.Run(name, func(t *testing.T) {
			s := harness.Start(t, "--kafka-default-partitions", "6")
			p := newClient(t, s)
			c := newCrew(t, s, kgo.Balancers(balancers()[name]))
			hands := []*hand{c.hire(), c.hire(), c.hire()}
			for round := range 6 {
				prefix := fmt.Sprint("round", round)
				produce(t, p, "work", prefix, 300)
				hands[round%3].quit()
				hands[round%3] = c.hire()
				if twice := c.expect(prefix, 300); len(twice) > 0 {
					t.Errorf("round %d: %d records came twice, such as %s", round, len(twice), twice[0])
				}
			}
			if c.lost > 0 {
				t.Errorf("%d partitions were lost", c.lost)
			}
		})
	}
}

// TestRollingRestartOfStaticMembers: a static member that comes back within its
// session has its partitions again, and nobody else notices.
func TestRollingRestartOfStaticMembers(t *testing.T) {
	s := harness.Start(t, "--kafka-default-partitions", "6")
	p := newClient(t, s)
	produce(t, p, "work", "first", 300)
	c := newCrew(t, s, kgo.SessionTimeout(30*time.Second))
	var hands []*hand
	for i := range 3 {
		hands = append(hands, c.hire(kgo.InstanceID(fmt.Sprint("i", i))))
	}
	c.expect("first", 300)
	await(t, "a stable group of three", func() bool {
		d := c.describe()
		return d.State == "Stable" && len(d.Members) == 3
	})
	before := c.describe()
	for i := range hands {
		hands[i].quit() // a static member does not leave the group
		hands[i] = c.hire(kgo.InstanceID(fmt.Sprint("i", i)))
		prefix := fmt.Sprint("then", i)
		produce(t, p, "work", prefix, 300)
		c.expect(prefix, 300)
	}
	after := c.describe()
	if after.State != "Stable" || len(after.Members) != 3 {
		t.Fatalf("%s with %d members", after.State, len(after.Members))
	}
	assignments := func(d kmsg.DescribeGroupsResponseGroup) map[string]string {
		m := map[string]string{}
		for _, member := range d.Members {
			m[*member.InstanceID] = string(member.MemberAssignment)
		}
		return m
	}
	if !maps.Equal(assignments(before), assignments(after)) {
		t.Error("the assignments are others than before")
	}
}

// await asks again and again until it holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(60 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("in vain: %s", what)
		}
	}
}

// TestServerRestartsUnderAGroup: the next server knows member and generation;
// nothing is lost on consumers.
func TestServerRestartsUnderAGroup(t *testing.T) {
	s := harness.Start(t, "--kafka-default-partitions", "6")
	p := newClient(t, s)
	produce(t, p, "work", "first", 300)
	c := newCrew(t, s)
	c.hire()
	c.hire()
	c.expect("first", 300)
	m := joinByHand(t, p, "quiet")
	for round := range 4 {
		if round%2 == 0 {
			s.Kill()
		} else if took := s.Stop(); took > time.Second {
			t.Errorf("stopping took %s", took)
		}
		s.Restart()
		if code := m.heartbeat(t, p); code != 0 {
			t.Errorf("round %d: heartbeat answered with code %d", round, code)
		}
		prefix := fmt.Sprint("round", round)
		produce(t, p, "work", prefix, 300)
		c.expect(prefix, 300)
	}
}

// byHand is a member of a group that does only what it is told to.
type byHand struct{ group, member string }

// joinByHand makes a group of one member, in generation 1.
func joinByHand(t *testing.T, c *kgo.Client, group string) byHand {
	t.Helper()
	ctx := within(t, 20*time.Second)
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis, join.ProtocolType = group, 60_000, 60_000, "consumer"
	protocol := kmsg.NewJoinGroupRequestProtocol()
	protocol.Name = "own"
	join.Protocols = append(join.Protocols, protocol)
	for {
		resp, err := join.RequestWith(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		if join.MemberID == "" && resp.ErrorCode == 79 { // MEMBER_ID_REQUIRED
			join.MemberID = resp.MemberID
			continue
		}
		if resp.ErrorCode != 0 || resp.Generation != 1 {
			t.Fatalf("%+v", resp)
		}
		break
	}
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.MemberID, sync.Generation = group, join.MemberID, 1
	sync.ProtocolType, sync.Protocol = &join.ProtocolType, &protocol.Name
	if resp, err := sync.RequestWith(ctx, c); err != nil || resp.ErrorCode != 0 {
		t.Fatalf("%+v, %v", resp, err)
	}
	return byHand{group, join.MemberID}
}

func (m byHand) heartbeat(t *testing.T, c *kgo.Client) int16 {
	t.Helper()
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = m.group, m.member, 1
	resp, err := req.RequestWith(within(t, 20*time.Second), c)
	if err != nil {
		t.Fatal(err)
	}
	return resp.ErrorCode
}

// TestServerDiesDuringARebalance: the members come to terms with the next one.
func TestServerDiesDuringARebalance(t *testing.T) {
	s := harness.Start(t, "--kafka-default-partitions", "6")
	p := newClient(t, s)
	c := newCrew(t, s)
	var hands []*hand
	for round := range 5 {
		hands = append(hands, c.hire()) // a rebalance begins
		s.Kill()
		s.Restart()
		prefix := fmt.Sprint("round", round)
		produce(t, p, "work", prefix, 100)
		c.expect(prefix, 100)
	}
	await(t, "a stable group of all", func() bool {
		d := c.describe()
		return d.State == "Stable" && len(d.Members) == len(hands)
	})
}

// TestOffsetsAreKept: what a client commits comes back as it was, until it is
// deleted; a topic that was made again has no offsets.
func TestOffsetsAreKept(t *testing.T) {
	s := harness.Start(t)
	c := newClient(t, s)
	produce(t, c, "work", "x", 1)
	ctx := within(t, 30*time.Second)
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Group, commit.Generation = "g", -1
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID = "work", topicID(t, c, "work")
	part := kmsg.NewOffsetCommitRequestTopicPartition()
	text := "héllo"
	part.Offset, part.LeaderEpoch, part.Metadata = 1, 7, &text
	topic.Partitions = append(topic.Partitions, part)
	commit.Topics = append(commit.Topics, topic)
	if resp, err := commit.RequestWith(ctx, c); err != nil || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("%+v, %v", resp, err)
	}
	fetch := func() (out []kmsg.OffsetFetchResponseGroupTopicPartition) {
		req := kmsg.NewPtrOffsetFetchRequest()
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = "g"
		req.Groups = append(req.Groups, g)
		resp, err := req.RequestWith(ctx, c)
		if err != nil || len(resp.Groups) != 1 || resp.Groups[0].ErrorCode != 0 {
			t.Fatalf("%+v, %v", resp, err)
		}
		for _, t := range resp.Groups[0].Topics {
			out = append(out, t.Partitions...)
		}
		return out
	}
	for range 2 {
		got := fetch()
		if len(got) != 1 || got[0].Offset != 1 || got[0].LeaderEpoch != 7 || *got[0].Metadata != text {
			t.Fatalf("%+v", got)
		}
		s.Kill()
		s.Restart()
	}
	remove := kmsg.NewPtrDeleteTopicsRequest()
	remove.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: &topic.Topic}}
	if resp, err := remove.RequestWith(ctx, c); err != nil || resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("%+v, %v", resp, err)
	}
	produce(t, newClient(t, s), "work", "y", 1)
	if got := fetch(); len(got) != 0 {
		t.Errorf("a topic that was made again has offsets: %+v", got)
	}
}

func topicID(t *testing.T, c *kgo.Client, name string) [16]byte {
	t.Helper()
	req := kmsg.NewPtrMetadataRequest()
	mt := kmsg.NewMetadataRequestTopic()
	mt.Topic = &name
	req.Topics = append(req.Topics, mt)
	resp, err := req.RequestWith(within(t, 10*time.Second), c)
	if err != nil || resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("%+v, %v", resp, err)
	}
	return resp.Topics[0].TopicID
}
