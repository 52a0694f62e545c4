package access

import (
	"errors"
	"testing"
)

func TestOnlyLoopbackIsTrusted(t *testing.T) {
	topic := Resource{Type: Topic, Name: "t"}
	for _, c := range []struct {
		name   string
		policy Policy
		who    Principal
		want   bool
	}{
		{"loopback", Policy{}, Principal{Loopback: true}, true},
		{"stranger", Policy{}, Principal{}, false},
		{"named stranger", Policy{}, Principal{Name: "root", Tenant: "t"}, false},
		{"insecure", Policy{Insecure: true}, Principal{}, true},
	} {
		for a := Produce; a <= Replay; a++ {
			err := c.policy.Authorize(c.who, a, topic)
			if (err == nil) != c.want || err != nil && !errors.Is(err, ErrDenied) {
				t.Errorf("%s: %s: %v", c.name, a, err)
			}
		}
	}
}

func TestRefusalNamesWhoAndWhat(t *testing.T) {
	err := Policy{}.Authorize(Principal{}, Produce, Resource{Tenant: "acme", Type: TransactionalID, Name: "x"})
	if want := "access denied: anonymous may not produce acme/transactional-id/x"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if s := Action(99).String() + Type(99).String() + Action(0).String(); s != "action(99)type(99)action(0)" {
		t.Error(s)
	}
}

func TestAllowingAllocatesNothing(t *testing.T) {
	var p Policy
	who, r := Principal{Loopback: true}, Resource{Type: Group, Name: "g"}
	if n := testing.AllocsPerRun(100, func() {
		if p.Authorize(who, Consume, r) != nil {
			t.Fatal("denied")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
