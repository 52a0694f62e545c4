package amqp

import (
	"testing"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// TestImpersonator: who has the tag publishes in the name of others, from the
// moment that it has it until it has it no more.
func TestImpersonator(t *testing.T) {
	b := openBroker(t)
	p := open(t, server(t, b, nil))
	p.channel(1)
	p.queue(1, wire.QueueDeclare{Queue: []byte("q")})
	tag := func(tags ...string) {
		t.Helper()
		failed := make(chan error, 1)
		b.PutUser(&broker.UserSpec{Name: "guest", KeepPassword: true, Tags: tags}, func(_ bool, err error) { failed <- err })
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	as := wire.Properties{Flags: wire.HasUserID, UserID: []byte("somebody")}
	tag("administrator", impersonatorTag)
	p.publish(1, &wire.BasicPublish{RoutingKey: []byte("q")}, as, "m")
	p.send(1, &wire.BasicGet{Queue: []byte("q"), NoAck: true})
	expect[wire.BasicGetOk](p, 1)
	if props, _ := p.content(1); string(props.UserID) != "somebody" {
		t.Errorf("it comes from %q", props.UserID)
	}
	tag("administrator")
	p.publish(1, &wire.BasicPublish{RoutingKey: []byte("q")}, as, "m")
	p.refused(1, codePreconditionFailed, "PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was 'guest'")
}
