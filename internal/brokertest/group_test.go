package brokertest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/group"
)

// joining is a JoinGroup under way.
type joining struct {
	group.JoinReply
	answers int
	wait    *broker.GroupWait
}

// join begins a join; member is "" for a new one.
func (n *Node) join(id, member string, change ...func(*group.Join)) *joining {
	j := &group.Join{
		Group: id, Member: member, ClientID: "client", ClientHost: "/127.0.0.1", SessionTimeout: 10_000,
		RebalanceTimeout: 60_000, ProtocolType: "consumer",
		Protocols: []group.Protocol{{Name: "range", Metadata: []byte("subscription")}},
	}
	for _, c := range change {
		c(j)
	}
	r := &joining{}
	r.wait = n.JoinGroup(j, func(reply group.JoinReply) { r.JoinReply = reply; r.answers++ })
	n.Settle()
	return r
}

// syncing is a SyncGroup under way.
type syncing struct {
	group.SyncReply
	answers int
}

func (n *Node) sync(id, member string, generation int32, give ...group.Assignment) *syncing {
	r := &syncing{}
	n.SyncGroup(&group.Sync{Group: id, Member: member, Generation: generation, Assignments: give},
		func(reply group.SyncReply) { r.SyncReply = reply; r.answers++ })
	n.Settle()
	return r
}

func (n *Node) heartbeat(id, member string, generation int32) error {
	err := errNoAnswer
	n.Heartbeat(id, member, "", generation, func(e error) { err = e })
	n.Settle()
	return err
}

func (n *Node) commit(id, member string, generation int32, topic *broker.Topic, o record.Offset) error {
	err := errNoAnswer
	n.CommitOffsets(&group.Commit{
		Group: id, Member: member, Generation: generation, Retention: -1,
		Topics: []group.CommitTopic{{Topic: topic.ID, Name: topic.Name, Partitions: []group.CommitPartition{{Offset: o, Epoch: -1}}}},
	}, func(e error) { err = e })
	n.Settle()
	return err
}

// committed returns what is committed for partition 0 of a topic.
func (n *Node) committed(id string, topic *broker.Topic) record.Offset {
	n.tb.Helper()
	found := record.Offset(-2)
	n.FetchOffsets(id, []broker.GroupPartition{{Topic: topic.ID}}, func(o []group.Offset, err error) {
		if err != nil {
			n.tb.Error(err)
			return
		}
		found = o[0].Offset
	})
	n.Settle()
	return found
}

func (n *Node) describe(id string) group.Description {
	n.tb.Helper()
	var d group.Description
	n.DescribeGroup(id, func(found group.Description, err error) {
		if err != nil {
			n.tb.Error(err)
		}
		d = found
	})
	n.Settle()
	return d
}

