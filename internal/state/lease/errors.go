package lease

import "errors"

// ErrInvalidSettings: a setting is out of range.
var ErrInvalidSettings = errors.New("invalid settings of a queue")

// ErrExclusive: an exclusive consumer has the queue, or asks for one that has
// consumers.
var ErrExclusive = errors.New("the queue is in exclusive use")
