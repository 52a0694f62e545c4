package broker

import (
	"errors"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/dedup"
	"github.com/polylog-mq/polylog/internal/state/parameter"
	"github.com/polylog-mq/polylog/internal/state/route"
	"github.com/polylog-mq/polylog/internal/state/topic"
	"github.com/polylog-mq/polylog/internal/store"
)

// What an operation can answer. Returned errors often wrap one of these with
// details for people: match with errors.Is. Those of the floors below have a
// name here too, so that a protocol's table of errors needs this package alone.
// "Kafka" names the code that Kafka's own brokers use.
var (
	// ErrNotLeader: this node does not lead the shard, nothing happened, ask
	// the leader. Kafka: NOT_LEADER_OR_FOLLOWER (groups: NOT_COORDINATOR,
	// metadata: NOT_CONTROLLER).
	ErrNotLeader = replica.ErrNotLeader
	// ErrUnknownFate: leadership was lost, or the node is stopping, while the
	// operation was under way; it may yet take effect. Kafka:
	// NOT_LEADER_OR_FOLLOWER, AMQP: close the channel, HTTP: 5xx.
	ErrUnknownFate = replica.ErrUnknown
	// ErrBusy: too many bytes are under way; nothing happened, try again.
	// Kafka: THROTTLING_QUOTA_EXCEEDED for metadata, REQUEST_TIMED_OUT for data.
	ErrBusy = replica.ErrBusy
	// ErrClosed: the broker is stopping; nothing happened. Kafka:
	// NOT_LEADER_OR_FOLLOWER.
	ErrClosed = replica.ErrStopped
	// ErrDiskFull: produces are refused until space is freed; reads, settles,
	// deletes and commits go on. Kafka: KAFKA_STORAGE_ERROR.
	ErrDiskFull = errors.New("the disk is full: produces are refused until space is freed")
	// ErrStorage: the store failed (an I/O error); the node must be restarted.
	// Kafka: KAFKA_STORAGE_ERROR.
	ErrStorage = errors.New("the storage of this node has failed")
	// ErrDamaged: stored bytes do not match their checksum. Kafka:
	// KAFKA_STORAGE_ERROR.
	ErrDamaged = store.ErrDamaged

	// ErrUnknownTopic: no topic of this name. Kafka: UNKNOWN_TOPIC_OR_PARTITION.
	ErrUnknownTopic = topic.ErrUnknownTopic
	// ErrUnknownTopicID: no topic with this uuid. Kafka: UNKNOWN_TOPIC_ID.
	ErrUnknownTopicID = errors.New("no topic with this id")
	// ErrUnknownPartition: the partition was deleted, or its shard has not
	// heard of it yet. Kafka: UNKNOWN_TOPIC_OR_PARTITION.
	ErrUnknownPartition = topic.ErrUnknownPartition
	// ErrTopicExists. Kafka: TOPIC_ALREADY_EXISTS.
	ErrTopicExists = topic.ErrTopicExists
	// ErrInvalidTopic: not a name a topic can have. Kafka: INVALID_TOPIC_EXCEPTION.
	ErrInvalidTopic = topic.ErrInvalidName
	// ErrInvalidPartitions: a count out of range. Kafka: INVALID_PARTITIONS.
	ErrInvalidPartitions = topic.ErrInvalidPartitions
	// ErrInvalidReplication: more replicas than nodes. Kafka:
	// INVALID_REPLICATION_FACTOR.
	ErrInvalidReplication = errors.New("invalid replication factor")
	// ErrInvalidConfig: a setting that does not exist or a value out of range.
	// Kafka: INVALID_CONFIG.
	ErrInvalidConfig = topic.ErrInvalidConfig
	// ErrPolicy: a limit of the cluster (number of topics or partitions) would
	// be exceeded. Kafka: POLICY_VIOLATION.
	ErrPolicy = topic.ErrTooMany
	// ErrInvalidParameter: a parameter with a value that it cannot have, or none
	// of that name. ErrUnknownParameter: there is none to delete.
	ErrInvalidParameter = parameter.ErrInvalid
	ErrUnknownParameter = parameter.ErrUnknown

	// ErrCorruptBatch: size, magic or checksum wrong. Kafka: CORRUPT_MESSAGE.
	ErrCorruptBatch = record.ErrCorrupt
	// ErrInvalidRecord: a well-formed batch that breaks a rule. Kafka:
	// INVALID_RECORD.
	ErrInvalidRecord = record.ErrInvalid
	// ErrTooLarge: larger than max.message.bytes. Kafka: MESSAGE_TOO_LARGE.
	ErrTooLarge = topic.ErrTooLarge
	// ErrListTooLarge: larger than segment.bytes. Kafka: RECORD_LIST_TOO_LARGE.
	ErrListTooLarge = topic.ErrListTooLarge
	// ErrInvalidTimestamp: outside message.timestamp.{before,after}.max.ms.
	// Kafka: INVALID_TIMESTAMP.
	ErrInvalidTimestamp = topic.ErrInvalidTimestamp

	// ErrOutOfOrderSequence: a gap in a producer's sequence. Kafka:
	// OUT_OF_ORDER_SEQUENCE_NUMBER.
	ErrOutOfOrderSequence = dedup.ErrOutOfOrder
	// ErrProducerEpoch: an epoch older than the one known. Kafka:
	// INVALID_PRODUCER_EPOCH on produce.
	ErrProducerEpoch = dedup.ErrFenced
	// ErrUnknownQueue: no queue of this name, or it was deleted. AMQP: 404.
	ErrUnknownQueue = route.ErrUnknownQueue
	// ErrExclusive: an exclusive consumer has the queue, or one asks for a queue
	// that has consumers. AMQP: 403.
	ErrExclusive = errors.New("the queue is in exclusive use")
	// ErrConsumerTimeout: a session held a record longer than the queue allows,
	// and has lost what it had of it. AMQP: 406 PRECONDITION_FAILED.
	ErrConsumerTimeout = errors.New("a delivery was not settled in time")
	// ErrSettled: the record was settled before.
	ErrSettled = errors.New("the record is settled")
	// ErrLeaseOver: the time of the lease has passed. SQS: the receipt handle has
	// expired.
	ErrLeaseOver = errors.New("the time of the lease has passed")
	// ErrLeaseLost: the record was leased to somebody else since, or never to
	// this one.
	ErrLeaseLost = errors.New("the lease is somebody else's")
	// ErrRejected: a queue is full and refuses what is published. AMQP:
	// basic.nack.
	ErrRejected = errors.New("a queue is full")

	// ErrOffsetOutOfRange: below the floor or above the high watermark. Kafka:
	// OFFSET_OUT_OF_RANGE.
	ErrOffsetOutOfRange = topic.ErrOffsetOutOfRange

	// ErrUnknownTenant: no tenant of this name. AMQP: 530 NOT_ALLOWED.
	ErrUnknownTenant = route.ErrUnknownTenant
	// ErrDefaultTenant refuses to delete the default tenant.
	ErrDefaultTenant = route.ErrDefaultTenant
	// ErrUnknownExchange: no exchange of this name. AMQP: 404.
	ErrUnknownExchange = route.ErrUnknownExchange
	// ErrUnknownExchangeType. AMQP: 406 PRECONDITION_FAILED.
	ErrUnknownExchangeType = route.ErrUnknownType
	// ErrInternalExchange: clients may not publish to it. AMQP: 403.
	ErrInternalExchange = route.ErrInternal
	// ErrReserved: a name, or an exchange, that clients may not change. AMQP: 403
	// ACCESS_REFUSED.
	ErrReserved = route.ErrReserved
	// ErrInvalidArgument: an argument that is malformed or out of range. AMQP:
	// 406 PRECONDITION_FAILED.
	ErrInvalidArgument = route.ErrInvalidArgument
	// ErrNotEquivalent: declared again, and differently; always a
	// *NotEquivalentError. AMQP: 406 PRECONDITION_FAILED.
	ErrNotEquivalent = route.ErrNotEquivalent
	// ErrLocked: the queue belongs to another session. AMQP: 405 RESOURCE_LOCKED.
	ErrLocked = route.ErrLocked
	// ErrInUse: it has consumers or bindings. AMQP: 406 PRECONDITION_FAILED.
	ErrInUse = route.ErrInUse
	// ErrNotEmpty: it has messages. AMQP: 406 PRECONDITION_FAILED.
	ErrNotEmpty = errors.New("not empty")
	// ErrUnknownPolicy: no policy of this name.
	ErrUnknownPolicy = route.ErrUnknownPolicy
	// ErrInvalidName: not a name that a tenant or an exchange can have.
	ErrInvalidName = route.ErrInvalidName
	// ErrUnknownUser: no user of this name.
	ErrUnknownUser = access.ErrUnknownUser
	// ErrInvalidUser: a name, a hash or tags that cannot be.
	ErrInvalidUser = access.ErrInvalidUser
	// ErrInvalidPattern: no regular expression.
	ErrInvalidPattern = access.ErrInvalidPattern
	// ErrNotQueue: a topic that was not declared as a queue. AMQP: 406.
	ErrNotQueue = errors.New("a topic, not a queue")
)

type (
	// NotEquivalentError says in which field a declaration differs from what
	// there is, in RabbitMQ's words.
	NotEquivalentError = route.NotEquivalentError
	// NotFoundError says, in RabbitMQ's words, which queue or exchange does not
	// exist. It wraps ErrUnknownQueue or ErrUnknownExchange.
	NotFoundError = route.NotFoundError
)