// member joins and syncs a group of its own making until it is stable.
func (n *Node) member(id string) string {
	n.tb.Helper()
	j := n.join(id, "")
	if j.answers != 1 || j.Err != nil {
		n.tb.Fatalf("join: %d answers, %v", j.answers, j.Err)
	}
	if s := n.sync(id, j.Member, j.Generation); s.answers != 1 || s.Err != nil {
		n.tb.Fatalf("sync: %d answers, %v", s.answers, s.Err)
	}
	return j.Member
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || (err == nil) != (want == nil) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func TestGroupSurvivesARestart(t *testing.T) {
	n := Start(t, Options{})
	topic := n.Create("t", 1)
	a := n.member("g")
	wantErr(t, "commit", n.commit("g", a, 1, topic, 42), nil)
	for i := range 5 {
		if i%2 == 0 {
			n = n.Crash(false)
			n.Settle()
		} else {
			n = n.Restart()
		}
		n.Advance(9 * time.Second) // a full session begins with the new leader
		wantErr(t, "heartbeat", n.heartbeat("g", a, 1), nil)
		if o := n.committed("g", n.Topic("t")); o != 42 {
			t.Fatalf("committed offset %d after restart %d", o, i)
		}
	}
	wantErr(t, "commit", n.commit("g", a, 1, topic, 43), nil)
	if d := n.describe("g"); d.Phase != group.Stable || d.Generation != 1 {
		t.Errorf("%v generation %d", d.Phase, d.Generation)
	}
	n = n.Restart() // and the new leader watches over who does not come back
	n.Advance(10 * time.Second)
	if d := n.describe("g"); d.Phase != group.Empty {
		t.Errorf("%v, and the member is dead", d.Phase)
	}
}

func TestSessionOfADeadMemberEnds(t *testing.T) {
	n := Start(t, Options{})
	a := n.member("g")
	b := n.join("g", "")
	again := n.join("g", a)
	if b.answers != 1 || again.answers != 1 || b.Generation != 2 || again.Generation != 2 || len(again.Members) != 2 {
		t.Fatalf("rebalance: %+v, %+v", b, again)
	}
	n.sync("g", b.Member, 2)
	n.sync("g", a, 2)
	for range 10 { // b is dead, a is well
		wantErr(t, "heartbeat", n.heartbeat("g", a, 2), nil)
		n.Advance(900 * time.Millisecond)
	}
	n.Advance(1100 * time.Millisecond)
	wantErr(t, "heartbeat of the living", n.heartbeat("g", a, 2), broker.ErrRebalancing)
	wantErr(t, "heartbeat of the dead", n.heartbeat("g", b.Member, 2), group.ErrUnknownMember)
	alone := n.join("g", a)
	if alone.answers != 1 || alone.Generation != 3 || len(alone.Members) != 1 {
		t.Errorf("the living goes on alone: %+v", alone)
	}
}

func TestHeartbeatsKeepAMember(t *testing.T) {
	n := Start(t, Options{})
	a := n.member("g")
	for range 100 {
		n.Advance(9 * time.Second)
		wantErr(t, "heartbeat", n.heartbeat("g", a, 1), nil)
	}
	n.Advance(10 * time.Second)
	wantErr(t, "heartbeat", n.heartbeat("g", a, 1), group.ErrUnknownMember)
	if d := n.describe("g"); d.Phase != group.Empty {
		t.Errorf("the group is %v", d.Phase)
	}
	if _, ok := n.Clock.Next(); ok {
		n.Advance(24 * time.Hour) // nothing is left to watch
	}
	if d := n.describe("g"); d.Phase != group.Dead {
		t.Errorf("a group without members and offsets is %v a day later", d.Phase)
	}
}

func TestCommitsKeepAMember(t *testing.T) {
	n := Start(t, Options{})
	topic := n.Create("t", 1)
	a := n.member("g")
	for i := range 5 {
		n.Advance(9 * time.Second)
		wantErr(t, "commit", n.commit("g", a, 1, topic, record.Offset(i)), nil)
	}
	wantErr(t, "heartbeat", n.heartbeat("g", a, 1), nil)
}

// TestWaitingMembersAreAlive: who waits for the others sends no heartbeats.
func TestWaitingMembersAreAlive(t *testing.T) {
	n := Start(t, Options{})
	a := n.member("g")
	b := n.join("g", "")
	for range 6 {
		n.Advance(9 * time.Second)
		wantErr(t, "heartbeat", n.heartbeat("g", a, 1), broker.ErrRebalancing)
	}
	if b.answers != 0 {
		t.Fatalf("answered: %+v", b)
	}
	n.Advance(6 * time.Second) // the rebalance timeout of a minute is over
	if b.answers != 1 || b.Err != nil || len(b.Members) != 1 {
		t.Fatalf("the rebalance did not go on without the member that did not join: %+v", b)
	}
	wantErr(t, "heartbeat", n.heartbeat("g", a, 1), group.ErrUnknownMember)
}

// TestLostJoin: the connection of a member that has not been told its id closes.
func TestLostJoin(t *testing.T) {
	n := Start(t, Options{})
	a := n.member("g")
	lost := n.join("g", "")
	waiting := n.join("g", "")
	lost.wait.Cancel()
	n.Settle()
	if d := n.describe("g"); len(d.Members) != 2 {
		t.Errorf("%d members, want 2: the lost one is gone at once", len(d.Members))
	}
	again := n.join("g", a)
	if again.answers != 1 || waiting.answers != 1 || len(again.Members) != 2 || lost.answers > 1 {
		t.Errorf("%+v, %+v, lost %d", again, waiting, lost.answers)
	}

	// One that knows its id has a session to come back in.
	n.sync("g", waiting.Member, 2)
	n.sync("g", a, 2)
	third := n.join("g", "")
	known := n.join("g", waiting.Member)
	n.Advance(9 * time.Second)
	wantErr(t, "heartbeat", n.heartbeat("g", a, 2), broker.ErrRebalancing)
	n.Advance(9 * time.Second)
	known.wait.Cancel()
	wantErr(t, "heartbeat", n.heartbeat("g", a, 2), broker.ErrRebalancing)
	n.Advance(9 * time.Second)
	if d := n.describe("g"); len(d.Members) != 3 {
		t.Errorf("%d members, want 3", len(d.Members))
	}
	back := n.join("g", waiting.Member)
	n.join("g", a)
	if back.answers != 1 || third.answers != 1 || back.Err != nil {
		t.Errorf("it came back: %+v, %+v", back, third)
	}
}

func TestNewMembersDoNotWaitForEver(t *testing.T) {
	n := Start(t, Options{})
	a := n.member("g")
	long := func(j *group.Join) { j.RebalanceTimeout = 3_600_000 }
	b := n.join("g", "", long)
	for range 40 {
		n.Advance(8 * time.Second)
		wantErr(t, "heartbeat", n.heartbeat("g", a, 1), broker.ErrRebalancing)
	}
	if b.answers != 1 || !errors.Is(b.Err, group.ErrUnknownMember) {
		t.Errorf("after five minutes: %d answers, %v", b.answers, b.Err)
	}
}

func TestSecondJoinTakesThePlaceOfTheFirst(t *testing.T) {
	n := Start(t, Options{})
	a := n.member("g")
	n.join("g", "")
	n.sync("g", a, 1)
	d := n.describe("g")
	b := d.Members[1].Member
	first, second := n.join("g", b), n.join("g", b)
	if first.answers != 1 || !errors.Is(first.Err, broker.ErrRebalancing) || second.answers != 0 {
		t.Errorf("first: %d %v, second: %d", first.answers, first.Err, second.answers)
	}
	n.join("g", a)
	if second.answers != 1 || second.Err != nil || first.answers != 1 {
		t.Errorf("second: %d %v", second.answers, second.Err)
	}
}

func TestStoppingAnswersThoseWhoWait(t *testing.T) {
	n := Start(t, Options{})
	a := n.member("g")
	b := n.join("g", "")
	n.member("h")
	other := n.join("h", "")
	drained := n.Drain()
	late := n.join("g", a)
	n.Settle()
	for _, j := range []*joining{b, other, late} {
		if j.answers != 1 || !errors.Is(j.Err, broker.ErrClosed) {
			t.Errorf("%d answers, %v", j.answers, j.Err)
		}
	}
	wantErr(t, "heartbeat", n.heartbeat("g", a, 1), broker.ErrClosed)
	select {
	case <-drained:
	default:
		t.Error("those who wait hold up the stop")
	}
}

func TestMemberIDs(t *testing.T) {
	n := Start(t, Options{})
	j := n.join("g", "", func(j *group.Join) { j.RequireID = true })
	if !errors.Is(j.Err, group.ErrMemberIDRequired) || len(j.Member) != len("client-")+36 {
		t.Fatalf("%+v", j.JoinReply)
	}
	again := n.join("g", j.Member, func(j *group.Join) { j.RequireID = true })
	if again.Err != nil || again.Member != j.Member || again.Generation != 1 {
		t.Errorf("%+v", again.JoinReply)
	}
	static := n.join("h", "", func(j *group.Join) { j.Instance = "rack1" })
	if static.Err != nil || static.Member[:6] != "rack1-" {
		t.Errorf("%+v", static.JoinReply)
	}
	wantErr(t, "short session", n.join("g", "", func(j *group.Join) { j.SessionTimeout = 1 }).Err, group.ErrInvalidSession)
	wantErr(t, "no group", n.join("", "").Err, group.ErrInvalidGroup)
	wantErr(t, "no group", n.heartbeat("", "m", 1), group.ErrInvalidGroup)
}

// TestDeletedTopicTakesItsOffsets, also those committed while it went, and those
// that a leader finds when it begins.
func TestDeletedTopicTakesItsOffsets(t *testing.T) {
	n := Start(t, Options{})
	old, other := n.Create("t", 1), n.Create("u", 1)
	for i := range 20 { // in all shards
		id := fmt.Sprint("g", i)
		wantErr(t, "commit", n.commit(id, "", -1, old, 5), nil)
		wantErr(t, "commit", n.commit(id, "", -1, other, 6), nil)
	}
	if err := n.Delete("t"); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "late commit", n.commit("g1", "", -1, old, 7), nil)
	fresh := n.Create("t", 1)
	for i := range 20 {
		id := fmt.Sprint("g", i)
		if a, b, c := n.committed(id, old), n.committed(id, fresh), n.committed(id, other); a != -1 || b != -1 || c != 6 {
			t.Errorf("%s: deleted topic %d, its successor %d, another %d", id, a, b, c)
		}
	}
	wantErr(t, "commit", n.commit("g1", "", -1, fresh, 1), nil)
	n = n.Restart()
	if o := n.committed("g1", n.Topic("t")); o != 1 {
		t.Errorf("committed offset %d", o)
	}
}

