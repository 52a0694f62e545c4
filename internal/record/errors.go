package record

import "errors"

// What can be wrong with a batch. Every error of this package wraps exactly
// one of these, since clients must learn which kind it was (Kafka answers each
// with a code of its own).
var (
	// ErrTruncated: the bytes end before the batch does.
	ErrTruncated = errors.New("truncated record batch")
	// ErrCorrupt: the bytes are not what the producer sent: a checksum that
	// does not match, a length or a magic byte that cannot be.
	ErrCorrupt = errors.New("corrupt record batch")
	// ErrUnsupportedMagic: a message format from before Kafka 0.11.
	ErrUnsupportedMagic = errors.New("unsupported record format")
	// ErrInvalid: intact, but it breaks a rule of the format or of producing.
	ErrInvalid = errors.New("invalid record batch")
	// ErrTooLarge: larger than the limit it was checked against.
	ErrTooLarge = errors.New("record batch too large")
	// ErrTimestamp: a timestamp or timestamp type that is not acceptable.
	ErrTimestamp = errors.New("invalid record timestamp")
	// ErrUnsupportedCodec: a compression codec that does not exist.
	ErrUnsupportedCodec = errors.New("unsupported compression codec")
)

// SkipRest ends a walk without an error when the function given to Walk or
// Records returns it.
var SkipRest = errors.New("skip the rest") //nolint:revive,staticcheck // named like fs.SkipAll
