package kafkaclient

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// GroupReading says what to read as a member of a group.
type GroupReading struct {
	Group string
	Topic Topic
	// Begin is where partitions are read from that the group has committed
	// nothing for.
	Begin map[int32]int64
	// Until holds the offset to stop before, for partitions that have an end.
	Until map[int32]int64
	// Idle, if set, is called whenever all records that arrived were delivered,
	// before they are committed.
	Idle func() error
}

// ReadInGroup is Read as a member of a consumer group, with the partitions that
// the group assigns to it (by range, Kafka's RangeAssignor). What fn has taken
// is committed every few seconds, before partitions are given up, and at the
// end. It ends when every partition it was assigned has reached its end.
func (c *Client) ReadInGroup(ctx context.Context, r GroupReading, fn func(*Delivery) error) error {
	m := &member{client: c, r: r, fn: fn}
	defer m.leave()
	for {
		err := m.round(ctx)
		if !errors.Is(err, errRejoin) {
			return err
		}
	}
}

// errRejoin sends a member back to JoinGroup.
var errRejoin = errors.New("the group rebalances")

// member is one membership. All of it happens in the caller's goroutine: a
// heartbeat goes out between two fetches.
type member struct {
	client *Client
	r      GroupReading
	fn     func(*Delivery) error

	coordinator int32
	id          string
	generation  int32
	// taken holds the offset after the last record that fn has taken, of each
	// partition that has moved since it was committed.
	taken     map[int32]int64
	beat      time.Time
	committed time.Time
}

// round joins, reads until the group rebalances or all is read, and commits.
func (m *member) round(ctx context.Context) error {
	var mine []int32
	err := m.client.onCoordinator(ctx, m.r.Group, func(coordinator int32) error {
		m.coordinator = coordinator
		var err error
		mine, err = m.join(ctx)
		return err
	})
	if err != nil {
		return rejoinOn(err)
	}
	from, err := m.positions(ctx, mine)
	if err != nil {
		return err
	}
	m.taken = map[int32]int64{}
	m.beat, m.committed = time.Now(), time.Now()
	err = m.client.Read(ctx, Reading{Topic: m.r.Topic, From: from, Until: m.r.Until, Idle: m.idle}, func(d *Delivery) error {
		err := m.fn(d)
		m.taken[d.Partition] = int64(d.Offset) + 1
		return err
	})
	if len(from) == 0 && err == nil && m.r.Until == nil {
		err = m.waitForPartitions(ctx)
	}
	return cmp.Or(err, m.commit(ctx, true))
}

// waitForPartitions goes on as a member that was assigned nothing, until that
// changes.
func (m *member) waitForPartitions(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(heartbeatEvery):
		}
		if err := m.heartbeat(ctx); err != nil {
			return err
		}
	}
}

// idle runs between two fetches.
func (m *member) idle() error {
	if m.r.Idle != nil {
		if err := m.r.Idle(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), m.client.opts.Timeout)
	defer cancel()
	if err := m.commit(ctx, false); err != nil {
		return err
	}
	if time.Since(m.beat) < heartbeatEvery {
		return nil
	}
	err := m.heartbeat(ctx)
	if errors.Is(err, errRejoin) {
		return cmp.Or(m.commit(ctx, true), err) // the next owner goes on from here
	}
	return err
}

func (m *member) heartbeat(ctx context.Context) error {
	m.beat = time.Now()
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = m.r.Group, m.id, m.generation
	resp, err := req.RequestWith(ctx, m.client.node(m.coordinator))
	if err != nil {
		return rejoinOn(err)
	}
	return rejoinOn(codeError(resp.ErrorCode, nil))
}

// commit commits what was taken, if it is time or now.
func (m *member) commit(ctx context.Context, now bool) error {
	if len(m.taken) == 0 || !now && time.Since(m.committed) < commitEvery {
		return nil
	}
	m.committed = time.Now()
	err := m.client.commit(ctx, m.coordinator, m.r.Group, m.id, m.generation, map[string]map[int32]int64{m.r.Topic.Name: m.taken})
	if err == nil || codeOf(err) == RebalanceInProgress {
		clear(m.taken)
		return nil
	}
	return rejoinOn(err)
}

// leave commits what is left and tells the group, so that it need not wait for
// this member's session to end.
func (m *member) leave() {
	if m.id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), m.client.opts.Timeout)
	defer cancel()
	_ = m.commit(ctx, true) // who reads on gets these records again
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID = m.r.Group, m.id
	l := kmsg.NewLeaveGroupRequestMember()
	l.MemberID = m.id
	req.Members = append(req.Members, l)
	_, _ = req.RequestWith(ctx, m.client.node(m.coordinator)) // else the session times out
}

