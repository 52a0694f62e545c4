package txn

import "errors"

// What a command can answer. Kafka's name of the code is in capitals.
var (
	// ErrFenced: PRODUCER_FENCED. Another instance of the producer has taken
	// over, or the coordinator has aborted the transaction.
	ErrFenced = errors.New("the producer is fenced: its epoch is not the present one")
	// ErrUnknownProducer: INVALID_PRODUCER_ID_MAPPING. The transactional id is
	// not known, or has another producer id.
	ErrUnknownProducer = errors.New("the transactional id does not have this producer id")
	// ErrConcurrent: CONCURRENT_TRANSACTIONS. The last transaction is not
	// completed yet; try again.
	ErrConcurrent = errors.New("the last transaction is not completed yet")
	// ErrInvalidState: INVALID_TXN_STATE.
	ErrInvalidState = errors.New("the transaction is in another state")
	// ErrInvalidTimeout: INVALID_TRANSACTION_TIMEOUT.
	ErrInvalidTimeout = errors.New("transaction timeout out of range")
	// ErrTooMany: a limit of limits.go was met; Kafka has no limit and no code
	// for it (POLICY_VIOLATION comes nearest).
	ErrTooMany = errors.New("too many transactional ids, or too much in one transaction")
	// ErrInvalid: INVALID_REQUEST.
	ErrInvalid = errors.New("not a transactional id")
)
