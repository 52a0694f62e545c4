package topic

import (
	"fmt"
	"math"
	"strconv"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
)

// Settings are the effective settings of a topic, typed: what the catalog
// sends to shards. It never changes once built.
type Settings struct {
	Delete  bool // cleanup.policy has "delete"
	Compact bool // cleanup.policy has "compact"

	RetentionMs    int64 // -1: no limit
	RetentionBytes int64 // -1: no limit
	SegmentBytes   int32
	SegmentMs      int64

	MaxMessageBytes int32
	LogAppendTime   bool // message.timestamp.type
	// TimestampBeforeMs and TimestampAfterMs are how far a producer's timestamp
	// may lie before and after the broker's time.
	TimestampBeforeMs int64
	TimestampAfterMs  int64

	// Recompress says that batches are stored with Codec at CompressionLevel,
	// whatever the producer chose (compression.type).
	Recompress       bool
	Codec            record.Codec
	CompressionLevel int32

	MinInsyncReplicas int32

	DeleteRetentionMs  int64
	MinCompactionLagMs int64
	MaxCompactionLagMs int64
	// MinCleanableDirtyPermille is min.cleanable.dirty.ratio in thousandths.
	MinCleanableDirtyPermille int32

	// Lease is the settings of a queue's lease set (see Topic.Lease), empty if
	// the topic is no queue.
	Lease string
}

// withLease returns the settings of a queue. Its lease set says what is kept,
// and only the log how large a record can be.
func (s *Settings) withLease(lease []byte) *Settings {
	if lease == nil {
		return s
	}
	q := *s
	q.Lease, q.Delete, q.Compact = string(lease), false, false
	if q.MaxMessageBytes == defaultSettings.MaxMessageBytes {
		q.MaxMessageBytes, q.SegmentBytes = math.MaxInt32, math.MaxInt32
	}
	return &q
}

// defaultSettings is what configDefs says.
var defaultSettings = mustSettings()

func mustSettings() *Settings {
	s, err := overDefaults(nil)
	if err != nil {
		panic("topic: the table of settings contradicts itself: " + err.Error())
	}
	return s
}

// DefaultSettings returns the settings of a topic without any of its own. The
// result is shared.
func DefaultSettings() *Settings { return defaultSettings }

// NewSettings returns the typed form of config over the defaults.
// ErrInvalidConfig.
func NewSettings(config []Config) (*Settings, error) {
	config, err := canonicalConfig(config)
	if err != nil {
		return nil, err
	}
	return typed(config)
}

// typed is NewSettings of a canonical config. Topics without settings of their
// own share the defaults.
func typed(config []Config) (*Settings, error) {
	if len(config) == 0 {
		return defaultSettings, nil
	}
	return overDefaults(config)
}

func overDefaults(config []Config) (*Settings, error) {
	get := func(name string) string {
		if i, ok := findConfig(config, name); ok {
			return config[i].Value
		}
		return LookupConfig(name).Default
	}
	long := func(name string) int64 {
		n, _ := strconv.ParseInt(get(name), 10, 64) // canonical, so it parses
		return n
	}
	ratio, _ := strconv.ParseFloat(get("min.cleanable.dirty.ratio"), 64)
	s := &Settings{
		RetentionMs:               long("retention.ms"),
		RetentionBytes:            max(long("retention.bytes"), -1),
		SegmentBytes:              int32(long("segment.bytes")),
		SegmentMs:                 long("segment.ms"),
		MaxMessageBytes:           int32(long("max.message.bytes")),
		LogAppendTime:             get("message.timestamp.type") == "LogAppendTime",
		TimestampBeforeMs:         long("message.timestamp.before.max.ms"),
		TimestampAfterMs:          long("message.timestamp.after.max.ms"),
		MinInsyncReplicas:         int32(long("min.insync.replicas")),
		DeleteRetentionMs:         long("delete.retention.ms"),
		MinCompactionLagMs:        long("min.compaction.lag.ms"),
		MaxCompactionLagMs:        long("max.compaction.lag.ms"),
		MinCleanableDirtyPermille: int32(math.Round(ratio * 1000)),
	}
	for _, policy := range splitList(get("cleanup.policy")) {
		s.Delete = s.Delete || policy == "delete"
		s.Compact = s.Compact || policy == "compact"
	}
	switch name := get("compression.type"); name {
	case "producer":
	case "uncompressed":
		s.Recompress = true
	case "snappy":
		s.Recompress, s.Codec = true, record.Snappy
	default:
		s.Recompress = true
		s.Codec, _ = record.ParseCodec(name)
		s.CompressionLevel = int32(long("compression." + name + ".level"))
	}
	if s.MinCompactionLagMs > s.MaxCompactionLagMs {
		return nil, fmt.Errorf("%w: min.compaction.lag.ms (%d) is above max.compaction.lag.ms (%d)",
			ErrInvalidConfig, s.MinCompactionLagMs, s.MaxCompactionLagMs)
	}
	return s, nil
}

