package topic

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
)

func TestTableOfSettings(t *testing.T) {
	var names []string
	for d := range ConfigDefs() {
		names = append(names, d.Name)
		if v, err := d.canonical(d.Default); err != nil || v != d.Default {
			t.Errorf("the default %q of %s becomes %q, %v", d.Default, d.Name, v, err)
		}
		if LookupConfig(d.Name) != d || d.Doc == "" {
			t.Errorf("%s cannot be looked up, or says nothing", d.Name)
		}
	}
	if !slices.IsSorted(names) || len(slices.Compact(names)) != 33 {
		t.Errorf("%d settings, sorted %v; Kafka 4.2 has 33", len(names), slices.IsSorted(names))
	}
}

func TestDefaultSettings(t *testing.T) {
	want := Settings{
		Delete: true, RetentionMs: 604800000, RetentionBytes: -1, SegmentBytes: 1 << 30, SegmentMs: 604800000,
		MaxMessageBytes: 1048588, TimestampBeforeMs: math.MaxInt64, TimestampAfterMs: 3600000, MinInsyncReplicas: 1,
		DeleteRetentionMs: 86400000, MaxCompactionLagMs: math.MaxInt64, MinCleanableDirtyPermille: 500,
	}
	if got := *DefaultSettings(); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestSettingsOfConfig(t *testing.T) {
	s, err := NewSettings([]Config{
		{"retention.bytes", "-5"},
		{"compression.type", "zstd"},
		{"compression.zstd.level", "-7"},
		{"cleanup.policy", " compact , delete "},
		{"message.timestamp.type", "LogAppendTime"},
		{"min.cleanable.dirty.ratio", "0.25"},
		{"min.insync.replicas", "+2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := *DefaultSettings()
	want.Compact, want.LogAppendTime, want.MinCleanableDirtyPermille, want.MinInsyncReplicas = true, true, 250, 2
	want.Recompress, want.Codec, want.CompressionLevel = true, record.Zstd, -7
	if *s != want {
		t.Errorf("got %+v\nwant %+v", *s, want)
	}
	r := codec.NewReader(s.appendTo(nil))
	if again := readSettings(&r); r.Close() != nil || *again != *s {
		t.Errorf("in their logged form they become %+v, %v", again, r.Err())
	}
	for name, codec := range map[string]record.Codec{
		"uncompressed": record.None, "gzip": record.Gzip, "snappy": record.Snappy, "lz4": record.LZ4,
	} {
		s, err := NewSettings([]Config{{"compression.type", name}})
		if err != nil || !s.Recompress || s.Codec != codec {
			t.Errorf("compression.type %s: %+v, %v", name, s, err)
		}
	}
}

func TestNewSettingsRefuses(t *testing.T) {
	many := make([]Config, MaxConfigs+1)
	for name, config := range map[string][]Config{
		"unknown":   {{"x", "1"}},
		"twice":     {{"retention.ms", "1"}, {"retention.ms", "1"}},
		"too many":  many,
		"too long":  {{"cleanup.policy", strings.Repeat(" ", MaxConfigValueLen) + "delete"}},
		"too large": {{"segment.bytes", "2147483648"}},
		"no number": {{"min.cleanable.dirty.ratio", "NaN"}},
		"hole":      {{"cleanup.policy", "delete,,compact"}},
	} {
		if _, err := NewSettings(config); !errors.Is(err, ErrInvalidConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheck(t *testing.T) {
	config := []Config{
		{"max.message.bytes", "2000000"},
		{"segment.bytes", "1048576"},
		{"message.timestamp.before.max.ms", "1000"},
		{"message.timestamp.after.max.ms", "10"},
	}
	s, err := NewSettings(config)
	if err != nil {
		t.Fatal(err)
	}
	stamped, err := NewSettings(append(config, Config{"message.timestamp.type", "LogAppendTime"}))
	if err != nil {
		t.Fatal(err)
	}
	const now = 50_000
	for _, c := range []struct {
		name     string
		s        *Settings
		size     int
		min, max int64
		want     error
	}{
		{"fits", s, 1048576, now, now, nil},
		{"too large", s, 2000001, now, now, ErrTooLarge},
		{"larger than a segment", s, 1048577, now, now, ErrListTooLarge},
		{"no timestamp", s, 1, -1, -1, nil},
		{"oldest", s, 1, now - 1000, now, nil},
		{"too old", s, 1, now - 1001, now, ErrInvalidTimestamp},
		{"newest", s, 1, now, now + 10, nil},
		{"too new", s, 1, now, now + 11, ErrInvalidTimestamp},
		{"as old as can be", s, 1, math.MinInt64, now, ErrInvalidTimestamp},
		{"as new as can be", s, 1, now, math.MaxInt64, ErrInvalidTimestamp},
		{"stamped here", stamped, 1, math.MinInt64, math.MaxInt64, nil},
	} {
		if err := c.s.Check(now, c.size, c.min, c.max); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if err := DefaultSettings().Check(now, 1, 0, 0); err != nil {
		t.Errorf("an ancient timestamp is refused by default: %v", err)
	}
}

func TestValidateName(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "A-b_c.d9": true, "...": true, strings.Repeat("x", 249): true,
		"": false, ".": false, "..": false, strings.Repeat("x", 250): false, "a b": false, "é": false, "a/b": false, "a\x00": false,
	} {
		if err := ValidateName(name); (err == nil) != ok || err != nil && !errors.Is(err, ErrInvalidName) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestSlotOfNeverChanges(t *testing.T) {
	for key, want := range map[[2]string]Slot{{"", "group"}: 167, {"t", "group"}: 496, {"", ""}: 849} {
		if got := SlotOf(key[0], key[1]); got != want {
			t.Errorf("slot of %q is %d, was %d when data was placed by it", key, got, want)
		}
	}
}
