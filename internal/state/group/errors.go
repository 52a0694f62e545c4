package group

import "errors"

// What a command or a question can answer. Kafka's name of the code is in
// capitals.
var (
	// ErrUnknownMember: UNKNOWN_MEMBER_ID. The group or the member does not
	// exist (any more): join again without an id.
	ErrUnknownMember = errors.New("unknown member")
	// ErrMemberIDRequired: MEMBER_ID_REQUIRED (KIP-394). Join again with the id
	// in the reply.
	ErrMemberIDRequired = errors.New("join again with the member id given")
	// ErrFencedInstance: FENCED_INSTANCE_ID. Another process has taken over
	// this static member.
	ErrFencedInstance = errors.New("another member has taken over the instance id")
	// ErrIllegalGeneration: ILLEGAL_GENERATION.
	ErrIllegalGeneration = errors.New("not the group's generation")
	// ErrRebalanceInProgress: REBALANCE_IN_PROGRESS. Join again.
	ErrRebalanceInProgress = errors.New("the group is rebalancing")
	// ErrInconsistentProtocol: INCONSISTENT_GROUP_PROTOCOL. The member has no
	// assignment protocol in common with the others, or another type.
	ErrInconsistentProtocol = errors.New("no assignment protocol in common with the group")
	// ErrGroupFull: GROUP_MAX_SIZE_REACHED.
	ErrGroupFull = errors.New("the group has as many members as it may")
	// ErrUnknownGroup: GROUP_ID_NOT_FOUND.
	ErrUnknownGroup = errors.New("no such group")
	// ErrNotEmpty: NON_EMPTY_GROUP.
	ErrNotEmpty = errors.New("the group has members")
	// ErrSubscribed: GROUP_SUBSCRIBED_TO_TOPIC.
	ErrSubscribed = errors.New("the group is subscribed to the topic")
	// ErrNotEnlisted: INVALID_TXN_STATE. The producer has no transaction under
	// way that the group is part of.
	ErrNotEnlisted = errors.New("the group is not part of a transaction of the producer")
	// ErrProducerEpoch: INVALID_PRODUCER_EPOCH. A newer epoch is known.
	ErrProducerEpoch = errors.New("the producer's epoch is fenced")
	// ErrStillOpen: CONCURRENT_TRANSACTIONS. The producer's last transaction is
	// not decided here yet.
	ErrStillOpen = errors.New("the producer's last transaction is not decided yet")
	// ErrTooManyGroups: a limit of the shard was met; Kafka has no limit and no
	// code for it (COORDINATOR_NOT_AVAILABLE comes nearest).
	ErrTooManyGroups = errors.New("too many groups")
	// ErrTooLarge: a limit of limits.go was met. INVALID_REQUEST.
	ErrTooLarge = errors.New("too large")

	// ErrInvalidGroup: INVALID_GROUP_ID.
	ErrInvalidGroup = errors.New("a group needs a name")
	// ErrInvalidSession: INVALID_SESSION_TIMEOUT.
	ErrInvalidSession = errors.New("session timeout out of range")
)
