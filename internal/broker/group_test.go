package broker

import (
	"errors"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/clock"
	"github.com/polylog-mq/polylog/internal/state/group"
)

// lead makes the shard of a bench believe that it leads.
func (x *bench) lead() *groups {
	x.s.leads.Store(true)
	return x.s.groups
}

// join puts a join through an entry and returns the answers that it gets.
func (x *bench) join(member string, isNew bool) *[]error {
	x.t.Helper()
	answers := &[]error{}
	w := &groupWait{g: x.s.groups, key: memberKey{"g", member}}
	w.done = func(r group.Reply) { *answers = append(*answers, r.Join.Err) }
	c := &group.Join{
		Group: "g", Member: member, New: isNew, SessionTimeout: 10_000, RebalanceTimeout: 60_000,
		ProtocolType: "consumer", Protocols: []group.Protocol{{Name: "range"}},
	}
	x.entry(&command{b: x.s.b, kind: kindGroup, body: c.AppendTo(nil), result: w, done: func(result any, err error) {
		if r, ok := result.(group.Reply); !ok || !r.Waiting {
			*answers = append(*answers, err)
		}
	}})
	return answers
}

func wantAnswer(t *testing.T, what string, answers []error, want error) {
	t.Helper()
	if len(answers) != 1 || !errors.Is(answers[0], want) {
		t.Errorf("%s: answers %v, want one: %v", what, answers, want)
	}
}

// TestWaitingEndsWithTheLeadership: who waits must ask the next leader.
func TestWaitingEndsWithTheLeadership(t *testing.T) {
	x := newBench(t)
	g := x.lead()
	first := x.join("a", true)
	wantAnswer(t, "alone in the group", *first, nil)
	waiting := x.join("b", true)
	if len(*waiting) != 0 {
		t.Fatalf("answered: %v", *waiting)
	}
	g.leaderChanged(false, 2, 4)
	wantAnswer(t, "after the change", *waiting, ErrNotLeader)
	if len(g.sessions.byMember)+g.sessions.queue.Len() > 0 {
		t.Error("a member is still watched over")
	}
	x.join("a", false) // the entry comes from the next leader: nobody waits here
	wantAnswer(t, "at the end", *waiting, ErrNotLeader)
}

func TestWaitingDoesNotBeginWhileStopping(t *testing.T) {
	x := newBench(t)
	x.lead()
	x.join("a", true)
	x.s.b.closed.Store(true)
	wantAnswer(t, "too late", *x.join("b", true), ErrClosed)
}

// TestWatchesEnd: nothing is kept of members that are no more.
func TestWatchesEnd(t *testing.T) {
	x := newBench(t)
	g := x.lead()
	x.join("a", true)
	if len(g.sessions.byMember) != 1 || g.sessions.queue.Len() != 1 {
		t.Fatalf("%d watches, %d in the queue", len(g.sessions.byMember), g.sessions.queue.Len())
	}
	leave := group.Leave{Group: "g", Members: []group.Leaver{{Member: "a"}}}
	x.command(kindGroup, leave.AppendTo(nil), nil)
	g.sessions.timer.Stop()
	x.s.b.opts.Clock.(*clock.Virtual).Advance(time.Minute)
	g.sessions.look()
	if len(g.sessions.byMember)+g.sessions.queue.Len() > 0 {
		t.Error("a member that left is still watched over")
	}
}

func TestShorterSessionIsSeen(t *testing.T) {
	x := newBench(t)
	g := x.lead()
	x.join("a", true)
	w := g.sessions.byMember[memberKey{"g", "a"}]
	c := x.s.b.opts.Clock.(*clock.Virtual)
	g.sessions.timer.Stop()
	c.Advance(time.Second)
	w.due, w.at = w.due+time.Hour, w.at+time.Hour
	g.sessions.touch(memberKey{"g", "a"})
	if w.at != c.Mono()+10*time.Second || w.due != w.at {
		t.Errorf("at %v due %v, it is %v", w.at, w.due, c.Mono())
	}
}