// TestOffsetsOfADeletedTopicGoInTheEnd cuts the power after every step of the
// topic's deletion, and after every step of a commit that comes too late.
func TestOffsetsOfADeletedTopicGoInTheEnd(t *testing.T) {
	for steps := range 30 {
		n := Start(t, Options{})
		topic := n.Create("t", 1)
		wantErr(t, "commit", n.commit("g", "", -1, topic, 5), nil)
		n = deletedAndCut(t, n, topic, steps, false)
		deletedAndCut(t, n, topic, steps, true)
	}
}

func deletedAndCut(t *testing.T, n *Node, topic *broker.Topic, steps int, late bool) *Node {
	t.Helper()
	n.DeleteTopics([]broker.TopicRef{{Name: "t"}}, func([]broker.TopicResult) {})
	if late {
		n.Settle()
		n.CommitOffsets(&group.Commit{Group: "g", Generation: -1, Retention: -1, Topics: []group.CommitTopic{{
			Topic: topic.ID, Name: "t", Partitions: []group.CommitPartition{{Offset: 6}},
		}}}, func(error) {})
	}
	for range steps {
		n.Step()
	}
	n = n.Crash(false)
	n.Settle()
	deleted := n.Topic("t") == nil
	n.FetchOffsets("g", nil, func(found []group.Offset, err error) {
		if err != nil || (len(found) == 0) != deleted {
			t.Errorf("after %d steps: deleted %v, offsets %v, %v", steps, deleted, found, err)
		}
	})
	n.Settle()
	return n
}

