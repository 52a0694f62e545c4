package kafkaclient

import (
	"errors"
	"fmt"
	"strconv"
)

// ErrUnreachable is wrapped by errors of connections: nobody listens, the name
// does not resolve, the connection broke.
var ErrUnreachable = errors.New("cannot reach the server")

// Error is an error code that the server answered.
type Error struct {
	Code Code
	// Message is what the server added, often nothing.
	Message string
}

// Code is one of Kafka's error codes.
type Code int16

// The codes that this package and its callers tell apart.
const (
	OffsetOutOfRange    Code = 1
	UnknownTopic        Code = 3
	LeaderNotAvailable  Code = 5
	IllegalGeneration   Code = 22
	UnknownMemberID     Code = 25
	RebalanceInProgress Code = 27
	UnsupportedVersion  Code = 35
	TopicAlreadyExists  Code = 36
	InvalidConfig       Code = 40
	OutOfOrderSequence  Code = 45
	DuplicateSequence   Code = 46
	StorageError        Code = 56
	UnknownProducerID   Code = 59
	NonEmptyGroup       Code = 68
	GroupIDNotFound     Code = 69
	MemberIDRequired    Code = 79
	UnknownTopicID      Code = 100
)

// codes holds the name of every code people meet, what it means in plain
// words, and whether asking again can help (Kafka: Errors.java).
var codes = map[Code]struct {
	name, text string
	again      bool
}{
	-1:  {"UNKNOWN_SERVER_ERROR", "the server failed in a way it has no code for", false},
	1:   {"OFFSET_OUT_OF_RANGE", "there is no such offset (any more)", false},
	2:   {"CORRUPT_MESSAGE", "a record arrived damaged", true},
	3:   {"UNKNOWN_TOPIC_OR_PARTITION", "there is no such topic or partition", true},
	5:   {"LEADER_NOT_AVAILABLE", "the partition has no leader just now", true},
	6:   {"NOT_LEADER_OR_FOLLOWER", "another server leads the partition", true},
	7:   {"REQUEST_TIMED_OUT", "the server could not finish in time", true},
	10:  {"MESSAGE_TOO_LARGE", "the record is larger than the topic's max.message.bytes", false},
	13:  {"NETWORK_EXCEPTION", "the server lost a connection", true},
	14:  {"COORDINATOR_LOAD_IN_PROGRESS", "the group's coordinator is starting", true},
	15:  {"COORDINATOR_NOT_AVAILABLE", "the group has no coordinator just now", true},
	16:  {"NOT_COORDINATOR", "another server coordinates the group", true},
	17:  {"INVALID_TOPIC_EXCEPTION", "a topic cannot have this name", false},
	18:  {"RECORD_LIST_TOO_LARGE", "the batch is larger than a segment of the topic", false},
	19:  {"NOT_ENOUGH_REPLICAS", "too few replicas are in sync", true},
	22:  {"ILLEGAL_GENERATION", "the group has rebalanced since", false},
	24:  {"INVALID_GROUP_ID", "a group cannot have this name", false},
	25:  {"UNKNOWN_MEMBER_ID", "the group has members, or does not know this one", false},
	27:  {"REBALANCE_IN_PROGRESS", "the group is rebalancing", false},
	29:  {"TOPIC_AUTHORIZATION_FAILED", "not authorised for this topic", false},
	30:  {"GROUP_AUTHORIZATION_FAILED", "not authorised for this group", false},
	31:  {"CLUSTER_AUTHORIZATION_FAILED", "not authorised for this operation", false},
	32:  {"INVALID_TIMESTAMP", "the record's timestamp is out of the topic's range", false},
	35:  {"UNSUPPORTED_VERSION", "the server does not speak this version of the request", false},
	36:  {"TOPIC_ALREADY_EXISTS", "the topic exists already", false},
	37:  {"INVALID_PARTITIONS", "the number of partitions is out of range", false},
	38:  {"INVALID_REPLICATION_FACTOR", "more replicas than there are servers, or none", false},
	40:  {"INVALID_CONFIG", "a setting does not exist or has a bad value", false},
	41:  {"NOT_CONTROLLER", "another server is the controller", true},
	42:  {"INVALID_REQUEST", "the server finds the request malformed", false},
	44:  {"POLICY_VIOLATION", "a limit of the server would be exceeded", false},
	45:  {"OUT_OF_ORDER_SEQUENCE_NUMBER", "a batch before this one is missing", false},
	46:  {"DUPLICATE_SEQUENCE_NUMBER", "the batch was written before", false},
	47:  {"INVALID_PRODUCER_EPOCH", "a newer producer has taken this one's place", false},
	56:  {"KAFKA_STORAGE_ERROR", "the server's disk is full or failing", true},
	58:  {"SASL_AUTHENTICATION_FAILED", "wrong user or password", false},
	59:  {"UNKNOWN_PRODUCER_ID", "the server does not remember this producer", false},
	67:  {"GROUP_SUBSCRIBED_TO_TOPIC", "the group still reads the topic", false},
	68:  {"NON_EMPTY_GROUP", "the group still has members", false},
	69:  {"GROUP_ID_NOT_FOUND", "there is no such group", false},
	74:  {"FENCED_LEADER_EPOCH", "the partition has a newer leader", true},
	75:  {"UNKNOWN_LEADER_EPOCH", "the server has not heard of the partition's newest leader", true},
	76:  {"UNSUPPORTED_COMPRESSION_TYPE", "the server does not know this compression", false},
	78:  {"OFFSET_NOT_AVAILABLE", "the new leader does not know the offset yet", true},
	79:  {"MEMBER_ID_REQUIRED", "the group wants its members to join with an id", false},
	87:  {"INVALID_RECORD", "the record breaks a rule of the topic", false},
	89:  {"THROTTLING_QUOTA_EXCEEDED", "the server is busy", true},
	100: {"UNKNOWN_TOPIC_ID", "the topic was deleted, or deleted and created anew", true},
}

// Name returns the code's name, as Kafka spells it.
func (c Code) Name() string {
	if k, ok := codes[c]; ok {
		return k.name
	}
	return "error code " + strconv.Itoa(int(c))
}

// Error tells in words and by name what the server answered.
func (e *Error) Error() string {
	text := codes[e.Code].text
	if e.Message != "" {
		text = e.Message
	}
	if text == "" {
		return e.Code.Name()
	}
	return fmt.Sprintf("%s (%s)", text, e.Code.Name())
}

// Is makes errors.Is compare codes, whatever the message:
// errors.Is(err, kafkaclient.UnknownTopic.Err()).
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Message == ""
}

// Err returns the code as an error, nil for "none".
func (c Code) Err() error { return codeError(int16(c), nil) }

func codeError(code int16, message *string) error {
	if code == 0 {
		return nil
	}
	e := &Error{Code: Code(code)}
	if message != nil {
		e.Message = *message
	}
	return e
}

// codeOf returns the code that a server answered, 0 if the error is none.
func codeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return 0
}

// isUnknown reports whether the server knows no such topic.
func isUnknown(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Code == UnknownTopic || e.Code == UnknownTopicID)
}

// retriable reports whether asking again, perhaps another server, can help.
func retriable(err error) bool {
	if e, ok := errors.AsType[*Error](err); ok {
		return codes[e.Code].again
	}
	return errors.Is(err, ErrUnreachable)
}