// Check judges a batch by the settings before it is proposed, at wall or log
// time now: ErrTooLarge, ErrListTooLarge, ErrInvalidTimestamp. Timestamps are
// not judged if the topic stamps them itself. minTimestamp and maxTimestamp
// are the smallest and largest timestamps of the batch, in ms; -1 (a record
// without) is always accepted.
func (s *Settings) Check(now record.LogTime, size int, minTimestamp, maxTimestamp int64) error {
	if err := s.CheckSize(size); err != nil {
		return err
	}
	if s.LogAppendTime {
		return nil
	}
	for _, ts := range [2]int64{minTimestamp, maxTimestamp} {
		if ts != record.NoTimestamp && s.timestampOff(int64(now), ts) {
			return fmt.Errorf("%w: %d at %d; it may lie %d ms before and %d ms after",
				ErrInvalidTimestamp, ts, now, s.TimestampBeforeMs, s.TimestampAfterMs)
		}
	}
	return nil
}

// CheckSize judges the size of a batch, in bytes: ErrTooLarge, ErrListTooLarge.
func (s *Settings) CheckSize(size int) error {
	if size > int(s.MaxMessageBytes) {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, size, s.MaxMessageBytes)
	}
	if size > int(s.SegmentBytes) {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrListTooLarge, size, s.SegmentBytes)
	}
	return nil
}

// timestampOff compares distances as unsigned numbers, which cannot overflow.
func (s *Settings) timestampOff(now, ts int64) bool {
	if ts <= now {
		return uint64(now)-uint64(ts) > uint64(s.TimestampBeforeMs)
	}
	return uint64(ts)-uint64(now) > uint64(s.TimestampAfterMs)
}

// rollMs is the span of time that a segment may cover. A compacted topic's
// segments must close in time for max.compaction.lag.ms.
func (s *Settings) rollMs() int64 {
	if s.Compact {
		return min(s.SegmentMs, s.MaxCompactionLagMs)
	}
	return s.SegmentMs
}

// settingsVersion begins the encoding of Settings; queueSettingsVersion that of
// a queue's, which ends with Lease.
const (
	settingsVersion      = 1
	queueSettingsVersion = 2
)

const (
	flagDelete = 1 << iota
	flagCompact
	flagLogAppendTime
	flagRecompress
)

func (s *Settings) appendTo(dst []byte) []byte {
	var flags uint8
	for _, f := range [...]struct {
		on  bool
		bit uint8
	}{{s.Delete, flagDelete}, {s.Compact, flagCompact}, {s.LogAppendTime, flagLogAppendTime}, {s.Recompress, flagRecompress}} {
		if f.on {
			flags |= f.bit
		}
	}
	version := byte(settingsVersion)
	if s.Lease != "" {
		version = queueSettingsVersion
	}
	dst = append(dst, version, flags, byte(s.Codec))
	for _, v := range [...]int64{
		s.RetentionMs, s.RetentionBytes, int64(s.SegmentBytes), s.SegmentMs, int64(s.MaxMessageBytes),
		s.TimestampBeforeMs, s.TimestampAfterMs, int64(s.CompressionLevel), int64(s.MinInsyncReplicas),
		s.DeleteRetentionMs, s.MinCompactionLagMs, s.MaxCompactionLagMs, int64(s.MinCleanableDirtyPermille),
	} {
		dst = codec.AppendVarint(dst, v)
	}
	if s.Lease != "" {
		dst = codec.AppendBytes(dst, s.Lease)
	}
	return dst
}

func readSettings(r *codec.Reader) *Settings {
	version := r.Byte()
	if version != settingsVersion && version != queueSettingsVersion {
		r.Fail("settings of version %d", version)
	}
	flags, codecByte := r.Byte(), record.Codec(r.Byte())
	if flags >= flagRecompress<<1 || !codecByte.Valid() {
		r.Fail("settings with flags %#x and codec %d", flags, codecByte)
	}
	long := func(lowest int64) int64 { return r.Varint(lowest, math.MaxInt64) }
	integer := func(lowest int64) int32 { return int32(r.Varint(lowest, math.MaxInt32)) }
	s := &Settings{
		Delete:        flags&flagDelete != 0,
		Compact:       flags&flagCompact != 0,
		LogAppendTime: flags&flagLogAppendTime != 0,
		Recompress:    flags&flagRecompress != 0,
		Codec:         codecByte,

		RetentionMs:               long(-1),
		RetentionBytes:            long(-1),
		SegmentBytes:              integer(1),
		SegmentMs:                 long(1),
		MaxMessageBytes:           integer(0),
		TimestampBeforeMs:         long(0),
		TimestampAfterMs:          long(0),
		CompressionLevel:          integer(math.MinInt32),
		MinInsyncReplicas:         integer(1),
		DeleteRetentionMs:         long(0),
		MinCompactionLagMs:        long(0),
		MaxCompactionLagMs:        long(1),
		MinCleanableDirtyPermille: integer(0),
	}
	if version == queueSettingsVersion {
		s.Lease = r.String(MaxLeaseLen)
	}
	return s
}