func TestListDescribeDelete(t *testing.T) {
	n := Start(t, Options{})
	topic := n.Create("t", 1)
	for i := range 10 {
		wantErr(t, "commit", n.commit(fmt.Sprint("g", i), "", -1, topic, 5), nil)
	}
	a := n.member("live")
	list := func() (ids []string) {
		n.ListGroups(func(found []group.Summary, err error) {
			wantErr(t, "list", err, nil)
			for _, s := range found {
				ids = append(ids, s.Group)
			}
		})
		n.Settle()
		return ids
	}
	want := []string{"g0", "g1", "g2", "g3", "g4", "g5", "g6", "g7", "g8", "g9", "live"}
	if got := list(); !slices.Equal(got, want) {
		t.Errorf("list: %v", got)
	}
	remove := func(id string) error {
		err := errNoAnswer
		n.DeleteGroup(id, func(e error) { err = e })
		n.Settle()
		return err
	}
	wantErr(t, "delete", remove("g3"), nil)
	wantErr(t, "delete again", remove("g3"), group.ErrUnknownGroup)
	wantErr(t, "delete a live group", remove("live"), group.ErrNotEmpty)
	if got := list(); len(got) != 10 {
		t.Errorf("list: %v", got)
	}
	deleteOffsets := func(id string) (err error) {
		n.DeleteOffsets(&group.DeleteOffsets{Group: id, Topics: []group.DeleteTopic{{Topic: topic.ID, Name: "t", Partitions: []int32{0}}}},
			func(each []error, e error) {
				if err = e; e == nil {
					err = each[0]
				}
			})
		n.Settle()
		return err
	}
	wantErr(t, "delete offsets", deleteOffsets("g4"), nil)
	wantErr(t, "delete offsets", deleteOffsets("nogroup"), group.ErrUnknownGroup)
	wantErr(t, "delete offsets", deleteOffsets("live"), group.ErrSubscribed)
	if o := n.committed("g4", topic); o != -1 {
		t.Errorf("offset %d is left", o)
	}
	n.LeaveGroup(&group.Leave{Group: "live", Members: []group.Leaver{{Member: a}, {Member: "x"}}}, func(each []error, err error) {
		wantErr(t, "leave", err, nil)
		wantErr(t, "leave", each[0], nil)
		wantErr(t, "leave", each[1], group.ErrUnknownMember)
	})
	n.Settle()
	wantErr(t, "delete", remove("live"), nil)
	c, err := n.Coordinator("g1")
	if err != nil || c.ID != n.NodeID() {
		t.Errorf("coordinator: %+v, %v", c, err)
	}
}

