package kafka

import (
	"errors"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/group"
	"github.com/polylog-mq/polylog/internal/state/txn"
)

// The error codes of the protocol that this server answers with.
const (
	errNone                        int16 = 0
	errUnknownServerError          int16 = -1
	errOffsetOutOfRange            int16 = 1
	errCorruptMessage              int16 = 2
	errUnknownTopicOrPartition     int16 = 3
	errLeaderNotAvailable          int16 = 5
	errNotLeaderOrFollower         int16 = 6
	errRequestTimedOut             int16 = 7
	errMessageTooLarge             int16 = 10
	errOffsetMetadataTooLarge      int16 = 12
	errCoordinatorNotAvailable     int16 = 15
	errNotCoordinator              int16 = 16
	errInvalidTopic                int16 = 17
	errRecordListTooLarge          int16 = 18
	errInvalidRequiredAcks         int16 = 21
	errIllegalGeneration           int16 = 22
	errInconsistentGroupProtocol   int16 = 23
	errInvalidGroupID              int16 = 24
	errUnknownMemberID             int16 = 25
	errInvalidSessionTimeout       int16 = 26
	errRebalanceInProgress         int16 = 27
	errTopicAuthorizationFailed    int16 = 29
	errGroupAuthorizationFailed    int16 = 30
	errClusterAuthorizationFailed  int16 = 31
	errInvalidTimestamp            int16 = 32
	errUnsupportedVersion          int16 = 35
	errTopicAlreadyExists          int16 = 36
	errInvalidPartitions           int16 = 37
	errInvalidReplicationFactor    int16 = 38
	errInvalidReplicaAssignment    int16 = 39
	errInvalidConfig               int16 = 40
	errNotController               int16 = 41
	errInvalidRequest              int16 = 42
	errUnsupportedForMessageFormat int16 = 43
	errPolicyViolation             int16 = 44
	errOutOfOrderSequence          int16 = 45
	errInvalidProducerEpoch        int16 = 47
	errInvalidTxnState             int16 = 48
	errInvalidProducerIDMapping    int16 = 49
	errInvalidTransactionTimeout   int16 = 50
	errConcurrentTransactions      int16 = 51
	errTransactionalIDAuthFailed   int16 = 53
	errSecurityDisabled            int16 = 54
	errOperationNotAttempted       int16 = 55
	errKafkaStorageError           int16 = 56
	errLogDirNotFound              int16 = 57
	errNonEmptyGroup               int16 = 68
	errGroupIDNotFound             int16 = 69
	errFetchSessionIDNotFound      int16 = 70
	errInvalidFetchSessionEpoch    int16 = 71
	errFencedLeaderEpoch           int16 = 74
	errUnknownLeaderEpoch          int16 = 75
	errUnsupportedCompression      int16 = 76
	errMemberIDRequired            int16 = 79
	errPreferredLeaderNotAvailable int16 = 80
	errGroupMaxSizeReached         int16 = 81
	errFencedInstanceID            int16 = 82
	errEligibleLeadersNotAvailable int16 = 83
	errElectionNotNeeded           int16 = 84
	errNoReassignmentInProgress    int16 = 85
	errGroupSubscribedToTopic      int16 = 86
	errInvalidRecord               int16 = 87
	errUnstableOffsetCommit        int16 = 88
	errThrottlingQuotaExceeded     int16 = 89
	errProducerFenced              int16 = 90
	errInvalidUpdateVersion        int16 = 95
	errUnknownTopicID              int16 = 100
	errTransactionalIDNotFound     int16 = 105
	errFetchSessionTopicIDError    int16 = 106
	errInconsistentTopicID         int16 = 103
	errMismatchedEndpointType      int16 = 114
	errTransactionAbortable        int16 = 120
	errInvalidRegularExpression    int16 = 128
)

// coordinatorCode is codeOf for what a coordinator answers: clients then look
// for the coordinator again.
func coordinatorCode(err error) int16 {
	switch {
	case errors.Is(err, broker.ErrNotLeader), errors.Is(err, broker.ErrUnknownFate), errors.Is(err, broker.ErrClosed):
		return errNotCoordinator
	case errors.Is(err, broker.ErrBusy), errors.Is(err, broker.ErrStorage), errors.Is(err, broker.ErrDamaged):
		return errCoordinatorNotAvailable
	}
	return codeOf(err)
}

// controllerCode is codeOf for changes of topics and their settings, which the
// metadata group decides.
func controllerCode(err error) int16 {
	switch {
	case errors.Is(err, broker.ErrNotLeader):
		return errNotController
	case errors.Is(err, broker.ErrUnknownFate), errors.Is(err, broker.ErrClosed):
		return errRequestTimedOut
	case errors.Is(err, broker.ErrBusy):
		return errThrottlingQuotaExceeded
	}
	return codeOf(err)
}

