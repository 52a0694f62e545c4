package route

import (
	"math"
	"strconv"
)

// typeStream is the type of a queue that is a log without a lease set.
const typeStream = "stream"

// IsStream reports whether the queue was declared as a stream. Unlike the other
// types it has to be said: no default makes one.
func (q *Queue) IsStream() bool { return q.Arguments.Text("x-queue-type") == typeStream }

// StreamLimits says what a stream keeps.
type StreamLimits struct {
	MaxAge       int64 // ms, 0: no limit
	MaxBytes     int64 // 0: no limit
	SegmentBytes int64 // 0: whatever suits
}

// StreamLimits returns what a stream's arguments and the policies that apply to
// it (nil: none) say. Of two limits the lower one counts; a segment's size is the
// declaration's, if it says one (rabbit_stream_queue:init).
func (q *Queue) StreamLimits(policies ...*Policy) StreamLimits {
	l := limitsIn(q.Arguments, "x-")
	for _, p := range policies {
		if p == nil {
			continue
		}
		more := limitsIn(p.Definition, "")
		l.MaxAge, l.MaxBytes = lower(l.MaxAge, more.MaxAge), lower(l.MaxBytes, more.MaxBytes)
		if l.SegmentBytes == 0 {
			l.SegmentBytes = more.SegmentBytes
		}
	}
	return l
}

// limitsIn reads limits from arguments or a policy. A limit of 0 bytes keeps as
// little as can be kept.
func limitsIn(t Table, prefix string) (l StreamLimits) {
	l.MaxAge, _ = ParseAge(t.Text(prefix + "max-age"))
	if v, ok := t.Lookup(prefix + "max-length-bytes"); ok {
		n, _ := v.Integer()
		l.MaxBytes = max(n, 1)
	}
	if v, ok := t.Lookup(prefix + "stream-max-segment-size-bytes"); ok {
		l.SegmentBytes, _ = v.Integer()
	}
	return l
}

// lower returns the lower of two limits; 0 is none.
func lower(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// units are those of ages, in seconds.
var units = map[byte]int64{'Y': 365 * 86400, 'M': 30 * 86400, 'D': 86400, 'h': 3600, 'm': 60, 's': 1}

// ParseAge reads an age as RabbitMQ writes it, a number above 0 and a unit ("7D",
// "90m"), in ms. What no age can be is not ok.
func ParseAge(s string) (ms int64, ok bool) {
	if len(s) < 2 {
		return 0, false
	}
	unit := units[s[len(s)-1]] * 1000
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 63)
	if err != nil || n == 0 || unit == 0 || n > uint64(math.MaxInt64/unit) {
		return 0, false
	}
	return int64(n) * unit, true
}
