package amqp

import (
	"testing"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

func TestArguments(t *testing.T) {
	base := broker.DefaultQueueSettings()
	with := func(change func(*broker.QueueSettings)) broker.QueueSettings {
		s := base
		change(&s)
		return s
	}
	small := func(name string, n byte) wire.Table {
		return wire.Table(nil).AppendValue(name, wire.Value{Tag: wire.TagInt8, Raw: []byte{n}})
	}
	text := func(name, value string) wire.Table { return wire.Table(nil).AppendString(name, value) }
	number := func(name string, n int64) wire.Table { return wire.Table(nil).AppendInt(name, n) }
	for _, c := range []struct {
		name string
		args wire.Table
		want broker.QueueSettings
		err  string
	}{
		{"nothing", nil, base, ""},
		{"something unknown", text("x-what", "ever"), base, ""},
		{"a lifetime", number("x-message-ttl", 0), with(func(s *broker.QueueSettings) { s.MessageTTL = 0 }), ""},
		{"of another width", small("x-message-ttl", 9), with(func(s *broker.QueueSettings) { s.MessageTTL = 9 }), ""},
		{"that is negative", number("x-message-ttl", -1), base, "PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue: {value_negative,-1}"},
		{"that is a string", text("x-message-ttl", "1000"), base, "PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue: \"expected integer, got longstr\""},
		{"that is too long", number("x-message-ttl", 315_360_000_001), base, "PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue: {value_too_large,315360000001}"},
		{"idle for no time", number("x-expires", 0), base, "PRECONDITION_FAILED - invalid arg 'x-expires' for queue: {value_zero,0}"},
		{"idle", number("x-expires", 1), with(func(s *broker.QueueSettings) { s.Expires = 1 }), ""},
		{"limits", append(number("x-max-length", 3), number("x-max-length-bytes", 4)...), with(func(s *broker.QueueSettings) { s.MaxLength, s.MaxBytes = 3, 4 }), ""},
		{"an overflow", text("x-overflow", "reject-publish"), with(func(s *broker.QueueSettings) { s.Overflow = broker.RejectPublish }), ""},
		{"no overflow", text("x-overflow", "explode"), base, `PRECONDITION_FAILED - invalid arg 'x-overflow' for queue: invalid_overflow`},
		{
			"dead letters", text("x-dead-letter-exchange", "d"),
			with(func(s *broker.QueueSettings) { s.DeadLetter, s.KeepKeys, s.DeadLetterExchange = true, true, "d" }), "",
		},
		{
			"dead letters with a key", text("x-dead-letter-exchange", "").AppendString("x-dead-letter-routing-key", "k"),
			with(func(s *broker.QueueSettings) { s.DeadLetter, s.DeadLetterKey = true, "k" }), "",
		},
		{"a key alone", text("x-dead-letter-routing-key", "k"), base, "PRECONDITION_FAILED - invalid arg 'x-dead-letter-routing-key' for queue: routing_key_but_no_dlx_defined"},
		{"priorities", number("x-max-priority", 255), with(func(s *broker.QueueSettings) { s.MaxPriority = 255 }), ""},
		{"too many", number("x-max-priority", 256), base, "PRECONDITION_FAILED - invalid arg 'x-max-priority' for queue: {max_value_exceeded,256}"},
		{"one active", wire.Table(nil).AppendBool("x-single-active-consumer", true), with(func(s *broker.QueueSettings) { s.SingleActive = true }), ""},
		{"quorum", text("x-queue-type", "quorum"), with(func(s *broker.QueueSettings) { s.DeliveryLimit = 20 }), ""},
		{
			"quorum with a limit", text("x-queue-type", "quorum").AppendInt("x-delivery-limit", 3),
			with(func(s *broker.QueueSettings) { s.DeliveryLimit = 3 }), "",
		},
		{"quorum without a limit", text("x-queue-type", "quorum").AppendInt("x-delivery-limit", -5), base, ""},
		{"quorum with priorities", text("x-queue-type", "quorum").AppendInt("x-max-priority", 3), base, "PRECONDITION_FAILED - invalid arg 'x-max-priority' for queue of queue type rabbit_quorum_queue"},
		{"a stream", text("x-queue-type", "stream").AppendString("x-max-age", "7D"), base, ""},
		{"a stream of workers", text("x-queue-type", "stream").AppendBool("x-single-active-consumer", true), base, "PRECONDITION_FAILED - invalid arg 'x-single-active-consumer' for queue of queue type rabbit_stream_queue"},
		{"an age of a queue", text("x-max-age", "7D"), base, "PRECONDITION_FAILED - invalid arg 'x-max-age' for queue of queue type rabbit_classic_queue"},
		{"another type", text("x-queue-type", "pile"), base, `PRECONDITION_FAILED - invalid arg 'x-queue-type' for queue: "unsupported queue type 'pile'"`},
		{"lazy", text("x-queue-mode", "lazy").AppendInt("x-queue-version", 2), base, ""},
	} {
		got, err := settingsOf(c.args, "queue")
		switch {
		case c.err != "":
			if err == nil || err.Error() != c.err {
				t.Errorf("%s: error %v, want %s", c.name, err, c.err)
			}
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		case *got != c.want:
			t.Errorf("%s: %+v", c.name, *got)
		}
	}
}

// TestTypeNames: every tag that can be read has a name of its own.
func TestTypeNames(t *testing.T) {
	seen := map[string]byte{}
	for _, tag := range []byte("tbBsuIilfdDSxATFV") {
		name := typeName(tag)
		if other, ok := seen[name]; ok {
			t.Errorf("%c and %c are both called %s", tag, other, name)
		}
		seen[name] = tag
	}
}
