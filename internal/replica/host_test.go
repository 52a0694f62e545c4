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