// codes maps what the floors below answer to the protocol's codes. The first
// row that matches counts. An operation that answers a sentinel with a code of
// its own (a group's NOT_COORDINATOR) says so in its file.
var codes = []struct {
	err  error
	code int16
}{
	{access.ErrDenied, errClusterAuthorizationFailed},

	{record.ErrCorrupt, errCorruptMessage},
	{record.ErrTruncated, errInvalidRecord}, // as Kafka does: it sees no batch at all
	{record.ErrUnsupportedMagic, errInvalidRecord},
	{record.ErrUnsupportedCodec, errUnsupportedCompression},
	{record.ErrTooLarge, errMessageTooLarge},
	{record.ErrTimestamp, errInvalidTimestamp},
	{record.ErrInvalid, errInvalidRecord},

	{broker.ErrNotLeader, errNotLeaderOrFollower},
	{broker.ErrUnknownFate, errNotLeaderOrFollower},
	{broker.ErrClosed, errNotLeaderOrFollower},
	{broker.ErrBusy, errRequestTimedOut},
	{broker.ErrDiskFull, errKafkaStorageError},
	{broker.ErrStorage, errKafkaStorageError},
	{broker.ErrDamaged, errKafkaStorageError},

	{broker.ErrUnknownTopic, errUnknownTopicOrPartition},
	{broker.ErrUnknownTopicID, errUnknownTopicID},
	{broker.ErrUnknownPartition, errUnknownTopicOrPartition},
	{broker.ErrTopicExists, errTopicAlreadyExists},
	{broker.ErrInvalidTopic, errInvalidTopic},
	{broker.ErrInvalidPartitions, errInvalidPartitions},
	{broker.ErrInvalidReplication, errInvalidReplicationFactor},
	{broker.ErrInvalidConfig, errInvalidConfig},
	{broker.ErrPolicy, errPolicyViolation},

	{broker.ErrCorruptBatch, errCorruptMessage},
	{broker.ErrInvalidRecord, errInvalidRecord},
	{broker.ErrTooLarge, errMessageTooLarge},
	{broker.ErrListTooLarge, errRecordListTooLarge},
	{broker.ErrInvalidTimestamp, errInvalidTimestamp},
	{broker.ErrOutOfOrderSequence, errOutOfOrderSequence},
	{broker.ErrProducerEpoch, errInvalidProducerEpoch},
	{broker.ErrOffsetOutOfRange, errOffsetOutOfRange},

	{broker.ErrNotEnlisted, errInvalidTxnState},
	{broker.ErrStillOpen, errConcurrentTransactions},
	{txn.ErrFenced, errProducerFenced},
	{txn.ErrUnknownProducer, errInvalidProducerIDMapping},
	{txn.ErrConcurrent, errConcurrentTransactions},
	{txn.ErrInvalidState, errInvalidTxnState},
	{txn.ErrInvalidTimeout, errInvalidTransactionTimeout},
	{txn.ErrTooMany, errPolicyViolation},
	{txn.ErrInvalid, errInvalidRequest},
	{group.ErrNotEnlisted, errInvalidTxnState},
	{group.ErrStillOpen, errConcurrentTransactions},
	{group.ErrProducerEpoch, errInvalidProducerEpoch},

	{group.ErrUnknownMember, errUnknownMemberID},
	{group.ErrMemberIDRequired, errMemberIDRequired},
	{group.ErrFencedInstance, errFencedInstanceID},
	{group.ErrIllegalGeneration, errIllegalGeneration},
	{group.ErrRebalanceInProgress, errRebalanceInProgress},
	{group.ErrInconsistentProtocol, errInconsistentGroupProtocol},
	{group.ErrGroupFull, errGroupMaxSizeReached},
	{group.ErrUnknownGroup, errGroupIDNotFound},
	{group.ErrNotEmpty, errNonEmptyGroup},
	{group.ErrSubscribed, errGroupSubscribedToTopic},
	{group.ErrTooManyGroups, errCoordinatorNotAvailable},
	{group.ErrTooLarge, errInvalidRequest},
	{group.ErrInvalidGroup, errInvalidGroupID},
	{group.ErrInvalidSession, errInvalidSessionTimeout},
}

// codeOf returns the code for an error, errNone for nil.
func codeOf(err error) int16 {
	if err == nil {
		return errNone
	}
	for i := range codes {
		if errors.Is(err, codes[i].err) {
			return codes[i].code
		}
	}
	return errUnknownServerError
}

// messageOf returns the text that goes with an error's code, nil for nil.
func messageOf(err error) *string {
	if err == nil {
		return nil
	}
	s := err.Error()
	return &s
}
