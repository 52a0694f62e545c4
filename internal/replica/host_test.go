package replica

import (
	"errors"
	"testing"
	"time"
)

func TestOneMember(t *testing.T) {
	c := newCluster(t, 1, 1)
	n := c.nodes[1]
	c.leader()
	ps := n.propose(1, 100, 50)
	c.must(ps)
	if got := len(n.machine().applied); got != 100 {
		t.Fatalf("applied %d", got)
	}
	c.settle()
	if d, ok := c.clock.Next(); ok {
		t.Fatalf("an idle member alone has a timer, due in %v", d)
	}
}

func TestThreeMembersElectAndReplicate(t *testing.T) {
	c := newCluster(t, 2, 3)
	l := c.leader()
	c.must(l.propose(1, 100, 50))
	c.converge()
	for _, o := range c.others(l) {
		p := o.propose(1000, 1, 10)
		c.settle()
		var not NotLeaderError
		if !errors.As(p[0].err, &not) || not.Leader != l.id {
			t.Fatalf("a follower answered %v", p[0].err)
		}
	}
	c.run(time.Second)
}

func TestMessagesBeyondALimitAreDropped(t *testing.T) {
	c := newCluster(t, 13, 3)
	f := c.others(c.leader())[0]
	l := f.group().loop
	big := Message{Group: 1, Snapshot: &SnapshotMessage{Kind: SendData, Body: make([]byte, 20<<20)}}
	for range 10 {
		f.host.Receive(9, big)
	}
	if got := len(l.inbox.events); got != 4 {
		t.Fatalf("%d messages of 20 MiB wait", got)
	}
	c.settle()
	for range maxInboxMessages + 10 {
		f.host.Receive(9, Message{Group: 1, Snapshot: &SnapshotMessage{}})
	}
	if got := len(l.inbox.events); got != maxInboxMessages {
		t.Fatalf("%d messages wait", got)
	}
	f.group().Post(func() {}) // what is not a message always finds room
	if got := len(l.inbox.events); got != maxInboxMessages+1 {
		t.Fatalf("%d events wait", got)
	}
	c.settle()
	f.host.Receive(9, Message{Group: 77})
}

func TestQuestionsBeyondALimitAreDropped(t *testing.T) {
	c := newCluster(t, 14, 3)
	l := c.leader()
	for range maxServing + 100 {
		l.group().receiveSnapshot(9, &SnapshotMessage{Kind: WantData, Range: Range{100, 0, 1}})
	}
	if got := len(l.host.work.todo); got != maxServing {
		t.Fatalf("%d questions wait", got)
	}
	if !l.host.Working() {
		t.Fatal("nothing is to be done")
	}
	c.settle()
	if l.host.Working() {
		t.Fatal("something is left")
	}
}