// join joins and synchronises, and returns the partitions that are this
// member's now.
func (m *member) join(ctx context.Context) ([]int32, error) {
	metadata := kmsg.NewConsumerMemberMetadata()
	metadata.Topics = []string{m.r.Topic.Name}
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.ProtocolType = m.r.Group, m.id, "consumer"
	req.SessionTimeoutMillis = int32(sessionTimeout / time.Millisecond)
	req.RebalanceTimeoutMillis = int32(rebalanceTimeout / time.Millisecond)
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = "range", metadata.AppendTo(nil)
	req.Protocols = append(req.Protocols, p)
	resp, err := req.RequestWith(ctx, m.client.node(m.coordinator))
	if err != nil {
		return nil, err
	}
	switch Code(resp.ErrorCode) {
	case MemberIDRequired: // KIP-394: once more, with the id that was given
		m.id = resp.MemberID
		return m.join(ctx)
	case UnknownMemberID:
		m.id = ""
	}
	if err := codeError(resp.ErrorCode, nil); err != nil {
		return nil, err
	}
	m.id, m.generation = resp.MemberID, resp.Generation
	return m.sync(ctx, resp)
}

// sync hands in everybody's assignment if this member leads, and gets its own.
func (m *member) sync(ctx context.Context, joined *kmsg.JoinGroupResponse) ([]int32, error) {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.Generation = m.r.Group, m.id, m.generation
	req.ProtocolType, req.Protocol = joined.ProtocolType, joined.Protocol
	if joined.LeaderID == m.id {
		assignments, err := m.assign(ctx, joined.Members)
		if err != nil {
			return nil, err
		}
		req.GroupAssignment = assignments
	}
	resp, err := req.RequestWith(ctx, m.client.node(m.coordinator))
	if err != nil {
		return nil, err
	}
	if err := codeError(resp.ErrorCode, nil); err != nil {
		return nil, err
	}
	mine := kmsg.NewConsumerMemberAssignment()
	if err := mine.ReadFrom(resp.MemberAssignment); err != nil {
		return nil, err
	}
	for _, t := range mine.Topics {
		if t.Topic == m.r.Topic.Name {
			return t.Partitions, nil
		}
	}
	return nil, nil
}

// assign gives each topic's partitions in ranges to the members that subscribe
// to it, in the order of their ids.
func (m *member) assign(ctx context.Context, members []kmsg.JoinGroupResponseMember) ([]kmsg.SyncGroupRequestGroupAssignment, error) {
	readers := map[string][]string{}
	for _, other := range members {
		var meta kmsg.ConsumerMemberMetadata
		if err := meta.ReadFrom(other.ProtocolMetadata); err != nil {
			return nil, err
		}
		for _, topic := range meta.Topics {
			readers[topic] = append(readers[topic], other.MemberID)
		}
	}
	plans := map[string]*kmsg.ConsumerMemberAssignment{}
	for _, other := range members {
		plan := kmsg.NewConsumerMemberAssignment()
		plans[other.MemberID] = &plan
	}
	for _, topic := range slices.Sorted(maps.Keys(readers)) {
		t, err := m.client.Topic(ctx, topic, false)
		if isUnknown(err) {
			continue
		} else if err != nil {
			return nil, err
		}
		ids := readers[topic]
		slices.Sort(ids)
		for i, id := range ids {
			if numbers := share(t.Partitions, i, len(ids)); len(numbers) > 0 {
				at := kmsg.NewConsumerMemberAssignmentTopic()
				at.Topic, at.Partitions = topic, numbers
				plans[id].Topics = append(plans[id].Topics, at)
			}
		}
	}
	var all []kmsg.SyncGroupRequestGroupAssignment
	for _, other := range members {
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID, a.MemberAssignment = other.MemberID, plans[other.MemberID].AppendTo(nil)
		all = append(all, a)
	}
	return all, nil
}

// share returns range i of n: the first ranges get one more if it does not come
// out even.
func share(parts []Partition, i, n int) (numbers []int32) {
	each, more := len(parts)/n, len(parts)%n
	first := i*each + min(i, more)
	last := first + each
	if i < more {
		last++
	}
	for _, p := range parts[first:last] {
		numbers = append(numbers, p.Number)
	}
	return numbers
}

// positions returns where to read on: at what is committed, else at Begin.
func (m *member) positions(ctx context.Context, mine []int32) (map[int32]int64, error) {
	commits, err := m.client.Commits(ctx, m.r.Group)
	if err != nil {
		return nil, err
	}
	from := map[int32]int64{}
	for _, n := range mine {
		from[n] = m.r.Begin[n]
	}
	for _, c := range commits {
		if _, ok := from[c.Partition]; ok && c.Topic == m.r.Topic.Name && c.Offset >= 0 {
			from[c.Partition] = c.Offset
		}
	}
	return from, nil
}

// rejoinOn turns the answers that send a member back into errRejoin.
func rejoinOn(err error) error {
	switch codeOf(err) {
	case RebalanceInProgress, IllegalGeneration, UnknownMemberID:
		return errRejoin
	}
	return err
}
