package broker

import (
	"fmt"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/state/topic"
)

func TestDeletions(t *testing.T) {
	var d deletions
	if d.recent("a", 0) {
		t.Error("nothing was deleted")
	}
	d.note(&topic.Topic{Name: "a"}, time.Minute)
	d.note(&topic.Topic{Name: "b", Tenant: "other"}, time.Minute)
	for _, c := range []struct {
		name string
		now  time.Duration
		want bool
	}{
		{"a", time.Minute, true},
		{"a", time.Minute + deletedFor - 1, true},
		{"a", time.Minute + deletedFor, false},
		{"b", time.Minute, false}, // Kafka's clients do not see it
	} {
		if got := d.recent(c.name, c.now); got != c.want {
			t.Errorf("%s at %s: %v", c.name, c.now, got)
		}
	}
	for i := range 3 * maxDeleted {
		d.note(&topic.Topic{Name: fmt.Sprint(i)}, time.Minute)
		if len(d.at) > maxDeleted {
			t.Fatalf("%d names are remembered", len(d.at))
		}
	}
	if !d.recent(fmt.Sprint(3*maxDeleted-1), time.Minute) {
		t.Error("the last one was forgotten")
	}
}
