package store

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestJudge: what the file system's free space means, by share of the disk or
// by the operator's numbers, and that leaving a state takes more than entering.
func TestJudge(t *testing.T) {
	const gib = 1 << 30
	byShare, own := Options{}, Options{WarnBelow: 3 * gib, FullBelow: 2 * gib}
	for _, c := range []struct {
		name        string
		o           Options
		free, total uint64
		before      HealthState
		want        HealthState
	}{
		{"room", byShare, 50 * gib, 100 * gib, Healthy, Healthy},
		{"less than 8 GiB", byShare, 7 * gib, 100 * gib, Healthy, DiskWarn},
		{"less than 1 GiB", byShare, gib - 1, 100 * gib, Healthy, DiskFull},
		{"a tenth of a small disk", byShare, gib / 2, 10 * gib, Healthy, DiskWarn},
		{"a 25th of a small disk", byShare, gib / 4, 10 * gib, Healthy, DiskFull},
		{"own warning", own, 3*gib - 1, 100 * gib, Healthy, DiskWarn},
		{"own refusal", own, 2*gib - 1, 100 * gib, Healthy, DiskFull},
		{"still full", own, 2*gib + 1, 100 * gib, DiskFull, DiskFull},
		{"full no more", own, 2*gib + gib/2, 100 * gib, DiskFull, DiskWarn},
		{"still nearly full", own, 3*gib + 1, 100 * gib, DiskWarn, DiskWarn},
		{"healed", own, 4 * gib, 100 * gib, DiskFull, Healthy},
		{"refusal above the warning", Options{WarnBelow: 1, FullBelow: gib}, gib + gib/8, 100 * gib, DiskWarn, Healthy},
	} {
		if got := c.o.judge(vfs.DiskUsage{AvailBytes: c.free, TotalBytes: c.total}, c.before); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