func TestGroupSettingsTakeEffect(t *testing.T) {
	settings := group.DefaultSettings()
	settings.InitialDelay = 3_000
	n := Start(t, Options{Broker: func(o *broker.Options) { o.Groups = settings }})
	a := n.join("g", "")
	n.Advance(2 * time.Second)
	b := n.join("g", "")
	if a.answers+b.answers != 0 {
		t.Fatal("answered before the delay was over")
	}
	n.Advance(5 * time.Second)
	if a.Generation != 1 || b.Generation != 1 || len(a.Members)+len(b.Members) != 2 {
		t.Errorf("%+v, %+v", a.JoinReply, b.JoinReply)
	}
}

// consumer is a member that does as clients do: it joins, syncs, heartbeats,
// and after every error joins again.
type consumer struct {
	member     string
	generation int32 // -1: has to join
	join       *joining
	sync       *syncing
	beat       error
	asked      bool
}

// step does what the last answers ask for, and forgets what a crash has left
// unanswered.
func (c *consumer) step(t *testing.T, n *Node) {
	t.Helper()
	switch {
	case c.join != nil && c.join.answers == 0, c.sync != nil && c.sync.answers == 0:
		return
	case c.join != nil:
		r := c.join.JoinReply
		c.join = nil
		switch {
		case errors.Is(r.Err, group.ErrUnknownMember):
			c.member = ""
		case r.Err == nil:
			if r.Generation < c.generation {
				t.Fatalf("%s went from generation %d to %d", c.member, c.generation, r.Generation)
			}
			c.member, c.generation = r.Member, r.Generation
			var give []group.Assignment
			for _, m := range r.Members {
				give = append(give, group.Assignment{Member: m.Member, Data: []byte(fmt.Sprint(m.Member, "@", r.Generation))})
			}
			c.sync = n.sync("g", c.member, c.generation, give...)
		}
	case c.sync != nil:
		r := c.sync.SyncReply
		c.sync = nil
		if want := fmt.Sprint(c.member, "@", c.generation); r.Err == nil && string(r.Assignment) != want {
			t.Fatalf("%s was given %q", want, r.Assignment)
		}
		c.asked = r.Err != nil
	case c.asked || c.member == "":
		c.asked = false
		c.join = n.join("g", c.member)
	default:
		c.beat = n.heartbeat("g", c.member, c.generation)
		c.asked = c.beat != nil
		if errors.Is(c.beat, group.ErrUnknownMember) {
			c.member = ""
		}
	}
}

// TestRebalancesThroughCrashes: members come, go and crash with the power of the
// node; in the end all are in one generation, each with its own assignment.
func TestRebalancesThroughCrashes(t *testing.T) {
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 3))
		n := Start(t, Options{Seed: seed + 1})
		members := []*consumer{{}, {}, {}, {}}
		for range 150 {
			members[rng.IntN(len(members))].step(t, n)
			switch k := rng.IntN(100); {
			case k < 5:
				n = n.Crash(true)
				n.Settle()
				for _, m := range members { // whatever was under way is lost
					m.asked = m.asked || m.join != nil || m.sync != nil
					m.join, m.sync = nil, nil
				}
			case k < 8: // kill -9, and a new process
				members[rng.IntN(len(members))] = &consumer{}
			case k < 30:
				n.Advance(time.Duration(rng.IntN(3000)) * time.Millisecond)
			}
		}
		for range 100 {
			for _, m := range members {
				m.step(t, n)
			}
			n.Advance(time.Second)
		}
		d := n.describe("g")
		if d.Phase != group.Stable || len(d.Members) != len(members) {
			t.Fatalf("seed %d: %v with %d members", seed, d.Phase, len(d.Members))
		}
		for _, m := range members {
			if m.generation != d.Generation || m.beat != nil {
				t.Errorf("seed %d: %+v in generation %d", seed, m, d.Generation)
			}
		}
	}
}
