package topic

import "github.com/polylog-mq/polylog/internal/record"

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
	Compression       Compression
	CompressionLevel  int32 // for Compression; meaningless with CompressionProducer

	MinInsyncReplicas int32

	DeleteRetentionMs  int64
	MinCompactionLagMs int64
	MaxCompactionLagMs int64
	// MinCleanableDirtyPermille is min.cleanable.dirty.ratio in thousandths.
	MinCleanableDirtyPermille int32
}

// Compression is the codec that a topic stores.
type Compression uint8

// The values of compression.type. The codecs are Kafka's attribute bits; see
// Codec.
const (
	CompressionProducer Compression = iota // as the producer chose
	CompressionNone
	CompressionGzip
	CompressionSnappy
	CompressionLZ4
	CompressionZstd
)

// DefaultSettings returns the settings of a topic without any of its own. The
// result is shared.
func DefaultSettings() *Settings { panic("unfilled") }

// NewSettings returns the typed form of config over the defaults.
// ErrInvalidConfig.
func NewSettings(config []Config) (*Settings, error) { panic("unfilled") }

// Check judges a batch by the settings before it is proposed, at wall or log
// time now: ErrTooLarge, ErrListTooLarge, ErrInvalidTimestamp. Timestamps are
// not judged if the topic stamps them itself. minTimestamp and maxTimestamp
// are the smallest and largest timestamps of the batch, in ms; -1 (a record
// without) is always accepted.
func (s *Settings) Check(now record.LogTime, size int, minTimestamp, maxTimestamp int64) error {
	panic("unfilled")
}

// ValidateName returns an error that wraps ErrInvalidName unless Kafka would
// accept name for a topic: 1 to 249 characters of [a-zA-Z0-9._-], not "." or
// "..".
func ValidateName(name string) error { panic("unfilled") }
