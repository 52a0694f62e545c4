package topic

import "errors"

// Verdicts on commands. The text that a user should see is in the error that
// wraps them; callers tell them apart with errors.Is.
var (
	// ErrTopicExists refuses to create a topic under a name (or with a uuid)
	// that is taken.
	ErrTopicExists = errors.New("topic already exists")
	// ErrUnknownTopic means that no topic has this uuid.
	ErrUnknownTopic = errors.New("unknown topic")
	// ErrInvalidName refuses a name that Kafka would refuse.
	ErrInvalidName = errors.New("invalid topic name")
	// ErrInvalidPartitions refuses a partition count: below 1, above
	// MaxPartitionsPerTopic, or not more than there are.
	ErrInvalidPartitions = errors.New("invalid number of partitions")
	// ErrInvalidConfig refuses an unknown setting, a value of the wrong type or
	// range, or an operation that the setting's type does not have.
	ErrInvalidConfig = errors.New("invalid config")
	// ErrTooMany refuses what would pass a limit of limits.go.
	ErrTooMany = errors.New("limit reached")
	// ErrNotReady refuses to place partitions while there is no data shard:
	// Bootstrap has not been applied.
	ErrNotReady = errors.New("the catalog has no shards yet")
	// ErrStale means that a command was overtaken: a Define that does not
	// continue where the shard stands, or a second Bootstrap. It changed
	// nothing.
	ErrStale = errors.New("overtaken by a newer command")

	// ErrUnknownPartition means that this shard has no such partition: it was
	// never defined here, or has been dropped.
	ErrUnknownPartition = errors.New("unknown partition")
	// ErrOffsetOutOfRange refuses to delete records beyond the high watermark.
	ErrOffsetOutOfRange = errors.New("offset out of range")
	// ErrPolicy refuses to delete records of a topic that is only compacted.
	ErrPolicy = errors.New("not allowed by cleanup.policy")
	// ErrTooLarge refuses a batch larger than max.message.bytes.
	ErrTooLarge = errors.New("batch larger than max.message.bytes")
	// ErrListTooLarge refuses a batch larger than segment.bytes.
	ErrListTooLarge = errors.New("batch larger than segment.bytes")
	// ErrInvalidTimestamp refuses a timestamp outside message.timestamp.before.max.ms
	// and message.timestamp.after.max.ms.
	ErrInvalidTimestamp = errors.New("timestamp out of range")
)
