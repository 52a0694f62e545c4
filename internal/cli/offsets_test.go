package cli

import (
	"testing"
	"time"
)

func TestParseSpan(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(kind byte, n int64) place { return place{kind, n} }
	ms := func(t time.Time) int64 { return t.UnixMilli() }
	for _, c := range []struct {
		text string
		from place
		to   place // the zero place: no end
	}{
		{"start", at('s', 0), place{}},
		{"end", at('e', 0), place{}},
		{"17", at('=', 17), place{}},
		{"+5", at('+', 5), place{}},
		{"-5", at('-', 5), place{}},
		{"5:9", at('=', 5), at('=', 9)},
		{":end", at('s', 0), at('e', 0)},
		{"-10:", at('-', 10), place{}},
		{"@1000", at('@', 1000), place{}},
		{"@-1h", at('@', ms(now.Add(-time.Hour))), place{}},
		{"@-1h:@-30m", at('@', ms(now.Add(-time.Hour))), at('@', ms(now.Add(-30*time.Minute)))},
		{"@2026-01-02T03:04:05Z", at('@', ms(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))), place{}},
		{"@2026-01-02T03:04:05Z:@2026-01-02T04:00:00Z", at('@', ms(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))), at('@', ms(time.Date(2026, 1, 2, 4, 0, 0, 0, time.UTC)))},
		{"@2026-01-02:end", at('@', ms(time.Date(2026, 1, 2, 0, 0, 0, 0, time.Local))), at('e', 0)},
	} {
		got, err := parseSpan(c.text, now)
		if err != nil || got.from != c.from || (got.to == nil) != (c.to == place{}) || got.to != nil && *got.to != c.to {
			t.Errorf("%q: got %+v (to %+v), %v", c.text, got, got.to, err)
		}
	}
	for _, text := range []string{"", "beginning", "-", "1:2:3", "@", "@tomorrow", "--1", "1e3"} {
		if s, err := parseSpan(text, now); err == nil {
			t.Errorf("%q is read as %+v", text, s)
		}
	}
}
