package broker

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/polylog-mq/polylog/internal/state/route"
	"github.com/polylog-mq/polylog/internal/state/topic"
)

// A stream is a topic of one partition that was declared as a queue is, and has
// no lease set: it is read from any offset, and keeps what its age and size
// allow.

// IsStream reports whether the queue is a log that is only read: it was declared
// as a stream.
func (q *Queue) IsStream() bool {
	d := q.Definition()
	return d != nil && d.IsStream()
}

// ParseAge reads an age as RabbitMQ writes it ("7D", "90m"), in ms; see
// route.ParseAge.
func ParseAge(s string) (ms int64, ok bool) { return route.ParseAge(s) }

// streamKeys are the settings of a stream's topic that follow from how it was
// declared and from policies, and that nobody else changes.
var streamKeys = [...]string{"cleanup.policy", "max.message.bytes", "retention.bytes", "retention.ms", "segment.bytes", "segment.ms"}

// streamConfig returns the values of streamKeys of a stream.
func (m *metadata) streamConfig(tenant, name string, q *route.Queue) []topic.Config {
	l := q.StreamLimits(m.routes.QueuePolicies(tenant, name, q))
	age, size := int64(-1), int64(-1)
	segment, span := int64(streamSegment), int64(streamSpan)
	if l.MaxBytes > 0 {
		size = l.MaxBytes
		segment = min(segment, size/streamPieces)
	}
	if l.MaxAge > 0 {
		age = l.MaxAge
		span = min(span, age/streamPieces)
	}
	if l.SegmentBytes > 0 {
		segment = l.SegmentBytes
	}
	values := [...]int64{0, streamMessage, size, age, min(max(segment, streamLeast), math.MaxInt32), max(span, 1)}
	config := make([]topic.Config, len(streamKeys))
	for i, key := range streamKeys {
		config[i] = topic.Config{Name: key, Value: strconv.FormatInt(values[i], 10)}
	}
	config[0].Value = "delete"
	return config
}

// obeyStream gives a stream the settings that policies say.
func (m *metadata) obeyStream(t *topic.Topic, q *route.Queue) {
	if !q.IsStream() {
		return
	}
	cmd := &topic.AlterConfigs{UUID: t.UUID}
	for _, c := range m.streamConfig(t.Tenant, t.Name, q) {
		if !slices.Contains(t.Config, c) {
			cmd.Changes = append(cmd.Changes, topic.ConfigChange{Op: topic.ConfigSet, Name: c.Name, Value: c.Value})
		}
	}
	if len(cmd.Changes) > 0 {
		m.proposeOwn(kindCatalog, cmd.AppendTo(nil), func(any, error) {})
	}
}

// alterable refuses to change what a stream's declaration and policies say.
func alterable(t *topic.Topic, a *AlterTopic) error {
	if t.Attributes == nil || t.Lease != nil {
		return nil
	}
	if a.Replace {
		return fmt.Errorf("%w: %q is a stream: change settings one by one", ErrInvalidConfig, t.Name)
	}
	for _, c := range a.Changes {
		if slices.Contains(streamKeys[:], c.Name) {
			return fmt.Errorf("%w: %q is a stream: its declaration and policies say %s", ErrInvalidConfig, t.Name, c.Name)
		}
	}
	return nil
}
