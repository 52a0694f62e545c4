package load

import (
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// NewHistogram returns a histogram that records latencies from 1 µs to 100 s with three significant
// digits.
func NewHistogram() *hdr.Histogram { return hdr.New(1, int64(100*time.Second/time.Microsecond), 3) }

// Record adds a latency.
func Record(h *hdr.Histogram, d time.Duration) {
	us := max(d.Microseconds(), 1)
	if h.RecordValue(us) != nil {
		// Beyond the range: count it at the top rather than lose it.
		_ = h.RecordValue(h.HighestTrackableValue())
	}
}

// Latency is a summary of one load's latencies, in microseconds.
type Latency struct {
	P50  int64 `json:"p50_us"`
	P99  int64 `json:"p99_us"`
	P999 int64 `json:"p999_us"`
	Max  int64 `json:"max_us"`
}

// Summarize reads the percentiles.
func Summarize(h *hdr.Histogram) Latency {
	return Latency{P50: h.ValueAtQuantile(50), P99: h.ValueAtQuantile(99), P999: h.ValueAtQuantile(99.9), Max: h.Max()}
}
