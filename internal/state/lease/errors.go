package lease

import "errors"

// ErrInvalidSettings: a setting is out of range.
var ErrInvalidSettings = errors.New("invalid settings of a queue")
